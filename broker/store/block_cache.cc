#include "broker/store/block_cache.h"

namespace weir::store {

std::shared_ptr<const void> BlockCache::find_part(Key key, bool count_miss) {
  if (!items_.empty() && items_.front().key == key) {  // a sequential reader asks for the same again
    ++stats_.hits;
    return items_.front().part;
  }
  auto it = by_key_.find(key);
  if (it == by_key_.end()) {
    if (count_miss) ++stats_.misses;
    return nullptr;
  }
  ++stats_.hits;
  items_.splice(items_.begin(), items_, it->second);
  return items_.front().part;
}

void BlockCache::put(Key key, std::shared_ptr<const void> part, std::size_t bytes) {
  drop(key);
  while (!items_.empty() && stats_.bytes + bytes > budget_) {
    ++stats_.evicted;
    drop(items_.back().key);
  }
  items_.push_front({key, std::move(part), bytes});
  by_key_[key] = items_.begin();
  stats_.bytes += bytes;
  ++stats_.parts;
}

void BlockCache::drop(Key key) {
  auto it = by_key_.find(key);
  if (it == by_key_.end()) return;
  stats_.bytes -= it->second->bytes;
  --stats_.parts;
  items_.erase(it->second);
  by_key_.erase(it);
}

}  // namespace weir::store
