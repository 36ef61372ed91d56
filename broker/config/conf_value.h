// broker/config/conf_value.h - the tree that a configuration text becomes.
//
// Room:    pure data, no meaning: options_build gives it one.
// Order:   members stay in order of appearance; a key that comes again replaces the earlier value.
// Limits:  depth, node count and text sizes are capped by the parser (ConfLimits).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "broker/config/position.h"

namespace weir::config {

struct Member;

struct Value {
  enum class Kind : std::uint8_t { kString, kInteger, kFloat, kBool, kTime, kMap, kArray };

  Kind kind = Kind::kString;
  bool boolean = false;
  std::int64_t integer = 0;  // also Unix seconds of a kTime
  double real = 0;
  std::string text;             // strings; for kTime as written
  std::vector<Member> members;  // maps
  std::vector<Value> items;     // arrays
  std::size_t nodes = 1;        // values in this subtree, itself included
  Position at;                  // of the value; of the key when reached by a variable

  bool is(Kind k) const { return kind == k; }
  /// Member with exactly this key, or null.
  const Member* find(std::string_view key) const;
  Member* find(std::string_view key);
};

struct Member {
  std::string key;  // as written
  Position at;      // of the key
  Value value;
  bool used_as_variable = false;  // some "$key" meant this one: no unknown-field complaint
};

/// "string", "integer", "float", "boolean", "datetime", "map", "array".
std::string_view kind_name(Value::Kind kind);

/// Canonical JSON: keys sorted by bytes, no blanks, `<`, `>` and `&` escaped as Go's encoder does,
/// so that the SHA-256 of it equals the digest nats-server prints for the same file.
std::string canonical_json(const Value& value);

}  // namespace weir::config
