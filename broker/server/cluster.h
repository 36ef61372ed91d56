// broker/server/cluster.h - this node among the others: frames to whom they are for, who leads what.
//
// Room:    shell over cluster::Mesh. Thread: the shard. Owner: Node.
// Flow:    Raft messages to replica::Host; interest and messages to Interest; publishes, acks and API
//          requests for a group to its host here, or once more to who leads it by now.
// Hints:   the leader of a group tells every node that it leads; a hint counts while a link to that node
//          stands, and a later term replaces an earlier one.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "broker/cluster/membership.h"
#include "broker/replica/host.h"
#include "broker/server/cluster_side.h"
#include "broker/server/node_state.h"
#include "broker/server/raft_watch.h"

namespace weir::server {

class Cluster final : public cluster::MeshEvents, public replica::Peers, public ClusterSide {
 public:
  explicit Cluster(NodeState& node);
  ~Cluster() override;

  /// Makes mesh and interest; nothing is sent before bind().
  void make(cluster::NodeInfo self);
  /// Binds the cluster port and dials. Errors: the system's text.
  Status bind() { return node_.mesh->start(); }
  /// INFO of clients changed when it returns from an event: Node asks this once per turn.
  bool take_info_changed() { return std::exchange(info_changed_, false); }
  /// Of the turn, to who watches Raft.
  void tell_watchers() { watch_.tell(); }
  /// End of turn: hints, interest, frames.
  void flush();
  void update_self(const std::function<void(cluster::NodeInfo&)>& change);
  void going();

  // MeshEvents.
  void peer_up(const cluster::NodeInfo& peer) override;
  void peer_changed(const cluster::NodeInfo& peer) override;
  void peer_down(NodeId peer) override;
  void peer_alive(NodeId peer, bool alive) override;
  void frame(NodeId from, cluster::FrameKind kind, const Bytes& payload) override;

  // replica::Peers.
  void send(NodeId to, GroupId group, raft::Message message) override;

  // ClusterSide.
  NodeId leader_of(GroupId group) const override;
  void leads(GroupId group, Term term, bool now) override;
  bool forward(NodeId to, const Forwarded& f, const Bytes* shared) override;
  std::string name_of(NodeId node) const override;
  bool connected(NodeId node) const override;
  bool alive(NodeId node) const override;
  bool stays(NodeId node) const override;
  Nanos silence(NodeId node) const override;
  cluster::Mesh& mesh() override { return *node_.mesh; }

 private:
  struct Hint {
    NodeId node;
    Term term;
  };
  void on_raft(NodeId from, const Bytes& payload);
  void on_forwarded(NodeId from, const Bytes& payload);
  void on_hints(NodeId from, const Bytes& payload);
  void forget_hints();
  void bad_frame(NodeId from, const char* kind, const Error& why);

  NodeState& node_;
  RaftWatch watch_;
  std::map<GroupId, Hint> hints_;  // of groups led elsewhere
  std::map<GroupId, Term> led_;    // here
  std::vector<LeaderHint> news_;   // to be told at the end of the turn
  std::map<NodeId, Mono> gone_;    // when the link of a node ended
  bool info_changed_ = false;
  std::uint64_t bad_frames_ = 0;
};

}  // namespace weir::server
