// broker/server/cluster_asks.h - what a node has to ask the others for: figures of an account, and whether
// it may be stopped.
//
// Room:    shell over Mesh::ask. Thread: the shard. Owner: JetStream; null without a cluster.
// Usage:   each node tells what it stores itself, so that the sum counts every replica, as nats-server does,
//          and the consumers of the streams that it leads. A node that does not answer is left out.
// Limits:  accounts that have limits hold what the others use, a second old at most.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "broker/cluster/mesh.h"
#include "broker/env/env.h"
#include "broker/server/account.h"

namespace weir::server {

class JetStream;

struct NodeUsage {
  std::uint64_t file_bytes = 0, memory_bytes = 0;
  std::uint64_t consumers = 0;
  std::uint64_t api_total = 0, api_errors = 0;
  NodeUsage& operator+=(const NodeUsage& o);
};

/// Why the node should not be stopped now: one line for each group, empty = it may.
struct StopHindrance {
  std::string account, stream;  // of a stream; both empty: the meta group, or no group
  std::string why;
};

class ClusterAsks {
 public:
  ClusterAsks(env::Env& env, JetStream& js);
  ~ClusterAsks();

  /// Of all nodes. `done` runs once, perhaps at once.
  void usage(const Account& account, std::function<void(const NodeUsage&)> done);
  NodeUsage own_usage(const Account& account) const;
  /// Whether every group with a vote here goes on without this node (group_view.h safe_without).
  void safe_to_stop(std::function<void(std::vector<StopHindrance>)> done);

 private:
  struct Gathering;
  struct StopCheck;
  /// Of the others; `done` gets their sum.
  void ask_usage(const std::string& account, std::function<void(const NodeUsage&)> done);
  void serve_usage(const Bytes& body, cluster::Mesh::Reply reply);
  void serve_groups(NodeId from, cluster::Mesh::Reply reply);
  void ask_leader(NodeId leader, std::vector<GroupId> groups, std::shared_ptr<StopCheck> check);
  StopHindrance hindrance(GroupId group, std::string why) const;
  void refresh();
  void arm();

  env::Env& env_;
  JetStream& js_;
  env::TimerId timer_ = 0;
  std::shared_ptr<int> alive_ = std::make_shared<int>(0);
};

}  // namespace weir::server
