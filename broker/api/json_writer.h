// broker/api/json_writer.h - writes JSON text onto the end of a string.
//
// Room:    pure. No tree is built, nothing is allocated but the growing string.
// Use:     JsonWriter w(out); w.begin_object(); w.field("name", x); w.end_object();
//          *_if calls leave out empty, zero and false values ("omitempty").
// Rules:   fields stand in the order of the calls; durations are integers (ns); times are RFC 3339.
//          Bytes that are not UTF-8 become U+FFFD, so that the text is always valid JSON.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "broker/base/ids.h"
#include "broker/base/time.h"

namespace weir::api {

class JsonWriter {
 public:
  /// Appends to `out`, which must outlive the writer.
  explicit JsonWriter(std::string& out) : out_(out) {}

  void begin_object() { open('{'); }
  void end_object() { close('}'); }
  void begin_array() { open('['); }
  void end_array() { close(']'); }
  void begin_object(std::string_view name) { key(name), open('{'); }
  void begin_array(std::string_view name) { key(name), open('['); }

  /// Writes the name; the next value call belongs to it.
  void key(std::string_view name);

  void value(std::string_view v);
  void value(const std::string& v) { value(std::string_view(v)); }
  void value(const char* v) { value(std::string_view(v)); }
  void value(bool v);
  void value(std::int64_t v);
  void value(std::uint64_t v);
  void value(std::int32_t v) { value(std::int64_t{v}); }
  void value(std::uint32_t v) { value(std::uint64_t{v}); }
  void value(double v);
  void value(Wall v);
  template <class Tag>
  void value(Id<Tag, std::uint64_t> v) {
    value(v.v);
  }
  void null();
  /// A text that is JSON already.
  void raw(std::string_view json);

  template <class T>
  void field(std::string_view name, const T& v) {
    key(name);
    value(v);
  }
  void field(std::string_view name, const std::vector<std::string>& v);
  void field(std::string_view name, const std::vector<std::uint64_t>& v);
  void field(std::string_view name, const std::vector<std::int64_t>& v);
  void field(std::string_view name, const std::map<std::string, std::string>& v);

  /// As field(), but nothing at all for an empty, zero or false value.
  void field_if(std::string_view name, std::string_view v) {
    if (!v.empty()) field(name, v);
  }
  void field_if(std::string_view name, const std::string& v) { field_if(name, std::string_view(v)); }
  void field_if(std::string_view name, const char* v) { field_if(name, std::string_view(v)); }
  void field_if(std::string_view name, bool v) {
    if (v) field(name, v);
  }
  void field_if(std::string_view name, std::int64_t v) {
    if (v != 0) field(name, v);
  }
  void field_if(std::string_view name, std::uint64_t v) {
    if (v != 0) field(name, v);
  }
  void field_if(std::string_view name, std::int32_t v) {
    if (v != 0) field(name, v);
  }
  template <class Tag>
  void field_if(std::string_view name, Id<Tag, std::uint64_t> v) {
    if (v.v != 0) field(name, v.v);
  }
  void field_if(std::string_view name, const std::optional<Wall>& v) {
    if (v) field(name, *v);
  }
  template <class T>
  void field_if(std::string_view name, const std::vector<T>& v) {
    if (!v.empty()) field(name, v);
  }
  void field_if(std::string_view name, const std::map<std::string, std::string>& v) {
    if (!v.empty()) field(name, v);
  }

 private:
  void comma() {
    if (need_comma_) out_ += ',';
    need_comma_ = true;
  }
  void open(char c) {
    comma();
    out_ += c;
    need_comma_ = false;
  }
  void close(char c) {
    out_ += c;
    need_comma_ = true;
  }

  std::string& out_;
  bool need_comma_ = false;
};

/// `text` with quotes and escapes.
void append_json_string(std::string& out, std::string_view text);

}  // namespace weir::api
