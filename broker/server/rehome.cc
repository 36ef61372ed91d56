#include "broker/server/rehome.h"

#include <algorithm>

#include "broker/raft/confchange.h"
#include "broker/server/cluster_side.h"
#include "broker/server/jetstream.h"

namespace weir::server {

using jetstream::MetaStream;

namespace {
constexpr std::size_t kAtOnce = 16;
}  // namespace

void Rehomer::evacuate(NodeId node) {
  evacuating_.insert(node_of(node));
  look_ = true;
}

void Rehomer::work() {
  release();
  if (!js_.meta().leading()) evacuating_.clear();
  if (!look_ || open_ > 0 || !js_.meta().leading()) return;
  look_ = false;
  stuck_ = 0;
  js_.meta().state().for_each([this](const MetaStream& s) {
    if (open_ < kAtOnce) return place(s), true;
    look_ = true;  // there may be more
    return false;
  });
  if (open_ == 0 && !evacuating_.empty()) evacuated();
}

void Rehomer::evacuated() {
  std::string names;
  for (NodeId node : evacuating_) names += " " + js_.context().cluster->name_of(node);
  evacuating_.clear();
  std::string stay = stuck_ == 0 ? "" : ", " + std::to_string(stuck_) + " stay: no other node can take them";
  env_.log.info("streams are moving off" + names + stay);
}

bool Rehomer::place(const MetaStream& s) {
  std::vector<NodeId> current;
  NodeId gone;
  bool removed = false;
  for (NodeId peer : s.peers) {
    const auto* node = js_.meta().state().find_node(peer);
    bool lost = !node || node->removed;
    if (lost || (!removed && evacuating_.contains(node_of(peer)))) gone = node_of(peer);
    removed = removed || lost;
    current.push_back(node_of(peer));
  }
  bool few = current.size() < static_cast<std::size_t>(s.config.num_replicas);
  if (gone.v == 0 && !few) return false;
  std::vector<cluster::PlaceNode> nodes = js_.place_nodes();
  std::erase_if(nodes, [&](const cluster::PlaceNode& n) {
    bool able = n.online && !evacuating_.contains(n.id);
    return !able && std::find(current.begin(), current.end(), n.id) == current.end();
  });
  std::uint64_t seed = env_.random.next();
  cluster::Placed placed =
      gone.v != 0 ? cluster::place_replacement(s.config, current, gone, nodes, js_.place_rules(), seed)
                  : cluster::place_scale(s.config, current, js_.context().cluster->leader_of(s.group), nodes,
                                         js_.place_rules(), seed);
  bool stuck = gone.v != 0 && !removed && !placed.complete();
  stuck_ += stuck;
  if (stuck || !placed.ok() || placed.nodes == current) return false;
  jetstream::MetaPeersCommand c;
  c.group = s.group;
  c.expected = s.peers_revision;
  c.nodes = placed.nodes;
  bool fewer = placed.nodes.size() < current.size();
  env_.log.info("stream " + s.account + "/" + s.config.name +
                (gone.v == 0 ? " gets the replica that it misses"
                 : fewer     ? " gives up its replica on " + js_.context().cluster->name_of(gone) +
                               ", another one waits for a node that can take it"
                         : " gets a replica instead of the one on " + js_.context().cluster->name_of(gone)));
  ++open_;
  js_.meta().propose([&](jetstream::EntryBuilder& b) { b.meta_set_peers(c); },
                     [this, alive = std::weak_ptr<int>(alive_)](const jetstream::MetaOutcome&) {
                       if (alive.expired()) return;
                       --open_;
                       look_ = true;  // one that had two to be replaced, or was refused
                     });
  return true;
}

void Rehomer::release() {
  const auto& parting = js_.meta().state().parting();
  if (parting.empty() || asking_ > 0 || !js_.meta().leading()) return;
  auto it = parting.upper_bound(asked_);
  for (std::size_t i = std::min(kAtOnce, parting.size()); i > 0; --i, ++it) {
    if (it == parting.end()) it = parting.begin();
    asked_ = *it;
    NodeId leader = js_.context().cluster->leader_of(asked_);
    if (leader.v != 0) ask_members(*js_.meta().state().find(asked_), leader);
  }
}

void Rehomer::ask_members(const MetaStream& s, NodeId leader) {
  jetstream::MetaPeersCommand c;
  c.group = s.group;
  c.expected = s.peers_revision;
  // Ends with the answer, or with a group that is gone before it.
  std::shared_ptr<void> open(nullptr, [this, alive = std::weak_ptr<int>(alive_)](void*) {
    if (!alive.expired()) --asking_;
  });
  ++asking_;
  auto on_answer = [this, c, open, leaving = s.leaving, wanted = s.peers,
                    alive = std::weak_ptr<int>(alive_)](Result<Bytes> answer) {
    if (alive.expired() || !answer || !js_.meta().leading()) return;
    auto conf = raft::decode_conf(answer->span());
    auto member = [&](NodeId replica) { return raft::is_member(*conf, replica); };
    if (!conf || std::any_of(leaving.begin(), leaving.end(), member)) return;
    // Nobody leaves and some are yet to come: it may still be called off.
    auto votes = [&](NodeId replica) { return raft::is_voter(*conf, replica); };
    if (leaving.empty() && !std::all_of(wanted.begin(), wanted.end(), votes)) return;
    js_.meta().propose([&](jetstream::EntryBuilder& b) { b.meta_release_peers(c); },
                       [](const jetstream::MetaOutcome&) {});
  };
  StateServer::ask_members(js_, {s.group, leader, s.peers_revision}, std::move(on_answer));
}

}  // namespace weir::server
