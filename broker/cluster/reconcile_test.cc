#include "broker/cluster/reconcile.h"

#include <algorithm>

#include <gtest/gtest.h>

#include "broker/raft/progress.h"

namespace weir::cluster {
namespace {

using Kind = ReconcileStep::Kind;
using Ids = std::vector<NodeId>;

NodeId id(std::uint64_t n, std::uint64_t life = 0) {
  return replica_id(NodeId(n << kIncarnationBits), life);
}

Ids ids(std::vector<std::uint64_t> ns) {
  Ids out;
  for (std::uint64_t n : ns) out.push_back(id(n));
  return out;
}

/// A leader (the first) at index 100 whose followers are all there.
GroupView group(std::vector<std::uint64_t> voters, std::vector<std::uint64_t> learners = {}) {
  GroupView v;
  v.self = id(voters[0]);
  v.conf.voters = ids(voters);
  v.conf.learners = ids(learners);
  std::sort(v.conf.voters.begin(), v.conf.voters.end());
  v.last = RaftIndex(100);
  v.lag_max = 10;
  for (NodeId n : raft::members_of(v.conf)) {
    if (n == v.self) continue;
    raft::PeerView p;
    p.id = n;
    p.match = RaftIndex(95);
    p.state = static_cast<std::uint8_t>(raft::ProgressState::kReplicate);
    v.peers.push_back(p);
  }
  return v;
}

raft::PeerView& peer(GroupView& v, NodeId n) {
  return *std::find_if(v.peers.begin(), v.peers.end(), [&](const auto& p) { return p.id == n; });
}

std::string name(NodeId n) {
  return std::to_string(n.v >> kIncarnationBits) + std::string(incarnation_of(n), '\'');
}

std::string text(const ReconcileStep& s) {
  switch (s.kind) {
    case Kind::kDone: return "done";
    case Kind::kWait: return std::string("wait: ") + s.why;
    case Kind::kTransfer: return "transfer " + name(s.to);
    case Kind::kChange: break;
  }
  std::string out = "change";
  for (const auto& step : s.change.steps) {
    const char* op = step.op == raft::ConfOp::kAddVoter ? "+" : step.op == raft::ConfOp::kRemove ? "-" : "~";
    out += " " + std::string(op) + name(step.node);
  }
  return out;
}

std::string plan(const GroupView& v, Ids voters, Ids learners = {}) {
  ReconcileStep s = reconcile(v, {std::move(voters), std::move(learners), NodeId(0)});
  if (s.kind == Kind::kChange) {
    EXPECT_TRUE(raft::change_conf(v.conf, s.change).has_value());
  }
  return text(s);
}

TEST(Reconcile, NothingToDo) {
  EXPECT_EQ(plan(group({1, 2, 3}), ids({3, 2, 1})), "done");
  EXPECT_EQ(plan(group({1, 2, 3}, {4}), ids({1, 2, 3}), ids({4})), "done");
  EXPECT_EQ(plan(group({1}), {}), "wait: nobody is wanted");
}

TEST(Reconcile, OneThingAtATime) {
  auto v = group({1, 2, 3});
  v.change_open = true;
  EXPECT_EQ(plan(v, ids({1, 2, 4})), "wait: a change of members is under way");
  v.change_open = false;
  v.conf.outgoing = ids({1, 2, 3});
  v.conf.auto_leave = true;
  EXPECT_EQ(plan(v, ids({1, 2, 4})), "wait: a joint configuration ends by itself");
  v.conf.auto_leave = false;
  EXPECT_EQ(plan(v, ids({1, 2, 4})), "change") << "leave it";
}

TEST(Reconcile, GrowsThroughLearners) {
  EXPECT_EQ(plan(group({1}), ids({1, 2, 3})), "change ~2 ~3");
  auto v = group({1}, {2, 3});
  peer(v, id(3)).match = RaftIndex(89);
  EXPECT_EQ(plan(v, ids({1, 2, 3})), "wait: new replicas are catching up");
  peer(v, id(3)).match = RaftIndex(90);
  EXPECT_EQ(plan(v, ids({1, 2, 3})), "change +2 +3");
  peer(v, id(3)).state = static_cast<std::uint8_t>(raft::ProgressState::kSnapshot);
  EXPECT_EQ(plan(v, ids({1, 2, 3})), "wait: new replicas are catching up");
}

TEST(Reconcile, ReplacesInOneStep) {
  EXPECT_EQ(plan(group({1, 2, 3}), ids({1, 2, 4})), "change ~4");
  EXPECT_EQ(plan(group({1, 2, 3}, {4}), ids({1, 2, 4})), "change +4 -3");
  auto v = group({1, 2, 3}, {4});
  v.down = ids({3});
  EXPECT_EQ(plan(v, ids({1, 2, 4})), "change +4 -3") << "the dead one does not hold it up";
  v.conf.learners = {id(3, 1)};
  v.peers.back().id = id(3, 1);
  EXPECT_EQ(plan(v, {id(1), id(2), id(3, 1)}), "change +3' -3") << "a wiped node";
}

TEST(Reconcile, ShrinksAndKeepsAMajority) {
  auto v = group({1, 2, 3, 4, 5});
  EXPECT_EQ(plan(v, ids({1, 2, 3})), "change -4 -5");
  v.down = ids({2});
  EXPECT_EQ(plan(v, ids({1, 2, 3})), "change -4 -5");
  v.down = ids({2, 3});
  EXPECT_EQ(plan(v, ids({1, 2, 3})), "wait: the new voters would have no working majority");
  v = group({1, 2, 3});
  peer(v, id(2)).match = RaftIndex(1);
  EXPECT_EQ(plan(v, ids({1, 2})), "wait: the new voters would have no working majority") << "far behind";
}

TEST(Reconcile, LeaderThatGoesHandsOver) {
  auto v = group({1, 2, 3}, {4});
  EXPECT_EQ(plan(v, ids({2, 3, 4})), "transfer 2");
  peer(v, id(3)).match = RaftIndex(99);
  EXPECT_EQ(plan(v, ids({2, 3, 4})), "transfer 3") << "who is nearest";
  EXPECT_EQ(text(reconcile(v, {ids({2, 3, 4}), {}, id(2)})), "transfer 2") << "or who is preferred";
  v.transfer_failed = true;
  EXPECT_EQ(plan(v, ids({2, 3, 4})), "change +4 -1");
  auto alone = group({1}, {2});
  EXPECT_EQ(plan(alone, ids({2})), "change +2 -1") << "nobody else could lead yet";
}

TEST(Reconcile, ReplicasThatAreDownDoNotHoldUpTheOthers) {
  auto v = group({1, 2, 3}, {4, 5});
  v.down = ids({3, 5});
  EXPECT_EQ(plan(v, ids({1, 4, 5})), "change +4 -3") << "the dead one first";
  v.down = ids({5});
  EXPECT_EQ(plan(v, ids({1, 4, 5})), "change +4 -2");
  v.down = ids({4, 5});
  EXPECT_EQ(plan(v, ids({1, 4, 5})), "wait: new replicas are down");
  auto one = group({1}, {2, 3});
  one.down = ids({3});
  EXPECT_EQ(plan(one, ids({1, 2, 3})), "wait: new replicas are down") << "two would be worse than one";
  auto three = group({1, 2, 3}, {4, 5});
  three.down = ids({5});
  EXPECT_EQ(plan(three, ids({1, 2, 3, 4, 5})), "wait: new replicas are down");
}

TEST(Reconcile, LearnersComeAndGo) {
  EXPECT_EQ(plan(group({1, 2, 3}), ids({1, 2, 3}), ids({4, 5})), "change ~4 ~5");
  EXPECT_EQ(plan(group({1, 2, 3}, {4, 5}), ids({1, 2, 3}), ids({5})), "change -4");
  EXPECT_EQ(plan(group({1, 2, 3}, {4}), ids({1, 2, 5})), "change ~5 -4") << "in one step";
  EXPECT_EQ(plan(group({1, 2, 3}, {4}), ids({1, 2, 4}), ids({3})), "change +4 ~3") << "they change places";
}

TEST(Reconcile, MetaMembers) {
  raft::ConfState conf;
  std::vector<MetaCandidate> nodes;
  for (std::uint64_t n = 1; n <= 5; ++n) nodes.push_back({id(n), false});
  EXPECT_EQ(desired_meta_members(nodes, conf).voters, ids({1, 2, 3, 4, 5}));
  for (std::uint64_t n = 6; n <= 9; ++n) nodes.push_back({id(n), false});
  conf.voters = ids({3, 4, 5, 6, 7, 8, 9});
  auto want = desired_meta_members(nodes, conf);
  EXPECT_EQ(want.voters, conf.voters) << "no needless change";
  EXPECT_EQ(want.learners, ids({1, 2}));
  nodes[3].down = true;
  want = desired_meta_members(nodes, conf);
  EXPECT_EQ(want.voters, ids({3, 5, 6, 7, 8, 9, 1}));
  EXPECT_EQ(want.learners, ids({2, 4}));
  nodes[4].replica = id(5, 2);
  want = desired_meta_members(nodes, conf);
  EXPECT_EQ(want.voters[1], id(5, 2)) << "a renewed replica keeps its node's place";
}

}  // namespace
}  // namespace weir::cluster
