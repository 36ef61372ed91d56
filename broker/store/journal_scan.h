// broker/store/journal_scan.h - first pass of recovery: which frame headers are in which file.
//
// Room:     part of journal_reader; reads only. A frame header is found by walking from frame to
//           frame, and after damage by looking at every block up to the end of the file.
// Errors:   an unreadable range reads as zeros and is remembered in bad_blocks.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "broker/base/log.h"
#include "broker/env/disk.h"
#include "broker/store/journal_format.h"

namespace weir::store {

struct FrameAt {
  std::uint64_t offset = 0;
  JournalFrameHeader header;
};

struct ScannedFile {
  std::string name;
  std::uint64_t number = 0;  // in the name
  std::uint64_t bytes = 0;
  std::unique_ptr<env::File> file;
  bool has_header = false;  // of the file; without one, salt and use come from its frames
  bool is_zero = false;     // header block is all zero: created, never used
  bool is_spare = false;    // the header cannot be read, and nothing was ever written behind it
  JournalFileHeader header;
  std::vector<FrameAt> frames;         // numbers strictly grow
  std::set<std::uint64_t> bad_blocks;  // offsets of blocks that could not be read
  std::uint64_t end_of(const FrameAt& f) const { return f.offset + round_to_block(f.header.length); }

  /// Fills `out`; unreadable blocks become zero and are remembered. Short at the end of the file.
  std::size_t read(std::uint64_t offset, std::span<std::uint8_t> out);
  bool bad_within(std::uint64_t from, std::uint64_t to) const;
};

/// Opens and scans every journal file in `dir`, in order of use; files without a use come first.
Result<std::vector<ScannedFile>> scan_journal(env::Disk& disk, Log& log, const std::string& dir);

}  // namespace weir::store
