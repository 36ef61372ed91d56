// broker/store/segment_set.h - the sealed part of a stream: its segments in order of sequence.
//
// Room:     shell through SegmentReader. Thread: one shard. Owner: StoreCore (empty in a MemStore).
// Memory:   about 200 bytes per segment and its bitmap of dead sequences; nothing per message.
// Cost:     liveness and unfiltered counts need no read. Matches scan a few rows, then ask the
//           dictionaries: segments without a matching subject cost a page lookup.
// Errors:   kCorrupt and kIo with file and position; nothing changes then.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "broker/store/message_store.h"
#include "broker/store/segment_reader.h"

namespace weir::store {

/// What a message of a file stream counts against max_bytes.
std::uint64_t file_stored_size(std::size_t subject, std::size_t headers, std::size_t payload);

class SegmentSet {
 public:
  using Ref = std::shared_ptr<Segment>;
  using MaybeSeq = std::optional<StreamSeq>;
  struct Entry {
    std::string subject;
    Wall time;
    std::uint64_t size = 0;  // file_stored_size
  };
  /// What compaction would take away.
  struct Below {
    std::map<std::string, std::uint64_t> subjects;  // messages of each
    std::uint64_t messages = 0;
    std::uint64_t bytes = 0;
    std::uint64_t cut_bytes = 0;  // of the segment that is cut through
  };

  SegmentSet() = default;
  explicit SegmentSet(SegmentReader reader) : reader_(std::move(reader)) {}

  bool empty() const { return segments_.empty(); }
  const std::vector<Ref>& segments() const { return segments_; }
  const SegmentReader& reader() const { return reader_; }
  /// No segment has a sequence above; 0 when empty.
  StreamSeq last() const { return segments_.empty() ? StreamSeq() : segments_.back()->last; }

  bool contains(StreamSeq seq) const;
  /// Live neighbours, `seq` included; 0 if none.
  StreamSeq next_live(StreamSeq seq) const;
  StreamSeq prev_live(StreamSeq seq) const;
  /// First sequence at or after `seq` that is not live; may lie above last(). From `end` on nothing is looked
  /// at: then any sequence there.
  StreamSeq next_gap(StreamSeq seq, StreamSeq end = StreamSeq(UINT64_MAX)) const;
  std::uint64_t count_from(StreamSeq from) const;

  /// The next three: the sequence must be live here.
  Result<Message> load(StreamSeq seq) const;
  Result<Entry> entry(StreamSeq seq) const;
  Result<Wall> time(StreamSeq seq) const;
  Result<MaybeSeq> seq_at(Wall t) const;

  Result<MaybeSeq> next_match(const SubjectMatcher& matcher, StreamSeq from) const;
  Result<MaybeSeq> last_match(const SubjectMatcher& matcher, StreamSeq upto) const;
  Result<std::uint64_t> count_match(const SubjectMatcher& matcher, StreamSeq from) const;
  /// Looks at no more than a few messages from `from` on: the match, or in `from` where to go on.
  Result<MaybeSeq> scan_next(const SubjectMatcher& matcher, StreamSeq& from) const;
  Result<MaybeSeq> scan_last(const SubjectMatcher& matcher, StreamSeq& upto) const;

  Result<Below> below(StreamSeq first_keep) const;

  // Changes. Segments without a live message leave the set and wait in dropped().
  void remove(StreamSeq seq, std::uint64_t size);
  /// `cut_bytes` from below(first_keep).
  void drop_below(StreamSeq first_keep, std::uint64_t cut_bytes);
  void clear();
  void insert(Ref segment);
  void erase(const Segment* segment);
  std::vector<Ref>& dropped() { return dropped_; }

 private:
  std::size_t lower(StreamSeq seq) const;
  Segment* at(StreamSeq seq) const;

  /// The block that load() used last. A hint: numbers only, the cache owns the block.
  struct Hint {
    std::uint64_t cache_id = 0;
    std::size_t block = 0;
    StreamSeq base, last;
  };

  SegmentReader reader_;
  mutable Hint hint_;
  std::vector<Ref> segments_;
  std::vector<Ref> dropped_;
};

}  // namespace weir::store
