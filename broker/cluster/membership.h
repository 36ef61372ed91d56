// broker/cluster/membership.h - how a node gets into a cluster: founds one with the others, or is told of it.
//
// Room:    shell around Founding. Thread: the shard. Owner: Cluster (server/).
// Order:   what founding promised is in the catalog before its messages leave.
// After:   born() is final. A node that is not one of the founders asks to join (server/registrar).
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <optional>

#include "broker/cluster/founding.h"
#include "broker/cluster/mesh.h"
#include "broker/env/env.h"
#include "broker/store/catalog.h"

namespace weir::cluster {

class Membership {
 public:
  using Born = std::function<void(const FoundingRecord&)>;

  /// What the catalog knows. Errors: kCorrupt, kUnsupported.
  static Result<FoundingState> load(const store::Catalog& catalog);

  /// `born` runs once, in a later turn, unless `state` has a cluster already.
  Membership(env::Env& env, Mesh& mesh, store::Catalog& catalog, Founder self, FoundingState state,
             Born born);
  ~Membership();

  void start();
  void peer_up(const NodeInfo& peer);
  void peer_down(NodeId peer);
  /// Frames of the kind kFounding.
  void frame(NodeId from, const Bytes& payload);

  const std::optional<FoundingRecord>& born() const { return founding_.born(); }

 private:
  void look_for_seeds();
  void arm();
  void carry_out(Founding::Output out);
  void send(const std::vector<Founding::Envelope>& messages);
  void tell_born();
  void say_waiting();

  env::Env& env_;
  Mesh& mesh_;
  store::Catalog& catalog_;
  const NodeId self_;
  Founding founding_;
  Born on_born_;
  bool told_ = false;
  Mono said_{};  // when the log last said that this node waits
  std::optional<FoundingSeeds> seeds_;
  std::set<NodeId> without_jetstream_;
  std::deque<std::vector<Founding::Envelope>> waiting_;  // behind a write of the catalog
  std::size_t writing_ = 0;
  env::TimerId timer_ = 0, seed_timer_ = 0;
  std::shared_ptr<int> alive_ = std::make_shared<int>(0);
};

}  // namespace weir::cluster
