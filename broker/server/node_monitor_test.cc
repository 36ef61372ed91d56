// Whole nodes in virtual time: monitoring pages, $SYS requests and events. One model, many faces.
#include "broker/server/test_world.h"

namespace weir::server {
namespace {

using testing::at;
using testing::TestClient;
using testing::TestWorld;
using testing::text_at;

/// A world with a system user, and a user with JetStream in account A.
struct Site {
  Site() : c(w), sys(w) {
    config::AccountConfig a, s;
    config::UserConfig u;
    u.password = "p";
    u.name = "a";
    a.name = "A";
    a.users = {u};
    a.jetstream.emplace().enabled = true;
    u.name = "sys";
    s.name = "$SYS";
    s.users = {u};
    w.options.accounts = {a, s};
    w.options.system_account = "$SYS";
  }
  void start() {
    w.start();
    ASSERT_TRUE(
        c.connect("\"user\":\"a\",\"pass\":\"p\",\"name\":\"worker\",\"lang\":\"test\",\"version\":\"1\""));
    ASSERT_TRUE(sys.connect("\"user\":\"sys\",\"pass\":\"p\""));
  }
  void fill() {
    (void)c.request("$JS.API.STREAM.CREATE.S", "{\"name\":\"S\",\"subjects\":[\"s\"]}");
    (void)c.request("$JS.API.CONSUMER.CREATE.S.c",
                    "{\"stream_name\":\"S\",\"config\":{\"name\":\"c\",\"durable_name\":\"c\","
                    "\"ack_policy\":\"explicit\"}}");
    for (int i = 0; i < 7; ++i) c.publish("s", "hello");
  }
  TestWorld w;
  TestClient c, sys;
};

TEST(NodeMonitor, PagesAreJsonAndAgree) {
  Site s;
  s.start();
  s.fill();
  auto varz = s.w.page("/varz");
  auto connz = s.w.page("/connz", "auth=1&subs=1");
  auto jsz = s.w.page("/jsz", "accounts=1&streams=1&consumers=1&config=1");
  auto subsz = s.w.page("/subsz", "subs=1");
  auto accountz = s.w.page("/accountz");
  auto accstatz = s.w.page("/accstatz");
  auto healthz = s.w.page("/healthz");
  s.w.page("/routez");
  for (const auto* page : {&varz, &connz, &jsz, &subsz, &accountz, &accstatz}) {
    EXPECT_EQ(text_at(*page, "server_id"), s.w.node->id());
  }
  EXPECT_EQ(text_at(varz, "server_name"), "n1");
  EXPECT_EQ(text_at(varz, "connections"), "2");
  EXPECT_EQ(text_at(connz, "num_connections"), "2");
  EXPECT_EQ(text_at(connz, "connections.0.name"), "worker");
  EXPECT_EQ(text_at(connz, "connections.0.account"), "A");
  EXPECT_EQ(text_at(connz, "connections.0.authorized_user"), "a");
  EXPECT_EQ(text_at(subsz, "num_subscriptions"), text_at(varz, "subscriptions"));
  EXPECT_EQ(text_at(jsz, "streams"), "1");
  EXPECT_EQ(text_at(jsz, "consumers"), "1");
  EXPECT_EQ(text_at(jsz, "messages"), "7");
  EXPECT_EQ(text_at(jsz, "bytes"), text_at(varz, "jetstream.stats.storage"));
  EXPECT_EQ(text_at(jsz, "account_details.0.name"), "A");
  EXPECT_EQ(text_at(jsz, "account_details.0.stream_detail.0.name"), "S");
  EXPECT_EQ(text_at(jsz, "account_details.0.stream_detail.0.state.messages"), "7");
  EXPECT_EQ(text_at(jsz, "account_details.0.stream_detail.0.consumer_detail.0.name"), "c");
  EXPECT_EQ(text_at(jsz, "account_details.0.stream_detail.0.consumer_detail.0.num_pending"), "7");
  auto stream = s.c.request("$JS.API.STREAM.INFO.S");
  EXPECT_EQ(text_at(stream, "state.bytes"), text_at(jsz, "bytes"));
  EXPECT_EQ(text_at(healthz, "status"), "ok");
}

TEST(NodeMonitor, UnknownPagesAndBadQueries) {
  Site s;
  s.start();
  EXPECT_EQ(s.w.node->monitor("/nope", "").status, 404);
  EXPECT_EQ(s.w.node->monitor("/connz", "sort=nonsense").status, 400);
  EXPECT_EQ(s.w.node->monitor("/connz", "limit=x").status, 400);
  auto v = s.w.page("/varz");
  EXPECT_EQ(at(*at(v, "http_req_stats"), "/nope"), nullptr);
}

TEST(NodeMonitor, HealthOfOneStreamOrConsumer) {
  Site s;
  s.start();
  s.fill();
  auto code = [&](const std::string& q) { return s.w.node->monitor("/healthz", q).status; };
  EXPECT_EQ(code("account=A&stream=S"), 200);
  EXPECT_EQ(code("account=A&stream=S&consumer=c"), 200);
  EXPECT_EQ(code("account=A&stream=NONE"), 404);
  EXPECT_EQ(code("account=A&stream=S&consumer=none"), 404);
  EXPECT_EQ(code("account=NONE"), 404);
  EXPECT_EQ(code("stream=S"), 400);
  EXPECT_EQ(code("js-enabled-only=true"), 200);
  s.w.node->lame_duck([] {});
  EXPECT_EQ(code(""), 503);
}

TEST(NodeMonitor, SystemRequests) {
  Site s;
  s.start();
  s.fill();
  auto ping = s.sys.request("$SYS.REQ.SERVER.PING");
  EXPECT_EQ(text_at(ping, "server.id"), s.w.node->id());
  EXPECT_EQ(text_at(ping, "server.name"), "n1");
  EXPECT_EQ(text_at(ping, "statsz.connections"), "2");
  std::string own = "$SYS.REQ.SERVER." + s.w.node->id() + ".";
  for (std::string verb : {"VARZ", "CONNZ", "SUBSZ", "JSZ", "ROUTEZ", "ACCOUNTZ", "HEALTHZ"}) {
    auto direct = s.sys.request(own + verb);
    auto pinged = s.sys.request("$SYS.REQ.SERVER.PING." + verb);
    EXPECT_EQ(text_at(direct, "server.id"), s.w.node->id()) << verb;
    EXPECT_NE(at(direct, "data"), nullptr) << verb;
    EXPECT_NE(at(pinged, "data"), nullptr) << verb;
  }
  auto jsz = s.sys.request(own + "JSZ", "{\"accounts\":true,\"streams\":true}");
  EXPECT_EQ(text_at(jsz, "data.account_details.0.stream_detail.0.state.messages"), "7");
  EXPECT_EQ(text_at(jsz, "data.messages"), text_at(s.w.page("/jsz"), "messages"));
  auto varz = s.sys.request(own + "VARZ");
  EXPECT_EQ(text_at(varz, "data.connections"), text_at(s.w.page("/varz"), "connections"));
  auto accstatz = s.sys.request("$SYS.REQ.SERVER.PING.ACCSTATZ");
  EXPECT_NE(at(accstatz, "data"), nullptr);
  // A filter that names another server gets silence; nonsense gets an error.
  EXPECT_FALSE(s.sys.ask("$SYS.REQ.SERVER.PING", "{\"server_name\":\"other\"}", "", kSecond));
}

TEST(NodeMonitor, OthersCannotAskTheSystem) {
  Site s;
  s.start();
  auto m = s.c.ask("$SYS.REQ.SERVER.PING");
  ASSERT_TRUE(m);
  EXPECT_EQ(m->status(), "503");
  auto me = s.c.request("$SYS.REQ.USER.INFO");
  EXPECT_EQ(text_at(me, "data.user"), "a");
  EXPECT_EQ(text_at(me, "data.account"), "A");
}

TEST(NodeMonitor, StatszIsPushed) {
  Site s;
  s.start();
  s.sys.sub("$SYS.SERVER.*.STATSZ", "stats");
  s.w.loop.run_for(kMinute);
  auto got = s.sys.take("stats");
  EXPECT_GE(got.size(), 5u);
  EXPECT_LE(got.size(), 12u);
  auto v = got.back().json();
  EXPECT_EQ(text_at(v, "server.id"), s.w.node->id());
  EXPECT_EQ(text_at(v, "statsz.connections"), text_at(s.w.page("/varz"), "connections"));
}

TEST(NodeMonitor, ConnectAndDisconnectEvents) {
  Site s;
  s.start();
  s.sys.sub("$SYS.ACCOUNT.>", "e");
  TestClient d(s.w);
  ASSERT_TRUE(d.connect("\"user\":\"a\",\"pass\":\"p\",\"name\":\"visitor\""));
  d.hang_up();
  s.sys.run();
  auto got = s.sys.take("e");
  ASSERT_EQ(got.size(), 2u);
  EXPECT_EQ(got[0].subject, "$SYS.ACCOUNT.A.CONNECT");
  EXPECT_EQ(text_at(got[0].json(), "client.name"), "visitor");
  EXPECT_EQ(text_at(got[0].json(), "type"), "io.nats.server.advisory.v1.client_connect");
  EXPECT_EQ(got[1].subject, "$SYS.ACCOUNT.A.DISCONNECT");
  EXPECT_EQ(text_at(got[1].json(), "reason"), "Client Closed");
}

TEST(NodeMonitor, EndIsAnnounced) {
  Site s;
  s.start();
  s.sys.sub("$SYS.SERVER.*.SHUTDOWN", "e");
  s.sys.sub("$SYS.SERVER.*.LAMEDUCK", "l");
  s.w.node->lame_duck([] {});
  s.w.loop.run_for(kSecond);
  EXPECT_EQ(s.sys.take("l").size(), 1u);
  bool done = false;
  s.w.node->stop([&] { done = true; });
  s.w.loop.run_until([&] { return done; }, kMinute);
  EXPECT_EQ(s.sys.take("e").size(), 1u);
}

TEST(NodeMonitor, AccountFiguresCountTheAccountsOwnTraffic) {
  Site s;
  s.start();
  s.c.sub("t", "1");
  for (int i = 0; i < 10; ++i) s.c.pub("t", "12345");
  s.c.run();
  auto v = s.w.page("/accstatz");
  const auto* list = at(v, "account_statz");
  ASSERT_TRUE(list && list->array());
  for (const auto& a : *list->array()) {
    if (text_at(a, "acc") != "A") continue;
    EXPECT_EQ(text_at(a, "received.msgs"), "10");
    EXPECT_EQ(text_at(a, "received.bytes"), "50");
    EXPECT_EQ(text_at(a, "sent.msgs"), "10");
    EXPECT_EQ(text_at(a, "conns"), "1");
    return;
  }
  FAIL() << "account A is not there";
}

}  // namespace
}  // namespace weir::server
