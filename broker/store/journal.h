// broker/store/journal.h - the shard's one durable log, shared by all of its groups (DESIGN 5).
//
// Room:     shell over env::Disk. Format: docs/formats/journal.md.
// Thread:   the shard's loop.
// Commit:   append() queues records; flush() (end of turn) turns everything queued into one frame
//           unless one is under way: then the next frame starts when that one completes. One write
//           and one sync serve every group.
// Order:    frames become durable in order; what each kind of record makes void is said at RecordKind.
//           The journal may write a group's last hard state, or the tail of the last run, again: same
//           order, same meaning.
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
#include <vector>

#include "broker/base/bytes.h"
#include "broker/base/ids.h"
#include "broker/base/limits.h"
#include "broker/base/log.h"
#include "broker/base/result.h"
#include "broker/base/unique_function.h"
#include "broker/env/env.h"

namespace weir::store {

/// An entry of (group, index) supersedes every earlier entry of the group at or above that index.
enum class RecordKind : std::uint8_t {
  kEntry = 1,      // a raft entry: payload is the entry's commands
  kHardState = 2,  // term and commit floor (index); the payload is the host's (the vote). Supersedes the
                   // group's earlier one
  kRemoved = 3,    // the group is gone: its records before this one are void
  kNoop = 4,       // entries that the host tells apart; to the journal they are like kEntry
  kConfig = 5,
  kCut = 6,    // entries at and above index are void; no payload
  kReset = 7,  // the log is empty after (index, term): all before this record but the hard state is void;
               // no payload
  // The payload of one earlier entry, written again because its first copy could not be read. What
  // follows the entry stays. A reader ignores one whose (index, term) is not in its log.
  kRepairedEntry = 8,
  kRepairedNoop = 9,
  kRepairedConfig = 10,
};

constexpr bool is_entry(RecordKind k) {
  return k == RecordKind::kEntry || k == RecordKind::kNoop || k == RecordKind::kConfig;
}
constexpr bool is_repair(RecordKind k) {
  return k >= RecordKind::kRepairedEntry && k <= RecordKind::kRepairedConfig;
}
/// Of a repair: the kind of its entry. Other kinds stay what they are.
constexpr RecordKind repaired_kind(RecordKind k) {
  return k == RecordKind::kRepairedEntry    ? RecordKind::kEntry
         : k == RecordKind::kRepairedNoop   ? RecordKind::kNoop
         : k == RecordKind::kRepairedConfig ? RecordKind::kConfig
                                            : k;
}
/// Of an entry: the kind that repairs it.
constexpr RecordKind repair_of(RecordKind k) {
  return k == RecordKind::kNoop     ? RecordKind::kRepairedNoop
         : k == RecordKind::kConfig ? RecordKind::kRepairedConfig
                                    : RecordKind::kRepairedEntry;
}

struct JournalRecord {
  GroupId group;
  RecordKind kind = RecordKind::kEntry;
  Term term;
  RaftIndex index;
  Bytes payload;  // held until durable, then dropped
};

/// What the owner knows, from elsewhere, of a journal that it opens.
enum class JournalPast : unsigned char {
  kUnknown,  // nothing
  kUnnoted,  // not yet whether it was there: an empty one begins with a frame, so that drain() proves it
  kWritten,  // frames were there; if none is found now, all are lost
};

struct JournalOptions {
  std::uint64_t file_bytes = limits::kJournalFileBytes;  // multiple of 4096
  std::uint64_t frame_bytes_max = limits::kJournalFrameBytesMax;
  unsigned files_max = limits::kJournalFilesMax;
  bool sync_always = true;            // false: done when written; a sync follows each interval
  std::int64_t sync_interval_ns = 0;  // used when !sync_always
  JournalPast past = JournalPast::kUnknown;
};

struct JournalStats {
  std::uint64_t frames = 0, records = 0, bytes = 0, syncs = 0;
  std::uint64_t sync_ns_total = 0, sync_ns_max = 0;
  unsigned files = 0;
};

/// What recovery says of one group's records, besides handing them out. Faults of entries come in the
/// order of the records: after what was written before the lost entries, before what was written after
/// them. Later records may make the lost entries void, or repair them.
/// Doubts (vote_lost, open_end) come last, of each group that is not proven sound by later records. They
/// come at each start until the owner has written a hard state (vote_lost) or an entry, cut or reset
/// (open_end) of the group: what is open still from then on is for the owner to remember.
struct JournalFault {
  GroupId group;       // 0: groups are not known. It concerns groups of which no record was handed out;
                       // the others are named in faults of their own
  RaftIndex from, to;  // entries that are known to have existed and cannot be read; 0: none of them
  std::string detail;  // file, offset, what is wrong
  Term term;           // of all these entries; 0: not known
  RecordKind kind = RecordKind::kEntry;  // of all these entries if the term is known
  bool vote_lost = false;                // a hard state newer than the one handed out may be lost
  bool open_end = false;                 // entries may be lost behind the last one of the group
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
  /// A journal that was written to and has no frame any more is a fault of group 0, told before anything else
  /// at this start and at all later ones, until somebody removes the file "lost" from the folder.
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
  using ReadDone = UniqueFunction<void(Result<std::vector<JournalRecord>>)>;
  /// Entries of `group` from `from` up to `upto` as they count at this call, read back from the files:
  /// in order, without gaps, repaired ones with the repair's payload, the kind always that of the entry.
  /// Fewer than asked for when payloads exceed `bytes_max` (but at least one), when many frames would have
  /// to be read, or when one cannot be read: ask again from there. Only what append() completed is found.
  /// `done` runs in a later turn, never after the journal's end. Errors: kNotFound: the entry at `from`
  /// is released, was never there, or cannot be read.
  virtual void read(GroupId group, RaftIndex from, RaftIndex upto, std::size_t bytes_max, ReadDone done) = 0;
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
