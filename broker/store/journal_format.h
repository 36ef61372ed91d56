// broker/store/journal_format.h - bytes of journal files: file header, frame header, record table.
//
// Room:     pure. docs/formats/journal.md is the same thing in words; journal_format_test.cc pins it
//           with golden bytes.
// Units:    offsets and lengths in bytes; frames begin at multiples of kJournalBlock.
// Trust:    nothing decoded here is trusted before its CRC held, and every range is checked after.
#pragma once

#include <cstdint>
#include <optional>

#include "broker/base/bytes.h"
#include "broker/base/ids.h"
#include "broker/store/journal.h"

namespace weir::store {

constexpr std::size_t kJournalBlock = 4096;  // file header; alignment of frames
constexpr std::uint8_t kJournalVersion = 1;
constexpr std::size_t kFileHeaderBytes = 64;
constexpr std::size_t kFrameHeaderBytes = 80;
constexpr std::size_t kTableEntryBytes = 44;
/// Frame and use numbers above this are damage, whatever their checksum says.
constexpr std::uint64_t kJournalNumberMax = std::uint64_t{1} << 62;

struct JournalFileHeader {
  std::uint8_t version = kJournalVersion;
  std::uint64_t salt = 0;          // random for each use of the file; never 0
  std::uint64_t use = 0;           // order of the files; 1 is the first ever
  std::uint64_t first_needed = 1;  // frames below this number are void, wherever they are found
  std::uint64_t file_bytes = 0;
};

struct JournalFrameHeader {
  std::uint64_t salt = 0;            // that of the file
  std::uint64_t use = 0;             // that of the file
  std::uint64_t number = 0;          // grows by one per frame; a skipped number is a known hole
  std::uint64_t synced_through = 0;  // the promise: frames up to this one had been synced
  std::uint64_t void_from = 0;       // frames in [void_from, void_to) are replaced by this one
  std::uint64_t void_to = 0;
  std::uint64_t first_needed = 1;
  std::uint32_t length = 0;  // header, table and payloads; the file is written to the next block
  std::uint32_t count = 0;   // of records
  std::uint32_t table_crc = 0;
};

struct JournalTableEntry {
  GroupId group;
  RecordKind kind = RecordKind::kEntry;
  Term term;
  RaftIndex index;
  std::uint64_t prev_frame = 0;  // frame of this group's record before this one; 0 none
  std::uint32_t offset = 0;      // of the payload, from the start of the frame
  std::uint32_t length = 0;
  std::uint8_t doubts = 0;  // kVoteInDoubt, kEndInDoubt
  std::uint32_t crc = 0;    // of the 40 bytes before it and the payload
};

/// Faults of the group that its owner had not answered with, or before, this record.
constexpr std::uint8_t kVoteInDoubt = 1;
constexpr std::uint8_t kEndInDoubt = 2;
/// What of `doubts` is left once the owner has written a record of this kind: a vote is superseded by the
/// next hard state, a lost end by what is appended or cut in its place.
constexpr std::uint8_t doubts_after(std::uint8_t doubts, RecordKind kind) {
  if (kind == RecordKind::kRemoved) return 0;
  if (is_repair(kind)) return doubts;
  return doubts & (kind == RecordKind::kHardState ? kEndInDoubt : kVoteInDoubt);
}

constexpr std::uint64_t round_to_block(std::uint64_t n) {
  return (n + kJournalBlock - 1) / kJournalBlock * kJournalBlock;
}

/// Start value of every checksum inside a frame: bytes of another use or frame never match.
std::uint32_t frame_seed(std::uint64_t salt, std::uint64_t number);

/// `out` has kFileHeaderBytes.
void encode_file_header(const JournalFileHeader& h, std::uint8_t* out);
/// nullopt: magic or CRC wrong, or less than kFileHeaderBytes. The version is for the caller to check.
std::optional<JournalFileHeader> decode_file_header(ByteSpan bytes);

/// `out` has kFrameHeaderBytes.
void encode_frame_header(const JournalFrameHeader& h, std::uint8_t* out);
/// nullopt: not a whole, consistent header of this version. `room` = bytes from here to the end of
/// the file: a frame that does not fit is no frame.
std::optional<JournalFrameHeader> decode_frame_header(ByteSpan bytes, std::uint64_t room);

/// `out` has kTableEntryBytes; e.crc is computed, not read.
void encode_table_entry(const JournalTableEntry& e, std::uint32_t seed, ByteSpan payload, std::uint8_t* out);
/// Fields only; the CRC is checked by entry_crc_holds once the payload is at hand.
JournalTableEntry decode_table_entry(const std::uint8_t* bytes);
bool entry_crc_holds(const std::uint8_t* bytes, std::uint32_t seed, ByteSpan payload);
/// Whether kind, group and payload range are possible in a frame of `frame_length` bytes.
bool entry_is_possible(const JournalTableEntry& e, std::uint64_t frame_length);

}  // namespace weir::store
