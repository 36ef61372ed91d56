// Links of a mesh: who may come in, who is refused, and which of two connections is the link.
#include <gtest/gtest.h>

#include <algorithm>

#include "broker/cluster/mesh_harness.h"
#include "broker/proto/peer_frame.h"

namespace weir::cluster {
namespace {

using testing::MeshWorld;
using testing::node_id;

// ---- passwords, names and ids -----------------------------------------------------------------

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

// ---- strangers --------------------------------------------------------------------------------

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

TEST(Mesh, SilentStrangersKeepNoNodeOut) {
  MeshWorld w(3);
  ASSERT_TRUE(w[1].start());
  std::vector<std::unique_ptr<Stranger>> strangers;
  for (int i = 0; i < 300; ++i) strangers.push_back(std::make_unique<Stranger>(w, 3));
  w.time.run_for(300 * kMillisecond);
  w[2].routes({1});
  ASSERT_TRUE(w[2].start());
  w.time.run_for(500 * kMillisecond);
  EXPECT_TRUE(w[1].linked(2) && w[2].linked(1));
  auto over = std::count_if(strangers.begin(), strangers.end(), [](auto& s) { return s->over; });
  EXPECT_GE(over, 300 + 1 - 256);
  EXPECT_LT(over, 60) << "the rest may still say who they are";
  EXPECT_TRUE(w[1].log.contains("too many new connections"));
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

// ---- which connection is the link -------------------------------------------------------------

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

}  // namespace
}  // namespace weir::cluster
