// broker/store/filter.h - a Filter made ready to be matched against stored subjects.
//
// Room:     pure. Rules of matching: broker/subject/subject.h; stored subjects are literal.
// Cost:     matches() walks the subject once per pattern.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "broker/store/message_store.h"
#include "broker/subject/subject.h"

namespace weir::store {

/// Bytes before the first wildcard token; all of a literal.
std::string_view literal_prefix(std::string_view pattern);

class SubjectMatcher {
 public:
  /// `filter` may hold duplicates and patterns that cover each other; they are dropped. It may be
  /// destroyed before this.
  explicit SubjectMatcher(const Filter& filter);

  /// Everything matches.
  bool all() const { return patterns_.empty(); }
  /// The one literal subject that matches; empty if there are others.
  std::string_view only_literal() const;
  /// No pattern has a wildcard (and it is not all()).
  bool only_literals() const { return literals_; }
  bool matches(std::string_view subject) const;
  /// In byte order, none covers another literal one; empty when all().
  const std::vector<std::string>& patterns() const { return patterns_; }
  /// Every matching subject begins with this (a prefix of bytes, not of tokens).
  std::string_view prefix() const { return prefix_; }

 private:
  std::vector<std::string> patterns_;
  std::string prefix_;
  bool literals_ = false;
};

}  // namespace weir::store
