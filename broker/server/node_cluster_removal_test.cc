// Nodes that leave a cluster, and peers that leave a stream: what they held goes to others.
#include "broker/server/cluster_world.h"

namespace weir::server {
namespace {

using testing::ClusterClient;
using testing::ClusterWorld;
using testing::size_at;
using testing::text_at;

TEST(NodeCluster, ANodeIsRemovedAndItsStreamsFindOthers) {
  ClusterWorld w(4);
  w.start();
  ClusterClient c(w, 0);
  ASSERT_TRUE(c.login());
  for (int i = 0; i < 4; ++i) EXPECT_EQ(c.create_stream("S" + std::to_string(i), 3), "");
  w.await_replicas(c, "S0", 2);
  // Any node but the client's, whatever it leads.
  ClusterClient sys(w, 0);
  ASSERT_TRUE(sys.login("sys"));
  sys.sub("$JS.EVENT.ADVISORY.SERVER.>", "removed");
  EXPECT_EQ(sys.error_of(sys.request("$JS.API.SERVER.REMOVE", "{\"peer\":\"n9\"}")), "10044");
  w[3].kill();
  auto r = sys.request("$JS.API.SERVER.REMOVE", "{\"peer\":\"n4\"}");
  EXPECT_EQ(text_at(r, "success"), "true") << sys.error_of(r);
  EXPECT_TRUE(w.eventually([&] {
    for (int i = 0; i < 4; ++i) {
      auto info = c.request("$JS.API.STREAM.INFO.S" + std::to_string(i));
      if (size_at(info, "cluster.replicas") != 2) return false;
      for (int k = 0; k < 2; ++k) {
        std::string p = "cluster.replicas." + std::to_string(k);
        if (text_at(info, p + ".name") == "n4" || text_at(info, p + ".current") != "true") return false;
      }
    }
    return true;
  }));
  auto jsz = w.page(w.index(w.meta_leader(0)), "/jsz");
  EXPECT_EQ(text_at(jsz, "meta_cluster.cluster_size"), "3");
  auto told = sys.take("removed");
  ASSERT_EQ(told.size(), 1u);
  EXPECT_EQ(text_at(told[0].json(), "server"), "n4");
  // A start after the removal is a wish to come back.
  w.start(3);
  EXPECT_TRUE(w.eventually([&] { return w.settled() && w.status(3, "/healthz") == 200; }));
  EXPECT_EQ(text_at(w.page(w.index(w.meta_leader(0)), "/jsz"), "meta_cluster.cluster_size"), "4");
}

// What a replica gave up stays given up, also when a start finds a meta state from before that.
TEST(NodeCluster, ARunningNodeIsRemovedAndStartedAgain) {
  ClusterWorld w;
  ClusterClient c(w, 0), sys(w, 0);
  ASSERT_NO_FATAL_FAILURE(w.start_with_stream(c));
  ASSERT_TRUE(sys.login("sys"));
  EXPECT_EQ(c.create_stream("R", 1, ",\"placement\":{\"tags\":[\"rack:3\"]}"), "");
  EXPECT_EQ(text_at(c.request("$JS.API.STREAM.UPDATE.R", "{\"name\":\"R\",\"subjects\":[\"R.>\"]}"), "error"),
            "");
  for (int i = 0; i < 10; ++i) EXPECT_EQ(c.publish("R.a"), i + 1);
  for (int i = 0; i < 10; ++i) EXPECT_EQ(c.publish("S.a"), i + 1);
  w.await_replicas(c, "S", 2);
  auto leads = [&](const std::string& stream) {
    return text_at(c.request("$JS.API.STREAM.INFO." + stream), "cluster.leader");
  };
  EXPECT_EQ(leads("R"), "n3");
  auto r = sys.request("$JS.API.SERVER.REMOVE", "{\"peer\":\"n3\"}");
  EXPECT_EQ(text_at(r, "success"), "true") << sys.error_of(r);
  EXPECT_TRUE(w.eventually([&] { return leads("R") != "n3" && leads("R") != "" && leads("S") != "n3"; }));
  EXPECT_EQ(c.publish("R.a"), 11) << "moved with everything in it";
  w.run(kSecond);
  w[2].stop();
  w.start(2);
  ClusterClient c3(w, 2);
  ASSERT_TRUE(c3.login());
  // It may not know the stream yet; it must not begin it anew.
  std::int64_t next = 12;
  EXPECT_TRUE(w.eventually([&] {
    std::int64_t seq = c3.publish("R.a");
    EXPECT_TRUE(seq == 0 || seq == next) << seq << " instead of " << next;
    next += seq != 0;
    return next == 30;
  }));
  EXPECT_TRUE(w.eventually([&] { return w.settled() && w.status(2, "/healthz") == 200; }));
  w.await_replicas(c, "S", 2);
  EXPECT_EQ(c.publish("S.a"), 11);
}

TEST(NodeCluster, ARunningNodeThatWasRemovedSaysSoAndHandsRequestsOn) {
  ClusterWorld w(4);
  ClusterClient c(w, 0), c4(w, 3), sys(w, 0);
  ASSERT_NO_FATAL_FAILURE(w.start_with_stream(c));
  ASSERT_TRUE(c4.login());
  ASSERT_TRUE(sys.login("sys"));
  auto r = sys.request("$JS.API.SERVER.REMOVE", "{\"peer\":\"n4\"}");
  EXPECT_EQ(text_at(r, "success"), "true") << sys.error_of(r);
  w.run(15 * kSecond);
  const char* what = "it was removed from the cluster; it joins again when it is restarted";
  EXPECT_TRUE(w[3].log.contains(what));
  EXPECT_EQ(w.status(3, "/healthz"), 503);
  EXPECT_EQ(text_at(w.page(3, "/healthz"), "error"),
            std::string("JetStream takes no part in the cluster: ") + what);
  // What others changed since is seen, and changes are made.
  EXPECT_EQ(c.create_stream("T", 3), "");
  EXPECT_EQ(c.error_of(c4.request("$JS.API.STREAM.INFO.T")), "");
  EXPECT_EQ(c4.create_stream("U", 1), "");
  EXPECT_EQ(c4.publish("S.a"), 1);
  EXPECT_EQ(c.error_of(c4.request("$JS.API.STREAM.DELETE.T")), "");
  auto gone = [&] { return c.error_of(c.request("$JS.API.STREAM.INFO.T")) == "10059"; };
  EXPECT_TRUE(w.eventually(gone, kSecond)) << "each node hears of it in its time";
  w[3].stop();
  w.start(3);
  EXPECT_TRUE(w.eventually([&] { return w.settled() && w.status(3, "/healthz") == 200; }));
}

TEST(NodeCluster, ANodeThatWasCutOffWhileItWasRemovedHearsOfIt) {
  ClusterWorld w(4);
  ClusterClient c(w, 0), sys(w, 0);
  ASSERT_NO_FATAL_FAILURE(w.start_with_stream(c));
  ASSERT_TRUE(sys.login("sys"));
  for (std::size_t i = 0; i < 3; ++i) w.net.partition(w[i].host.address(), w[3].host.address());
  w.run(5 * kSecond);
  auto r = sys.request("$JS.API.SERVER.REMOVE", "{\"peer\":\"n4\"}");
  EXPECT_EQ(text_at(r, "success"), "true") << sys.error_of(r);
  w.run(5 * kSecond);
  w.net.heal_all();
  EXPECT_TRUE(w.eventually([&] { return w[3].log.contains("it was removed from the cluster"); }));
  w.run(2 * kSecond);
  EXPECT_TRUE(text_at(w.page(3, "/healthz"), "error").starts_with("JetStream takes no part in the cluster"));
  ClusterClient c4(w, 3);
  ASSERT_TRUE(c4.login());
  EXPECT_EQ(c4.create_stream("T", 3), "");
  w[3].kill();
  w.start(3);
  EXPECT_TRUE(w.eventually([&] { return w.settled() && w.status(3, "/healthz") == 200; }));
}

TEST(NodeCluster, ARunningNodeIsRemovedAndHandsOverAllItHolds) {
  ClusterWorld w;
  w.start();
  ClusterClient c(w, 0), sys(w, 0);
  ASSERT_TRUE(c.login());
  ASSERT_TRUE(sys.login("sys"));
  constexpr int kStreams = 40;  // more than are moved at once
  auto name = [](int i) { return "R" + std::to_string(i); };
  for (int i = 0; i < kStreams; ++i) {
    EXPECT_EQ(c.create_stream(name(i), 1, ",\"placement\":{\"tags\":[\"rack:3\"]}"), "");
    std::string config = "{\"name\":\"" + name(i) + "\",\"subjects\":[\"" + name(i) + ".>\"]}";
    EXPECT_EQ(c.error_of(c.request("$JS.API.STREAM.UPDATE." + name(i), config)), "");
    EXPECT_EQ(c.publish(name(i) + ".a"), 1);
  }
  if (w.meta_leader(0) == "n3") (void)sys.request("$JS.API.META.LEADER.STEPDOWN");
  EXPECT_TRUE(w.until([&] { return w.settled() && w.meta_leader(0) != "n3"; }));
  auto r = sys.request("$JS.API.SERVER.REMOVE", "{\"peer\":\"n3\"}");
  EXPECT_EQ(text_at(r, "success"), "true") << sys.error_of(r);
  for (int i = 0; i < kStreams; ++i) {
    std::string leader;
    EXPECT_TRUE(w.eventually([&] {
      leader = text_at(c.request("$JS.API.STREAM.INFO." + name(i)), "cluster.leader");
      return !leader.empty() && leader != "n3";
    })) << name(i)
        << " is led by " << leader;
    EXPECT_EQ(c.publish(name(i) + ".a"), 2);
  }
  std::size_t leader = w.index(w.meta_leader(0));
  EXPECT_TRUE(
      w.eventually([&] { return text_at(w.page(leader, "/jsz"), "meta_cluster.cluster_size") == "2"; }));
}

TEST(NodeCluster, APeerIsRemovedFromAStream) {
  ClusterWorld w(4);
  ClusterClient c(w, 0);
  ASSERT_NO_FATAL_FAILURE(w.start_with_stream(c, 20));
  w.await_replicas(c, "S", 2);
  auto info = c.request("$JS.API.STREAM.INFO.S");
  std::string gone = text_at(info, "cluster.replicas.0.name");
  // By the id that peers show, too.
  auto r = c.request("$JS.API.STREAM.PEER.REMOVE.S",
                     "{\"peer\":\"" + text_at(info, "cluster.replicas.0.peer") + "\"}");
  EXPECT_EQ(text_at(r, "success"), "true") << c.error_of(r);
  EXPECT_TRUE(w.eventually([&] {
    auto now = c.request("$JS.API.STREAM.INFO.S");
    for (int k = 0; k < 2; ++k) {
      if (text_at(now, "cluster.replicas." + std::to_string(k) + ".name") == gone) return false;
    }
    return w.replicas_current(c, "S", 2);
  }));
  EXPECT_EQ(c.publish("S.a"), 21);
  EXPECT_EQ(c.error_of(c.request("$JS.API.STREAM.PEER.REMOVE.S", "{\"peer\":\"" + gone + "\"}")), "10040");
  EXPECT_EQ(c.create_stream("T", 3), "");
  EXPECT_EQ(c.error_of(c.request("$JS.API.STREAM.PEER.REMOVE.none", "{\"peer\":\"n1\"}")), "10059");
}

TEST(NodeCluster, AStreamIsEvacuatedFromItsLeader) {
  ClusterWorld w(4);
  ClusterClient c(w, 0);
  ASSERT_NO_FATAL_FAILURE(w.start_with_stream(c));
  EXPECT_EQ(c.create_consumer("S", "k"), "");
  EXPECT_EQ(c.publish("S.a"), 1);
  w.await_replicas(c, "S", 2);
  std::string leader = "n" + std::to_string(w.leader_of(c, "S") + 1);
  auto r = c.request("$JS.API.STREAM.PEER.EVACUATE.S", "{\"peer\":\"" + leader + "\"}");
  EXPECT_EQ(text_at(r, "type"), "io.nats.jetstream.api.v1.stream_evacuate_peer_response");
  EXPECT_EQ(text_at(r, "success"), "true") << c.error_of(r);
  EXPECT_TRUE(w.eventually([&] {
    auto now = c.request("$JS.API.STREAM.INFO.S");
    bool there = text_at(now, "cluster.leader") == leader;
    for (int k = 0; k < 2; ++k)
      there = there || text_at(now, "cluster.replicas." + std::to_string(k) + ".name") == leader;
    return !there && w.replicas_current(c, "S", 2);
  }));
  EXPECT_EQ(c.publish("S.a"), 2);
  std::string peer = "{\"peer\":\"n1\"}";
  EXPECT_EQ(c.error_of(c.request("$JS.API.CONSUMER.PEER.EVACUATE.S.k", peer)), "10075");
  EXPECT_EQ(c.error_of(c.request("$JS.API.CONSUMER.PEER.EVACUATE.S.none", peer)), "10014");
  w.run(2 * kSecond);  // until then there would be a way back
  EXPECT_EQ(c.error_of(c.request("$JS.API.STREAM.CANCEL_MOVE.S")), "10129");
  EXPECT_EQ(c.error_of(c.request("$JS.API.STREAM.CANCEL_MOVE.none")), "10059");
}

TEST(NodeCluster, APeerStaysWhenNobodyCanTakeItsPlace) {
  ClusterWorld w;
  ClusterClient c(w, 0);
  ASSERT_NO_FATAL_FAILURE(w.start_with_stream(c));
  EXPECT_EQ(c.error_of(c.request("$JS.API.STREAM.PEER.REMOVE.S", "{\"peer\":\"n2\"}")), "10075");
  w.run(2 * kSecond);
  EXPECT_EQ(size_at(c.request("$JS.API.STREAM.INFO.S"), "cluster.replicas"), 2u);
}

}  // namespace
}  // namespace weir::server
