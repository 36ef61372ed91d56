// Replicas that were away or whose disks are damaged: what they are sent, and what they say meanwhile.
#include <algorithm>

#include "broker/server/cluster_world.h"

namespace weir::server {
namespace {

using testing::ClusterClient;
using testing::ClusterWorld;
using testing::text_at;

/// A follower of stream S that is not the node of the client, n1.
std::size_t follower_of(ClusterWorld& w, ClusterClient& c) {
  return w.leader_of(c, "S") == 2 ? 1 : 2;
}

// A replica that was away for longer than the log reaches back is sent what it does not have, and not again
// what its disk has.
TEST(NodeCluster, AReplicaThatWasAwayIsSentWhatItMissed) {
  ClusterWorld w;
  for (auto& n : w.nodes) n->tuning.tail_bytes_max = 16 * 1024, n->tuning.state_part_bytes = 50;
  ClusterClient c(w, 0);
  ASSERT_NO_FATAL_FAILURE(w.start_with_stream(c));
  const std::string body(400, 'x');
  auto publish = [&](int first, int last) {
    for (int i = first; i <= last; ++i) {
      c.send("PUB S.k" + std::to_string(i % 7) + " " + std::to_string(body.size()) + "\r\n" + body + "\r\n");
      if (i % 20 == 0) w.run(20 * kMillisecond);
    }
  };
  publish(1, 600);
  ASSERT_TRUE(w.eventually([&] { return w.replicas_current(c, "S", 2); }));
  std::size_t away = follower_of(w, c);
  std::vector<std::string> files = w[away].disk.files();
  EXPECT_TRUE(std::any_of(files.begin(), files.end(), [](const auto& f) { return f.ends_with(".seg"); }))
      << "a follower keeps everything in memory";
  w[away].kill();
  w.run(5 * kSecond);  // nobody waits for it any more
  publish(601, 800);
  EXPECT_EQ(text_at(c.request("$JS.API.STREAM.MSG.DELETE.S", "{\"seq\":5}"), "success"), "true");
  w[away].log.clear();
  w.start(away);
  w.await_replicas(c, "S", 2);
  std::uint64_t sent = 0, times = 0, parts = 0;
  const std::string in_parts = "the rest in parts: ";
  for (const auto& line : w[away].log.lines()) {
    std::size_t from = line.text.find("; "), to = line.text.find(" of 799 messages were sent");
    if (to == std::string::npos) continue;
    ++times;
    sent += parse_u64(std::string_view(line.text).substr(from + 2, to - from - 2)).value_or(799);
    std::size_t at = line.text.find(in_parts);
    if (at == std::string::npos) continue;
    parts += parse_u64(std::string_view(line.text).substr(at + in_parts.size())).value_or(0);
  }
  EXPECT_EQ(times, 1u) << "0: the log reached back far enough";
  EXPECT_GE(sent, 200u);
  EXPECT_LT(sent, 350u);
  EXPECT_GT(parts, 3u) << "a cut of more than one page";
}

// Where a damaged copy and a whole one do not fit, the damaged one has to go.
TEST(NodeCluster, AReplicaThatBeginsAnewMakesRoom) {
  ClusterWorld w;
  for (auto& n : w.nodes) n->tuning.tail_bytes_max = 256 * 1024;
  ClusterClient c(w, 0);
  ASSERT_NO_FATAL_FAILURE(w.start_with_stream(c, 120, std::string(50'000, 'x')));
  w.await_replicas(c, "S", 2);
  w.run(5 * kSecond);
  std::size_t hurt = follower_of(w, c);
  w[hurt].kill();
  std::string segment;
  for (const auto& f : w[hurt].disk.files()) {
    if (f.ends_with(".seg")) segment = f;
  }
  ASSERT_FALSE(segment.empty());
  std::string bytes = *w[hurt].disk.content(segment);
  w[hurt].disk.put(segment, bytes.substr(0, bytes.size() / 2));
  w[hurt].disk.set_capacity(w[hurt].disk.used_bytes() + 3'000'000);  // of 6,000,000
  w.start(hurt);
  w.run(5 * kSecond);
  ASSERT_TRUE(w.eventually([&] { return w.replicas_current(c, "S", 2); }, 60 * kSecond));
  EXPECT_TRUE(w[hurt].log.contains("the unusable one is removed"));
}

// What cannot be read is no end of a stream.
TEST(NodeCluster, ABatchOfADamagedReplicaDoesNotEndEarly) {
  ClusterWorld w;
  for (auto& n : w.nodes) n->tuning.tail_bytes_max = 64 * 1024;
  ClusterClient c(w, 0);
  const std::string body(5'000, 'x');
  ASSERT_NO_FATAL_FAILURE(w.start_with_stream(c, 60, body, ",\"allow_direct\":true"));
  w.await_replicas(c, "S", 2);
  w.run(5 * kSecond);
  std::size_t hurt = follower_of(w, c);
  w[hurt].kill();
  std::size_t rotten = 0;
  for (const auto& f : w[hurt].disk.files()) {
    if (f.ends_with(".seg")) rotten += w[hurt].disk.flip_bit(f, 20'000, 3);
  }
  ASSERT_GT(rotten, 0u);
  w.start(hurt);
  w.run(3 * kSecond);
  ClusterClient near(w, hurt);
  ASSERT_TRUE(near.login());
  near.sub("box", "get");
  near.pub("$JS.API.DIRECT.GET.S", "{\"seq\":1,\"batch\":100}", "box");
  w.run(kSecond);
  std::size_t got = 0;
  std::string end;
  for (auto& m : near.take("get")) {
    got += m.body.size() == body.size();
    if (!m.status().empty()) end = m.status();
  }
  EXPECT_LT(got, 60u) << "the damage was not met";
  EXPECT_EQ(end, "500") << got << " messages";
}

}  // namespace
}  // namespace weir::server
