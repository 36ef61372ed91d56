// What clients and operators see of a cluster: connect_urls, held back publishers, routes, $SYS requests.
#include <gtest/gtest.h>

#include "broker/server/cluster_rig.h"
#include "broker/server/node_state.h"
#include "broker/server/sys_service.h"
#include "broker/server/test_world.h"

namespace weir::server::testing {
namespace {

using Urls = std::vector<std::string>;

// ---- connect_urls --------------------------------------------------------------------------------

struct UrlWorld {
  env::testing::SimLoop loop;
  PipeTransport transport{loop};  // its machine has one interface, 10.0.0.1
  config::Options options;
  Urls own(std::optional<env::Endpoint> bound = env::Endpoint{"0.0.0.0", 4333}) {
    return own_client_urls(options, bound, transport);
  }
};

TEST(ConnectUrls, OwnOnesFollowTheListener) {
  UrlWorld w;
  w.options.host = "0.0.0.0";
  EXPECT_EQ(w.own(), Urls{"10.0.0.1:4333"});
  EXPECT_EQ(w.own(std::nullopt), Urls{});
  w.options.host = "127.0.0.1";
  EXPECT_EQ(w.own(), Urls{"127.0.0.1:4333"});
  w.options.host = "::1";
  EXPECT_EQ(w.own(), Urls{"[::1]:4333"});
  w.options.client_advertise = "outside.example.com:9999";
  EXPECT_EQ(w.own(), Urls{"outside.example.com:9999"});
  w.options.client_advertise = "outside.example.com";
  EXPECT_EQ(w.own(), Urls{"outside.example.com:4333"});
  w.options.client_advertise = "[2001:db8::1]:7";
  EXPECT_EQ(w.own(), Urls{"[2001:db8::1]:7"});
  w.options.client_advertise = "2001:db8::1";
  EXPECT_EQ(w.own(), Urls{"[2001:db8::1]:4333"});
  w.options.client_advertise = "h:-1";
  EXPECT_EQ(advertised_client(w.options, 4333).port, 4333);
  w.options.cluster.no_advertise = true;
  EXPECT_EQ(w.own(), Urls{});
}

TEST(ConnectUrls, RouteUrl) {
  config::Options o;
  EXPECT_EQ(own_route_url(o, {"0.0.0.0", 6222}), "") << "peers use the address that they see";
  o.cluster.host = "10.1.1.1";
  EXPECT_EQ(own_route_url(o, {"10.1.1.1", 6222}), "10.1.1.1:6222");
  o.cluster.advertise = "route.example.com";
  EXPECT_EQ(own_route_url(o, {"10.1.1.1", 6222}), "route.example.com:6222");
  o.cluster.advertise = "route.example.com:1";
  EXPECT_EQ(own_route_url(o, {"10.1.1.1", 6222}), "route.example.com:1");
}

TEST(ConnectUrls, OwnFirstThenPeers) {
  ConnectUrls urls;
  cluster::NodeInfo b = RigNode::info(1), c = RigNode::info(2);
  urls.enable({"me:1"});
  EXPECT_EQ(urls.list(false), Urls{}) << "alone there is nothing to tell";
  EXPECT_TRUE(urls.peer_up(b));
  EXPECT_TRUE(urls.peer_up(c));
  EXPECT_FALSE(urls.peer_changed(c)) << "the same as before";
  EXPECT_EQ(urls.list(false), (Urls{"me:1", "10.0.0.1:4222", "10.0.0.2:4222"}));
  EXPECT_EQ(urls.list(true), (Urls{"10.0.0.1:4222", "10.0.0.2:4222"})) << "lame duck";
  b.lame_duck = true;
  EXPECT_TRUE(urls.peer_changed(b));
  EXPECT_EQ(urls.list(false), (Urls{"me:1", "10.0.0.2:4222"}));
  EXPECT_FALSE(urls.peer_down(b.id));
  EXPECT_TRUE(urls.peer_down(c.id));
  EXPECT_EQ(urls.list(false), Urls{"me:1"});
}

TEST(ConnectUrls, NothingUnlessEnabled) {
  ConnectUrls urls;
  EXPECT_FALSE(urls.peer_up(RigNode::info(1)));
  EXPECT_EQ(urls.list(false), Urls{});
}

TEST(ConnectUrls, PeersWithoutUrlsCountForNothing) {
  ConnectUrls urls;
  urls.enable({"me:1"});
  cluster::NodeInfo b = RigNode::info(1);
  b.client_urls.clear();
  EXPECT_FALSE(urls.peer_up(b));
  EXPECT_EQ(urls.list(false), Urls{});
}

// ---- a node with real clients --------------------------------------------------------------------

/// Clients over a router whose only peer is as full as the test says.
struct Lanes final : PeerSide {
  void local_changed(const Account&, const session::Subscription&, bool) override {}
  bool forward(const Account&, std::string_view, const session::Inbound&,
               std::span<session::RemoteNode* const>) override {
    ++forwarded;
    return full;
  }
  bool crowded() const override { return full; }
  int forwarded = 0;
  bool full = false;
};

struct NodeOf {
  explicit NodeOf(FakeNet& net, std::size_t n = 0)
      : random(n + 1),
        transport(loop),
        disk(loop, loop, n + 1, {}),
        env{loop, loop, disk, transport, random, process, log},
        state(env, options(n)) {
    state.id = "N" + std::to_string(n);
    state.name = rig_name(n);
    for (const char* name : kRigAccounts) {
      Account& a = state.accounts.emplace_back();
      a.id = AccountId(static_cast<std::uint32_t>(state.accounts.size() - 1));
      a.name = name;
      a.is_system = state.accounts.size() == 1;
    }
    state.auth = std::make_unique<auth::AuthTable>(state.options);
    Clients::Hooks hooks;
    hooks.account = [this](AccountId) -> Account& { return state.accounts[1]; };
    hooks.info = [this] {
      proto::ServerInfo i;
      i.cluster = state.options.cluster.name;
      i.connect_urls = state.connect_urls.list(state.lame_duck);
      return i;
    };
    state.clients =
        std::make_unique<Clients>(env, state.options, *state.auth, state.router, std::move(hooks));
    EXPECT_TRUE(state.clients->listen({"0.0.0.0", 4222}));
    auto fake = std::make_unique<FakeMesh>(net, RigNode::info(n));
    mesh = fake.get();
    state.mesh = std::move(fake);
    state.interest = std::make_unique<Interest>(log, state.router, state.accounts, *mesh);
    sys = std::make_unique<SysService>(state);
    sys->start();
    loop.set_end_of_turn([this] { end_of_turn(); });
    state.connect_urls.enable({"10.0.0.9:4222"});
    events.node = this;
    mesh->events = &events;
  }
  ~NodeOf() {
    loop.set_end_of_turn([] {});
    state.clients.reset();
    sys.reset();
    state.interest.reset();
  }
  static config::Options options(std::size_t) {
    config::Options o;
    o.cluster.present = true;
    o.cluster.name = "C1";
    o.cluster.routes = {{"nats://user:secret@10.0.0.2:6222", {}}};
    return o;
  }
  void end_of_turn() {
    if (sys->run()) loop.post([] {});
    state.clients->flush();
    state.interest->flush();
  }
  struct Events final : cluster::MeshEvents {
    void peer_up(const cluster::NodeInfo& p) override {
      node->state.interest->peer_up(p);
      if (node->state.connect_urls.peer_up(p)) node->state.clients->broadcast_info();
    }
    void peer_changed(const cluster::NodeInfo& p) override {
      if (node->state.connect_urls.peer_changed(p)) node->state.clients->broadcast_info();
    }
    void peer_down(NodeId p) override {
      node->state.interest->peer_down(p);
      if (node->state.connect_urls.peer_down(p)) node->state.clients->broadcast_info();
    }
    void peer_alive(NodeId, bool) override {}
    void frame(NodeId from, cluster::FrameKind kind, const Bytes& payload) override {
      node->state.interest->frame(from, kind, payload);
    }
    NodeOf* node = nullptr;
  };
  std::shared_ptr<Pipe> connect() {
    auto pipe = transport.connect();
    loop.run_for(kMillisecond);
    say(*pipe, "CONNECT {\"verbose\":false,\"protocol\":1,\"headers\":true}\r\n");
    return pipe;
  }
  /// True if the node read it.
  bool say(Pipe& pipe, const std::string& text) {
    if (pipe.paused || !pipe.handler) return false;
    loop.post([&pipe, text] { pipe.handler->data(as_span(text)); });
    loop.run_for(0);
    return true;
  }

