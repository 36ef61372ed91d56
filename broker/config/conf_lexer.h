// broker/config/conf_lexer.h - cuts one configuration text into keys, values and separators.
//
// Room:    pure. Reads on demand, because what a byte means depends on where the parser stands
//          (a bare key ends at ':' or '=', a bare value does not).
// Thread:  owned by one parse; borrows the text.
// Errors:  kInvalid, "FILE:LINE:COL: Parse error on line N: 'what'"; the cursor is then undefined.
// Source:  the NATS configuration language; deviations are listed in README.md.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "broker/base/result.h"
#include "broker/config/conf_value.h"

namespace weir::config {

/// A value token. Maps and arrays are only announced; the parser reads what is inside.
struct Token {
  enum class Kind : std::uint8_t { kScalar, kVariable, kOpenMap, kOpenArray };
  Kind kind = Kind::kScalar;
  Value value;       // kScalar
  std::string name;  // kVariable, without the '$'
};

struct KeyToken {
  std::string text;
  Position at;
  bool include = false;  // the word `include` followed by blanks: a file name comes next
};

class Lexer {
 public:
  /// `text` must outlive the lexer. `origin` is the place of byte 0 (line 1, column 1 for files).
  Lexer(std::string_view text, Position origin);

  bool at_end() const { return pos_ >= text_.size(); }
  char peek(std::size_t ahead = 0) const { return pos_ + ahead < text_.size() ? text_[pos_ + ahead] : '\0'; }
  void advance();
  Position here() const { return {file_, line_, column_}; }

  /// Skips spaces and tabs (and carriage returns), not newlines or comments.
  void skip_spaces();
  /// Skips blanks, newlines and comments. Returns true when a newline or comment was among them.
  bool skip_blank();
  bool at_comment() const;

  Result<KeyToken> key();
  Result<Token> value();
  /// The file name after `include`.
  Result<std::string> include_name();

  /// An error at the present place, or at `at`.
  Error error(std::string_view what) const { return error_at(here(), what); }
  static Error error_at(const Position& at, std::string_view what);
  /// The present byte for a message: "x", "new line" or "end of file".
  std::string shown() const;

 private:
  Result<std::string> quoted(char quote);
  Status escape(std::string& out);
  Result<std::string> block();
  Result<std::string> bare(bool& escaped);
  Result<Token> classify(std::string word, const Position& at);

  std::string_view text_;
  std::size_t pos_ = 0;
  std::shared_ptr<const std::string> file_;
  std::uint32_t line_;
  std::uint32_t column_;
};

/// Number, size with suffix, datetime or string: what an unquoted word that starts with a digit or
/// '-' is. Exposed for tests. Error detail is the message only.
Result<Value> classify_number(std::string_view word);

}  // namespace weir::config
