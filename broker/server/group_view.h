// broker/server/group_view.h - a Raft group as people and programs are shown it.
//
// Room:    shell, reads only. Thread: the shard.
// Leader:  knows how far each member is. Another member knows that of itself only: what it shows of the
//          others is whether they can be reached, and of those only the leader counts as current.
// Source:  shapes and omissions of nats-server 2.15: a member does not list itself.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "broker/api/monitor_js.h"
#include "broker/jetstream/meta_state.h"
#include "broker/replica/group.h"
#include "broker/server/cluster_side.h"

namespace weir::server {

/// A node in "peer" fields: eight characters, the same as long as its store lives.
std::string peer_text(NodeId node);
/// The node that an operator means, by name or by peer_text(); nullptr: none.
const jetstream::MetaNode* find_peer(const jetstream::MetaState& state, std::string_view name_or_peer);

/// The other members, by name. Entries behind are counted from what is committed.
std::vector<api::PeerInfo> peer_infos(const replica::Group& group, const ClusterSide& cluster);
/// Empty: this replica serves and is as far as it knows the leader to be. Else why not, for people.
std::string not_current(const replica::Group& group, const ClusterSide* cluster);
/// A majority of the voters, of both configurations while they change, are here or connected.
bool has_quorum(const replica::Group& group, const ClusterSide& cluster);
/// On the leader: a majority would be left without `node`, connected and with everything committed. Groups
/// of one, and those that `node` has no vote in, do not ask for anything.
bool safe_without(const replica::Group& group, NodeId node, const ClusterSide& cluster);

/// As in /raftz. `cluster` may be null.
api::RaftGroup raft_group(const replica::Group& group, const ClusterSide* cluster);

}  // namespace weir::server
