// Three whole nodes on a seeded network: they form a cluster, and a stream is the same from each of them.
#include "broker/server/cluster_world.h"

namespace weir::server {
namespace {

using testing::at;
using testing::ClusterClient;
using testing::ClusterWorld;
using testing::size_at;
using testing::text_at;

TEST(NodeCluster, FormsAndShowsTheMetaGroup) {
  ClusterWorld w;
  w.start();
  std::string leader = w.meta_leader(0);
  for (std::size_t i = 0; i < 3; ++i) {
    auto jsz = w.page(i, "/jsz");
    EXPECT_EQ(text_at(jsz, "meta_cluster.name"), "C");
    EXPECT_EQ(text_at(jsz, "meta_cluster.leader"), leader);
    EXPECT_EQ(text_at(jsz, "meta_cluster.peer").size(), 8u);
    EXPECT_EQ(text_at(jsz, "meta_cluster.cluster_size"), "3");
    EXPECT_EQ(text_at(jsz, "meta_cluster.quorum_needed"), "2");
    EXPECT_EQ(size_at(jsz, "meta_cluster.replicas"), 2u);
    EXPECT_EQ(w.status(i, "/jsz", "leader-only=1"), w.index(leader) == i ? 200 : 400);
  }
  auto meta = w.page(w.index(leader), "/jsz");
  for (int i = 0; i < 2; ++i) {
    std::string p = "meta_cluster.replicas." + std::to_string(i);
    EXPECT_EQ(text_at(meta, p + ".current"), "true");
    EXPECT_NE(text_at(meta, p + ".name"), leader);
    EXPECT_EQ(text_at(meta, p + ".offline"), "");
  }
  auto raftz = w.page(w.index(leader), "/raftz");
  EXPECT_EQ(text_at(*at(raftz, "$SYS")->find("_meta_"), "state"), "LEADER");
}

TEST(NodeCluster, TheFirstRequestMayComeBeforeEveryNodeIsKnown) {
  for (std::uint64_t seed = 1; seed <= 10; ++seed) {
    ClusterWorld w(3, seed);
    for (std::size_t i = 0; i < 3; ++i) w.start(i);
    ASSERT_TRUE(w.until([&] { return !w.meta_leader(0).empty(); }));
    ClusterClient c(w, 0);
    ASSERT_TRUE(c.login());
    EXPECT_EQ(c.create_stream("S", 3), "") << "seed " << seed;
    EXPECT_EQ(c.create_stream("F", 5), "10005") << "no node is about to join";
  }
}

// A link may outlive a store that is gone by some seconds; two nodes with one name stay.
TEST(NodeCluster, TwoNodesWithOneNameAreComplainedOf) {
  ClusterWorld w(4);
  w[3].options.server_name = "n1";
  for (std::size_t i = 0; i < 3; ++i) w.start(i);
  ASSERT_TRUE(w.eventually([&] { return w.status(0, "/healthz") == 200; }));
  w.start(3);
  auto complaints = [&] {
    std::size_t n = 0;
    for (auto& node : w.nodes) {
      for (const auto& line : node->log.lines())
        n += line.text == "node n1 cannot register: another node of that name is connected";
    }
    return n;
  };
  w.run(10 * kSecond);
  EXPECT_EQ(complaints(), 0u);
  w.run(20 * kSecond);
  EXPECT_EQ(complaints(), 1u);
  w.run(kMinute);
  EXPECT_EQ(complaints(), 2u);
  EXPECT_EQ(w.status(3, "/healthz"), 503);
  EXPECT_EQ(w.status(0, "/healthz"), 200);
}

TEST(NodeCluster, AStreamIsTheSameFromEveryNode) {
  ClusterWorld w;
  w.start();
  std::vector<std::unique_ptr<ClusterClient>> c;
  for (std::size_t i = 0; i < 3; ++i) {
    c.push_back(std::make_unique<ClusterClient>(w, i));
    ASSERT_TRUE(c[i]->login());
  }
  EXPECT_EQ(c[0]->create_stream("S", 3), "");
  EXPECT_EQ(c[1]->create_stream("R", 1), "");
  EXPECT_EQ(c[2]->create_consumer("S", "k"), "");
  for (int i = 0; i < 9; ++i) EXPECT_EQ(c[static_cast<std::size_t>(i % 3)]->publish("S.a"), i + 1);
  std::string leader;
  for (auto& client : c) {
    auto info = client->request("$JS.API.STREAM.INFO.S");
    EXPECT_EQ(text_at(info, "state.messages"), "9");
    EXPECT_EQ(size_at(info, "cluster.replicas"), 2u);
    EXPECT_EQ(text_at(info, "cluster.raft_group").substr(0, 6), "S-R3F-");
    leader = text_at(info, "cluster.leader");
    auto alone = client->request("$JS.API.STREAM.INFO.R");
    EXPECT_NE(text_at(alone, "cluster.leader"), "");
    EXPECT_EQ(text_at(alone, "cluster.raft_group"), "");
    auto consumer = client->request("$JS.API.CONSUMER.INFO.S.k");
    EXPECT_EQ(text_at(consumer, "cluster.leader"), leader);
    EXPECT_EQ(size_at(consumer, "cluster.replicas"), 2u);
    EXPECT_EQ(text_at(consumer, "num_pending"), "9");
    auto account = client->request("$JS.API.INFO");
    EXPECT_EQ(text_at(account, "streams"), "2");
    EXPECT_EQ(text_at(account, "consumers"), "1");
  }
  w.await_replicas(*c[0], "S", 2);
  // Storage counts each replica.
  std::uint64_t bytes = parse_u64(text_at(c[0]->request("$JS.API.STREAM.INFO.S"), "state.bytes")).value_or(0);
  EXPECT_EQ(text_at(c[1]->request("$JS.API.INFO"), "storage"), std::to_string(3 * bytes));
  std::int64_t led = 0;
  for (std::size_t i = 0; i < 3; ++i) {
    auto jsz = w.page(i, "/jsz", "streams=1&consumers=1&raft=1");
    led += static_cast<std::int64_t>(parse_u64(text_at(jsz, "streams_leader")).value_or(0));
    EXPECT_GE(size_at(jsz, "account_details.0.stream_detail"), 1u);
    EXPECT_EQ(w.status(i, "/healthz", "account=A&stream=S&consumer=k"), 200);
    auto raftz = w.page(i, "/raftz", "acc=A");
    EXPECT_NE(at(raftz, "A"), nullptr);
  }
  EXPECT_EQ(led, 2);
  auto only = w.page(w.index(leader), "/jsz", "streams=1&stream-leader-only=1");
  EXPECT_EQ(text_at(only, "account_details.0.stream_detail.0.cluster.leader"), leader);
}

TEST(NodeCluster, ANodeWithoutJetStreamHandsOn) {
  ClusterWorld w(4);
  w[3].options.jetstream.enabled = false;
  for (std::size_t i = 0; i < 4; ++i) w.start(i);
  ClusterClient c(w, 3), near(w, 0);
  ASSERT_TRUE(c.login());
  ASSERT_TRUE(near.login());
  ASSERT_TRUE(w.eventually([&] {
    auto m = c.ask("$JS.API.STREAM.NAMES");
    return m && !m->body.empty();
  })) << "nobody answers requests";
  ASSERT_TRUE(w.eventually([&] { return c.create_stream("S", 3).empty(); }));
  EXPECT_EQ(near.create_stream("R", 1), "");
  EXPECT_EQ(c.create_consumer("S", "k"), "");
  w.run(kSecond);
  for (int i = 0; i < 20; ++i) {
    EXPECT_EQ(c.publish("S.a"), i + 1);
    EXPECT_EQ(c.publish("R.a"), i + 1);
  }
  EXPECT_EQ(near.publish("S.a"), 21);  // once, though the members tell that node of the subject
  EXPECT_EQ(text_at(c.request("$JS.API.INFO"), "streams"), "2");
  c.sub("box", "pull");
  c.pub("$JS.API.CONSUMER.MSG.NEXT.S.k", "{\"batch\":30,\"no_wait\":true}", "box");
  w.run(kSecond);
  std::size_t acked = 0;
  for (auto& m : c.take("pull")) acked += m.reply.starts_with("$JS.ACK.") && c.ask(m.reply, "+ACK");
  EXPECT_EQ(acked, 21u);
  EXPECT_EQ(text_at(near.request("$JS.API.CONSUMER.INFO.S.k"), "ack_floor.stream_seq"), "21");
  // A plain publish, and interest of the members' own clients.
  near.sub("S.>", "watch");
  w.run(kSecond);
  c.pub("S.b", "once");
  w.run(kSecond);
  EXPECT_EQ(near.take("watch").size(), 1u);
  EXPECT_EQ(text_at(near.request("$JS.API.STREAM.INFO.S"), "state.messages"), "22");
  EXPECT_EQ(c.ask("nobody.listens", "")->status(), "503");
  // What is deleted is not listened for any more.
  EXPECT_EQ(text_at(c.request("$JS.API.STREAM.DELETE.R"), "success"), "true");
  w.run(kSecond);
  EXPECT_EQ(c.ask("R.a", "")->status(), "503");
  EXPECT_EQ(w.status(3, "/healthz"), 200);
  // Any member may go.
  std::size_t leader = w.leader_of(c, "S");
  w[leader].kill();
  EXPECT_TRUE(w.eventually([&] { return c.publish("S.c") > 0; }));
}

// The answers to flow control of a client on another node reach the consumer.
TEST(NodeCluster, FlowControlWorksFromEveryNode) {
  ClusterWorld w;
  ClusterClient c(w, 0);
  ASSERT_NO_FATAL_FAILURE(w.start_with_stream(c));
  w.await_replicas(c, "S", 2);
  const std::string body(100'000, 'x');
  for (int i = 1; i <= 60; ++i) ASSERT_EQ(c.publish("S.a", body), i);  // more than the first windows
  for (std::size_t node = 0; node < 3; ++node) {
    ClusterClient reader(w, node);
    ASSERT_TRUE(reader.login());
    std::string name = "f" + std::to_string(node);
    reader.sub("box." + name, "box");
    w.run(kSecond);
    EXPECT_EQ(reader.create_consumer(
                  "S", name,
                  ",\"deliver_subject\":\"box." + name +
                      "\",\"flow_control\":true,\"idle_heartbeat\":1000000000,\"ack_policy\":\"none\""),
              "");
    std::size_t got = 0;
    bool all = w.eventually([&] {
      for (auto& m : reader.take("box")) {
        if (m.reply.starts_with("$JS.FC.")) reader.pub(m.reply, "");
        got += m.body.size() == body.size();
      }
      return got == 60;
    });
    EXPECT_TRUE(all) << got << " of 60 through node " << node;
  }
}

}  // namespace
}  // namespace weir::server
