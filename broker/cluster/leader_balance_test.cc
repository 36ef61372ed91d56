#include "broker/cluster/leader_balance.h"

#include <algorithm>

#include <gtest/gtest.h>

#include "broker/base/prng.h"

namespace weir::cluster {
namespace {

NodeId node(std::uint64_t n) {
  return NodeId(n << kIncarnationBits);
}
const std::vector<NodeId> kThree{node(1), node(2), node(3)};
bool always(GroupId, NodeId) {
  return true;
}

/// `leads[i]` groups of three nodes are led by node i + 1.
BalanceView view_of(std::vector<std::size_t> leads, NodeId self = node(1)) {
  BalanceView v;
  v.self = self;
  for (NodeId n : kThree)
    if (n != self) v.able.push_back(n);
  std::uint32_t id = 2;
  for (std::size_t i = 0; i < leads.size(); ++i)
    for (std::size_t k = 0; k < leads[i]; ++k) v.groups.push_back({GroupId(id++), kThree, node(i + 1), {}});
  return v;
}

TEST(LeaderBalance, FromTheOneThatLeadsMostToTheOneThatLeadsLeast) {
  auto out = balance_leaders(view_of({15, 14, 1}), 4, always);
  ASSERT_EQ(out.size(), 4u);
  for (const auto& h : out) EXPECT_EQ(h.to, node(3));
  EXPECT_EQ(out[0].group, GroupId(2));
  EXPECT_EQ(balance_leaders(view_of({15, 15, 0}), 100, always).size(), 5u) << "no more than are too many";
  EXPECT_TRUE(balance_leaders(view_of({15, 15, 0}, node(3)), 100, always).empty());
}

TEST(LeaderBalance, LittleIsLeftAsItIs) {
  EXPECT_TRUE(balance_leaders(view_of({}), 9, always).empty());
  EXPECT_TRUE(balance_leaders(view_of({1}), 9, always).empty()) << "somebody has to lead it";
  EXPECT_TRUE(balance_leaders(view_of({11, 10, 9}), 9, always).size() <= 1);
  EXPECT_TRUE(balance_leaders(view_of({4, 3, 3}), 9, always).empty());
  EXPECT_TRUE(balance_leaders(view_of({104, 101, 95}), 9, always).empty()) << "not even a tenth";
  EXPECT_FALSE(balance_leaders(view_of({120, 100, 80}), 9, always).empty());
}

TEST(LeaderBalance, OnlyToThoseThatAreAbleAndReady) {
  auto v = view_of({20, 10, 0});
  v.able = {node(2)};
  for (const auto& h : balance_leaders(v, 9, always)) EXPECT_EQ(h.to, node(2));
  v.able = {};
  EXPECT_TRUE(balance_leaders(v, 9, always).empty());
  v = view_of({20, 5, 5});
  auto out = balance_leaders(v, 3, [](GroupId g, NodeId to) { return g.v > 5 && to == node(3); });
  ASSERT_EQ(out.size(), 3u);
  EXPECT_EQ(out[0], (HandOver{GroupId(6), node(3)}));
  EXPECT_TRUE(balance_leaders(v, 3, [](GroupId, NodeId) { return false; }).empty());
}

TEST(LeaderBalance, AGroupGoesToItsPreferredNodeAndStaysThere) {
  auto v = view_of({10, 10, 10});
  v.groups[3].preferred = node(2);
  EXPECT_EQ(balance_leaders(v, 9, always), (std::vector<HandOver>{{GroupId(5), node(2)}}));
  v.able = {node(3)};
  EXPECT_TRUE(balance_leaders(v, 9, always).empty()) << "it is not able now; nobody else is asked for";
  v = view_of({10, 0, 0});
  for (auto& g : v.groups) g.preferred = node(1);
  EXPECT_TRUE(balance_leaders(v, 9, always).empty());
  v.groups[0].preferred = node(9);
  EXPECT_TRUE(balance_leaders(v, 9, always).empty());
}

TEST(LeaderBalance, ANodeWithFewerReplicasHasASmallerShare) {
  BalanceView v;
  v.self = node(1);
  v.able = {node(2), node(3), node(4)};
  for (std::uint32_t i = 0; i < 30; ++i) v.groups.push_back({GroupId(2 + i), kThree, node(1 + i % 3), {}});
  v.groups.push_back({GroupId(99), {node(1), node(4), node(2)}, node(1), {}});
  auto shares = leader_shares(v);
  EXPECT_NEAR(shares[node(4)].share, 1.0 / 3, 0.001);
  EXPECT_NEAR(shares[node(3)].share, 10, 0.001);
  EXPECT_EQ(shares[node(1)].leads, 11u);
  EXPECT_TRUE(balance_leaders(v, 9, always).empty());
  v.groups[0].leader = NodeId();
  EXPECT_NEAR(leader_shares(v)[node(3)].share, 29.0 / 3 + 0, 0.001) << "one without a leader does not count";
}

// All nodes decide at the same moment, again and again: it comes to rest, and nobody is left without.
TEST(LeaderBalance, ComesToRest) {
  for (std::uint64_t seed = 1; seed <= 200; ++seed) {
    Prng prng(seed);
    std::size_t nodes = prng.between(3, 7), count = prng.between(1, 120);
    BalanceView all;
    for (std::size_t i = 0; i < count; ++i) {
      BalanceGroup g{GroupId(static_cast<std::uint32_t>(i + 2)), {}, {}, {}};
      while (g.nodes.size() < 3) {
        NodeId n = node(prng.between(1, nodes));
        if (std::find(g.nodes.begin(), g.nodes.end(), n) == g.nodes.end()) g.nodes.push_back(n);
      }
      g.leader = g.nodes[prng.below(prng.chance(1, 2) ? 3 : 1)];
      all.groups.push_back(g);
    }
    std::size_t moved = 1, rounds = 0;
    for (; moved > 0 && rounds < 500; ++rounds) {
      std::vector<HandOver> orders;
      for (std::size_t n = 1; n <= nodes; ++n) {
        BalanceView v = all;
        v.self = node(n);
        for (std::size_t m = 1; m <= nodes; ++m)
          if (m != n) v.able.push_back(node(m));
        auto mine = balance_leaders(v, 4, always);
        orders.insert(orders.end(), mine.begin(), mine.end());
      }
      moved = orders.size();
      for (const auto& h : orders) all.groups[h.group.v - 2].leader = h.to;
    }
    EXPECT_LT(rounds, 100u) << "seed " << seed;
    BalanceView v = all;
    v.self = node(1);
    for (std::size_t m = 2; m <= nodes; ++m) v.able.push_back(node(m));
    if (nodes > 3) continue;  // there not everybody can hand over to everybody
    for (const auto& [id, s] : leader_shares(v))
      EXPECT_GE(static_cast<double>(s.leads) + 2.5, s.share * 0.9) << "seed " << seed;
  }
}

}  // namespace
}  // namespace weir::cluster
