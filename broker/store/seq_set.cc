#include "broker/store/seq_set.h"

#include <roaring/roaring.h>

#include "broker/base/check.h"

namespace weir::store {
namespace {

constexpr std::uint32_t kShortScan = 16;

}  // namespace

void SeqSet::Free::operator()(roaring_bitmap_s* r) const {
  roaring_bitmap_free(r);
}

SeqSet::SeqSet(const SeqSet& o) {
  if (o.set_) set_.reset(roaring_bitmap_copy(o.set_.get()));
}

roaring_bitmap_s* SeqSet::get() {
  if (!set_) set_.reset(roaring_bitmap_create());
  CHECK(set_ != nullptr, "out of memory");
  return set_.get();
}

bool SeqSet::add(std::uint32_t x) {
  return roaring_bitmap_add_checked(get(), x);
}

void SeqSet::add_range(std::uint32_t from, std::uint32_t to) {
  if (from <= to) roaring_bitmap_add_range_closed(get(), from, to);
}

bool SeqSet::contains(std::uint32_t x) const {
  return set_ && roaring_bitmap_contains(set_.get(), x);
}

std::uint64_t SeqSet::size() const {
  return set_ ? roaring_bitmap_get_cardinality(set_.get()) : 0;
}

std::uint64_t SeqSet::count(std::uint32_t from, std::uint32_t to) const {
  if (!set_ || from > to) return 0;
  return roaring_bitmap_range_cardinality(set_.get(), from, std::uint64_t{to} + 1);
}

std::optional<std::uint32_t> SeqSet::next_member(std::uint32_t from, std::uint32_t to) const {
  if (!set_ || from > to) return std::nullopt;
  roaring_uint32_iterator_t it;
  roaring_init_iterator(set_.get(), &it);
  if (!roaring_move_uint32_iterator_equalorlarger(&it, from)) return std::nullopt;
  if (it.current_value > to) return std::nullopt;
  return it.current_value;
}

std::optional<std::uint32_t> SeqSet::next_absent(std::uint32_t from, std::uint32_t to) const {
  if (from > to) return std::nullopt;
  if (!set_) return from;
  for (std::uint32_t i = 0; i < kShortScan; ++i) {
    if (!contains(from)) return from;
    if (from == to) return std::nullopt;
    ++from;
  }
  if (count(from, to) == std::uint64_t{to} - from + 1) return std::nullopt;
  // [from, hi] has an absent value; the smallest such hi is it.
  std::uint32_t lo = from;
  std::uint32_t hi = to;
  while (lo < hi) {
    std::uint32_t mid = lo + (hi - lo) / 2;
    if (count(from, mid) == std::uint64_t{mid} - from + 1) {
      lo = mid + 1;
    } else {
      hi = mid;
    }
  }
  return lo;
}

std::optional<std::uint32_t> SeqSet::prev_absent(std::uint32_t from, std::uint32_t to) const {
  if (from > to) return std::nullopt;
  if (!set_) return to;
  for (std::uint32_t i = 0; i < kShortScan; ++i) {
    if (!contains(to)) return to;
    if (from == to) return std::nullopt;
    --to;
  }
  if (count(from, to) == std::uint64_t{to} - from + 1) return std::nullopt;
  std::uint32_t lo = from;
  std::uint32_t hi = to;
  while (lo < hi) {
    std::uint32_t mid = hi - (hi - lo) / 2;
    if (count(mid, to) == std::uint64_t{to} - mid + 1) {
      hi = mid - 1;
    } else {
      lo = mid;
    }
  }
  return lo;
}

std::string SeqSet::encode() {
  auto* r = get();
  roaring_bitmap_run_optimize(r);
  std::string out(roaring_bitmap_portable_size_in_bytes(r), '\0');
  roaring_bitmap_portable_serialize(r, out.data());
  if (roaring_bitmap_is_empty(r)) set_.reset();
  return out;
}

Result<SeqSet> SeqSet::decode(std::string_view bytes) {
  if (bytes.size() < 8 ||
      roaring_bitmap_portable_deserialize_size(bytes.data(), bytes.size()) != bytes.size()) {
    return {Code::kCorrupt, "bitmap has the wrong size"};
  }
  SeqSet s;
  s.set_.reset(roaring_bitmap_portable_deserialize_safe(bytes.data(), bytes.size()));
  if (!s.set_) return {Code::kCorrupt, "not a bitmap"};
  if (roaring_bitmap_is_empty(s.set_.get())) s.set_.reset();
  return s;
}

}  // namespace weir::store
