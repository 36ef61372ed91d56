// broker/server/renewals.h - replicas of this node that are of no use begin anew under another id (ADR 4).
//
// Room:    shell. Thread: the shard. Owner: JetStream, in a cluster.
// When:    a stream's files or log are damaged so that the replica cannot go on, and others have the data.
// How:     the node asks the leader of the meta group, which gives a new id only while the stream has a
//          leader on another node and its voters are those that are wanted: one begins anew after the other,
//          and a majority works without it. Until then it goes on if it can; what it has stays on the disk
//          until the new one has a state.
#pragma once

#include <map>
#include <memory>

#include "broker/cluster/mesh.h"
#include "broker/env/env.h"
#include "broker/jetstream/command.h"
#include "broker/raft/confchange.h"

namespace weir::server {

class JetStream;

class Renewals {
 public:
  Renewals(env::Env& env, JetStream& js);
  /// `replica` is this node's in `group`.
  void want(GroupId group, NodeId replica);
  bool wants(GroupId group, NodeId replica) const {
    auto it = wanted_.find(group);
    return it != wanted_.end() && it->second.replica == replica;
  }
  /// Called several times a second.
  void work();

 private:
  struct Wanted {
    NodeId replica;
    Mono ask_again{};
  };
  void ask(GroupId group, NodeId replica);
  void ask_for_meta();
  void on_ask_for_meta(NodeId from, NodeId replica, cluster::Mesh::Reply reply);
  void on_ask(NodeId from, const Bytes& body, cluster::Mesh::Reply reply);
  void propose(NodeId node, GroupId group, NodeId replica, cluster::Mesh::Reply reply);
  void renew(const jetstream::MetaRenewCommand& c, const raft::ConfState& conf, cluster::Mesh::Reply reply);

  env::Env& env_;
  JetStream& js_;
  Mono ask_meta_again_{};
  std::map<GroupId, Wanted> wanted_;  // at most the streams placed here
  std::shared_ptr<int> alive_ = std::make_shared<int>(0);
};

}  // namespace weir::server
