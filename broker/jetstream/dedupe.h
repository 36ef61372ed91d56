// broker/jetstream/dedupe.h - message ids seen within the duplicate window of one stream.
//
// Room:    pure. Time is log time.
// Thread:  one shard. Owner: StreamMachine.
// Shape:   entries numbered in order of arrival (a queue) plus an index by id. Pages of
//          kDedupePageEntries consecutive numbers are the unit of a checkpoint: only pages that got
//          entries since the last one are written, pages that aged out whole are removed.
// Limits:  limits::kDedupeEntriesMax; above, the oldest entry goes early.
// Memory:  about 120 bytes per id up to 15 bytes, its length more above that.
// Invariant: times never fall from front to back; ids are unique. Checked by dedupe_test.cc.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

#include "broker/base/ids.h"
#include "broker/base/result.h"
#include "broker/base/time.h"

namespace weir::jetstream {

constexpr std::uint64_t kDedupePageEntries = 1024;

class DedupeTable {
 public:
  /// Sequence under which `id` was stored, if it is still remembered.
  std::optional<StreamSeq> find(std::string_view id) const;
  /// Remembers `id`, which must be new (CHECK) and no older than the entries before.
  void add(std::string_view id, StreamSeq seq, Wall at);
  /// Forgets entries of `upto` or before.
  void expire(Wall upto);

  std::size_t size() const { return entries_.size(); }
  /// Number of the oldest entry / of the next one to come. Numbers count from 0 and are never reused.
  std::uint64_t first_number() const { return first_; }
  std::uint64_t next_number() const { return first_ + entries_.size(); }
  /// Of the entries; the same for equal tables however they came to be. O(1).
  std::uint64_t hash() const { return hash_; }

  /// The entries of page `page` that are still there. Format: docs/formats/stream-checkpoint.md.
  void encode_page(std::uint64_t page, std::string& out) const;

  /// Starts a restore: the table becomes empty, with room for the entries of [first_number, next_number).
  void restore_begin(std::uint64_t first_number, std::uint64_t next_number);
  /// Pages in ascending order; entries below the first number are dropped. Errors: kCorrupt.
  Status restore_page(std::uint64_t page, std::string_view bytes);

 private:
  struct Entry {
    std::string id;
    StreamSeq seq;
    Wall at;
  };
  /// False, and nothing is changed: the id is there already.
  bool add_new(std::string_view id, StreamSeq seq, Wall at);
  void pop_front();
  static std::uint64_t hash_of(const Entry& e);

  std::deque<Entry> entries_;  // elements never move, so that the index may view their ids
  std::uint64_t first_ = 0;    // number of entries_.front()
  std::uint64_t hash_ = 0;     // sum over the entries
  // Looked up only, never walked: its order cannot escape.
  std::unordered_map<std::string_view, const Entry*> index_;
};

}  // namespace weir::jetstream
