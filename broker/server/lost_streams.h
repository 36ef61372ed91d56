// broker/server/lost_streams.h - streams of which no replica has anything any more begin anew, empty.
//
// Room:    shell. Thread: the shard. Owner: JetStream, in a cluster.
// When:    all nodes of a memory stream were restarted at once; the only node of a stream lost its disk and
//          came back under its name; most replicas of a memory stream forgot, and cannot elect a leader ever.
//          A stream on files that most of its replicas cannot read stays as it is, for an operator to decide.
// How:     a replica without a leader that has no state, or none that can count, says so to the leader of the
//          meta group every second. (The same walk over the streams finds those with damaged files.) When
//          each replica that is wanted or about to leave has said it, the meta group resets the stream:
//          another group under the same name. Of a stream in memory, fewer than half of them may be on nodes
//          that are not reached, if these were to join it only: they alone can never elect anybody.
#pragma once

#include <map>
#include <memory>

#include "broker/cluster/mesh.h"
#include "broker/env/env.h"
#include "broker/jetstream/meta_state.h"

namespace weir::server {

class JetStream;
class StreamHost;

class LostStreams {
 public:
  LostStreams(env::Env& env, JetStream& js);
  /// Called several times a second.
  void work();

 private:
  /// How long a replica without a leader waits before it says that it has nothing.
  Nanos patience(const StreamHost& host) const;
  bool nothing_to_give(const StreamHost& host) const;
  void tell(GroupId group, NodeId replica);
  void on_told(NodeId from, const Bytes& body);
  void note(GroupId group, NodeId replica);
  bool all_lost(const jetstream::MetaStream& stream) const;
  void reset(const jetstream::MetaStream& stream);

  env::Env& env_;
  JetStream& js_;
  Mono next_look_{};
  std::map<GroupId, Mono> leaderless_;  // replicas here, since when; at most the streams here
  struct Words {
    Mono since;                    // of the first one; silence begins anew
    std::map<NodeId, Mono> heard;  // which replica, when last
  };
  std::map<GroupId, Words> empty_;  // what replicas said of themselves
  std::shared_ptr<int> alive_ = std::make_shared<int>(0);
};

}  // namespace weir::server
