// broker/replica/position.h - where a replica's durable state stands in its group's log.
//
// Room:    pure. Bytes: docs/formats/position.md. Written with each checkpoint, in one catalog batch with
//          the state that it describes.
// Errors:  kCorrupt, kUnsupported (later version).
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "broker/base/ids.h"
#include "broker/base/result.h"
#include "broker/raft/messages.h"

namespace weir::replica {

struct Position {
  NodeId self;                   // replica id: state under another id is not this replica's (ADR 4)
  std::uint32_t generation = 0;  // of the store that holds the state
  raft::EntryId at;              // applied up to here
  raft::ConfState conf;          // in force there
  /// The state was fetched from a peer, and the journal may not know yet: entries found there count only
  /// behind a kReset record of this very entry.
  bool installed = false;
  bool operator==(const Position&) const = default;
};

/// Catalog key of a group's position.
std::string position_key(GroupId group);
std::string encode_position(const Position& p);
Result<Position> decode_position(std::string_view bytes);

}  // namespace weir::replica
