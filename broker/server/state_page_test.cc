#include "broker/server/state_page.h"

#include <gtest/gtest.h>

#include "broker/server/registration.h"
#include "broker/store/mem_store.h"

namespace weir::server {
namespace {

store::Message message(std::uint64_t seq, std::string_view record = "sbody") {
  return {StreamSeq(seq), Wall{1000}, Bytes::copy_of(record), 1, 0};
}

StateCut cut_of(std::uint64_t last, std::vector<store::LiveRange> live) {
  StateCut c;
  c.position = {NodeId(77), 2, {RaftIndex(9), Term(2)}, {{NodeId(1), NodeId(2)}, {}, {}, {}, false}};
  c.last_seq = StreamSeq(last);
  c.last_time = Wall{5000};
  c.live = std::move(live);
  c.machine = {{"m", std::string("value")}};
  return c;
}

store::LiveRange range(std::uint64_t first, std::uint64_t last) {
  return {StreamSeq(first), StreamSeq(last)};
}

Bytes bytes_of(const StatePage& p, std::uint8_t format = kStateFormat) {
  auto pieces = encode_state_page(p, format);
  BytesBuilder all;
  for (const Bytes& b : pieces.value()) all.append(b.span());
  return all.freeze();
}

Result<StatePage> again(const StatePage& p) {
  return decode_state_page(bytes_of(p));
}

Result<StateCut> again(const StateCut& c) {
  return decode_state_cut(encode_state_cut(c).value().span());
}

void expect_same(const StateCut& a, const StateCut& b) {
  EXPECT_EQ(a.position, b.position);
  EXPECT_EQ(a.last_seq, b.last_seq);
  EXPECT_EQ(a.live, b.live);
  EXPECT_EQ(a.last_time, b.last_time);
  ASSERT_EQ(a.machine.size(), b.machine.size());
  EXPECT_EQ(a.machine[0].key, b.machine[0].key);
  EXPECT_EQ(a.machine[0].value, b.machine[0].value);
}

StatePage page_with_part() {
  StatePage p;
  p.messages = {message(3), message(4), message(12, "s")};
  p.part = StatePart{6, 1000, 0x01020304, 200, Bytes::copy_of("piece")};
  return p;
}

TEST(StatePage, ComesBack) {
  StatePage p = page_with_part();
  auto back = again(p);
  ASSERT_TRUE(back);
  ASSERT_EQ(back->messages.size(), 3u);
  EXPECT_EQ(back->messages[0].subject(), "s");
  EXPECT_EQ(back->messages[0].payload(), "body");
  EXPECT_EQ(back->messages[2].payload(), "");
  ASSERT_TRUE(back->part);
  EXPECT_EQ(back->part->cut, 6u);
  EXPECT_EQ(back->part->total, 1000u);
  EXPECT_EQ(back->part->crc, 0x01020304u);
  EXPECT_EQ(back->part->offset, 200u);
  EXPECT_EQ(back->part->bytes.text(), "piece");
  Bytes bytes = bytes_of(p);
  for (std::size_t n = 0; n < bytes.size(); ++n)
    EXPECT_FALSE(decode_state_page(bytes.sub(0, n)).has_value()) << n;
  EXPECT_FALSE(decode_state_page(Bytes::copy_of(std::string(bytes.text()) + "x")).has_value());
  p.part.reset();
  back = again(p);
  ASSERT_TRUE(back);
  EXPECT_FALSE(back->part || back->whole);
}

TEST(StatePage, PartsThatCannotBeAreRefused) {
  auto refused = [](auto change) {
    StatePage p = page_with_part();
    change(*p.part);
    return !again(p).has_value();
  };
  EXPECT_FALSE(refused([](StatePart&) {}));
  EXPECT_TRUE(refused([](StatePart& p) { p.cut = 0; }));
  EXPECT_TRUE(refused([](StatePart& p) { p.bytes = Bytes(); }));
  EXPECT_TRUE(refused([](StatePart& p) { p.total = 200; })) << "nothing is left";
  EXPECT_TRUE(refused([](StatePart& p) { p.total = 204; })) << "it has less";
  EXPECT_FALSE(refused([](StatePart& p) { p.total = kCutBytesMax; }));
  EXPECT_TRUE(refused([](StatePart& p) { p.total = kCutBytesMax + 1; }));
  EXPECT_TRUE(refused([](StatePart& p) { p.offset = ~std::uint64_t{0}; }));
}

// Nodes of the build before are spoken with as they speak.
TEST(StatePage, TheFormatBeforeHasTheWholeCut) {
  StatePage p;
  p.messages = {message(3), message(12, "s")};
  Bytes first = bytes_of(p, kStateFormatWhole);
  EXPECT_EQ(first.span()[0], 1);
  auto back = decode_state_page(first);
  ASSERT_TRUE(back);
  EXPECT_FALSE(back->whole);
  p.whole = cut_of(12, {range(3, 3), range(12, 12)});
  Bytes last = bytes_of(p, kStateFormatWhole);
  back = decode_state_page(last);
  ASSERT_TRUE(back);
  ASSERT_TRUE(back->whole);
  EXPECT_EQ(back->messages.size(), 2u);
  expect_same(*back->whole, *p.whole);
  for (std::size_t n = 0; n < last.size(); ++n)
    EXPECT_FALSE(decode_state_page(last.sub(0, n)).has_value()) << n;
  std::string later(last.text());
  later[0] = 3;
  EXPECT_EQ(decode_state_page(Bytes::copy_of(later)).error().code, Code::kUnsupported);
}

TEST(StateCut, ComesBack) {
  StateCut c = cut_of(12, {range(3, 4), range(12, 12)});
  auto back = again(c);
  ASSERT_TRUE(back);
  expect_same(*back, c);
  Bytes bytes = encode_state_cut(c).value();
  for (std::size_t n = 0; n < bytes.size(); ++n)
    EXPECT_FALSE(decode_state_cut(bytes.span().first(n)).has_value()) << n;
  EXPECT_FALSE(decode_state_cut(as_span(std::string(bytes.text()) + "x")).has_value());
}

TEST(StatePage, SequencesOfMessagesRise) {
  StatePage p;
  p.messages = {message(3), message(3)};
  EXPECT_FALSE(again(p).has_value());
  p.messages = {message(0)};
  EXPECT_FALSE(again(p).has_value());
}

// A sender that is wrong, or lies, must not make the asker count the same sequence twice or backwards.
TEST(StateCut, LiveRangesAreInOrderAndApart) {
  EXPECT_TRUE(again(cut_of(9, {range(1, 2), range(4, 9)})).has_value());
  EXPECT_FALSE(again(cut_of(9, {range(1, 5), range(5, 9)})).has_value());
  EXPECT_FALSE(again(cut_of(9, {range(4, 5), range(1, 2)})).has_value()) << "the gap goes round through 0";
  EXPECT_FALSE(again(cut_of(9, {range(0, 2)})).has_value());
  EXPECT_FALSE(again(cut_of(9, {range(1, 10)})).has_value());
  EXPECT_FALSE(again(cut_of(9, {range(4, 3)})).has_value()) << "so does the length";
}

TEST(StatePage, NoSequenceHasNoSuccessor) {
  constexpr std::uint64_t kMax = ~std::uint64_t{0};
  EXPECT_FALSE(again(cut_of(kMax, {})).has_value());
  StatePage p;
  p.messages = {message(kMax)};
  EXPECT_FALSE(again(p).has_value());
  p.messages = {message(std::uint64_t{1} << 63)};
  EXPECT_TRUE(again(p).has_value());
}

TEST(StatePage, FillsAStoreThatIsThenCut) {
  store::MemStore store;
  StatePage first, second;
  first.messages = {message(3), message(4), message(7)};
  ASSERT_TRUE(fill_from_page(store, first).has_value());
  second.messages = {message(11)};
  ASSERT_TRUE(fill_from_page(store, second).has_value());
  StatePage part = page_with_part();
  part.messages.clear();
  ASSERT_TRUE(fill_from_page(store, part).has_value());
  StateCut cut = cut_of(20, {range(4, 4), range(11, 11)});
  ASSERT_TRUE(cut_store(store, cut).has_value());
  EXPECT_EQ(store.state().messages, 2u);
  EXPECT_EQ(store.state().last_seq, StreamSeq(20));
  EXPECT_EQ(store.live_ranges(StreamSeq(0), 9), cut.live);
}

// More than are looked at in one go, and every second one is gone.
TEST(StateCut, HasManyRanges) {
  store::MemStore store;
  StateCut cut = cut_of(450'001, {});
  for (std::uint64_t seq = 1; seq <= 450'001; seq += 2) {
    store.append(message(seq));
    if (seq % 3 != 0) cut.live.push_back(range(seq, seq));
  }
  auto back = again(cut);
  ASSERT_TRUE(back);
  EXPECT_EQ(back->live, cut.live);
  ASSERT_TRUE(cut_store(store, *back).has_value());
  EXPECT_EQ(store.live_ranges(StreamSeq(0), 1'000'000), cut.live);
}

TEST(StatePage, WhatDoesNotFitTheStoreIsRefused) {
  store::MemStore store;
  StatePage p;
  EXPECT_FALSE(fill_from_page(store, p).has_value()) << "asking again would give the same";
  p.messages = {message(5)};
  ASSERT_TRUE(fill_from_page(store, p).has_value());
  p.messages = {message(5)};
  EXPECT_FALSE(fill_from_page(store, p).has_value());
  EXPECT_FALSE(cut_store(store, cut_of(9, {range(5, 6)})).has_value()) << "6 is missing";
  EXPECT_FALSE(cut_store(store, cut_of(4, {})).has_value()) << "it had 5";
}

TEST(StateRequest, ComesBackAndDamageIsRefused) {
  for (std::uint8_t format : {kStateFormat, kStateFormatWhole}) {
    bool parts = format == kStateFormat;
    StateRequest asked{GroupId(5), StreamSeq(300), parts ? 7u : 0u, parts ? 1000u : 0u, format};
    Bytes bytes = encode_state_request(asked);
    auto q = decode_state_request(bytes.span());
    ASSERT_TRUE(q);
    EXPECT_EQ(q->group, GroupId(5));
    EXPECT_EQ(q->from, StreamSeq(300));
    EXPECT_EQ(q->cut, asked.cut);
    EXPECT_EQ(q->offset, asked.offset);
    EXPECT_EQ(q->format, format);
    for (std::size_t n = 0; n < bytes.size(); ++n)
      EXPECT_FALSE(decode_state_request(bytes.span().first(n)).has_value());
  }
  EXPECT_FALSE(decode_state_request(encode_state_request({GroupId(5), StreamSeq(1), 0, 9}).span()));
  EXPECT_EQ(
      decode_state_request(encode_state_request({GroupId(5), StreamSeq(1), 0, 0, 3}).span()).error().code,
      Code::kUnsupported);
}

TEST(Registration, ComesBackAndDamageIsRefused) {
  Registration r{NodeId(5u << 24), "n1", "C", "", {"az:1", "ssd"}, 9};
  Bytes bytes = encode_registration(r);
  auto back = decode_registration(bytes.span());
  ASSERT_TRUE(back);
  EXPECT_EQ(back->id, r.id);
  EXPECT_EQ(back->tags, r.tags);
  EXPECT_EQ(back->boot, 9u);
  for (std::size_t n = 0; n < bytes.size(); ++n)
    EXPECT_FALSE(decode_registration(bytes.span().first(n)).has_value());
  r.id = NodeId((5u << 24) + 1);
  EXPECT_FALSE(decode_registration(encode_registration(r).span()).has_value()) << "a replica, no node";
  r.id = NodeId(5u << 24);
  r.name = "";
  EXPECT_FALSE(decode_registration(encode_registration(r).span()).has_value());
  r.name = "n1";
  r.tags.assign(257, "t");
  EXPECT_FALSE(decode_registration(encode_registration(r).span()).has_value());
}

}  // namespace
}  // namespace weir::server
