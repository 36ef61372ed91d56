// What nodes of a cluster do unasked: spread leaderships, tell each other what room they have, say when
// groups are without a leader.
#include "broker/server/cluster_world.h"

namespace weir::server {
namespace {

using testing::ClusterClient;
using testing::ClusterWorld;
using testing::text_at;

struct World : ClusterWorld {
  explicit World(std::size_t n = 3, std::uint64_t seed = 1) : ClusterWorld(n, seed) {}
  bool eventually(const std::function<bool()>& stop, Nanos limit = 30 * kSecond) {
    Mono end = time.now() + limit;
    while (time.now() < end) {
      if (stop()) return true;
      run(50 * kMillisecond);
    }
    return false;
  }
  std::string leader_of(ClusterClient& c, const std::string& stream) {
    return text_at(c.request("$JS.API.STREAM.INFO." + stream), "cluster.leader");
  }
  /// Of streams S0, S1, ...
  std::map<std::string, int> leads(ClusterClient& c, int streams) {
    std::map<std::string, int> out;
    for (int i = 0; i < streams; ++i) ++out[leader_of(c, "S" + std::to_string(i))];
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

}  // namespace
}  // namespace weir::server
