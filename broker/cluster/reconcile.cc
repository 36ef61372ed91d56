#include "broker/cluster/reconcile.h"

#include <algorithm>
#include <tuple>

#include "broker/raft/progress.h"
#include "broker/raft/quorum.h"

namespace weir::cluster {
namespace {

using raft::ConfOp;
using Kind = ReconcileStep::Kind;
using Ids = std::vector<NodeId>;

bool holds(const Ids& list, NodeId id) {
  return std::find(list.begin(), list.end(), id) != list.end();
}

ReconcileStep wait(const char* why) {
  return {Kind::kWait, {}, NodeId(0), why};
}

class Planner {
 public:
  Planner(const GroupView& view, const DesiredMembers& desired) : v_(view), want_(desired) {}

  ReconcileStep plan() {
    if (want_.voters.empty()) return wait("nobody is wanted");
    if (v_.change_open) return wait("a change of members is under way");
    if (raft::is_joint(v_.conf)) {
      if (v_.conf.auto_leave) return wait("a joint configuration ends by itself");
      return {Kind::kChange, {}, NodeId(0), "leave the joint configuration"};
    }
    if (ReconcileStep s = add_learners(); s.kind != Kind::kDone) return s;
    if (ReconcileStep s = change_voters(); s.kind != Kind::kDone) return s;
    return drop_learners();
  }

 private:
  bool down(NodeId id) const { return holds(v_.down, id) && id != v_.self; }

  const raft::PeerView* peer(NodeId id) const {
    auto it = std::find_if(v_.peers.begin(), v_.peers.end(), [&](const auto& p) { return p.id == id; });
    return it == v_.peers.end() ? nullptr : &*it;
  }

  bool caught_up(NodeId id) const {
    if (id == v_.self) return true;
    const raft::PeerView* p = peer(id);
    return p != nullptr && !down(id) && p->match.v + v_.lag_max >= v_.last.v &&
           p->state == static_cast<std::uint8_t>(raft::ProgressState::kReplicate);
  }

  ReconcileStep add_learners() const {
    ReconcileStep s{Kind::kDone, {}, NodeId(0), "new replicas learn"};
    std::size_t room = raft::kLearnersMax - std::min(raft::kLearnersMax, v_.conf.learners.size());
    for (const Ids* list : {&want_.voters, &want_.learners}) {
      for (NodeId id : *list) {
        if (raft::is_member(v_.conf, id) || s.change.steps.size() >= room) continue;
        s.change.steps.push_back({ConfOp::kAddLearner, id});
      }
    }
    // Room for them, and an end to a log that is kept for nobody.
    if (!s.change.steps.empty() || room == 0) add_drops(s);
    if (!s.change.steps.empty()) s.kind = Kind::kChange;
    return s;
  }

  ReconcileStep drop_learners() const {
    ReconcileStep s{Kind::kDone, {}, NodeId(0), "learners that are not wanted go"};
    add_drops(s);
    if (!s.change.steps.empty()) s.kind = Kind::kChange;
    return s;
  }

  void add_drops(ReconcileStep& s) const {
    for (NodeId id : v_.conf.learners)
      if (!holds(want_.voters, id) && !holds(want_.learners, id))
        s.change.steps.push_back({ConfOp::kRemove, id});
  }

  ReconcileStep change_voters() const {
    const Ids& voters = v_.conf.voters;
    Ids ready, leaving;
    bool learning = false, missing = false;
    for (NodeId id : want_.voters) {
      if (holds(voters, id)) continue;
      if (caught_up(id)) {
        ready.push_back(id);
        continue;
      }
      missing = true;
      learning = learning || !down(id);
    }
    for (NodeId id : voters)
      if (!holds(want_.voters, id)) leaving.push_back(id);
    if (ready.empty() && leaving.empty() && !missing) return {};
    if (learning) return wait("new replicas are catching up");
    if (missing) do_what_can_be_done(ready, leaving);
    if (ready.empty() && leaving.empty()) return wait("new replicas are down");
    return joint(ready, leaving);
  }

  /// Some new replicas are down: the others take over for as many as possible.
  void do_what_can_be_done(Ids& ready, Ids& leaving) const {
    // Two voters of three wanted would stop when either does.
    std::size_t after = v_.conf.voters.size() + ready.size() - std::min(ready.size(), leaving.size());
    if (after > v_.conf.voters.size() && after % 2 == 0) ready.pop_back();
    std::stable_sort(leaving.begin(), leaving.end(),
                     [&](NodeId a, NodeId b) { return use_of(a, ready) < use_of(b, ready); });
    if (leaving.size() > ready.size()) leaving.resize(ready.size());
  }

  int use_of(NodeId id, const Ids& ready) const {
    if (id == v_.self) return 3;
    bool renewed =
        std::any_of(ready.begin(), ready.end(), [&](NodeId r) { return node_of(r) == node_of(id); });
    return renewed ? 0 : down(id) ? 1 : 2;
  }

  ReconcileStep joint(const Ids& ready, const Ids& leaving) const {
    Ids after = ready;
    for (NodeId id : v_.conf.voters)
      if (!holds(leaving, id)) after.push_back(id);
    auto able = std::count_if(after.begin(), after.end(), [&](NodeId id) { return caught_up(id); });
    if (static_cast<std::size_t>(able) * 2 <= after.size())
      return wait("the new voters would have no working majority");
    if (after.size() > raft::kVotersMax) return wait("too many voters are wanted");
    if (holds(leaving, v_.self) && !v_.transfer_failed) {
      if (NodeId to = successor(after); to.v != 0) return {Kind::kTransfer, {}, to, "the leader is to go"};
    }
    ReconcileStep s{Kind::kChange, {}, NodeId(0), "voters change"};
    for (NodeId id : ready) s.change.steps.push_back({ConfOp::kAddVoter, id});
    for (NodeId id : leaving)
      s.change.steps.push_back({holds(want_.learners, id) ? ConfOp::kAddLearner : ConfOp::kRemove, id});
    return s;
  }

  /// A voter that stays one.
  NodeId successor(const Ids& after) const {
    NodeId best;
    RaftIndex match{0};
    for (NodeId id : v_.conf.voters) {
      if (id == v_.self || !holds(after, id) || !caught_up(id)) continue;
      if (want_.preferred.v != 0 && node_of(id) == node_of(want_.preferred)) return id;
      if (RaftIndex m = peer(id)->match; best.v == 0 || m > match) {
        best = id;
        match = m;
      }
    }
    return best;
  }

  const GroupView& v_;
  const DesiredMembers& want_;
};

}  // namespace

ReconcileStep reconcile(const GroupView& view, const DesiredMembers& desired) {
  return Planner(view, desired).plan();
}

DesiredMembers desired_meta_members(const std::vector<MetaCandidate>& nodes, const raft::ConfState& conf) {
  auto votes = [&](const MetaCandidate& c) {
    return std::any_of(conf.voters.begin(), conf.voters.end(),
                       [&](NodeId id) { return node_of(id) == node_of(c.replica); });
  };
  std::vector<std::tuple<bool, bool, NodeId>> ranked;
  for (const MetaCandidate& c : nodes) ranked.emplace_back(c.down, !votes(c), c.replica);
  std::sort(ranked.begin(), ranked.end());
  DesiredMembers want;
  for (const auto& [down, stranger, id] : ranked)
    (want.voters.size() < kMetaVotersMax ? want.voters : want.learners).push_back(id);
  return want;
}

}  // namespace weir::cluster
