// broker/store/journal.h - the shard's one durable log, shared by all of its groups (DESIGN 5).
//
// Room:     shell over env::Disk. Format: docs/formats/journal.md.
// Thread:   the shard's loop.
// Commit:   append() queues records; flush() (end of turn) turns everything queued into one frame
//           unless one is under way: then the next frame starts when that one completes. One write
//           and one sync serve every group.
// Order:    frames become durable in order. An entry of (group, index) supersedes every earlier entry
//           of that group with an index at or above it (a follower's cut suffix); a hard state the
//           group's earlier hard state; a removal everything of the group before it. The journal may
//           write a group's last hard state, or the tail of the last run, again: same order, same
//           meaning.
// Limits:   files of kJournalFileBytes, zero-filled and recycled; a frame never exceeds
//           kJournalFrameBytesMax unless a single record does (a record that no file can take gets a
//           file of its own). At kJournalFilesMax files, or when no file can be made, full() is true
//           and the owner refuses new work until release() frees files; what is appended all the same
//           (acks, votes) is still written while the disk has room.
// Release:  files are freed oldest first, once no group needs an entry in it. Hard states never hold
//           a file: the journal carries them on.
// Errors:   a failed write or sync is final: every completion from then on gets the error, failed()
//           is true and nothing is retried. The owner stops acks and votes and exits.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "broker/base/bytes.h"
#include "broker/base/ids.h"
#include "broker/base/limits.h"
#include "broker/base/log.h"
#include "broker/base/result.h"
#include "broker/env/env.h"

namespace weir::store {

enum class RecordKind : std::uint8_t {
  kEntry = 1,      // a raft entry: payload is the entry's commands
  kHardState = 2,  // term, vote, commit of a group; index is the commit floor
  kRemoved = 3,    // the group is gone: its records before this one are void
};

struct JournalRecord {
  GroupId group;
  RecordKind kind = RecordKind::kEntry;
  Term term;
  RaftIndex index;
  Bytes payload;  // held until durable, then dropped
};

struct JournalOptions {
  std::uint64_t file_bytes = limits::kJournalFileBytes;  // multiple of 4096
  std::uint64_t frame_bytes_max = limits::kJournalFrameBytesMax;
  unsigned files_max = limits::kJournalFilesMax;
  bool sync_always = true;            // false: done when written; a sync follows each interval
  std::int64_t sync_interval_ns = 0;  // used when !sync_always
};

struct JournalStats {
  std::uint64_t frames = 0, records = 0, bytes = 0, syncs = 0;
  std::uint64_t sync_ns_total = 0, sync_ns_max = 0;
  unsigned files = 0;
};

/// What recovery says of one group's records, besides handing them out.
struct JournalFault {
  GroupId group;       // 0: a frame whose groups are not known; those that go on are named as well
  RaftIndex from, to;  // entries that are known to have existed and cannot be read; 0: no entry (a
                       // hard state or a removal), or not known
  std::string detail;  // file, offset, what is wrong
};

class Journal {
 public:
  virtual ~Journal() = default;

  using Visit = std::function<void(const JournalRecord&)>;
  using Fault = std::function<void(const JournalFault&)>;

  /// Opens or creates the journal in `dir`. Inline: reads every file, calls `visit` for each valid
  /// record in order (payloads may be kept: they share the block of their frame), `fault` for each
  /// corruption. A torn tail (beyond the last synced-through promise) is cut; corruption below the
  /// promise never is, and is reported at each start until its files are released.
  /// A page cache may show bytes that the disk does not have, so what lies beyond the promise is
  /// written again into a fresh file. That runs on the loop: the owner must call drain() and wait for
  /// it before it votes, acknowledges or answers on the strength of a recovered record.
  /// Errors: kInvalid (options), kUnsupported (a later format version), kIo.
  static Result<std::unique_ptr<Journal>> open(env::Env& env, std::string dir, JournalOptions options,
                                               const Visit& visit, const Fault& fault);

  /// Queues a record for the next frame; `done` runs once it is durable (or written, when
  /// !sync_always), or with the final error.
  virtual void append(JournalRecord record, env::DiskDone done) = 0;
  /// Starts a frame if something is queued and none is under way.
  virtual void flush() = 0;
  /// Entries of `group` at or below `upto` are not needed any more (they are in the catalog's care).
  /// Not remembered across a restart. Cost: O(1), whatever the number of groups.
  virtual void release(GroupId group, RaftIndex upto) = 0;
  /// A group whose unreleased entries keep the oldest file from being recycled; 0 if none, or if the
  /// oldest is the one being written. The owner checkpoints it when files pile up.
  virtual GroupId laggard() const = 0;
  /// Files in use at or above half of files_max: checkpoint laggards now.
  virtual bool pressed() const = 0;
  /// files_max is reached, or the disk had no space for the next file.
  virtual bool full() const = 0;
  virtual bool failed() const = 0;
  virtual const JournalStats& stats() const = 0;
  /// Starts what is queued and completes when everything appended or recovered so far is durable.
  virtual void drain(env::DiskDone done) = 0;
};

}  // namespace weir::store
