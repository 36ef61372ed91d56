// broker/server/raft_watch.h - what this node's Raft groups say to other nodes, for who wants to see it.
//
// Room:    shell. Thread: the shard. Owner: Cluster.
// What:    one message in the system account for each Raft message that leaves: $NRG.V.<group> votes,
// $NRG.AE.<group>
//          what a leader sends, $NRG.R.<group> answers, $NRG.P.<group> a publish handed to the leader. The
//          body says who, to whom and how much. They tell of the traffic and are not it: nothing listens for
//          them here.
// Why:     `nats traffic` counts these subjects of nats-server.
// Cost:    without a listener one comparison a message, and a look at the interest ten times a second.
// Limits:  kNotesMax a turn; what is beyond is not told.
#pragma once

#include <string>
#include <vector>

#include "broker/raft/messages.h"
#include "broker/server/node_state.h"

namespace weir::server {

class RaftWatch {
 public:
  explicit RaftWatch(NodeState& node) : node_(node) {}

  void sent(GroupId group, const raft::Message& message, std::size_t bytes) {
    if (watched_) note_raft(group, message, bytes);
  }
  void publish_handed_on(GroupId group, NodeId to, std::size_t bytes) {
    if (watched_) note(group, "P", "publish", to, bytes);
  }
  /// End of turn, while no match is walked.
  void tell();

 private:
  struct Note {
    std::string subject, body;
  };
  void note_raft(GroupId group, const raft::Message& message, std::size_t bytes);
  void note(GroupId group, const char* kind, const char* what, NodeId to, std::size_t bytes);
  std::string name_of(GroupId group) const;

  NodeState& node_;
  bool watched_ = false;
  Mono look_again_;
  std::vector<Note> notes_;
};

}  // namespace weir::server
