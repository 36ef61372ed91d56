// broker/server/rooms.h - how much each node may store and stores: placement asks.
//
// Room:    shell over Mesh::ask. Thread: the shard. Owner: JetStream, in a cluster.
// Told:    to each node when its link comes up, and to all when the figures have changed by more than a
//          little, at most every few seconds. A node that never said anything is taken for one like this.
// Format:  varints: file limit, file bytes stored, memory limit, memory bytes stored; what follows is of a
//          later version. What is reserved everybody knows from the meta state.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <set>

#include "broker/cluster/mesh.h"
#include "broker/cluster/placement.h"
#include "broker/env/env.h"
#include "broker/jetstream/meta_state.h"

namespace weir::server {

class JetStream;

/// Bytes.
struct NodeRoom {
  std::uint64_t file_max = 0, file_used = 0;
  std::uint64_t memory_max = 0, memory_used = 0;
};
/// The figures of `node`: what is free is the limit less what is stored or reserved, whichever is more.
void set_room(cluster::PlaceNode& node, const NodeRoom& room, const jetstream::MetaLoad& load);

class Rooms {
 public:
  Rooms(env::Env& env, JetStream& js);
  void peer_up(NodeId peer) { owed_.insert(peer); }
  void peer_down(NodeId peer);
  /// Called several times a second.
  void work();
  /// This node's own for one that is not known.
  NodeRoom of(NodeId node) const;
  /// Whether each node of the stream has room for what `config` reserves more than it has now.
  bool may_grow(const jetstream::MetaStream& now, const api::StreamConfig& config) const;

 private:
  NodeRoom own() const;
  void tell(NodeId peer);

  env::Env& env_;
  JetStream& js_;
  std::map<NodeId, NodeRoom> rooms_;
  std::set<NodeId> owed_;  // came up and know nothing yet
  NodeRoom told_;
  Mono next_{};
  std::shared_ptr<int> alive_ = std::make_shared<int>(0);
};

}  // namespace weir::server
