#include <map>
#include <set>

#include <gtest/gtest.h>

#include "broker/base/prng.h"
#include "broker/jetstream/meta_harness.h"

namespace weir::jetstream {
namespace {

using testing::Meta;
using testing::node;
using testing::stream;

const std::string kChanged = "10202 cluster member change is in progress";
const std::string kStranger = "10044 server is not a member of the cluster";

Meta cluster(std::uint64_t nodes) {
  Meta m;
  for (std::uint64_t n = 1; n <= nodes; ++n) m.add_node(node(n), "n" + std::to_string(n));
  return m;
}

NodeId life(std::uint64_t n, std::uint64_t incarnation) {
  return replica_id(node(n), incarnation);
}

api::StreamConfig memory(const std::string& name) {
  auto c = stream(name, {name});
  c.storage = api::Storage::kMemory;
  return c;
}

TEST(MetaNodes, RegisterIsIdempotentAndUpdatesTags) {
  Meta m;
  EXPECT_EQ(m.add_node(node(1), "n1"), "node");
  EXPECT_EQ(m.out.node.meta_replica, node(1));
  EXPECT_EQ(m.add_node(node(1), "n1"), "existing 0");
  EXPECT_EQ(m.state->revision(), 1u);
  EXPECT_EQ(m.add_node(node(1), "n1", NodeId(0), false, {"az:2"}), "node");
  EXPECT_EQ(m.state->find_node("n1")->tags, std::vector<std::string>{"az:2"});
  EXPECT_EQ(m.add_node(node(1), "other"), "node") << "a server may change its name";
  EXPECT_EQ(m.state->find_node("n1"), nullptr);
  EXPECT_EQ(m.state->nodes().size(), 1u);
}

TEST(MetaNodes, StreamsLiveOnRegisteredNodes) {
  Meta m = cluster(3);
  EXPECT_EQ(m.create("A", stream("S", {"s"}), 0, {node(1), node(4)}), kChanged);
  EXPECT_EQ(m.create("A", stream("S", {"s"}), 0, {node(1), node(1)}), "10075 peer remap failed");
  EXPECT_EQ(m.create("A", stream("S", {"s"}), 0, {life(1, 3)}), "10075 peer remap failed");
  EXPECT_EQ(m.create("A", stream("S", {"s"}), 0, {node(2), node(1)}), "created 2");
  EXPECT_EQ(m.peers(GroupId(2)), (std::vector<NodeId>{node(2), node(1)})) << "order of the placement";
  EXPECT_EQ(m.state->find(GroupId(2))->founders, m.peers(GroupId(2)));
  EXPECT_EQ(m.state->load(node(1)).streams, 1u);
  EXPECT_EQ(m.state->load(node(1)).replicated, 1u);
  EXPECT_EQ(m.state->load(node(3)), MetaLoad());
}

TEST(MetaNodes, LoadCountsReservations) {
  Meta m = cluster(3);
  auto c = stream("S", {"s"});
  c.max_bytes = 1000;
  m.create("A", c, 0, {node(1)});
  auto mem = memory("T");
  mem.max_bytes = 50;
  m.create("A", mem, 0, {node(1), node(2)});
  EXPECT_EQ(m.state->load(node(1)), (MetaLoad{2, 1, 1000, 50}));
  c.max_bytes = 300;
  m.update("A", c, {node(1), node(3)});
  EXPECT_EQ(m.state->load(node(1)), (MetaLoad{2, 2, 300, 50}));
  EXPECT_EQ(m.state->load(node(3)), (MetaLoad{1, 1, 300, 0}));
  m.remove("A", "S");
  EXPECT_EQ(m.state->load(node(3)), MetaLoad());
  EXPECT_EQ(m.state->load(node(2)), (MetaLoad{1, 1, 0, 50}));
}

TEST(MetaNodes, UpdateKeepsReplicasAndBeginsLives) {
  Meta m = cluster(4);
  auto c = stream("S", {"s"});
  m.create("A", c);
  EXPECT_EQ(m.update("A", c, {node(1), node(2), node(4)}, node(4)), "updated 2");
  EXPECT_EQ(m.peers(GroupId(2)), (std::vector<NodeId>{node(1), node(2), life(4, 1)}));
  EXPECT_EQ(m.state->find(GroupId(2))->preferred, node(4));
  EXPECT_EQ(m.update("A", c, {node(1), node(2), node(3)}), "updated 2");
  EXPECT_EQ(m.peers(GroupId(2))[2], node(3)) << "the group has not gone on without it yet";
  EXPECT_EQ(m.state->find(GroupId(2))->leaving, std::vector<NodeId>{life(4, 1)});
  EXPECT_EQ(m.release(GroupId(2)), "peers 2");
  EXPECT_EQ(m.release(GroupId(2)), "nothing") << "there is nothing more to release";
  EXPECT_EQ(m.state->find(GroupId(2))->preferred, NodeId(0));
  EXPECT_EQ(m.update("A", c, {node(1), node(2), node(4)}), "updated 2");
  EXPECT_EQ(m.peers(GroupId(2))[2], life(4, 2)) << "nor that of an earlier stay";
  EXPECT_EQ(m.update("A", c, {node(1), node(2), node(9)}), kChanged);
  EXPECT_EQ(m.update("A", c, {node(2), node(4)}), "updated 2");
  EXPECT_EQ(m.peers(GroupId(2)), (std::vector<NodeId>{node(2), life(4, 2)}));
  EXPECT_EQ(m.state->find(GroupId(2))->leaving, (std::vector<NodeId>{node(3), node(1)}));
  EXPECT_EQ(m.state->find(GroupId(2))->founders, (std::vector<NodeId>{node(1), node(2), node(3)}));
}

TEST(MetaNodes, WipedNodeComesBackUnderItsName) {
  Meta m = cluster(3);
  m.create("A", stream("S", {"s"}));
  m.create("A", stream("T", {"t"}), 0, {node(2)});
  m.create("A", stream("U", {"u"}), 0, {node(1)});
  m.set_peers(GroupId(2), {node(1), node(2), node(3)}, 0, node(2));
  EXPECT_EQ(m.add_node(node(7), "n2"), kChanged) << "the leader did not know that the name is taken";
  EXPECT_EQ(m.add_node(node(7), "n2", node(3)), kChanged);
  EXPECT_EQ(m.add_node(node(7), "n2", node(2)), "node 1 2 3");
  EXPECT_EQ(m.out.replaced, node(2));
  EXPECT_EQ(m.out.node.meta_replica, node(7));
  EXPECT_EQ(m.peers(GroupId(2)), (std::vector<NodeId>{node(1), life(7, 1), node(3)}));
  EXPECT_EQ(m.peers(GroupId(3)), std::vector<NodeId>{life(7, 1)});
  EXPECT_EQ(m.peers(GroupId(4)), std::vector<NodeId>{node(1)});
  EXPECT_EQ(m.state->find(GroupId(2))->preferred, node(7));
  EXPECT_EQ(m.state->find_node(node(2)), nullptr);
  EXPECT_EQ(m.state->load(node(2)), MetaLoad());
  EXPECT_EQ(m.state->load(node(7)), (MetaLoad{2, 1, 0, 0}));
  EXPECT_EQ(m.add_node(node(7), "n2", node(2)), kChanged) << "said twice, by a leader that is behind";
  EXPECT_EQ(m.add_node(node(7), "n2"), "existing 0");
}

TEST(MetaNodes, NodeThatTakesANameHasOneReplicaForEachStream) {
  Meta m = cluster(3);
  m.create("A", stream("S", {"s"}));
  EXPECT_EQ(m.add_node(node(1), "n2", node(2)), "node 1 2");
  EXPECT_EQ(m.peers(GroupId(2)), (std::vector<NodeId>{node(1), node(3)}));
  EXPECT_EQ(m.state->load(node(1)).streams, 1u);
}

TEST(MetaNodes, RemovedNodeLeavesStreamsToMove) {
  Meta m = cluster(4);
  m.create("A", stream("S", {"s"}));
  m.create("A", stream("T", {"t"}), 0, {node(1)});
  EXPECT_EQ(m.remove_node(node(9)), kStranger);
  EXPECT_EQ(m.remove_node(node(3)), "node 2");
  EXPECT_TRUE(m.out.node.removed);
  EXPECT_EQ(m.remove_node(node(3)), "existing 0");
  EXPECT_EQ(m.groups(), " 2") << "what is left to move";
  std::uint64_t seen = m.peers_revision(GroupId(2));
  EXPECT_EQ(m.set_peers(GroupId(2), {node(1), node(2), node(4)}, seen), "peers 2");
  EXPECT_EQ(m.peers(GroupId(2)), (std::vector<NodeId>{node(1), node(2), life(4, 1)}));
  EXPECT_EQ(m.set_peers(GroupId(2), {node(1)}, seen), kChanged) << "somebody was faster";
  EXPECT_EQ(m.set_peers(GroupId(2), {node(1), node(3)}), kChanged) << "a removed node takes nothing new";
  EXPECT_EQ(m.set_peers(GroupId(9), {node(1)}, 1), "10059 stream not found");
  EXPECT_EQ(m.renew(GroupId(0), node(3), 5), kStranger);

  EXPECT_EQ(m.add_node(node(3), "n3"), kStranger) << "it does not come back by itself";
  EXPECT_EQ(m.add_node(node(3), "n3", NodeId(0), true), "node");
  EXPECT_EQ(m.out.node.meta_replica, node(3)) << "its store still has what it promised";
  EXPECT_EQ(m.set_peers(GroupId(2), {node(1), node(2), node(3)}), "peers 2");
  EXPECT_EQ(m.peers(GroupId(2))[2], node(3)) << "nor did it leave the group for sure";
}

TEST(MetaNodes, AReplicaThatLeavesStaysUntilItsLeaderSaysSo) {
  Meta m = cluster(3);
  auto c = stream("S", {"s"});
  c.num_replicas = 3;
  m.create("A", c);
  const GroupId g(2);
  EXPECT_TRUE(m.state->parting().empty());
  std::uint64_t before = m.peers_revision(g);
  EXPECT_EQ(m.update("A", c, {node(2)}), "updated 2");
  EXPECT_EQ(m.state->find(g)->hosted_on(node(1)), node(1));
  EXPECT_EQ(m.state->find(g)->replica_on(node(1)), NodeId(0));
  EXPECT_EQ(m.state->parting(), std::set<GroupId>{g});
  EXPECT_EQ(m.release(g, before), kChanged) << "said of the members that were wanted before";
  EXPECT_EQ(m.update("A", c, {node(1), node(2), node(3)}), "updated 2");
  EXPECT_EQ(m.peers(g), (std::vector<NodeId>{node(1), node(2), node(3)})) << "with what they promised";
  EXPECT_TRUE(m.state->find(g)->leaving.empty());
  EXPECT_EQ(m.release(g), "peers 2");
  EXPECT_TRUE(m.state->parting().empty());
  m.update("A", c, {node(2)});
  EXPECT_EQ(m.renew(g, node(1), 0, before), kChanged) << "decided for other members";
  EXPECT_EQ(m.renew(g, node(1)), "peers 2") << "it lost what it promised";
  EXPECT_EQ(m.state->find(g)->leaving, std::vector<NodeId>{node(3)});
  EXPECT_EQ(m.add_node(node(7), "n3", node(3)), "node 1 2") << "its store is gone";
  EXPECT_TRUE(m.state->find(g)->leaving.empty());
  EXPECT_EQ(m.state->find(g)->origin.nodes, (std::vector<NodeId>{node(1), node(2), node(7)}));
  EXPECT_EQ(m.release(g), "peers 2");
  EXPECT_TRUE(m.state->parting().empty());
  EXPECT_EQ(m.update("A", c, {node(1), node(2), node(7)}), "updated 2");
  EXPECT_EQ(m.peers(g), (std::vector<NodeId>{life(1, 1), node(2), life(7, 2)}));

  m.create("A", memory("M"), 0, {node(1), node(2), node(7)});
  m.update("A", memory("M"), {node(2)});
  EXPECT_EQ(m.renew(GroupId(0), node(1), 5), "peers 3") << "a memory replica forgets with each start";
  EXPECT_EQ(m.state->find(GroupId(3))->leaving, std::vector<NodeId>{node(7)});
  EXPECT_EQ(m.release(GroupId(9), 1), kChanged);
  m.remove("A", "M");
  EXPECT_TRUE(m.state->parting().empty());
}

TEST(MetaNodes, AStreamKnowsWhereItWasUntilItsReplicasAreSettled) {
  Meta m = cluster(5);
  auto c = stream("S", {"s"});
  c.num_replicas = 3;
  c.placement.emplace().tags = {"x"};
  m.create("A", c);
  const GroupId g(2);
  EXPECT_TRUE(m.state->find(g)->origin.nodes.empty());
  auto to = c;
  to.placement->tags = {"y"};
  to.placement->cluster = "C";
  m.update("A", to, {node(3), node(4), node(5)});
  auto origin = [&] { return m.state->find(g)->origin; };
  EXPECT_EQ(origin().nodes, (std::vector<NodeId>{node(1), node(2), node(3)}));
  EXPECT_EQ(origin().replicas, 3);
  EXPECT_EQ(origin().placement, c.placement);
  to.num_replicas = 1;
  m.update("A", to, {node(5)});
  EXPECT_EQ(origin().nodes.size(), 3u) << "of several changes in a row the first one counts";
  EXPECT_EQ(origin().replicas, 3);
  std::string blob;
  m.state->encode(blob);
  MetaState back;
  ASSERT_TRUE(back.restore(blob));
  EXPECT_EQ(back.find(g)->origin.nodes, origin().nodes);
  EXPECT_EQ(back.find(g)->origin.placement, c.placement);
  EXPECT_EQ(back.parting(), std::set<GroupId>{g});
  // Back: who left keeps its id as long as it was not let go.
  m.update("A", c, origin().nodes);
  EXPECT_EQ(m.peers(g), (std::vector<NodeId>{node(1), node(2), node(3)}));
  EXPECT_EQ(m.state->find(g)->leaving.size(), 2u) << "those that were new";
  EXPECT_EQ(m.release(g), "peers 2");
  EXPECT_TRUE(origin().nodes.empty());
  EXPECT_TRUE(m.state->parting().empty());
  // Growing is a change too.
  c.num_replicas = 4;
  m.update("A", c, {node(1), node(2), node(3), node(4)});
  EXPECT_EQ(origin().nodes.size(), 3u);
  EXPECT_EQ(m.state->parting(), std::set<GroupId>{g});
  EXPECT_EQ(m.release(g), "peers 2");
  // A place on a node that was removed is none to go back to, nor one with a replica too few.
  m.remove_node(node(4));
  m.set_peers(g, {node(1), node(2), node(3)});
  EXPECT_TRUE(origin().nodes.empty());
  EXPECT_EQ(m.release(g), "peers 2");
  m.set_peers(g, {node(1), node(2), node(3), node(5)});
  EXPECT_TRUE(origin().nodes.empty());
}

TEST(MetaNodes, MemoryReplicasBeginAnewWithEachStart) {
  Meta m = cluster(3);
  m.create("A", memory("M"));
  m.create("A", memory("One"), 0, {node(2)});
  m.create("A", stream("F", {"f"}));
  m.create("A", memory("N"), 0, {node(1), node(2)});
  EXPECT_EQ(m.renew(GroupId(0), node(2), 1), "peers 2 5");
  EXPECT_EQ(m.peers(GroupId(2)), (std::vector<NodeId>{node(1), life(2, 1), node(3)}));
  EXPECT_EQ(m.peers(GroupId(3)), std::vector<NodeId>{node(2)}) << "alone, nobody remembers its votes";
  EXPECT_EQ(m.peers(GroupId(4))[1], node(2));
  EXPECT_EQ(m.renew(GroupId(0), node(2), 1), "nothing") << "asked twice for one start";
  EXPECT_EQ(m.renew(GroupId(0), node(2), 2), "peers 2 5");
  EXPECT_EQ(m.peers(GroupId(5))[1], life(2, 2));
  m.remove("A", "M");
  m.remove("A", "N");
  EXPECT_EQ(m.renew(GroupId(0), node(2), 3), "node");
  EXPECT_EQ(m.renew(GroupId(0), node(8), 3), kStranger);
}

TEST(MetaNodes, ReplicaThatForgotIsRenewed) {
  Meta m = cluster(3);
  m.create("A", stream("S", {"s"}));
  EXPECT_EQ(m.renew(GroupId(2), node(3)), "peers 2");
  EXPECT_EQ(m.peers(GroupId(2))[2], life(3, 1));
  EXPECT_EQ(m.renew(GroupId(2), node(3)), "nothing") << "that one was given up already";
  EXPECT_EQ(m.renew(GroupId(7), node(3)), "nothing");
  EXPECT_EQ(m.renew(kMetaGroup, node(3)), "peers 1");
  EXPECT_EQ(m.state->find_node("n3")->meta_replica, life(3, 2));
  EXPECT_EQ(m.renew(kMetaGroup, node(3)), "nothing");
}

TEST(MetaNodes, ResetBeginsAnotherGroup) {
  Meta m = cluster(4);
  m.create("A", memory("M"));
  m.renew(GroupId(0), node(2), 1);
  m.renew(GroupId(0), node(3), 1);
  std::uint64_t seen = m.peers_revision(GroupId(2));
  EXPECT_EQ(m.reset(GroupId(2)), "reset 3 was 2");
  EXPECT_EQ(m.state->find(GroupId(2)), nullptr);
  EXPECT_EQ(m.state->find("A", "M")->group, GroupId(3));
  EXPECT_EQ(m.peers(GroupId(3)), (std::vector<NodeId>{node(1), node(2), node(3)}));
  EXPECT_EQ(m.state->find(GroupId(3))->founders, m.peers(GroupId(3)));
  EXPECT_EQ(m.reset(GroupId(2), {}, seen), "10059 stream not found");
  EXPECT_EQ(m.reset(GroupId(3), {node(4)}, seen), kChanged);
  EXPECT_EQ(m.reset(GroupId(3), {node(4)}), "reset 4 was 3");
  EXPECT_EQ(m.state->load(node(4)), (MetaLoad{1, 0, 0, 0}));
  EXPECT_EQ(m.state->load(node(1)), MetaLoad());
  EXPECT_EQ(m.create("A", stream("S", {"s"})), "created 5");
}

// Chance asks for everything; whatever happens, nobody votes under an id that was used before.
TEST(MetaNodes, NoReplicaIdIsGivenTwice) {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    Prng prng(seed);
    Meta m = cluster(5);
    std::map<GroupId, std::set<NodeId>> ever;   // replica ids that were there and are not any more
    std::map<GroupId, std::set<NodeId>> there;  // now
    std::uint64_t fresh = 6;
    for (int i = 0; i < 1500; ++i) {
      auto any_node = [&] {
        return std::next(m.state->nodes().begin(),
                         static_cast<std::ptrdiff_t>(prng.below(m.state->nodes().size())))
            ->first;
      };
      auto some_nodes = [&] {
        std::set<NodeId> nodes;
        for (std::uint64_t n = prng.between(1, 3); n > 0; --n) nodes.insert(any_node());
        return std::vector<NodeId>(nodes.begin(), nodes.end());
      };
      GroupId group(static_cast<std::uint32_t>(prng.between(2, 12)));
      std::string name = "S" + std::to_string(prng.below(4));
      auto config = prng.chance(1, 2) ? memory(name) : stream(name, {name});
      const MetaNode& some = *m.state->find_node(any_node());
      switch (prng.below(10)) {
        case 9: m.release(group); break;
        case 0: m.create("A", config, 0, some_nodes()); break;
        case 1: m.update("A", config, some_nodes()); break;
        case 2: m.set_peers(group, some_nodes()); break;
        case 3: m.renew(GroupId(0), some.id, some.boot + 1); break;
        case 4: {
          auto peers = m.peers(group);
          if (!peers.empty()) m.renew(group, peers[prng.below(peers.size())]);
          break;
        }
        case 5:
          if (prng.chance(1, 8)) m.add_node(node(++fresh), std::string(some.name), some.id);
          break;
        case 6: m.remove_node(some.id); break;
        case 7: m.add_node(some.id, std::string(some.name), NodeId(0), true); break;
        default:
          if (prng.chance(1, 8)) m.reset(group, some_nodes());
      }
      std::map<GroupId, std::set<NodeId>> now;
      m.state->for_each([&](const MetaStream& s) {
        now[s.group].insert(s.peers.begin(), s.peers.end());
        now[s.group].insert(s.leaving.begin(), s.leaving.end());
        EXPECT_EQ(now[s.group].size(), s.peers.size() + s.leaving.size());
        EXPECT_EQ(m.state->parting().contains(s.group), !s.leaving.empty() || !s.origin.nodes.empty());
        return true;
      });
      for (const auto& [g, ids] : there)
        for (NodeId id : ids)
          if (now[g].count(id) == 0) ever[g].insert(id);
      for (const auto& [g, ids] : now)
        for (NodeId id : ids) ASSERT_EQ(ever[g].count(id), 0u) << "seed " << seed << " step " << i;
      there = std::move(now);
      if (i % 100 != 0) continue;
      std::string blob;
      m.state->encode(blob);
      MetaState back;
      ASSERT_TRUE(back.restore(blob).has_value());
      for (const auto& [id, n] : m.state->nodes()) ASSERT_EQ(back.load(id), m.state->load(id));
    }
  }
}

}  // namespace
}  // namespace weir::jetstream
