// broker/store/seq_set.h - a set of 32-bit offsets that costs nothing while empty.
//
// Room:     pure. A roaring bitmap behind a pointer. Ranges are [from, to].
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "broker/base/result.h"

struct roaring_bitmap_s;

namespace weir::store {

class SeqSet {
 public:
  SeqSet() = default;
  SeqSet(const SeqSet& o);
  SeqSet(SeqSet&&) noexcept = default;
  SeqSet& operator=(SeqSet o) noexcept {
    std::swap(set_, o.set_);
    return *this;
  }
  ~SeqSet() = default;

  bool empty() const { return set_ == nullptr; }
  /// False if it was there already.
  bool add(std::uint32_t x);
  void add_range(std::uint32_t from, std::uint32_t to);
  bool contains(std::uint32_t x) const;
  std::uint64_t size() const;
  std::uint64_t count(std::uint32_t from, std::uint32_t to) const;
  /// First member in [from, to].
  std::optional<std::uint32_t> next_member(std::uint32_t from, std::uint32_t to) const;
  /// First or last value in [from, to] that is not a member. O(log n) rank queries after a short scan.
  std::optional<std::uint32_t> next_absent(std::uint32_t from, std::uint32_t to) const;
  std::optional<std::uint32_t> prev_absent(std::uint32_t from, std::uint32_t to) const;

  /// Portable roaring format (docs/formats/segment.md). Compresses runs on the way.
  std::string encode();
  static Result<SeqSet> decode(std::string_view bytes);

 private:
  struct Free {
    void operator()(roaring_bitmap_s* r) const;
  };
  roaring_bitmap_s* get();
  std::unique_ptr<roaring_bitmap_s, Free> set_;  // null: empty
};

}  // namespace weir::store
