#include "broker/store/journal_format.h"

#include <cstring>

#include "broker/base/crc32c.h"
#include "broker/base/varint.h"

namespace weir::store {
namespace {
constexpr char kFileMagic[8] = {'W', 'E', 'I', 'R', 'J', 'N', 'L', '\n'};
constexpr char kFrameMagic[4] = {'W', 'J', 'F', '\n'};
}  // namespace

std::uint32_t frame_seed(std::uint64_t salt, std::uint64_t number) {
  std::uint8_t b[16];
  put_u64(b, salt);
  put_u64(b + 8, number);
  return crc32c({b, sizeof b});
}

void encode_file_header(const JournalFileHeader& h, std::uint8_t* out) {
  std::memset(out, 0, kFileHeaderBytes);
  std::memcpy(out, kFileMagic, 8);
  out[8] = h.version;
  put_u64(out + 16, h.salt);
  put_u64(out + 24, h.use);
  put_u64(out + 32, h.first_needed);
  put_u64(out + 40, h.file_bytes);
  put_u32(out + 60, crc32c({out, 60}));
}

std::optional<JournalFileHeader> decode_file_header(ByteSpan bytes) {
  if (bytes.size() < kFileHeaderBytes || std::memcmp(bytes.data(), kFileMagic, 8) != 0) return std::nullopt;
  const std::uint8_t* p = bytes.data();
  if (get_u32(p + 60) != crc32c({p, 60})) return std::nullopt;
  JournalFileHeader h;
  h.version = p[8];
  h.salt = get_u64(p + 16);
  h.use = get_u64(p + 24);
  h.first_needed = get_u64(p + 32);
  h.file_bytes = get_u64(p + 40);
  if (h.use > kJournalNumberMax || h.first_needed > kJournalNumberMax) return std::nullopt;
  return h;
}

void encode_frame_header(const JournalFrameHeader& h, std::uint8_t* out) {
  std::memset(out, 0, kFrameHeaderBytes);
  std::memcpy(out, kFrameMagic, 4);
  out[4] = kJournalVersion;
  put_u64(out + 8, h.salt);
  put_u64(out + 16, h.use);
  put_u64(out + 24, h.number);
  put_u64(out + 32, h.synced_through);
  put_u64(out + 40, h.void_from);
  put_u64(out + 48, h.void_to);
  put_u64(out + 56, h.first_needed);
  put_u32(out + 64, h.length);
  put_u32(out + 68, h.count);
  put_u32(out + 72, h.table_crc);
  put_u32(out + 76, crc32c({out, 76}));
}

std::optional<JournalFrameHeader> decode_frame_header(ByteSpan bytes, std::uint64_t room) {
  if (bytes.size() < kFrameHeaderBytes || std::memcmp(bytes.data(), kFrameMagic, 4) != 0) return std::nullopt;
  const std::uint8_t* p = bytes.data();
  if (p[4] != kJournalVersion || get_u32(p + 76) != crc32c({p, 76})) return std::nullopt;
  JournalFrameHeader h;
  h.salt = get_u64(p + 8);
  h.use = get_u64(p + 16);
  h.number = get_u64(p + 24);
  h.synced_through = get_u64(p + 32);
  h.void_from = get_u64(p + 40);
  h.void_to = get_u64(p + 48);
  h.first_needed = get_u64(p + 56);
  h.length = get_u32(p + 64);
  h.count = get_u32(p + 68);
  h.table_crc = get_u32(p + 72);
  std::uint64_t least = kFrameHeaderBytes + std::uint64_t{h.count} * kTableEntryBytes;
  bool possible = h.number >= 1 && h.number <= kJournalNumberMax && h.use <= kJournalNumberMax &&
                  h.synced_through < h.number && h.void_from <= h.void_to && h.void_to <= h.number &&
                  h.first_needed <= h.number && h.length >= least && h.length <= room;
  if (!possible) return std::nullopt;
  return h;
}

void encode_table_entry(const JournalTableEntry& e, std::uint32_t seed, ByteSpan payload, std::uint8_t* out) {
  put_u32(out, e.group.v);
  out[4] = static_cast<std::uint8_t>(e.kind);
  out[5] = e.doubts;
  out[6] = out[7] = 0;
  put_u64(out + 8, e.term.v);
  put_u64(out + 16, e.index.v);
  put_u64(out + 24, e.prev_frame);
  put_u32(out + 32, e.offset);
  put_u32(out + 36, e.length);
  put_u32(out + 40, crc32c(payload, crc32c({out, 40}, seed)));
}

JournalTableEntry decode_table_entry(const std::uint8_t* p) {
  JournalTableEntry e;
  e.group = GroupId(get_u32(p));
  e.kind = static_cast<RecordKind>(p[4]);
  e.doubts = p[5];
  e.term = Term(get_u64(p + 8));
  e.index = RaftIndex(get_u64(p + 16));
  e.prev_frame = get_u64(p + 24);
  e.offset = get_u32(p + 32);
  e.length = get_u32(p + 36);
  e.crc = get_u32(p + 40);
  return e;
}

bool entry_crc_holds(const std::uint8_t* p, std::uint32_t seed, ByteSpan payload) {
  return get_u32(p + 40) == crc32c(payload, crc32c({p, 40}, seed));
}

bool entry_is_possible(const JournalTableEntry& e, std::uint64_t frame_length) {
  auto kind = static_cast<std::uint8_t>(e.kind);
  return e.group.v != 0 && kind >= 1 && kind <= 10 && e.doubts <= (kVoteInDoubt | kEndInDoubt) &&
         e.offset >= kFrameHeaderBytes + kTableEntryBytes &&
         std::uint64_t{e.offset} + e.length <= frame_length;
}

}  // namespace weir::store
