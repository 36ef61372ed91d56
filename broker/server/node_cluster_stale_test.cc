// Nodes that know less than others: what they may still answer, and what they must not do.
#include "broker/server/cluster_world.h"
#include "broker/server/forward.h"
#include "broker/server/jetstream.h"

namespace weir::server {
namespace {

using testing::ClusterClient;
using testing::ClusterWorld;
using testing::text_at;

// Its configuration lost an account whose streams it holds: it goes on holding them, and nothing of them
// counts as another account's interest.
TEST(NodeCluster, ANodeThatDoesNotKnowAStreamsAccountHoldsItAndStops) {
  ClusterWorld w;
  ClusterClient c(w, 0), sys(w, 0);
  ASSERT_NO_FATAL_FAILURE(w.start_with_stream(c, 5));
  ASSERT_TRUE(sys.login("sys"));
  w.await_replicas(c, "S", 2);
  w[2].stop();
  auto configured = w[2].options.accounts;
  w[2].options.accounts = {configured[1]};
  w.start(2);
  ASSERT_TRUE(w.eventually([&] { return w.settled() && w.replicas_current(c, "S", 2); }));
  EXPECT_EQ(c.publish("S.a"), 6);
  w.run(kSecond);
  w[2].stop();
  w.start(2);
  ASSERT_TRUE(w.eventually([&] { return w.settled(); }));
  auto purged = sys.request("$JS.API.ACCOUNT.PURGE.A");
  EXPECT_EQ(text_at(purged, "initiated"), "true") << sys.error_of(purged);
  EXPECT_TRUE(w.eventually([&] { return c.error_of(c.request("$JS.API.STREAM.INFO.S")) == "10059"; }));
  w.run(kSecond);
  EXPECT_TRUE(w.settled());
}

// A publish that comes to who does not lead any more, or does not take the subject any more, is refused:
// handed on, it could arrive behind the same publisher's next message, or in a stream that does not list it.
TEST(NodeCluster, APublishForAnotherLeaderIsRefused) {
  ClusterWorld w;
  ClusterClient c(w, 0);
  ASSERT_NO_FATAL_FAILURE(w.start_with_stream(c, 1));
  w.await_replicas(c, "S", 2);
  std::size_t lead = w.leader_of(c, "S");
  ClusterClient told(w, lead);
  ASSERT_TRUE(told.login());
  told.sub("told", "told");
  w.run(100 * kMillisecond);
  auto hand_to = [&](std::size_t node, const std::string& subject) {
    JetStream& js = *w[node].node->jetstream();
    Account* account = js.find_account("A");
    GroupId group = js.meta().state().find("A", "S")->group;
    Forwarded f{ForwardKind::kPublish, 1, group, "A", subject, "told", 0, "x"};
    Bytes frame = Bytes::copy_of("x");
    f.body = frame.text();
    js.forwarded_publish(*account, f, frame);
    w[node].loop.post([] {});
    w.run(200 * kMillisecond);
    std::string answers;
    for (auto& m : told.take("told")) answers += m.body.empty() ? m.status() : m.body;
    return answers;
  };
  EXPECT_EQ(hand_to((lead + 1) % 3, "S.a"), "503");
  EXPECT_EQ(hand_to(lead, "T.a"), "503");
  EXPECT_EQ(hand_to(lead, "S.a"), "{\"stream\":\"S\",\"seq\":2}");
}

// What it has may be older than what its clients were told before it stopped.
TEST(NodeCluster, AReplicaThatHeardNobodySinceItsStartIsNotReadFrom) {
  ClusterWorld w;
  ClusterClient c(w, 0);
  ASSERT_NO_FATAL_FAILURE(w.start_with_stream(c, 3, "x", ",\"allow_direct\":true"));
  w.await_replicas(c, "S", 2);
  std::size_t lead = w.leader_of(c, "S"), cut = (lead + 1) % 3;
  auto read = [&](ClusterClient& from) {
    auto m = from.ask("$JS.API.DIRECT.GET.S", "{\"seq\":3}");
    return !m ? "silence" : m->body == "x" ? "x" : m->status();
  };
  {
    ClusterClient follower(w, cut);
    ASSERT_TRUE(follower.login());
    EXPECT_EQ(read(follower), "x");
  }
  w[cut].stop();
  for (std::size_t other = 0; other < 3; ++other) {
    if (other != cut) w.net.partition(w[cut].options.host, w[other].options.host);
  }
  w.start(cut);
  w.run(kSecond);
  ClusterClient follower(w, cut);
  ASSERT_TRUE(follower.login());
  EXPECT_EQ(read(follower), "503");
  w.net.heal_all();
  EXPECT_TRUE(w.eventually([&] { return read(follower) == "x"; }));
}

// What expires is the leader's business; one that is deposed must not try again and again.
TEST(NodeCluster, ADeposedLeaderIsIdle) {
  ClusterWorld w;
  ClusterClient c(w, 0);
  ASSERT_NO_FATAL_FAILURE(w.start_with_stream(c, 3, "x", ",\"max_age\":3000000000"));
  w.await_replicas(c, "S", 2);
  std::size_t lead = w.leader_of(c, "S");
  for (std::size_t other = 0; other < 3; ++other) {
    if (other != lead) w[other].kill();
  }
  w.run(2500 * kMillisecond);
  std::uint64_t before = w.time.turns();
  w.run(5 * kSecond);
  EXPECT_LT(w.time.turns() - before, 2000u) << "in five seconds without anything to do";
}

}  // namespace
}  // namespace weir::server
