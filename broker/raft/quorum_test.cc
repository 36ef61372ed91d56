// Majorities, configurations, follower bookkeeping and invariants.
#include "broker/raft/quorum.h"

#include <gtest/gtest.h>

#include <map>

#include "broker/base/prng.h"
#include "broker/raft/confchange.h"
#include "broker/raft/invariants.h"
#include "broker/raft/progress.h"

namespace weir::raft {
namespace {

std::vector<NodeId> ids(std::initializer_list<std::uint64_t> list) {
  std::vector<NodeId> out;
  for (auto v : list) out.push_back(NodeId{v});
  return out;
}

TEST(RaftQuorum, MajorityReached) {
  std::map<std::uint64_t, std::uint64_t> at{{1, 10}, {2, 20}, {3, 30}, {4, 40}, {5, 50}};
  auto f = [&](NodeId n) { return at[n.v]; };
  EXPECT_EQ(majority_reached(ids({1}), f), 10u);
  EXPECT_EQ(majority_reached(ids({1, 2}), f), 10u);
  EXPECT_EQ(majority_reached(ids({1, 2, 3}), f), 20u);
  EXPECT_EQ(majority_reached(ids({1, 2, 3, 4}), f), 20u);
  EXPECT_EQ(majority_reached(ids({1, 2, 3, 4, 5}), f), 30u);
  EXPECT_EQ(majority_reached(ids({}), f), UINT64_MAX);
  EXPECT_EQ(joint_reached({ids({3, 4, 5}), ids({1, 2, 3}), {}, {}, false}, f), 20u);
  EXPECT_EQ(joint_reached({ids({3, 4, 5}), {}, {}, {}, false}, f), 40u);
}

// By definition instead of by sorting: the largest index that enough nodes have.
TEST(RaftQuorum, MajorityReachedAgainstTheDefinition) {
  Prng prng(1);
  for (int round = 0; round < 2000; ++round) {
    std::map<std::uint64_t, std::uint64_t> at;
    std::vector<NodeId> set;
    for (std::uint64_t i = 1, n = prng.between(1, kVotersMax); i <= n; ++i) {
      set.push_back(NodeId{i});
      at[i] = prng.below(8);
    }
    std::uint64_t best = 0;
    for (std::uint64_t v = 0; v < 8; ++v) {
      std::size_t have = 0;
      for (auto& [node, index] : at) have += index >= v ? 1u : 0u;
      if (have * 2 > set.size()) best = v;
    }
    EXPECT_EQ(majority_reached(set, [&](NodeId n) { return at[n.v]; }), best);
  }
}

TEST(RaftQuorum, Votes) {
  std::map<std::uint64_t, Ballot> b{
      {1, Ballot::kYes}, {2, Ballot::kNo}, {3, Ballot::kMissing}, {4, Ballot::kYes}};
  auto f = [&](NodeId n) { return b[n.v]; };
  EXPECT_EQ(majority_vote(ids({1, 2, 3}), f), VoteResult::kPending);
  EXPECT_EQ(majority_vote(ids({1, 2, 4}), f), VoteResult::kWon);
  EXPECT_EQ(majority_vote(ids({2}), f), VoteResult::kLost);
  EXPECT_EQ(majority_vote(ids({1, 2}), f), VoteResult::kLost);
  EXPECT_EQ(majority_vote(ids({1, 3}), f), VoteResult::kPending);
  EXPECT_EQ(majority_vote(ids({}), f), VoteResult::kWon);
  EXPECT_EQ(joint_vote({ids({1, 4}), ids({2}), {}, {}, false}, f), VoteResult::kLost);
  EXPECT_EQ(joint_vote({ids({1, 4}), ids({3}), {}, {}, false}, f), VoteResult::kPending);
  EXPECT_EQ(joint_vote({ids({1, 4}), ids({1}), {}, {}, false}, f), VoteResult::kWon);
}

ConfState conf3() {
  return {ids({1, 2, 3}), {}, {}, {}, false};
}

TEST(RaftConf, LearnersAloneAreOneStep) {
  auto next = change_conf(conf3(), {{{ConfOp::kAddLearner, NodeId{4}}}, false});
  ASSERT_TRUE(next);
  EXPECT_FALSE(is_joint(*next));
  EXPECT_EQ(next->learners, ids({4}));
  auto gone = change_conf(*next, {{{ConfOp::kRemove, NodeId{4}}}, false});
  ASSERT_TRUE(gone);
  EXPECT_EQ(*gone, conf3());
}

TEST(RaftConf, VotersChangeThroughAJointConfiguration) {
  ConfChange change{
      {{ConfOp::kAddVoter, NodeId{4}}, {ConfOp::kRemove, NodeId{1}}, {ConfOp::kAddLearner, NodeId{2}}},
      false};
  auto joint = change_conf(conf3(), change);
  ASSERT_TRUE(joint);
  EXPECT_EQ(joint->voters, ids({3, 4}));
  EXPECT_EQ(joint->outgoing, ids({1, 2, 3}));
  EXPECT_EQ(joint->learners_next, ids({2}));
  EXPECT_TRUE(joint->learners.empty());
  EXPECT_TRUE(joint->auto_leave);
  EXPECT_EQ(members_of(*joint), ids({1, 2, 3, 4}));
  auto left = change_conf(*joint, {});
  ASSERT_TRUE(left);
  EXPECT_EQ(left->voters, ids({3, 4}));
  EXPECT_EQ(left->learners, ids({2}));
  EXPECT_FALSE(is_member(*left, NodeId{1}));
}

TEST(RaftConf, Refusals) {
  EXPECT_FALSE(change_conf(conf3(), {}));
  EXPECT_FALSE(change_conf(conf3(), {{{ConfOp::kAddVoter, NodeId{0}}}, false}));
  ConfState one{ids({1}), {}, {}, {}, false};
  EXPECT_FALSE(change_conf(one, {{{ConfOp::kRemove, NodeId{1}}}, false}));
  auto joint = change_conf(conf3(), {{{ConfOp::kAddVoter, NodeId{4}}}, true});
  ASSERT_TRUE(joint);
  EXPECT_FALSE(joint->auto_leave);
  EXPECT_FALSE(change_conf(*joint, {{{ConfOp::kAddVoter, NodeId{5}}}, false}));
  ConfChange many;
  for (std::uint64_t i = 4; i < 40; ++i) many.steps.push_back({ConfOp::kAddVoter, NodeId{i}});
  EXPECT_FALSE(change_conf(conf3(), many));
}

TEST(RaftConf, BytesComeBackAndDamageIsRefused) {
  ConfState conf =
      *change_conf(conf3(), {{{ConfOp::kAddVoter, NodeId{7}}, {ConfOp::kAddLearner, NodeId{2}}}, false});
  conf.learners = ids({9, 11});
  Bytes bytes = encode_conf(conf);
  auto back = decode_conf(bytes.span());
  ASSERT_TRUE(back);
  EXPECT_EQ(*back, conf);
  for (std::size_t n = 0; n < bytes.size(); ++n) EXPECT_FALSE(decode_conf(bytes.sub(0, n).span())) << n;
  std::string text(bytes.text());
  EXPECT_FALSE(decode_conf(as_span(text + "x")));
  Prng prng(3);
  for (int i = 0; i < 5000; ++i) {
    std::string bad = text;
    bad[static_cast<std::size_t>(prng.below(bad.size()))] ^= static_cast<char>(1 << prng.below(8));
    auto r = decode_conf(as_span(bad));
    if (r) {
      EXPECT_TRUE(check_conf(*r));
    }
  }
}

TEST(RaftConf, BadStructuresAreRefused) {
  EXPECT_FALSE(check_conf({}));
  EXPECT_FALSE(check_conf({ids({2, 1}), {}, {}, {}, false}));
  EXPECT_FALSE(check_conf({ids({1, 1}), {}, {}, {}, false}));
  EXPECT_FALSE(check_conf({ids({0, 1}), {}, {}, {}, false}));
  EXPECT_FALSE(check_conf({ids({1}), {}, ids({1}), {}, false}));
  EXPECT_FALSE(check_conf({ids({1}), {}, {}, ids({2}), false}));
  EXPECT_FALSE(check_conf({ids({1}), ids({1, 2}), {}, ids({1}), false}));
  EXPECT_FALSE(check_conf({ids({1}), {}, {}, {}, true}));
  EXPECT_TRUE(check_conf({ids({1}), ids({1, 2}), ids({3}), ids({2}), true}));
}

Progress progress() {
  return Progress(RaftIndex{11}, 3, 100);
}

TEST(RaftProgress, ProbeSendsOneAtATime) {
  Progress pr = progress();
  EXPECT_FALSE(pr.paused());
  pr.sent(2, 10, RaftIndex{4});
  EXPECT_TRUE(pr.paused());
  EXPECT_EQ(pr.next, RaftIndex{11});
  EXPECT_FALSE(pr.refused(RaftIndex{7}, RaftIndex{3}));  // of an older probe
  EXPECT_TRUE(pr.refused(RaftIndex{10}, RaftIndex{6}));
  EXPECT_EQ(pr.next, RaftIndex{7});
  EXPECT_FALSE(pr.paused());
  EXPECT_TRUE(pr.acked(RaftIndex{8}));
  EXPECT_FALSE(pr.acked(RaftIndex{8}));
  pr.become_replicate();
  EXPECT_EQ(pr.next, RaftIndex{9});
}

TEST(RaftProgress, ReplicateIsLimitedByCountAndBytes) {
  Progress pr = progress();
  pr.become_replicate();
  for (int i = 0; i < 3; ++i) {
    EXPECT_FALSE(pr.paused());
    pr.sent(1, 10, RaftIndex{0});
  }
  EXPECT_TRUE(pr.paused());
  pr.nudge = true;
  EXPECT_FALSE(pr.paused());
  pr.sent(0, 0, RaftIndex{0});
  EXPECT_TRUE(pr.paused());
  pr.acked(RaftIndex{2});
  pr.in_flight.free_to(RaftIndex{2});
  EXPECT_EQ(pr.in_flight.count(), 1u);
  pr.sent(1, 200, RaftIndex{0});
  EXPECT_TRUE(pr.in_flight.full());
  EXPECT_EQ(pr.in_flight.bytes(), 210u);
  EXPECT_TRUE(pr.refused(RaftIndex{4}, RaftIndex{2}));
  EXPECT_EQ(pr.state, ProgressState::kProbe);
  EXPECT_EQ(pr.next, RaftIndex{3});
  EXPECT_EQ(pr.in_flight.count(), 0u);
}

TEST(RaftProgress, AFollowerThatLostItsTailIsBelieved) {
  Progress pr = progress();
  pr.acked(RaftIndex{9});
  pr.become_replicate();
  EXPECT_FALSE(pr.refused(RaftIndex{9}, RaftIndex{9}));
  EXPECT_TRUE(pr.refused(RaftIndex{9}, RaftIndex{5}));
  EXPECT_EQ(pr.match, RaftIndex{5});
  EXPECT_EQ(pr.next, RaftIndex{6});
}

TEST(RaftProgress, SnapshotPausesUntilItIsThere) {
  Progress pr = progress();
  pr.become_snapshot(RaftIndex{20});
  EXPECT_TRUE(pr.paused());
  EXPECT_FALSE(pr.refused(RaftIndex{10}, RaftIndex{3}));
  pr.become_probe();
  EXPECT_EQ(pr.next, RaftIndex{21});
}

View view(std::uint64_t term, std::uint64_t commit) {
  View v;
  v.id = NodeId{1};
  v.term = Term{term};
  v.last = {RaftIndex{10}, Term{term}};
  v.commit = RaftIndex{commit};
  return v;
}

TEST(RaftInvariants, EachRuleIsSeen) {
  auto breaks = [](auto change) {
    Invariants inv;
    View a = view(3, 5);
    a.vote = NodeId{2};
    EXPECT_TRUE(inv.check(a));
    View b = a;
    change(b);
    return !inv.check(b).has_value();
  };
  EXPECT_FALSE(breaks([](View&) {}));
  EXPECT_TRUE(breaks([](View& v) { v.term = Term{2}; }));
  EXPECT_TRUE(breaks([](View& v) { v.vote = NodeId{3}; }));
  EXPECT_FALSE(breaks([](View& v) { v.vote = NodeId{3}, v.term = Term{4}; }));
  EXPECT_TRUE(breaks([](View& v) { v.commit = RaftIndex{4}; }));
  EXPECT_TRUE(breaks([](View& v) { v.commit = RaftIndex{11}; }));
  EXPECT_TRUE(breaks([](View& v) { v.applying = RaftIndex{6}; }));
  EXPECT_TRUE(breaks([](View& v) { v.applied = RaftIndex{1}; }));
  EXPECT_TRUE(breaks([](View& v) { v.stable = RaftIndex{11}; }));
  EXPECT_TRUE(breaks([](View& v) { v.base.index = RaftIndex{1}; }));
  EXPECT_TRUE(breaks([](View& v) { v.last.term = Term{4}; }));
  EXPECT_TRUE(breaks([](View& v) { v.role = Role::kLeader; }));
  EXPECT_TRUE(breaks([](View& v) { v.role = Role::kLeader, v.leader = v.id, v.faults = 1; }));
  EXPECT_TRUE(breaks([](View& v) { v.role = Role::kCandidate; }));
  EXPECT_TRUE(breaks([](View& v) { v.role = Role::kPreCandidate, v.head_unknown = true; }));
}

}  // namespace
}  // namespace weir::raft
