#include "broker/server/state_page.h"

#include <gtest/gtest.h>

#include "broker/server/registration.h"
#include "broker/store/mem_store.h"

namespace weir::server {
namespace {

store::Message message(std::uint64_t seq, std::string_view record = "sbody") {
  return {StreamSeq(seq), Wall{1000}, Bytes::copy_of(record), 1, 0};
}

StatePage final_page(std::uint64_t last, std::vector<store::LiveRange> live) {
  StatePage p;
  p.final = true;
  p.position = {NodeId(77), 2, {RaftIndex(9), Term(2)}, {{NodeId(1), NodeId(2)}, {}, {}, {}, false}};
  p.last_seq = StreamSeq(last);
  p.last_time = Wall{5000};
  p.live = std::move(live);
  p.machine = {{"m", std::string("value")}};
  return p;
}

store::LiveRange range(std::uint64_t first, std::uint64_t last) {
  return {StreamSeq(first), StreamSeq(last)};
}

Bytes bytes_of(const StatePage& p) {
  BytesBuilder all;
  for (const Bytes& b : encode_state_page(p)) all.append(b.span());
  return all.freeze();
}

Result<StatePage> again(const StatePage& p) {
  return decode_state_page(bytes_of(p));
}

TEST(StatePage, ComesBack) {
  StatePage p = final_page(12, {range(3, 4), range(12, 12)});
  p.messages = {message(3), message(4), message(12, "s")};
  auto back = again(p);
  ASSERT_TRUE(back);
  ASSERT_EQ(back->messages.size(), 3u);
  EXPECT_EQ(back->messages[0].subject(), "s");
  EXPECT_EQ(back->messages[0].payload(), "body");
  EXPECT_EQ(back->messages[2].payload(), "");
  EXPECT_EQ(back->position, p.position);
  EXPECT_EQ(back->live, p.live);
  EXPECT_EQ(back->last_time, p.last_time);
  EXPECT_EQ(back->machine[0].key, "m");
  Bytes bytes = bytes_of(p);
  for (std::size_t n = 0; n < bytes.size(); ++n)
    EXPECT_FALSE(decode_state_page(bytes.sub(0, n)).has_value()) << n;
}

TEST(StatePage, SequencesOfMessagesRise) {
  StatePage p;
  p.messages = {message(3), message(3)};
  EXPECT_FALSE(again(p).has_value());
  p.messages = {message(0)};
  EXPECT_FALSE(again(p).has_value());
}

// A sender that is wrong, or lies, must not make the asker count the same sequence twice or backwards.
TEST(StatePage, LiveRangesAreInOrderAndApart) {
  EXPECT_TRUE(again(final_page(9, {range(1, 2), range(4, 9)})).has_value());
  EXPECT_FALSE(again(final_page(9, {range(1, 5), range(5, 9)})).has_value());
  EXPECT_FALSE(again(final_page(9, {range(4, 5), range(1, 2)})).has_value())
      << "the gap goes round through 0";
  EXPECT_FALSE(again(final_page(9, {range(0, 2)})).has_value());
  EXPECT_FALSE(again(final_page(9, {range(1, 10)})).has_value());
  EXPECT_FALSE(again(final_page(9, {range(4, 3)})).has_value()) << "so does the length";
}

TEST(StatePage, NoSequenceHasNoSuccessor) {
  constexpr std::uint64_t kMax = ~std::uint64_t{0};
  EXPECT_FALSE(again(final_page(kMax, {})).has_value());
  StatePage p;
  p.messages = {message(kMax)};
  EXPECT_FALSE(again(p).has_value());
  p.messages = {message(std::uint64_t{1} << 63)};
  EXPECT_TRUE(again(p).has_value());
}

TEST(StatePage, FillsAStoreAndCutsIt) {
  store::MemStore store;
  StatePage first;
  first.messages = {message(3), message(4), message(7)};
  ASSERT_TRUE(fill_from_page(store, first).has_value());
  StatePage last = final_page(20, {range(4, 4), range(11, 11)});
  last.messages = {message(11)};
  ASSERT_TRUE(fill_from_page(store, last).has_value());
  ASSERT_TRUE(cut_to_page(store, last).has_value());
  EXPECT_EQ(store.state().messages, 2u);
  EXPECT_EQ(store.state().last_seq, StreamSeq(20));
  EXPECT_EQ(store.live_ranges(StreamSeq(0), 9), last.live);
}

TEST(StatePage, WhatDoesNotFitTheStoreIsRefused) {
  store::MemStore store;
  StatePage p;
  EXPECT_FALSE(fill_from_page(store, p).has_value()) << "asking again would give the same";
  p.messages = {message(5)};
  ASSERT_TRUE(fill_from_page(store, p).has_value());
  p.messages = {message(5)};
  EXPECT_FALSE(fill_from_page(store, p).has_value());
  EXPECT_FALSE(cut_to_page(store, final_page(9, {range(5, 6)})).has_value()) << "6 is missing";
  EXPECT_FALSE(cut_to_page(store, final_page(4, {})).has_value()) << "it had 5";
}

TEST(StateRequest, ComesBackAndDamageIsRefused) {
  Bytes bytes = encode_state_request({GroupId(5), StreamSeq(300)});
  auto q = decode_state_request(bytes.span());
  ASSERT_TRUE(q);
  EXPECT_EQ(q->group, GroupId(5));
  EXPECT_EQ(q->from, StreamSeq(300));
  for (std::size_t n = 0; n < bytes.size(); ++n)
    EXPECT_FALSE(decode_state_request(bytes.span().first(n)).has_value());
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
