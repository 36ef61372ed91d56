#include "broker/server/rehome.h"

#include "broker/server/cluster_side.h"
#include "broker/server/jetstream.h"

namespace weir::server {

using jetstream::MetaStream;

namespace {
constexpr std::size_t kAtOnce = 16;
}

void Rehomer::work() {
  if (!look_ || open_ > 0 || !js_.meta().leading()) return;
  look_ = false;
  js_.meta().state().for_each([this](const MetaStream& s) {
    if (open_ < kAtOnce) return place(s), true;
    look_ = true;  // there may be more
    return false;
  });
}

bool Rehomer::place(const MetaStream& s) {
  std::vector<NodeId> current;
  NodeId gone;
  for (NodeId peer : s.peers) {
    const auto* node = js_.meta().state().find_node(peer);
    if (!node || node->removed) gone = node_of(peer);
    current.push_back(node_of(peer));
  }
  bool few = current.size() < static_cast<std::size_t>(s.config.num_replicas);
  if (gone.v == 0 && !few) return false;
  std::uint64_t seed = env_.random.next();
  cluster::Placed placed =
      gone.v != 0
          ? cluster::place_replacement(s.config, current, gone, js_.place_nodes(), js_.place_rules(), seed)
          : cluster::place_scale(s.config, current, js_.context().cluster->leader_of(s.group),
                                 js_.place_nodes(), js_.place_rules(), seed);
  if (!placed.ok() || placed.nodes == current) return false;
  jetstream::MetaPeersCommand c;
  c.group = s.group;
  c.expected = s.peers_revision;
  c.nodes = placed.nodes;
  env_.log.info("stream " + s.account + "/" + s.config.name + " gets " +
                (gone.v != 0 ? "a replica instead of the one on " + js_.context().cluster->name_of(gone)
                             : std::string("the replica that it misses")));
  ++open_;
  js_.meta().propose([&](jetstream::EntryBuilder& b) { b.meta_set_peers(c); },
                     [this, alive = std::weak_ptr<int>(alive_)](const jetstream::MetaOutcome&) {
                       if (alive.expired()) return;
                       --open_;
                       look_ = true;  // one that had two to be replaced, or was refused
                     });
  return true;
}

}  // namespace weir::server
