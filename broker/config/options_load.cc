// Ties parser, tables, flags and checks into one call.
#include "broker/config/options_build.h"
#include "broker/config/options_check.h"

namespace weir::config {
namespace {

Loaded finish(Options options, std::vector<Issue> errors, std::vector<Issue> warnings) {
  check_options(options, errors, warnings);
  Loaded loaded;
  for (const Issue& e : errors) loaded.errors.push_back(e.to_string());
  for (const Unsupported& u : options.unsupported) {
    if (!is_built(u.feature)) loaded.errors.push_back(unsupported_text(u));
  }
  for (const Issue& w : warnings) loaded.warnings.push_back(w.to_string());
  loaded.options = std::move(options);
  return loaded;
}

Loaded from_tree(Result<ConfTree> tree, const std::string& file, const Flags& flags) {
  if (!tree) {
    Loaded failed;
    failed.errors.push_back(tree.error().detail);
    return failed;
  }
  Options options;
  std::vector<Issue> errors;
  std::vector<Issue> warnings = std::move(tree->warnings);
  // Deliberately a warning: a mounted but still empty file must not keep a server down.
  if (tree->root.members.empty()) warnings.push_back({{}, file + ": config has no values or is empty"});
  build(tree->root, options, errors, warnings);
  options.digest_text = canonical_json(tree->root);
  apply_flags(flags, options, errors, warnings);
  return finish(std::move(options), std::move(errors), std::move(warnings));
}

}  // namespace

std::string unsupported_text(const Unsupported& u) {
  std::string text = "\"" + u.key + "\" is not supported by this version of weir-broker";
  return Issue{u.at, std::move(text)}.to_string();
}

Loaded load(const Flags& flags, Source& source) {
  if (!flags.config_file.empty()) {
    return from_tree(parse_file(flags.config_file, source), flags.config_file, flags);
  }
  Options options;
  std::vector<Issue> errors;
  std::vector<Issue> warnings;
  apply_flags(flags, options, errors, warnings);
  return finish(std::move(options), std::move(errors), std::move(warnings));
}

Loaded load_text(std::string_view text, const std::string& name, Source& source) {
  return from_tree(parse_text(text, name, source), name, Flags{});
}

}  // namespace weir::config
