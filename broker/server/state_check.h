// broker/server/state_check.h - replicas prove to each other that their states are the same (P5, ADR 6).
//
// Room:    shell. Thread: the shard. Owner: JetStream, in a cluster.
// How:     once a second the leader of each group that applied something asks the other members for the hash
//          of their state as of the entry that it has applied itself, and compares (state_round.h). Members
//          that are not there yet note the hash on the way (replica::Group::note_state). After a node came
//          back, every group that it is a member of is compared once more.
// Found:   an error in the log, in /healthz and /raftz, a count in /varz. Who differs from a majority begins
//          anew under another replica id (renewals.h), after it has handed over if it leads; without a
//          majority nothing is done, since nobody knows who is right (P6).
// Cost:    for a busy group some 20 bytes a second to each member and back, together with those of all other
//          groups of that node; nothing for a group that is idle.
#pragma once

#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "broker/base/bytes.h"
#include "broker/env/env.h"
#include "broker/replica/group.h"
#include "broker/server/state_frames.h"
#include "broker/server/state_round.h"

namespace weir::server {

class JetStream;

struct StateCheckStats {
  std::uint64_t compared = 0;  // rounds that came to an end with a majority of one mind and nobody else's
  std::uint64_t differed = 0;  // rounds that found a difference
  std::uint64_t given_up = 0;  // replicas of this node that were told that they differ
};

class StateCheck {
 public:
  StateCheck(env::Env& env, JetStream& js) : env_(env), js_(js) {}

  /// Called several times a second.
  void work();
  void peer_up(NodeId node) { came_.insert(node); }
  /// Errors: of a frame that cannot be read.
  Status frame(NodeId from, const Bytes& payload);

  const StateCheckStats& stats() const { return stats_; }
  /// Empty; or for people: who differs in a group that is led here, or that the replica here does.
  std::string difference(GroupId group) const;
  /// The last entry as of which all members were found equal, of a group that is led here; 0: none yet.
  RaftIndex proven(GroupId group) const;

 private:
  struct Round {
    StateRound round;
    Term term;
    Mono until;
  };
  struct Wait {  // a leader wants to know, and the entry is not applied here yet
    NodeId leader, replica;
    RaftIndex index;
    Mono until;
  };
  using Items = std::map<NodeId, std::vector<StateItem>>;  // by node

  void begin_rounds();
  void begin(GroupId group, Items& asks);
  void answer_waits();
  void end_rounds();
  /// True: the round has come to its end.
  bool judge(GroupId group, Round& r, bool over);
  void found(GroupId group, const replica::Group& here, const StateRound& round);
  void order(GroupId group, const replica::Group& here, const StateRound& round);
  void begin_anew(GroupId group, replica::Group& here, const StateItem& told);
  void on_ask(NodeId from, const std::vector<StateItem>& items);
  void on_told(NodeId from, const std::vector<StateItem>& items);
  void on_odd(NodeId from, const std::vector<StateItem>& items);
  void send(StateSaid said, const Items& items);
  replica::Group* find(GroupId group) const;
  std::string name_of(GroupId group) const;

  env::Env& env_;
  JetStream& js_;
  Mono next_rounds_{};
  std::set<GroupId> changed_;  // led here, to be compared
  std::set<NodeId> came_;      // nodes whose groups are to be compared
  std::map<GroupId, Round> rounds_;
  std::map<GroupId, Wait> waits_;
  std::map<GroupId, std::pair<Term, RaftIndex>> proven_;  // of groups led here
  std::map<GroupId, std::string> differences_;            // likewise; what is in the log already
  std::set<std::pair<GroupId, NodeId>> odd_here_;         // replicas of this node that were told
  std::size_t clean_proven_at_ = 64;
  StateCheckStats stats_;
};

}  // namespace weir::server
