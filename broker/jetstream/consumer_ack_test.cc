// Acknowledgement and redelivery. Figures were observed on nats-server 2.15.
#include <gtest/gtest.h>

#include <set>

#include "broker/jetstream/consumer_harness.h"

namespace weir::jetstream {
namespace {

using api::AckKind;
using Seqs = std::vector<std::uint64_t>;

class ConsumerAck : public ::testing::Test {
 protected:
  void start(const api::ConsumerConfig& c, int messages, std::uint64_t batch) {
    for (int i = 0; i < messages; ++i) rig.publish("a");
    rig.create(c);
    rig.pull("r", batch);
    rig.run();
  }
  ConsumerFigures figures() { return rig.leader->figures(); }
  ConsumerRig rig;
};

SeqPair pair(std::uint64_t c, std::uint64_t s) {
  return {ConsumerSeq(c), StreamSeq(s)};
}

TEST_F(ConsumerAck, ExplicitMovesTheFloorWhenTheFirstIsAcked) {
  start(ConsumerRig::pull_config(), 5, 5);
  rig.ack(3);
  EXPECT_EQ(figures().ack_floor, pair(0, 0));
  rig.ack(1);
  EXPECT_EQ(figures().ack_floor, pair(1, 1));
  rig.ack(2);
  EXPECT_EQ(figures().ack_floor, pair(3, 3));
  EXPECT_EQ(figures().num_ack_pending, 2u);
  rig.settle();
  EXPECT_EQ(rig.committed.ack_floor(), pair(3, 3));
  EXPECT_EQ(rig.committed.num_ack_pending(), 2u);
}

TEST_F(ConsumerAck, AllTakesEverythingBelow) {
  start(ConsumerRig::pull_config(api::AckPolicy::kAll), 6, 6);
  rig.ack(4);
  EXPECT_EQ(figures().ack_floor, pair(4, 4));
  EXPECT_EQ(figures().num_ack_pending, 2u);
}

TEST_F(ConsumerAck, ASuccessorKnowsWhatWasDeliveredAndAckedAMomentAgo) {
  rig.auto_commit = false;
  start(ConsumerRig::pull_config(), 4, 3);
  rig.ack(2);
  rig.step();
  ASSERT_TRUE(rig.log.empty()) << "records wait for company";
  ConsumerOutput out;
  rig.leader->hand_over(out);
  ASSERT_FALSE(out.progress.empty());
  EXPECT_EQ(out.progress_number, 1u);
  EXPECT_TRUE(out.deliveries.empty());
  rig.log.emplace_back(out.progress_number, out.progress);
  rig.commit_all();
  EXPECT_EQ(rig.committed.delivered(), pair(3, 3));
  EXPECT_FALSE(rig.committed.needs(StreamSeq(2)));
  rig.leader->hand_over(out);
  EXPECT_TRUE(out.progress.empty()) << "there is nothing new";
}

TEST_F(ConsumerAck, TheEndNamesWhoWillNotBeConfirmed) {
  rig.auto_commit = false;
  start(ConsumerRig::pull_config(), 3, 3);
  rig.ack(1, AckKind::kAck, "sure");
  rig.ack(2, AckKind::kNak, "later");
  rig.ack(3);
  ConsumerOutput out;
  rig.leader->end(ConsumerEnd::kLeadershipChange, out);
  std::set<std::string> replies;
  for (const auto& c : out.confirmations) replies.emplace(c.reply.text());
  EXPECT_EQ(replies, (std::set<std::string>{"sure", "later"}));
}

TEST_F(ConsumerAck, ConfirmedAfterCommitOnly) {
  rig.auto_commit = false;
  start(ConsumerRig::pull_config(), 3, 3);
  rig.ack(1, AckKind::kAck, "ok");
  rig.run();
  ASSERT_FALSE(rig.log.empty());
  EXPECT_TRUE(rig.confirmed.empty());
  rig.commit_all();
  EXPECT_EQ(rig.confirmed, (std::vector<std::string>{"ok"}));
  EXPECT_FALSE(rig.committed.needs(StreamSeq(1)));
}

TEST_F(ConsumerAck, RepeatedAckIsConfirmedNotBeforeTheFirst) {
  rig.auto_commit = false;
  start(ConsumerRig::pull_config(), 3, 3);
  rig.ack(1);
  rig.pass(ConsumerLeader::kMergeDelay);
  rig.run();
  rig.ack(1, AckKind::kAck, "again");
  rig.run();
  EXPECT_TRUE(rig.confirmed.empty());
  rig.commit_all();
  EXPECT_EQ(rig.confirmed.size(), 1u);
  rig.ack(1, AckKind::kAck, "third");
  rig.run();
  EXPECT_EQ(rig.confirmed.size(), 2u);
}

TEST_F(ConsumerAck, RepeatedAckWaitsForWhatIsNotProposedYet) {
  rig.auto_commit = false;
  start(ConsumerRig::pull_config(), 3, 3);
  rig.ack(1);
  rig.run();  // merged, not proposed
  rig.ack(1, AckKind::kAck, "again");
  rig.run();
  EXPECT_TRUE(rig.confirmed.empty());
  ASSERT_FALSE(rig.log.empty());
  rig.commit_all();
  EXPECT_EQ(rig.confirmed.size(), 1u);
  EXPECT_FALSE(rig.committed.needs(StreamSeq(1)));
}

TEST_F(ConsumerAck, UnknownSequenceIsNotConfirmed) {
  start(ConsumerRig::pull_config(), 3, 1);
  rig.ack(2, AckKind::kAck, "no");
  rig.ack(2000, AckKind::kAck, "no");
  rig.ack(0, AckKind::kAck, "no");
  rig.settle();
  EXPECT_TRUE(rig.confirmed.empty());
  EXPECT_EQ(figures().num_ack_pending, 1u);
}

TEST_F(ConsumerAck, PlainAcksWaitForCompany) {
  rig.auto_commit = false;
  start(ConsumerRig::pull_config(), 200, 200);
  for (std::uint64_t i = 1; i <= 100; ++i) rig.ack(i);
  rig.run();
  EXPECT_TRUE(rig.log.empty());
  EXPECT_EQ(rig.out.next_deadline, rig.now.mono + ConsumerLeader::kMergeDelay);
  rig.pass(ConsumerLeader::kMergeDelay);
  rig.run();
  ASSERT_EQ(rig.log.size(), 1u);
  EXPECT_LT(rig.log[0].second.size(), 24u);
}

TEST_F(ConsumerAck, ComesAgainAfterAckWait) {
  start(ConsumerRig::pull_config(), 3, 3);
  EXPECT_EQ(rig.take_seqs(), (Seqs{1, 2, 3}));
  rig.ack(2);
  rig.pull("r", 10);
  rig.run_for(29 * kSecond);
  EXPECT_EQ(rig.take_seqs(), Seqs{});
  rig.run_for(2 * kSecond);
  ASSERT_EQ(rig.sent.size(), 2u);
  EXPECT_EQ(rig.sent[0].deliveries, 2u);
  EXPECT_EQ(rig.sent[0].cseq, 4u);
  EXPECT_EQ(rig.take_seqs(), (Seqs{1, 3}));
  EXPECT_EQ(figures().num_redelivered, 2u);
  EXPECT_EQ(figures().delivered, pair(5, 3));
}

TEST_F(ConsumerAck, RedeliveryGoesBeforeNewMessages) {
  start(ConsumerRig::pull_config(), 5, 2);
  rig.take_seqs();
  rig.run_for(31 * kSecond);
  rig.pull("r", 3);
  rig.run();
  EXPECT_EQ(rig.take_seqs(), (Seqs{1, 2, 3}));
}

TEST_F(ConsumerAck, InProgressRestartsTheWait) {
  start(ConsumerRig::pull_config(), 2, 2);
  rig.take_seqs();
  rig.pull("r", 10);
  rig.run_for(20 * kSecond);
  rig.ack(1, AckKind::kProgress, "ok");
  rig.run_for(15 * kSecond);
  EXPECT_EQ(rig.take_seqs(), (Seqs{2}));
  rig.run_for(16 * kSecond);
  EXPECT_EQ(rig.take_seqs(), (Seqs{1}));
  EXPECT_EQ(rig.confirmed.size(), 1u);
}

TEST_F(ConsumerAck, NakBringsItBackAtOnceOrLater) {
  start(ConsumerRig::pull_config(), 2, 2);
  rig.take_seqs();
  rig.pull("r", 10);
  rig.ack(2, AckKind::kNak);
  rig.run();
  EXPECT_EQ(rig.take_seqs(), (Seqs{2}));
  rig.ack(1, AckKind::kNak, {}, 2 * kSecond);
  rig.run_for(1999 * kMillisecond);
  EXPECT_EQ(rig.take_seqs(), Seqs{});
  rig.run_for(10 * kMillisecond);
  EXPECT_EQ(rig.take_seqs(), (Seqs{1}));
  ASSERT_EQ(rig.advisories.size(), 2u);
  EXPECT_EQ(rig.advisories[0].kind, ConsumerAdvisoryKind::kNak);
  EXPECT_EQ(rig.advisories[0].sseq, StreamSeq(2));
  rig.settle();
  EXPECT_EQ(rig.committed.naks(), 2u);
}

TEST_F(ConsumerAck, NakTwiceComesOnce) {
  start(ConsumerRig::pull_config(), 1, 1);
  rig.ack(1, AckKind::kNak);
  rig.ack(1, AckKind::kNak);
  rig.pull("r", 10);
  rig.run();
  EXPECT_EQ(rig.take_seqs(), (Seqs{1, 1}));
}

TEST_F(ConsumerAck, TermEndsIt) {
  start(ConsumerRig::pull_config(), 2, 2);
  AckMessage a;
  a.kind = AckKind::kTerm;
  a.sseq = StreamSeq(1);
  a.reason = "poison";
  a.reply = Bytes::copy_of("ok");
  rig.leader->on_ack(a, rig.now);
  rig.settle();
  ASSERT_EQ(rig.advisories.size(), 1u);
  EXPECT_EQ(rig.advisories[0].kind, ConsumerAdvisoryKind::kTerminated);
  EXPECT_EQ(rig.advisories[0].reason, "poison");
  EXPECT_EQ(rig.confirmed.size(), 1u);
  EXPECT_FALSE(rig.committed.needs(StreamSeq(1)));
  rig.take_seqs();
  rig.pull("r", 10);
  rig.run_for(40 * kSecond);
  EXPECT_EQ(rig.take_seqs(), (Seqs{2}));
}

TEST_F(ConsumerAck, NextAcksAndPulls) {
  start(ConsumerRig::pull_config(), 5, 1);
  rig.take_seqs();
  AckMessage a;
  a.kind = AckKind::kNext;
  a.sseq = StreamSeq(1);
  a.reply = Bytes::copy_of("n");
  PullRequest next = rig.request("n", 2);
  rig.leader->on_ack(a, rig.now, &next);
  rig.run();
  EXPECT_EQ(rig.sent[0].target, "n");
  EXPECT_EQ(rig.take_seqs(), (Seqs{2, 3}));
  EXPECT_TRUE(rig.confirmed.empty());
  EXPECT_EQ(figures().ack_floor, pair(1, 1));
}

TEST_F(ConsumerAck, MaxDeliverEndsWithOneAdvisory) {
  auto c = ConsumerRig::pull_config();
  c.max_deliver = 2;
  c.ack_wait = kSecond;
  c.max_ack_pending = 2;
  start(c, 4, 10);
  rig.run_for(10 * kSecond);
  EXPECT_EQ(rig.take_seqs(), (Seqs{1, 2, 1, 2, 3, 4, 3, 4}));
  ASSERT_EQ(rig.advisories.size(), 4u);
  EXPECT_EQ(rig.advisories[0].kind, ConsumerAdvisoryKind::kMaxDeliver);
  EXPECT_EQ(rig.advisories[0].deliveries, 2u);
  EXPECT_EQ(figures().num_ack_pending, 0u);
  EXPECT_EQ(figures().num_redelivered, 4u);
  rig.settle();
  EXPECT_TRUE(rig.all_finished.empty());
  EXPECT_TRUE(rig.committed.needs(StreamSeq(1)));
  rig.ack(1);
  rig.settle();
  EXPECT_FALSE(rig.committed.needs(StreamSeq(1)));
  rig.lead();
  rig.pull("r", 10);
  rig.run_for(10 * kSecond);
  EXPECT_EQ(rig.take_seqs(), Seqs{});
}

TEST_F(ConsumerAck, BackoffSetsEachWait) {
  auto c = ConsumerRig::pull_config();
  c.max_deliver = 5;
  c.backoff = {kSecond, 3 * kSecond};
  start(c, 1, 10);
  std::vector<Nanos> at;
  Mono begin = rig.now.mono;
  for (int i = 0; i < 1500; ++i) {
    rig.run_for(10 * kMillisecond);
    for ([[maybe_unused]] auto s : rig.take_seqs()) at.push_back((rig.now.mono - begin) / kSecond);
  }
  EXPECT_EQ(at, (std::vector<Nanos>{0, 1, 4, 7, 10}));
}

TEST_F(ConsumerAck, DeletedPendingMessageIsTerminated) {
  start(ConsumerRig::pull_config(), 3, 2);
  rig.remove(1);
  rig.settle();
  ASSERT_EQ(rig.advisories.size(), 1u);
  EXPECT_EQ(rig.advisories[0].kind, ConsumerAdvisoryKind::kTerminated);
  EXPECT_EQ(rig.advisories[0].reason, "Unacknowledged message was deleted");
  EXPECT_EQ(figures().num_ack_pending, 1u);
  EXPECT_EQ(figures().ack_floor, pair(1, 1));
  EXPECT_EQ(figures().num_pending, 1u);
  rig.remove(3);
  EXPECT_EQ(figures().num_pending, 0u);
}

TEST_F(ConsumerAck, MessageLostBehindTheBackIsTerminatedOnRedelivery) {
  start(ConsumerRig::pull_config(), 3, 2);
  rig.take_seqs();
  ASSERT_TRUE(rig.store.remove(StreamSeq(2)));
  rig.pull("r", 5);
  rig.run_for(40 * kSecond);
  EXPECT_EQ(rig.take_seqs(), (Seqs{3, 1, 3}));
  EXPECT_EQ(figures().num_ack_pending, 2u);
}

TEST_F(ConsumerAck, NewLeaderKeepsTheDeadlines) {
  start(ConsumerRig::pull_config(), 2, 2);
  rig.settle();
  rig.take_seqs();
  rig.pass(20 * kSecond);
  rig.lead();
  rig.pull("r", 10);
  rig.run_for(9 * kSecond);
  EXPECT_EQ(rig.take_seqs(), Seqs{});
  rig.run_for(kSecond);
  EXPECT_EQ(rig.take_seqs(), (Seqs{1, 2}));
}

TEST_F(ConsumerAck, LimitedMaxDeliverIsSentAfterCommit) {
  auto c = ConsumerRig::pull_config();
  c.max_deliver = 3;
  rig.auto_commit = false;
  start(c, 3, 3);
  EXPECT_TRUE(rig.sent.empty());
  rig.commit_all();
  EXPECT_EQ(rig.take_seqs(), (Seqs{1, 2, 3}));
}

TEST_F(ConsumerAck, AckNoneIsSentAfterCommitUnlessAlone) {
  rig.auto_commit = false;
  start(ConsumerRig::pull_config(api::AckPolicy::kNone), 3, 3);
  EXPECT_TRUE(rig.sent.empty());
  rig.commit_all();
  EXPECT_EQ(rig.take_seqs(), (Seqs{1, 2, 3}));
  EXPECT_EQ(figures().ack_floor, pair(3, 3));
  rig.options.group_of_one = true;
  rig.lead();
  rig.publish("a");
  rig.pull("r", 1);
  rig.run();
  EXPECT_EQ(rig.take_seqs(), (Seqs{4}));
}

TEST_F(ConsumerAck, UnlimitedIsSentAtOnce) {
  rig.auto_commit = false;
  start(ConsumerRig::pull_config(), 3, 3);
  EXPECT_EQ(rig.take_seqs(), (Seqs{1, 2, 3}));
}

TEST_F(ConsumerAck, UncommittedRecordsAreBounded) {
  auto c = ConsumerRig::pull_config();
  c.max_deliver = 3;
  rig.auto_commit = false;
  rig.budget = 1;
  start(c, 100, 100);
  for (int i = 0; i < 50; ++i) rig.step();
  EXPECT_EQ(rig.log.size(), ConsumerLeader::kInFlightMax);
  while (!rig.log.empty()) {
    rig.commit_all();
    rig.run();
  }
  EXPECT_EQ(rig.take_seqs().size(), 100u);
}

TEST_F(ConsumerAck, NotReplicatedProposesNothing) {
  rig.options.replicated = false;
  start(ConsumerRig::pull_config(), 3, 3);
  rig.ack(1, AckKind::kAck, "ok");
  rig.settle();
  EXPECT_EQ(rig.confirmed.size(), 1u);
  EXPECT_EQ(rig.committed.delivered(), pair(0, 0));
}

TEST_F(ConsumerAck, ShorterAckWaitTakesEffect) {
  auto c = ConsumerRig::pull_config();
  start(c, 2, 2);
  rig.take_seqs();
  rig.pull("r", 5);
  c.ack_wait = 2 * kSecond;
  ASSERT_TRUE(rig.leader->on_config(c, rig.store, rig.now));
  rig.run_for(3 * kSecond);
  EXPECT_EQ(rig.take_seqs(), (Seqs{1, 2}));
}

TEST_F(ConsumerAck, SamplesTellTheTime) {
  auto c = ConsumerRig::pull_config();
  c.sample_freq = "100%";
  start(c, 1, 1);
  rig.pass(500 * kMillisecond);
  rig.ack(1);
  rig.run();
  ASSERT_EQ(rig.advisories.size(), 1u);
  EXPECT_EQ(rig.advisories[0].kind, ConsumerAdvisoryKind::kAckSample);
  EXPECT_NEAR(static_cast<double>(rig.advisories[0].ack_time), 5e8, 3e6);
}

}  // namespace
}  // namespace weir::jetstream
