// Push consumers: interest, heartbeats, flow control, rate. Behaviour as observed on nats-server 2.15.
#include <gtest/gtest.h>

#include "broker/jetstream/consumer_harness.h"

namespace weir::jetstream {
namespace {

using Seqs = std::vector<std::uint64_t>;

class ConsumerPush : public ::testing::Test {
 protected:
  void fill(int n, std::size_t size = 4) {
    for (int i = 0; i < n; ++i) rig.publish("a", size);
  }
  void active(bool on = true) { rig.leader->on_push_interest(on, rig.now); }
  ConsumerRig rig;
};

TEST_F(ConsumerPush, SendsOnlyWithInterest) {
  fill(3);
  rig.create(ConsumerRig::push_config());
  rig.run();
  EXPECT_TRUE(rig.sent.empty());
  EXPECT_FALSE(rig.leader->figures().push_bound);
  active();
  rig.run();
  EXPECT_TRUE(rig.out.push);
  EXPECT_TRUE(rig.leader->figures().push_bound);
  EXPECT_EQ(rig.sent[0].target, "push");
  EXPECT_EQ(rig.take_seqs(), (Seqs{1, 2, 3}));
  active(false);
  fill(1);
  rig.run();
  EXPECT_EQ(rig.take_seqs(), Seqs{});
}

TEST_F(ConsumerPush, HeartbeatsWhenIdle) {
  auto c = ConsumerRig::push_config();
  c.idle_heartbeat = 300 * kMillisecond;
  fill(2);
  rig.create(c);
  rig.run_for(kSecond);
  EXPECT_TRUE(rig.statuses.empty());
  active();
  rig.run_for(700 * kMillisecond);
  ASSERT_EQ(rig.statuses.size(), 2u);
  EXPECT_EQ(rig.statuses[0].headers,
            "NATS/1.0 100 Idle Heartbeat\r\nNats-Last-Consumer: 2\r\nNats-Last-Stream: 2\r\n\r\n");
}

TEST_F(ConsumerPush, FlowControlStallsAndGoesOn) {
  auto c = ConsumerRig::push_config(api::AckPolicy::kNone);
  c.flow_control = true;
  c.idle_heartbeat = kSecond;
  rig.options.group_of_one = true;
  fill(60, 100'000);
  rig.create(c);
  active();
  rig.run();
  EXPECT_EQ(rig.sent.size(), 21u);
  ASSERT_EQ(rig.statuses.size(), 1u);
  EXPECT_EQ(rig.statuses[0].line, "100 FlowControl Request");
  std::string subject = rig.statuses[0].reply;
  EXPECT_EQ(subject.substr(0, 11), "$JS.FC.S.C.");
  rig.statuses.clear();
  rig.run_for(kSecond);
  ASSERT_EQ(rig.statuses.size(), 1u);
  EXPECT_NE(rig.statuses[0].headers.find("Nats-Consumer-Stalled: " + subject + "\r\n"), std::string::npos);
  rig.leader->on_flow_control("$JS.FC.S.C.bogus", rig.now);
  rig.run();
  EXPECT_EQ(rig.sent.size(), 21u);
  rig.leader->on_flow_control(subject, rig.now);
  rig.run();
  EXPECT_GT(rig.sent.size(), 40u);  // the window doubled
  EXPECT_LT(rig.sent.size(), 60u);
}

TEST_F(ConsumerPush, FlowControlRequestStandsAfterItsMessage) {
  auto c = ConsumerRig::push_config(api::AckPolicy::kNone);
  c.flow_control = true;
  c.idle_heartbeat = kSecond;
  rig.options.group_of_one = true;
  fill(15, 100'000);
  rig.create(c);
  active();
  rig.step();
  ASSERT_EQ(rig.out.statuses.size(), 1u);
  EXPECT_EQ(rig.out.statuses[0].after, 11u);
}

TEST_F(ConsumerPush, FlowControlAcksMoveTheFloor) {
  auto c = ConsumerRig::push_config(api::AckPolicy::kFlowControl);
  c.max_ack_pending = -1;
  c.idle_heartbeat = kSecond;
  fill(15, 100'000);
  rig.create(c);
  active();
  rig.run();
  EXPECT_EQ(rig.sent.size(), 15u);
  rig.leader->on_flow_control(rig.statuses.at(0).reply, rig.now);
  rig.settle();
  EXPECT_EQ(rig.committed.ack_floor().stream, StreamSeq(11));
  rig.sent.clear();
  rig.run_for(2 * kMinute);  // no redelivery by time
  EXPECT_TRUE(rig.sent.empty());
}

TEST_F(ConsumerPush, RateLimitSpreadsMessages) {
  auto c = ConsumerRig::push_config();
  c.rate_limit_bps = 80'000;  // 10 kB/s
  fill(40, 1000 - 50);
  rig.create(c);
  active();
  rig.run_for(2 * kSecond);
  EXPECT_GE(rig.sent.size(), 19u);
  EXPECT_LE(rig.sent.size(), 23u);
  rig.run_for(3 * kSecond);
  EXPECT_EQ(rig.sent.size(), 40u);
}

TEST_F(ConsumerPush, RedeliversAfterAckWait) {
  fill(2);
  rig.create(ConsumerRig::push_config());
  active();
  rig.run();
  rig.ack(1);
  rig.take_seqs();
  rig.run_for(31 * kSecond);
  EXPECT_EQ(rig.take_seqs(), (Seqs{2}));
}

TEST_F(ConsumerPush, UnboundForTooLongWantsToGo) {
  auto c = ConsumerRig::push_config();
  c.inactive_threshold = 5 * kSecond;
  rig.create(c);
  active();
  rig.pass(kMinute);
  rig.run();
  EXPECT_FALSE(rig.out.delete_me);
  active(false);
  rig.pass(4 * kSecond);
  rig.run();
  EXPECT_FALSE(rig.out.delete_me);
  rig.pass(kSecond);
  rig.run();
  EXPECT_TRUE(rig.out.delete_me);
}

TEST_F(ConsumerPush, HeadersOnlyIsFlagged) {
  auto c = ConsumerRig::push_config();
  c.headers_only = true;
  rig.create(c);
  rig.run();
  EXPECT_TRUE(rig.out.headers_only);
}

}  // namespace
}  // namespace weir::jetstream
