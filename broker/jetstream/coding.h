// broker/jetstream/coding.h - appending numbers and strings to a std::string, the mirror of Reader.
//
// Room:   pure. Catalog values are strings; entries use BytesBuilder instead.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "broker/base/varint.h"

namespace weir::jetstream {

inline void put_varint(std::string& out, std::uint64_t v) {
  std::uint8_t buf[kVarintMax];
  std::size_t n = weir::put_varint(buf, v);
  out.append(reinterpret_cast<const char*>(buf), n);
}
inline void put_signed(std::string& out, std::int64_t v) {
  put_varint(out, zigzag(v));
}
inline void put_string(std::string& out, std::string_view s) {
  put_varint(out, s.size());
  out.append(s);
}
inline void put_fixed64(std::string& out, std::uint64_t v) {
  std::uint8_t buf[8];
  put_u64(buf, v);
  out.append(reinterpret_cast<const char*>(buf), 8);
}
/// Big-endian: keys that end in a number sort by it.
inline void put_key64(std::string& out, std::uint64_t v) {
  for (int shift = 56; shift >= 0; shift -= 8) out.push_back(static_cast<char>((v >> shift) & 0xff));
}

}  // namespace weir::jetstream
