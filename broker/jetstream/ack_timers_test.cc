#include "broker/jetstream/ack_timers.h"

#include <gtest/gtest.h>

#include <vector>

#include "broker/jetstream/consumer_output.h"

namespace weir::jetstream {
namespace {

Mono at(std::uint64_t ms) {
  return Mono{static_cast<Nanos>(ms) * kMillisecond};
}

TEST(AckTimers, NothingArmed) {
  AckTimers t;
  t.reset(1);
  EXPECT_EQ(t.next(), kNoDeadline);
  EXPECT_FALSE(t.take_due(at(1'000'000)));
}

TEST(AckTimers, DeadlineIsNeverEarly) {
  Mono now{5 * kMillisecond + 1};
  EXPECT_GE(static_cast<Nanos>(AckTimers::deadline_ms(now, 0)) * kMillisecond, now.ns);
  EXPECT_NE(AckTimers::deadline_ms(Mono{}, 0), kQueued);
  // Absurd waits stay within a pending entry's stamp.
  EXPECT_LT(AckTimers::deadline_ms(now, kNoDeadline.ns), std::uint64_t{1} << 42);
}

TEST(AckTimers, SameMillisecondSharesARun) {
  AckTimers t;
  t.reset(1);
  for (std::uint64_t s = 1; s <= 100; ++s) t.arm(0, 10, StreamSeq(s * 3));
  t.arm(0, 11, StreamSeq(301));
  EXPECT_FALSE(t.take_due(at(9)));
  auto run = t.take_due(at(10));
  ASSERT_TRUE(run);
  EXPECT_EQ(run->range, (SeqRange{StreamSeq(3), StreamSeq(300)}));
  EXPECT_FALSE(t.take_due(at(10)));
  EXPECT_EQ(t.next(), at(11));
}

TEST(AckTimers, LowerSequenceInTheSameMillisecondIsKeptApart) {
  AckTimers t;
  t.reset(1);
  t.arm(0, 10, StreamSeq(9));
  t.arm(0, 10, StreamSeq(2));
  EXPECT_EQ(t.take_due(at(10))->range.first, StreamSeq(2 + 7));
  EXPECT_EQ(t.take_due(at(10))->range.first, StreamSeq(2));
}

TEST(AckTimers, EarliestOfAllWaitsComesFirst) {
  AckTimers t;
  t.reset(2);
  t.arm(0, 30, StreamSeq(1));
  t.arm(1, 20, StreamSeq(2));
  t.arm(1, 15, StreamSeq(3));  // falls within its wait: still in order
  t.arm_odd(10, StreamSeq(4));
  std::vector<std::uint64_t> seqs;
  while (auto run = t.take_due(at(100))) seqs.push_back(run->range.first.v);
  EXPECT_EQ(seqs, (std::vector<std::uint64_t>{4, 3, 2, 1}));
}

TEST(AckTimers, TrimDropsDeadRunsAtTheFront) {
  AckTimers t;
  t.reset(1);
  for (std::uint64_t s = 1; s <= 1000; ++s) t.arm(0, s, StreamSeq(s));
  t.trim([](const AckTimers::Run& r) { return r.range.first.v > 900; });
  EXPECT_EQ(t.next(), at(901));
}

TEST(RedeliveryQueue, FirstComeFirstServed) {
  RedeliveryQueue q;
  for (std::uint64_t s = 1; s <= 5000; ++s) q.push(StreamSeq(s));
  for (std::uint64_t s = 1; s <= 5000; ++s) {
    ASSERT_EQ(q.size(), 5001 - s);
    ASSERT_EQ(q.front(), StreamSeq(s));
    q.pop();
  }
  EXPECT_TRUE(q.empty());
}

}  // namespace
}  // namespace weir::jetstream
