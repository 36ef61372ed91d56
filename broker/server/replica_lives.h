// broker/server/replica_lives.h - the last life of each group's replica that this store has begun (ADR 4).
//
// Room:    shell over the catalog: "l/<group>" -> decimal replica id. Thread: the shard.
// Why:     after a restart the meta group may know less than before, and name an id that was given up since.
//          What it had promised is void in the journal: under that id the replica must never act again.
#pragma once

#include <functional>

#include "broker/base/ids.h"
#include "broker/store/catalog.h"

namespace weir::server {

/// Whether `replica` may begin or go on: no later life of it was begun here.
bool life_may_go_on(const store::Catalog& catalog, GroupId group, NodeId replica);
/// True if a life that is not the first needs begin_life() before it may write anything.
bool life_is_new(const store::Catalog& catalog, GroupId group, NodeId replica);
/// `done` runs when the note is durable.
void begin_life(store::Catalog& catalog, GroupId group, NodeId replica, env::DiskDone done);
/// Notes of groups that are `gone` for good.
void forget_lives(store::Catalog& catalog, const std::function<bool(GroupId)>& gone);

}  // namespace weir::server
