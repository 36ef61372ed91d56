#include "broker/store/filter.h"

#include <algorithm>

namespace weir::store {
namespace {

std::string_view take_token(std::string_view& s) {
  std::size_t dot = s.find('.');
  std::string_view token = s.substr(0, dot);
  s = dot == std::string_view::npos ? std::string_view() : s.substr(dot + 1);
  return token;
}

// Bytes before the first wildcard token.
std::string_view literal_prefix(std::string_view pattern) {
  std::string_view rest = pattern;
  std::size_t at = 0;
  while (!rest.empty()) {
    std::string_view token = take_token(rest);
    if (token == "*" || token == ">") return pattern.substr(0, at);
    at += token.size() + 1;
  }
  return pattern;
}

}  // namespace

bool is_literal(std::string_view pattern) {
  return literal_prefix(pattern).size() == pattern.size();
}

bool pattern_matches(std::string_view pattern, std::string_view subject) {
  while (!pattern.empty() && !subject.empty()) {
    std::string_view want = take_token(pattern);
    if (want == ">" && pattern.empty()) return true;
    std::string_view have = take_token(subject);
    if (want != "*" && want != have) return false;
  }
  return pattern.empty() && subject.empty();
}

SubjectMatcher::SubjectMatcher(const Filter& filter) {
  for (const auto& p : filter) {
    if (p == ">") return;
  }
  patterns_ = filter;
  std::sort(patterns_.begin(), patterns_.end());
  patterns_.erase(std::unique(patterns_.begin(), patterns_.end()), patterns_.end());
  // A literal that a wildcard covers would be visited twice.
  std::vector<std::string> wild;
  for (const auto& p : patterns_) {
    if (!is_literal(p)) wild.push_back(p);
  }
  std::erase_if(patterns_, [&](const std::string& p) {
    return is_literal(p) &&
           std::any_of(wild.begin(), wild.end(), [&](const auto& w) { return pattern_matches(w, p); });
  });
  if (patterns_.empty()) return;
  prefix_ = literal_prefix(patterns_.front());
  for (const auto& p : patterns_) {
    auto end = std::mismatch(prefix_.begin(), prefix_.end(), p.begin(), p.end()).first;
    prefix_.erase(end, prefix_.end());
    if (prefix_.size() > literal_prefix(p).size()) prefix_.resize(literal_prefix(p).size());
  }
}

std::string_view SubjectMatcher::only_literal() const {
  if (patterns_.size() != 1 || prefix_.size() != patterns_[0].size()) return {};
  return patterns_[0];
}

bool SubjectMatcher::matches(std::string_view subject) const {
  if (patterns_.empty()) return true;
  return std::any_of(patterns_.begin(), patterns_.end(),
                     [&](const auto& p) { return pattern_matches(p, subject); });
}

}  // namespace weir::store
