#include "broker/store/journal_format.h"

#include <gtest/gtest.h>

#include <string>

namespace weir::store {
namespace {

std::string hex(ByteSpan bytes) {
  std::string s;
  for (std::uint8_t b : bytes) {
    s += "0123456789abcdef"[b >> 4];
    s += "0123456789abcdef"[b & 15];
  }
  return s;
}

JournalFileHeader file_header() {
  JournalFileHeader h;
  h.salt = 0x1122334455667788;
  h.use = 7;
  h.first_needed = 42;
  h.file_bytes = 65536;
  return h;
}

JournalFrameHeader frame_header() {
  JournalFrameHeader h;
  h.salt = 0x1122334455667788;
  h.use = 7;
  h.number = 50;
  h.synced_through = 49;
  h.void_from = 40;
  h.void_to = 45;
  h.first_needed = 42;
  h.length = 200;
  h.count = 2;
  h.table_crc = 0xabcdef01;
  return h;
}

// Golden bytes: if one of these changes, the format version must change with it.
TEST(JournalFormat, GoldenFileHeader) {
  std::uint8_t out[kFileHeaderBytes];
  encode_file_header(file_header(), out);
  EXPECT_EQ(hex(out),
            "574549524a4e4c0a0100000000000000887766554433221107000000000000002a00000000000000"
            "0000010000000000000000000000000000000000aff3ccb8");
  auto h = decode_file_header(out);
  ASSERT_TRUE(h);
  EXPECT_EQ(h->salt, 0x1122334455667788u);
  EXPECT_EQ(h->use, 7u);
  EXPECT_EQ(h->first_needed, 42u);
  EXPECT_EQ(h->file_bytes, 65536u);
  EXPECT_EQ(h->version, kJournalVersion);
}

TEST(JournalFormat, GoldenFrameHeader) {
  std::uint8_t out[kFrameHeaderBytes];
  encode_frame_header(frame_header(), out);
  EXPECT_EQ(hex(out),
            "574a460a010000008877665544332211070000000000000032000000000000003100000000000000"
            "28000000000000002d000000000000002a00000000000000c80000000200000001efcdabb5eda2aa");
  auto h = decode_frame_header(out, 200);
  ASSERT_TRUE(h);
  EXPECT_EQ(h->number, 50u);
  EXPECT_EQ(h->synced_through, 49u);
  EXPECT_EQ(h->void_from, 40u);
  EXPECT_EQ(h->void_to, 45u);
  EXPECT_EQ(h->first_needed, 42u);
  EXPECT_EQ(h->length, 200u);
  EXPECT_EQ(h->count, 2u);
  EXPECT_EQ(h->table_crc, 0xabcdef01u);
}

TEST(JournalFormat, GoldenTableEntry) {
  JournalTableEntry e;
  e.group = GroupId(3);
  e.kind = RecordKind::kHardState;
  e.term = Term(9);
  e.index = RaftIndex(1000);
  e.prev_frame = 48;
  e.offset = 168;
  e.length = 5;
  std::uint8_t out[kTableEntryBytes];
  auto payload = as_span("hello");
  std::uint32_t seed = frame_seed(0x1122334455667788, 50);
  encode_table_entry(e, seed, payload, out);
  EXPECT_EQ(hex(out),
            "03000000020000000900000000000000e8030000000000003000000000000000a800000005000000"
            "91a7d332");
  EXPECT_TRUE(entry_crc_holds(out, seed, payload));
  EXPECT_FALSE(entry_crc_holds(out, seed, as_span("hellp")));
  EXPECT_FALSE(entry_crc_holds(out, frame_seed(0x1122334455667788, 51), payload));  // another frame
  EXPECT_FALSE(entry_crc_holds(out, frame_seed(0x1122334455667789, 50), payload));  // another use
  auto d = decode_table_entry(out);
  EXPECT_EQ(d.group, e.group);
  EXPECT_EQ(d.kind, e.kind);
  EXPECT_EQ(d.term, e.term);
  EXPECT_EQ(d.index, e.index);
  EXPECT_EQ(d.prev_frame, e.prev_frame);
  EXPECT_EQ(d.offset, e.offset);
  EXPECT_EQ(d.length, e.length);
}

TEST(JournalFormat, GoldenKindsAndDoubts) {
  constexpr RecordKind kKinds[] = {
      RecordKind::kEntry,        RecordKind::kHardState,     RecordKind::kRemoved, RecordKind::kNoop,
      RecordKind::kConfig,       RecordKind::kCut,           RecordKind::kReset,   RecordKind::kRepairedEntry,
      RecordKind::kRepairedNoop, RecordKind::kRepairedConfig};
  std::uint8_t number = 0;
  for (RecordKind k : kKinds) {
    JournalTableEntry e;
    e.kind = k;
    e.doubts = number % 4;
    std::uint8_t out[kTableEntryBytes];
    encode_table_entry(e, 0, {}, out);
    EXPECT_EQ(out[4], number + 1);
    EXPECT_EQ(out[5], number % 4);
    EXPECT_EQ(decode_table_entry(out).kind, k);
    EXPECT_EQ(decode_table_entry(out).doubts, number % 4);
    ++number;
    EXPECT_EQ(is_repair(k), number >= 8);
    if (is_entry(k)) {
      EXPECT_EQ(repaired_kind(repair_of(k)), k);
    }
  }
  EXPECT_EQ(doubts_after(3, RecordKind::kHardState), kEndInDoubt);
  EXPECT_EQ(doubts_after(3, RecordKind::kRepairedEntry), 3);
  EXPECT_EQ(doubts_after(3, RecordKind::kRemoved), 0);
  EXPECT_EQ(doubts_after(3, RecordKind::kEntry), kVoteInDoubt);
  EXPECT_EQ(doubts_after(3, RecordKind::kReset), kVoteInDoubt);
}

TEST(JournalFormat, EveryFlippedBitOfAHeaderIsSeen) {
  std::uint8_t file[kFileHeaderBytes];
  encode_file_header(file_header(), file);
  for (std::size_t i = 0; i < sizeof file * 8; ++i) {
    file[i / 8] = static_cast<std::uint8_t>(file[i / 8] ^ (1u << (i % 8)));
    EXPECT_FALSE(decode_file_header(file)) << i;
    file[i / 8] = static_cast<std::uint8_t>(file[i / 8] ^ (1u << (i % 8)));
  }
  std::uint8_t frame[kFrameHeaderBytes];
  encode_frame_header(frame_header(), frame);
  for (std::size_t i = 0; i < sizeof frame * 8; ++i) {
    frame[i / 8] = static_cast<std::uint8_t>(frame[i / 8] ^ (1u << (i % 8)));
    EXPECT_FALSE(decode_frame_header(frame, 1 << 20)) << i;
    frame[i / 8] = static_cast<std::uint8_t>(frame[i / 8] ^ (1u << (i % 8)));
  }
}

TEST(JournalFormat, ShortOrImpossibleHeadersAreRefused) {
  std::uint8_t out[kFrameHeaderBytes];
  encode_frame_header(frame_header(), out);
  for (std::size_t n = 0; n < sizeof out; ++n) EXPECT_FALSE(decode_frame_header({out, n}, 1 << 20));
  EXPECT_FALSE(decode_frame_header(out, 199));  // does not fit into the file
  auto refused = [&](auto change) {
    JournalFrameHeader h = frame_header();
    change(h);
    encode_frame_header(h, out);
    return !decode_frame_header(out, 1 << 20);
  };
  EXPECT_FALSE(refused([](auto&) {}));
  EXPECT_TRUE(refused([](auto& h) { h.number = 0; }));
  EXPECT_TRUE(refused([](auto& h) { h.number = ~std::uint64_t{0}; }));
  EXPECT_TRUE(refused([](auto& h) { h.use = ~std::uint64_t{0}; }));
  EXPECT_TRUE(refused([](auto& h) { h.synced_through = h.number; }));
  EXPECT_TRUE(refused([](auto& h) { h.void_from = h.void_to + 1; }));
  EXPECT_TRUE(refused([](auto& h) { h.void_to = h.number + 1; }));
  EXPECT_TRUE(refused([](auto& h) { h.first_needed = h.number + 1; }));
  EXPECT_TRUE(refused([](auto& h) { h.length = kFrameHeaderBytes + 2 * kTableEntryBytes - 1; }));
  EXPECT_TRUE(refused([](auto& h) { h.count = 0xffff'ffff; }));
  std::uint8_t file[kFileHeaderBytes];
  encode_file_header(file_header(), file);
  for (std::size_t n = 0; n < sizeof file; ++n) EXPECT_FALSE(decode_file_header({file, n}));
  auto h = file_header();
  h.first_needed = ~std::uint64_t{0};
  encode_file_header(h, file);
  EXPECT_FALSE(decode_file_header(file));
}

TEST(JournalFormat, ImpossibleEntries) {
  JournalTableEntry e;
  e.offset = 124;
  e.length = 10;
  EXPECT_FALSE(entry_is_possible(e, 134));  // of no group
  e.group = GroupId(1);
  EXPECT_TRUE(entry_is_possible(e, 134));
  EXPECT_FALSE(entry_is_possible(e, 133));
  e.length = 0xffff'ffff;
  EXPECT_FALSE(entry_is_possible(e, 0xffff'ffff));
  e.length = 1;
  e.offset = 100;  // inside the table
  EXPECT_FALSE(entry_is_possible(e, 1000));
  e.offset = 124;
  e.kind = static_cast<RecordKind>(0);
  EXPECT_FALSE(entry_is_possible(e, 1000));
  e.kind = static_cast<RecordKind>(11);
  EXPECT_FALSE(entry_is_possible(e, 1000));
  for (unsigned kind = 1; kind <= 10; ++kind) {
    e.kind = static_cast<RecordKind>(kind);
    EXPECT_TRUE(entry_is_possible(e, 1000));
  }
  e.doubts = 3;
  EXPECT_TRUE(entry_is_possible(e, 1000));
  e.doubts = 4;
  EXPECT_FALSE(entry_is_possible(e, 1000));
}

}  // namespace
}  // namespace weir::store
