#include "broker/config/conf_parser.h"

#include <algorithm>
#include <unordered_map>

#include "broker/config/conf_lexer.h"

namespace weir::config {
namespace {

Error at(const Position& where, const std::string& what) {
  return {Code::kInvalid, where.to_string() + ": " + what};
}

/// A map under construction; variables are looked up in the open ones, innermost first.
struct Scope {
  Value map;
  std::unordered_map<std::string, std::size_t> index;

  Scope() { map.kind = Value::Kind::kMap; }
  void set(KeyToken key, Value value) {
    auto [it, fresh] = index.try_emplace(key.text, map.members.size());
    if (fresh) {
      map.members.push_back({std::move(key.text), std::move(key.at), std::move(value), false});
    } else {
      Member& member = map.members[it->second];
      member.at = std::move(key.at);
      member.value = std::move(value);
    }
  }
  Value finish() && {
    for (const Member& m : map.members) map.nodes += m.value.nodes;
    return std::move(map);
  }
};

enum class Place { kTop, kMap, kArray };

std::size_t text_bytes(const Value& v) {
  std::size_t sum = v.text.size();
  for (const Member& m : v.members) sum += m.key.size() + text_bytes(m.value);
  for (const Value& item : v.items) sum += text_bytes(item);
  return sum;
}

class Parser {
 public:
  Parser(Source& source, const ConfLimits& limits) : source_(source), limits_(limits) {}

  Result<ConfTree> run(std::string_view text, const std::string& name) {
    Scope root;
    scopes_.push_back(&root);
    RETURN_IF_ERROR(body(text, name, root));
    scopes_.pop_back();
    return ConfTree{std::move(root).finish(), std::move(warnings_)};
  }

 private:
  Status body(std::string_view text, const std::string& name, Scope& scope);
  Status member(Lexer& lexer, Place place, Scope& scope);
  Status members(Lexer& lexer, Scope& scope);
  Status terminator(Lexer& lexer, Place place);
  Result<Value> value(Lexer& lexer, const Position& where);
  Result<Value> map(Lexer& lexer, const Position& where);
  Result<Value> array(Lexer& lexer, const Position& where);
  Result<Value> variable(const Token& token);
  Result<Value> environment(const Token& token);
  Status include(const std::string& name, const Position& where, Scope& scope);
  Status count(std::size_t nodes, std::size_t bytes, const Position& where);

