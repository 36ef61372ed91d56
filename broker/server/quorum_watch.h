// broker/server/quorum_watch.h - tells when streams have had no majority for a while.
//
// Room:    shell. Thread: the shard. Owner: JetStream.
// When:    ten seconds after the link ended without which a stream has no majority, once until it has one
//          again. Links that come and go meanwhile and give it none change nothing.
// Who:     of the voters that still reach each other, the one with the lowest id.
// Not:     replicas that stopped on nodes that are reached; LeaderWatch has log lines for these.
#pragma once

#include <map>

#include "broker/env/env.h"
#include "broker/server/stream_host.h"

namespace weir::server {

class JetStream;

class QuorumWatch {
 public:
  QuorumWatch(env::Env& env, JetStream& js) : env_(env), js_(js) {}
  ~QuorumWatch() { env_.loop.cancel(timer_); }
  void peer_up() { look(); }
  void peer_down() { look(); }

 private:
  struct Without {
    Mono since;
    bool told = false;
  };
  void look();
  void arm();
  void tell();
  bool lacks(const StreamHost* stream) const;
  bool speaks(const StreamHost& stream) const;

  env::Env& env_;
  JetStream& js_;
  std::map<GroupId, Without> without_;
  env::TimerId timer_ = 0;
};

}  // namespace weir::server
