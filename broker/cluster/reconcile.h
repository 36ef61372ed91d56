// broker/cluster/reconcile.h - from the members a group has to those it should have, one step at a time.
//
// Room:    pure. The leader of a group asks when its configuration, its followers or the meta state changed,
//          does what it is told, and asks again. Nothing is remembered between two questions.
// Path:    new replicas become learners; when those that can be reached have caught up, one joint change
// makes
//          them voters and drops who goes; last, learners that are wanted no more. Replicas that are down
//          neither hold up the others nor are waited for: what can be exchanged is exchanged.
// Promise: a step never leaves fewer voters than before, unless fewer are wanted, and never leads to voters
//          of whom no majority can be reached and has caught up.
// Source:  Ongaro's dissertation 4.2.1 (catch up before the vote), 4.3 (joint), 3.10 (transfer).
#pragma once

#include <cstdint>
#include <vector>

#include "broker/base/ids.h"
#include "broker/raft/confchange.h"
#include "broker/raft/ready.h"

namespace weir::cluster {

constexpr std::size_t kMetaVotersMax = 7;

struct DesiredMembers {
  std::vector<NodeId> voters, learners;  // replica ids, in any order; no id in both
  NodeId preferred;                      // should lead if leadership moves; a node or replica, 0 = any
};

/// What the leader of the group knows.
struct GroupView {
  NodeId self;  // its replica id
  raft::ConfState conf;
  bool change_open = false;  // the configuration in force is not committed yet
  RaftIndex last;
  std::vector<raft::PeerView> peers;
  std::vector<NodeId> down;      // replicas that could not be reached for long, in the owner's judgement
  std::uint64_t lag_max = 64;    // entries that one who has caught up may be behind
  bool transfer_failed = false;  // the last kTransfer did not come about: do without
};

struct ReconcileStep {
  enum class Kind : std::uint8_t {
    kDone,      // everything is as it should be
    kWait,      // something else has to happen first; see why
    kChange,    // propose `change`
    kTransfer,  // give leadership to `to`; it will go on
  };
  Kind kind = Kind::kDone;
  raft::ConfChange change;
  NodeId to;
  const char* why = "";  // static text, for people
};

ReconcileStep reconcile(const GroupView& view, const DesiredMembers& desired);

/// A registered node, for the meta group.
struct MetaCandidate {
  NodeId replica;     // MetaNode::meta_replica
  bool down = false;  // as GroupView::down
};

/// Who should be in the meta group: up to kMetaVotersMax voters, the rest learners. Nodes that vote keep
/// their vote, but one that is down loses it to one that is not. `nodes`: without removed ones.
DesiredMembers desired_meta_members(const std::vector<MetaCandidate>& nodes, const raft::ConfState& conf);

}  // namespace weir::cluster
