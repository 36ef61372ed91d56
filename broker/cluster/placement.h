// broker/cluster/placement.h - which nodes hold a stream.
//
// Room:    pure. The leader of the meta group asks; the answer goes into a command.
// Order:   nodes that can be reached first; then those that have more than a little room; then fewest
// replicas (of replicated streams for a replicated
//          stream, of all for R1), then most free space of the kind asked for, then a seeded toss.
//          nats-server lets free space decide for R1; then a node with a larger disk gets every stream
//          until it is no larger.
// Errors:  10005 with nats-server's words, each reason once and tags sorted.
// Source:  reasons and their order, tags with "!", the tag "!jetstream", the unique tag that counts no more
//          when a placement names one, offline nodes as long as a majority is reached: nats-server 2.15.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "broker/api/stream_config.h"
#include "broker/base/ids.h"

namespace weir::cluster {

/// A registered node, as the leader knows it. Nodes that were removed are not given.
struct PlaceNode {
  NodeId id;  // without incarnation
  std::string cluster;
  std::vector<std::string> tags;  // lower case
  bool jetstream = true;
  bool known = true;                              // its figures below were heard since this leader began
  bool online = true;                             // a link to it stands
  std::uint64_t file_free = 0, memory_free = 0;   // bytes: limit less what is used or reserved
  bool file_tight = false, memory_tight = false;  // little of the limit is left
  std::size_t streams = 0;                        // replicas
  std::size_t replicated = 0;                     // of these: of streams with more than one
};

struct PlaceRules {
  std::string unique_tag;         // prefix in which the replicas of a stream differ; "" = none
  std::size_t max_ha_assets = 0;  // replicated streams of one node; 0 = no limit
  std::string cluster;            // where a stream goes whose placement names none
};

struct Placed {
  std::vector<NodeId> nodes;  // empty: see error
  api::ApiError error;        // why not, or why not all (place_replacement)
  bool ok() const { return !nodes.empty(); }
  /// Everything that was asked for.
  bool complete() const { return error.err_code == api::ErrCode::kNone; }
};

/// For a new stream of config.num_replicas.
Placed place_new(const api::StreamConfig& config, const std::vector<PlaceNode>& nodes,
                 const PlaceRules& rules, std::uint64_t seed);

/// For config.num_replicas, which differs from `current.size()`. Growing keeps every current node, whether
/// it would be chosen now or not; shrinking keeps `leader` first (0 = none), then nodes that are reached.
Placed place_scale(const api::StreamConfig& config, const std::vector<NodeId>& current, NodeId leader,
                   const std::vector<PlaceNode>& nodes, const PlaceRules& rules, std::uint64_t seed);

/// For a placement that changed, or to leave `exclude`. Current nodes that fit stay.
Placed place_move(const api::StreamConfig& config, const std::vector<NodeId>& current,
                  const std::vector<NodeId>& exclude, const std::vector<PlaceNode>& nodes,
                  const PlaceRules& rules, std::uint64_t seed);

/// Without `gone`, filled up to config.num_replicas with nodes that are reached, as far as that is possible:
/// a node that is down would hold up the move, and one that is reached later may be taken then. Not
/// complete(): `nodes` has those there are, at least one, and the rest has to be found later; empty if nobody
/// is left.
Placed place_replacement(const api::StreamConfig& config, const std::vector<NodeId>& current, NodeId gone,
                         const std::vector<PlaceNode>& nodes, const PlaceRules& rules, std::uint64_t seed);

}  // namespace weir::cluster
