// broker/server/cluster_side.h - what streams and the API ask of the rest of the cluster.
//
// Room:    interface; Cluster implements it, a server without a cluster has none (null).
// Thread:  the shard. Node ids are without incarnation.
#pragma once

#include <string>

#include "broker/base/bytes.h"
#include "broker/base/ids.h"
#include "broker/cluster/mesh.h"
#include "broker/server/forward.h"

namespace weir::server {

class ClusterSide {
 public:
  virtual ~ClusterSide() = default;
  /// The node that leads `group`; 0: not known, or there is no link to it. May be this node.
  virtual NodeId leader_of(GroupId group) const = 0;
  /// This node leads `group` in `term`, or not any more: the others are told.
  virtual void leads(GroupId group, Term term, bool now) = 0;
  /// False: no link or no room in its lane.
  virtual bool forward(NodeId to, const Forwarded& f, const Bytes* shared) = 0;
  virtual std::string name_of(NodeId node) const = 0;
  virtual bool connected(NodeId node) const = 0;
  /// Connected, and heard of lately. This node itself is.
  virtual bool alive(NodeId node) const = 0;
  /// Alive, and not about to go (lame duck mode).
  virtual bool stays(NodeId node) const = 0;
  /// Since this node heard of it last; 0: never since this process began, or it is this node.
  virtual Nanos silence(NodeId node) const = 0;
  virtual cluster::Mesh& mesh() = 0;
};

}  // namespace weir::server
