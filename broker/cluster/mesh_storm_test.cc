// Everything at once: frames, resets, restarts and partitions. WEIR_SEEDS: how many storms.
#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>
#include <map>
#include <string>
#include <tuple>
#include <vector>

#include "broker/base/prng.h"
#include "broker/cluster/mesh_harness.h"

namespace weir::cluster {
namespace {

using testing::MeshWorld;
using testing::node_id;

/// Numbered frames in all lanes of all pairs, with resets, restarts and partitions. Per lane and life of
/// a sender: numbers only grow; when all is quiet again, everything gets through.
class Storm {
 public:
  explicit Storm(std::uint64_t seed) : w(4, seed), prng(seed * 31) {
    for (auto& n : w.nodes) {
      n->routes({1, 2});
      n->tuning.transport_bytes_max = 20'000;
      unsigned me = n->number;
      n->on_frame = [this, me](unsigned from, FrameKind, const Bytes& b) { hear(me, from, b); };
    }
    w.start_all();
  }
  void run() {
    for (int step = 0; step < 400; ++step) {
      for (int i = 0; i < 10; ++i) say();
      disturb();
      w.time.run_for(static_cast<Nanos>(prng.below(30)) * kMillisecond);
      if (::testing::Test::HasFailure()) return;
    }
    w.net.heal_all();
    ASSERT_TRUE(w.wait_full(20 * kSecond));
    w.time.run_for(10 * kSecond);
    ASSERT_TRUE(w.full());
    auto before = ups();
    heard = 0;
    int said = 0;
    for (int i = 0; i < 200; ++i) said += say();
    w.time.run_for(20 * kSecond);
    EXPECT_EQ(heard, said);
    EXPECT_EQ(ups(), before) << "nothing flaps";
    for (auto& n : w.nodes) EXPECT_EQ(n->log.count(Level::kError), 0u);
  }

 private:
  int say() {
    unsigned from = 1 + static_cast<unsigned>(prng.below(4)), to = 1 + static_cast<unsigned>(prng.below(4));
    auto lane = static_cast<Lane>(prng.below(kLanes));
    if (from == to || !w[from].mesh) return 0;
    std::string text = std::to_string(w[from].info.boot) + " " + std::to_string(static_cast<int>(lane)) +
                       " " + std::to_string(++number) + " ";
    text.resize(text.size() + prng.below(prng.chance(1, 30) ? 100'000 : 800), 'x');
    bool sent = w[from].send(to, lane, text);
    if (prng.chance(1, 3)) w[from].mesh->flush();
    return sent;
  }
  void hear(unsigned me, unsigned from, const Bytes& b) {
    ++heard;
    unsigned long long boot, lane, n;
    std::string text(b.text().substr(0, 60));
    ASSERT_EQ(std::sscanf(text.c_str(), "%llu %llu %llu", &boot, &lane, &n), 3);
    EXPECT_EQ(boot, w[me].mesh->peer(node_id(from))->boot) << "a frame of an earlier life";
    auto& last = seen[{me, from, lane}];
    EXPECT_GT(n, last) << "order or twice";
    last = n;
  }
  void disturb() {
    unsigned a = 1 + static_cast<unsigned>(prng.below(4)), b = 1 + static_cast<unsigned>(prng.below(4));
    switch (prng.below(40)) {
      case 0:
      case 1: (void)w.net.reset_one(w[a].host); break;
      case 2:
        if (!w[a].mesh) break;
        prng.chance(1, 2) ? w[a].mesh->stop() : void();
        w[a].kill();
        break;
      case 3:
        if (a != b) {
          w.net.partition(testing::host_of(a), testing::host_of(b),
                          prng.chance(1, 2) ? env::testing::Cut::kBoth : env::testing::Cut::kFirstToSecond);
        }
        break;
      case 4:
      case 5: w.net.heal_all(); break;
      default: break;
    }
    for (auto& n : w.nodes) {
      if (!n->mesh && prng.chance(1, 10)) {
        ASSERT_TRUE(n->start());
      }
    }
  }
  std::vector<unsigned> ups() {
    std::vector<unsigned> all;
    for (auto& n : w.nodes) {
      for (auto& [peer, times] : n->ups) all.push_back(times);
    }
    return all;
  }

  MeshWorld w;
  Prng prng;
  unsigned long long number = 0;
  int heard = 0;
  std::map<std::tuple<unsigned, unsigned, unsigned long long>, unsigned long long> seen;
};

TEST(Mesh, OrderAndAtMostOnceInAStorm) {
  const char* many = std::getenv("WEIR_SEEDS");
  std::uint64_t seeds = many ? std::stoull(many) : 40;
  for (std::uint64_t seed = 1; seed <= seeds; ++seed) {
    Storm storm(seed);
    storm.run();
    ASSERT_FALSE(HasFailure()) << "seed " << seed;
  }
}

}  // namespace
}  // namespace weir::cluster
