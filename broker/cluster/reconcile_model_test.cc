// Real raft cores whose leader does what reconcile() says, while placements change, nodes are wiped and
// some stay away. Whatever is wanted is reached, and no step endangers the group.
#include <algorithm>
#include <map>
#include <memory>
#include <set>

#include <gtest/gtest.h>

#include "broker/base/prng.h"
#include "broker/cluster/reconcile.h"
#include "broker/raft/testing/test_node.h"

namespace weir::cluster {
namespace {

using raft::testing::TestNode;
using Kind = ReconcileStep::Kind;

constexpr std::uint64_t kMachines = 8;

class World {
 public:
  explicit World(std::uint64_t seed) : prng_(seed) {
    for (std::uint64_t n = 1; n <= kMachines; ++n) lives_[n] = 0;
    raft::ConfState conf;
    for (std::uint64_t n = prng_.between(1, 3); n > 0; --n) conf.voters.push_back(id(n));
    std::sort(conf.voters.begin(), conf.voters.end());
    desired_.voters = conf.voters;
    for (NodeId replica : conf.voters) add(replica, conf);
  }

  std::string run(unsigned changes) {
    for (unsigned i = 0; i < changes && trouble_.empty(); ++i) {
      unsigned ticks = 0;
      while (!reached() && trouble_.empty()) {
        if (++ticks > 3000) return "not reached: " + describe();
        tick();
      }
      for (std::uint64_t more = prng_.below(20); more > 0; --more) tick();
      disturb();
      // Sometimes the next wish comes before the last one is fulfilled.
      for (std::uint64_t some = prng_.below(60); some > 0 && prng_.chance(1, 2); --some) tick();
    }
    return trouble_;
  }
  unsigned steps_taken = 0, transfers = 0, wipes = 0, partial = 0;

 private:
  NodeId id(std::uint64_t machine) const {
    return replica_id(NodeId(machine << kIncarnationBits), lives_.at(machine));
  }
  static std::uint64_t machine_of(NodeId replica) { return replica.v >> kIncarnationBits; }

  void add(NodeId replica, const raft::ConfState& conf) {
    raft::Config c;
    c.id = replica;
    raft::testing::Disk disk;
    disk.checkpoint.conf = conf;
    if (!conf.voters.empty()) disk.base = disk.checkpoint.at = raft::kNewGroup;
    auto node = std::make_unique<TestNode>(c, std::move(disk));
    node->start(prng_.next());
    nodes_.emplace(replica, std::move(node));
  }

  bool up(NodeId replica) const { return nodes_.count(replica) > 0 && away_.count(machine_of(replica)) == 0; }

  TestNode* leader() {
    TestNode* best = nullptr;
    for (auto& [replica, node] : nodes_) {
      if (!up(replica) || node->core().role() != raft::Role::kLeader) continue;
      if (best == nullptr || node->core().term() > best->core().term()) best = node.get();
    }
    return best;
  }

  void tick() {
    ++now_;
    for (auto& [replica, node] : nodes_)
      if (up(replica)) node->core().tick();
    if (TestNode* l = leader(); l != nullptr) {
      if (prng_.chance(1, 3)) {
        std::vector<Bytes> one{Bytes::copy_of("x")};
        (void)l->core().propose(one);
      }
      if (prng_.chance(1, 20)) l->checkpoint(prng_.below(10));
      act(*l);
    }
    for (int round = 0; round < 4; ++round) exchange();
  }

  void exchange() {
    std::vector<raft::Message> flying;
    for (auto& [replica, node] : nodes_) {
      if (!up(replica)) continue;
      node->pump();
      while (!node->writes().empty()) {
        node->finish_write();
        node->pump();
      }
      serve(*node);
      for (raft::Message& m : node->out) flying.push_back(std::move(m));
      node->out.clear();
      if (!node->trouble.empty()) trouble_ = node->trouble;
      for (const raft::Entry& e : node->applied) {
        auto [it, first] = committed_.emplace(e.index, raft::testing::hash_of(e));
        if (it->second != raft::testing::hash_of(e)) trouble_ = "two entries were committed at one index";
      }
      node->applied.clear();
    }
    for (raft::Message& m : flying) {
      if (prng_.chance(1, 30) || !up(m.to) || !up(m.from)) continue;
      nodes_[m.to]->core().step(m.from, m);
    }
  }

  void serve(TestNode& node) {
    while (!node.loads.empty()) {
      raft::LoadRequest l = node.loads.front();
      node.loads.erase(node.loads.begin());
      node.core().entries_loaded(l, node.read(l.from, l.repair ? l.from : l.upto));
      node.pump();
    }
    if (!node.install) return;
    auto from = nodes_.find(node.install->from);
    if (from != nodes_.end() && up(from->first) &&
        from->second->state().at.index >= node.install->meta.index) {
      node.installed(from->second->state());
    } else {
      node.install.reset();
      node.core().snapshot_failed();
    }
    node.pump();
  }

  GroupView view(TestNode& l) {
    GroupView v;
    v.self = l.id();
    v.conf = l.core().conf();
    v.change_open = false;  // the core refuses what comes too early
    v.last = l.core().log().last();
    v.peers = l.core().peers();
    for (NodeId n : raft::members_of(v.conf))
      if (!up(n)) v.down.push_back(n);
    v.lag_max = 5;
    v.transfer_failed = transfer_from_ == l.id() && now_ - transfer_at_ > 30;
    return v;
  }