  env::testing::SimLoop loop;
  env::testing::SimRandom random;
  env::testing::SimProcess process;
  env::testing::LogSink log;
  PipeTransport transport;
  SimDisk disk;
  env::Env env;
  NodeState state;
  FakeMesh* mesh = nullptr;
  Events events;
  std::unique_ptr<SysService> sys;
};

TEST(HoldBack, PublishersWaitWhileALaneIsFull) {
  FakeNet net;
  NodeOf n(net);
  Lanes lanes;
  n.state.router.set_peers(&lanes);
  session::RemoteNode far;
  session::Subscription sub;
  sub.subject = "far.>";
  sub.remote = &far;
  n.state.router.add(n.state.accounts[1], sub);
  auto busy = n.connect(), quiet = n.connect();
  const std::string pub = "PUB far.x 1\r\nx\r\n";

  EXPECT_TRUE(n.say(*busy, pub));
  EXPECT_FALSE(busy->paused);
  lanes.full = true;
  EXPECT_TRUE(n.say(*busy, pub + pub));
  EXPECT_TRUE(n.say(*quiet, "PUB here 1\r\nx\r\n"));
  EXPECT_TRUE(busy->paused);
  EXPECT_FALSE(quiet->paused) << "it publishes to nobody there";
  EXPECT_EQ(lanes.forwarded, 3) << "what was read goes";
  n.loop.run_for(50 * kMillisecond);
  EXPECT_TRUE(busy->paused);
  lanes.full = false;
  n.loop.run_for(10 * kMillisecond);
  EXPECT_FALSE(busy->paused);
  EXPECT_EQ(n.state.clients->totals().stalls, 1u);
  EXPECT_EQ(n.state.clients->open_views(false)[0].stalls, 1u);

  lanes.full = true;
  EXPECT_TRUE(n.say(*busy, pub));
  EXPECT_TRUE(busy->paused);
  n.loop.run_for(kSecond + 10 * kMillisecond);
  EXPECT_FALSE(busy->paused) << "not for ever";

  EXPECT_TRUE(n.say(*busy, pub));
  EXPECT_TRUE(busy->paused);
  busy->handler->closed("");
  n.loop.run_for(2 * kSecond);
  EXPECT_EQ(n.state.clients->count(), 1u);

  EXPECT_TRUE(n.say(*quiet, pub + "NONSENSE\r\n"));
  n.loop.run_for(2 * kSecond);
  EXPECT_EQ(n.state.clients->count(), 0u) << "held back and closing";
  n.state.router.remove(n.state.accounts[1], sub);
  n.state.router.set_peers(n.state.interest.get());
}

TEST(ClusterInfo, ClientsHearOfPeers) {
  FakeNet net;
  NodeOf a(net, 0), b(net, 1);
  auto client = a.connect();
  EXPECT_NE(client->to_client.find("\"cluster\":\"C1\""), std::string::npos);
  EXPECT_EQ(client->to_client.find("connect_urls"), std::string::npos);
  client->to_client.clear();
  net.connect(*a.mesh, *b.mesh);
  a.loop.post([] {});
  a.loop.run_for(kMillisecond);
  EXPECT_NE(client->to_client.find("\"connect_urls\":[\"10.0.0.9:4222\",\"10.0.0.1:4222\"]"),
            std::string::npos)
      << client->to_client;
  client->to_client.clear();
  net.cut(*a.mesh, *b.mesh);
  a.loop.post([] {});
  a.loop.run_for(kMillisecond);
  EXPECT_NE(client->to_client.find("\"connect_urls\":[\"10.0.0.9:4222\"]"), std::string::npos);
}

TEST(ClusterMonitor, RoutesAreLinks) {
  FakeNet net;
  NodeOf a(net, 0), b(net, 1);
  net.connect(*a.mesh, *b.mesh);
  RigClient client(b.state.router, b.state.accounts[1]);
  client.sub("seen.here", "1");
  b.state.interest->flush();
  net.deliver_all();
  cluster::LinkStats link;
  link.peer = RigNode::info(1);
  link.rid = 5;
  link.remote_ip = "10.0.0.2";
  link.remote_port = 6222;
  link.solicited = link.configured = true;
  link.start = a.env.clock.wall() - kMinute;
  link.last_heard = a.env.clock.now() - 2 * kSecond;
  link.rtt = 1'500 * kMicrosecond;
  link.in_frames = 3;
  link.out_bytes = 4;
  link.pending_bytes = 6;
  a.mesh->links_shown = {link};

  MonitorView v(a.state);
  api::Routez z = v.routez();
  ASSERT_EQ(z.routes.size(), 1u);
  const api::RouteInfo& r = z.routes[0];
  EXPECT_EQ(r.remote_id, "N1");
  EXPECT_EQ(r.remote_name, "n1");
  EXPECT_EQ(r.ip, "10.0.0.2");
  EXPECT_EQ(r.port, 6222);
  EXPECT_TRUE(r.did_solicit && r.is_configured);
  EXPECT_EQ(r.rtt, "1.5ms");
  EXPECT_EQ(r.uptime, "1m0s");
  EXPECT_EQ(r.idle, "2s");
  EXPECT_EQ(r.in_msgs, 3);
  EXPECT_EQ(r.out_bytes, 4);
  EXPECT_EQ(r.pending_size, 6);
  EXPECT_EQ(r.subscriptions, a.state.interest->subscriptions(rig_id(1)));
  EXPECT_TRUE(r.subscriptions_list.empty());
  api::RoutezOptions with;
  with.subscriptions = true;
  auto list = v.routez(with).routes[0].subscriptions_list;
  EXPECT_NE(std::find(list.begin(), list.end(), "seen.here"), list.end());

  api::Varz varz = v.varz();
  EXPECT_EQ(varz.cluster.name, "C1");
  EXPECT_EQ(varz.cluster.host, "0.0.0.0");
  EXPECT_EQ(varz.cluster.port, 6222);
  EXPECT_EQ(varz.cluster.auth_timeout, 2);
  EXPECT_EQ(varz.cluster.urls, Urls{"10.0.0.2:6222"}) << "no passwords";
  EXPECT_EQ(varz.routes, 1);
  EXPECT_EQ(varz.connect_urls, (Urls{"10.0.0.9:4222", "10.0.0.1:4222"}));
  api::ServerStats statsz = v.statsz();
  EXPECT_EQ(statsz.active_servers, 2);
  ASSERT_EQ(statsz.routes.size(), 1u);
  EXPECT_EQ(statsz.routes[0].name, "n1");
}

// ---- $SYS ----------------------------------------------------------------------------------------

struct SysWorld {
  FakeNet net;
  NodeOf a{net, 0}, b{net, 1}, c{net, 2};
  SysWorld() {
    net.connect(*a.mesh, *b.mesh);
    net.connect(*a.mesh, *c.mesh);
    net.connect(*b.mesh, *c.mesh);
    settle();
  }
  void settle() {
    do {
      for (NodeOf* n : {&a, &b, &c}) n->end_of_turn();
    } while (net.deliver_all());
  }
  std::vector<std::string> ask(const std::string& subject, const std::string& body = "") {
    RigClient client(a.state.router, a.state.accounts[0]);
    client.sub("_INBOX.s.*", "1");
    client.pub(subject, body, "_INBOX.s.1");
    settle();
    std::vector<std::string> out;
    for (const RigMessage& m : client.take()) out.push_back(m.body.empty() ? m.headers : m.body);
    return out;
  }
};

bool is_from(const std::string& reply, const std::string& id) {
  return reply.find("\"id\":\"" + id + "\"") != std::string::npos;
}

TEST(ClusterSys, PingReachesEveryNode) {
  SysWorld w;
  for (const char* verb : {"", ".IDZ", ".VARZ", ".ROUTEZ", ".STATSZ"}) {
    auto replies = w.ask(std::string("$SYS.REQ.SERVER.PING") + verb);
    ASSERT_EQ(replies.size(), 3u) << verb;
    for (const char* id : {"N0", "N1", "N2"}) {
      EXPECT_EQ(std::count_if(replies.begin(), replies.end(), [&](auto& r) { return is_from(r, id); }), 1)
          << id;
    }
  }
  EXPECT_EQ(w.ask("$SYS.REQ.SERVER.PING.VARZ", "{\"server_name\":\"n2\"}").size(), 1u);
}

TEST(ClusterSys, OneNodeIsAskedByItsId) {
  SysWorld w;
  auto replies = w.ask("$SYS.REQ.SERVER.N2.VARZ");
  ASSERT_EQ(replies.size(), 1u);
  EXPECT_TRUE(is_from(replies[0], "N2"));
  EXPECT_TRUE(w.ask("$SYS.REQ.SERVER.N9.VARZ").empty() ||
              w.ask("$SYS.REQ.SERVER.N9.VARZ")[0].starts_with("NATS/1.0 503"));
}

TEST(ClusterSys, AccountRequestsReachEveryNode) {
  SysWorld w;
  EXPECT_EQ(w.ask("$SYS.REQ.ACCOUNT.PING.STATZ").size(), 3u);
  EXPECT_EQ(w.ask("$SYS.REQ.ACCOUNT.A.CONNZ").size(), 3u);
}

TEST(ClusterSys, EventsReachWatchersOfOtherNodes) {
  SysWorld w;
  RigClient watcher(w.b.state.router, w.b.state.accounts[0]);
  watcher.sub("$SYS.SERVER.*.LAMEDUCK", "1");
  w.settle();
  w.a.sys->announce("LAMEDUCK");
  w.settle();
  EXPECT_EQ(watcher.take().size(), 1u);
}

}  // namespace
}  // namespace weir::server::testing
