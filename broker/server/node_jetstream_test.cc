// Whole nodes in virtual time: streams, consumers, the API, advisories, account limits.
#include "broker/server/test_world.h"

namespace weir::server {
namespace {

using testing::at;
using testing::TestClient;
using testing::TestMessage;
using testing::TestWorld;
using testing::text_at;

struct Js {
  explicit Js(std::uint64_t seed = 1) : w(seed), c(w) {}
  void start() {
    w.start();
    ASSERT_TRUE(c.connect());
  }
  void stream(const std::string& name, const std::string& subject, const std::string& more = "") {
    auto v =
        c.request("$JS.API.STREAM.CREATE." + name, "{\"name\":\"" + name + "\",\"subjects\":[\"" + subject +
                                                       "\"]" + (more.empty() ? "" : "," + more) + "}");
    EXPECT_EQ(c.error_of(v), "") << text_at(v, "error.description");
  }
  api::JsonValue consumer(const std::string& stream, const std::string& name, const std::string& more = "") {
    auto v =
        c.request("$JS.API.CONSUMER.CREATE." + stream + "." + name,
                  "{\"stream_name\":\"" + stream + "\",\"action\":\"\",\"config\":{\"name\":\"" + name +
                      "\",\"durable_name\":\"" + name + "\"" +
                      (more.find("ack_policy") == std::string::npos ? ",\"ack_policy\":\"explicit\"" : "") +
                      (more.empty() ? "" : "," + more) + "}}");
    EXPECT_EQ(c.error_of(v), "") << text_at(v, "error.description");
    return v;
  }
  std::string info(const std::string& stream, const std::string& path) {
    return text_at(c.request("$JS.API.STREAM.INFO." + stream), path);
  }
  std::string cinfo(const std::string& stream, const std::string& consumer, const std::string& path) {
    return text_at(c.request("$JS.API.CONSUMER.INFO." + stream + "." + consumer), path);
  }
  void pull(const std::string& stream, const std::string& consumer, const std::string& reply,
            const std::string& body) {
    c.pub("$JS.API.CONSUMER.MSG.NEXT." + stream + "." + consumer, body, reply);
    c.run(20 * kMillisecond);
  }
  TestWorld w;
  TestClient c;
};

TEST(NodeJetStream, PublishAckAndRead) {
  Js js;
  js.start();
  js.stream("S", "s.>");
  EXPECT_EQ(js.c.publish("s.a", "one"), 1);
  EXPECT_EQ(js.c.publish("s.b", "two", "Nats-Msg-Id: x"), 2);
  auto again = js.c.ask("s.b", "two", "Nats-Msg-Id: x");
  ASSERT_TRUE(again);
  EXPECT_EQ(text_at(again->json(), "seq"), "2");
  EXPECT_EQ(text_at(again->json(), "duplicate"), "true");
  EXPECT_EQ(text_at(again->json(), "stream"), "S");
  EXPECT_EQ(js.info("S", "state.messages"), "2");
  EXPECT_EQ(js.info("S", "state.last_seq"), "2");
  auto got = js.c.request("$JS.API.STREAM.MSG.GET.S", "{\"seq\":1}");
  EXPECT_EQ(text_at(got, "message.data"), "b25l");
  EXPECT_EQ(text_at(got, "message.subject"), "s.a");
  EXPECT_EQ(js.c.error_of(js.c.request("$JS.API.STREAM.MSG.GET.S", "{\"seq\":9}")), "10037");
  EXPECT_EQ(js.c.publish("s.c", "x", "Nats-Expected-Last-Sequence: 1"), -10071);
  // Fire and forget is stored too.
  js.c.pub("s.d", "y");
  js.c.run(20 * kMillisecond);
  EXPECT_EQ(js.info("S", "state.messages"), "3");
}

TEST(NodeJetStream, ManyPublishesOfOneTurnAreAcknowledgedInOrder) {
  Js js;
  js.start();
  js.stream("S", "s");
  std::string all;
  for (int i = 0; i < 500; ++i) all += "PUB s _INBOX.seq." + std::to_string(i) + " 1\r\nx\r\n";
  js.c.sub("_INBOX.seq.*", "acks");
  js.c.send(all);
  js.c.run(100 * kMillisecond);
  auto acks = js.c.take("acks");
  ASSERT_EQ(acks.size(), 500u);
  for (std::size_t i = 0; i < acks.size(); ++i) {
    EXPECT_EQ(acks[i].subject, "_INBOX.seq." + std::to_string(i));
    EXPECT_EQ(text_at(acks[i].json(), "seq"), std::to_string(i + 1));
  }
}

TEST(NodeJetStream, ApiErrors) {
  Js js;
  js.start();
  js.stream("S", "s");
  auto e = [&](const std::string& subject, const std::string& body = "") {
    return js.c.error_of(js.c.request("$JS.API." + subject, body));
  };
  EXPECT_EQ(e("STREAM.INFO.NONE"), "10059");
  EXPECT_EQ(e("STREAM.DELETE.NONE"), "10059");
  EXPECT_EQ(e("STREAM.CREATE.S", "{\"name\":\"S\",\"subjects\":[\"other\"]}"), "10058");
  EXPECT_EQ(e("STREAM.CREATE.T", "{\"name\":\"T\",\"subjects\":[\"s\"]}"), "10065");
  EXPECT_EQ(e("STREAM.CREATE.T", "{nonsense"), "10025");
  EXPECT_EQ(e("CONSUMER.INFO.S.none"), "10014");
  EXPECT_EQ(e("CONSUMER.DELETE.S.none"), "10014");
  EXPECT_EQ(e("CONSUMER.CREATE.NONE.c", "{\"stream_name\":\"NONE\",\"config\":{\"name\":\"c\"}}"), "10059");
  auto m = js.c.ask("$JS.API.CONSUMER.MSG.NEXT.S.none", "1");
  ASSERT_TRUE(m);
  EXPECT_EQ(m->status(), "503");
}

TEST(NodeJetStream, CreateTwiceUpdateDelete) {
  Js js;
  js.start();
  js.stream("S", "s");
  auto again = js.c.request("$JS.API.STREAM.CREATE.S", "{\"name\":\"S\",\"subjects\":[\"s\"]}");
  EXPECT_EQ(js.c.error_of(again), "");
  EXPECT_EQ(text_at(again, "did_create"), "true");  // as nats-server 2.15 answers the same request again
  EXPECT_EQ(js.c.publish("s"), 1);
  auto updated =
      js.c.request("$JS.API.STREAM.UPDATE.S", "{\"name\":\"S\",\"subjects\":[\"s\",\"t\"],\"max_msgs\":2}");
  EXPECT_EQ(js.c.error_of(updated), "");
  EXPECT_EQ(text_at(updated, "config.max_msgs"), "2");
  EXPECT_EQ(js.c.publish("t"), 2);
  EXPECT_EQ(js.c.publish("t"), 3);
  EXPECT_EQ(js.info("S", "state.first_seq"), "2");
  EXPECT_EQ(text_at(js.c.request("$JS.API.STREAM.PURGE.S"), "purged"), "2");
  EXPECT_EQ(text_at(js.c.request("$JS.API.STREAM.DELETE.S"), "success"), "true");
  auto gone = js.c.ask("s", "?");
  ASSERT_TRUE(gone);
  EXPECT_EQ(gone->status(), "503");
  js.stream("S", "s");
  EXPECT_EQ(js.c.publish("s"), 1);
}

// ---- consumers -------------------------------------------------------------------------------

TEST(NodeJetStream, PullAckRedeliver) {
  Js js;
  js.start();
  js.stream("S", "s");
  js.consumer("S", "c", "\"ack_wait\":1000000000");
  for (int i = 0; i < 5; ++i) js.c.publish("s", std::to_string(i));
  js.c.sub("box", "p");
  js.pull("S", "c", "box", "3");
  auto got = js.c.take("p");
  ASSERT_EQ(got.size(), 3u);
  EXPECT_EQ(got[0].subject, "s");
  EXPECT_TRUE(got[0].reply.starts_with("$JS.ACK.S.c.1.1.1."));
  EXPECT_EQ(js.cinfo("S", "c", "num_ack_pending"), "3");
  // With a reply the ack is answered.
  auto confirmed = js.c.ask(got[0].reply, "+ACK");
  ASSERT_TRUE(confirmed);
  EXPECT_EQ(confirmed->body, "");
  js.c.pub(got[1].reply, "-NAK");
  js.c.run(50 * kMillisecond);
  js.pull("S", "c", "box", "1");
  auto again = js.c.take("p");
  ASSERT_EQ(again.size(), 1u);
  EXPECT_EQ(again[0].body, "1");
  EXPECT_TRUE(again[0].reply.starts_with("$JS.ACK.S.c.2.2.")) << again[0].reply;
  // Silence: after ack_wait they come again.
  js.c.run(3 * kSecond);
  js.pull("S", "c", "box", "{\"batch\":10,\"no_wait\":true}");
  auto rest = js.c.take("p");
  std::set<std::string> bodies;
  for (auto& m : rest) {
    if (!m.body.empty()) bodies.insert(m.body);
  }
  EXPECT_EQ(bodies, (std::set<std::string>{"1", "2", "3", "4"}));
  for (auto& m : rest) {
    if (!m.body.empty()) js.c.pub(m.reply, "");
  }
  js.c.run(100 * kMillisecond);
  EXPECT_EQ(js.cinfo("S", "c", "num_ack_pending"), "0");
  EXPECT_EQ(js.cinfo("S", "c", "num_pending"), "0");
  EXPECT_EQ(js.cinfo("S", "c", "ack_floor.stream_seq"), "5");
}

TEST(NodeJetStream, PullsEndWithAStatus) {
  Js js;
  js.start();
  js.stream("S", "s");
  js.consumer("S", "c");
  js.c.sub("box", "p");
  js.pull("S", "c", "box", "{\"batch\":1,\"no_wait\":true}");
  auto none = js.c.take("p");
  ASSERT_EQ(none.size(), 1u);
  EXPECT_EQ(none[0].status(), "404");
  js.pull("S", "c", "box", "{\"batch\":1,\"expires\":1000000000}");
  js.c.run(3 * kSecond);
  auto late = js.c.take("p");
  ASSERT_EQ(late.size(), 1u);
  EXPECT_EQ(late[0].status(), "408");
  js.pull("S", "c", "box", "{\"batch\":1,\"expires\":60000000000}");
  (void)js.c.request("$JS.API.CONSUMER.DELETE.S.c");
  js.c.run();
  auto gone = js.c.take("p");
  ASSERT_EQ(gone.size(), 1u);
  EXPECT_EQ(gone[0].status(), "409");
}

TEST(NodeJetStream, AWaitingPullIsFedByALaterPublish) {
  Js js;
  js.start();
  js.stream("S", "s.>");
  js.consumer("S", "c", "\"filter_subject\":\"s.a\"");
  js.c.sub("box", "p");
  js.pull("S", "c", "box", "{\"batch\":2,\"expires\":60000000000}");
  js.c.publish("s.b", "no");
  js.c.publish("s.a", "yes");
  js.c.run(20 * kMillisecond);
  auto got = js.c.take("p");
  ASSERT_EQ(got.size(), 1u);
  EXPECT_EQ(got[0].body, "yes");
}

TEST(NodeJetStream, DeletingTheStreamEndsItsConsumers) {
  Js js;
  js.start();
  js.stream("S", "s");
  js.consumer("S", "c", "\"ack_wait\":1000000000");
  js.consumer("S", "push", "\"deliver_subject\":\"d\",\"idle_heartbeat\":500000000");
  js.c.sub("box", "p");
  js.c.sub("d", "d");
  js.c.publish("s");
  js.pull("S", "c", "box", "{\"batch\":5,\"expires\":60000000000}");
  EXPECT_EQ(js.c.take("p").size(), 1u);
  // Entries, acks and timers are under way while it goes.
  js.c.pub("s", "in flight", "_INBOX.x");
  js.c.pub("$JS.API.STREAM.DELETE.S", "");
  js.c.pub("s", "in flight", "_INBOX.x");
  js.c.run(10 * kSecond);
  bool ended = false;
  for (auto& m : js.c.take("p")) ended |= m.status() == "409";
  EXPECT_TRUE(ended);
  js.c.take("d");
  js.c.run(10 * kSecond);
  EXPECT_TRUE(js.c.take("d").empty()) << "heartbeats after the end";
  EXPECT_EQ(js.c.error_of(js.c.request("$JS.API.STREAM.INFO.S")), "10059");
}

TEST(NodeJetStream, PushFollowsInterest) {
  Js js;
  js.start();
  js.stream("S", "s");
  js.consumer("S", "push", "\"deliver_subject\":\"to.me\"");
  js.c.publish("s", "1");
  EXPECT_EQ(js.cinfo("S", "push", "push_bound"), "");
  EXPECT_EQ(js.cinfo("S", "push", "num_pending"), "1");
  TestClient other(js.w);
  ASSERT_TRUE(other.connect());
  other.sub("to.*", "7");  // a wildcard is interest too
  other.run(20 * kMillisecond);
  EXPECT_EQ(other.take("7").size(), 1u);
  EXPECT_EQ(js.cinfo("S", "push", "push_bound"), "true");
  other.hang_up();
  js.c.publish("s", "2");
  EXPECT_EQ(js.cinfo("S", "push", "num_pending"), "1");
  js.c.sub("to.me", "8");
  js.c.run(20 * kMillisecond);
  auto got = js.c.take("8");
  ASSERT_EQ(got.size(), 1u);
  EXPECT_EQ(got[0].body, "2");
  EXPECT_EQ(got[0].subject, "s");
}

TEST(NodeJetStream, PushFollowsItsDeliverSubject) {
  Js js;
  js.start();
  js.stream("S", "s");
  js.consumer("S", "push", "\"deliver_subject\":\"old\"");
  js.c.sub("old", "1");
  js.c.publish("s", "a");
  js.c.run(20 * kMillisecond);
  EXPECT_EQ(js.c.take("1").size(), 1u);
  js.consumer("S", "push", "\"deliver_subject\":\"new\"");
  js.c.publish("s", "b");
  js.c.run(20 * kMillisecond);
  EXPECT_TRUE(js.c.take("1").empty());
  EXPECT_EQ(js.cinfo("S", "push", "num_pending"), "1");  // nobody listens on the new subject yet
  js.c.sub("new", "2");
  js.c.run(20 * kMillisecond);
  EXPECT_EQ(js.c.take("2").size(), 1u);
}

TEST(NodeJetStream, PushToAQueueGroupNeedsThatGroup) {
  Js js;
  js.start();
  js.stream("S", "s");
  js.consumer("S", "push", "\"deliver_subject\":\"d\",\"deliver_group\":\"g\"");
  js.c.sub("d", "1");
  js.c.publish("s", "a");
  js.c.run(20 * kMillisecond);
  EXPECT_TRUE(js.c.take("1").empty());
  js.c.sub("d", "2", "g");
  js.c.run(20 * kMillisecond);
  EXPECT_EQ(js.c.take("2").size(), 1u);
}

TEST(NodeJetStream, AStreamStoresWhatIsDeliveredToItsSubject) {
  Js js;
  js.start();
  js.stream("FROM", "in.*");
  js.stream("TO", "out");
  js.consumer("FROM", "push", "\"deliver_subject\":\"out\",\"ack_policy\":\"none\"");
  js.c.publish("in.x", "carried");
  js.c.run(50 * kMillisecond);
  auto got = js.c.request("$JS.API.STREAM.MSG.GET.TO", "{\"seq\":1}");
  EXPECT_EQ(text_at(got, "message.subject"), "out");
  EXPECT_EQ(text_at(got, "message.data"), "Y2FycmllZA==");
}

TEST(NodeJetStream, UnusedConsumersGo) {
  Js js;
  js.start();
  js.stream("S", "s");
  js.consumer("S", "c", "\"inactive_threshold\":2000000000");
  js.c.run(kSecond);
  EXPECT_EQ(js.c.error_of(js.c.request("$JS.API.CONSUMER.INFO.S.c")), "");
  js.c.run(10 * kSecond);
  EXPECT_EQ(js.c.error_of(js.c.request("$JS.API.CONSUMER.INFO.S.c")), "10014");
  EXPECT_EQ(js.info("S", "state.consumer_count"), "0");
}

TEST(NodeJetStream, MaxAgeRemovesByItself) {
  Js js;
  js.start();
  js.stream("S", "s", "\"max_age\":5000000000,\"duplicate_window\":1000000000");
  js.consumer("S", "c");
  js.c.publish("s");
  js.c.run(3 * kSecond);
  js.c.publish("s");
  EXPECT_EQ(js.cinfo("S", "c", "num_pending"), "2");
  js.c.run(3 * kSecond);
  EXPECT_EQ(js.info("S", "state.messages"), "1");
  EXPECT_EQ(js.cinfo("S", "c", "num_pending"), "1");
  js.c.run(3 * kSecond);
  EXPECT_EQ(js.info("S", "state.messages"), "0");
  EXPECT_EQ(js.info("S", "state.last_seq"), "2");
}

TEST(NodeJetStream, AcksThatAreWatchedStillCount) {
  Js js;
  js.start();
  js.stream("S", "s");
  js.consumer("S", "c");
  js.c.publish("s");
  js.c.sub("box", "p");
  TestClient spy(js.w);
  ASSERT_TRUE(spy.connect());
  spy.sub("$JS.ACK.>", "1");
  js.pull("S", "c", "box", "1");
  js.c.pub(js.c.take("p").at(0).reply, "+ACK");
  js.c.run(50 * kMillisecond);
  EXPECT_EQ(spy.take("1").size(), 1u);
  EXPECT_EQ(js.cinfo("S", "c", "num_ack_pending"), "0");
}

TEST(NodeJetStream, DirectGet) {
  Js js;
  js.start();
  js.stream("S", "s.>", "\"allow_direct\":true");
  js.c.publish("s.a", "1");
  js.c.publish("s.a", "2");
  auto m = js.c.ask("$JS.API.DIRECT.GET.S.s.a");
  ASSERT_TRUE(m);
  EXPECT_EQ(m->body, "2");
  EXPECT_NE(m->headers.find("Nats-Sequence: 2"), std::string::npos);
  auto none = js.c.ask("$JS.API.DIRECT.GET.S.s.b");
  ASSERT_TRUE(none);
  EXPECT_EQ(none->status(), "404");
}

// ---- advisories ------------------------------------------------------------------------------

TEST(NodeJetStream, Advisories) {
  Js js;
  js.start();
  TestClient spy(js.w);
  ASSERT_TRUE(spy.connect());
  spy.sub("$JS.EVENT.>", "e");
  js.stream("S", "s");
  js.consumer("S", "c", "\"ack_wait\":1000000000,\"max_deliver\":2");
  js.c.publish("s", "unwanted");
  js.c.sub("box", "p");
  for (int i = 0; i < 4; ++i) {
    js.pull("S", "c", "box", "{\"batch\":1,\"expires\":1500000000}");
    js.c.run(2 * kSecond);
  }
  (void)js.c.request("$JS.API.CONSUMER.DELETE.S.c");
  (void)js.c.request("$JS.API.STREAM.DELETE.S");
  std::map<std::string, api::JsonValue> seen;
  for (auto& m : spy.take("e")) seen.emplace(m.subject, m.json());
  for (std::string subject :
       {"$JS.EVENT.ADVISORY.STREAM.CREATED.S", "$JS.EVENT.ADVISORY.STREAM.DELETED.S",
        "$JS.EVENT.ADVISORY.CONSUMER.CREATED.S.c", "$JS.EVENT.ADVISORY.CONSUMER.DELETED.S.c",
        "$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.S.c"}) {
    ASSERT_TRUE(seen.contains(subject)) << subject;
    EXPECT_EQ(text_at(seen.at(subject), "stream"), "S");
    EXPECT_TRUE(text_at(seen.at(subject), "type").starts_with("io.nats.jetstream.advisory.v1."));
  }
  const auto& max = seen.at("$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.S.c");
  EXPECT_EQ(text_at(max, "stream_seq"), "1");
  EXPECT_EQ(text_at(max, "deliveries"), "2");
}

// ---- limits ----------------------------------------------------------------------------------

TEST(NodeJetStream, AccountLimits) {
  Js js;
  config::AccountConfig a;
  a.name = "A";
  config::UserConfig u;
  u.name = "a";
  u.password = "p";
  a.users.push_back(u);
  config::AccountJetStreamConfig limits;
  limits.enabled = true;
  limits.max_streams = 2;
  limits.max_consumers = 1;
  limits.max_store = 10'000;
  limits.max_memory = 5'000;
  a.jetstream = limits;
  js.w.options.accounts = {a};
  js.w.start();
  ASSERT_TRUE(js.c.connect("\"user\":\"a\",\"pass\":\"p\""));
  js.stream("S", "s");
  js.stream("M", "m", "\"storage\":\"memory\"");
  auto third = js.c.request("$JS.API.STREAM.CREATE.T", "{\"name\":\"T\",\"subjects\":[\"t\"]}");
  EXPECT_EQ(js.c.error_of(third), "10027");
  js.consumer("S", "c");
  auto second =
      js.c.request("$JS.API.CONSUMER.CREATE.S.d",
                   "{\"stream_name\":\"S\",\"config\":{\"name\":\"d\",\"ack_policy\":\"explicit\"}}");
  EXPECT_EQ(js.c.error_of(second), "10026");
  js.consumer("S", "c");  // the one that is there may be asked for again
  // More than the account may have cannot be reserved.
  auto large = "\"max_bytes\":100000000";
  for (const char* named : {"\"name\":\"S\",\"subjects\":[\"s\"],",
                            "\"name\":\"M\",\"subjects\":[\"m\"],\"storage\":\"memory\","}) {
    std::string name(named + 8, 1);
    auto v = js.c.request("$JS.API.STREAM.UPDATE." + name, "{" + std::string(named) + large + "}");
    EXPECT_EQ(js.c.error_of(v), name == "S" ? "10047" : "10028");
  }
  // Storage: what is stored counts, and deletes make room.
  std::int64_t stored = 0;
  for (int i = 0; i < 30 && stored >= 0; ++i) stored = js.c.publish("s", std::string(1000, 'x'));
  EXPECT_EQ(stored, -10002);
  EXPECT_GT(js.c.publish("m", "x"), 0);
  (void)js.c.request("$JS.API.STREAM.PURGE.S");
  EXPECT_GT(js.c.publish("s", "x"), 0);
  for (int i = 0; i < 30 && stored < 0; ++i) stored = js.c.publish("m", std::string(1000, 'x'));
  for (int i = 0; i < 30 && stored >= 0; ++i) stored = js.c.publish("m", std::string(1000, 'x'));
  EXPECT_EQ(stored, -10002);
  auto info = js.c.request("$JS.API.INFO");
  EXPECT_EQ(text_at(info, "streams"), "2");
  EXPECT_EQ(text_at(info, "consumers"), "1");
  EXPECT_EQ(text_at(info, "limits.max_streams"), "2");
  // Deleting a stream gives everything back.
  (void)js.c.request("$JS.API.STREAM.DELETE.M");
  js.stream("M", "m", "\"storage\":\"memory\"");
  EXPECT_EQ(js.c.publish("m", "x"), 1);
}

TEST(NodeJetStream, ServerStorageLimits) {
  Js js;
  js.w.options.jetstream.max_file_store = 10'000;
  js.start();
  auto v =
      js.c.request("$JS.API.STREAM.CREATE.T", "{\"name\":\"T\",\"subjects\":[\"t\"],\"max_bytes\":20000}");
  EXPECT_EQ(js.c.error_of(v), "10047");
  js.stream("S", "s");
  std::int64_t stored = 0;
  for (int i = 0; i < 30 && stored >= 0; ++i) stored = js.c.publish("s", std::string(1000, 'x'));
  EXPECT_EQ(stored, -10047);
  (void)js.c.request("$JS.API.STREAM.PURGE.S");
  EXPECT_GT(js.c.publish("s", "x"), 0);
}

TEST(NodeJetStream, AccountsWithoutJetStreamAreToldSo) {
  Js js;
  config::AccountConfig a, b;
  a.name = "A";
  b.name = "B";
  config::UserConfig u;
  u.password = "p";
  u.name = "a";
  a.users = {u};
  u.name = "b";
  b.users = {u};
  a.jetstream.emplace().enabled = true;
  js.w.options.accounts = {a, b};
  js.w.start();
  ASSERT_TRUE(js.c.connect("\"user\":\"a\",\"pass\":\"p\""));
  js.stream("S", "s");
  TestClient other(js.w);
  ASSERT_TRUE(other.connect("\"user\":\"b\",\"pass\":\"p\""));
  EXPECT_EQ(other.error_of(other.request("$JS.API.INFO")), "10039");
  EXPECT_EQ(other.error_of(other.request("$JS.API.STREAM.INFO.S")), "10039");
}

TEST(NodeJetStream, ManyConsumersOneDeliverSubjectEach) {
  Js js;
  js.start();
  js.stream("S", "s");
  TestClient listener(js.w);
  ASSERT_TRUE(listener.connect());
  for (int i = 0; i < 100; ++i) {
    js.consumer("S", "p" + std::to_string(i), "\"deliver_subject\":\"d." + std::to_string(i) + "\"");
  }
  js.c.publish("s");
  for (int i = 0; i < 100; i += 2) listener.sub("d." + std::to_string(i), std::to_string(i));
  listener.run(50 * kMillisecond);
  EXPECT_EQ(listener.take().size(), 50u);
  listener.sub("d.>", "all");
  listener.run(50 * kMillisecond);
  EXPECT_EQ(listener.take("all").size(), 50u);
}

// Requests that waited for a leader are handled in one turn; all of them in one entry, they would be more
// than the journal takes.
TEST(NodeJetStream, ManyLargeRequestsOfOneTurnAreSeveralEntries) {
  Js js;
  TestWorld& w = js.w;
  w.options.max_payload = 8 << 20;
  w.tuning.journal_file_bytes = 16 << 20;
  w.tuning.journal_files_max = 32;
  js.start();
  js.stream("S", "S.>");
  EXPECT_EQ(js.c.publish("S.x"), 1);
  w.restart();
  TestClient c(w);
  ASSERT_TRUE(c.connect());
  c.sub("done", "done");
  std::string body = "{\"filter\":\"S." + std::string(6 << 20, 'y') + "\"}";
  for (int i = 0; i < 14; ++i) c.pub("$JS.API.STREAM.PURGE.S", body, "done");
  std::size_t done = 0;
  w.loop.run_until(
      [&] {
        for (auto& m : c.take("done")) done += text_at(m.json(), "success") == "true";
        return done == 14;
      },
      30 * kSecond);
  EXPECT_EQ(done, 14u);
  EXPECT_EQ(c.publish("S.x"), 2);
}

}  // namespace
}  // namespace weir::server
