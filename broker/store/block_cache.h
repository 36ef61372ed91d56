// broker/store/block_cache.h - decoded parts of segments, within a budget of bytes.
//
// Room:     pure. Thread: one shard; shared by its stores. Owner: the Node, outlives them.
// Policy:   least recently used goes first. A part larger than the budget is kept alone. Whoever holds
//           a part keeps it alive beyond its eviction.
#pragma once

#include <cstdint>
#include <list>
#include <memory>
#include <unordered_map>

#include "broker/base/limits.h"

namespace weir::store {

class BlockCache {
 public:
  struct Key {
    std::uint64_t segment = 0;  // from new_segment()
    std::uint64_t part = 0;
    bool operator==(const Key&) const = default;
  };
  struct Stats {
    std::uint64_t hits = 0, misses = 0, evicted = 0;
    std::size_t bytes = 0, parts = 0;
  };

  explicit BlockCache(std::size_t budget_bytes = limits::kBlockCacheBytes) : budget_(budget_bytes) {}
  BlockCache(const BlockCache&) = delete;
  BlockCache& operator=(const BlockCache&) = delete;

  /// A number for the keys of one open segment; never given twice.
  std::uint64_t new_segment() { return ++last_segment_; }
  /// nullptr if it is not there. T is what put() was called with for this key.
  template <class T>
  std::shared_ptr<const T> find(Key key, bool count_miss = true) {
    return std::static_pointer_cast<const T>(find_part(key, count_miss));
  }
  /// Replaces what was there.
  void put(Key key, std::shared_ptr<const void> part, std::size_t bytes);
  void drop(Key key);
  const Stats& stats() const { return stats_; }

 private:
  struct Hash {
    std::size_t operator()(const Key& k) const {
      return static_cast<std::size_t>((k.segment * 0x9e3779b97f4a7c15u) ^ (k.part * 0xc2b2ae3d27d4eb4fu));
    }
  };
  struct Item {
    Key key;
    std::shared_ptr<const void> part;
    std::size_t bytes;
  };
  std::shared_ptr<const void> find_part(Key key, bool count_miss);

  std::size_t budget_;
  std::list<Item> items_;  // most recently used first
  std::unordered_map<Key, std::list<Item>::iterator, Hash> by_key_;
  std::uint64_t last_segment_ = 0;
  Stats stats_;
};

}  // namespace weir::store
