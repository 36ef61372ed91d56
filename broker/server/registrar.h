// broker/server/registrar.h - keeps what the meta group knows of the nodes true.
//
// Room:    shell. Thread: the shard. Owner: JetStream.
// Member:  until the meta state shows this node as it is (name, tags, this start), and whenever the meta
//          group seems to have no leader, it asks the meta leader to register it. A store that is new under
//          an old name takes the place of the old one, unless that one has a link.
// Leader:  moves the members of the meta group and of its streams' placement to what is registered.
#pragma once

#include <functional>
#include <memory>

#include "broker/cluster/founding.h"
#include "broker/cluster/mesh.h"
#include "broker/cluster/meta_group.h"
#include "broker/env/env.h"
#include "broker/server/registration.h"

namespace weir::server {

class Registrar {
 public:
  /// `founders`: the record of the cluster's founding, null while there is none.
  using Founders = std::function<const cluster::FoundingRecord*()>;
  Registrar(env::Env& env, cluster::Mesh& mesh, cluster::MetaGroup& meta, Registration self,
            Founders founders);
  ~Registrar();

  void start();
  /// The meta state shows this node as it is, and its memory streams' replicas were renewed for this start.
  bool registered() const;
  /// Why the meta group's leader does not take this node; "" if it did not say no, or not yet.
  const std::string& refusal() const { return refusal_; }
  /// Something changed: look again in the next turn.
  void look();

 private:
  void work();
  /// The meta state, as this node has it.
  bool shows(const Registration& r) const;
  void ask_to_join();
  void answered(const Status& status);
  void on_join(NodeId from, const Bytes& body, cluster::Mesh::Reply reply);
  bool rival_stays(const Registration& r);
  void propose(const Registration& r, UniqueFunction<void(Status)> done);
  void reconcile_meta();
  bool holds_streams(NodeId node) const;
  bool unregistered_founder(NodeId replica) const;

  env::Env& env_;
  cluster::Mesh& mesh_;
  cluster::MetaGroup& meta_;
  const Registration self_;
  Founders founders_;
  bool asking_ = false;
  std::string refusal_;
  Mono led_{};  // when the meta group was last known to have a leader
  std::size_t next_peer_ = 0;
  struct Rival {  // the last one that asked for a name that is taken
    NodeId id;
    Mono first, last, said;
  } rival_;
  env::TimerId timer_ = 0;
  std::shared_ptr<int> alive_ = std::make_shared<int>(0);
};

}  // namespace weir::server
