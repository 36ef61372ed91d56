// Whole nodes in virtual time: core messaging, connections, accounts, lame duck, stop.
#include "broker/server/test_world.h"

namespace weir::server {
namespace {

using testing::TestClient;
using testing::TestMessage;
using testing::TestWorld;
using testing::text_at;

TEST(NodeCore, PublishReachesSubscribers) {
  TestWorld w;
  w.start();
  TestClient a(w), b(w);
  ASSERT_TRUE(a.connect());
  ASSERT_TRUE(b.connect());
  b.sub("t.*", "1");
  b.sub("t.>", "2");
  a.pub("t.x", "hi", "back");
  a.run();
  auto got = b.take();
  ASSERT_EQ(got.size(), 2u);
  for (const TestMessage& m : got) {
    EXPECT_EQ(m.subject, "t.x");
    EXPECT_EQ(m.reply, "back");
    EXPECT_EQ(m.body, "hi");
  }
  EXPECT_TRUE(a.take().empty());
}

TEST(NodeCore, InfoSaysWhoAndWhat) {
  TestWorld w;
  w.start();
  TestClient a(w);
  ASSERT_TRUE(a.connect());
  ASSERT_FALSE(a.lines().empty());
  const std::string& info = a.lines()[0];
  ASSERT_TRUE(info.starts_with("INFO {"));
  auto parsed = api::parse_json(info.substr(5));
  auto* v = std::get_if<api::JsonValue>(&parsed);
  ASSERT_TRUE(v);
  EXPECT_EQ(testing::text_at(*v, "server_name"), "n1");
  EXPECT_EQ(testing::text_at(*v, "server_id").size(), 56u);
  EXPECT_EQ(testing::text_at(*v, "jetstream"), "true");
  EXPECT_EQ(testing::text_at(*v, "headers"), "true");
  EXPECT_EQ(testing::text_at(*v, "client_id"), "1");
  EXPECT_EQ(testing::text_at(*v, "client_ip"), "10.0.0.9");
}

TEST(NodeCore, QueueGroupsAreFairAndServeOnce) {
  TestWorld w;
  w.start();
  TestClient a(w);
  ASSERT_TRUE(a.connect());
  std::vector<std::unique_ptr<TestClient>> members;
  for (int i = 0; i < 3; ++i) {
    members.push_back(std::make_unique<TestClient>(w));
    ASSERT_TRUE(members.back()->connect());
    members.back()->sub("job", "1", "workers");
  }
  TestClient watcher(w);
  ASSERT_TRUE(watcher.connect());
  watcher.sub("job", "9");
  constexpr std::size_t kJobs = 3000;
  for (std::size_t i = 0; i < kJobs; ++i) a.pub("job", std::to_string(i));
  a.run(kSecond);
  std::set<std::string> seen;
  std::size_t total = 0;
  for (auto& m : members) {
    auto got = m->take("1");
    EXPECT_GT(got.size(), kJobs / 4);
    EXPECT_LT(got.size(), kJobs / 2);
    total += got.size();
    for (auto& j : got) seen.insert(j.body);
  }
  EXPECT_EQ(total, kJobs);
  EXPECT_EQ(seen.size(), kJobs);
  EXPECT_EQ(watcher.take("9").size(), kJobs);
}

TEST(NodeCore, AMemberThatCannotTakeItLeavesItToOthers) {
  TestWorld w;
  w.start();
  TestClient a(w), b(w);
  ASSERT_TRUE(a.connect("\"echo\":false"));
  ASSERT_TRUE(b.connect());
  a.sub("job", "1", "q");
  b.sub("job", "1", "q");
  for (int i = 0; i < 50; ++i) a.pub("job", "x");
  a.run();
  EXPECT_EQ(a.take("1").size(), 0u);
  EXPECT_EQ(b.take("1").size(), 50u);
}

TEST(NodeCore, NoRespondersIsToldToTheAskerOnly) {
  TestWorld w;
  w.start();
  TestClient asker(w), spy(w);
  ASSERT_TRUE(asker.connect());
  ASSERT_TRUE(spy.connect());
  spy.sub("_INBOX.>", "7");
  auto m = asker.ask("nobody.home", "?");
  ASSERT_TRUE(m);
  EXPECT_EQ(m->headers, "NATS/1.0 503\r\nNats-Subject: nobody.home\r\n\r\n");
  EXPECT_EQ(m->body, "");
  EXPECT_TRUE(spy.take("7").empty());
}

TEST(NodeCore, NoRespondersNeedsToBeWanted) {
  TestWorld w;
  w.start();
  TestClient a(w);
  ASSERT_TRUE(a.connect("\"no_responders\":false"));
  EXPECT_FALSE(a.ask("nobody", "?", "", kSecond));
}

TEST(NodeCore, AutoUnsubscribeAcrossClients) {
  TestWorld w;
  w.start();
  TestClient a(w), b(w);
  ASSERT_TRUE(a.connect());
  ASSERT_TRUE(b.connect());
  b.sub("t", "1");
  b.send("UNSUB 1 2\r\n");
  b.run();
  for (int i = 0; i < 5; ++i) a.pub("t", std::to_string(i));
  a.run();
  EXPECT_EQ(b.take("1").size(), 2u);
  // Nobody listens any more: a request hears so.
  auto m = a.ask("t", "?");
  ASSERT_TRUE(m);
  EXPECT_EQ(m->status(), "503");
}

// ---- connections -----------------------------------------------------------------------------

TEST(NodeCore, MaxConnections) {
  TestWorld w;
  w.options.max_connections = 2;
  w.start();
  TestClient a(w), b(w), c(w);
  ASSERT_TRUE(a.connect());
  ASSERT_TRUE(b.connect());
  EXPECT_FALSE(c.connect());
  EXPECT_TRUE(c.saw("-ERR 'maximum connections exceeded'"));
  a.hang_up();
  TestClient d(w);
  EXPECT_TRUE(d.connect());
}

TEST(NodeCore, AuthenticationTimeout) {
  TestWorld w;
  w.options.authorization.present = true;
  w.options.authorization.user = "u";
  w.options.authorization.password = "p";
  w.start();
  auto pipe = w.transport.connect();
  w.loop.run_for(kSecond);
  EXPECT_FALSE(pipe->closed_by_server);
  w.loop.run_for(2 * kSecond);
  EXPECT_TRUE(pipe->closed_by_server);
  EXPECT_NE(pipe->to_client.find("-ERR 'Authentication Timeout'"), std::string::npos);
  TestClient good(w), bad(w);
  EXPECT_TRUE(good.connect("\"user\":\"u\",\"pass\":\"p\""));
  EXPECT_FALSE(bad.connect("\"user\":\"u\",\"pass\":\"q\""));
  EXPECT_TRUE(bad.saw("-ERR 'Authorization Violation'"));
  w.loop.run_for(kMinute);
  EXPECT_FALSE(good.closed());
}

TEST(NodeCore, SlowConsumerByPendingBytes) {
  TestWorld w;
  w.options.max_pending = 10'000;
  w.start();
  TestClient fast(w), slow(w);
  ASSERT_TRUE(fast.connect());
  ASSERT_TRUE(slow.connect());
  slow.sub("t", "1");
  slow.stall(true);
  for (int i = 0; i < 9; ++i) fast.pub("t", std::string(1000, 'x'));
  fast.run();
  EXPECT_FALSE(slow.closed());
  for (int i = 0; i < 9; ++i) fast.pub("t", std::string(1000, 'x'));
  fast.run();
  EXPECT_TRUE(slow.closed());
  EXPECT_EQ(testing::text_at(w.page("/varz"), "slow_consumers"), "1");
  auto closed = w.page("/connz", "state=closed");
  EXPECT_EQ(testing::text_at(closed, "connections.0.reason"), "Slow Consumer (Pending Bytes)");
  EXPECT_FALSE(fast.closed());
}

TEST(NodeCore, SlowConsumerByWriteDeadline) {
  TestWorld w;
  w.options.write_deadline = 5 * kSecond;
  w.start();
  TestClient fast(w), stuck(w), slow(w);
  ASSERT_TRUE(fast.connect());
  for (TestClient* c : {&stuck, &slow}) {
    ASSERT_TRUE(c->connect());
    c->sub("t", "1");
    c->stall(true);
  }
  // One reads nothing; the other never catches up, but what it was sent it has read in time.
  for (int second = 0; second < 20; ++second) {
    fast.pub("t", std::string(2000, 'x'));
    w.loop.run_for(kSecond);
    slow.trickle(1900);
    if (second == 3) {
      EXPECT_FALSE(stuck.closed());
    }
  }
  EXPECT_TRUE(stuck.closed());
  EXPECT_FALSE(slow.closed());
  EXPECT_GT(slow.unread(), 0u);
}

TEST(NodeCore, StaleConnectionIsClosed) {
  TestWorld w;
  w.options.ping_interval = 10 * kSecond;
  w.options.ping_max = 2;
  w.start();
  TestClient silent(w);
  ASSERT_TRUE(silent.connect());
  w.loop.run_for(20 * kSecond);
  EXPECT_FALSE(silent.closed());
  w.loop.run_for(kMinute);
  EXPECT_TRUE(silent.closed());
  EXPECT_TRUE(silent.saw("-ERR 'Stale Connection'"));
  EXPECT_EQ(testing::text_at(w.page("/varz"), "stale_connections"), "1");
}

TEST(NodeCore, ClosedConnectionsLeaveNothingBehind) {
  TestWorld w;
  w.start();
  TestClient a(w);
  ASSERT_TRUE(a.connect());
  auto before = testing::text_at(w.page("/varz"), "subscriptions");
  for (int i = 0; i < 20; ++i) {
    TestClient b(w);
    ASSERT_TRUE(b.connect());
    b.sub("t", "1");
    b.sub("t", "2", "q");
    a.pub("t", "x");
    if (i % 2) {
      b.hang_up();
    } else {
      b.send("FOO\r\n");
      b.run();
      EXPECT_TRUE(b.closed());
    }
  }
  EXPECT_EQ(testing::text_at(w.page("/varz"), "subscriptions"), before);
  EXPECT_EQ(testing::text_at(w.page("/varz"), "connections"), "1");
}

// ---- accounts --------------------------------------------------------------------------------

config::AccountConfig account(const std::string& name) {
  config::AccountConfig a;
  a.name = name;
  config::UserConfig u;
  u.name = name;
  u.password = "p";
  a.users.push_back(u);
  return a;
}
std::string login(const std::string& name) {
  return "\"user\":\"" + name + "\",\"pass\":\"p\"";
}

TEST(NodeCore, AccountsAreApart) {
  TestWorld w;
  w.options.accounts = {account("A"), account("B")};
  w.options.accounts[1].limits.max_connections = 1;
  w.options.accounts[1].limits.max_subscriptions = 2;
  w.options.accounts[1].limits.max_payload = 10;
  w.start();
  TestClient a(w), a2(w), b(w), b2(w);
  ASSERT_TRUE(a.connect(login("A")));
  ASSERT_TRUE(a2.connect(login("A")));
  ASSERT_TRUE(b.connect(login("B")));
  EXPECT_FALSE(b2.connect(login("B")));
  EXPECT_TRUE(b2.saw("-ERR 'maximum account active connections exceeded'"));
  a2.sub(">", "1");
  b.sub("t", "1");
  a.pub("t", "for A");
  a.run();
  EXPECT_EQ(a2.take("1").size(), 1u);
  EXPECT_TRUE(b.take("1").empty());
  b.sub("u", "2");  // with the inbox that makes three
  EXPECT_TRUE(b.saw("-ERR 'maximum subscriptions exceeded'"));
  b.pub("t", "12345678901");
  b.run();
  EXPECT_TRUE(b.closed());
  EXPECT_TRUE(b.saw("-ERR 'Maximum Payload Violation'"));
  EXPECT_TRUE(b2.connect(login("B")));
}

// ---- the end ---------------------------------------------------------------------------------

TEST(NodeCore, LameDuckClosesOverTime) {
  TestWorld w;
  w.options.lame_duck_grace_period = 10 * kSecond;
  w.options.lame_duck_duration = 20 * kSecond;
  w.start();
  std::vector<std::unique_ptr<TestClient>> clients;
  for (int i = 0; i < 50; ++i) {
    clients.push_back(std::make_unique<TestClient>(w));
    ASSERT_TRUE(clients.back()->connect());
  }
  auto open = [&] {
    std::size_t n = 0;
    for (auto& c : clients) n += !c->closed();
    return n;
  };
  bool done = false;
  w.node->lame_duck([&] { done = true; });
  w.loop.run_for(kSecond);
  EXPECT_TRUE(clients[0]->saw("\"ldm\":true"));
  EXPECT_FALSE(clients[0]->saw("\"port\":0,")) << "of INFO";
  EXPECT_EQ(text_at(w.page("/varz"), "port"), "4222");
  EXPECT_EQ(w.transport.connect(), nullptr);
  w.loop.run_for(8 * kSecond);
  EXPECT_EQ(open(), 50u);
  w.loop.run_for(6 * kSecond);
  EXPECT_LT(open(), 50u);
  EXPECT_FALSE(done);
  EXPECT_TRUE(w.loop.run_until([&] { return done; }, 20 * kSecond));
  EXPECT_EQ(open(), 0u);
}

TEST(NodeCore, LameDuckWithoutClientsEndsAtOnce) {
  TestWorld w;
  w.start();
  bool done = false;
  w.node->lame_duck([&] { done = true; });
  w.loop.run_for(kSecond);
  EXPECT_TRUE(done);
}

TEST(NodeCore, StopClosesEverybodyAndSaysWhenItIsDone) {
  TestWorld w;
  w.start();
  TestClient a(w), b(w);
  ASSERT_TRUE(a.connect());
  ASSERT_TRUE(b.connect());
  b.sub("t", "1");
  a.pub("t", "last words");
  a.run();
  bool done = false;
  w.node->stop([&] { done = true; });
  EXPECT_TRUE(w.loop.run_until([&] { return done; }, kMinute));
  EXPECT_TRUE(a.closed());
  EXPECT_EQ(b.take("1").size(), 1u);
  EXPECT_EQ(w.transport.connect(), nullptr);
}

TEST(NodeCore, APortThatIsTakenIsAnErrorOfStart) {
  TestWorld w;
  w.transport.port_taken = true;
  Status s = w.try_start();
  ASSERT_FALSE(s);
  EXPECT_TRUE(s.error().detail.starts_with("Error listening on port: 0.0.0.0:4222")) << s.error().detail;
}

TEST(NodeCore, WithoutJetStreamTheApiIsNotThere) {
  TestWorld w;
  w.options.jetstream.enabled = false;
  w.start();
  TestClient a(w);
  ASSERT_TRUE(a.connect());
  auto m = a.ask("$JS.API.INFO");
  ASSERT_TRUE(m);
  EXPECT_EQ(m->status(), "503");
  EXPECT_TRUE(w.disk.files().empty());
  w.stop();
}

TEST(NodeCore, SameSeedSameWorld) {
  auto run = [] {
    TestWorld w(42);
    w.start();
    TestClient a(w);
    EXPECT_TRUE(a.connect());
    (void)a.request("$JS.API.STREAM.CREATE.S", "{\"name\":\"S\",\"subjects\":[\"s\"]}");
    for (int i = 0; i < 20; ++i) a.publish("s");
    return w.node->id() + std::to_string(w.loop.time().turns()) + std::to_string(w.disk.counts().operations);
  };
  EXPECT_EQ(run(), run());
}

}  // namespace
}  // namespace weir::server
