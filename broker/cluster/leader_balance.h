// broker/cluster/leader_balance.h - which leaderships a node hands over so that all nodes lead their share.
//
// Room:    pure. Each node decides about what it leads itself; all see the same leaders, so that they agree
//          without asking each other. The effect is server/leader_balance.
// Share:   a group counts for each of its nodes that could lead it, in equal parts.
// Calm:    a leadership moves only from a node that leads at least one too many to one that leads at least
//          one too few, and only while the two differ by more than a tenth: two nodes that decide at the same
//          moment do not send leaderships to and fro.
// Wishes:  a group that has a preferred node goes there, and never from there.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <vector>

#include "broker/base/ids.h"

namespace weir::cluster {

struct BalanceGroup {
  GroupId id;
  std::vector<NodeId> nodes;  // of its replicas, without incarnations
  NodeId leader;              // the node that leads it; 0: nobody knows, then it does not count
  NodeId preferred;           // the node that should; 0 = any
};

struct BalanceView {
  NodeId self;
  std::vector<NodeId> able;  // others that may take a leadership: reached, there for a while, not about to go
  std::vector<BalanceGroup> groups;  // with more than one node
};

struct HandOver {
  GroupId group;
  NodeId to;  // a node
  bool operator==(const HandOver&) const = default;
};

struct NodeShare {
  std::size_t leads = 0;
  double share = 0;  // of leaderships, if all led alike
};
/// Of this node and those that are able.
std::map<NodeId, NodeShare> leader_shares(const BalanceView& view);

/// At most `most`, of groups that this node leads. `ready` is asked for each one before it is chosen: whether
/// that node's replica has all that is committed.
std::vector<HandOver> balance_leaders(const BalanceView& view, std::size_t most,
                                      const std::function<bool(GroupId, NodeId)>& ready);

}  // namespace weir::cluster
