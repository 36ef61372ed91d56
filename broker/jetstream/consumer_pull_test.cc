// Pull requests as clients see them. Expected texts and figures were observed on nats-server 2.15.
#include <gtest/gtest.h>

#include "broker/jetstream/consumer_harness.h"

namespace weir::jetstream {
namespace {

using Seqs = std::vector<std::uint64_t>;
using Lines = std::vector<std::string>;

class ConsumerPull : public ::testing::Test {
 protected:
  void fill(int n) {
    for (int i = 0; i < n; ++i) rig.publish(i % 2 == 0 ? "a" : "b");
  }
  ConsumerRig rig;
};

TEST_F(ConsumerPull, DeliversABatchInOrder) {
  fill(5);
  rig.create(ConsumerRig::pull_config());
  EXPECT_EQ(rig.leader->figures().num_pending, 5u);
  rig.pull("r", 3);
  rig.run();
  ASSERT_EQ(rig.sent.size(), 3u);
  EXPECT_EQ(rig.sent[0].target, "r");
  EXPECT_EQ(rig.sent[2].sseq, 3u);
  EXPECT_EQ(rig.sent[2].cseq, 3u);
  EXPECT_EQ(rig.sent[2].deliveries, 1u);
  EXPECT_EQ(rig.sent[2].pending, 2u);
  ConsumerFigures f = rig.leader->figures();
  EXPECT_EQ(f.num_ack_pending, 3u);
  EXPECT_EQ(f.num_pending, 2u);
  EXPECT_EQ(f.num_waiting, 0u);
  EXPECT_TRUE(rig.statuses.empty());
}

TEST_F(ConsumerPull, WaitingPullGetsWhatComes) {
  rig.create(ConsumerRig::pull_config());
  rig.pull("r", 2);
  rig.run();
  EXPECT_EQ(rig.leader->figures().num_waiting, 1u);
  fill(3);
  EXPECT_TRUE(rig.leader->wants_step());
  rig.run();
  EXPECT_EQ(rig.take_seqs(), (Seqs{1, 2}));
  EXPECT_EQ(rig.leader->figures().num_waiting, 0u);
}

TEST_F(ConsumerPull, ServesWaitingPullsInTurn) {
  rig.create(ConsumerRig::pull_config());
  rig.pull("x", 3);
  rig.pull("y", 3);
  fill(5);
  rig.run();
  Lines targets;
  for (auto& m : rig.sent) targets.push_back(m.target);
  EXPECT_EQ(targets, (Lines{"x", "y", "x", "y", "x"}));
}

TEST_F(ConsumerPull, FilterJumpsOverTheRest) {
  fill(6);
  auto c = ConsumerRig::pull_config();
  c.filter_subject = "b";
  rig.create(c);
  EXPECT_EQ(rig.leader->figures().num_pending, 3u);
  rig.pull("r", 10);
  rig.run();
  EXPECT_EQ(rig.take_seqs(), (Seqs{2, 4, 6}));
  EXPECT_EQ(rig.leader->figures().delivered.stream, StreamSeq(6));
}

TEST_F(ConsumerPull, NoWaitEndsWith404) {
  rig.create(ConsumerRig::pull_config());
  rig.no_wait("r", 3);
  rig.run();
  EXPECT_EQ(rig.take_lines(), (Lines{"r: 404 No Messages"}));
  fill(2);
  rig.no_wait("r", 3);
  rig.run();
  EXPECT_EQ(rig.take_seqs(), (Seqs{1, 2}));
  EXPECT_EQ(rig.take_lines(), (Lines{"r: 404 No Messages"}));
  EXPECT_EQ(rig.leader->figures().num_waiting, 0u);
}

TEST_F(ConsumerPull, NoWaitWithExpiresWaitsForTheFirst) {
  rig.create(ConsumerRig::pull_config());
  rig.no_wait("r", 3, kSecond);
  rig.run();
  EXPECT_TRUE(rig.statuses.empty());
  fill(1);
  rig.run();
  EXPECT_EQ(rig.take_seqs(), (Seqs{1}));
  EXPECT_EQ(rig.take_lines(), (Lines{"r: 404 No Messages"}));
}

TEST_F(ConsumerPull, NoWaitWithExpiresTimesOut) {
  rig.create(ConsumerRig::pull_config());
  rig.no_wait("r", 3, kSecond);
  rig.run_for(2 * kSecond);
  EXPECT_EQ(rig.take_lines(), (Lines{"r: 408 Request Timeout"}));
}

TEST_F(ConsumerPull, NoWaitEndsAtTheLimitOfPendingAcks) {
  fill(3);
  auto c = ConsumerRig::pull_config();
  c.max_ack_pending = 2;
  rig.create(c);
  rig.no_wait("r", 3, kSecond);
  rig.run();
  EXPECT_EQ(rig.take_seqs(), (Seqs{1, 2}));
  EXPECT_EQ(rig.take_lines(), (Lines{"r: 404 No Messages"}));
  rig.no_wait("x", 3);
  rig.run();
  EXPECT_EQ(rig.take_lines(), (Lines{"x: 404 No Messages"}));
  EXPECT_EQ(rig.leader->figures().num_waiting, 0u);
}

TEST_F(ConsumerPull, NoWaitBehindOthersIsRefused) {
  fill(3);
  auto c = ConsumerRig::pull_config();
  c.max_ack_pending = 1;
  rig.create(c);
  rig.pull("x", 300);
  rig.run();
  rig.no_wait("y", 1);
  rig.run();
  EXPECT_EQ(rig.take_lines(), (Lines{"y: 408 Requests Pending"}));
}

TEST_F(ConsumerPull, TimeoutTellsWhatIsLeft) {
  fill(1);
  rig.create(ConsumerRig::pull_config());
  rig.pull("r", 20, kSecond);
  rig.run();
  EXPECT_EQ(rig.take_seqs(), (Seqs{1}));
  EXPECT_EQ(rig.out.next_deadline, rig.now.mono + ConsumerLeader::kMergeDelay);
  rig.run_for(kSecond - 1);
  EXPECT_TRUE(rig.statuses.empty());
  EXPECT_EQ(rig.out.next_deadline, rig.now.mono + 1);
  rig.run_for(1);
  ASSERT_EQ(rig.statuses.size(), 1u);
  EXPECT_EQ(rig.statuses[0].headers,
            "NATS/1.0 408 Request Timeout\r\nNats-Pending-Messages: 19\r\nNats-Pending-Bytes: 0\r\n\r\n");
}

TEST_F(ConsumerPull, HeartbeatsUntilTheEnd) {
  rig.create(ConsumerRig::pull_config());
  PullRequest r = rig.request("r", 20, kSecond);
  r.heartbeat = 300 * kMillisecond;
  rig.leader->on_pull(r, rig.now);
  rig.run_for(kSecond);
  EXPECT_EQ(rig.statuses[0].headers,
            "NATS/1.0 100 Idle Heartbeat\r\nNats-Last-Consumer: 0\r\nNats-Last-Stream: 0\r\n\r\n");
  EXPECT_EQ(rig.take_lines(), (Lines{"r: 100 Idle Heartbeat", "r: 100 Idle Heartbeat",
                                     "r: 100 Idle Heartbeat", "r: 408 Request Timeout"}));
}

TEST_F(ConsumerPull, MessagesPutTheHeartbeatOff) {
  rig.create(ConsumerRig::pull_config());
  PullRequest r = rig.request("r", 20, kSecond);
  r.heartbeat = 300 * kMillisecond;
  rig.leader->on_pull(r, rig.now);
  rig.run_for(200 * kMillisecond);
  fill(1);
  rig.run_for(250 * kMillisecond);
  EXPECT_TRUE(rig.statuses.empty());
  rig.run_for(50 * kMillisecond);
  EXPECT_EQ(rig.take_lines(), (Lines{"r: 100 Idle Heartbeat"}));
}

TEST_F(ConsumerPull, TooLongHeartbeatIsRefused) {
  rig.create(ConsumerRig::pull_config());
  PullRequest r = rig.request("r", 20, kSecond);
  r.heartbeat = 600 * kMillisecond;
  rig.leader->on_pull(r, rig.now);
  r.expires = 0;
  rig.leader->on_pull(r, rig.now);
  rig.run();
  EXPECT_EQ(rig.take_lines(), (Lines{"r: 400 Bad Request - heartbeat value too large",
                                     "r: 400 Bad Request - heartbeat value too large"}));
}

TEST_F(ConsumerPull, MaxBytesStopsBeforeTheMessageThatIsTooMuch) {
  // subject 1 + "$JS.ACK.S.C" 11 + ".1.1.1.<19 digits>.N" + payload 10.
  for (int i = 0; i < 5; ++i) rig.publish("a", 10);
  rig.create(ConsumerRig::pull_config());
  const std::uint64_t one = 1 + 11 + 2 + 2 + 2 + 20 + 2 + 10;
  PullRequest r = rig.request("r", 10, kSecond);
  r.max_bytes = one + 20;
  rig.leader->on_pull(r, rig.now);
  rig.run();
  EXPECT_EQ(rig.take_seqs(), (Seqs{1}));
  ASSERT_EQ(rig.statuses.size(), 1u);
  EXPECT_EQ(rig.statuses[0].headers,
            "NATS/1.0 409 Message Size Exceeds MaxBytes\r\nNats-Pending-Messages: 9\r\n"
            "Nats-Pending-Bytes: 20\r\n\r\n");
}

TEST_F(ConsumerPull, BatchCompletedGivesBytesBack) {
  for (int i = 0; i < 5; ++i) rig.publish("a", 10);
  rig.create(ConsumerRig::pull_config());
  PullRequest r = rig.request("r", 2, kSecond);
  r.max_bytes = 1000;
  rig.leader->on_pull(r, rig.now);
  rig.run();
  EXPECT_EQ(rig.take_seqs(), (Seqs{1, 2}));
  ASSERT_EQ(rig.statuses.size(), 1u);
  EXPECT_EQ(rig.statuses[0].headers,
            "NATS/1.0 409 Batch Completed\r\nNats-Pending-Messages: 0\r\nNats-Pending-Bytes: 900\r\n\r\n");
}

TEST_F(ConsumerPull, LimitsOfTheConsumer) {
  auto c = ConsumerRig::pull_config();
  c.max_batch = 5;
  c.max_expires = kSecond;
  c.max_bytes = 500;
  rig.create(c);
  rig.pull("r", 6);
  rig.pull("r", 1, 5 * kSecond);
  PullRequest r = rig.request("r", 1, kSecond);
  r.max_bytes = 501;
  rig.leader->on_pull(r, rig.now);
  rig.run();
  EXPECT_EQ(rig.take_lines(),
            (Lines{"r: 409 Exceeded MaxRequestBatch of 5", "r: 409 Exceeded MaxRequestExpires of 1s",
                   "r: 409 Exceeded MaxRequestMaxBytes of 500"}));
}

TEST_F(ConsumerPull, MaxWaitingMakesRoomFirst) {
  auto c = ConsumerRig::pull_config();
  c.max_waiting = 1;
  rig.create(c);
  rig.pull("x", 1, kSecond);
  rig.pull("y", 1, kSecond);
  rig.run();
  EXPECT_EQ(rig.take_lines(), (Lines{"y: 409 Exceeded MaxWaiting"}));
  rig.pass(kSecond);
  rig.pull("z", 1, kSecond);
  rig.run();
  EXPECT_EQ(rig.take_lines(), (Lines{"x: 408 Request Timeout"}));
  EXPECT_EQ(rig.leader->figures().num_waiting, 1u);
}

TEST_F(ConsumerPull, PullOnPushConsumer) {
  rig.create(ConsumerRig::push_config());
  rig.pull("r", 1);
  rig.run();
  EXPECT_EQ(rig.take_lines(), (Lines{"r: 409 Consumer is push based"}));
}

TEST_F(ConsumerPull, EndsTellEveryWaitingPull) {
  rig.create(ConsumerRig::pull_config());
  for (auto [why, text] : {std::pair{ConsumerEnd::kDeleted, "409 Consumer Deleted"},
                           {ConsumerEnd::kLeadershipChange, "409 Leadership Change"},
                           {ConsumerEnd::kServerShutdown, "409 Server Shutdown"}}) {
    rig.lead();
    rig.pull("x", 1);
    rig.pull("y", 1);
    rig.run();
    rig.leader->end(why, rig.out);
    ASSERT_EQ(rig.out.statuses.size(), 2u);
    EXPECT_EQ(rig.out.statuses[0].headers, std::string("NATS/1.0 ") + text + "\r\n\r\n");
  }
}

TEST_F(ConsumerPull, WithoutInterestNothingIsSent) {
  rig.create(ConsumerRig::pull_config());
  rig.pull("gone", 5);
  rig.pull("here", 5);
  rig.run();
  rig.interest.erase("gone");
  fill(2);
  rig.run();
  EXPECT_EQ(rig.sent[0].target, "here");
  EXPECT_EQ(rig.sent[1].target, "here");
  EXPECT_EQ(rig.leader->figures().num_waiting, 1u);
  rig.leader->on_interest_lost("here");
  EXPECT_EQ(rig.leader->figures().num_waiting, 0u);
}

TEST_F(ConsumerPull, BudgetSplitsAStep) {
  fill(10);
  rig.create(ConsumerRig::pull_config());
  rig.budget = 4;
  rig.pull("r", 10);
  rig.step();
  EXPECT_EQ(rig.take_seqs().size(), 4u);
  EXPECT_TRUE(rig.out.more);
  rig.run();
  EXPECT_EQ(rig.take_seqs().size(), 6u);
}

TEST_F(ConsumerPull, MaxAckPendingHolds) {
  fill(5);
  auto c = ConsumerRig::pull_config();
  c.max_ack_pending = 2;
  rig.create(c);
  rig.pull("r", 10);
  rig.run();
  EXPECT_EQ(rig.take_seqs(), (Seqs{1, 2}));
  rig.ack(1);
  rig.run();
  EXPECT_EQ(rig.take_seqs(), (Seqs{3}));
}

TEST_F(ConsumerPull, LastPerSubjectFollowsItsListThenAll) {
  fill(6);  // a1 b2 a3 b4 a5 b6
  ConsumerStart start;
  start.first = StreamSeq(5);
  start.only = {StreamSeq(5), StreamSeq(6)};
  start.only_upto = StreamSeq(6);
  auto c = ConsumerRig::pull_config();
  c.deliver_policy = api::DeliverPolicy::kLastPerSubject;
  rig.create(c, start);
  EXPECT_EQ(rig.leader->figures().num_pending, 2u);
  EXPECT_EQ(rig.leader->figures().delivered.stream, StreamSeq(4));
  fill(1);
  EXPECT_EQ(rig.leader->figures().num_pending, 3u);
  rig.remove(5);
  EXPECT_EQ(rig.leader->figures().num_pending, 2u);
  rig.pull("r", 10);
  rig.run();
  EXPECT_EQ(rig.take_seqs(), (Seqs{6, 7}));
  EXPECT_EQ(rig.leader->figures().num_pending, 0u);
  rig.settle();
  EXPECT_EQ(rig.committed.delivered(), rig.leader->live().delivered());
}

TEST_F(ConsumerPull, ReplayKeepsTheGaps) {
  rig.publish("a");
  rig.pass(200 * kMillisecond);
  rig.publish("a");
  rig.pass(300 * kMillisecond);
  rig.publish("a");
  rig.pass(kMinute);
  auto c = ConsumerRig::pull_config();
  c.replay_policy = api::ReplayPolicy::kOriginal;
  rig.create(c);
  rig.pull("r", 10);
  rig.run();
  EXPECT_EQ(rig.take_seqs(), (Seqs{1}));
  rig.run_for(199 * kMillisecond);
  EXPECT_EQ(rig.take_seqs(), Seqs{});
  rig.run_for(1 * kMillisecond);
  EXPECT_EQ(rig.take_seqs(), (Seqs{2}));
  rig.run_for(300 * kMillisecond);
  EXPECT_EQ(rig.take_seqs(), (Seqs{3}));
  rig.publish("a");  // caught up: no waiting any more
  rig.run();
  EXPECT_EQ(rig.take_seqs(), (Seqs{4}));
}

TEST_F(ConsumerPull, UnusedForTooLongWantsToGo) {
  auto c = ConsumerRig::pull_config();
  c.inactive_threshold = 5 * kSecond;
  rig.create(c);
  rig.run();
  EXPECT_EQ(rig.out.next_deadline, rig.now.mono + 5 * kSecond);
  rig.pull("r", 1);
  rig.pass(4 * kSecond);
  rig.run();
  EXPECT_FALSE(rig.out.delete_me);
  rig.pass(60 * kSecond);  // a pull with interest keeps it
  rig.run();
  EXPECT_FALSE(rig.out.delete_me);
  rig.interest.clear();
  rig.pass(5 * kSecond);
  rig.run();
  EXPECT_TRUE(rig.out.delete_me);
}

TEST_F(ConsumerPull, PurgeCountsAgain) {
  fill(10);
  rig.create(ConsumerRig::pull_config());
  rig.pull("r", 3);
  rig.run();
  ASSERT_TRUE(rig.store.compact(StreamSeq(11)));
  ASSERT_TRUE(rig.leader->on_purged(rig.store));
  rig.settle();
  ConsumerFigures f = rig.leader->figures();
  EXPECT_EQ(f.num_pending, 0u);
  EXPECT_EQ(f.num_ack_pending, 0u);
  EXPECT_EQ(f.delivered.stream, StreamSeq(10));
  EXPECT_EQ(f.ack_floor, f.delivered);
  EXPECT_EQ(rig.committed.ack_floor(), f.ack_floor);
  EXPECT_TRUE(rig.advisories.empty());
}

}  // namespace
}  // namespace weir::jetstream
