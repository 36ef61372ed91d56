// What operators see of a cluster: health, lag, advisories, $NRG, pings; limits of accounts over all nodes.
#include <set>

#include "broker/server/cluster_world.h"

namespace weir::server {
namespace {

using testing::ClusterClient;
using testing::ClusterWorld;
using testing::size_at;
using testing::text_at;

TEST(NodeCluster, HealthTellsLivenessFromReadiness) {
  ClusterWorld w;
  w.start(0);
  w.run(3 * kSecond);
  // One of three: no meta leader. The process is well nevertheless, or nobody would start the second one.
  for (const char* probe : {"js-enabled-only=true", "js-server-only=true", "js-enabled=1"}) {
    EXPECT_EQ(w.status(0, "/healthz", probe), 200) << probe;
  }
  EXPECT_EQ(w.status(0, "/healthz", "js-meta-only=true"), 503);
  EXPECT_EQ(w.status(0, "/healthz"), 503);
  auto h = w.page(0, "/healthz", "details=true");
  EXPECT_EQ(text_at(h, "errors.0.type"), "JETSTREAM");
  EXPECT_EQ(text_at(h, "errors.0.error"), "JetStream has not established contact with a meta leader");
  w.start(1);
  w.start(2);
  ASSERT_TRUE(w.until([&] { return w.settled(); }));
  ASSERT_TRUE(w.eventually([&] { return w.status(0, "/healthz") == 200; }));
  ClusterClient c(w, 0);
  ASSERT_TRUE(c.login());
  EXPECT_EQ(c.create_stream("S", 3), "");
  w.await_replicas(c, "S", 2);
  EXPECT_EQ(w.status(0, "/healthz", "account=A&stream=none"), 404);
  EXPECT_EQ(w.status(0, "/healthz", "account=A&stream=S&consumer=none"), 404);
  EXPECT_EQ(w.status(0, "/healthz", "account=none"), 404);
  EXPECT_EQ(w.status(0, "/healthz", "stream=S"), 400);
  w[1].kill();
  w[2].kill();
  w.run(8 * kSecond);
  EXPECT_EQ(w.status(0, "/healthz", "js-server-only=true"), 200);
  EXPECT_EQ(w.status(0, "/healthz"), 503);
}

TEST(NodeCluster, SaysWhetherANodeMayBeStopped) {
  ClusterWorld w;
  ClusterClient c(w, 0), sys(w, 0);
  ASSERT_NO_FATAL_FAILURE(w.start_with_stream(c));
  ASSERT_TRUE(sys.login("sys"));
  EXPECT_EQ(c.create_stream("R", 1), "");
  for (int i = 0; i < 5; ++i) EXPECT_EQ(c.publish("S.a"), i + 1);
  w.await_replicas(c, "S", 2);
  auto ask = [&](std::size_t node) {
    MonitorReply got;
    got.status = 0;
    w[node].node->monitor("/healthz", "safe-to-stop=true&details=1",
                          [&](MonitorReply r) { got = std::move(r); });
    EXPECT_TRUE(w.until([&] { return got.status != 0; }, 5 * kSecond));
    return got;
  };
  for (std::size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(ask(i).status, 200) << ask(i).body;
    auto r = sys.request("$SYS.REQ.SERVER." + w[i].node->id() + ".SAFETOSTOP");
    EXPECT_EQ(text_at(r, "data.status"), "ok");
  }
  w[2].kill();
  w.run(3 * kSecond);
  for (std::size_t i = 0; i < 2; ++i) {
    auto r = ask(i);
    EXPECT_EQ(r.status, 503);
    EXPECT_NE(r.body.find("stream 'A > S' would be without a majority"), std::string::npos) << r.body;
    EXPECT_NE(r.body.find("meta group would be without"), std::string::npos) << r.body;
    EXPECT_EQ(r.body.find("A > R"), std::string::npos) << "waiting does not make one replica two";
  }
  w.start(2);
  EXPECT_TRUE(w.eventually([&] { return ask(0).status == 200 && ask(1).status == 200; }));
  // Two that want to go at the same time: the second one waits for the first.
  w[1].node->lame_duck([] {});
  w.run(kSecond);
  EXPECT_EQ(ask(0).status, 503);
  EXPECT_EQ(ask(1).status, 200);
}

TEST(NodeCluster, EntriesOnTheirWayDoNotMakeAReplicaOutdated) {
  ClusterWorld w;
  ClusterClient c(w, 0);
  ASSERT_NO_FATAL_FAILURE(w.start_with_stream(c));
  w.await_replicas(c, "S", 2);
  int behind = 0;
  for (int i = 0; i < 50; ++i) {
    EXPECT_EQ(c.publish("S.a"), i + 1);
    auto info = c.request("$JS.API.STREAM.INFO.S");
    for (int k = 0; k < 2; ++k) {
      std::string p = "cluster.replicas." + std::to_string(k);
      EXPECT_EQ(text_at(info, p + ".current"), "true");
      behind += !text_at(info, p + ".lag").empty();
    }
  }
  EXPECT_GT(behind, 0);  // or nothing was shown
  // Who is not heard of is not current, however little it lacks.
  std::size_t dead = (w.leader_of(c, "S") + 1) % 3;
  ClusterClient other(w, 3 - dead - w.leader_of(c, "S"));  // the third one
  ASSERT_TRUE(other.login());
  w[dead].kill();
  EXPECT_TRUE(w.eventually([&] { return !w.replicas_current(other, "S", 2); }));
}

TEST(NodeCluster, LostQuorumIsToldOnce) {
  ClusterWorld w;
  ClusterClient c(w, 0);
  ASSERT_NO_FATAL_FAILURE(w.start_with_stream(c));
  EXPECT_EQ(c.create_consumer("S", "k"), "");
  c.sub("$JS.EVENT.ADVISORY.*.QUORUM_LOST.>", "lost");
  w.await_replicas(c, "S", 2);
  w[1].kill();
  w.run(12 * kSecond);
  EXPECT_EQ(c.take("lost").size(), 0u);
  w[2].kill();
  w.run(60 * kSecond);
  auto lost = c.take("lost");
  ASSERT_EQ(lost.size(), 2u);
  EXPECT_EQ(lost[0].subject, "$JS.EVENT.ADVISORY.STREAM.QUORUM_LOST.S");
  EXPECT_EQ(size_at(lost[0].json(), "replicas"), 2u);
  EXPECT_EQ(lost[1].subject, "$JS.EVENT.ADVISORY.CONSUMER.QUORUM_LOST.S.k");
}

TEST(NodeCluster, LostQuorumIsToldWhileALinkComesAndGoes) {
  ClusterWorld w(4);
  w.start();
  std::set<std::string> holders;
  {
    ClusterClient c(w, 0);
    ASSERT_TRUE(c.login());
    ASSERT_EQ(c.create_stream("S", 3), "");
    w.await_replicas(c, "S", 2);
    auto info = c.request("$JS.API.STREAM.INFO.S");
    holders = {text_at(info, "cluster.leader"), text_at(info, "cluster.replicas.0.name"),
               text_at(info, "cluster.replicas.1.name")};
  }
  std::vector<std::size_t> in, out;
  for (std::size_t i = 0; i < 4; ++i) (holders.contains("n" + std::to_string(i + 1)) ? in : out).push_back(i);
  ASSERT_EQ(in.size(), 3u);
  ClusterClient c(w, in[0]);
  ASSERT_TRUE(c.login());
  c.sub("$JS.EVENT.ADVISORY.*.QUORUM_LOST.>", "lost");
  w.run(kSecond);
  w[in[1]].kill();
  w[in[2]].kill();
  for (int i = 0; i < 4; ++i) {
    w[out[0]].kill();
    w.run(3 * kSecond);
    w.start(out[0]);
    w.run(4 * kSecond);
  }
  EXPECT_EQ(c.take("lost").size(), 1u);
}

TEST(NodeCluster, AdvisoriesComeOncePerChange) {
  ClusterWorld w;
  w.start();
  ClusterClient c(w, 0), listener(w, 1), sys(w, 2);
  ASSERT_TRUE(c.login());
  ASSERT_TRUE(listener.login());
  ASSERT_TRUE(sys.login("sys"));
  listener.sub("$JS.EVENT.ADVISORY.>", "e");
  sys.sub("$JS.EVENT.ADVISORY.>", "e");
  w.run(kSecond);
  auto told = [&](ClusterClient& by) {
    std::map<std::string, int> subjects;
    for (const auto& m : by.take("e"))
      ++subjects[m.subject.substr(std::string("$JS.EVENT.ADVISORY.").size())];
    return subjects;
  };
  using Told = std::map<std::string, int>;
  for (int i = 0; i < 3; ++i) EXPECT_EQ(c.create_stream("S" + std::to_string(i), 1 + 2 * (i % 2)), "");
  w.run(kSecond);
  EXPECT_EQ(told(listener), (Told{{"STREAM.CREATED.S0", 1},
                                  {"STREAM.CREATED.S1", 1},
                                  {"STREAM.CREATED.S2", 1},
                                  {"STREAM.LEADER_ELECTED.S1", 1}}));
  EXPECT_EQ(told(sys), (Told{{"STREAM.LEADER_ELECTED.S1", 1}}));
  EXPECT_EQ(c.create_consumer("S1", "k"), "");
  (void)c.request("$JS.API.STREAM.UPDATE.S0", "{\"name\":\"S0\",\"subjects\":[\"S0.>\"],\"max_msgs\":9}");
  w.run(kSecond);
  EXPECT_EQ(told(listener), (Told{{"CONSUMER.CREATED.S1.k", 1}, {"STREAM.UPDATED.S0", 1}}));
  (void)c.request("$JS.API.STREAM.LEADER.STEPDOWN.S1");
  w.run(3 * kSecond);
  EXPECT_EQ(told(listener), (Told{{"STREAM.LEADER_ELECTED.S1", 1}, {"CONSUMER.LEADER_ELECTED.S1.k", 1}}));
  (void)sys.request("$JS.API.META.LEADER.STEPDOWN");
  w.run(3 * kSecond);
  EXPECT_EQ(told(sys)["DOMAIN.LEADER_ELECTED"], 1);
  (void)c.request("$JS.API.STREAM.DELETE.S2");
  w.run(kSecond);
  EXPECT_EQ(told(listener), (Told{{"STREAM.DELETED.S2", 1}}));
}

TEST(NodeCluster, RaftMayBeWatched) {
  ClusterWorld w;
  ClusterClient c(w, 0), sys(w, 1);
  ASSERT_NO_FATAL_FAILURE(w.start_with_stream(c));
  ASSERT_TRUE(sys.login("sys"));
  w.await_replicas(c, "S", 2);
  sys.sub("$NRG.>", "raft");
  w.run(kSecond);
  (void)sys.take("raft");
  std::string name = text_at(c.request("$JS.API.STREAM.INFO.S"), "cluster.raft_group");
  for (std::size_t i = 0; i < 3; ++i) {
    ClusterClient each(w, i);
    ASSERT_TRUE(each.login());
    EXPECT_GT(each.publish("S.a"), 0);
  }
  EXPECT_EQ(c.create_stream("T", 1), "");
  w.run(kSecond);
  std::map<std::string, int> seen;
  for (const auto& m : sys.take("raft")) {
    ++seen[m.subject];
    EXPECT_NE(text_at(m.json(), "from"), text_at(m.json(), "to"));
  }
  EXPECT_GE(seen["$NRG.AE." + name], 6);
  EXPECT_GE(seen["$NRG.R." + name], 6);
  EXPECT_GE(seen["$NRG.AE._meta_"], 2);
  EXPECT_GE(seen["$NRG.R._meta_"], 2);
  EXPECT_FALSE(seen.contains("$NRG.AE.1"));
  EXPECT_EQ(seen["$NRG.P." + name], 2);  // the leader's own clients need nobody to hand on
  c.sub("$NRG.>", "raft");               // not of the system account
  EXPECT_GT(c.publish("S.a"), 0);
  w.run(kSecond);
  EXPECT_TRUE(c.take("raft").empty());
}

TEST(NodeCluster, EveryNodeAnswersPings) {
  ClusterWorld w;
  w.start();
  ClusterClient sys(w, 0);
  ASSERT_TRUE(sys.login("sys"));
  w.run(kSecond);
  for (const char* verb : {"", ".STATSZ", ".VARZ", ".JSZ", ".HEALTHZ", ".RAFTZ", ".ROUTEZ", ".CONNZ",
                           ".SUBSZ", ".ACCOUNTZ", ".GATEWAYZ", ".LEAFZ", ".IDZ", ".SAFETOSTOP"}) {
    std::string inbox = sys.new_inbox();
    sys.pub("$SYS.REQ.SERVER.PING" + std::string(verb), "", inbox);
    w.run(kSecond);
    std::set<std::string> names;
    for (const auto& m : sys.take()) {
      auto v = m.json();
      names.insert(text_at(v, "server.name") + text_at(v, "name"));
    }
    EXPECT_EQ(names, (std::set<std::string>{"n1", "n2", "n3"})) << verb;
  }
  std::string inbox = sys.new_inbox();
  sys.pub("$SYS.REQ.SERVER.PING.JSZ", "{\"leader_only\":true}", inbox);
  w.run(kSecond);
  auto got = sys.take();
  ASSERT_EQ(got.size(), 1u);
  EXPECT_EQ(text_at(got[0].json(), "server.name"), w.meta_leader(0));
}

TEST(NodeCluster, AccountLimitsHoldOverTheCluster) {
  ClusterWorld w;
  for (auto& n : w.nodes) {
    auto& js = *n->options.accounts[0].jetstream;
    js.max_store = 30'000;
    js.max_consumers = 2;
  }
  w.start();
  ClusterClient c(w, 0);
  ASSERT_TRUE(c.login());
  for (int i = 0; i < 3; ++i) {
    std::string name = "S" + std::to_string(i);
    EXPECT_EQ(c.create_stream(name, 1, ",\"placement\":{\"tags\":[\"rack:" + std::to_string(i + 1) + "\"]}"),
              "");
  }
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(c.create_consumer("S" + std::to_string(i), "k"), "");
    w.run(2 * kSecond);
  }
  EXPECT_EQ(c.create_consumer("S2", "k"), "10026");
  // Each stream alone is far from the limit.
  std::string body(1000, 'x');
  int stored = 0;
  std::int64_t last = 0;
  for (int i = 0; i < 60 && last >= 0; ++i) {
    last = c.publish("S" + std::to_string(i % 3) + ".a", body);
    if (last > 0) ++stored;
    w.run(500 * kMillisecond);
  }
  EXPECT_EQ(last, -10002);
  EXPECT_GT(stored, 24);
  EXPECT_LT(stored, 34);
}

}  // namespace
}  // namespace weir::server
