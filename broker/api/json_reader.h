// broker/api/json_reader.h - reads the fields of a JSON object into plain structs.
//
// Room:    pure. Used by the decoders of this folder and by server/ for small bodies.
// Use:     ObjectReader r(value, errors, strictness); r.field("name", c.name); r.finish();
//          The first error is kept in `errors`, later calls do nothing.
// Rules:   as encoding/json of Go, which every NATS server so far used: names match exactly or else
//          in any case, null leaves the field alone, a repeated name counts last, a number with
//          fraction or exponent is no integer, numbers out of range are errors.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "broker/api/json_value.h"
#include "broker/api/stream_config.h"
#include "broker/base/time.h"

namespace weir::api {

/// The first thing that was wrong with a body; empty = nothing.
struct DecodeErrors {
  std::string text;
  bool ok() const { return text.empty(); }
  void set(std::string t) {
    if (text.empty()) text = std::move(t);
  }
};

/// A text of the wire and the value it stands for.
template <class E>
struct EnumText {
  std::string_view text;
  E value;
};

template <class E, std::size_t N>
std::string_view text_of(const EnumText<E> (&texts)[N], E v) {
  for (const auto& t : texts) {
    if (t.value == v) return t.text;
  }
  return texts[0].text;
}

class ObjectReader {
 public:
  /// `value` and `errors` must outlive the reader. Not an object: an error; null: an empty object.
  ObjectReader(const JsonValue& value, DecodeErrors& errors, Strictness strictness);

  void field(std::string_view name, std::string& out);
  void field(std::string_view name, bool& out);
  void field(std::string_view name, std::int64_t& out);
  void field(std::string_view name, std::uint64_t& out);
  void field(std::string_view name, std::int32_t& out);
  void field(std::string_view name, double& out);
  void field(std::string_view name, StreamSeq& out) { field(name, out.v); }
  void field(std::string_view name, std::vector<std::string>& out);
  void field(std::string_view name, std::vector<std::int64_t>& out);
  void field(std::string_view name, Metadata& out);
  /// RFC 3339. The zero time counts as absent.
  void field(std::string_view name, std::optional<Wall>& out);
  /// One of a list of texts; an empty text leaves `out` alone.
  template <class E, std::size_t N>
  void field(std::string_view name, E& out, const EnumText<E> (&texts)[N]) {
    std::string text;
    field(name, text);
    if (text.empty()) return;
    for (const auto& t : texts) {
      if (t.text == text) {
        out = t.value;
        return;
      }
    }
    errors_.set("can not unmarshal \"" + clip(text) + "\" into field " + std::string(name));
  }

  /// The raw member (marked as known), nullptr if absent or null.
  const JsonValue* raw(std::string_view name);
  /// Marks a member as known without looking at it.
  void skip(std::string_view name) { raw(name); }

  /// With kStrict a member that no call named is an error.
  void finish();
  DecodeErrors& errors() { return errors_; }

  /// Reads the member `name` as an object with `read(ObjectReader&, T&)`; absent or null: unchanged.
  template <class T, class F>
  void object(std::string_view name, std::optional<T>& out, F&& read) {
    if (const auto* v = raw(name)) sub(*v, out.emplace(), read);
  }
  template <class T, class F>
  void object(std::string_view name, T& out, F&& read) {
    if (const auto* v = raw(name)) sub(*v, out, read);
  }
  /// The same for a list of objects; null items are skipped.
  template <class T, class F>
  void list(std::string_view name, std::vector<T>& out, F&& read) {
    const auto* v = raw(name);
    if (!v) return;
    const auto* items = v->array();
    if (!items) return mismatch(name, *v, "list");
    out.clear();
    for (const auto& item : *items) {
      if (!item.is_null()) sub(item, out.emplace_back(), read);
    }
  }

  /// At most 64 bytes of `s`, for error texts that quote input.
  static std::string clip(std::string_view s);

 private:
  template <class T, class F>
  void sub(const JsonValue& v, T& out, F&& read) {
    ObjectReader inner(v, errors_, strictness_);
    read(inner, out);
    inner.finish();
  }
  void mismatch(std::string_view name, const JsonValue& v, std::string_view type);
  bool integer(std::string_view name, std::int64_t min, std::int64_t max, std::int64_t& out);

  const JsonValue::Object* members_ = nullptr;
  std::vector<bool> known_;
  DecodeErrors& errors_;
  Strictness strictness_;
};

/// An integer of that range, or nullopt.
std::optional<std::int64_t> json_i64(const JsonValue& v);

/// Parses `json` and hands the top object to `decode(ObjectReader&)`; the outcome is an ApiError
/// kInvalidJSON if anything was wrong.
template <class T, class F>
Decoded<T> decode_object(std::string_view json, Strictness strictness, F&& decode) {
  auto parsed = parse_json(json);
  if (auto* e = std::get_if<JsonError>(&parsed)) return make_error(ErrCode::kInvalidJSON, e->text);
  T out;
  DecodeErrors errors;
  ObjectReader reader(std::get<JsonValue>(parsed), errors, strictness);
  decode(reader, out);
  reader.finish();
  if (!errors.ok()) return make_error(ErrCode::kInvalidJSON, "json: " + errors.text);
  return out;
}

}  // namespace weir::api
