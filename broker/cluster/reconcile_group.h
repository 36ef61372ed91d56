// broker/cluster/reconcile_group.h - one step of a group from the members it has to those it should have.
//
// Room:    shell around reconcile.h. Thread: the shard. Called on the group's leader, again and again.
#pragma once

#include <functional>

#include "broker/base/ids.h"
#include "broker/cluster/reconcile.h"
#include "broker/replica/group.h"

namespace weir::cluster {

/// `down`: a node cannot be reached. True: the group is as wanted.
bool reconcile_group(replica::Group& group, const DesiredMembers& desired,
                     const std::function<bool(NodeId node)>& down);

}  // namespace weir::cluster
