#include "broker/store/filter.h"

#include <algorithm>

namespace weir::store {

std::string_view literal_prefix(std::string_view pattern) {
  subject::Tokens tokens(pattern);
  while (tokens.next()) {
    if (subject::is_star(tokens.token()) || subject::is_tail(tokens.token())) {
      return pattern.substr(0, static_cast<std::size_t>(tokens.token().data() - pattern.data()));
    }
  }
  return pattern;
}

SubjectMatcher::SubjectMatcher(const Filter& filter) {
  for (const auto& p : filter) {
    if (p == ">") return;
  }
  patterns_ = filter;
  if (patterns_.empty()) return;
  if (patterns_.size() > 1) {
    std::sort(patterns_.begin(), patterns_.end());
    patterns_.erase(std::unique(patterns_.begin(), patterns_.end()), patterns_.end());
    // A literal that a wildcard covers would be visited twice.
    std::vector<std::string> wild;
    std::copy_if(patterns_.begin(), patterns_.end(), std::back_inserter(wild), subject::has_wildcards);
    std::erase_if(patterns_, [&](const std::string& p) {
      return !subject::has_wildcards(p) &&
             std::any_of(wild.begin(), wild.end(), [&](const auto& w) { return subject::matches(w, p); });
    });
  }
  literals_ = std::none_of(patterns_.begin(), patterns_.end(), subject::has_wildcards);
  prefix_ = literal_prefix(patterns_.front());
  for (const auto& p : patterns_) {
    std::string_view own = literal_prefix(p);
    auto end = std::mismatch(prefix_.begin(), prefix_.end(), own.begin(), own.end()).first;
    prefix_.erase(end, prefix_.end());
  }
}

std::string_view SubjectMatcher::only_literal() const {
  return literals_ && patterns_.size() == 1 ? std::string_view(patterns_[0]) : std::string_view();
}

bool SubjectMatcher::matches(std::string_view subject) const {
  if (patterns_.empty()) return true;
  return std::any_of(patterns_.begin(), patterns_.end(),
                     [&](const auto& p) { return subject::matches(p, subject); });
}

}  // namespace weir::store
