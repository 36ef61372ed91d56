// broker/subject/subject.h - what is a subject, and which subject matches which pattern.
//
// Rules:   tokens are separated by '.', none is empty, none holds white space. In a pattern a token
//          "*" stands for one token, a last token ">" for one or more. "a*" and ">x" are plain text.
//          (NATS subject-based messaging; compared with nats-server.)
// Room:    pure, no allocation.
// Errors:  none: any bytes may come in. What is not a valid subject matches nothing.
#pragma once

#include <cstddef>
#include <cstring>
#include <string_view>

namespace weir::subject {

/// Walks the tokens: Tokens t(s); while (t.next()) use(t.token()). "a..b" yields an empty token,
/// "" yields one empty token.
class Tokens {
 public:
  explicit Tokens(std::string_view subject) : rest_(subject) {}

  bool next() {
    if (done_) return false;
    const void* dot = rest_.empty() ? nullptr : std::memchr(rest_.data(), '.', rest_.size());
    if (!dot) {
      token_ = rest_;
      rest_ = {};
      done_ = true;
      return true;
    }
    auto n = static_cast<std::size_t>(static_cast<const char*>(dot) - rest_.data());
    token_ = rest_.substr(0, n);
    rest_.remove_prefix(n + 1);
    return true;
  }
  std::string_view token() const { return token_; }
  /// True when token() was the last one.
  bool last() const { return done_; }
  /// What follows token() and its dot.
  std::string_view rest() const { return rest_; }

 private:
  std::string_view rest_, token_;
  bool done_ = false;
};

inline bool is_star(std::string_view token) {
  return token.size() == 1 && token[0] == '*';
}
inline bool is_tail(std::string_view token) {
  return token.size() == 1 && token[0] == '>';
}

/// A subject one may publish to: valid and without wildcard tokens.
bool is_valid_literal(std::string_view subject);
/// A subject one may subscribe to: as above, wildcards allowed, ">" only as the last token.
bool is_valid_pattern(std::string_view subject);
/// Not empty, no empty token, no white space; wildcard tokens are not looked at.
bool is_well_formed(std::string_view subject);
/// Some token is "*" or ">".
bool has_wildcards(std::string_view subject);

/// "a.b" has 2, "" has 0.
std::size_t token_count(std::string_view subject);
/// Token number `index` (0-based); "" when there is none.
std::string_view token_at(std::string_view subject, std::size_t index);

/// `literal` is taken as text: a "*" in it is no wildcard.
bool matches(std::string_view pattern, std::string_view literal);
/// Whatever `pattern` matches, `of` matches too. Both may hold wildcards.
bool subset(std::string_view pattern, std::string_view of);
/// Some literal subject is matched by both.
bool overlaps(std::string_view a, std::string_view b);

}  // namespace weir::subject
