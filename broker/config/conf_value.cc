#include "broker/config/conf_value.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

namespace weir::config {
namespace {

/// Length of the valid UTF-8 sequence at s[i], 0 when there is none.
std::size_t utf8_length(std::string_view s, std::size_t i) {
  auto byte = [&](std::size_t k) { return static_cast<unsigned char>(s[k]); };
  unsigned char c = byte(i);
  std::size_t n = c < 0x80 ? 1 : c >= 0xC2 && c <= 0xDF ? 2 : (c & 0xF0) == 0xE0 ? 3 : 0;
  if (c >= 0xF0 && c <= 0xF4) n = 4;
  if (n == 0 || i + n > s.size()) return 0;
  for (std::size_t k = 1; k < n; ++k) {
    if ((byte(i + k) & 0xC0) != 0x80) return 0;
  }
  if (c == 0xE0 && byte(i + 1) < 0xA0) return 0;  // overlong
  if (c == 0xED && byte(i + 1) > 0x9F) return 0;  // surrogate
  if (c == 0xF0 && byte(i + 1) < 0x90) return 0;
  if (c == 0xF4 && byte(i + 1) > 0x8F) return 0;
  return n;
}

void append_escape(std::string& out, unsigned code) {
  constexpr char kHex[] = "0123456789abcdef";
  out += "\\u";
  for (int shift = 12; shift >= 0; shift -= 4) out += kHex[(code >> shift) & 15];
}

void append_json_string(std::string& out, std::string_view s) {
  out += '"';
  for (std::size_t i = 0; i < s.size();) {
    auto c = static_cast<unsigned char>(s[i]);
    std::size_t n = utf8_length(s, i);
    std::string_view piece = s.substr(i, n);
    if (n == 0) {
      append_escape(out, 0xFFFD);
      n = 1;
    } else if (c == '"' || c == '\\') {
      out += '\\';
      out += s[i];
    } else if (c == '\n') {
      out += "\\n";
    } else if (c == '\r') {
      out += "\\r";
    } else if (c == '\t') {
      out += "\\t";
    } else if (c == '\b') {
      out += "\\b";
    } else if (c == '\f') {
      out += "\\f";
    } else if (c < 0x20 || c == '<' || c == '>' || c == '&') {
      append_escape(out, c);
    } else if (piece == "\xE2\x80\xA8" || piece == "\xE2\x80\xA9") {
      append_escape(out, piece[2] == '\xA8' ? 0x2028 : 0x2029);
    } else {
      out += piece;
    }
    i += n;
  }
  out += '"';
}

/// Shortest text; exponent form below 1e-6 and from 1e21, as Go's encoder.
void append_float(std::string& out, double real) {
  double size = std::fabs(real);
  bool exponent = size != 0 && (size < 1e-6 || size >= 1e21);
  std::array<char, 400> buffer;
  auto format = exponent ? std::chars_format::scientific : std::chars_format::fixed;
  auto [end, ec] = std::to_chars(buffer.data(), buffer.data() + buffer.size(), real, format);
  std::string text(buffer.data(), ec == std::errc() ? end : buffer.data());
  auto e = text.find("e-0");
  if (e != std::string::npos) text.erase(e + 2, 1);
  out += text;
}

void append_json(std::string& out, const Value& v);

void append_map(std::string& out, const Value& v) {
  std::vector<const Member*> sorted;
  for (const Member& m : v.members) sorted.push_back(&m);
  std::sort(sorted.begin(), sorted.end(), [](auto* a, auto* b) { return a->key < b->key; });
  out += '{';
  for (const Member* m : sorted) {
    if (m != sorted.front()) out += ',';
    append_json_string(out, m->key);
    out += ':';
    append_json(out, m->value);
  }
  out += '}';
}

void append_json(std::string& out, const Value& v) {
  switch (v.kind) {
    case Value::Kind::kString:
    case Value::Kind::kTime: append_json_string(out, v.text); return;
    case Value::Kind::kInteger: out += std::to_string(v.integer); return;
    case Value::Kind::kFloat: append_float(out, v.real); return;
    case Value::Kind::kBool: out += v.boolean ? "true" : "false"; return;
    case Value::Kind::kMap: append_map(out, v); return;
    case Value::Kind::kArray: break;
  }
  out += '[';
  for (const Value& item : v.items) {
    if (&item != &v.items.front()) out += ',';
    append_json(out, item);
  }
  out += ']';
}

}  // namespace

const Member* Value::find(std::string_view key) const {
  for (const Member& m : members) {
    if (m.key == key) return &m;
  }
  return nullptr;
}

Member* Value::find(std::string_view key) {
  for (Member& m : members) {
    if (m.key == key) return &m;
  }
  return nullptr;
}

std::string_view kind_name(Value::Kind kind) {
  switch (kind) {
    case Value::Kind::kString: return "string";
    case Value::Kind::kInteger: return "integer";
    case Value::Kind::kFloat: return "float";
    case Value::Kind::kBool: return "boolean";
    case Value::Kind::kTime: return "datetime";
    case Value::Kind::kMap: return "map";
    case Value::Kind::kArray: return "array";
  }
  return "value";
}

std::string canonical_json(const Value& value) {
  std::string out;
  append_json(out, value);
  out += '\n';
  return out;
}

}  // namespace weir::config
