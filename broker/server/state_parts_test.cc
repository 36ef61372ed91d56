#include "broker/server/state_parts.h"

#include <gtest/gtest.h>

namespace weir::server {
namespace {

constexpr NodeId kOne{1u << kIncarnationBits}, kTwo{2u << kIncarnationBits};
constexpr GroupId kGroup{5};
constexpr Mono kNow{100 * kSecond};

std::string text_of(std::size_t size, char first = 'a') {
  std::string out;
  for (std::size_t i = 0; i < size; ++i) out.push_back(static_cast<char>(first + static_cast<int>(i % 23)));
  return out;
}
Bytes bytes_of(std::size_t size, char first = 'a') {
  return Bytes::copy_of(text_of(size, first));
}
StateRequest after(const StatePart& p, GroupId group = kGroup) {
  return {group, StreamSeq(1), p.cut, p.offset + p.bytes.size()};
}

TEST(StateParts, ALargeCutArrivesWhole) {
  KeptCuts kept(7);
  CutParts parts;
  auto first = kept.begin(kOne, kGroup, bytes_of(1005), 100, kNow);
  ASSERT_TRUE(first);
  EXPECT_EQ(kept.bytes(), 1005u);
  std::optional<StatePart> part = std::move(*first);
  std::size_t count = 0;
  while (part) {
    ++count;
    ASSERT_LE(part->bytes.size(), 100u);
    ASSERT_TRUE(parts.add(*part));
    if (parts.complete()) break;
    EXPECT_EQ(kept.count(), 1u);
    part = kept.next(kOne, after(*part), 100, kNow);
  }
  ASSERT_TRUE(parts.complete());
  EXPECT_EQ(count, 11u);
  EXPECT_TRUE(kept.empty()) << "who has all of it asks no more";
  EXPECT_EQ(kept.bytes(), 0u);
  EXPECT_EQ(parts.take().text(), text_of(1005));
  EXPECT_FALSE(parts.begun());
}

TEST(StateParts, WhatFitsOnePageIsNotKept) {
  KeptCuts kept(7);
  CutParts parts;
  auto only = kept.begin(kOne, kGroup, bytes_of(100), 100, kNow);
  ASSERT_TRUE(only);
  EXPECT_TRUE(kept.empty());
  ASSERT_TRUE(parts.add(*only));
  EXPECT_TRUE(parts.complete());
}

TEST(StateParts, ACutIsOfOneAskerAndOneGroup) {
  KeptCuts kept(7);
  auto one = kept.begin(kOne, kGroup, bytes_of(300, 'a'), 100, kNow);
  auto two = kept.begin(kTwo, kGroup, bytes_of(300, 'b'), 100, kNow);
  auto other = kept.begin(kOne, GroupId(6), bytes_of(300, 'c'), 100, kNow);
  ASSERT_TRUE(one && two && other);
  EXPECT_EQ(kept.count(), 3u);
  EXPECT_FALSE(kept.next(kTwo, after(*one), 100, kNow));
  EXPECT_FALSE(kept.next(kOne, after(*one, GroupId(6)), 100, kNow));
  EXPECT_FALSE(kept.next(NodeId(9), after(*one), 100, kNow));
  StateRequest beyond = after(*one);
  beyond.offset = 300;
  EXPECT_FALSE(kept.next(kOne, beyond, 100, kNow));
  EXPECT_EQ(kept.next(kTwo, after(*two), 100, kNow)->bytes.text(), text_of(300, 'b').substr(100, 100));
  kept.drop(kGroup);
  EXPECT_EQ(kept.count(), 1u);
  EXPECT_FALSE(kept.next(kOne, after(*one), 100, kNow)) << "the stream's host is gone";
  EXPECT_TRUE(kept.next(kOne, after(*other, GroupId(6)), 100, kNow));
}

TEST(StateParts, AnotherOneOfTheSameAskerTakesItsPlace) {
  KeptCuts kept(7);
  auto one = kept.begin(kOne, kGroup, bytes_of(300), 100, kNow);
  auto two = kept.begin(kOne, kGroup, bytes_of(400), 100, kNow);
  ASSERT_TRUE(one && two);
  EXPECT_NE(one->cut, two->cut);
  EXPECT_EQ(kept.bytes(), 400u);
  EXPECT_FALSE(kept.next(kOne, after(*one), 100, kNow));
  EXPECT_TRUE(kept.next(kOne, after(*two), 100, kNow));
}

TEST(StateParts, WhatNobodyAsksForIsDropped) {
  KeptCuts kept(7, {16, 1000, 10 * kSecond});
  auto one = kept.begin(kOne, kGroup, bytes_of(300), 100, kNow);
  auto two = kept.begin(kTwo, kGroup, bytes_of(300), 100, kNow);
  ASSERT_TRUE(one && two);
  ASSERT_TRUE(kept.next(kTwo, after(*two), 100, kNow + 6 * kSecond));
  kept.drop_idle(kNow + 10 * kSecond);
  EXPECT_EQ(kept.count(), 1u);
  EXPECT_FALSE(kept.next(kOne, after(*one), 100, kNow + 10 * kSecond));
  kept.drop_idle(kNow + 16 * kSecond);
  EXPECT_TRUE(kept.empty());
}

TEST(StateParts, NotMoreThanSoManyAreKept) {
  KeptCuts kept(7, {2, 1000, 10 * kSecond});
  ASSERT_TRUE(kept.begin(kOne, GroupId(1), bytes_of(900), 100, kNow));
  ASSERT_TRUE(kept.begin(kOne, GroupId(2), bytes_of(900), 100, kNow)) << "one may reach over the bytes";
  auto third = kept.begin(kOne, GroupId(3), bytes_of(101), 100, kNow);
  ASSERT_FALSE(third);
  EXPECT_EQ(third.error().code, Code::kUnavailable);
  EXPECT_TRUE(kept.begin(kOne, GroupId(3), bytes_of(100), 100, kNow)) << "nothing of it is kept";
  EXPECT_TRUE(kept.begin(kOne, GroupId(3), bytes_of(101), 100, kNow + 10 * kSecond)) << "the others are over";
  EXPECT_EQ(kept.count(), 1u);
  KeptCuts small(7, {16, 1000, 10 * kSecond});
  ASSERT_TRUE(small.begin(kOne, GroupId(1), bytes_of(1000), 100, kNow));
  EXPECT_FALSE(small.begin(kOne, GroupId(2), bytes_of(200), 100, kNow));
}

TEST(StateParts, WhatDoesNotFollowIsRefused) {
  KeptCuts kept(7);
  auto first = kept.begin(kOne, kGroup, bytes_of(300), 100, kNow);
  ASSERT_TRUE(first);
  StatePart second = kept.next(kOne, after(*first), 100, kNow).value();
  StatePart third = kept.next(kOne, after(second), 100, kNow).value();
  auto refused = [&](const StatePart& bad) {
    CutParts parts;
    EXPECT_TRUE(parts.add(*first));
    EXPECT_EQ(parts.size(), 100u);
    return !parts.add(bad);
  };
  EXPECT_FALSE(refused(second));
  EXPECT_TRUE(refused(third)) << "one is missing";
  EXPECT_TRUE(refused(*first)) << "it is there already";
  auto changed = [&](auto change) {
    StatePart bad = second;
    change(bad);
    return bad;
  };
  EXPECT_TRUE(refused(changed([](StatePart& p) { ++p.cut; })));
  EXPECT_TRUE(refused(changed([](StatePart& p) { ++p.total; })));
  EXPECT_TRUE(refused(changed([](StatePart& p) { ++p.crc; })));
  EXPECT_TRUE(refused(changed([](StatePart& p) { p.bytes = Bytes(); })));
  EXPECT_TRUE(refused(changed([](StatePart& p) { p.bytes = bytes_of(201); }))) << "more than all";
  CutParts parts;
  EXPECT_FALSE(parts.add(second)) << "nothing was begun";
  EXPECT_TRUE(parts.add(*first));
  EXPECT_TRUE(parts.add(second));
  third.bytes = bytes_of(100, 'z');
  EXPECT_FALSE(parts.add(third)) << "not what was sent";
}

}  // namespace
}  // namespace weir::server
