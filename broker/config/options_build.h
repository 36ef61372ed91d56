// broker/config/options_build.h - from a configuration file and flags to checked Options.
//
// Room:    pure. The app implements Source, calls load() and prints what it says.
// Start:   auto loaded = load(flags, source);  print loaded.warnings;  refuse if !loaded.good().
// Errors:  all complaints of one load are collected, each with its place; a syntax error is alone.
#pragma once

#include <string>
#include <vector>

#include "broker/config/conf_parser.h"
#include "broker/config/flags.h"
#include "broker/config/options.h"

namespace weir::config {

struct Loaded {
  Options options;
  std::vector<std::string> errors;  // "FILE:LINE:COL: text", to be printed one a line; exit 1
  std::vector<std::string> warnings;

  bool good() const { return errors.empty(); }
};

/// Reads flags.config_file, if any, applies the flags over it, and checks the whole. Refused
/// features (Options::unsupported) are among the errors.
Loaded load(const Flags& flags, Source& source);

/// The same without flags and files, for a text at hand.
Loaded load_text(std::string_view text, const std::string& name, Source& source);

/// Tree -> Options, without flags and without cross checks. Adds to `errors` and `warnings`.
void build(const Value& root, Options& out, std::vector<Issue>& errors, std::vector<Issue>& warnings);

/// `"gateway" is not supported by this version of weir-broker`, with its place.
std::string unsupported_text(const Unsupported& u);

}  // namespace weir::config
