// broker/server/leader_balance.h - gives leaderships to nodes that lead too little, a few at a time.
//
// Room:    shell around cluster/leader_balance. Thread: the shard. Owner: JetStream, in a cluster.
// When:    every ten seconds, every two while there is something to do, once no link came or went for a
//          moment. A node whose link is young takes nothing yet, nor does one in lame duck mode, nor a
//          replica that is behind.
// Pace:    kAtOnce groups each time; a group that was tried is left alone for a minute.
#pragma once

#include <map>

#include "broker/cluster/leader_balance.h"
#include "broker/env/env.h"
#include "broker/replica/group.h"

namespace weir::server {

class JetStream;

class LeaderBalance {
 public:
  LeaderBalance(env::Env& env, JetStream& js) : env_(env), js_(js) {}
  void peer_up(NodeId peer);
  void peer_down(NodeId peer);
  /// Called several times a second.
  void work();

 private:
  cluster::BalanceView view() const;
  bool ready(GroupId group, NodeId node) const;
  void hand_over(const cluster::BalanceView& view);

  env::Env& env_;
  JetStream& js_;
  std::map<NodeId, Mono> up_since_;
  std::map<GroupId, Mono> tried_;
  Mono calm_{}, next_{};
};

}  // namespace weir::server
