// broker/store/journal_reader.h - recovery of a journal: what is there, what is torn, what is damaged.
//
// Room:     reads through env::Disk, changes nothing on it.
// Rules:    docs/formats/journal.md "Reading". In short: frames carry consecutive numbers across
//           files; the highest promise P found in any whole frame header splits them. Up to P every
//           frame must be whole: what is not is a fault. Beyond P the first frame that is not whole
//           ends the journal: it and what follows were never synced. An unreadable sector (EIO) is
//           never the mark of a torn write and is a fault wherever a frame is expected.
// Memory:   one frame at a time, plus the tail beyond P (usually one frame).
// Errors:   kUnsupported (a file of a later version), kIo (the folder cannot be listed).
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <unordered_map>
#include <vector>

#include "broker/base/log.h"
#include "broker/env/disk.h"
#include "broker/store/journal.h"

namespace weir::store {

/// A journal file that holds frames which are needed, in order of use.
struct JournalFileFound {
  std::string name;
  std::uint64_t bytes = 0;
  std::uint64_t use = 0;
  std::uint64_t first_frame = 0;
  std::uint64_t salt = 0;
};

/// A file without needed frames: zero-filled, prepared, or released before.
struct JournalFileFree {
  std::string name;
  std::uint64_t bytes = 0;
};

struct JournalFound {
  std::vector<JournalFileFree> free;
  std::vector<std::string> aside;  // spare files of no use: nothing is lost, they are to be moved aside
  /// The last number before next_frame is of a frame that cannot be read, and is not promised.
  bool ends_in_hole = false;
  bool empty = false;              // not one frame header was found
  std::uint64_t next_frame = 1;    // number of the next frame to be written
  std::uint64_t first_needed = 1;  // lowest frame that still matters
  std::uint64_t synced_through = 0;
  std::uint64_t next_use = 1;
  std::uint64_t next_file = 1;  // number for the name of a new file
  /// Frames beyond the promise, [void_from, void_to), and their records: to be written again as one
  /// frame that voids the old ones, before anything of them counts as durable.
  std::uint64_t void_from = 0;
  std::uint64_t void_to = 0;
  std::vector<JournalRecord> tail;
  /// Groups with a doubtful end or vote: kVoteInDoubt, kEndInDoubt of journal_format.h.
  std::unordered_map<GroupId, std::uint8_t> doubts;
};

class JournalSink {
 public:
  virtual ~JournalSink() = default;
  /// The records that follow are in this file.
  virtual void file(const JournalFileFound& file) = 0;
  /// The records that follow are in this frame, at this offset of the file.
  virtual void frame(std::uint64_t number, std::uint64_t offset) = 0;
  /// A valid record, also one salvaged from a damaged frame.
  virtual void record(const JournalRecord& record, std::uint64_t frame) = 0;
  virtual void fault(const JournalFault& fault) = 0;
};

/// "<dir>/0000002a.jnl" is file 42.
std::string journal_file_name(std::uint64_t number);
/// In the journal's folder: all frames of an earlier life are gone.
constexpr char kJournalLostName[] = "lost";
/// In the names of files that were moved aside: not read again, never removed.
constexpr char kJournalAside[] = ".jnl.unreadable";

Result<JournalFound> read_journal(env::Disk& disk, Log& log, const std::string& dir, JournalSink& sink);

}  // namespace weir::store
