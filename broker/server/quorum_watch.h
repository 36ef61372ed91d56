// broker/server/quorum_watch.h - tells when streams have had no majority for a while.
//
// Room:    shell. Thread: the shard. Owner: JetStream.
// When:    ten seconds after the last link ended, once for each stream until it has a majority again.
// Who:     of the voters that still reach each other, the one with the lowest id.
#pragma once

#include <set>

#include "broker/env/env.h"
#include "broker/server/stream_host.h"

namespace weir::server {

class JetStream;

class QuorumWatch {
 public:
  QuorumWatch(env::Env& env, JetStream& js) : env_(env), js_(js) {}
  ~QuorumWatch() { env_.loop.cancel(timer_); }
  void peer_up();
  void peer_down();

 private:
  void look();
  bool speaks(const StreamHost& stream) const;

  env::Env& env_;
  JetStream& js_;
  std::set<GroupId> told_;
  env::TimerId timer_ = 0;
};

}  // namespace weir::server
