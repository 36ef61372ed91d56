// broker/subject/slab.h - many small blocks behind 31-bit handles.
//
// Blocks are runs of granules; a handle is the number of the first. The first chunk grows by
// doubling (so that an index of five subjects is small), later ones have a fixed size. Freed blocks
// wait in a list per size.
//
// Room:    pure. Owner: SubjectTree.
// Limits:  2^31 granules (8 GiB with 4-byte granules); allocate() gives kNull beyond.
// Caution: allocate() may move the first chunk: pointers from at() die with it.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <vector>

namespace weir::subject {

template <std::size_t kGranule>
class Slab {
 public:
  using Handle = std::uint32_t;
  static constexpr Handle kNull = 0;  // granule 0 is never handed out

  std::uint8_t* at(Handle h) { return chunks_[h >> kShift].get() + std::size_t{h & kMask} * kGranule; }
  const std::uint8_t* at(Handle h) const {
    return chunks_[h >> kShift].get() + std::size_t{h & kMask} * kGranule;
  }

  /// False when fewer than `chunks` whole chunks of address space are left.
  bool has_room(std::size_t chunks) const { return top_ + chunks * kChunk <= kHandles; }
  /// kNull when the address space is used up or `bytes` exceeds a chunk. Content undefined.
  Handle allocate(std::size_t bytes) {
    std::size_t n = granules(bytes);
    if (n < free_.size() && free_[n]) {
      Handle h = free_[n];
      std::memcpy(&free_[n], at(h), sizeof(Handle));
      free_granules_ -= n;
      return h;
    }
    return carve(n);
  }
  /// `bytes` as it was allocated.
  void release(Handle h, std::size_t bytes) {
    std::size_t n = granules(bytes);
    if (n >= free_.size()) free_.resize(n + 1);
    std::memcpy(at(h), &free_[n], sizeof(Handle));
    free_[n] = h;
    free_granules_ += n;
  }
  void clear() {
    std::vector<std::unique_ptr<std::uint8_t[]>>().swap(chunks_);
    std::vector<Handle>().swap(free_);
    top_ = 1;
    first_ = 0;
    free_granules_ = 0;
  }

  /// Bytes taken from the allocator, unused parts included.
  std::size_t memory_bytes() const {
    std::size_t chunk_bytes = chunks_.empty() ? 0 : (first_ + (chunks_.size() - 1) * kChunk) * kGranule;
    return chunk_bytes + free_.capacity() * sizeof(Handle) + chunks_.capacity() * sizeof(chunks_[0]);
  }
  /// Bytes in blocks that are allocated now.
  std::size_t used_bytes() const { return (top_ - 1 - free_granules_) * kGranule; }

 private:
  static constexpr unsigned kShift = 17;
  static constexpr std::size_t kChunk = std::size_t{1} << kShift;  // granules
  static constexpr Handle kMask = kChunk - 1;
  static constexpr std::size_t kFirst = 64;  // granules of the first chunk at the start
  static constexpr std::size_t kHandles = std::size_t{1} << 31;

  static std::size_t granules(std::size_t bytes) {
    return (std::max(bytes, sizeof(Handle)) + kGranule - 1) / kGranule;
  }

  Handle carve(std::size_t n) {
    if (n >= kChunk) return kNull;
    std::size_t room = kChunk - (top_ & kMask);
    if (room < n || (top_ & kMask) == 0) {  // a block does not cross chunks
      if (room < n) top_ += room;
      if (top_ + n > kHandles) return kNull;
      while (chunks_.size() <= top_ >> kShift) add_chunk();
    }
    if (chunks_.empty()) add_chunk();
    if (chunks_.size() == 1 && top_ + n > first_) grow_first(top_ + n);
    auto h = static_cast<Handle>(top_);
    top_ += n;
    return h;
  }
  void add_chunk() {
    std::size_t n = chunks_.empty() ? kFirst : kChunk;
    chunks_.push_back(make(n));
    if (chunks_.size() == 1) first_ = n;
  }
  void grow_first(std::size_t need) {
    std::size_t n = first_;
    while (n < need) n += n < 4096 ? n : n / 2;
    n = std::min(n, kChunk);
    auto bigger = make(n);
    std::memcpy(bigger.get(), chunks_[0].get(), first_ * kGranule);
    chunks_[0] = std::move(bigger);
    first_ = n;
  }
  static std::unique_ptr<std::uint8_t[]> make(std::size_t n) {
    return std::unique_ptr<std::uint8_t[]>(new std::uint8_t[n * kGranule]);
  }

  std::vector<std::unique_ptr<std::uint8_t[]>> chunks_;
  std::vector<Handle> free_;       // by size in granules; linked through the blocks
  std::size_t top_ = 1;            // first granule never handed out
  std::size_t first_ = 0;          // granules of chunk 0
  std::size_t free_granules_ = 0;  // in the lists
};

}  // namespace weir::subject
