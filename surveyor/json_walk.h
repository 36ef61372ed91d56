// surveyor/json_walk.h - walks a JSON document once, front to back, into plain values.
//
// Room:    pure; simdjson stays in the .cc files that include this one.
// Rules:   a member of another type than expected counts as absent; a text that is not JSON is an error
//          of the whole document. Numbers outside the range of the field are clamped.
#pragma once

#include <simdjson.h>

#include <algorithm>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>

#include "broker/base/text.h"
#include "broker/base/time.h"

namespace weir::surveyor::walk {

namespace od = simdjson::ondemand;
using Err = simdjson::error_code;

/// Calls f(key, value) for each member of an object; f returns an error code. Not an object: nothing.
template <class F>
Err members(od::value v, F&& f) {
  od::json_type type;
  if (Err e = v.type().get(type)) return e;
  if (type != od::json_type::object) return simdjson::SUCCESS;
  od::object object;
  if (Err e = v.get_object().get(object)) return e;
  for (auto field : object) {
    od::field member;
    if (Err e = std::move(field).get(member)) return e;
    std::string_view key;
    if (Err e = member.unescaped_key().get(key)) return e;
    if (Err e = f(key, member.value())) return e;
  }
  return simdjson::SUCCESS;
}

/// Calls f(value) for each item of an array. Not an array: nothing.
template <class F>
Err items(od::value v, F&& f) {
  od::json_type type;
  if (Err e = v.type().get(type)) return e;
  if (type != od::json_type::array) return simdjson::SUCCESS;
  od::array array;
  if (Err e = v.get_array().get(array)) return e;
  for (auto item : array) {
    od::value inner;
    if (Err e = std::move(item).get(inner)) return e;
    if (Err e = f(inner)) return e;
  }
  return simdjson::SUCCESS;
}

inline Err read(od::value v, std::string& out) {
  od::json_type type;
  if (Err e = v.type().get(type)) return e;
  if (type != od::json_type::string) return simdjson::SUCCESS;
  std::string_view text;
  if (Err e = v.get_string().get(text)) return e;
  out.assign(text);
  return simdjson::SUCCESS;
}

inline Err read(od::value v, bool& out) {
  od::json_type type;
  if (Err e = v.type().get(type)) return e;
  if (type != od::json_type::boolean) return simdjson::SUCCESS;
  return v.get_bool().get(out);
}

inline Err read(od::value v, double& out) {
  od::json_type type;
  if (Err e = v.type().get(type)) return e;
  if (type != od::json_type::number) return simdjson::SUCCESS;
  return v.get_double().get(out);
}

/// A time in RFC 3339; anything else is the zero time.
inline Err read(od::value v, Wall& out) {
  std::string text;
  if (Err e = read(v, text)) return e;
  if (auto t = parse_time(text)) out = *t;
  return simdjson::SUCCESS;
}

inline Err read_number(od::value v, bool& found, od::number& out) {
  od::json_type type;
  if (Err e = v.type().get(type)) return e;
  found = type == od::json_type::number;
  return found ? v.get_number().get(out) : simdjson::SUCCESS;
}

template <class T>
requires(std::is_integral_v<T> && !std::is_same_v<T, bool>) Err read(od::value v, T& out) {
  bool found = false;
  od::number n;
  if (Err e = read_number(v, found, n)) return e;
  if (!found) return simdjson::SUCCESS;
  using Limits = std::numeric_limits<T>;
  if (n.is_uint64()) {
    out = static_cast<T>(std::min<std::uint64_t>(n.get_uint64(), static_cast<std::uint64_t>(Limits::max())));
  } else if (n.is_int64()) {
    std::int64_t i = n.get_int64();
    if (i >= 0) {
      out = static_cast<T>(
          std::min<std::uint64_t>(static_cast<std::uint64_t>(i), static_cast<std::uint64_t>(Limits::max())));
    } else if constexpr (std::is_signed_v<T>) {
      out = static_cast<T>(std::max<std::int64_t>(i, Limits::min()));
    } else {
      out = 0;
    }
  } else {
    double d = n.get_double();
    if (d >= static_cast<double>(Limits::max())) {
      out = Limits::max();
    } else if (d <= static_cast<double>(Limits::min())) {
      out = Limits::min();
    } else {
      out = static_cast<T>(d);
    }
  }
  return simdjson::SUCCESS;
}

}  // namespace weir::surveyor::walk
