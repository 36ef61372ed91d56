#include "broker/cluster/mesh.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "broker/cluster/mesh_harness.h"

namespace weir::cluster {
namespace {

using testing::MeshPair;
using testing::MeshWorld;
using testing::node_id;

// ---- who finds whom ---------------------------------------------------------------------------

TEST(Mesh, TwoNodesBothDial) {
  for (std::uint64_t seed = 1; seed <= 200; ++seed) {
    MeshPair w(seed);
    w.start_all();
    ASSERT_TRUE(w.wait_full()) << seed;
    w.time.run_for(5 * kSecond);
    EXPECT_EQ(w[1].ups[2], 1u) << "no flapping, seed " << seed;
    EXPECT_EQ(w[2].ups[1], 1u) << "no flapping, seed " << seed;
    EXPECT_EQ(w[1].mesh->links().size(), 1u);
    EXPECT_EQ(w[1].mesh->seeds().unresolved, 0u);
    EXPECT_EQ(w[1].mesh->seeds().known, (std::vector<NodeId>{node_id(1), node_id(2)}));
    EXPECT_EQ(w[2].mesh->seeds().known, w[1].mesh->seeds().known);
  }
}

TEST(Mesh, FullMeshInAnyOrderOfStartFromPartialRoutes) {
  std::vector<unsigned> order = {1, 2, 3, 4, 5};
  std::uint64_t seed = 0;
  do {
    if (++seed % 4 != 0) continue;  // 30 of 120 orders
    MeshWorld w(5, seed);
    w[1].routes({1});
    w[2].routes({1});
    w[3].routes({2});
    w[4].routes({3});
    w[5].routes({4, 1});
    for (unsigned n : order) {
      ASSERT_TRUE(w[n].start());
      w.time.run_for(static_cast<Nanos>(seed % 7) * 100 * kMillisecond);
    }
    ASSERT_TRUE(w.wait_full()) << seed;
    w.time.run_for(5 * kSecond);
    for (auto& n : w.nodes) {
      EXPECT_EQ(n->mesh->links().size(), 4u);
      for (auto& [peer, times] : n->ups) EXPECT_EQ(times, 1u) << "seed " << seed;
      EXPECT_EQ(n->log.count(Level::kError) + n->log.count(Level::kWarn), 0u);
    }
  } while (std::next_permutation(order.begin(), order.end()));
}

TEST(Mesh, SelfRouteIsASeedAndNotDialledAgain) {
  MeshWorld w(1);
  w[1].routes({1});
  w.start_all();
  EXPECT_EQ(w[1].mesh->seeds().unresolved, 1u);
  w.time.run_for(kSecond);
  EXPECT_EQ(w[1].mesh->seeds().unresolved, 0u);
  EXPECT_EQ(w[1].mesh->seeds().known, (std::vector<NodeId>{node_id(1)}));
  auto bytes = w.net.delivered_bytes();
  w.time.run_for(kMinute);
  EXPECT_EQ(w.net.delivered_bytes(), bytes);
  EXPECT_TRUE(w[1].mesh->links().empty());
  EXPECT_EQ(w[1].log.count(Level::kError) + w[1].log.count(Level::kWarn), 0u);
}

TEST(Mesh, UnreachableRoutesStayUnresolvedAndAreTriedForEver) {
  MeshWorld w(2);
  w[1].routes({1, 2});
  ASSERT_TRUE(w[1].start());
  w.time.run_for(10 * kMinute);
  EXPECT_EQ(w[1].mesh->seeds().unresolved, 1u);
  ASSERT_TRUE(w[2].start());
  EXPECT_TRUE(w.wait_full(3 * kSecond));
  EXPECT_EQ(w[1].mesh->seeds().unresolved, 0u);
  EXPECT_TRUE(w[1].log.contains("no link over route 10.0.0.2:6222: connect: connection refused"));
}

TEST(Mesh, NothingIsSaidBeforeRelease) {
  MeshPair w;
  w[1].on_start = [](Mesh& mesh) { mesh.hold(); };
  w.start_all();
  w.time.run_for(5 * kSecond);
  EXPECT_FALSE(w[1].linked(2) || w[2].linked(1));
  w[1].mesh->release();
  EXPECT_TRUE(w.wait_full(2 * kSecond));
}

TEST(Mesh, RestartOfANode) {
  MeshWorld w(3);
  for (unsigned n : {1u, 2u, 3u}) w[n].routes({1, 2, 3});
  w.start_all();
  ASSERT_TRUE(w.wait_full());
  for (unsigned round = 0; round < 6; ++round) {
    unsigned n = 1 + round % 3;
    w[n].kill();
    w.time.run_for(round % 2 ? 0 : 2 * kSecond);
    ASSERT_TRUE(w[n].start());
    // Old links may stand for a moment.
    unsigned other = 1 + n % 3;
    auto seen = [&] {
      const NodeInfo* peer = w[other].mesh->peer(node_id(n));
      return peer && peer->boot == w[n].info.boot;
    };
    ASSERT_TRUE(w.time.run_until(seen, 3 * kSecond)) << round;
    ASSERT_TRUE(w.wait_full(3 * kSecond)) << round;
  }
}

TEST(Mesh, ARestartThatNobodyNoticedReplacesTheOldLink) {
  MeshPair w;
  for (unsigned n : {1u, 2u}) {
    w.start_all();
    ASSERT_TRUE(w.wait_full());
    unsigned other = 3 - n;
    // The news that it died never comes.
    w.net.partition(testing::host_of(n), testing::host_of(other));
    w[n].host.down();
    w[n].kill();
    w[n].host.up();
    w.time.run_for(100 * kMillisecond);
    EXPECT_TRUE(w[other].linked(n));
    ASSERT_TRUE(w[n].start());
    w.net.heal_all();
    ASSERT_TRUE(w.time.run_until([&] { return w[n].linked(other); }, 2 * kSecond));
    w.time.run_for(100 * kMillisecond);
    EXPECT_EQ(w[other].mesh->peer(node_id(n))->boot, w[n].info.boot);
    w[1].kill();
    w[2].kill();
  }
}

TEST(Mesh, OneSideLosesTheLink) {
  for (unsigned loser : {1u, 2u}) {
    MeshPair w;
    w.start_all();
    ASSERT_TRUE(w.wait_full());
    unsigned other = 3 - loser;
    w.net.partition(testing::host_of(loser), testing::host_of(other), env::testing::Cut::kFirstToSecond);
    ASSERT_TRUE(w.net.reset_one(w[loser].host));
    w.time.run_for(200 * kMillisecond);
    ASSERT_FALSE(w[loser].linked(other));
    ASSERT_TRUE(w[other].linked(loser));
    w.net.set_extra_delay(testing::host_of(loser), testing::host_of(other), 0);
    w.net.heal_all();
    EXPECT_TRUE(w.wait_full(4 * kSecond));
  }
}

TEST(Mesh, StopIsToldAndEndsLinks) {
  MeshPair w;
  w.start_all();
  ASSERT_TRUE(w.wait_full());
  EXPECT_TRUE(w[2].send(1, Lane::kRaft, "last words"));
  w[2].mesh->stop();
  EXPECT_EQ(w[2].mesh->peer(node_id(1)), nullptr);
  EXPECT_FALSE(w[2].send(1, Lane::kRaft, "too late"));
  w.time.run_for(100 * kMillisecond);
  EXPECT_FALSE(w[1].linked(2));
  EXPECT_TRUE(w[2].linked(1)) << "no event after stop()";
  EXPECT_EQ(w[1].frames, (std::vector<std::string>{"n1<n2:last words"}));
  EXPECT_TRUE(w[1].log.contains("is down: that node stops"));
  w[2].mesh->stop();
}

TEST(Mesh, PortTaken) {
  MeshWorld w(1);
  auto taken = w[1].host.listen({"", 6222}, [](auto) {});
  ASSERT_TRUE(taken);
  Status s = w[1].start();
  ASSERT_FALSE(s);
  EXPECT_EQ(s.error().detail, "cluster listener on 0.0.0.0:6222: bind: address already in use");
}

TEST(Mesh, EndpointAndAnyPort) {
  MeshWorld w(1);
  w[1].options.cluster.port = -1;
  w.start_all();
  ASSERT_TRUE(w[1].mesh->endpoint());
  EXPECT_GT(w[1].mesh->endpoint()->port, 0);
  EXPECT_EQ(w[1].mesh->self().route_url, ":" + std::to_string(w[1].mesh->endpoint()->port));
}

// ---- silence ----------------------------------------------------------------------------------

TEST(Mesh, SilentPeersShowAndComeBack) {
  MeshPair w;
  w.up();
  w.time.run_for(kMinute);
  EXPECT_TRUE(w[1].silent.empty() && w[1].mesh->alive(node_id(2)));
  w.net.partition("10.0.0.2", "10.0.0.1", env::testing::Cut::kFirstToSecond);
  w.time.run_for(450 * kMillisecond);
  EXPECT_TRUE(w[1].silent.empty());
  w.time.run_for(250 * kMillisecond);
  EXPECT_EQ(w[1].silent, (std::set<unsigned>{2}));
  EXPECT_FALSE(w[1].mesh->alive(node_id(2)));
  EXPECT_TRUE(w[2].silent.empty()) << "n2 hears n1";
  w.net.heal_all();
  w.time.run_for(50 * kMillisecond);
  EXPECT_TRUE(w[1].silent.empty() && w[1].mesh->alive(node_id(2)));
  EXPECT_EQ(w[1].ups[2], 1u);
}

TEST(Mesh, DeadLinksEndAndComeBackAfterThePartition) {
  MeshPair w;
  w.up();
  w.net.partition("10.0.0.1", "10.0.0.2");
  w.time.run_for(5'200 * kMillisecond);
  EXPECT_FALSE(w[1].linked(2) || w[2].linked(1));
  EXPECT_TRUE(w[1].log.contains("is down: silent for"));
  w.time.run_for(kMinute);
  w.net.heal_all();
  EXPECT_TRUE(w.wait_full(3 * kSecond));
  w.time.run_for(kMinute);
  EXPECT_EQ(w[1].ups[2], 2u);
  EXPECT_EQ(w[2].ups[1], 2u);
}

}  // namespace
}  // namespace weir::cluster
