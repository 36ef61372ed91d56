// broker/api/json_value.h - a parsed JSON text, bounded in depth and size.
//
// Room:    pure. The only file of this folder that knows the JSON library is json_value.cc, so a
//          translation unit that decodes requests doesn't pay for that library's header.
// Thread:  a value belongs to its holder.
// Limits:  kJsonDepthMax nested containers, kJsonBytesMax bytes, kJsonValuesMax values; texts come
//          from strangers.
// Errors:  a JsonError with a line of text; never throws.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace weir::api {

constexpr std::size_t kJsonDepthMax = 32;
constexpr std::size_t kJsonBytesMax = 16u << 20;
constexpr std::size_t kJsonValuesMax = 1u << 20;

/// One JSON value. Objects keep the order of the text and also repeated names.
class JsonValue {
 public:
  using Array = std::vector<JsonValue>;
  using Member = std::pair<std::string, JsonValue>;
  using Object = std::vector<Member>;
  struct Null {};

  JsonValue() = default;
  template <class T>
  explicit JsonValue(T&& v) : v_(std::forward<T>(v)) {}

  bool is_null() const { return std::holds_alternative<Null>(v_); }
  const bool* boolean() const { return std::get_if<bool>(&v_); }
  const std::int64_t* negative() const { return std::get_if<std::int64_t>(&v_); }     // an integer below zero
  const std::uint64_t* unsigned_() const { return std::get_if<std::uint64_t>(&v_); }  // an integer from zero
  const double* real() const { return std::get_if<double>(&v_); }  // a number with fraction or exponent
  const std::string* string() const { return std::get_if<std::string>(&v_); }
  const Array* array() const { return std::get_if<Array>(&v_); }
  const Object* object() const { return std::get_if<Object>(&v_); }
  Array* array() { return std::get_if<Array>(&v_); }
  Object* object() { return std::get_if<Object>(&v_); }

  /// "string", "number", "bool", "array", "object", "null": for error texts.
  std::string_view kind() const;
  /// The member of that name; the last one if repeated; nullptr if absent or not an object.
  const JsonValue* find(std::string_view name) const;

 private:
  std::variant<Null, bool, std::int64_t, std::uint64_t, double, std::string, Array, Object> v_;
};

struct JsonError {
  std::string text;  // one line, without the offending input
};

/// Parses one whole text (white space around it is fine).
std::variant<JsonValue, JsonError> parse_json(std::string_view text);

}  // namespace weir::api