  Source& source_;
  ConfLimits limits_;
  std::vector<Scope*> scopes_;
  std::vector<std::string> environment_names_;  // being expanded, outermost first
  std::vector<Issue> warnings_;
  std::size_t depth_ = 0;
  std::size_t include_depth_ = 0;
  std::size_t files_ = 0;
  std::size_t nodes_ = 0;
  std::size_t text_bytes_ = 0;
};

Status Parser::count(std::size_t nodes, std::size_t bytes, const Position& where) {
  nodes_ += nodes;
  text_bytes_ += bytes;
  if (nodes_ > limits_.nodes_max) return at(where, "the configuration has too many values");
  if (text_bytes_ > limits_.text_bytes_max) return at(where, "the configuration has too much text");
  return {};
}

Status Parser::body(std::string_view text, const std::string& name, Scope& scope) {
  Lexer lexer(text, {std::make_shared<const std::string>(name), 1, 1});
  if (text.size() > limits_.file_bytes_max) return at(lexer.here(), "the file is too large");
  lexer.skip_blank();
  if (lexer.peek() == '{') {  // JSON form: the braces of the root may be written
    lexer.advance();
    RETURN_IF_ERROR(members(lexer, scope));
  }
  while (true) {
    lexer.skip_blank();
    if (lexer.at_end()) return {};
    if (lexer.peek() == '}') {
      warnings_.push_back({lexer.here(), "this '}' closes nothing and is ignored"});
      lexer.advance();
      continue;
    }
    RETURN_IF_ERROR(member(lexer, Place::kTop, scope));
  }
}

Status Parser::members(Lexer& lexer, Scope& scope) {
  lexer.skip_blank();
  while (lexer.peek() != '}') {
    if (lexer.at_end()) return lexer.error("Expected a '}' before the end of the file");
    RETURN_IF_ERROR(member(lexer, Place::kMap, scope));
    lexer.skip_blank();
  }
  lexer.advance();
  return {};
}

Status Parser::member(Lexer& lexer, Place place, Scope& scope) {
  ASSIGN_OR_RETURN(KeyToken key, lexer.key());
  if (key.include) {
    ASSIGN_OR_RETURN(std::string name, lexer.include_name());
    RETURN_IF_ERROR(include(name, key.at, scope));
    return terminator(lexer, place);
  }
  if (key.text.empty()) return Lexer::error_at(key.at, "Expected a key");
  lexer.skip_spaces();
  bool separated = lexer.peek() == ':' || lexer.peek() == '=';
  if (separated) {
    lexer.advance();
    lexer.skip_spaces();
  }
  if (place == Place::kTop && separated) {
    if (lexer.peek() == '\n') {
      lexer.advance();
      return lexer.error("Expected value but found new line");
    }
  } else {
    lexer.skip_blank();
  }
  if (lexer.at_end()) return lexer.error("The key '" + key.text + "' has no value");
  Position where = lexer.here();
  ASSIGN_OR_RETURN(Value v, value(lexer, where));
  scope.set(std::move(key), std::move(v));
  return terminator(lexer, place);
}

// A comma after newlines is taken too: JSON allows it and nothing else could be meant.
Status Parser::terminator(Lexer& lexer, Place place) {
  lexer.skip_spaces();
  bool newline = lexer.peek() == '\n' || lexer.at_comment();
  if (newline) lexer.skip_blank();
  char c = lexer.peek();
  if (c == ',' || (c == ';' && place != Place::kArray)) {
    lexer.advance();
    return {};
  }
  if (newline || (lexer.at_end() && place == Place::kTop)) return {};
  switch (place) {
    case Place::kTop:
      if (c == '}') return {};
      return lexer.error("Expected a top-level value to end with a new line, comment or EOF, but got '" +
                         lexer.shown() + "' instead.");
    case Place::kMap:
      if (c == '}') return {};
      return lexer.error("Expected a map value terminator \",\" or a map terminator \"}\", but got '" +
                         lexer.shown() + "' instead.");
    case Place::kArray: break;
  }
  if (c == ']') return {};
  return lexer.error("Expected an array value terminator \",\" or an array terminator \"]\", but got '" +
                     lexer.shown() + "' instead.");
}

Result<Value> Parser::value(Lexer& lexer, const Position& where) {
  ASSIGN_OR_RETURN(Token token, lexer.value());
  switch (token.kind) {
    case Token::Kind::kScalar:
      RETURN_IF_ERROR(count(1, token.value.text.size(), where));
      return std::move(token.value);
    case Token::Kind::kVariable: return variable(token);
    case Token::Kind::kOpenMap:
    case Token::Kind::kOpenArray: break;
  }
  RETURN_IF_ERROR(count(1, 0, where));
  if (depth_ >= limits_.depth_max) return at(where, "maps and arrays are nested too deeply");
  ++depth_;
  auto result = token.kind == Token::Kind::kOpenMap ? map(lexer, where) : array(lexer, where);
  --depth_;
  return result;
}

Result<Value> Parser::map(Lexer& lexer, const Position& where) {
  Scope scope;
  scope.map.at = where;
  scopes_.push_back(&scope);
  Status status = members(lexer, scope);
  scopes_.pop_back();
  RETURN_IF_ERROR(std::move(status));
  return std::move(scope).finish();
}

Result<Value> Parser::array(Lexer& lexer, const Position& where) {
  Value array;
  array.kind = Value::Kind::kArray;
  array.at = where;
  lexer.skip_blank();
  while (lexer.peek() != ']') {
    if (lexer.at_end()) return lexer.error("Expected a ']' before the end of the file");
    if (lexer.peek() == ',') return lexer.error("Unexpected array value terminator ','.");
    ASSIGN_OR_RETURN(Value item, value(lexer, lexer.here()));
    array.nodes += item.nodes;
    array.items.push_back(std::move(item));
    RETURN_IF_ERROR(terminator(lexer, Place::kArray));
    lexer.skip_blank();
  }
  lexer.advance();
  return array;
}

Result<Value> Parser::variable(const Token& token) {
  const Position& where = token.value.at;
  for (auto scope = scopes_.rbegin(); scope != scopes_.rend(); ++scope) {
    auto found = (*scope)->index.find(token.name);
    if (found == (*scope)->index.end()) continue;
    Member& member = (*scope)->map.members[found->second];
    member.used_as_variable = true;
    RETURN_IF_ERROR(count(member.value.nodes, text_bytes(member.value), where));
    Value copy = member.value;
    copy.at = where;
    return copy;
  }
  return environment(token);
}

Result<Value> Parser::environment(const Token& token) {
  const Position& where = token.value.at;
  auto text = source_.env(token.name);
  if (!text) {
    return at(where, "variable reference for '" + token.name + "' on line " + std::to_string(where.line) +
                         " can not be found");
  }
  bool cycle =
      std::find(environment_names_.begin(), environment_names_.end(), token.name) != environment_names_.end();
  if (cycle) return at(where, "variable reference cycle for '" + token.name + "'");
  if (depth_ >= limits_.depth_max) return at(where, "variables are nested too deeply");
  if (text->size() > limits_.file_bytes_max) return at(where, "the variable is too large");
  Lexer lexer(*text, where);
  lexer.skip_blank();
  if (lexer.at_end()) {
    Value empty;
    empty.at = where;
    RETURN_IF_ERROR(count(1, 0, where));
    return empty;
  }
  environment_names_.push_back(token.name);
  ++depth_;
  auto result = value(lexer, where);
  --depth_;
  environment_names_.pop_back();
  if (!result) return result;
  lexer.skip_blank();
  if (!lexer.at_end()) {
    return at(where, "the environment variable '" + token.name + "' is not one configuration value");
  }
  return result;
}

Status Parser::include(const std::string& name, const Position& where, Scope& scope) {
  std::string path = name;
  auto slash = where.file->rfind('/');
  if (name[0] != '/' && slash != std::string::npos) path = where.file->substr(0, slash + 1) + name;
  std::string what = "error parsing include file '" + path + "', ";
  if (include_depth_ >= limits_.include_depth_max) {
    return at(where, what + "includes are nested too deeply");
  }
  if (++files_ > limits_.files_max) return at(where, what + "too many files are included");
  auto text = source_.read_file(path);
  if (!text) return at(where, what + text.error().detail);
  RETURN_IF_ERROR(count(1, 0, where));
  ++include_depth_;
  Status status = body(*text, path, scope);
  --include_depth_;
  return status;
}

}  // namespace

Result<ConfTree> parse_text(std::string_view text, const std::string& name, Source& source,
                            const ConfLimits& limits) {
  return Parser(source, limits).run(text, name);
}

Result<ConfTree> parse_file(const std::string& path, Source& source, const ConfLimits& limits) {
  auto text = source.read_file(path);
  if (!text) return text.error();
  return parse_text(*text, path, source, limits);
}

}  // namespace weir::config
