// Three whole nodes on a seeded network: what clients and operators see of a cluster.
#include <algorithm>
#include <set>

#include "broker/proto/ack_subject.h"
#include "broker/server/cluster_world.h"

namespace weir::server {
namespace {

using testing::at;
using testing::ClusterClient;
using testing::ClusterWorld;
using testing::TestMessage;
using testing::text_at;

/// Follows "a.b", and says what the whole text was if there is nothing.
std::size_t size_at(const api::JsonValue& v, std::string_view path) {
  const auto* p = at(v, path);
  return p && p->array() ? p->array()->size() : 0;
}

struct Site : ClusterWorld {
  explicit Site(std::size_t n = 3, std::uint64_t seed = 1) : ClusterWorld(n, seed) {}
  /// The node that leads the stream, as its info says.
  std::size_t leader_of(ClusterClient& c, const std::string& stream) {
    return index(text_at(c.request("$JS.API.STREAM.INFO." + stream), "cluster.leader"));
  }
  std::size_t other_than(std::size_t a, std::size_t b) { return 3 - a - b; }
  bool replicas_current(ClusterClient& c, const std::string& stream, std::size_t count) {
    auto info = c.request("$JS.API.STREAM.INFO." + stream);
    for (std::size_t i = 0; i < count; ++i) {
      std::string p = "cluster.replicas." + std::to_string(i);
      if (text_at(info, p + ".current") != "true" || text_at(info, p + ".pending") == "true") return false;
      if (!text_at(info, p + ".lag").empty()) return false;  // current allows a little
    }
    return size_at(info, "cluster.replicas") == count;
  }
  void await_replicas(ClusterClient& c, const std::string& stream, std::size_t count) {
    EXPECT_TRUE(eventually([&] { return replicas_current(c, stream, count); }))
        << c.ask("$JS.API.STREAM.INFO." + stream)->body;
  }
  /// As until(), but `stop` may run the world itself.
  bool eventually(const std::function<bool()>& stop, Nanos limit = 30 * kSecond) {
    Mono end = time.now() + limit;
    while (time.now() < end) {
      if (stop()) return true;
      run(50 * kMillisecond);
    }
    return false;
  }
};

TEST(NodeCluster, FormsAndShowsTheMetaGroup) {
  Site w;
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
    Site w(3, seed);
    for (std::size_t i = 0; i < 3; ++i) w.start(i);
    ASSERT_TRUE(w.until([&] { return !w.meta_leader(0).empty(); }));
    ClusterClient c(w, 0);
    ASSERT_TRUE(c.login());
    EXPECT_EQ(c.create_stream("S", 3), "") << "seed " << seed;
    EXPECT_EQ(c.create_stream("F", 5), "10005") << "no node is about to join";
  }
}

TEST(NodeCluster, AStreamIsTheSameFromEveryNode) {
  Site w;
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
  Site w(4);
  w[3].options.jetstream.enabled = false;
  for (std::size_t i = 0; i < 4; ++i) w.start(i);
  ClusterClient c(w, 3), near(w, 0);
  ASSERT_TRUE(c.login());
  ASSERT_TRUE(near.login());
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

TEST(NodeCluster, GoesOnWithoutTheLeaderAndTakesItBack) {
  Site w;
  w.start();
  std::size_t lead = 0;
  {
    ClusterClient c(w, 0);
    ASSERT_TRUE(c.login());
    EXPECT_EQ(c.create_stream("S", 3), "");
    for (int i = 0; i < 5; ++i) EXPECT_EQ(c.publish("S.a"), i + 1);
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

// A replica that was away for longer than the log reaches back is sent what it does not have, and not again
// what its disk has.
TEST(NodeCluster, AReplicaThatWasAwayIsSentWhatItMissed) {
  Site w;
  for (auto& n : w.nodes) n->tuning.tail_bytes_max = 16 * 1024;
  w.start();
  ClusterClient c(w, 0);
  ASSERT_TRUE(c.login());
  EXPECT_EQ(c.create_stream("S", 3), "");
  const std::string body(400, 'x');
  auto publish = [&](int first, int last) {
    for (int i = first; i <= last; ++i) {
      c.send("PUB S.k" + std::to_string(i % 7) + " " + std::to_string(body.size()) + "\r\n" + body + "\r\n");
      if (i % 20 == 0) w.run(20 * kMillisecond);
    }
  };
  publish(1, 600);
  ASSERT_TRUE(w.eventually([&] { return w.replicas_current(c, "S", 2); }));
  std::size_t away = w.leader_of(c, "S") == 2 ? 1 : 2;
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
  std::uint64_t sent = 0, times = 0;
  for (const auto& line : w[away].log.lines()) {
    std::size_t from = line.text.find("; "), to = line.text.find(" of 799 messages were sent");
    if (to == std::string::npos) continue;
    ++times;
    sent += parse_u64(std::string_view(line.text).substr(from + 2, to - from - 2)).value_or(799);
  }
  EXPECT_EQ(times, 1u) << "0: the log reached back far enough";
  EXPECT_GE(sent, 200u);
  EXPECT_LT(sent, 350u);
}

// Where a damaged copy and a whole one do not fit, the damaged one has to go.
TEST(NodeCluster, AReplicaThatBeginsAnewMakesRoom) {
  Site w;
  for (auto& n : w.nodes) n->tuning.tail_bytes_max = 256 * 1024;
  w.start();
  ClusterClient c(w, 0);
  ASSERT_TRUE(c.login());
  EXPECT_EQ(c.create_stream("S", 3), "");
  const std::string body(50'000, 'x');
  for (int i = 1; i <= 120; ++i) ASSERT_EQ(c.publish("S.a", body), i);
  w.await_replicas(c, "S", 2);
  w.run(5 * kSecond);
  std::size_t hurt = w.leader_of(c, "S") == 2 ? 1 : 2;
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
  Site w;
  for (auto& n : w.nodes) n->tuning.tail_bytes_max = 64 * 1024;
  w.start();
  ClusterClient c(w, 0);
  ASSERT_TRUE(c.login());
  EXPECT_EQ(c.create_stream("S", 3, ",\"allow_direct\":true"), "");
  const std::string body(5'000, 'x');
  for (int i = 1; i <= 60; ++i) ASSERT_EQ(c.publish("S.a", body), i);
  w.await_replicas(c, "S", 2);
  w.run(5 * kSecond);
  std::size_t hurt = w.leader_of(c, "S") == 2 ? 1 : 2;
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

TEST(NodeCluster, HealthTellsLivenessFromReadiness) {
  Site w;
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

TEST(NodeCluster, StepDownMovesLeadership) {
  Site w;
  w.start();
  ClusterClient c(w, 0), sys(w, 1);
  ASSERT_TRUE(c.login());
  ASSERT_TRUE(sys.login("sys"));
  EXPECT_EQ(c.create_stream("S", 3), "");
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

// A transfer that comes to nothing: nothing is proposed while it lasts, so nothing may be delivered, or the
// leader goes on with deliveries that no other replica will ever hear of.
TEST(NodeCluster, ATransferThatFailsLosesNoDelivery) {
  Site w;
  w.start();
  ClusterClient first(w, 0);
  ASSERT_TRUE(first.login());
  EXPECT_EQ(first.create_stream("S", 3), "");
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

// The answers to flow control of a client on another node reach the consumer.
TEST(NodeCluster, FlowControlWorksFromEveryNode) {
  Site w;
  w.start();
  ClusterClient c(w, 0);
  ASSERT_TRUE(c.login());
  EXPECT_EQ(c.create_stream("S", 3), "");
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

TEST(NodeCluster, StepDownOfTheOnlyReplicaIsDoneAtOnce) {
  Site w;
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

// A link may outlive a store that is gone by some seconds; two nodes with one name stay.
TEST(NodeCluster, TwoNodesWithOneNameAreComplainedOf) {
  Site w(4);
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

TEST(NodeCluster, ANodeIsRemovedAndItsStreamsFindOthers) {
  Site w(4);
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
  Site w;
  w.start();
  ClusterClient c(w, 0), sys(w, 0);
  ASSERT_TRUE(c.login());
  ASSERT_TRUE(sys.login("sys"));
  EXPECT_EQ(c.create_stream("S", 3), "");
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

TEST(NodeCluster, ARunningNodeIsRemovedAndHandsOverAllItHolds) {
  Site w;
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
  Site w(4);
  w.start();
  ClusterClient c(w, 0);
  ASSERT_TRUE(c.login());
  EXPECT_EQ(c.create_stream("S", 3), "");
  for (int i = 0; i < 20; ++i) EXPECT_EQ(c.publish("S.a"), i + 1);
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
  Site w(4);
  w.start();
  ClusterClient c(w, 0);
  ASSERT_TRUE(c.login());
  EXPECT_EQ(c.create_stream("S", 3), "");
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
  Site w;
  w.start();
  ClusterClient c(w, 0);
  ASSERT_TRUE(c.login());
  EXPECT_EQ(c.create_stream("S", 3), "");
  EXPECT_EQ(c.error_of(c.request("$JS.API.STREAM.PEER.REMOVE.S", "{\"peer\":\"n2\"}")), "10075");
  w.run(2 * kSecond);
  EXPECT_EQ(size_at(c.request("$JS.API.STREAM.INFO.S"), "cluster.replicas"), 2u);
}

TEST(NodeCluster, AdvisoriesComeOncePerChange) {
  Site w;
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

TEST(NodeCluster, EntriesOnTheirWayDoNotMakeAReplicaOutdated) {
  Site w;
  w.start();
  ClusterClient c(w, 0);
  ASSERT_TRUE(c.login());
  EXPECT_EQ(c.create_stream("S", 3), "");
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
  ClusterClient other(w, w.other_than(dead, w.leader_of(c, "S")));
  ASSERT_TRUE(other.login());
  w[dead].kill();
  EXPECT_TRUE(w.eventually([&] { return !w.replicas_current(other, "S", 2); }));
}

TEST(NodeCluster, RaftMayBeWatched) {
  Site w;
  w.start();
  ClusterClient c(w, 0), sys(w, 1);
  ASSERT_TRUE(c.login());
  ASSERT_TRUE(sys.login("sys"));
  EXPECT_EQ(c.create_stream("S", 3), "");
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
  w.run(kSecond);
  std::map<std::string, int> seen;
  for (const auto& m : sys.take("raft")) {
    ++seen[m.subject];
    EXPECT_NE(text_at(m.json(), "from"), text_at(m.json(), "to"));
  }
  EXPECT_GE(seen["$NRG.AE." + name], 6);
  EXPECT_GE(seen["$NRG.R." + name], 6);
  EXPECT_EQ(seen["$NRG.P." + name], 2);  // the leader's own clients need nobody to hand on
  c.sub("$NRG.>", "raft");               // not of the system account
  EXPECT_GT(c.publish("S.a"), 0);
  w.run(kSecond);
  EXPECT_TRUE(c.take("raft").empty());
}

TEST(NodeCluster, LostQuorumIsToldOnce) {
  Site w;
  w.start();
  ClusterClient c(w, 0);
  ASSERT_TRUE(c.login());
  EXPECT_EQ(c.create_stream("S", 3), "");
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

TEST(NodeCluster, SaysWhetherANodeMayBeStopped) {
  Site w;
  w.start();
  ClusterClient c(w, 0), sys(w, 0);
  ASSERT_TRUE(c.login());
  ASSERT_TRUE(sys.login("sys"));
  EXPECT_EQ(c.create_stream("S", 3), "");
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

// Who stops a node only when that is said to be safe keeps what is in memory.
TEST(NodeCluster, AStreamInMemorySurvivesARollingRestart) {
  Site w;
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

TEST(NodeCluster, EveryNodeAnswersPings) {
  Site w;
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
  Site w;
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
