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

TEST(NodeMonitor, UsersMayAskForTheirOwnAccount) {
  Site s;
  s.start();
  for (std::string subject : {"$SYS.REQ.SERVER.PING.CONNZ", "$SYS.REQ.ACCOUNT.PING.CONNZ"}) {
    auto connz = s.c.request(subject, "{\"acc\":\"$SYS\",\"auth\":true}");
    EXPECT_EQ(text_at(connz, "data.total"), "1") << subject;
    EXPECT_EQ(text_at(connz, "data.connections.0.account"), "A") << subject;
  }
  EXPECT_EQ(text_at(s.sys.request("$SYS.REQ.SERVER.PING.CONNZ"), "data.total"), "2");
  auto statz = s.c.request("$SYS.REQ.ACCOUNT.PING.STATZ", "{\"accounts\":[\"$SYS\"]}");
  EXPECT_EQ(text_at(statz, "data.account_statz.0.acc"), "A");
  EXPECT_EQ(at(statz, "data.account_statz.1"), nullptr);
}

TEST(NodeMonitor, OneAccount) {
  Site s;
  s.start();
  auto info = s.sys.request("$SYS.REQ.ACCOUNT.A.INFO");
  EXPECT_EQ(text_at(info, "data.account_name"), "A");
  EXPECT_EQ(text_at(info, "data.jetstream_enabled"), "true");
  EXPECT_EQ(text_at(info, "data.client_connections"), "1");
  auto z = s.sys.request("$SYS.REQ.SERVER.PING.ACCOUNTZ", "{\"account\":\"A\"}");
  EXPECT_EQ(text_at(z, "data.account_detail.account_name"), "A");
  EXPECT_EQ(at(z, "data.accounts"), nullptr);
  EXPECT_EQ(text_at(s.w.page("/accountz", "acc=A"), "account_detail.complete"), "true");
  for (auto [subject, body] : {std::pair("$SYS.REQ.ACCOUNT.NONE.INFO", ""),
                               std::pair("$SYS.REQ.SERVER.PING.ACCOUNTZ", "{\"account\":\"NONE\"}")}) {
    EXPECT_EQ(text_at(s.sys.request(subject, body), "error.description"), "Account NONE does not exist");
  }
  EXPECT_EQ(s.w.node->monitor("/accountz", "acc=NONE").status, 400);
}

TEST(NodeMonitor, QueuesAndProfiles) {
  Site s;
  s.start();
  std::string own = "$SYS.REQ.SERVER." + s.w.node->id() + ".";
  auto all = s.sys.request(own + "IPQUEUESZ", "{\"all\":true}");
  EXPECT_EQ(text_at(*at(all, "data")->find("JetStream API queue"), "pending"), "0");
  EXPECT_NE(at(all, "data")->find("System recvQ"), nullptr);
  auto some = s.sys.request(own + "IPQUEUESZ", "{\"all\":true,\"filter\":\"JetStream\"}");
  EXPECT_EQ(at(some, "data")->find("System recvQ"), nullptr);
  EXPECT_NE(s.w.page("/ipqueuesz", "all=1").find("System recvQ"), nullptr);
  EXPECT_EQ(text_at(s.sys.request(own + "PROFILEZ"), "data.error"), "Profile name not specified");
  auto none = s.sys.request(own + "PROFILEZ", "{\"name\":\"allocs\"}");
  EXPECT_NE(text_at(none, "data.error").find("Profile \"allocs\" not found"), std::string::npos);
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
  std::vector<std::string> conns;
  std::erase_if(got, [&](const auto& m) {
    if (!m.subject.ends_with(".SERVER.CONNS")) return false;
    EXPECT_EQ(text_at(m.json(), "acc"), "A");
    EXPECT_EQ(text_at(m.json(), "type"), "io.nats.server.advisory.v1.account_connections");
    conns.push_back(text_at(m.json(), "conns"));
    return true;
  });
  EXPECT_EQ(conns, (std::vector<std::string>{"2", "1"}));
  ASSERT_EQ(got.size(), 2u);
  EXPECT_EQ(got[0].subject, "$SYS.ACCOUNT.A.CONNECT");
  EXPECT_EQ(text_at(got[0].json(), "client.name"), "visitor");
  EXPECT_EQ(text_at(got[0].json(), "type"), "io.nats.server.advisory.v1.client_connect");
  EXPECT_EQ(got[1].subject, "$SYS.ACCOUNT.A.DISCONNECT");
  EXPECT_EQ(text_at(got[1].json(), "reason"), "Client Closed");
  // Figures come again and again, under the older subject too.
  s.sys.sub("$SYS.SERVER.ACCOUNT.*.CONNS", "old");
  s.sys.run(31 * kSecond);
  EXPECT_EQ(s.sys.take("old").size(), 2u);  // A and $SYS have connections
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
