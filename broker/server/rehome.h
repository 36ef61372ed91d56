// broker/server/rehome.h - streams that miss a replica get a new one, replicas that have left may go.
//
// Room:    shell. Thread: the shard. Owner: JetStream. Acts on the leader of the meta group only.
// When:    a node was removed by an operator, or a stream has fewer replicas than it asks for because there
//          was no node for them. A node that is merely down keeps its replicas: it is expected back.
// Pace:    a few streams at a time, each placed with what the ones before took; what cannot be placed is
//          tried again when a node comes.
// Leaving: an operator wants a running node empty (SERVER.EVACUATE): each of its replicas goes where another
//          node can take it, and stays where none can. Not written down: another leader of the meta group
//          has to be asked again.
// Going:   a replica that is not wanted any more keeps its files and its vote until the leader of its group
//          says that it is no member; then the meta group forgets it, and its node with it. So it does with
//          the place that a stream could go back to, once all who should vote do.
#pragma once

#include <memory>
#include <set>

#include "broker/env/env.h"
#include "broker/jetstream/meta_state.h"

namespace weir::server {

class JetStream;

class Rehomer {
 public:
  Rehomer(env::Env& env, JetStream& js) : env_(env), js_(js) {}
  /// A node came, went or was removed, or this node leads now.
  void look() { look_ = true; }
  /// Moves what `node` holds elsewhere; one after the other.
  void evacuate(NodeId node);
  /// Called several times a second.
  void work();

 private:
  /// True if a change was proposed.
  bool place(const jetstream::MetaStream& stream);
  void evacuated();
  void release();
  void ask_members(const jetstream::MetaStream& stream, NodeId leader);

  env::Env& env_;
  JetStream& js_;
  bool look_ = true;
  std::set<NodeId> evacuating_;
  std::size_t stuck_ = 0;  // replicas that nobody else can take, as this round found
  std::size_t open_ = 0;   // proposals without an outcome
  GroupId asked_;          // the last group whose leader was asked for its members
  std::size_t asking_ = 0;
  std::shared_ptr<int> alive_ = std::make_shared<int>(0);
};

}  // namespace weir::server
