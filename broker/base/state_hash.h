// broker/base/state_hash.h - parts of the hash by which replicas compare their states (P5).
//
// Room:     pure. Equal on every machine, compiler and version: the numbers travel
// (docs/formats/state-check.md).
//           A change of any of this needs another kStateHashScheme.
// Cost:     a few ns an operation, nothing is allocated.
// Against:  accidents. Nobody chooses what is hashed so that it collides: who can do that can do worse.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace weir {

/// Replicas that hash in different ways do not compare.
constexpr std::uint64_t kStateHashScheme = 1;

/// Spreads every bit over the whole word; one to one.
constexpr std::uint64_t mix64(std::uint64_t x) {
  x = (x ^ (x >> 32)) * 0xd6e8feb86659fd93u;
  x = (x ^ (x >> 32)) * 0xd6e8feb86659fd93u;
  return x ^ (x >> 32);
}

/// 16 hexadecimal digits.
inline std::string hash_text(std::uint64_t v) {
  std::string out(16, '0');
  for (std::size_t i = 16; v != 0; v >>= 4) out[--i] = "0123456789abcdef"[v & 15];
  return out;
}

/// Hash of values in their order.
class StateHash {
 public:
  constexpr void add(std::uint64_t v) { value_ = mix64(value_ * 3 + v); }
  /// Slower than the rest, a byte at a time: for what changes rarely.
  constexpr void add(std::string_view text) {
    for (char c : text) value_ = (value_ ^ static_cast<std::uint8_t>(c)) * 0x100000001b3u;
    add(text.size());
  }
  constexpr std::uint64_t value() const { return value_; }

 private:
  std::uint64_t value_ = 0x9e3779b97f4a7c15u;
};

/// Which sequences a set has, in whatever order they came and went: their sum and the sum of their squares.
/// A whole range costs as much as one. Sets of one size that differ in one or two members have different
/// sums.
class SeqSums {
 public:
  constexpr void add(std::uint64_t first, std::uint64_t last) {
    sum_ += triangle(last) - triangle(first - 1);
    squares_ += pyramid(last) - pyramid(first - 1);
  }
  /// All of them must be there.
  constexpr void remove(std::uint64_t first, std::uint64_t last) {
    sum_ -= triangle(last) - triangle(first - 1);
    squares_ -= pyramid(last) - pyramid(first - 1);
  }
  constexpr void add(std::uint64_t seq) {
    sum_ += seq;
    squares_ += seq * seq;
  }
  constexpr void remove(std::uint64_t seq) {
    sum_ -= seq;
    squares_ -= seq * seq;
  }
  constexpr void remove(const SeqSums& part) {
    sum_ -= part.sum_;
    squares_ -= part.squares_;
  }
  constexpr void hash(StateHash& into) const {
    into.add(sum_);
    into.add(squares_);
  }
  bool operator==(const SeqSums&) const = default;

 private:
  // 1 + 2 + ... + n and 1 + 4 + ... + n * n, modulo 2^64: divided before the product is cut off.
  static constexpr std::uint64_t triangle(std::uint64_t n) {
    return n % 2 == 0 ? n / 2 * (n + 1) : (n / 2 + 1) * n;
  }
  static constexpr std::uint64_t pyramid(std::uint64_t n) {
    std::uint64_t a = n, b = n + 1, c = 2 * n + 1;
    (a % 2 == 0 ? a : b) /= 2;
    std::uint64_t r = n % 3;
    if (r == 0) {
      // n was divided by 2 at most: it still has its 3.
      a /= 3;
    } else if (r == 2) {
      b /= 3;
    } else {
      c /= 3;
    }
    return a * b * c;
  }

  std::uint64_t sum_ = 0, squares_ = 0;
};

}  // namespace weir
