// broker/replica/host.h - what all groups of a shard share: time, the way to other nodes, whose turn it is.
//
// Room:    shell. Thread: the shard. Owner: JetStream (server/). Outlives its groups.
// Time:    one timer for all groups that are awake. A tick that is owed is delivered before a lease is
//          trusted (raft/README.md): now_current().
// Turn:    inputs only mark a group; run(), at the end of the turn, takes what the cores have to say, so
//          that one turn's messages of all groups leave together and one frame holds all their records.
// Cost:    a group that sleeps, or is alone and leads, costs nothing.
#pragma once

#include <cstdint>
#include <deque>
#include <set>
#include <unordered_map>
#include <vector>

#include "broker/base/ids.h"
#include "broker/base/log.h"
#include "broker/base/prng.h"
#include "broker/env/env.h"
#include "broker/raft/messages.h"

namespace weir::replica {

class Group;

/// The way to the other members. Implemented over peer links; loss is allowed, order is kept per member.
class Peers {
 public:
  virtual ~Peers() = default;
  virtual void send(NodeId to, GroupId group, raft::Message message) = 0;
};

struct HostTuning {
  Nanos tick = 100 * kMillisecond;
  unsigned election_ticks = 10;  // see raft::Config
  unsigned heartbeat_ticks = 1;
  unsigned lease_ticks = 7;
  unsigned hibernate_ticks = 10;            // an awake group costs 40 messages a second
  std::size_t memory_bytes_max = 4u << 20;  // of a group's log, kept for followers after apply
};

class Host {
 public:
  /// `peers` may be null: no group has other members then.
  Host(env::Env& env, Peers* peers, HostTuning tuning = {});
  ~Host();
  Host(const Host&) = delete;
  Host& operator=(const Host&) = delete;

  /// A message arrived on the link of node `from`; for a group that is not here it is dropped. Requests for
  /// votes are kept for a moment: another node may hear of a new group first.
  void step(NodeId from, GroupId group, raft::Message message);
  /// Liveness of a node (Mesh): groups may sleep only beside nodes that are alive.
  void peer_alive(NodeId node, bool alive);
  /// End of turn: everything that groups have to say and to apply. True: more is left for the next turn.
  bool run();
  /// Groups led here that have other members and applied something since they were taken.
  std::vector<GroupId> take_changed();
  /// Delivers owed ticks. To be called before anything that looks at a lease or renews a promise.
  void now_current();

  env::Env& env() { return env_; }
  Peers* peers() { return peers_; }
  const HostTuning& tuning() const { return tuning_; }
  std::uint64_t seed() { return prng_.next(); }
  Group* find(GroupId id) const;

 private:
  friend class Group;
  void add(Group& group);
  void forget(Group& group);
  void changed(Group& group);
  /// `group` has a Ready to be taken at the end of the turn.
  void mark(Group& group);
  /// Its ticks are wanted again if it needs them.
  void awaken(Group& group);
  void keep_early(NodeId from, GroupId group, raft::Message message);
  void hand_early(Group& group);
  void fall_asleep(Group& group);
  void arm();
  void tick_all(unsigned ticks);

  env::Env& env_;
  Peers* peers_;
  const HostTuning tuning_;
  Prng prng_;
  std::unordered_map<GroupId, Group*> groups_;
  struct Early {
    Mono at;
    NodeId from;
    GroupId group;
    raft::Message message;
  };
  std::deque<Early> early_;  // for groups that are not here yet, oldest first
  std::set<NodeId> alive_;
  std::vector<Group*> awake_;  // to be ticked; each knows its place (Group::awake_at_)
  std::vector<Group*> dirty_, running_;
  std::vector<GroupId> changed_;
  Mono ticked_;
  bool idle_ = true;  // nobody is awake: no time is owed
  env::TimerId timer_ = 0;
};

}  // namespace weir::replica
