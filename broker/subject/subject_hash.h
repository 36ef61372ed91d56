// broker/subject/subject_hash.h - 64-bit hash of a subject and a flat table of named objects.
//
// Room:    pure. The hash is for tables in memory only: never stored, never sent.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>
#include <vector>

namespace weir::subject {

namespace detail {
inline std::uint64_t load64(const char* p) {
  std::uint64_t v;
  std::memcpy(&v, p, 8);
  return v;
}
inline std::uint64_t load32(const char* p) {
  std::uint32_t v;
  std::memcpy(&v, p, 4);
  return v;
}
inline std::uint64_t fold(std::uint64_t a, std::uint64_t b) {
  auto m = static_cast<unsigned __int128>(a) * b;
  return static_cast<std::uint64_t>(m) ^ static_cast<std::uint64_t>(m >> 64);
}
}  // namespace detail

/// Multiply-and-fold over 8-byte words. `seed` guards tables against chosen collisions.
inline std::uint64_t hash_subject(std::string_view s, std::uint64_t seed) {
  constexpr std::uint64_t k1 = 0x9e3779b97f4a7c15u, k2 = 0xd6e8feb86659fd93u;
  const char* p = s.data();
  std::size_t n = s.size();
  std::uint64_t h = seed ^ (n * k2);
  while (n > 8) {
    h = detail::fold(h ^ detail::load64(p), k1);
    p += 8;
    n -= 8;
  }
  std::uint64_t tail = 0;
  if (n >= 4) {
    tail = detail::load32(p) << 32 | detail::load32(p + n - 4);
  } else if (n > 0) {
    auto u = [&](std::size_t i) { return std::uint64_t{static_cast<unsigned char>(p[i])}; };
    tail = u(0) << 16 | u(n / 2) << 8 | u(n - 1);
  }
  return detail::fold(detail::fold(h ^ tail, k1) ^ k2, k1);
}

/// Open-addressing table of borrowed objects: T has `std::uint64_t hash` and `std::string_view key()`.
/// At most 3/4 full, so a probe always ends. Iteration order is not part of any result.
template <class T>
class NamedTable {
 public:
  T* find(std::string_view key, std::uint64_t hash) const {
    if (slots_.empty()) return nullptr;
    for (std::size_t i = hash & mask(); slots_[i].object; i = (i + 1) & mask()) {
      if (slots_[i].hash == hash && slots_[i].object->key() == key) return slots_[i].object;
    }
    return nullptr;
  }
  /// The key must not be there yet.
  void insert(T* object) {
    if ((size_ + 1) * 4 > slots_.size() * 3) grow();
    place({object->hash, object});
    ++size_;
  }
  /// The object must be there.
  void erase(T* object) {
    std::size_t i = object->hash & mask();
    while (slots_[i].object != object) i = (i + 1) & mask();
    // Shifts later members of the probe run back, so that no tombstones are needed.
    for (std::size_t j = (i + 1) & mask(); slots_[j].object; j = (j + 1) & mask()) {
      std::size_t home = slots_[j].hash & mask();
      if (((j - home) & mask()) >= ((j - i) & mask())) {
        slots_[i] = slots_[j];
        i = j;
      }
    }
    slots_[i] = {};
    --size_;
  }
  std::size_t size() const { return size_; }
  template <class F>
  void for_each(F&& f) const {
    for (const auto& slot : slots_) {
      if (slot.object) f(slot.object);
    }
  }

 private:
  struct Slot {
    std::uint64_t hash = 0;
    T* object = nullptr;
  };
  std::size_t mask() const { return slots_.size() - 1; }
  void place(Slot slot) {
    std::size_t i = slot.hash & mask();
    while (slots_[i].object) i = (i + 1) & mask();
    slots_[i] = slot;
  }
  void grow() {
    std::vector<Slot> old(slots_.empty() ? 4 : slots_.size() * 2);
    old.swap(slots_);
    for (const auto& slot : old) {
      if (slot.object) place(slot);
    }
  }

  std::vector<Slot> slots_;  // size 0 or a power of two
  std::size_t size_ = 0;
};

}  // namespace weir::subject
