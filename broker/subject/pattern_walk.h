// broker/subject/pattern_walk.h - steps through a pattern byte by byte, for walks of a radix tree.
//
// A pattern never needs more than one state at a time: "*" ends at the next dot, ">" never ends.
// Room: pure. Borrows the pattern.
#pragma once

#include <cstddef>
#include <string_view>

namespace weir::subject {

class PatternWalk {
 public:
  explicit PatternWalk(std::string_view pattern) : pattern_(pattern) { enter_token(); }
  /// Accepts every key, also "" and such that are no subjects.
  static PatternWalk everything() {
    PatternWalk w{std::string_view()};
    w.kind_ = Kind::kAll;
    return w;
  }

  /// Takes one byte of the key; false when no key with these bytes can match.
  bool step(char c) {
    switch (kind_) {
      case Kind::kAll: return true;
      case Kind::kTail: return taken_ = true;
      case Kind::kStar:
        if (c != '.') return taken_ = true;
        if (!taken_ || at_ + 1 >= pattern_.size()) return false;
        at_ += 2;  // the star and its dot
        enter_token();
        return true;
      case Kind::kText:
        if (at_ >= pattern_.size() || pattern_[at_] != c) return false;
        ++at_;
        if (c == '.') enter_token();
        return true;
    }
    return false;
  }
  bool step(std::string_view bytes) {
    if (kind_ == Kind::kAll) return true;
    for (char c : bytes) {
      if (!step(c)) return false;
    }
    return true;
  }
  /// The bytes so far are a whole match.
  bool accepts() const {
    switch (kind_) {
      case Kind::kAll: return true;
      case Kind::kTail: return taken_;
      case Kind::kStar: return taken_ && at_ + 1 == pattern_.size();
      case Kind::kText: return at_ == pattern_.size();
    }
    return false;
  }
  /// True when only one byte can follow: `c`.
  bool only_next(char& c) const {
    if (kind_ != Kind::kText || at_ >= pattern_.size()) return false;
    c = pattern_[at_];
    return true;
  }

 private:
  enum class Kind : unsigned char { kText, kStar, kTail, kAll };

  /// at_ is at the first byte of a token.
  void enter_token() {
    taken_ = false;
    kind_ = Kind::kText;
    if (at_ >= pattern_.size()) return;
    bool single = at_ + 1 == pattern_.size() || pattern_[at_ + 1] == '.';
    if (single && pattern_[at_] == '*') kind_ = Kind::kStar;
    if (at_ + 1 == pattern_.size() && pattern_[at_] == '>') kind_ = Kind::kTail;
  }

  std::string_view pattern_;
  std::size_t at_ = 0;
  Kind kind_ = Kind::kText;
  bool taken_ = false;  // the wildcard has got a byte
};

}  // namespace weir::subject
