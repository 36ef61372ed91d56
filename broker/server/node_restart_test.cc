// A cluster whose nodes die again and again: what a restart finds in the journal is what was promised.
#include "broker/server/cluster_world.h"

namespace weir::server {
namespace {

using testing::ClusterClient;
using testing::ClusterWorld;

// The meta group learns late what it had committed: in the journal, records of streams come first.
TEST(NodeRestart, StreamsOutliveManyDeathsOfAllNodes) {
  for (std::uint64_t seed = 1; seed <= 4; ++seed) {
    ClusterWorld w(3, seed);
    w.start();
    {
      ClusterClient c(w, 0);
      ASSERT_TRUE(c.login());
      EXPECT_EQ(c.create_stream("S", 3), "");
      EXPECT_EQ(c.create_stream("R", 1), "");
    }
    for (int round = 1; round <= 4; ++round) {
      for (std::string stream : {"S", "R"}) {
        ClusterClient c(w, static_cast<std::size_t>(round % 3));
        ASSERT_TRUE(c.login());
        ASSERT_TRUE(w.eventually([&] { return c.publish(stream + ".a") == 2 * round - 1; }))
            << stream << " in round " << round << " of seed " << seed;
        EXPECT_EQ(c.publish(stream + ".a"), 2 * round);
      }
      for (std::size_t n = 0; n < 3; ++n) w[n].kill();
      for (std::size_t n = 0; n < 3; ++n) w.start(n);
    }
    for (std::size_t n = 0; n < 3; ++n) {
      EXPECT_TRUE(w.eventually([&] { return w.status(n, "/healthz") == 200; })) << n;
    }
  }
}

// The log begins with the stream's first configuration. What the meta group knows by the time of a restart
// must not take its place: sequences that were acknowledged would change (P2), and replicas differ (P5).
TEST(NodeRestart, TheFirstSequenceIsTheOneThatTheLogBeginsWith) {
  ClusterWorld w(3, 2);
  for (auto& n : w.nodes) n->tuning.meta_checkpoint_entries = 1;
  w.start();
  ClusterClient c(w, 0);
  ASSERT_TRUE(c.login());
  for (int replicas : {1, 3}) {
    std::string name = "R" + std::to_string(replicas);
    EXPECT_EQ(c.create_stream(name, replicas, ",\"first_seq\":100"), "");
    EXPECT_EQ(c.publish(name + ".a"), 100);
    auto updated =
        c.request("$JS.API.STREAM.UPDATE." + name,
                  "{\"name\":\"" + name + "\",\"subjects\":[\"" + name +
                      ".>\"],\"first_seq\":1000,\"num_replicas\":" + std::to_string(replicas) + "}");
    EXPECT_EQ(c.error_of(updated), "");
    EXPECT_EQ(c.publish(name + ".a"), 101);
  }
  w.run(kSecond);
  for (std::size_t i = 0; i < 3; ++i) w[i].kill();
  for (std::size_t i = 0; i < 3; ++i) w.start(i);
  ASSERT_TRUE(w.eventually([&] { return w.settled(); }));
  ClusterClient again(w, 0);
  ASSERT_TRUE(again.login());
  for (std::string name : {"R1", "R3"}) {
    std::int64_t seq = 0;
    EXPECT_TRUE(w.eventually([&] { return (seq = again.publish(name + ".a")) > 0; }));
    EXPECT_EQ(seq, 102) << name;
    auto info = again.request("$JS.API.STREAM.INFO." + name);
    EXPECT_EQ(testing::text_at(info, "state.first_seq"), "100");
    EXPECT_EQ(testing::text_at(info, "state.messages"), "3");
  }
}

}  // namespace
}  // namespace weir::server
