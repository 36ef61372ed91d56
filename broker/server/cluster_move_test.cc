// Streams that move between nodes of a cluster, and back again: what clients and operators see.
#include "broker/server/cluster_world.h"

namespace weir::server {
namespace {

using testing::at;
using testing::ClusterClient;
using testing::ClusterWorld;
using testing::text_at;

/// "n1 n2 n3", the members that the leader knows, each of them current and voting; "" otherwise.
std::string home_of(ClusterClient& c, const std::string& stream) {
  auto info = c.request("$JS.API.STREAM.INFO." + stream);
  std::set<std::string> names{text_at(info, "cluster.leader")};
  const auto* replicas = at(info, "cluster.replicas");
  std::size_t n = replicas && replicas->array() ? replicas->array()->size() : 0;
  for (std::size_t i = 0; i < n; ++i) {
    const auto& r = (*replicas->array())[i];
    if (text_at(r, "current") != "true" || text_at(r, "pending") == "true") return {};
    names.insert(text_at(r, "name"));
  }
  std::string out;
  for (const auto& name : names) out += (out.empty() ? "" : " ") + name;
  return out;
}

std::string placed(const std::string& name, int replicas, const std::string& tags) {
  return "{\"name\":\"" + name + "\",\"subjects\":[\"" + name +
         ".>\"],\"num_replicas\":" + std::to_string(replicas) + ",\"placement\":{\"tags\":[" + tags + "]}}";
}
const std::string kFirst = "\"!rack:4\",\"!rack:5\"", kLast = "\"!rack:1\",\"!rack:2\"";

TEST(ClusterMove, AMoveIsCalledOffWhileANewNodeIsDown) {
  for (std::uint64_t seed = 1; seed <= 3; ++seed) {
    ClusterWorld w(5, seed);
    w.start();
    ClusterClient c(w, 2);
    ASSERT_TRUE(c.login());
    EXPECT_EQ(c.error_of(c.request("$JS.API.STREAM.CREATE.S", placed("S", 3, kFirst))), "");
    ASSERT_TRUE(w.eventually([&] { return home_of(c, "S") == "n1 n2 n3"; }));
    for (int i = 0; i < 20; ++i) EXPECT_EQ(c.publish("S.a"), i + 1);
    EXPECT_EQ(c.error_of(c.request("$JS.API.STREAM.CANCEL_MOVE.S")), "10129");
    if (w.meta_leader(2) != "n1") {
      ClusterClient sys(w, 2);
      ASSERT_TRUE(sys.login("sys"));
      (void)sys.request("$JS.API.META.LEADER.STEPDOWN", "{\"placement\":{\"tags\":[\"rack:1\"]}}");
      ASSERT_TRUE(w.eventually([&] { return w.meta_leader(2) == "n1"; }));
    }
    // Both are gone and nobody knows yet: the placement takes them.
    for (const char* away : {"10.0.0.4", "10.0.0.5"})
      for (const char* other : {"10.0.0.1", "10.0.0.2", "10.0.0.3"}) w.net.partition(away, other);
    auto r = c.request("$JS.API.STREAM.UPDATE.S", placed("S", 3, kLast));
    ASSERT_EQ(c.error_of(r), "");
    EXPECT_EQ(c.publish("S.a"), 21);
    EXPECT_EQ(text_at(c.request("$JS.API.STREAM.INFO.S"), "cluster.desired.origin.replicas"), "3");
    w.run(7 * kSecond);
    EXPECT_EQ(c.publish("S.a"), 22);
    r = c.request("$JS.API.STREAM.CANCEL_MOVE.S");
    EXPECT_EQ(c.error_of(r), "");
    EXPECT_EQ(text_at(r, "type"), "io.nats.jetstream.api.v1.stream_cancel_move_response");
    EXPECT_EQ(text_at(r, "config.placement.tags.0"), "!rack:4");
    EXPECT_EQ(text_at(r, "cluster.desired.origin.replicas"), "3");
    EXPECT_EQ(text_at(r, "cluster.desired.origin.placement.tags.0"), "!rack:4");
    EXPECT_EQ(text_at(r, "cluster.desired.replicas.0.name").substr(0, 1), "n");
    EXPECT_TRUE(w.eventually([&] { return home_of(c, "S") == "n1 n2 n3"; })) << home_of(c, "S");
    EXPECT_TRUE(
        w.eventually([&] { return c.error_of(c.request("$JS.API.STREAM.CANCEL_MOVE.S")) == "10129"; }));
    EXPECT_EQ(at(c.request("$JS.API.STREAM.INFO.S"), "cluster.desired"), nullptr);
    EXPECT_EQ(c.publish("S.a"), 23);
    // The new nodes come back to a stream that they are no part of.
    w.net.heal_all();
    w.run(5 * kSecond);
    EXPECT_EQ(home_of(c, "S"), "n1 n2 n3");
    EXPECT_EQ(c.publish("S.a"), 24);
    EXPECT_EQ(text_at(c.request("$JS.API.STREAM.INFO.S"), "state.messages"), "24");
  }
}

TEST(ClusterMove, ThereAndBackAtEveryMoment) {
  // From before the first learner to after the last one who left: what was acknowledged is there.
  for (int step = 0; step < 24; ++step) {
    ClusterWorld w(5, 11 + static_cast<std::uint64_t>(step));
    w.start();
    ClusterClient c(w, 2);
    ASSERT_TRUE(c.login());
    EXPECT_EQ(c.error_of(c.request("$JS.API.STREAM.CREATE.S", placed("S", 3, kFirst))), "");
    ASSERT_TRUE(w.eventually([&] { return home_of(c, "S") == "n1 n2 n3"; }));
    // Who meets the moment between two leaders hears 503 and asks again, as clients do; nothing is stored
    // twice.
    auto publish = [&] {
      auto seq = c.publish("S.a");
      if (seq != 0) return seq;
      w.run(250 * kMillisecond);
      return c.publish("S.a");
    };
    for (int i = 0; i < 5; ++i) EXPECT_EQ(c.publish("S.a"), i + 1);
    ASSERT_EQ(c.error_of(c.request("$JS.API.STREAM.UPDATE.S", placed("S", 3, kLast))), "");
    w.run(step * 40 * kMillisecond);
    EXPECT_EQ(publish(), 6);
    std::string error = c.error_of(c.request("$JS.API.STREAM.CANCEL_MOVE.S"));
    EXPECT_TRUE(error.empty() || error == "10129") << error;
    std::string home = error.empty() ? "n1 n2 n3" : "n3 n4 n5";
    EXPECT_EQ(publish(), 7);
    EXPECT_TRUE(w.eventually([&] { return home_of(c, "S") == home; }))
        << step << ": " << home_of(c, "S") << " instead of " << home;
    EXPECT_EQ(publish(), 8);
    // One who had left and came back is killed, and all of them know everything.
    std::size_t dead = error.empty() ? 0 : 3;
    w[dead].kill();
    w.run(kSecond);
    EXPECT_TRUE(w.eventually([&] { return c.publish("S.a") >= 9; }));
    w.start(dead);
    EXPECT_TRUE(w.eventually([&] { return home_of(c, "S") == home; }));
    EXPECT_GE(parse_u64(text_at(c.request("$JS.API.STREAM.INFO.S"), "state.messages")).value_or(0), 9u);
  }
}

TEST(ClusterMove, ANodeDiesHalfWay) {
  for (std::size_t victim = 0; victim < 5; ++victim) {
    if (victim == 2) continue;  // the client's
    ClusterWorld w(5, 40 + victim);
    w.start();
    ClusterClient c(w, 2);
    ASSERT_TRUE(c.login());
    EXPECT_EQ(c.error_of(c.request("$JS.API.STREAM.CREATE.S", placed("S", 3, kFirst))), "");
    ASSERT_TRUE(w.eventually([&] { return home_of(c, "S") == "n1 n2 n3"; }));
    for (int i = 0; i < 50; ++i) EXPECT_EQ(c.publish("S.a"), i + 1);
    ASSERT_EQ(c.error_of(c.request("$JS.API.STREAM.UPDATE.S", placed("S", 3, kLast))), "");
    w.run(100 * kMillisecond);
    w[victim].kill();
    std::int64_t last = 50;
    for (int i = 0; i < 10; ++i) {
      EXPECT_TRUE(w.eventually([&] {
        std::int64_t seq = c.publish("S.a");
        last = std::max(last, seq);
        return seq > 0;
      })) << "no writes without n"
          << victim + 1;
    }
    w.start(victim);
    EXPECT_TRUE(w.eventually([&] { return home_of(c, "S") == "n3 n4 n5"; }))
        << "n" << victim + 1 << " died, it is on " << home_of(c, "S");
    EXPECT_GE(parse_u64(text_at(c.request("$JS.API.STREAM.INFO.S"), "state.messages")).value_or(0),
              static_cast<std::uint64_t>(last));
  }
}

TEST(ClusterMove, ScalingIsCalledOffToo) {
  ClusterWorld w(3);
  w.start();
  ClusterClient c(w, 0);
  ASSERT_TRUE(c.login());
  EXPECT_EQ(c.create_stream("S", 3), "");
  std::string home = "n1 n2 n3";
  ASSERT_TRUE(w.eventually([&] { return home_of(c, "S") == home; }));
  for (int i = 0; i < 5; ++i) EXPECT_EQ(c.publish("S.a"), i + 1);
  ASSERT_EQ(c.error_of(c.request("$JS.API.STREAM.UPDATE.S",
                                 "{\"name\":\"S\",\"subjects\":[\"S.>\"],\"num_replicas\":1}")),
            "");
  auto r = c.request("$JS.API.STREAM.CANCEL_MOVE.S");
  EXPECT_EQ(c.error_of(r), "");
  EXPECT_EQ(text_at(r, "config.num_replicas"), "3");
  EXPECT_TRUE(w.eventually([&] { return home_of(c, "S") == home; }));
  EXPECT_EQ(c.publish("S.a"), 6);
  // Growing with a node that is down: given up again.
  EXPECT_EQ(c.create_stream("R", 1, ",\"placement\":{\"tags\":[\"rack:1\"]}"), "");
  EXPECT_TRUE(w.eventually([&] { return home_of(c, "R") == "n1"; }));
  w[2].kill();
  w.run(3 * kSecond);
  ASSERT_EQ(c.error_of(c.request("$JS.API.STREAM.UPDATE.R",
                                 "{\"name\":\"R\",\"subjects\":[\"R.>\"],\"num_replicas\":3}")),
            "");
  w.run(3 * kSecond);
  EXPECT_EQ(c.error_of(c.request("$JS.API.STREAM.CANCEL_MOVE.R")), "");
  EXPECT_TRUE(w.eventually([&] { return home_of(c, "R") == "n1"; })) << home_of(c, "R");
  EXPECT_EQ(c.publish("R.a"), 1);
}

TEST(ClusterMove, AnOperatorMovesStreamsOfAnAccount) {
  ClusterWorld w(4);
  w.start();
  ClusterClient c(w, 0), sys(w, 1);
  ASSERT_TRUE(c.login());
  ASSERT_TRUE(sys.login("sys"));
  EXPECT_EQ(c.create_stream("S", 1, ",\"placement\":{\"tags\":[\"!rack:4\"]}"), "");
  EXPECT_EQ(c.publish("S.a"), 1);
  auto error = [&](const std::string& verb, const std::string& body = "") {
    return sys.error_of(sys.request("$JS.API." + verb, body));
  };
  EXPECT_EQ(error("ACCOUNT.STREAM.CANCEL_MOVE.A.S"), "10129");
  EXPECT_EQ(error("ACCOUNT.STREAM.CANCEL_MOVE.A.X"), "10059");
  EXPECT_EQ(error("ACCOUNT.STREAM.CANCEL_MOVE.X.X"), "10035");
  EXPECT_EQ(error("ACCOUNT.STREAM.MOVE.X.S"), "10035");
  EXPECT_EQ(error("ACCOUNT.STREAM.MOVE.A.X", "{\"server\":\"n1\"}"), "10059");
  EXPECT_EQ(error("ACCOUNT.STREAM.MOVE.A.S", "{\"server\":\"n9\"}"), "10044");
  EXPECT_EQ(error("ACCOUNT.STREAM.MOVE.A.S", "{\"server\":\"n1\",\"cluster\":\"D\"}"), "10044");
  EXPECT_EQ(error("ACCOUNT.STREAM.MOVE.A.S", "{\"server\":\"n4\"}"), "10040");
  EXPECT_EQ(error("ACCOUNT.STREAM.MOVE.A.S", "{\"tags\":[\"zz\"]}"), "10005");
  EXPECT_EQ(error("ACCOUNT.STREAM.MOVE.A.S", "[1]"), "10025");
  EXPECT_EQ(c.error_of(c.request("$JS.API.ACCOUNT.STREAM.MOVE.A.S")), "10003") << "not for everybody";
  std::string from = home_of(c, "S");
  auto r = sys.request("$JS.API.ACCOUNT.STREAM.MOVE.A.S", "{\"server\":\"" + from + "\"}");
  EXPECT_EQ(sys.error_of(r), "");
  EXPECT_EQ(text_at(r, "type"), "io.nats.jetstream.api.v1.stream_update_response");
  EXPECT_TRUE(w.eventually([&] { return !home_of(c, "S").empty() && home_of(c, "S") != from; }));
  EXPECT_EQ(c.publish("S.a"), 2);
  std::string to = home_of(c, "S") == "n2" ? "rack:3" : "rack:2";
  EXPECT_EQ(error("ACCOUNT.STREAM.MOVE.A.S", "{\"tags\":[\"" + to + "\"]}"), "");
  EXPECT_TRUE(w.eventually([&] { return home_of(c, "S") == "n" + to.substr(5); }));
  EXPECT_EQ(c.publish("S.a"), 3);
  EXPECT_EQ(text_at(c.request("$JS.API.STREAM.INFO.S"), "config.placement.tags.0"), "!rack:4")
      << "its placement is as it was";
  EXPECT_EQ(text_at(sys.request("$JS.API.ACCOUNT.PURGE.A"), "initiated"), "true");
  EXPECT_TRUE(w.eventually([&] { return c.error_of(c.request("$JS.API.STREAM.INFO.S")) == "10059"; }));
}

TEST(ClusterMove, APurgeThatNobodyAgreesToIsAnError) {
  ClusterWorld w;
  {
    ClusterClient c(w, 0);
    ASSERT_NO_FATAL_FAILURE(w.start_with_stream(c));
  }
  std::size_t leader = w.index(w.meta_leader(0));
  ClusterClient sys(w, leader);
  ASSERT_TRUE(sys.login("sys"));
  for (std::size_t i = 0; i < 3; ++i) {
    if (i != leader) w[i].kill();
  }
  auto r = sys.request("$JS.API.ACCOUNT.PURGE.A");
  EXPECT_EQ(sys.error_of(r), "10008");
  EXPECT_EQ(text_at(r, "initiated"), "");
}

TEST(ClusterMove, ANodeIsEvacuated) {
  ClusterWorld w(4);
  w.start();
  ClusterClient c(w, 0), sys(w, 0);
  ASSERT_TRUE(c.login());
  ASSERT_TRUE(sys.login("sys"));
  auto name = [](int i) { return "S" + std::to_string(i); };
  for (int i = 0; i < 24; ++i) {
    EXPECT_EQ(c.create_stream(name(i), i % 2 ? 1 : 3, i == 1 ? ",\"placement\":{\"tags\":[\"rack:3\"]}" : ""),
              "");
    EXPECT_EQ(c.publish(name(i) + ".a"), 1);
  }
  auto error = [&](const std::string& body) {
    return sys.error_of(sys.request("$JS.API.SERVER.EVACUATE", body));
  };
  EXPECT_EQ(error(""), "10003");
  EXPECT_EQ(error("{\"peer\":\"n9\"}"), "10044");
  auto r = sys.request("$JS.API.SERVER.EVACUATE", "{\"peer\":\"n3\"}");
  EXPECT_EQ(text_at(r, "type"), "io.nats.jetstream.api.v1.meta_server_evacuate_response");
  EXPECT_EQ(text_at(r, "success"), "true");
  for (int i = 0; i < 24; ++i) {
    if (i == 1) continue;  // it asks for just that node
    EXPECT_TRUE(w.eventually([&] {
      std::string home = home_of(c, name(i));
      return home.size() == (i % 2 ? 2u : 8u) && home.find("n3") == std::string::npos;
    })) << name(i)
        << " on " << home_of(c, name(i));
    EXPECT_EQ(c.publish(name(i) + ".a"), 2);
  }
  EXPECT_EQ(home_of(c, "S1"), "n3");
  EXPECT_TRUE(w.settled()) << "the node itself stays";
}

}  // namespace
}  // namespace weir::server
