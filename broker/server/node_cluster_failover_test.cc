// Leaders that die or hand over, and nodes that are restarted in turn: what clients see of it.
#include <numeric>
#include <set>

#include "broker/proto/ack_subject.h"
#include "broker/server/cluster_world.h"

namespace weir::server {
namespace {

using testing::ClusterClient;
using testing::ClusterWorld;
using testing::size_at;
using testing::text_at;

TEST(NodeCluster, GoesOnWithoutTheLeaderAndTakesItBack) {
  ClusterWorld w;
  std::size_t lead = 0;
  {
    ClusterClient c(w, 0);
    ASSERT_NO_FATAL_FAILURE(w.start_with_stream(c, 5));
    lead = w.leader_of(c, "S");
  }
  std::string dead = "n" + std::to_string(lead + 1);
  w[lead].kill();
  ClusterClient c(w, (lead + 1) % 3);
  ASSERT_TRUE(c.login());
  EXPECT_TRUE(w.eventually([&] { return c.publish("S.a") == 6; }, 10 * kSecond));
  w.run(3 * kSecond);
  auto info = c.request("$JS.API.STREAM.INFO.S");
  EXPECT_NE(text_at(info, "cluster.leader"), dead);
  for (int i = 0; i < 2; ++i) {
    std::string p = "cluster.replicas." + std::to_string(i);
    bool is_dead = text_at(info, p + ".name") == dead;
    EXPECT_EQ(text_at(info, p + ".offline"), is_dead ? "true" : "");
    EXPECT_EQ(text_at(info, p + ".current"), is_dead ? "false" : "true");
    if (!is_dead) continue;
    EXPECT_GT(parse_u64(text_at(info, p + ".active")).value_or(0), 2u * kSecond);
    EXPECT_NE(text_at(info, p + ".lag"), "");
  }
  EXPECT_EQ(w.status((lead + 1) % 3, "/healthz", "account=A&stream=S"), 200);
  w.start(lead);
  w.await_replicas(c, "S", 2);
  EXPECT_TRUE(w.eventually([&] { return w.status(lead, "/healthz", "account=A&stream=S") == 200; }));
}

TEST(NodeCluster, StepDownMovesLeadership) {
  ClusterWorld w;
  ClusterClient c(w, 0), sys(w, 1);
  ASSERT_NO_FATAL_FAILURE(w.start_with_stream(c));
  ASSERT_TRUE(sys.login("sys"));
  EXPECT_EQ(c.create_consumer("S", "k"), "");
  w.await_replicas(c, "S", 2);
  std::size_t before = w.leader_of(c, "S");
  std::size_t wanted = (before + 1) % 3;
  std::string preferred = "{\"placement\":{\"preferred\":\"n" + std::to_string(wanted + 1) + "\"}}";
  auto r = c.request("$JS.API.STREAM.LEADER.STEPDOWN.S", preferred);
  EXPECT_EQ(text_at(r, "success"), "true") << c.error_of(r);
  EXPECT_TRUE(w.eventually([&] { return w.leader_of(c, "S") == wanted; }, 5 * kSecond));
  r = c.request("$JS.API.CONSUMER.LEADER.STEPDOWN.S.k");
  EXPECT_EQ(text_at(r, "success"), "true") << c.error_of(r);
  EXPECT_TRUE(w.eventually([&] { return w.leader_of(c, "S") != wanted; }, 5 * kSecond));
  auto refused = [&](const std::string& placement) {
    auto answer = c.request("$JS.API.STREAM.LEADER.STEPDOWN.S", "{\"placement\":{" + placement + "}}");
    EXPECT_EQ(c.error_of(answer), "10005");
    return text_at(answer, "error.description");
  };
  std::string leader = "n" + std::to_string(w.leader_of(c, "S") + 1);
  EXPECT_EQ(refused("\"preferred\":\"n9\""), "preferred server \"n9\" not known");
  EXPECT_EQ(refused("\"preferred\":\"" + leader + "\""),
            "preferred server \"" + leader + "\" is already leader");
  EXPECT_EQ(refused("\"cluster\":\"other\""), "no replacement peer connected");
  EXPECT_EQ(refused("\"tags\":[\"rack:1\",\"rack:2\"]"), "no replacement peer connected");
  EXPECT_EQ("n" + std::to_string(w.leader_of(c, "S") + 1), leader);
  std::string rack =
      "{\"placement\":{\"cluster\":\"C\",\"tags\":[\"RACK:" + std::to_string(wanted + 1) + "\"]}}";
  r = c.request("$JS.API.STREAM.LEADER.STEPDOWN.S", rack);
  EXPECT_EQ(text_at(r, "success"), "true") << c.error_of(r);
  EXPECT_TRUE(w.eventually([&] { return w.leader_of(c, "S") == wanted; }, 5 * kSecond));
  r = c.request("$JS.API.STREAM.LEADER.STEPDOWN.S", "no object");
  EXPECT_EQ(text_at(r, "success"), "true") << c.error_of(r);
  std::string meta = w.meta_leader(0);
  EXPECT_EQ(c.error_of(c.request("$JS.API.META.LEADER.STEPDOWN")), "10003");
  r = sys.request("$JS.API.META.LEADER.STEPDOWN");
  EXPECT_EQ(text_at(r, "success"), "true") << sys.error_of(r);
  EXPECT_TRUE(w.until([&] { return w.settled() && w.meta_leader(0) != meta; }));
}

TEST(NodeCluster, StepDownOfTheOnlyReplicaIsDoneAtOnce) {
  ClusterWorld w;
  w.start();
  ClusterClient c(w, 0);
  ASSERT_TRUE(c.login());
  EXPECT_EQ(c.create_stream("S", 1), "");
  EXPECT_EQ(c.create_consumer("S", "k"), "");
  auto r = c.request("$JS.API.STREAM.LEADER.STEPDOWN.S");
  EXPECT_EQ(text_at(r, "success"), "true") << c.error_of(r);
  r = c.request("$JS.API.CONSUMER.LEADER.STEPDOWN.S.k", "{\"placement\":{\"preferred\":\"n2\"}}");
  EXPECT_EQ(text_at(r, "success"), "true") << c.error_of(r);
}

// A transfer that comes to nothing: nothing is proposed while it lasts, so nothing may be delivered, or the
// leader goes on with deliveries that no other replica will ever hear of.
TEST(NodeCluster, ATransferThatFailsLosesNoDelivery) {
  ClusterWorld w;
  ClusterClient first(w, 0);
  ASSERT_NO_FATAL_FAILURE(w.start_with_stream(first));
  EXPECT_EQ(first.create_consumer("S", "k", ",\"ack_wait\":1000000000"), "");
  w.await_replicas(first, "S", 2);
  std::size_t lead = w.leader_of(first, "S"), wanted = (lead + 1) % 3;
  ClusterClient c(w, lead);
  ASSERT_TRUE(c.login());
  c.sub("box", "pull");
  auto fetch = [&](ClusterClient& from, const std::string& batch) {
    from.pub("$JS.API.CONSUMER.MSG.NEXT.S.k", "{\"batch\":" + batch + ",\"expires\":20000000000}", "box");
    w.run(50 * kMillisecond);
  };
  w.net.partition(w[lead].options.host, w[wanted].options.host, env::testing::Cut::kFirstToSecond);
  for (int i = 1; i <= 10; ++i) EXPECT_EQ(c.publish("S.a"), i);
  std::string preferred = "{\"placement\":{\"preferred\":\"n" + std::to_string(wanted + 1) + "\"}}";
  auto r = c.request("$JS.API.STREAM.LEADER.STEPDOWN.S", preferred);
  EXPECT_EQ(text_at(r, "success"), "true") << c.error_of(r);
  fetch(c, "5");
  w.run(2 * kSecond);
  fetch(c, "5");
  ASSERT_EQ(w.leader_of(c, "S"), lead) << "the transfer was to fail";
  std::vector<std::string> seen;
  for (auto& m : c.take("pull")) {
    if (m.reply.starts_with("$JS.ACK.")) seen.push_back(m.reply);
  }
  ASSERT_FALSE(seen.empty());
  EXPECT_TRUE(c.ask(seen.back(), "+ACK"));
  w.net.heal_all();
  w.await_replicas(c, "S", 2);
  w[lead].kill();
  ClusterClient other(w, wanted);
  ASSERT_TRUE(other.login());
  other.sub("box", "pull");
  std::set<std::uint64_t> again;
  EXPECT_TRUE(w.eventually(
      [&] {
        fetch(other, "20");
        for (auto& m : other.take("pull")) {
          if (!m.reply.starts_with("$JS.ACK.")) continue;
          again.insert(proto::parse_ack_subject(m.reply)->stream_seq.v);
          other.ask(m.reply, "+ACK");
        }
        return again.size() == 9;
      },
      60 * kSecond))
      << again.size() << " of the 9 that were not acknowledged";
}

// An orderly change of leaders costs nothing: what was delivered or acknowledged a moment before counts.
TEST(NodeCluster, AStepDownRepeatsNoDelivery) {
  ClusterWorld w;
  ClusterClient c(w, 0);
  ASSERT_NO_FATAL_FAILURE(w.start_with_stream(c, 20));
  EXPECT_EQ(c.create_consumer("S", "k", ",\"ack_wait\":60000000000"), "");
  w.await_replicas(c, "S", 2);
  c.sub("box", "pull");
  std::vector<std::uint64_t> seen;
  for (std::size_t round = 0; round < 4; ++round) {
    std::size_t lead = w.leader_of(c, "S");
    c.pub("$JS.API.CONSUMER.MSG.NEXT.S.k", "{\"batch\":5,\"expires\":100000000}", "box");
    std::size_t had = seen.size();
    ASSERT_TRUE(w.until([&]() -> bool {
      for (auto& m : c.take("pull")) {
        auto at = proto::parse_ack_subject(m.reply);
        if (!at) continue;
        seen.push_back(at->stream_seq.v);
        if (at->stream_seq.v % 2 == 0) c.pub(m.reply, "+ACK");
      }
      return seen.size() == had + 5;
    })) << "round "
        << round;
    c.pub("$JS.API.STREAM.LEADER.STEPDOWN.S", "");
    ASSERT_TRUE(w.eventually([&] { return w.leader_of(c, "S") != lead; }, 5 * kSecond));
  }
  std::vector<std::uint64_t> all(20);
  std::iota(all.begin(), all.end(), 1);
  EXPECT_EQ(seen, all);
  EXPECT_EQ(text_at(c.request("$JS.API.CONSUMER.INFO.S.k"), "num_ack_pending"), "10");
}

// Who asks for the confirmation of an acknowledgement hears at once that nobody is there to give it.
TEST(NodeCluster, AnAckWithoutALeaderIsAnsweredWith503) {
  ClusterWorld w;
  ClusterClient first(w, 0);
  ASSERT_NO_FATAL_FAILURE(w.start_with_stream(first, 3));
  EXPECT_EQ(first.create_consumer("S", "k"), "");
  w.await_replicas(first, "S", 2);
  std::size_t lead = w.leader_of(first, "S");
  ClusterClient c(w, lead);
  ASSERT_TRUE(c.login());
  c.sub("box", "pull");
  c.pub("$JS.API.CONSUMER.MSG.NEXT.S.k", "{\"batch\":3}", "box");
  w.run(100 * kMillisecond);
  auto got = c.take("pull");
  ASSERT_EQ(got.size(), 3u);
  for (std::size_t other = 0; other < 3; ++other) {
    if (other != lead) w.net.partition(w[lead].options.host, w[other].options.host);
  }
  c.sub("acked", "ack");
  auto answered = [&](const std::string& subject) {
    Mono asked = w.time.now();
    c.pub(subject, "+ACK", "acked");
    std::string status;
    EXPECT_TRUE(w.until(
        [&] {
          for (auto& m : c.take("ack")) status = m.status();
          return !status.empty();
        },
        10 * kSecond));
    EXPECT_LT(w.time.now() - asked, 3 * kSecond);
    return status;
  };
  EXPECT_EQ(answered(got[0].reply), "503") << "it is the leader until it notices";
  EXPECT_EQ(answered(got[1].reply), "503") << "nobody is";
  w.net.heal_all();
  w.await_replicas(c, "S", 2);
  auto confirmed = [&] {
    auto answer = c.ask(got[0].reply, "+ACK");
    return answer && answer->headers.empty();
  };
  EXPECT_TRUE(w.eventually(confirmed, 10 * kSecond));
  std::string gone = got[2].reply;
  gone.replace(gone.find(".k."), 3, ".j.");
  EXPECT_EQ(answered(gone), "503") << "there is no such consumer";
}

// Who stops a node only when that is said to be safe keeps what is in memory.
TEST(NodeCluster, AStreamInMemorySurvivesARollingRestart) {
  ClusterWorld w;
  w.start();
  {
    ClusterClient c(w, 0);
    ASSERT_TRUE(c.login());
    EXPECT_EQ(c.create_stream("M", 3, ",\"storage\":\"memory\""), "");
    for (int i = 0; i < 50; ++i) EXPECT_EQ(c.publish("M.a", "message " + std::to_string(i)), i + 1);
    EXPECT_EQ(c.create_consumer("M", "k"), "");
  }
  auto safe = [&](std::size_t node) {
    int status = 0;
    w[node].node->monitor("/healthz", "safe-to-stop=true", [&](MonitorReply r) { status = r.status; });
    EXPECT_TRUE(w.until([&] { return status != 0; }, 5 * kSecond));
    return status == 200;
  };
  unsigned unsafe = 0;
  for (std::size_t i = 0; i < 6; ++i) {
    std::size_t node = i % 3;
    while (!safe(node)) {
      ASSERT_LT(++unsafe, 300u) << "never safe to stop n" << node + 1;
      w.run(100 * kMillisecond);
    }
    w[node].stop();
    ClusterClient c(w, (node + 1) % 3);
    ASSERT_TRUE(c.login());
    EXPECT_TRUE(w.eventually([&] { return c.publish("M.a") == static_cast<int>(51 + i); }, 5 * kSecond))
        << "while n" << node + 1 << " is down";
    w.start(node);
    bool back = false;
    for (Mono until = w.time.now() + 2 * kSecond; w.time.now() < until; w.run(5 * kMillisecond)) {
      auto now = c.request("$JS.API.STREAM.INFO.M");
      ASSERT_LE(size_at(now, "cluster.replicas"), 2u) << "n" << node + 1 << " twice";
      back = back || size_at(now, "cluster.replicas") == 2;
    }
    EXPECT_TRUE(back);
  }
  EXPECT_GT(unsafe, 0u) << "a replica that has just come back remembers nothing yet";
  ClusterClient c(w, 0);
  ASSERT_TRUE(c.login());
  w.await_replicas(c, "M", 2);
  auto info = c.request("$JS.API.STREAM.INFO.M");
  EXPECT_EQ(text_at(info, "state.messages"), "56");
  EXPECT_EQ(text_at(info, "state.first_seq"), "1");
  EXPECT_EQ(text_at(c.request("$JS.API.CONSUMER.INFO.M.k"), "num_pending"), "56");
}

// Replicas that were to join are on nodes that are down, and nobody who was there remembers anything.
TEST(NodeCluster, AStreamInMemoryBeginsAnewWithoutWhoHasNotCome) {
  ClusterWorld w(5);
  w.start();
  {
    ClusterClient c(w, 0);
    ASSERT_TRUE(c.login());
    std::string tags = ",\"storage\":\"memory\",\"placement\":{\"tags\":[\"!rack:4\",\"!rack:5\"]}";
    EXPECT_EQ(c.create_stream("M", 3, tags), "");
    for (int i = 0; i < 5; ++i) EXPECT_EQ(c.publish("M.a"), i + 1);
    w.await_replicas(c, "M", 2);
    w[3].kill();
    w[4].kill();
    w.run(5 * kSecond);
    auto r = c.request("$JS.API.STREAM.UPDATE.M",
                       "{\"name\":\"M\",\"subjects\":[\"M.>\"],\"storage\":\"memory\",\"num_replicas\":5}");
    EXPECT_EQ(c.error_of(r), "");
    w.run(2 * kSecond);
  }
  for (std::size_t i = 0; i < 3; ++i) w[i].kill();
  for (std::size_t i = 0; i < 3; ++i) w.start(i);
  ClusterClient c(w, 0);
  ASSERT_TRUE(c.login());
  w.run(20 * kSecond);
  EXPECT_EQ(c.publish("M.a"), 0) << "the other two may have everything, as far as anybody knows";
  EXPECT_TRUE(w.eventually([&] { return c.publish("M.a") > 0; }, 30 * kSecond));
  EXPECT_EQ(text_at(c.request("$JS.API.STREAM.INFO.M"), "state.first_seq"), "1");
  for (std::size_t i = 3; i < 5; ++i) w.start(i);
  EXPECT_TRUE(w.eventually([&] { return w.replicas_current(c, "M", 4); }));
}

}  // namespace
}  // namespace weir::server