  void act(TestNode& l) {
    GroupView v = view(l);
    ReconcileStep s = reconcile(v, desired_);
    if (s.kind == Kind::kTransfer) {
      if (transfer_from_ != l.id()) {
        transfer_from_ = l.id();
        transfer_at_ = now_;
      }
      transfers += l.core().transfer_leadership(s.to) ? 1u : 0u;
    }
    if (s.kind != Kind::kChange) return;
    raft::Proposed p = l.core().propose_conf_change(s.change);
    if (p.outcome != raft::ProposeOutcome::kAppended) return;
    ++steps_taken;
    check(v, *raft::change_conf(v.conf, s.change));
    for (const auto& step : s.change.steps)
      if (step.op != raft::ConfOp::kRemove && nodes_.count(step.node) == 0) add(step.node, {});
  }

  void check(const GroupView& before, const raft::ConfState& after) {
    std::size_t able = 0;
    for (NodeId n : after.voters) able += up(n) ? 1u : 0u;
    if (able * 2 <= after.voters.size()) trouble_ = "voters without a majority that is up";
    if (after.voters.size() < std::min(before.conf.voters.size(), desired_.voters.size()))
      trouble_ = "fewer voters than before and than wanted";
    bool all = std::all_of(desired_.voters.begin(), desired_.voters.end(),
                           [&](NodeId n) { return raft::is_voter(after, n); });
    if (!all && raft::is_joint(after)) ++partial;
  }

  /// As far as those that are up allow: they all vote, and nobody else does but for those that are away.
  bool reached() {
    TestNode* l = leader();
    if (l == nullptr) return false;
    const raft::ConfState& conf = l->core().conf();
    if (raft::is_joint(conf) || l->core().log().commit() < l->core().log().last()) return false;
    if (!away_.empty()) return reconcile(view(*l), desired_).kind == Kind::kDone || waited_for_away(*l);
    raft::ConfState want;
    want.voters = desired_.voters;
    std::sort(want.voters.begin(), want.voters.end());
    return conf == want;
  }

  bool waited_for_away(TestNode& l) {
    ReconcileStep s = reconcile(view(l), desired_);
    return s.kind == Kind::kWait && std::string(s.why) == "new replicas are down";
  }

  void disturb() {
    away_.clear();
    std::vector<std::uint64_t> machines;
    for (NodeId n : desired_.voters) machines.push_back(machine_of(n));
    TestNode* l = leader();
    // A wish that was fulfilled: then a minority may be wiped or go away.
    raft::ConfState conf = l != nullptr ? l->core().conf() : raft::ConfState();
    bool settled = l != nullptr && reached() && conf.voters.size() >= 3;
    std::uint64_t victim = machines[prng_.below(machines.size())];
    if (settled && prng_.chance(1, 3)) {
      ++wipes;
      nodes_.erase(id(victim));
      ++lives_[victim];
    } else if (settled && prng_.chance(1, 3)) {
      away_.insert(victim);
    }
    if (prng_.chance(2, 3)) {
      std::set<std::uint64_t> chosen;
      for (std::uint64_t want = prng_.between(1, 5); chosen.size() < want;)
        chosen.insert(prng_.between(1, kMachines));
      machines.assign(chosen.begin(), chosen.end());
    }
    if (machines.size() < 3) away_.clear();
    // Somebody new who is not there: a whole new majority is never away.
    std::uint64_t other = machines[prng_.below(machines.size())];
    if (away_.empty() && machines.size() >= 3 && prng_.chance(1, 4) && l != nullptr &&
        !raft::is_member(conf, id(other)))
      away_.insert(other);
    desired_.voters.clear();
    for (std::uint64_t m : machines) desired_.voters.push_back(id(m));
  }

  std::string describe() {
    std::string text = "wanted";
    for (NodeId n : desired_.voters) text += " " + std::to_string(n.v >> kIncarnationBits);
    TestNode* l = leader();
    if (l == nullptr) return text + ", no leader";
    text += ", voters";
    for (NodeId n : l->core().conf().voters) text += " " + std::to_string(n.v >> kIncarnationBits);
    text += ", away";
    for (std::uint64_t m : away_) text += " " + std::to_string(m);
    return text + ", " + reconcile(view(*l), desired_).why;
  }

  Prng prng_;
  std::map<std::uint64_t, std::uint64_t> lives_;
  std::map<NodeId, std::unique_ptr<TestNode>> nodes_;
  std::set<std::uint64_t> away_;
  std::map<RaftIndex, std::uint64_t> committed_;
  DesiredMembers desired_;
  std::uint64_t now_ = 0, transfer_at_ = 0;
  NodeId transfer_from_;
  std::string trouble_;
};

TEST(ReconcileModel, ReachesWhatIsWanted) {
  unsigned steps = 0, transfers = 0, wipes = 0, partial = 0;
  for (std::uint64_t seed = 1; seed <= 400; ++seed) {
    World world(seed);
    ASSERT_EQ(world.run(25), "") << "seed " << seed;
    steps += world.steps_taken;
    transfers += world.transfers;
    wipes += world.wipes;
    partial += world.partial;
  }
  EXPECT_GT(steps, 1000u);
  EXPECT_GT(transfers, 50u);
  EXPECT_GT(wipes, 50u);
  EXPECT_GT(partial, 5u);
}

}  // namespace
}  // namespace weir::cluster
