#include "broker/cluster/leader_balance.h"

#include <algorithm>

namespace weir::cluster {

namespace {
constexpr double kOne = 0.999;  // shares are sums of fractions

bool holds(const std::vector<NodeId>& list, NodeId node) {
  return std::find(list.begin(), list.end(), node) != list.end();
}

class Balancer {
 public:
  Balancer(const BalanceView& view, const std::function<bool(GroupId, NodeId)>& ready)
      : view_(view), ready_(ready), shares_(leader_shares(view)) {}

  std::vector<HandOver> choose(std::size_t most) {
    std::vector<HandOver> out;
    for (const BalanceGroup& g : view_.groups) {
      if (out.size() >= most) break;
      if (g.leader != view_.self) continue;
      NodeId to = g.preferred.v != 0 ? wished(g) : lacking(g);
      if (to.v == 0) continue;
      --shares_[view_.self].leads;
      ++shares_[to].leads;
      out.push_back({g.id, to});
    }
    return out;
  }

 private:
  double excess(NodeId node) const {
    const NodeShare& s = shares_.at(node);
    return static_cast<double>(s.leads) - s.share;
  }

  NodeId wished(const BalanceGroup& g) const {
    bool can = g.preferred != view_.self && holds(g.nodes, g.preferred) && holds(view_.able, g.preferred);
    return can && ready_(g.id, g.preferred) ? g.preferred : NodeId();
  }

  NodeId lacking(const BalanceGroup& g) const {
    double mine = excess(view_.self);
    double least = std::max(2.0, shares_.at(view_.self).share / 10) - (1 - kOne);
    if (mine < kOne) return {};
    std::vector<std::pair<double, NodeId>> to;
    for (NodeId node : g.nodes) {
      if (node == view_.self || !holds(view_.able, node)) continue;
      double theirs = excess(node);
      if (theirs <= -kOne && mine - theirs >= least) to.emplace_back(theirs, node);
    }
    std::sort(to.begin(), to.end());
    for (const auto& [theirs, node] : to)
      if (ready_(g.id, node)) return node;
    return {};
  }

  const BalanceView& view_;
  const std::function<bool(GroupId, NodeId)>& ready_;
  std::map<NodeId, NodeShare> shares_;
};
}  // namespace

std::map<NodeId, NodeShare> leader_shares(const BalanceView& view) {
  std::map<NodeId, NodeShare> shares;
  shares[view.self];
  for (NodeId node : view.able) shares[node];
  for (const BalanceGroup& g : view.groups) {
    if (g.leader.v == 0) continue;
    // One that may not take more still has what it leads.
    auto counts = [&](NodeId node) { return node == g.leader || shares.contains(node); };
    auto among = std::count_if(g.nodes.begin(), g.nodes.end(), counts);
    for (NodeId node : g.nodes)
      if (auto it = shares.find(node); it != shares.end())
        it->second.share += 1.0 / static_cast<double>(among);
    if (auto it = shares.find(g.leader); it != shares.end()) ++it->second.leads;
  }
  return shares;
}

std::vector<HandOver> balance_leaders(const BalanceView& view, std::size_t most,
                                      const std::function<bool(GroupId, NodeId)>& ready) {
  return Balancer(view, ready).choose(most);
}

}  // namespace weir::cluster
