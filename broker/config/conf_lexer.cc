#include "broker/config/conf_lexer.h"

#include "broker/base/text.h"

namespace weir::config {
namespace {

bool is_space(char c) {
  return c == ' ' || c == '\t' || c == '\r' || c == '\v' || c == '\f';
}
bool ends_bare_value(char c) {
  return is_space(c) || c == '\n' || c == ',' || c == ';' || c == ']' || c == '}';
}
int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

}  // namespace

Lexer::Lexer(std::string_view text, Position origin)
    : text_(text), file_(std::move(origin.file)), line_(origin.line), column_(origin.column) {
  if (text_.substr(0, 3) == "\xEF\xBB\xBF") text_.remove_prefix(3);
}

void Lexer::advance() {
  if (at_end()) return;
  if (text_[pos_] == '\n') {
    ++line_;
    column_ = 1;
  } else {
    ++column_;
  }
  ++pos_;
}

void Lexer::skip_spaces() {
  while (!at_end() && is_space(peek())) advance();
}

bool Lexer::at_comment() const {
  return peek() == '#' || (peek() == '/' && peek(1) == '/');
}

bool Lexer::skip_blank() {
  bool newline = false;
  while (!at_end()) {
    if (is_space(peek())) {
      advance();
    } else if (peek() == '\n') {
      newline = true;
      advance();
    } else if (at_comment()) {
      newline = true;
      while (!at_end() && peek() != '\n') advance();
    } else {
      break;
    }
  }
  return newline;
}

Error Lexer::error_at(const Position& at, std::string_view what) {
  std::string text = at.to_string();
  if (!text.empty()) text += ": ";
  text += "Parse error on line " + std::to_string(at.line) + ": '" + std::string(what) + "'";
  return {Code::kInvalid, std::move(text)};
}

std::string Lexer::shown() const {
  if (at_end()) return "end of file";
  char c = peek();
  if (c == '\n') return "new line";
  if (static_cast<unsigned char>(c) < 0x20 || static_cast<unsigned char>(c) >= 0x7f) {
    constexpr char kHex[] = "0123456789abcdef";
    auto u = static_cast<unsigned char>(c);
    return std::string("\\x") + kHex[u >> 4] + kHex[u & 15];
  }
  return std::string(1, c);
}

Result<KeyToken> Lexer::key() {
  KeyToken key;
  key.at = here();
  char c = peek();
  if (c == '"' || c == '\'') {
    advance();
    while (!at_end() && peek() != c) {
      if (peek() == '\n') return error("A quoted key must end on its line");
      key.text += peek();
      advance();
    }
    if (at_end()) return error("Unexpected EOF.");
    advance();
    return key;
  }
  if (c == ':' || c == '=') return error(std::string("Unexpected key separator '") + c + "'");
  if (c == ',' || c == ';') return error(std::string("Unexpected value terminator '") + c + "'");
  if (c == '/' && is_space(peek(1))) return error("Expected a second '/' of a comment");
  while (!at_end() && !is_space(peek()) && peek() != '\n' && peek() != ':' && peek() != '=') {
    key.text += peek();
    advance();
  }
  if (key.text == "include" && !at_end() && (peek() == ' ' || peek() == '\t')) {
    skip_spaces();
    key.include = peek() != ':' && peek() != '=';
  }
  return key;
}

Result<std::string> Lexer::include_name() {
  skip_spaces();
  char c = peek();
  std::string name;
  if (c == '"' || c == '\'') {
    advance();
    while (!at_end() && peek() != c && peek() != '\n') {
      name += peek();
      advance();
    }
    if (peek() != c || at_end()) return error("Unterminated file name of an include");
    advance();
  } else {
    while (!at_end() && !ends_bare_value(peek())) {
      name += peek();
      advance();
    }
  }
  if (name.empty()) return error("Expected a file name after include");
  return name;
}

Status Lexer::escape(std::string& out) {
  Position at = here();
  advance();  // the backslash
  char c = peek();
  if (at_end()) return error("Unexpected EOF.");
  advance();
  switch (c) {
    case 't': out += '\t'; return {};
    case 'n': out += '\n'; return {};
    case 'r': out += '\r'; return {};
    case '"': out += '"'; return {};
    case '\\': out += '\\'; return {};
    case 'x': break;
    default:
      return error_at(at, std::string("Invalid escape character '") + c +
                              "'. Only the following escape characters are allowed: "
                              "\\xXX, \\t, \\n, \\r, \\\", \\\\.");
  }
  int high = hex_digit(peek());
  int low = hex_digit(peek(1));
  if (high < 0 || low < 0) {
    return error_at(at, "Expected two hexadecimal digits after '\\x', but got '" +
                            std::string(text_.substr(pos_, 2)) + "'");
  }
  out += static_cast<char>(high * 16 + low);
  advance();
  advance();
  return {};
}

Result<std::string> Lexer::quoted(char quote) {
  std::string out;
  advance();
  while (true) {
    if (at_end()) return error("Unexpected EOF.");
    char c = peek();
    if (c == quote) break;
    if (c == '\\' && quote == '"') {
      RETURN_IF_ERROR(escape(out));
      continue;
    }
    out += c;
    advance();
  }
  advance();
  return out;
}

// The block ends at a line that holds nothing but ')'; the newline before it belongs to the content.
Result<std::string> Lexer::block() {
  advance();
  std::size_t start = pos_;
  while (!at_end()) {
    bool line_start = pos_ > start && text_[pos_ - 1] == '\n';
    if (peek() == ')' && line_start) {
      std::size_t next = pos_ + 1;
      if (next < text_.size() && text_[next] == '\r') ++next;
      if (next >= text_.size() || text_[next] == '\n') {
        std::string content(text_.substr(start, pos_ - start));
        advance();
        return content;
      }
    }
    advance();
  }
  return error("Unexpected EOF processing block.");
}

Result<std::string> Lexer::bare(bool& escaped) {
  std::string out;
  while (!at_end() && !ends_bare_value(peek())) {
    if (peek() == '\\') {
      escaped = true;
      RETURN_IF_ERROR(escape(out));
      continue;
    }
    out += peek();
    advance();
  }
  return out;
}

Result<Token> Lexer::value() {
  Token token;
  Position at = here();
  token.value.at = at;
  if (at_end()) return error("Expected a value but found the end of the file");
  char c = peek();
  switch (c) {
    case '{':
      advance();
      token.kind = Token::Kind::kOpenMap;
      return token;
    case '[':
      advance();
      token.kind = Token::Kind::kOpenArray;
      return token;
    case '"':
    case '\'': {
      ASSIGN_OR_RETURN(token.value.text, quoted(c));
      return token;
    }
    case '(': {
      ASSIGN_OR_RETURN(token.value.text, block());
      return token;
    }
    case ',':
    case ';':
    case ']':
    case '}': return error(std::string("Unexpected value terminator '") + c + "'.");
    default: break;
  }
  bool escaped = false;
  ASSIGN_OR_RETURN(std::string word, bare(escaped));
  if (escaped) {
    token.value.text = std::move(word);
    return token;
  }
  return classify(std::move(word), at);
}

Result<Token> Lexer::classify(std::string word, const Position& at) {
  Token token;
  // A bcrypt hash is the one word with a leading '$' that is not a variable.
  if (word[0] == '$' && word.substr(0, 4) != "$2a$") {
    if (word.size() == 1) return error_at(at, "A variable needs a name after '$'");
    token.kind = Token::Kind::kVariable;
    token.name = word.substr(1);
    token.value.at = at;
    return token;
  }
  char c = word[0];
  if (c == '.' && word.size() > 1 && word[1] >= '0' && word[1] <= '9') {
    return error_at(at, "Floats must start with a digit");
  }
  if (c == '-' || (c >= '0' && c <= '9')) {
    auto number = classify_number(word);
    if (!number) return error_at(at, number.error().detail);
    token.value = std::move(*number);
    token.value.at = at;
    return token;
  }
  token.value.at = at;
  std::string lower = word.size() <= 5 ? to_lower(word) : std::string();
  bool yes = lower == "true" || lower == "on" || lower == "yes";
  if (yes || lower == "false" || lower == "off" || lower == "no") {
    token.value.kind = Value::Kind::kBool;
    token.value.boolean = yes;
    return token;
  }
  token.value.text = std::move(word);
  return token;
}

}  // namespace weir::config
