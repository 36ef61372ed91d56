// broker/server/state_round.h - the members of one group say what their state is as of one entry.
//
// Room:    pure. Owner: StateCheck, on the group's leader.
// Rule:    what a majority of the voters has is right, in both halves of a joint configuration: it is what
//          will be there when this leader is not. Learners are compared and do not count.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <vector>

#include "broker/base/ids.h"
#include "broker/raft/messages.h"

namespace weir::server {

class StateRound {
 public:
  /// `asked`: the members that can answer, with the leader.
  StateRound(RaftIndex index, raft::ConfState conf, std::vector<NodeId> asked);

  RaftIndex index() const { return index_; }
  /// Ignored from replicas that are no members.
  void told(NodeId replica, std::uint64_t hash);
  /// Everybody who was asked has answered.
  bool complete() const;
  /// Two answers differ.
  bool differ() const;
  /// What a majority has; nullopt: none has the same (yet).
  std::optional<std::uint64_t> right() const;
  /// Those that answered something else than right(), which there must be.
  std::vector<NodeId> odd() const;
  const std::map<NodeId, std::uint64_t>& answers() const { return answers_; }

 private:
  RaftIndex index_;
  raft::ConfState conf_;
  std::vector<NodeId> asked_;
  std::map<NodeId, std::uint64_t> answers_;
};

}  // namespace weir::server
