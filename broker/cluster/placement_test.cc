// Texts of errors as nats-server 2.15 gives them.
#include "broker/cluster/placement.h"

#include <algorithm>
#include <map>
#include <set>

#include <gtest/gtest.h>

#include "broker/base/prng.h"

namespace weir::cluster {
namespace {

constexpr std::uint64_t kMega = 1u << 20;

NodeId id(std::uint64_t n) {
  return NodeId(n << kIncarnationBits);
}

PlaceNode node(std::uint64_t n, std::vector<std::string> tags = {}) {
  PlaceNode p;
  p.id = id(n);
  p.cluster = "C";
  p.tags = std::move(tags);
  p.file_free = p.memory_free = 100 * kMega;
  return p;
}

std::vector<PlaceNode> nodes(std::uint64_t n) {
  std::vector<PlaceNode> all;
  for (std::uint64_t i = 1; i <= n; ++i) all.push_back(node(i));
  return all;
}

api::StreamConfig config(int replicas, std::vector<std::string> tags = {}) {
  api::StreamConfig c;
  c.name = "S";
  c.num_replicas = replicas;
  if (!tags.empty()) c.placement = api::Placement{"", std::move(tags), ""};
  return c;
}

const PlaceRules kRules{"", 0, "C"};

/// Ids without their zero bits, sorted; or the error.
std::string text(const Placed& p) {
  if (!p.ok()) {
    EXPECT_EQ(p.error.err_code, api::ErrCode::kClusterNoPeers);
    EXPECT_EQ(p.error.http_code, 400);
    return p.error.description.substr(std::string("no suitable peers for placement").size());
  }
  auto sorted = p.nodes;
  std::sort(sorted.begin(), sorted.end());
  std::string out;
  for (NodeId n : sorted) out += (out.empty() ? "" : " ") + std::to_string(n.v >> kIncarnationBits);
  return out + (p.complete() ? "" : " incomplete");
}

TEST(Placement, TakesAsManyAsAskedFor) {
  for (int replicas = 1; replicas <= 5; ++replicas) {
    Placed p = place_new(config(replicas), nodes(5), kRules, 1);
    EXPECT_EQ(p.nodes.size(), static_cast<std::size_t>(replicas));
    EXPECT_EQ(std::set<NodeId>(p.nodes.begin(), p.nodes.end()).size(), p.nodes.size());
  }
  EXPECT_EQ(text(place_new(config(5), nodes(3), kRules, 1)), "");
  EXPECT_EQ(text(place_new(config(1), {}, kRules, 1)), ", jetstream not enabled in cluster");
}

TEST(Placement, SameSeedSameChoice) {
  std::set<std::vector<NodeId>> seen;
  for (std::uint64_t seed = 0; seed < 50; ++seed) {
    auto p = place_new(config(3), nodes(6), kRules, seed).nodes;
    EXPECT_EQ(place_new(config(3), nodes(6), kRules, seed).nodes, p);
    seen.insert(p);
  }
  EXPECT_GT(seen.size(), 20u) << "ties are broken by the seed";
}

TEST(Placement, FewestAssetsThenSpace) {
  auto all = nodes(4);
  all[0].replicated = 3;
  all[1].replicated = 1;
  all[2].replicated = 1;
  all[3].replicated = 2;
  all[0].streams = 3;
  all[1].streams = 9;
  all[2].streams = 9;
  all[3].streams = 5;
  EXPECT_EQ(text(place_new(config(2), all, kRules, 1)), "2 3");
  EXPECT_EQ(place_new(config(1), all, kRules, 1).nodes[0], id(1)) << "R1: of all streams";
  all[1].file_free = 1;
  EXPECT_EQ(place_new(config(2), all, kRules, 1).nodes, (std::vector<NodeId>{id(3), id(2)}));
}

TEST(Placement, BalancesManyStreams) {
  auto all = nodes(5);
  for (std::uint64_t i = 0; i < 500; ++i) {
    for (NodeId n : place_new(config(3), all, kRules, i).nodes) {
      for (auto& p : all) p.replicated += p.id == n ? 1u : 0u;
    }
  }
  for (const auto& p : all) EXPECT_EQ(p.replicated, 300u);
}

TEST(Placement, ClusterAndJetStream) {
  auto all = nodes(4);
  all[0].cluster = "D";
  all[1].jetstream = false;
  EXPECT_EQ(text(place_new(config(2), all, kRules, 1)), "3 4");
  auto c = config(1);
  c.placement = api::Placement{"D", {}, ""};
  EXPECT_EQ(text(place_new(c, all, kRules, 1)), "1");
  c.placement->cluster = "E";
  EXPECT_EQ(text(place_new(c, all, kRules, 1)), "");
}

TEST(Placement, OfflineNodesOnlyBesideAMajority) {
  auto all = nodes(3);
  all[2].online = false;
  EXPECT_EQ(text(place_new(config(3), all, kRules, 1)), "1 2 3");
  for (std::uint64_t seed = 0; seed < 20; ++seed)
    EXPECT_EQ(text(place_new(config(2), all, kRules, seed)), "1 2") << "reached ones first";
  all[1].online = false;
  EXPECT_EQ(text(place_new(config(3), all, kRules, 1)), ", peer offline");
  all[2].known = false;
  EXPECT_EQ(text(place_new(config(3), all, kRules, 1)), ", peer offline");
}

TEST(Placement, Tags) {
  std::vector<PlaceNode> all{node(1, {"ssd", "eu"}), node(2, {"ssd"}), node(3, {"eu"}),
                             node(4, {"!jetstream", "ssd", "eu"})};
  EXPECT_EQ(text(place_new(config(1, {"SSD", "eu"}), all, kRules, 1)), "1");
  EXPECT_EQ(text(place_new(config(1, {"ssd", "!eu"}), all, kRules, 1)), "2");
  EXPECT_EQ(text(place_new(config(2, {"ssd", "eu"}), all, kRules, 1)),
            ", exclude tag set, tags not matched ['eu', 'ssd']");
  EXPECT_EQ(text(place_new(config(2, {"!ssd"}), all, kRules, 1)), ", exclude tag set, tags excluded ['ssd']");
}

TEST(Placement, UniqueTag) {
  std::vector<PlaceNode> all{node(1, {"az:1"}), node(2, {"az:1"}), node(3, {"az:2"}), node(4, {"az:2"}),
                             node(5)};
  PlaceRules rules{"az:", 0, "C"};
  for (std::uint64_t seed = 0; seed < 30; ++seed) {
    auto p = place_new(config(2), all, rules, seed);
    ASSERT_TRUE(p.ok());
    EXPECT_NE(std::min(p.nodes[0], p.nodes[1]) <= id(2), std::max(p.nodes[0], p.nodes[1]) <= id(2));
  }
  EXPECT_EQ(text(place_new(config(3), all, rules, 1)), ", server tag not unique");
  EXPECT_EQ(text(place_new(config(2, {"az:1"}), all, rules, 1)), "1 2") << "named, so not unique any more";
  EXPECT_EQ(text(place_new(config(3, {"!az:2"}), all, rules, 1)), "1 2 5") << "named as excluded";
  auto loaded = all;
  loaded[2].replicated = 5;
  EXPECT_NE(text(place_new(config(2), loaded, rules, 1)).find("4"), std::string::npos)
      << "the least loaded of a zone";
  loaded[3].online = false;
  EXPECT_NE(text(place_new(config(2), loaded, rules, 1)).find("3"), std::string::npos)
      << "but one that is there";
}

TEST(Placement, SpaceAndAssetLimits) {
  auto all = nodes(3);
  all[0].file_free = kMega;
  all[1].memory_free = kMega;
  auto c = config(2);
  c.max_bytes = 2 * kMega;
  EXPECT_EQ(text(place_new(c, all, kRules, 1)), "2 3");
  c.storage = api::Storage::kMemory;
  EXPECT_EQ(text(place_new(c, all, kRules, 1)), "1 3");
  c.num_replicas = 3;
  EXPECT_EQ(text(place_new(c, all, kRules, 1)), ", insufficient storage");
  all[0].replicated = all[1].replicated = 10;
  EXPECT_EQ(text(place_new(config(2), all, {"", 10, "C"}, 1)), ", miscellaneous issue");
  EXPECT_EQ(text(place_new(config(2), all, {"", 11, "C"}, 1)).size(), 3u);
  EXPECT_EQ(text(place_new(config(1), all, {"", 1, "C"}, 1)).size(), 1u) << "R1 does not count";
}

TEST(Placement, GrowingKeepsShrinkingKeepsTheLeader) {
  auto all = nodes(5);
  all[3].replicated = 7;
  auto p = place_scale(config(3), {id(4)}, id(4), all, kRules, 3);
  EXPECT_EQ(p.nodes[0], id(4)) << "however loaded";
  EXPECT_EQ(p.nodes.size(), 3u);
  all[0].online = false;
  EXPECT_EQ(text(place_scale(config(2), {id(1), id(2), id(3)}, id(3), all, kRules, 1)), "2 3");
  EXPECT_EQ(text(place_scale(config(1), {id(1), id(2), id(3)}, id(3), all, kRules, 1)), "3");
  EXPECT_EQ(text(place_scale(config(1), {id(1), id(2)}, NodeId(0), all, kRules, 1)), "2");
  EXPECT_EQ(text(place_scale(config(5), {id(1)}, id(1), nodes(3), kRules, 1)), "");
  std::vector<PlaceNode> zones{node(1, {"az:1"}), node(2, {"az:1"}), node(3, {"az:2"})};
  EXPECT_EQ(text(place_scale(config(2), {id(1)}, id(1), zones, {"az:", 0, "C"}, 1)), "1 3");
}

TEST(Placement, MoveKeepsWhatFits) {
  std::vector<PlaceNode> all{node(1, {"eu"}), node(2, {"us"}), node(3, {"us"}), node(4, {"us"}),
                             node(5, {"us"})};
  all[1].replicated = 50;
  for (std::uint64_t seed = 0; seed < 10; ++seed) {
    EXPECT_NE(text(place_move(config(3, {"us"}), {id(1), id(2)}, {}, all, kRules, seed)).find("2"),
              std::string::npos);
  }
  EXPECT_EQ(text(place_move(config(3, {"us"}), {id(2), id(3), id(4)}, {id(2)}, all, kRules, 1)), "3 4 5");
  EXPECT_EQ(text(place_move(config(4, {"us"}), {id(2)}, {id(2)}, all, kRules, 1)),
            ", tags not matched ['us']");
  auto c = config(3);
  c.max_bytes = 200 * static_cast<std::int64_t>(kMega);
  EXPECT_EQ(text(place_move(c, {id(1), id(2), id(3)}, {}, all, kRules, 1)), "1 2 3")
      << "it has room for what it holds";
}

TEST(Placement, ReplacementTakesWhatThereIs) {
  EXPECT_EQ(text(place_replacement(config(3), {id(1), id(2), id(3)}, id(2), nodes(4), kRules, 1)), "1 3 4");
  auto p = place_replacement(config(3), {id(1), id(2), id(3)}, id(2), nodes(3), kRules, 1);
  EXPECT_EQ(text(p), "1 3 incomplete");
  EXPECT_EQ(p.error.err_code, api::ErrCode::kClusterNoPeers);
  p = place_replacement(config(5), {id(1), id(2)}, id(2), nodes(4), kRules, 1);
  EXPECT_EQ(text(p), "1 3 4 incomplete") << "as many as possible";
  EXPECT_EQ(text(place_replacement(config(1), {id(2)}, id(2), nodes(2), kRules, 1)), "1");
  EXPECT_EQ(text(place_replacement(config(1), {id(2)}, id(2), {node(2)}, kRules, 1)), "");
}

TEST(Placement, ReplacementTakesOnlyWhoIsReached) {
  auto all = nodes(5);
  all[3].online = false;
  for (std::uint64_t seed = 0; seed < 20; ++seed)
    EXPECT_EQ(text(place_replacement(config(3), {id(1), id(2), id(3)}, id(2), all, kRules, seed)), "1 3 5");
  all[4].online = false;
  auto p = place_replacement(config(3), {id(1), id(2), id(3)}, id(2), all, kRules, 1);
  EXPECT_EQ(text(p), "1 3 incomplete") << "rather two for now than a third that is down";
  all[2].online = false;
  p = place_replacement(config(3), {id(1), id(2), id(3)}, id(2), all, kRules, 1);
  EXPECT_EQ(text(p), "1 3 incomplete") << "who is down keeps what it has";
}

}  // namespace
}  // namespace weir::cluster
