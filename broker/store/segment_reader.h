// broker/store/segment_reader.h - one sealed segment in memory's eyes, and reading its parts.
//
// Room:     shell over env::Disk, inline reads. Thread: one shard.
// Cache:    decoded parts stay in the BlockCache; a file is open only while it is read.
// Errors:   kCorrupt and kIo name file and offset.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <string>

#include "broker/env/disk.h"
#include "broker/store/block.h"
#include "broker/store/block_cache.h"
#include "broker/store/filter.h"
#include "broker/store/segment.h"
#include "broker/store/seq_set.h"

namespace weir::store {

/// What memory knows of a segment. Its messages cost nothing.
struct Segment {
  std::uint64_t file = 0;      // number; part of the name
  std::uint64_t cache_id = 0;  // from BlockCache::new_segment
  StreamSeq base, last;
  std::uint64_t messages = 0;  // in the file
  std::uint64_t bytes = 0;
  Wall first_time, last_time;  // of messages in the file
  std::uint64_t file_bytes = 0;
  FooterPlace footer;

  SeqSet dead;  // offsets in [0, last - base] without a live message, also those never stored
  std::uint64_t live = 0;
  std::uint64_t live_bytes = 0;
  bool dirty = false;     // dead, live or live_bytes differ from the catalog
  bool in_job = false;    // a running checkpoint replaces it
  bool no_merge = false;  // its blocks could not be read: leave it as it is

  std::uint32_t span() const { return static_cast<std::uint32_t>(last - base); }
  std::uint32_t offset_of(StreamSeq seq) const { return static_cast<std::uint32_t>(seq - base); }
  bool is_live(StreamSeq seq) const { return seq >= base && seq <= last && !dead.contains(offset_of(seq)); }
};

/// "<16 hex digits>.seg"
std::string segment_file_name(std::uint64_t number);

class SegmentReader {
 public:
  SegmentReader() = default;
  SegmentReader(env::Disk& disk, BlockCache& cache, GroupId group, std::string dir)
      : disk_(&disk),
        cache_(&cache),
        group_(group),
        dir_(std::move(dir)),
        damaged_(std::make_shared<std::atomic<bool>>(false)) {}

  std::string path(const Segment& s) const { return dir_ + "/" + segment_file_name(s.file); }
  GroupId group() const { return group_; }
  const std::string& dir() const { return dir_; }
  /// Something of these files could not be read, or was not what was written. Any thread.
  bool damaged() const { return damaged_ && damaged_->load(std::memory_order_relaxed); }
  env::Disk& disk() const { return *disk_; }
  BlockCache& cache() const { return *cache_; }

  Result<std::shared_ptr<const SegmentFooter>> footer(const Segment& s) const;
  /// The decoded index of block `i` of the footer.
  Result<std::shared_ptr<const BlockIndex>> index(const Segment& s, std::size_t i) const;
  Result<std::shared_ptr<const Block>> block(const Segment& s, std::size_t i) const;

  /// Matching subjects of the segment, each once, in no useful order, until `visit` returns false.
  Status visit_subjects(const Segment& s, const SubjectMatcher& matcher,
                        const std::function<bool(const DictEntry&)>& visit) const;

  /// Forgets cached parts of a segment whose file goes away.
  void forget(const Segment& s) const;

 private:
  Result<std::string> read(const Segment& s, std::uint64_t offset, std::size_t size) const;
  Result<std::shared_ptr<const std::string>> page(const Segment& s, const SegmentFooter& f,
                                                  std::size_t i) const;
  Error at(const Error& e, const Segment& s, std::uint64_t offset) const;

  env::Disk* disk_ = nullptr;
  BlockCache* cache_ = nullptr;
  GroupId group_;
  std::string dir_;
  std::shared_ptr<std::atomic<bool>> damaged_;
};

}  // namespace weir::store
