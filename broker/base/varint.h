// broker/base/varint.h - fixed little-endian numbers, LEB128 varints, and a bounds-checked reader.
//
// Room:    pure. Every decoder of stored or received bytes goes through Reader, which cannot read
//          past its end and reports failure once, at the end, through ok().
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

#include "broker/base/bytes.h"

namespace weir {

constexpr std::size_t kVarintMax = 10;

inline void put_u32(std::uint8_t* p, std::uint32_t v) {
  std::memcpy(p, &v, 4);
}
inline void put_u64(std::uint8_t* p, std::uint64_t v) {
  std::memcpy(p, &v, 8);
}
inline std::uint32_t get_u32(const std::uint8_t* p) {
  std::uint32_t v;
  std::memcpy(&v, p, 4);
  return v;
}
inline std::uint64_t get_u64(const std::uint8_t* p) {
  std::uint64_t v;
  std::memcpy(&v, p, 8);
  return v;
}

/// Writes at most kVarintMax bytes, returns how many.
inline std::size_t put_varint(std::uint8_t* p, std::uint64_t v) {
  std::size_t n = 0;
  while (v >= 0x80) {
    p[n++] = static_cast<std::uint8_t>(v | 0x80);
    v >>= 7;
  }
  p[n++] = static_cast<std::uint8_t>(v);
  return n;
}

constexpr std::uint64_t zigzag(std::int64_t v) {
  return (static_cast<std::uint64_t>(v) << 1) ^ static_cast<std::uint64_t>(v >> 63);
}
constexpr std::int64_t unzigzag(std::uint64_t v) {
  return static_cast<std::int64_t>(v >> 1) ^ -static_cast<std::int64_t>(v & 1);
}

/// Reads a span front to back. After the first failure every read returns zero or empty.
class Reader {
 public:
  explicit Reader(ByteSpan s) : p_(s.data()), end_(s.data() + s.size()) {}
  explicit Reader(std::string_view s) : Reader(as_span(s)) {}

  bool ok() const { return ok_; }
  std::size_t left() const { return static_cast<std::size_t>(end_ - p_); }
  bool done() const { return ok_ && p_ == end_; }

  std::uint8_t u8() { return need(1) ? *p_++ : 0; }
  std::uint32_t u32() {
    if (!need(4)) return 0;
    auto v = get_u32(p_);
    p_ += 4;
    return v;
  }
  std::uint64_t u64() {
    if (!need(8)) return 0;
    auto v = get_u64(p_);
    p_ += 8;
    return v;
  }
  std::uint64_t varint() {
    std::uint64_t v = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
      if (!need(1)) return 0;
      std::uint8_t b = *p_++;
      if (shift == 63 && b > 1) break;
      v |= std::uint64_t{b & 0x7fu} << shift;
      if (b < 0x80) return v;
    }
    fail();
    return 0;
  }
  std::string_view bytes(std::size_t n) {
    if (!need(n)) return {};
    std::string_view s(reinterpret_cast<const char*>(p_), n);
    p_ += n;
    return s;
  }
  std::string_view string() {  // varint length, then bytes
    std::uint64_t n = varint();
    if (n > left()) {
      fail();
      return {};
    }
    return bytes(static_cast<std::size_t>(n));
  }
  void fail() {
    ok_ = false;
    p_ = end_;
  }

 private:
  bool need(std::size_t n) {
    if (ok_ && left() >= n) return true;
    fail();
    return false;
  }
  const std::uint8_t* p_;
  const std::uint8_t* end_;
  bool ok_ = true;
};

}  // namespace weir
