#include "broker/server/leader_balance.h"

#include <algorithm>

#include "broker/raft/confchange.h"
#include "broker/raft/progress.h"
#include "broker/server/cluster_side.h"
#include "broker/server/jetstream.h"

namespace weir::server {

using jetstream::MetaStream;

namespace {
constexpr Nanos kPeriod = 2 * kSecond;  // while something is handed over
constexpr Nanos kIdle = 10 * kSecond;   // a look at thousands of groups is some milliseconds
constexpr Nanos kCalm = 5 * kSecond;    // without a link that came or went
constexpr Nanos kYoung = 10 * kSecond;  // since the link came up
constexpr Nanos kTryAgain = kMinute;
constexpr std::size_t kAtOnce = 6;
}  // namespace

void LeaderBalance::peer_up(NodeId peer) {
  up_since_[peer] = env_.clock.now();
  calm_ = env_.clock.now() + kCalm;
}

void LeaderBalance::peer_down(NodeId peer) {
  up_since_.erase(peer);
  calm_ = env_.clock.now() + kCalm;
}

void LeaderBalance::work() {
  Mono now = env_.clock.now();
  if (now < next_) return;
  next_ = now + kPeriod;
  if (now < calm_ || !js_.context().cluster->stays(js_.self())) return;
  std::erase_if(tried_, [&](const auto& t) { return now >= t.second + kTryAgain; });
  hand_over(view());
}

cluster::BalanceView LeaderBalance::view() const {
  const ClusterSide& side = *js_.context().cluster;
  cluster::BalanceView v;
  v.self = js_.self();
  for (const auto& [peer, since] : up_since_) {
    const auto* node = js_.meta().state().find_node(peer);
    bool old = env_.clock.now() >= since + kYoung;
    if (old && node && !node->removed && side.stays(peer)) v.able.push_back(peer);
  }
  if (v.able.empty()) return v;
  js_.meta().state().for_each([&](const MetaStream& s) {
    if (s.peers.size() < 2) return true;
    cluster::BalanceGroup g;
    g.id = s.group;
    for (NodeId replica : s.peers) g.nodes.push_back(node_of(replica));
    g.leader = side.leader_of(s.group);
    g.preferred = s.preferred;
    v.groups.push_back(std::move(g));
    return true;
  });
  return v;
}

bool LeaderBalance::ready(GroupId id, NodeId node) const {
  StreamHost* host = tried_.contains(id) ? nullptr : js_.find(id);
  if (!host || !host->group().leading() || host->group().conf() != host->group().applied_conf()) return false;
  const replica::Group& group = host->group();
  if (raft::is_joint(group.conf())) return false;
  for (const auto& peer : group.core()->peers()) {
    if (node_of(peer.id) != node || !peer.voter) continue;
    auto replicating = static_cast<std::uint8_t>(raft::ProgressState::kReplicate);
    return peer.active && peer.state == replicating && peer.match >= group.commit();
  }
  return false;
}

void LeaderBalance::hand_over(const cluster::BalanceView& v) {
  auto chosen =
      cluster::balance_leaders(v, kAtOnce, [this](GroupId group, NodeId node) { return ready(group, node); });
  if (chosen.empty()) {
    next_ = env_.clock.now() + kIdle;
    return;
  }
  auto shares = cluster::leader_shares(v);
  std::map<NodeId, std::size_t> given;
  for (const auto& [id, to] : chosen) {
    tried_[id] = env_.clock.now();
    replica::Group& group = js_.find(id)->group();
    for (const auto& peer : group.core()->peers())
      if (node_of(peer.id) == to && group.transfer_leadership(peer.id)) ++given[to];
  }
  for (const auto& [to, n] : given) {
    const auto& theirs = shares[to];
    env_.log.info("leadership of " + std::to_string(n) + (n == 1 ? " stream" : " streams") + " goes to " +
                  js_.context().cluster->name_of(to) + ", which leads " + std::to_string(theirs.leads) +
                  " where " + std::to_string(static_cast<std::size_t>(theirs.share + 0.5)) +
                  " would be its share");
  }
}

}  // namespace weir::server
