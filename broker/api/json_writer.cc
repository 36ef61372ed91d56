#include "broker/api/json_writer.h"

#include <charconv>
#include <cmath>

#include "broker/base/text.h"

namespace weir::api {
namespace {

/// Length of the well-formed UTF-8 sequence at the start of `s`, 0 if there is none.
std::size_t utf8_length(std::string_view s) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(s[i]); };
  const auto follows = [&](std::size_t n) {
    if (s.size() <= n) return false;
    for (std::size_t i = 1; i <= n; ++i) {
      if ((byte(i) & 0xc0) != 0x80) return false;
    }
    return true;
  };
  const unsigned char b = byte(0);
  if (b < 0x80) return 1;
  if (b >= 0xc2 && b <= 0xdf) return follows(1) ? 2 : 0;
  if (b >= 0xe0 && b <= 0xef) {
    if (!follows(2)) return 0;
    const bool overlong = b == 0xe0 && byte(1) < 0xa0;
    const bool surrogate = b == 0xed && byte(1) >= 0xa0;
    return overlong || surrogate ? 0 : 3;
  }
  if (b >= 0xf0 && b <= 0xf4) {
    if (!follows(3)) return 0;
    const bool out_of_range = (b == 0xf0 && byte(1) < 0x90) || (b == 0xf4 && byte(1) >= 0x90);
    return out_of_range ? 0 : 4;
  }
  return 0;
}

void append_escaped(std::string& out, unsigned char c) {
  constexpr char kHex[] = "0123456789abcdef";
  switch (c) {
    case '"': out += "\\\""; return;
    case '\\': out += "\\\\"; return;
    case '\n': out += "\\n"; return;
    case '\r': out += "\\r"; return;
    case '\t': out += "\\t"; return;
    default:
      out += "\\u00";
      out += kHex[c >> 4];
      out += kHex[c & 15];
  }
}

bool plain(unsigned char c) {
  return c >= 0x20 && c < 0x7f && c != '"' && c != '\\';
}

}  // namespace

void append_json_string(std::string& out, std::string_view text) {
  out += '"';
  std::size_t i = 0;
  while (i < text.size()) {
    std::size_t end = i;
    while (end < text.size() && plain(static_cast<unsigned char>(text[end]))) ++end;
    out.append(text, i, end - i);
    i = end;
    if (i == text.size()) break;
    const auto c = static_cast<unsigned char>(text[i]);
    if (c < 0x80) {
      append_escaped(out, c);
      ++i;
    } else if (auto n = utf8_length(text.substr(i))) {
      out.append(text, i, n);
      i += n;
    } else {
      out += "\\ufffd";
      ++i;
    }
  }
  out += '"';
}

void JsonWriter::key(std::string_view name) {
  comma();
  append_json_string(out_, name);
  out_ += ':';
  need_comma_ = false;
}

void JsonWriter::value(std::string_view v) {
  comma();
  append_json_string(out_, v);
}

void JsonWriter::value(bool v) {
  comma();
  out_ += v ? "true" : "false";
}

void JsonWriter::value(std::int64_t v) {
  comma();
  char buf[24];
  auto [end, ec] = std::to_chars(buf, buf + sizeof buf, v);
  out_.append(buf, end);
}

void JsonWriter::value(std::uint64_t v) {
  comma();
  append_u64_text(out_, v);
}

void JsonWriter::value(double v) {
  comma();
  if (!std::isfinite(v)) v = 0;  // JSON has no word for it
  char buf[40];
  auto [end, ec] = std::to_chars(buf, buf + sizeof buf, v);
  out_.append(buf, end);
}

void JsonWriter::value(Wall v) {
  comma();
  out_ += '"';
  out_ += format_time(v);
  out_ += '"';
}

void JsonWriter::null() {
  raw("null");
}

void JsonWriter::raw(std::string_view json) {
  comma();
  out_ += json;
}

namespace {
template <class V>
void write_list(JsonWriter& w, std::string_view name, const V& items) {
  w.begin_array(name);
  for (const auto& item : items) w.value(item);
  w.end_array();
}
}  // namespace

void JsonWriter::field(std::string_view name, const std::vector<std::string>& v) {
  write_list(*this, name, v);
}
void JsonWriter::field(std::string_view name, const std::vector<std::uint64_t>& v) {
  write_list(*this, name, v);
}
void JsonWriter::field(std::string_view name, const std::vector<std::int64_t>& v) {
  write_list(*this, name, v);
}

void JsonWriter::field(std::string_view name, const std::map<std::string, std::string>& v) {
  begin_object(name);
  for (const auto& [key, text] : v) field(key, text);
  end_object();
}

}  // namespace weir::api
