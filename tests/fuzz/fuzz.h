// tests/fuzz/fuzz.h - what the fuzz targets share.
//
// A target is one x_fuzz.cc with LLVMFuzzerTestOneInput and, better than an empty start, fuzz_seeds().
// WEIR_FUZZ_SEEDS=<folder> makes the program write its seeds there and end (seeds.cc).
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

#include "broker/base/bytes.h"
#include "broker/base/prng.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);
/// Of libFuzzer, or of smoke_main.cc: changes data[0, size) somehow, never above max_size.
extern "C" std::size_t LLVMFuzzerMutate(std::uint8_t* data, std::size_t size, std::size_t max_size);

namespace weir::fuzz {

/// Valid inputs to begin with, made by the encoders.
std::vector<std::string> fuzz_seeds();

inline void require(bool condition, const char* what) {
  if (__builtin_expect(condition, 1)) return;
  std::fprintf(stderr, "violated: %s\n", what);
  std::abort();
}

/// Numbers and bytes out of the input, front to back; zero when it is used up.
class Input {
 public:
  Input(const std::uint8_t* data, std::size_t size) : p_(data), end_(data + size) {}
  bool empty() const { return p_ == end_; }
  std::size_t left() const { return static_cast<std::size_t>(end_ - p_); }
  std::uint8_t u8() { return p_ == end_ ? std::uint8_t{0} : *p_++; }
  /// In [0, n).
  unsigned below(unsigned n) { return u8() % n; }
  bool flag() { return (u8() & 1) != 0; }
  ByteSpan bytes(std::size_t n) {
    if (n > left()) n = left();
    ByteSpan s(p_, n);
    p_ += n;
    return s;
  }
  ByteSpan rest() { return bytes(left()); }
  /// Numbers that matter: around `base`, small ones, the ends of the range.
  std::uint64_t number(std::uint64_t base) {
    std::uint8_t b = u8();
    if (b < 0x80) return base + b - 0x40;
    if (b < 0xf0) return b & 0x0fu;
    if (b < 0xf8) return std::numeric_limits<std::uint64_t>::max() - (b & 7u);
    return std::uint64_t{1} << (62 + (b & 1u));
  }

 private:
  const std::uint8_t* p_;
  const std::uint8_t* end_;
};

/// A copy of its own, so that the sanitizer sees a view that outlives it or reads beyond it.
inline Bytes own(ByteSpan s) {
  return Bytes::copy_of(s);
}

inline std::string join(const std::vector<Bytes>& slices) {
  std::string all;
  for (const Bytes& b : slices) all += b.text();
  return all;
}

}  // namespace weir::fuzz
