// broker/store/journal_fetch.h - reads entries back from journal files, one request.
//
// Room:     shell over env::Disk; reads only, on the disk's workers. Thread: the shard's loop.
// Trust:    a file may be recycled while it is read, and bytes rot: a record counts only if its own
//           checksum, begun with the salt and number that the index remembers, holds.
// Owner:    Journal. Destroying it forgets the request; not from inside its completion.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "broker/env/disk.h"
#include "broker/store/journal_format.h"
#include "broker/store/journal_index.h"

namespace weir::store {

class JournalFetch {
 public:
  using Done = UniqueFunction<void(Result<std::vector<JournalRecord>>)>;

  /// `pieces` is not empty and without gaps; payloads beyond `bytes_max` are left out, but for the first.
  JournalFetch(env::Disk& disk, std::string dir, GroupId group, std::vector<JournalPiece> pieces,
               std::size_t bytes_max)
      : disk_(disk),
        dir_(std::move(dir)),
        group_(group),
        pieces_(std::move(pieces)),
        bytes_left_(bytes_max) {}
  /// `done` runs once, never inside this call: what could be read from the first entry on, or kNotFound.
  /// Errors: of opening the first file; then `done` never runs.
  Status start(Done done);

  /// Why it ended before everything was read; empty if it did not. Only damage and recycled files say so.
  const std::string& trouble() const { return trouble_; }

 private:
  using Read = void (JournalFetch::*)(std::string);
  void read(std::uint64_t offset, std::uint64_t size, Read then);
  Status open_file();
  void begin_piece();
  void got_head(std::string bytes);
  void got_table(std::string bytes);
  void scan_table();
  void next_batch();
  void got_batch(std::string bytes);
  void finish(std::string trouble);
  const JournalPiece& piece() const { return pieces_[at_]; }

  struct Row {
    JournalTableEntry entry;
    std::uint8_t raw[kTableEntryBytes];
  };

  env::Disk& disk_;
  std::string dir_;
  GroupId group_;
  std::vector<JournalPiece> pieces_;
  std::size_t at_ = 0;
  std::size_t bytes_left_;
  Done done_;
  std::vector<std::unique_ptr<env::File>> files_;  // the last one is read; all closed at the end
  std::string file_name_;
  std::string table_;      // header and table of the frame
  std::vector<Row> rows_;  // of this piece
  std::size_t row_ = 0;    // first that is not read
  std::size_t batch_ = 0;  // rows in the read that is under way
  bool short_ = false;     // a row of this piece is missing: it is the last
  std::vector<JournalRecord> records_;
  std::string trouble_;
};

}  // namespace weir::store
