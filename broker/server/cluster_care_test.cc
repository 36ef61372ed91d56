// What nodes of a cluster do unasked: spread leaderships, tell each other what room they have, say when
// groups are without a leader.
#include "broker/server/cluster_world.h"
#include "broker/server/rooms.h"

namespace weir::server {
namespace {

using testing::ClusterClient;
using testing::ClusterWorld;
using testing::text_at;

struct World : ClusterWorld {
  explicit World(std::size_t n = 3, std::uint64_t seed = 1) : ClusterWorld(n, seed) {}
  std::string leader_name(ClusterClient& c, const std::string& stream) {
    return text_at(c.request("$JS.API.STREAM.INFO." + stream), "cluster.leader");
  }
  /// Of streams S0, S1, ...
  std::map<std::string, int> leads(ClusterClient& c, int streams) {
    std::map<std::string, int> out;
    for (int i = 0; i < streams; ++i) ++out[leader_name(c, "S" + std::to_string(i))];
    return out;
  }
  std::size_t lines(std::size_t node, std::string_view part) {
    std::size_t n = 0;
    for (const auto& line : nodes[node]->log.lines()) n += line.text.find(part) != std::string::npos;
    return n;
  }
};

// ---- leaderships -------------------------------------------------------------------------------

TEST(LeaderCare, AfterARollingRestartEveryNodeLeadsItsPart) {
  World w;
  w.start();
  constexpr int kStreams = 30;
  {
    ClusterClient c(w, 0);
    ASSERT_TRUE(c.login());
    for (int i = 0; i < kStreams; ++i) {
      EXPECT_EQ(c.create_stream("S" + std::to_string(i), 3), "");
      EXPECT_EQ(c.publish("S" + std::to_string(i) + ".a"), 1);
    }
  }
  for (std::size_t i = 0; i < 3; ++i) {
    w[i].stop();
    w.run(kSecond);
    w.start(i);
    ASSERT_TRUE(w.eventually([&] { return w.settled() && w.status(i, "/healthz") == 200; }));
  }
  ClusterClient c(w, 0);
  ASSERT_TRUE(c.login());
  auto now = w.leads(c, kStreams);
  EXPECT_LT(now["n3"], 4) << "otherwise this shows nothing";
  auto spread = [&] {
    now = w.leads(c, kStreams);
    return now["n1"] >= 4 && now["n2"] >= 4 && now["n3"] >= 4;
  };
  EXPECT_TRUE(w.eventually(spread, kMinute)) << now["n1"] << " " << now["n2"] << " " << now["n3"];
  std::size_t told = w.lines(0, "leadership of") + w.lines(1, "leadership of");
  EXPECT_GT(told, 0u);
  w.run(10 * kSecond);
  auto rest = w.leads(c, kStreams);
  std::size_t all = w.lines(0, "leadership of") + w.lines(1, "leadership of") + w.lines(2, "leadership of");
  w.run(kMinute);
  EXPECT_EQ(w.leads(c, kStreams), rest) << "it comes to rest";
  EXPECT_EQ(w.lines(0, "leadership of") + w.lines(1, "leadership of") + w.lines(2, "leadership of"), all);
  for (int i = 0; i < kStreams; ++i) EXPECT_EQ(c.publish("S" + std::to_string(i) + ".a"), 2);
}

TEST(LeaderCare, ANodeInLameDuckModeIsGivenNothing) {
  World w;
  w.start();
  ClusterClient c(w, 0);
  ASSERT_TRUE(c.login());
  constexpr int kStreams = 12;
  for (int i = 0; i < kStreams; ++i) EXPECT_EQ(c.create_stream("S" + std::to_string(i), 3), "");
  w.run(15 * kSecond);
  w[2].options.lame_duck_duration = 10 * kMinute;
  w[2].node->lame_duck([] {});
  w.run(kMinute);
  EXPECT_EQ(w.leads(c, kStreams)["n3"], 0);
}

TEST(LeaderCare, OfTwoThatGoNeitherHandsOverToTheOther) {
  for (std::uint64_t seed = 1; seed <= 3; ++seed) {
    World w(3, seed);
    w.start();
    ClusterClient c(w, 0);
    ASSERT_TRUE(c.login());
    constexpr int kStreams = 9;
    for (int i = 0; i < kStreams; ++i) EXPECT_EQ(c.create_stream("S" + std::to_string(i), 3), "");
    w.run(15 * kSecond);
    w[1].node->lame_duck([] {});
    w.run(10 * kSecond);
    auto before = w.leads(c, kStreams);
    EXPECT_GT(before["n3"], 0) << "otherwise this shows nothing";
    w[2].node->lame_duck([] {});
    w.run(kSecond);
    EXPECT_LE(w.leads(c, kStreams)["n2"], before["n2"]) << seed;
  }
}

// ---- room --------------------------------------------------------------------------------------

TEST(NodeRooms, WhatIsStoredOrReservedIsNotFree) {
  cluster::PlaceNode n;
  NodeRoom room{1000, 300, 500, 10};
  jetstream::MetaLoad load;
  load.reserved_file = 200;
  load.reserved_memory = 460;
  set_room(n, room, load);
  EXPECT_EQ(n.file_free, 700u);
  EXPECT_EQ(n.memory_free, 40u);
  EXPECT_FALSE(n.file_tight);
  EXPECT_TRUE(n.memory_tight);
  load.reserved_file = 2000;
  set_room(n, room, load);
  EXPECT_EQ(n.file_free, 0u);
}

TEST(NodeRooms, AStreamGoesWhereThereIsRoom) {
  World w;
  for (std::size_t i = 0; i < 3; ++i) w[i].options.jetstream.max_file_store = (i == 1 ? 8 : 1) << 20;
  w[0].options.jetstream.max_memory_store = 32 << 20;
  w[1].options.jetstream.max_memory_store = w[2].options.jetstream.max_memory_store = 1 << 20;
  w.start();
  w.run(kSecond);
  for (std::size_t i = 0; i < 3; ++i) {
    ClusterClient c(w, i);
    ASSERT_TRUE(c.login());
    std::string name = "S" + std::to_string(i);
    EXPECT_EQ(c.create_stream(name, 1, ",\"max_bytes\":2000000"), "");
    EXPECT_EQ(w.leader_name(c, name), "n2");
    EXPECT_EQ(c.create_stream("M" + std::to_string(i), 1, ",\"max_bytes\":9000000,\"storage\":\"memory\""),
              "");
    EXPECT_EQ(w.leader_name(c, "M" + std::to_string(i)), "n1");
    auto full = c.request("$JS.API.STREAM.CREATE.X", "{\"name\":\"X\",\"max_bytes\":9000000}");
    EXPECT_EQ(c.error_of(full), "10005");
    EXPECT_EQ(text_at(full, "error.description"), "no suitable peers for placement, insufficient storage");
    EXPECT_EQ(c.create_stream("X", 3, ",\"max_bytes\":2000000"), "10005") << "on one node only";
  }
  ClusterClient c(w, 0);
  ASSERT_TRUE(c.login());
  EXPECT_EQ(c.create_stream("S9", 1, ",\"max_bytes\":3000000"), "10005") << "six of eight are reserved";
  auto larger = c.request("$JS.API.STREAM.UPDATE.S1",
                          "{\"name\":\"S1\",\"subjects\":[\"S1.>\"],\"max_bytes\":5000000}");
  EXPECT_EQ(c.error_of(larger), "10047");
  larger = c.request("$JS.API.STREAM.UPDATE.S1",
                     "{\"name\":\"S1\",\"subjects\":[\"S1.>\"],\"max_bytes\":3000000}");
  EXPECT_EQ(c.error_of(larger), "");
}

TEST(NodeRooms, WhatIsStoredElsewhereCounts) {
  World w(3, 7);
  for (std::size_t i = 0; i < 3; ++i) w[i].options.jetstream.max_file_store = 4 << 20;
  w.start();
  ClusterClient c(w, 0);
  ASSERT_TRUE(c.login());
  // Without a limit nothing is reserved; n3 is nearly full of it.
  EXPECT_EQ(c.create_stream("F", 1, ",\"placement\":{\"tags\":[\"rack:3\"]}"), "");
  std::string big(100'000, 'x');
  for (int i = 0; i < 38; ++i) EXPECT_EQ(c.publish("F.a", big), i + 1);
  for (int i = 0; i < 3; ++i) {
    // The others have as many streams or more, and yet n3 is the last choice.
    EXPECT_EQ(c.create_stream("A" + std::to_string(i), 1, ",\"placement\":{\"tags\":[\"rack:1\"]}"), "");
    EXPECT_EQ(c.create_stream("B" + std::to_string(i), 1, ",\"placement\":{\"tags\":[\"rack:2\"]}"), "");
  }
  w.run(6 * kSecond);
  for (int i = 0; i < 4; ++i) {
    EXPECT_EQ(c.create_stream("S" + std::to_string(i), 1), "");
    EXPECT_NE(w.leader_name(c, "S" + std::to_string(i)), "n3");
  }
  EXPECT_EQ(c.create_stream("X", 1, ",\"max_bytes\":1000000,\"placement\":{\"tags\":[\"rack:3\"]}"), "10005");
}

// ---- who has no leader -------------------------------------------------------------------------

TEST(LeaderWatchLines, GroupsAndTheMetaGroupLoseAndFindTheirLeaders) {
  World w;
  ClusterClient c(w, 0);
  ASSERT_NO_FATAL_FAILURE(w.start_with_stream(c, 1));
  w.run(5 * kSecond);
  EXPECT_EQ(w.lines(0, "leader"), 0u) << "nothing to say while all is well";
  w[1].kill();
  w.run(15 * kSecond);
  EXPECT_EQ(w.lines(0, "with no leader"), 0u) << "another took over at once";
  w[2].kill();
  w.run(20 * kSecond);
  EXPECT_EQ(w.lines(0, "stream with no leader for 5s: A/S (group 2), 1 of 3 voters are reached: n1"), 1u);
  EXPECT_EQ(w.lines(0, "the meta group has lost its majority: 1 of 3 voters are reached: n1"), 1u);
  EXPECT_EQ(w.lines(0, "the meta group has had no leader for "), 1u);
  w.start(1);
  w.run(15 * kSecond);
  EXPECT_EQ(w.lines(0, "stream with a leader again: A/S (group 2): n"), 1u);
  EXPECT_EQ(w.lines(0, "the meta group has its majority again: 2 of 3 voters are reached"), 1u);
  EXPECT_EQ(w.lines(0, "the meta group has a leader again, n"), 1u);
}

TEST(LeaderWatchLines, ManyGroupsAreOneLine) {
  World w;
  w.start();
  ClusterClient c(w, 0);
  ASSERT_TRUE(c.login());
  for (int i = 0; i < 40; ++i) EXPECT_EQ(c.create_stream("S" + std::to_string(i), 3), "");
  w.run(5 * kSecond);
  w[1].kill();
  w[2].kill();
  w.run(20 * kSecond);
  std::size_t lost = w.lines(0, "with no leader for 5s");
  EXPECT_GE(lost, 1u);
  EXPECT_LE(lost, 6u);
  EXPECT_TRUE(w[0].log.contains("streams with no leader for 5s, among them A/S"));
  w.start(1);
  w.run(20 * kSecond);
  EXPECT_GE(w.lines(0, "with a leader again"), 1u);
  EXPECT_LE(w.lines(0, "with a leader again"), 6u);
}

}  // namespace
}  // namespace weir::server
