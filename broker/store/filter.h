// broker/store/filter.h - a Filter made ready to be matched against stored subjects.
//
// Room:     pure.
// Rule:     '*' stands for one token, a last '>' for one token or more; stored subjects are literal.
// Cost:     matches() walks the subject once per pattern.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "broker/store/message_store.h"

namespace weir::store {

/// True if the literal `subject` is one that `pattern` stands for.
bool pattern_matches(std::string_view pattern, std::string_view subject);
bool is_literal(std::string_view pattern);

class SubjectMatcher {
 public:
  /// `filter` may hold duplicates and patterns that cover each other; they are dropped. It may be
  /// destroyed before this.
  explicit SubjectMatcher(const Filter& filter);

  /// Everything matches.
  bool all() const { return patterns_.empty(); }
  /// The one literal subject that matches; empty if there are others.
  std::string_view only_literal() const;
  bool matches(std::string_view subject) const;
  /// Without duplicates, none covers another literal one; empty when all().
  const std::vector<std::string>& patterns() const { return patterns_; }
  /// Every matching subject begins with this (a prefix of bytes, not of tokens).
  std::string_view prefix() const { return prefix_; }

 private:
  std::vector<std::string> patterns_;
  std::string prefix_;
};

}  // namespace weir::store
