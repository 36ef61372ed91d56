// A cluster whose nodes die again and again: what a restart finds in the journal is what was promised.
#include "broker/server/cluster_world.h"

namespace weir::server {
namespace {

using testing::ClusterClient;
using testing::ClusterWorld;

bool eventually(ClusterWorld& w, const std::function<bool()>& stop) {
  Mono end = w.time.now() + 30 * kSecond;
  while (w.time.now() < end) {
    if (stop()) return true;
    w.run(50 * kMillisecond);
  }
  return false;
}

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
        ASSERT_TRUE(eventually(w, [&] { return c.publish(stream + ".a") == 2 * round - 1; }))
            << stream << " in round " << round << " of seed " << seed;
        EXPECT_EQ(c.publish(stream + ".a"), 2 * round);
      }
      for (std::size_t n = 0; n < 3; ++n) w[n].kill();
      for (std::size_t n = 0; n < 3; ++n) w.start(n);
    }
    for (std::size_t n = 0; n < 3; ++n) {
      EXPECT_TRUE(eventually(w, [&] { return w.status(n, "/healthz") == 200; })) << n;
    }
  }
}

}  // namespace
}  // namespace weir::server
