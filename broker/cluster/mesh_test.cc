#include "broker/cluster/mesh.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>

#include "broker/base/prng.h"
#include "broker/cluster/mesh_harness.h"
#include "broker/proto/peer_frame.h"

namespace weir::cluster {
namespace {

using testing::MeshNode;
using testing::MeshWorld;
using testing::node_id;
using testing::route_to;

// ---- who finds whom ---------------------------------------------------------------------------

TEST(Mesh, TwoNodesBothDial) {
  for (std::uint64_t seed = 1; seed <= 200; ++seed) {
    MeshWorld w(2, seed);
    w[1].routes({1, 2});
    w[2].routes({1, 2});
    w.start_all();
    ASSERT_TRUE(w.wait_full()) << seed;
    w.time.run_for(5 * kSecond);
    EXPECT_EQ(w[1].ups[2], 1u) << "no flapping, seed " << seed;
    EXPECT_EQ(w[2].ups[1], 1u) << "no flapping, seed " << seed;
    EXPECT_EQ(w[1].mesh->links().size(), 1u);
    EXPECT_EQ(w[1].mesh->seeds().unresolved, 0u);
    EXPECT_EQ(w[1].mesh->seeds().known, (std::vector<NodeId>{node_id(1), node_id(2)}));
    EXPECT_EQ(w[2].mesh->seeds().known, w[1].mesh->seeds().known);
  }
}

TEST(Mesh, FullMeshInAnyOrderOfStartFromPartialRoutes) {
  std::vector<unsigned> order = {1, 2, 3, 4, 5};
  std::uint64_t seed = 0;
  do {
    if (++seed % 4 != 0) continue;  // 30 of 120 orders
    MeshWorld w(5, seed);
    w[1].routes({1});
    w[2].routes({1});
    w[3].routes({2});
    w[4].routes({3});
    w[5].routes({4, 1});
    for (unsigned n : order) {
      ASSERT_TRUE(w[n].start());
      w.time.run_for(static_cast<Nanos>(seed % 7) * 100 * kMillisecond);
    }
    ASSERT_TRUE(w.wait_full()) << seed;
    w.time.run_for(5 * kSecond);
    for (auto& n : w.nodes) {
      EXPECT_EQ(n->mesh->links().size(), 4u);
      for (auto& [peer, times] : n->ups) EXPECT_EQ(times, 1u) << "seed " << seed;
      EXPECT_EQ(n->log.count(Level::kError) + n->log.count(Level::kWarn), 0u);
    }
  } while (std::next_permutation(order.begin(), order.end()));
}

TEST(Mesh, SelfRouteIsASeedAndNotDialledAgain) {
  MeshWorld w(1);
  w[1].routes({1});
  w.start_all();
  EXPECT_EQ(w[1].mesh->seeds().unresolved, 1u);
  w.time.run_for(kSecond);
  EXPECT_EQ(w[1].mesh->seeds().unresolved, 0u);
  EXPECT_EQ(w[1].mesh->seeds().known, (std::vector<NodeId>{node_id(1)}));
  auto bytes = w.net.delivered_bytes();
  w.time.run_for(kMinute);
  EXPECT_EQ(w.net.delivered_bytes(), bytes);
  EXPECT_TRUE(w[1].mesh->links().empty());
  EXPECT_EQ(w[1].log.count(Level::kError) + w[1].log.count(Level::kWarn), 0u);
}

TEST(Mesh, UnreachableRoutesStayUnresolvedAndAreTriedForEver) {
  MeshWorld w(2);
  w[1].routes({1, 2});
  ASSERT_TRUE(w[1].start());
  w.time.run_for(10 * kMinute);
  EXPECT_EQ(w[1].mesh->seeds().unresolved, 1u);
  ASSERT_TRUE(w[2].start());
  EXPECT_TRUE(w.wait_full(3 * kSecond));
  EXPECT_EQ(w[1].mesh->seeds().unresolved, 0u);
  EXPECT_TRUE(w[1].log.contains("no link over route 10.0.0.2:6222: connect: connection refused"));
}

TEST(Mesh, NothingIsSaidBeforeRelease) {
  MeshWorld w(2);
  for (unsigned n : {1u, 2u}) w[n].routes({1, 2});
  w[1].on_start = [](Mesh& mesh) { mesh.hold(); };
  w.start_all();
  w.time.run_for(5 * kSecond);
  EXPECT_FALSE(w[1].linked(2) || w[2].linked(1));
  w[1].mesh->release();
  EXPECT_TRUE(w.wait_full(2 * kSecond));
}

TEST(Mesh, RestartOfANode) {
  MeshWorld w(3);
  for (unsigned n : {1u, 2u, 3u}) w[n].routes({1, 2, 3});
  w.start_all();
  ASSERT_TRUE(w.wait_full());
  for (unsigned round = 0; round < 6; ++round) {
    unsigned n = 1 + round % 3;
    w[n].kill();
    w.time.run_for(round % 2 ? 0 : 2 * kSecond);
    ASSERT_TRUE(w[n].start());
    // Old links may stand for a moment.
    unsigned other = 1 + n % 3;
    auto seen = [&] {
      const NodeInfo* peer = w[other].mesh->peer(node_id(n));
      return peer && peer->boot == w[n].info.boot;
    };
    ASSERT_TRUE(w.time.run_until(seen, 3 * kSecond)) << round;
    ASSERT_TRUE(w.wait_full(3 * kSecond)) << round;
  }
}

TEST(Mesh, ARestartThatNobodyNoticedReplacesTheOldLink) {
  MeshWorld w(2);
  for (unsigned n : {1u, 2u}) w[n].routes({1, 2});
  for (unsigned n : {1u, 2u}) {
    w.start_all();
    ASSERT_TRUE(w.wait_full());
    unsigned other = 3 - n;
    // The news that it died never comes.
    w.net.partition(testing::host_of(n), testing::host_of(other));
    w[n].host.down();
    w[n].kill();
    w[n].host.up();
    w.time.run_for(100 * kMillisecond);
    EXPECT_TRUE(w[other].linked(n));
    ASSERT_TRUE(w[n].start());
    w.net.heal_all();
    ASSERT_TRUE(w.time.run_until([&] { return w[n].linked(other); }, 2 * kSecond));
    w.time.run_for(100 * kMillisecond);
    EXPECT_EQ(w[other].mesh->peer(node_id(n))->boot, w[n].info.boot);
    w[1].kill();
    w[2].kill();
  }
}

TEST(Mesh, OneSideLosesTheLink) {
  for (unsigned loser : {1u, 2u}) {
    MeshWorld w(2);
    for (unsigned n : {1u, 2u}) w[n].routes({1, 2});
    w.start_all();
    ASSERT_TRUE(w.wait_full());
    unsigned other = 3 - loser;
    w.net.partition(testing::host_of(loser), testing::host_of(other), env::testing::Cut::kFirstToSecond);
    ASSERT_TRUE(w.net.reset_one(w[loser].host));
    w.time.run_for(200 * kMillisecond);
    ASSERT_FALSE(w[loser].linked(other));
    ASSERT_TRUE(w[other].linked(loser));
    w.net.set_extra_delay(testing::host_of(loser), testing::host_of(other), 0);
    w.net.heal_all();
    EXPECT_TRUE(w.wait_full(4 * kSecond));
  }
}

TEST(Mesh, StopIsToldAndEndsLinks) {
  MeshWorld w(2);
  for (unsigned n : {1u, 2u}) w[n].routes({1, 2});
  w.start_all();
  ASSERT_TRUE(w.wait_full());
  EXPECT_TRUE(w[2].send(1, Lane::kRaft, "last words"));
  w[2].mesh->stop();
  EXPECT_EQ(w[2].mesh->peer(node_id(1)), nullptr);
  EXPECT_FALSE(w[2].send(1, Lane::kRaft, "too late"));
  w.time.run_for(100 * kMillisecond);
  EXPECT_FALSE(w[1].linked(2));
  EXPECT_TRUE(w[2].linked(1)) << "no event after stop()";
  EXPECT_EQ(w[1].frames, (std::vector<std::string>{"n1<n2:last words"}));
  EXPECT_TRUE(w[1].log.contains("is down: that node stops"));
  w[2].mesh->stop();
}

TEST(Mesh, PortTaken) {
  MeshWorld w(1);
  auto taken = w[1].host.listen({"", 6222}, [](auto) {});
  ASSERT_TRUE(taken);
  Status s = w[1].start();
  ASSERT_FALSE(s);
  EXPECT_EQ(s.error().detail, "cluster listener on 0.0.0.0:6222: bind: address already in use");
}

TEST(Mesh, EndpointAndAnyPort) {
  MeshWorld w(1);
  w[1].options.cluster.port = -1;
  w.start_all();
  ASSERT_TRUE(w[1].mesh->endpoint());
  EXPECT_GT(w[1].mesh->endpoint()->port, 0);
  EXPECT_EQ(w[1].mesh->self().route_url, ":" + std::to_string(w[1].mesh->endpoint()->port));
}

// ---- who may come in --------------------------------------------------------------------------

TEST(Mesh, PasswordsFromTheRouteOrOwnOnes) {
  MeshWorld w(3);
  for (auto& n : w.nodes) {
    n->options.cluster.user = "u";
    n->options.cluster.password = "p@ss";
  }
  w[2].options.cluster.routes.emplace_back("nats-route://u:p%40ss@10.0.0.1:6222", config::Position{});
  w[3].routes({1});  // no password in the URL: its own
  w.start_all();
  EXPECT_TRUE(w.wait_full());
}

TEST(Mesh, WrongPasswordIsRefused) {
  MeshWorld w(2);
  w[1].options.cluster.user = "u";
  w[1].options.cluster.password = "$2a$04$notahash";
  w[1].options.cluster.password = "right";
  w[2].options.cluster.routes.emplace_back("nats-route://u:wrong@10.0.0.1:6222", config::Position{});
  w.start_all();
  w.time.run_for(10 * kSecond);
  EXPECT_FALSE(w[1].linked(2) || w[2].linked(1));
  EXPECT_TRUE(w[1].log.contains("wrong user or password"));
  EXPECT_TRUE(w[2].log.contains("refused by the other side: wrong user or password"));
  EXPECT_LE(w[1].log.count(Level::kWarn), 1u) << "said once, not at every try";
  EXPECT_EQ(w[2].mesh->seeds().unresolved, 1u);
}

TEST(Mesh, OtherClusterNameIsRefused) {
  MeshWorld w(2);
  w[2].options.cluster.name = "other";
  w[2].routes({1});
  w.start_all();
  w.time.run_for(5 * kSecond);
  EXPECT_FALSE(w[1].linked(2) || w[2].linked(1));
  EXPECT_TRUE(w[1].log.contains("cluster names differ: \"other\" and \"c\""));
}

TEST(Mesh, OtherClusterIdIsRefusedAndUnbornNodesMayComeIn) {
  MeshWorld w(3);
  for (unsigned n : {1u, 2u, 3u}) w[n].routes({1, 2, 3});
  w[1].info.cluster_id = "A";
  w[2].info.cluster_id = "B";
  w.start_all();
  w.time.run_for(5 * kSecond);
  EXPECT_FALSE(w[1].linked(2) || w[2].linked(1));
  EXPECT_TRUE(w[1].linked(3) && w[2].linked(3));
  EXPECT_TRUE(w[1].log.contains("clusters founded apart") || w[2].log.contains("clusters founded apart"));
  // Born into A: the link to B ends, the other stays.
  NodeInfo info = w[3].mesh->self();
  info.cluster_id = "A";
  w[3].mesh->update_self(info);
  EXPECT_TRUE(w[3].linked(2)) << "not inside the call";
  w.time.run_for(5 * kSecond);
  EXPECT_TRUE(w[3].linked(1));
  EXPECT_FALSE(w[3].linked(2) || w[2].linked(3));
  ASSERT_EQ(w[1].changed.size(), 1u);
  EXPECT_EQ(w[1].changed[0].cluster_id, "A");
}

TEST(Mesh, WhatChangesWhileALinkComesUpIsToldToo) {
  for (unsigned dials : {1u, 2u}) {
    for (Nanos at = 0; at < 20 * kMillisecond; at += 20 * kMicrosecond) {
      MeshWorld w(2);
      w[dials].routes({3 - dials});
      w.start_all();
      w.time.run_for(at);
      NodeInfo info = w[1].mesh->self();
      info.cluster_id = "A";
      w[1].mesh->update_self(info);
      w.time.run_for(kSecond);
      const NodeInfo* seen = w[2].mesh->peer(node_id(1));
      ASSERT_TRUE(seen) << at;
      ASSERT_EQ(seen->cluster_id, "A") << at << " ns after the start, dialled by " << dials;
    }
  }
}

TEST(Mesh, CopiedStoreIsRefused) {
  MeshWorld w(3);
  w[2].info.id = node_id(1);
  w[2].routes({1});
  w.start_all();
  w.time.run_for(3 * kSecond);
  EXPECT_TRUE(w[1].mesh->links().empty());
  EXPECT_TRUE(w[1].log.contains("two nodes have the id 0000000001"));
}

TEST(Mesh, TwoCopiesOfAPeerDoNotFlap) {
  for (unsigned id : {1u, 9u}) {  // below and above the id of the third
    MeshWorld w(3);
    w[1].info.id = w[2].info.id = node_id(id);
    w[3].info.id = node_id(5);
    w[3].routes({1, 2});
    w.start_all();
    w.time.run_for(20 * kSecond);
    EXPECT_EQ(w[3].ups[id], 1u);
    EXPECT_TRUE(w[3].log.contains("two nodes have the id"));
  }
}

TEST(Mesh, SameNameIsAWarning) {
  MeshWorld w(2);
  w[2].info.name = "n1";
  w[2].routes({1});
  w.start_all();
  EXPECT_TRUE(w.wait_full());
  EXPECT_TRUE(w[1].log.contains("there is another node with the name of n1"));
}

/// A stranger that sends what it likes.
struct Stranger final : env::ConnectionHandler {
  Stranger(MeshWorld& w, unsigned at) : world(w) {
    w[at].host.dial({"10.0.0.1", 6222}, kSecond, [this](auto c) {
      connection = std::move(c).value();
      connection->start(this);
      connection->write({Bytes::copy_of(first)});
    });
  }
  void data(ByteSpan bytes) override { got += as_text(bytes); }
  void drained() override {}
  void closed(const std::string&) override { over = true; }
  MeshWorld& world;
  std::unique_ptr<env::Connection> connection;
  std::string first, got;
  bool over = false;
};

TEST(Mesh, StrangersAreClosed) {
  std::vector<Bytes> none;
  auto ping = proto::peer_header(4, 0, none);
  std::vector<Bytes> nonsense = {Bytes::copy_of("nonsense")};
  auto hello = proto::peer_header(1, 0, nonsense);
  struct {
    std::string bytes, log;
  } cases[] = {
      {"CONNECT {\"verbose\":false}\r\n", "frame of 1313754947 bytes"},
      {std::string(as_text(ping)), "it does not begin with a hello"},
      {std::string(as_text(hello)) + "nonsense", "this is no hello of a Weir node"},
      {"", "no hello in time"},
      {"abc", "no hello in time"},
  };
  for (auto& c : cases) {
    MeshWorld w(2);
    ASSERT_TRUE(w[1].start());
    Stranger s(w, 2);
    s.first = c.bytes;
    w.time.run_for(3 * kSecond);
    EXPECT_TRUE(s.over) << c.bytes;
    EXPECT_EQ(s.got, "");
    EXPECT_TRUE(w[1].log.contains(c.log)) << c.log;
    EXPECT_TRUE(w[1].mesh->links().empty());
  }
}

TEST(Mesh, NoCommonVersionIsRefused) {
  MeshWorld w(2);
  ASSERT_TRUE(w[1].start());
  proto::PeerHello h;
  h.version_min = 2;
  h.version_max = 9;
  h.info.id = node_id(2);
  std::vector<Bytes> body = {proto::encode_hello(h)};
  auto header = proto::peer_header(1, 0, body);
  Stranger s(w, 2);
  s.first = std::string(as_text(header)) + std::string(body[0].text());
  w.time.run_for(kSecond);
  EXPECT_TRUE(s.over);
  EXPECT_TRUE(w[1].log.contains("no common protocol version: 2 to 9 and 1 to 1"));
}

/// A peer that follows a script: says hello on a connection of its own, hears what comes.
struct Scripted final : env::ConnectionHandler, proto::PeerFrameEvents {
  Scripted(MeshWorld& w, unsigned id, std::uint64_t token, std::uint64_t stamp,
           std::vector<std::uint64_t> holds)
      : world(w) {
    hello.info.id = node_id(id);
    hello.info.server_id = "NSCRIPT";
    hello.info.name = "script";
    hello.info.boot = 1;
    hello.token = token;
    hello.stamp = stamp;
    hello.holds = std::move(holds);
    w[2].host.dial({"10.0.0.1", 6222}, kSecond, [this](auto c) {
      connection = std::move(c).value();
      connection->start(this);
      say(proto::PeerKind::kHello, proto::encode_hello(hello));
    });
    w.time.run_for(50 * kMillisecond);
  }
  void say(proto::PeerKind kind, Bytes body) {
    std::vector<Bytes> slices = {body};
    auto header = proto::peer_header(static_cast<std::uint8_t>(kind), 0, slices);
    slices.insert(slices.begin(), Bytes::copy_of(ByteSpan(header)));
    connection->write(std::move(slices));
    world.time.run_for(50 * kMillisecond);
  }
  void data(ByteSpan bytes) override { EXPECT_TRUE(parser.feed(bytes, *this)); }
  void drained() override {}
  void closed(const std::string&) override { over = true; }
  bool on_frame(proto::PeerFrame f) override {
    if (f.kind == static_cast<std::uint8_t>(proto::PeerKind::kHello)) {
      epoch = proto::decode_hello(f.payload.span())->epoch;
    }
    if (f.kind == static_cast<std::uint8_t>(proto::PeerKind::kRefuse)) {
      refused = proto::decode_refuse(f.payload.span())->why;
    }
    return true;
  }
  MeshWorld& world;
  proto::PeerHello hello;
  proto::PeerFrameParser parser;
  std::unique_ptr<env::Connection> connection;
  std::optional<std::uint64_t> epoch;
  std::optional<proto::Refusal> refused;
  bool over = false;
};

TEST(Mesh, TheLowerIdDecides) {
  MeshWorld w(2);
  ASSERT_TRUE(w[1].start());
  Scripted first(w, 9, 100, 5, {100});
  ASSERT_TRUE(first.epoch.has_value());
  EXPECT_EQ(w[1].ups[9], 1u);
  Scripted earlier(w, 9, 101, 4, {101});
  EXPECT_EQ(earlier.refused, proto::Refusal::kDuplicate) << "written before the hello of the link";
  Scripted holding(w, 9, 102, 6, {100, 102});
  EXPECT_EQ(holding.refused, proto::Refusal::kDuplicate) << "the other side has the link still";
  EXPECT_TRUE(earlier.over && holding.over);
  EXPECT_FALSE(first.over);
  EXPECT_EQ(w[1].ups[9], 1u);
  Scripted lost(w, 9, 103, 7, {103});
  ASSERT_TRUE(lost.epoch.has_value()) << "the other side has lost it";
  EXPECT_GT(*lost.epoch, *first.epoch);
  EXPECT_TRUE(first.over);
  EXPECT_EQ(w[1].ups[9], 2u);
}

TEST(Mesh, TheHigherIdFollowsTheLatestDecision) {
  MeshWorld w(2);
  w[1].info.id = node_id(20);
  ASSERT_TRUE(w[1].start());
  Scripted a(w, 9, 100, 5, {100}), b(w, 9, 101, 6, {100, 101}), c(w, 9, 102, 7, {102});
  EXPECT_FALSE(a.epoch.has_value()) << "it does not decide";
  EXPECT_FALSE(w[1].linked(9));
  b.say(proto::PeerKind::kReady, proto::encode_ready({2}));
  EXPECT_EQ(w[1].ups[9], 1u);
  a.say(proto::PeerKind::kReady, proto::encode_ready({1}));
  EXPECT_TRUE(a.over) << "an earlier decision that came late";
  EXPECT_FALSE(b.over);
  c.say(proto::PeerKind::kReady, proto::encode_ready({3}));
  EXPECT_TRUE(b.over);
  EXPECT_EQ(w[1].ups[9], 2u);
  Scripted undecided(w, 9, 103, 8, {103});
  w.time.run_for(3 * kSecond);
  EXPECT_TRUE(undecided.over);
  EXPECT_TRUE(w[1].linked(9));
}

TEST(Mesh, DamageOnALinkThatStandsEndsIt) {
  for (auto kind :
       {proto::PeerKind::kHello, proto::PeerKind::kReady, proto::PeerKind::kPing, proto::PeerKind::kPong,
        proto::PeerKind::kGossip, proto::PeerKind::kInfo, proto::PeerKind::kAsk, proto::PeerKind::kAnswer}) {
    MeshWorld w(2);
    ASSERT_TRUE(w[1].start());
    Scripted peer(w, 9, 100, 5, {100});
    peer.say(static_cast<proto::PeerKind>(15), Bytes::copy_of("of a later version"));
    EXPECT_TRUE(w[1].linked(9));
    peer.say(kind, Bytes::copy_of("\xff"));
    EXPECT_TRUE(peer.over) << static_cast<int>(kind);
    EXPECT_FALSE(w[1].linked(9));
    EXPECT_EQ(w[1].log.count(Level::kError), 1u);
  }
}

// ---- frames -----------------------------------------------------------------------------------

struct Pair : MeshWorld {
  explicit Pair(std::uint64_t seed = 1, env::testing::NetOptions net_options = {})
      : MeshWorld(2, seed, net_options) {
    for (unsigned n : {1u, 2u}) (*this)[n].routes({1, 2});
  }
  void up() {
    start_all();
    ASSERT_TRUE(wait_full());
    time.run_for(100 * kMillisecond);
  }
};

TEST(Mesh, FramesBothWays) {
  Pair w;
  w.up();
  EXPECT_TRUE(w[1].send(2, Lane::kMessages, "hello"));
  EXPECT_TRUE(w[1].send(2, Lane::kMessages, ""));
  EXPECT_TRUE(w[2].mesh->send(replica_id(node_id(1), 7), Lane::kRaft, FrameKind::kRaft, Bytes::copy_of("r")));
  EXPECT_FALSE(w[1].send(3, Lane::kMessages, "nobody"));
  EXPECT_FALSE(w[1].send(1, Lane::kMessages, "myself"));
  w[1].mesh->flush();
  w[2].mesh->flush();
  w.time.run_for(kSecond);
  EXPECT_EQ(w[2].frames, (std::vector<std::string>{"n2<n1:hello", "n2<n1:"}));
  EXPECT_EQ(w[1].frames, (std::vector<std::string>{"n1<n2:r"}));
}

TEST(Mesh, EarlierLanesGoFirst) {
  Pair w;
  w.up();
  for (Lane lane : {Lane::kBulk, Lane::kRequests, Lane::kMessages, Lane::kInterest, Lane::kRaft}) {
    for (int i = 0; i < 2; ++i) {
      EXPECT_TRUE(w[1].send(2, lane, std::to_string(static_cast<int>(lane)) + "." + std::to_string(i)));
    }
  }
  w[1].mesh->flush();
  w.time.run_for(kSecond);
  std::vector<std::string> want;
  for (int lane = 0; lane < 5; ++lane) {
    for (int i = 0; i < 2; ++i) want.push_back("n2<n1:" + std::to_string(lane) + "." + std::to_string(i));
  }
  EXPECT_EQ(w[2].frames, want);
}

TEST(Mesh, ALargeFrameIsNotCutAndOthersOvertakeWhatHasNotBegun) {
  Pair w;
  w.up();
  std::vector<std::string> order;
  w[2].on_frame = [&](unsigned, FrameKind, const Bytes& b) {
    order.push_back(b.size() > 100 ? "large" + std::string(b.text().substr(0, 1)) : std::string(b.text()));
  };
  std::string large(20u << 20, 'a');
  EXPECT_TRUE(w[1].send(2, Lane::kBulk, large)) << "larger than the lane, which is empty";
  EXPECT_FALSE(w[1].send(2, Lane::kBulk, "full")) << "now it is full";
  EXPECT_EQ(w[1].mesh->lane_bytes(node_id(2), Lane::kBulk), large.size() + 10);
  w[1].mesh->flush();
  EXPECT_LE(w[1].mesh->lane_bytes(node_id(2), Lane::kBulk), large.size() + 10 - (1u << 20) + 64);
  EXPECT_GT(w[1].mesh->lane_bytes(node_id(2), Lane::kBulk), large.size() - (2u << 20));
  EXPECT_TRUE(w[1].send(2, Lane::kMessages, std::string(2u << 20, 'b')));
  EXPECT_TRUE(w[1].send(2, Lane::kRaft, "raft"));
  w.time.run_for(kMinute);
  EXPECT_EQ(order, (std::vector<std::string>{"largea", "raft", "largeb"}));
  EXPECT_TRUE(w[1].linked(2) && w[2].linked(1)) << "bytes count as signs of life";
  EXPECT_EQ(w[1].mesh->links()[0].refused, 1u);
  EXPECT_EQ(w[1].ups[2], 1u);
}

TEST(Mesh, FullLanes) {
  Pair w;
  w[1].tuning.lane_bytes_max[static_cast<int>(Lane::kMessages)] = 1000;
  w.up();
  int taken = 0;
  while (w[1].send(2, Lane::kMessages, std::string(90, 'x'))) ++taken;
  EXPECT_EQ(taken, 10);
  EXPECT_TRUE(w[1].send(2, Lane::kInterest, "another lane"));
  w.time.run_for(kSecond);
  EXPECT_TRUE(w[1].send(2, Lane::kMessages, "again"));
  EXPECT_EQ(w[1].mesh->links()[0].refused, 1u);
  EXPECT_EQ(w[2].frames.size(), 11u);
}

TEST(Mesh, TransportHoldsNoMoreThanItsShare) {
  env::testing::NetOptions slow;
  slow.window = 1;
  slow.delay_min = slow.delay_max = kSecond;
  Pair w;
  w[1].tuning.transport_bytes_max = 10'000;
  w.up();
  w.net.partition(testing::host_of(1), testing::host_of(2));
  for (int i = 0; i < 1'000; ++i) EXPECT_TRUE(w[1].send(2, Lane::kMessages, std::string(1'000, 'x')));
  for (int i = 0; i < 10; ++i) w[1].mesh->flush();
  auto link = w[1].mesh->links()[0];
  std::size_t waiting = w[1].mesh->lane_bytes(node_id(2), Lane::kMessages);
  EXPECT_LE(link.pending_bytes - waiting, 10'000u);
  EXPECT_GT(waiting, 800'000u);
  w.net.heal_all();
  w.time.run_for(10 * kSecond);
  EXPECT_EQ(w[2].frames.size(), 1'000u);
}

TEST(Mesh, UnknownKindsOfUsersAreHandedOn) {
  Pair w;
  w.up();
  FrameKind seen{};
  w[2].on_frame = [&](unsigned, FrameKind kind, const Bytes&) { seen = kind; };
  EXPECT_TRUE(w[1].mesh->send(node_id(2), Lane::kRaft, static_cast<FrameKind>(200), Bytes()));
  w[1].mesh->flush();
  w.time.run_for(kSecond);
  EXPECT_EQ(static_cast<int>(seen), 200);
}

TEST(Mesh, OwnerRefusesAFrame) {
  Pair w;
  w.up();
  w[2].on_frame = [&](unsigned, FrameKind, const Bytes&) {
    w[2].mesh->refuse(node_id(1), "raft message: unknown type");
    EXPECT_TRUE(w[2].linked(1)) << "not inside the call";
  };
  EXPECT_TRUE(w[1].send(2, Lane::kRaft, "bad"));
  w[1].mesh->flush();
  w.time.run_for(20 * kMillisecond);
  EXPECT_TRUE(w[2].log.contains("is down: raft message: unknown type"));
  EXPECT_TRUE(w.wait_full(2 * kSecond));
  EXPECT_EQ(w[2].ups[1], 2u);
}

TEST(Mesh, StatsOfALink) {
  Pair w;
  w.up();
  EXPECT_TRUE(w[1].send(2, Lane::kRaft, "x"));
  w.time.run_for(3 * kSecond);
  auto a = w[1].mesh->links().at(0), b = w[2].mesh->links().at(0);
  EXPECT_NE(a.solicited, b.solicited);
  EXPECT_TRUE(a.configured && b.configured);
  EXPECT_EQ(a.remote_ip, "10.0.0.2");
  EXPECT_GT(a.rid, 0u);
  EXPECT_GT(a.in_bytes, 0u);
  EXPECT_GT(a.out_frames, 0u);
  EXPECT_GT(a.rtt, 0);
  EXPECT_LT(a.rtt, 100 * kMillisecond);
  EXPECT_EQ(a.peer.name, "n2");
  EXPECT_EQ(a.peer.route_url, "10.0.0.2:6222");
  EXPECT_EQ(w[1].mesh->peers().size(), 1u);
}

// ---- questions --------------------------------------------------------------------------------

struct Told {
  Mesh::Answer hear() {
    return [this](Result<Bytes> r) {
      ++times;
      text = r ? std::string(r->text()) : r.error().to_string();
    };
  }
  int times = 0;
  std::string text;
};

TEST(Mesh, Questions) {
  Pair w;
  w[2].on_start = [&](Mesh& mesh) {
    mesh.handle(Method::kApi, [](NodeId from, const Bytes& body, Mesh::Reply reply) {
      reply(
          Bytes::copy_of(std::to_string(from.v >> kIncarnationBits) + " asked " + std::string(body.text())));
    });
    mesh.handle(Method::kJoin, [](NodeId, const Bytes&, Mesh::Reply reply) {
      reply(Error(Code::kNotFound, "no such thing"));
    });
    mesh.handle(Method::kMetaState, [](NodeId, const Bytes&, Mesh::Reply) {});
  };
  w.up();
  auto ask = [&](Method method, NodeId to = node_id(2)) {
    Told told;
    w[1].mesh->ask(to, method, {Bytes::copy_of("who"), Bytes::copy_of(" is it")}, kSecond, told.hear());
    EXPECT_EQ(told.times, 0) << "not inside the call";
    w.time.run_for(2 * kSecond);
    EXPECT_EQ(told.times, 1);
    return told.text;
  };
  EXPECT_EQ(ask(Method::kApi), "1 asked who is it");
  EXPECT_EQ(ask(Method::kJoin), "not found: no such thing");
  EXPECT_EQ(ask(Method::kMetaState), "unavailable: no answer");
  EXPECT_EQ(ask(Method::kStreamInfo), "unsupported: method 6 is not known to that node");
  EXPECT_EQ(ask(Method::kApi, node_id(3)), "unavailable: no link to that node");
  EXPECT_EQ(ask(Method::kApi, replica_id(node_id(2), 3)), "1 asked who is it");
}

TEST(Mesh, QuestionsThatNobodyAnswers) {
  Pair w;
  std::vector<Mesh::Reply> kept;
  w[2].on_start = [&](Mesh& mesh) {
    mesh.handle(Method::kApi,
                [&](NodeId, const Bytes&, Mesh::Reply reply) { kept.push_back(std::move(reply)); });
  };
  w.up();
  Told late, broken, stopped;
  w[1].mesh->ask(node_id(2), Method::kApi, Bytes(), kSecond, late.hear());
  w.time.run_for(999 * kMillisecond);
  EXPECT_EQ(late.times, 0);
  w.time.run_for(2 * kMillisecond);
  EXPECT_EQ(late.text, "unavailable: no answer in time");
  kept.at(0)(Bytes::copy_of("too late"));
  w.time.run_for(kSecond);
  EXPECT_EQ(late.times, 1);

  w[1].mesh->ask(node_id(2), Method::kApi, Bytes(), kMinute, broken.hear());
  w.time.run_for(kSecond);
  ASSERT_TRUE(w.net.reset_one(w[1].host));
  w.time.run_for(100 * kMillisecond);
  EXPECT_EQ(broken.text, "unavailable: the link broke");
  ASSERT_TRUE(w.wait_full());
  kept.at(1)(Bytes::copy_of("over a link that is no more"));

  w[1].mesh->ask(node_id(2), Method::kApi, Bytes(), kMinute, stopped.hear());
  w.time.run_for(kSecond);
  w[1].mesh->stop();
  EXPECT_EQ(stopped.times, 0);
  w.time.run_for(kSecond);
  EXPECT_EQ(stopped.text, "unavailable: this node stops");
  w[2].kill();
  kept.clear();  // replies outlive the mesh
}

TEST(Mesh, QuestionWhenTheLaneIsFull) {
  Pair w;
  w.up();
  EXPECT_TRUE(w[1].send(2, Lane::kRequests, std::string(32u << 20, 'x')));
  Told told;
  w[1].mesh->ask(node_id(2), Method::kApi, Bytes(), kSecond, told.hear());
  w.time.run_for(100 * kMillisecond);
  EXPECT_EQ(told.text, "unavailable: the lane to that node is full");
}

// ---- silence ----------------------------------------------------------------------------------

TEST(Mesh, SilentPeersShowAndComeBack) {
  Pair w;
  w.up();
  w.time.run_for(kMinute);
  EXPECT_TRUE(w[1].silent.empty() && w[1].mesh->alive(node_id(2)));
  w.net.partition("10.0.0.2", "10.0.0.1", env::testing::Cut::kFirstToSecond);
  w.time.run_for(450 * kMillisecond);
  EXPECT_TRUE(w[1].silent.empty());
  w.time.run_for(250 * kMillisecond);
  EXPECT_EQ(w[1].silent, (std::set<unsigned>{2}));
  EXPECT_FALSE(w[1].mesh->alive(node_id(2)));
  EXPECT_TRUE(w[2].silent.empty()) << "n2 hears n1";
  w.net.heal_all();
  w.time.run_for(50 * kMillisecond);
  EXPECT_TRUE(w[1].silent.empty() && w[1].mesh->alive(node_id(2)));
  EXPECT_EQ(w[1].ups[2], 1u);
}

TEST(Mesh, DeadLinksEndAndComeBackAfterThePartition) {
  Pair w;
  w.up();
  w.net.partition("10.0.0.1", "10.0.0.2");
  w.time.run_for(5'200 * kMillisecond);
  EXPECT_FALSE(w[1].linked(2) || w[2].linked(1));
  EXPECT_TRUE(w[1].log.contains("is down: silent for"));
  w.time.run_for(kMinute);
  w.net.heal_all();
  EXPECT_TRUE(w.wait_full(3 * kSecond));
  w.time.run_for(kMinute);
  EXPECT_EQ(w[1].ups[2], 2u);
  EXPECT_EQ(w[2].ups[1], 2u);
}

// ---- everything at once -----------------------------------------------------------------------

/// Numbered frames in all lanes of all pairs, with resets, restarts and partitions. Per lane and life of
/// a sender: numbers only grow; when all is quiet again, everything gets through.
class Storm {
 public:
  explicit Storm(std::uint64_t seed) : w(4, seed), prng(seed * 31) {
    for (auto& n : w.nodes) {
      n->routes({1, 2});
      n->tuning.transport_bytes_max = 20'000;
      unsigned me = n->number;
      n->on_frame = [this, me](unsigned from, FrameKind, const Bytes& b) { hear(me, from, b); };
    }
    w.start_all();
  }
  void run() {
    for (int step = 0; step < 400; ++step) {
      for (int i = 0; i < 10; ++i) say();
      disturb();
      w.time.run_for(static_cast<Nanos>(prng.below(30)) * kMillisecond);
      if (::testing::Test::HasFailure()) return;
    }
    w.net.heal_all();
    ASSERT_TRUE(w.wait_full(20 * kSecond));
    w.time.run_for(10 * kSecond);
    ASSERT_TRUE(w.full());
    auto before = ups();
    heard = 0;
    int said = 0;
    for (int i = 0; i < 200; ++i) said += say();
    w.time.run_for(20 * kSecond);
    EXPECT_EQ(heard, said);
    EXPECT_EQ(ups(), before) << "nothing flaps";
    for (auto& n : w.nodes) EXPECT_EQ(n->log.count(Level::kError), 0u);
  }

 private:
  int say() {
    unsigned from = 1 + static_cast<unsigned>(prng.below(4)), to = 1 + static_cast<unsigned>(prng.below(4));
    auto lane = static_cast<Lane>(prng.below(kLanes));
    if (from == to || !w[from].mesh) return 0;
    std::string text = std::to_string(w[from].info.boot) + " " + std::to_string(static_cast<int>(lane)) +
                       " " + std::to_string(++number) + " ";
    text.resize(text.size() + prng.below(prng.chance(1, 30) ? 100'000 : 800), 'x');
    bool sent = w[from].send(to, lane, text);
    if (prng.chance(1, 3)) w[from].mesh->flush();
    return sent;
  }
  void hear(unsigned me, unsigned from, const Bytes& b) {
    ++heard;
    unsigned long long boot, lane, n;
    std::string text(b.text().substr(0, 60));
    ASSERT_EQ(std::sscanf(text.c_str(), "%llu %llu %llu", &boot, &lane, &n), 3);
    EXPECT_EQ(boot, w[me].mesh->peer(node_id(from))->boot) << "a frame of an earlier life";
    auto& last = seen[{me, from, lane}];
    EXPECT_GT(n, last) << "order or twice";
    last = n;
  }
  void disturb() {
    unsigned a = 1 + static_cast<unsigned>(prng.below(4)), b = 1 + static_cast<unsigned>(prng.below(4));
    switch (prng.below(40)) {
      case 0:
      case 1: (void)w.net.reset_one(w[a].host); break;
      case 2:
        if (!w[a].mesh) break;
        prng.chance(1, 2) ? w[a].mesh->stop() : void();
        w[a].kill();
        break;
      case 3:
        if (a != b) {
          w.net.partition(testing::host_of(a), testing::host_of(b),
                          prng.chance(1, 2) ? env::testing::Cut::kBoth : env::testing::Cut::kFirstToSecond);
        }
        break;
      case 4:
      case 5: w.net.heal_all(); break;
      default: break;
    }
    for (auto& n : w.nodes) {
      if (!n->mesh && prng.chance(1, 10)) {
        ASSERT_TRUE(n->start());
      }
    }
  }
  std::vector<unsigned> ups() {
    std::vector<unsigned> all;
    for (auto& n : w.nodes) {
      for (auto& [peer, times] : n->ups) all.push_back(times);
    }
    return all;
  }

  MeshWorld w;
  Prng prng;
  unsigned long long number = 0;
  int heard = 0;
  std::map<std::tuple<unsigned, unsigned, unsigned long long>, unsigned long long> seen;
};

TEST(Mesh, OrderAndAtMostOnceInAStorm) {
  const char* many = std::getenv("WEIR_SEEDS");
  std::uint64_t seeds = many ? std::stoull(many) : 40;
  for (std::uint64_t seed = 1; seed <= seeds; ++seed) {
    Storm storm(seed);
    storm.run();
    ASSERT_FALSE(HasFailure()) << "seed " << seed;
  }
}

}  // namespace
}  // namespace weir::cluster
