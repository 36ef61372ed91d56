#include "broker/subject/transform.h"

#include <algorithm>

#include "broker/base/text.h"
#include "broker/subject/subject.h"

namespace weir::subject {
namespace {

constexpr std::uint32_t kNumberMax = 0x7fff'ffff;  // arguments are 32-bit signed in nats-server

std::string_view trim(std::string_view s) {
  while (!s.empty() && s.front() == ' ') s.remove_prefix(1);
  while (!s.empty() && s.back() == ' ') s.remove_suffix(1);
  return s;
}

std::uint32_t fnv1a(std::string_view s, std::uint32_t h) {
  for (char c : s) h = (h ^ static_cast<unsigned char>(c)) * 16777619u;
  return h;
}
constexpr std::uint32_t kFnvStart = 2166136261u;

std::vector<std::string_view> split_list(std::string_view s, char sep) {
  std::vector<std::string_view> out;
  while (true) {
    std::size_t at = s.find(sep);
    out.push_back(trim(s.substr(0, at)));
    if (at == std::string_view::npos) return out;
    s.remove_prefix(at + 1);
  }
}

/// Tokens are divided by dots; blanks are allowed inside {{ }}.
bool well_formed_destination(std::string_view s) {
  Tokens t(s);
  while (t.next()) {
    std::string_view token = t.token();
    if (token.empty() || is_star(token) || (is_tail(token) && !t.last())) return false;
    bool call = token.starts_with("{{") && token.ends_with("}}");
    if (!call && !is_well_formed(token)) return false;
  }
  return true;
}

Error bad(std::string_view what, std::string_view token) {
  return {Code::kInvalid, "invalid mapping destination: " + std::string(what) + " in " + std::string(token)};
}

}  // namespace

struct Transform::Rule {
  std::string_view name;
  Function function;
  std::size_t args_min, args_max;
};

const Transform::Rule* Transform::find_rule(std::string_view name) {
  static constexpr std::size_t kAny = ~std::size_t{0};
  static constexpr Rule kRules[] = {
      {"wildcard", Function::kWildcard, 1, 1},
      {"partition", Function::kPartition, 1, kAny},
      {"split", Function::kSplit, 2, 2},
      {"splitfromleft", Function::kSplitFromLeft, 2, 2},
      {"splitfromright", Function::kSplitFromRight, 2, 2},
      {"slicefromleft", Function::kSliceFromLeft, 2, 2},
      {"slicefromright", Function::kSliceFromRight, 2, 2},
      {"left", Function::kLeft, 2, 2},
      {"right", Function::kRight, 2, 2},
      {"random", Function::kRandom, 1, 1},
  };
  for (const Rule& rule : kRules) {
    if (iequals(rule.name, name)) return &rule;
  }
  return nullptr;
}

Result<Transform> Transform::parse(std::string_view source, std::string_view destination, bool strict) {
  if (source.empty()) source = ">";
  if (!is_valid_pattern(source)) return {Code::kInvalid, "invalid subject " + std::string(source)};
  if (!well_formed_destination(destination)) {
    return {Code::kInvalid, "invalid mapping destination " + std::string(destination)};
  }
  Transform t;
  t.source_ = source;
  t.destination_ = destination;
  std::vector<std::size_t> wildcards;  // token numbers of "*" in the source
  bool source_tail = false, destination_tail = false;
  Tokens from(source);
  for (std::size_t i = 0; from.next(); ++i) {
    if (is_star(from.token())) wildcards.push_back(i);
    if (!is_tail(from.token())) continue;
    source_tail = true;
    t.tail_from_ = i;
  }
  Tokens to(destination);
  while (to.next()) {
    ASSIGN_OR_RETURN(Part part, parse_part(to.token(), wildcards));
    destination_tail |= part.function == Function::kTail;
    if (part.function != Function::kText) t.constant_ = false;
    t.parts_.push_back(std::move(part));
  }
  if (source_tail != destination_tail) {
    return {Code::kInvalid, "invalid subject: source and destination must both end with > or neither"};
  }
  if (strict) RETURN_IF_ERROR(t.check_strict(wildcards.size()));
  return t;
}

Status Transform::check_strict(std::size_t wildcards) const {
  std::vector<std::size_t> used;
  for (const Part& part : parts_) {
    if (part.function == Function::kText || part.function == Function::kTail) continue;
    if (part.function != Function::kWildcard) {
      return {Code::kInvalid, "invalid mapping destination: only wildcard functions are allowed here"};
    }
    used.push_back(part.tokens[0]);
  }
  std::sort(used.begin(), used.end());
  used.erase(std::unique(used.begin(), used.end()), used.end());
  if (used.size() == wildcards) return ok();
  return {Code::kInvalid, "invalid mapping destination: not all wildcards of the source are used"};
}

Result<Transform::Part> Transform::parse_part(std::string_view token,
                                              const std::vector<std::size_t>& wildcards) {
  Part part;
  if (is_tail(token)) {
    part.function = Function::kTail;
    return part;
  }
  if (token.starts_with("{{") && token.ends_with("}}")) return parse_call(token, wildcards);
  part.text = token;
  if (token.size() < 2 || token[0] != '$') return part;
  auto n = parse_u64(token.substr(1));
  if (!n) return part;  // $JS and the like are plain tokens
  if (*n > wildcards.size()) return bad("wildcard index out of range", token);
  part.function = Function::kWildcard;
  part.tokens.push_back(*n == 0 ? 0 : wildcards[*n - 1]);  // nats-server takes $0 as the first token
  return part;
}

Result<Transform::Part> Transform::parse_call(std::string_view token,
                                              const std::vector<std::size_t>& wildcards) {
  std::string_view call = trim(token.substr(2, token.size() - 4));
  std::size_t open = call.find('(');
  if (open == std::string_view::npos || !call.ends_with(')')) return bad("unknown function", token);
  const Rule* rule = find_rule(trim(call.substr(0, open)));
  if (!rule) return bad("unknown function", token);
  std::string_view inside = call.substr(open + 1, call.size() - open - 2);
  std::vector<std::string_view> args;
  if (!trim(inside).empty()) args = split_list(inside, ',');
  if (args.size() < rule->args_min) return bad("not enough arguments passed to the function", token);
  if (args.size() > rule->args_max) return bad("too many arguments passed to the function", token);
  auto part = parse_arguments(*rule, args, wildcards);
  if (!part) return bad(part.error().detail, token);
  return part;
}

Result<Transform::Part> Transform::parse_arguments(const Rule& rule,
                                                   const std::vector<std::string_view>& args,
                                                   const std::vector<std::size_t>& wildcards) {
  const Error wrong{Code::kInvalid, "function argument is invalid or in the wrong format"};
  Part part;
  part.function = rule.function;
  // partition and random start with their number, the others with the wildcard.
  bool number_first = rule.function == Function::kPartition || rule.function == Function::kRandom;
  for (std::size_t i = 0; i < args.size(); ++i) {
    bool is_wildcard = (i == 0) != number_first;
    if (!is_wildcard && rule.function == Function::kSplit) {
      bool fits = !args[i].empty() && args[i].find(' ') == std::string_view::npos;
      if (!fits) return wrong;
      part.text = args[i];
      continue;
    }
    // A negative length means "all of it", as 0 does.
    std::int64_t n = parse_i64(args[i]).value_or(INT64_MIN);
    if (n > kNumberMax || n < -std::int64_t{kNumberMax} || (n < 0 && (is_wildcard || number_first)))
      return wrong;
    if (!is_wildcard) {
      part.number = static_cast<std::uint32_t>(std::max<std::int64_t>(n, 0));
      continue;
    }
    if (n < 1 || static_cast<std::size_t>(n) > wildcards.size()) {
      return {Code::kInvalid, "wildcard index out of range"};
    }
    part.tokens.push_back(wildcards[static_cast<std::size_t>(n) - 1]);
  }
  return part;
}

bool Transform::matches(std::string_view literal) const {
  return subject::matches(source_, literal);
}

bool Transform::apply(std::string_view literal, Prng& prng, std::string& out) const {
  if (!matches(literal)) return false;
  if (constant_) {
    out = destination_;
    return true;
  }
  std::vector<std::string_view> tokens = split_list(literal, '.');
  // partition(b) of a source without wildcards hashes nothing in nats-server; partitions must agree.
  const std::string_view hashed = has_wildcards(source_) ? literal : std::string_view();
  std::string made;
  for (const Part& part : parts_) {
    if (!made.empty()) made += '.';
    if (part.function == Function::kTail) {
      made += literal.substr(static_cast<std::size_t>(tokens[tail_from_].data() - literal.data()));
    } else if (part.function == Function::kRandom) {
      append_u64_text(made, part.number ? prng.below(part.number) : 0);
    } else {
      append(part, tokens, hashed, made);
    }
  }
  out = std::move(made);
  return true;
}

void Transform::append(const Part& part, const std::vector<std::string_view>& tokens, std::string_view hashed,
                       std::string& out) {
  if (part.function == Function::kText) {
    out += part.text;
    return;
  }
  if (part.function == Function::kPartition) {
    std::uint32_t h = part.tokens.empty() ? fnv1a(hashed, kFnvStart) : kFnvStart;
    for (std::size_t at : part.tokens) h = fnv1a(tokens[at], h);
    append_u64_text(out, part.number ? h % part.number : 0);
    return;
  }
  std::string_view token = tokens[part.tokens[0]];
  // A length that is zero or not shorter than the token leaves it whole, for every function.
  bool whole = part.number == 0 || part.number >= token.size();
  if (part.function == Function::kSplit) return append_pieces(part, token, out);
  if (part.function == Function::kWildcard || whole) {
    out += token;
    return;
  }
  const std::size_t n = part.number, left = token.size() - n;
  switch (part.function) {
    case Function::kLeft: out += token.substr(0, n); break;
    case Function::kRight: out += token.substr(left); break;
    case Function::kSplitFromLeft: out.append(token.substr(0, n)).append(".").append(token.substr(n)); break;
    case Function::kSplitFromRight:
      out.append(token.substr(0, left)).append(".").append(token.substr(left));
      break;
    default: append_pieces(part, token, out); break;
  }
}

/// Pieces of equal size, or between separators; empty ones are left out.
void Transform::append_pieces(const Part& part, std::string_view token, std::string& out) {
  const std::size_t before = out.size();
  auto add = [&](std::string_view piece) {
    if (piece.empty()) return;
    if (out.size() > before) out += '.';
    out += piece;
  };
  if (part.function == Function::kSplit) {
    std::string_view rest = token;
    for (std::size_t at = rest.find(part.text); at != std::string_view::npos; at = rest.find(part.text)) {
      add(rest.substr(0, at));
      rest.remove_prefix(at + part.text.size());
    }
    add(rest);
    if (out.size() == before) out += token;  // nothing but separators
    return;
  }
  std::size_t first = part.function == Function::kSliceFromRight ? token.size() % part.number : 0;
  add(token.substr(0, first));
  for (std::size_t at = first; at < token.size(); at += part.number) add(token.substr(at, part.number));
}

}  // namespace weir::subject
