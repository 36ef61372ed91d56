// Replicas compare their states (P5): the frames, who is right, and whole nodes whose replicas are made to
// differ.
#include "broker/server/state_check.h"

#include "broker/base/varint.h"
#include "broker/jetstream/command.h"
#include "broker/server/cluster_world.h"
#include "broker/server/jetstream.h"

namespace weir::server {
namespace {

using testing::at;
using testing::ClusterClient;
using testing::ClusterWorld;
using testing::text_at;

NodeId replica(std::uint64_t n, std::uint64_t life = 0) {
  return replica_id(NodeId(n << kIncarnationBits), life);
}

// ---- frames ------------------------------------------------------------------------------------

StateFrame told() {
  StateFrame f;
  f.said = StateSaid::kTold;
  f.scheme = 1;
  f.items = {{GroupId(1), RaftIndex(7), NodeId(0x0102030405060708), 0x1122334455667788},
             {GroupId(300), RaftIndex(200), NodeId(9), 0}};
  return f;
}

TEST(StateFrames, ComeBackAsTheyWere) {
  for (auto said : {StateSaid::kAsk, StateSaid::kTold, StateSaid::kOdd}) {
    StateFrame f = told();
    f.said = said;
    if (said == StateSaid::kAsk) {
      for (StateItem& item : f.items) item = {item.group, item.index, NodeId(), 0};
    }
    auto back = decode_state_frame(encode_state_frame(f).span());
    ASSERT_TRUE(back) << back.error().detail;
    EXPECT_EQ(back->said, f.said);
    EXPECT_EQ(back->scheme, f.scheme);
    EXPECT_EQ(back->items, f.items);
  }
}

TEST(StateFrames, GoldenBytes) {
  const unsigned char expected[] = {
      1,    2,    1,    2,  // format, told, scheme, count
      1,    7,    8,    7,    6, 5, 4, 3, 2, 1, 0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11,  //
      0xac, 0x02, 0xc8, 0x01, 9, 0, 0, 0, 0, 0, 0,    0,    0,    0,    0,    0,    0,    0,    0, 0};
  Bytes frame = encode_state_frame(told());
  EXPECT_EQ(frame.text(), std::string_view(reinterpret_cast<const char*>(expected), sizeof expected));
}

TEST(StateFrames, WhatCannotBeIsRefused) {
  std::string good(encode_state_frame(told()).text());
  auto refused = [](const std::string& bytes) { return !decode_state_frame(as_span(bytes)); };
  EXPECT_FALSE(refused(good));
  for (std::size_t n = 0; n < good.size(); ++n) EXPECT_TRUE(refused(good.substr(0, n))) << n;
  EXPECT_TRUE(refused(good + "x"));
  auto with = [&](std::size_t at, char value) {
    std::string bad = good;
    bad[at] = value;
    return bad;
  };
  EXPECT_EQ(decode_state_frame(as_span(with(0, 2))).error().code, Code::kUnsupported);
  EXPECT_TRUE(refused(with(1, 0)));
  EXPECT_TRUE(refused(with(1, 4)));
  EXPECT_TRUE(refused(with(3, 3)));
  EXPECT_TRUE(refused(with(4, 0))) << "group 0";
  EXPECT_TRUE(refused(with(5, 0))) << "entry 0";
  std::string many("\x01\x01\x01\xff\xff\xff\xff\x7f", 8);
  EXPECT_TRUE(refused(many));
}

// ---- who is right ------------------------------------------------------------------------------

StateRound round_of(std::uint64_t voters, std::uint64_t learners = 0) {
  raft::ConfState conf;
  std::vector<NodeId> all;
  for (std::uint64_t n = 1; n <= voters + learners; ++n) {
    (n <= voters ? conf.voters : conf.learners).push_back(replica(n));
    all.push_back(replica(n));
  }
  return {RaftIndex(10), conf, all};
}

TEST(StateRound, AMajorityIsRight) {
  StateRound r = round_of(3);
  EXPECT_FALSE(r.right());
  r.told(replica(1), 5);
  EXPECT_FALSE(r.right());
  r.told(replica(2), 6);
  EXPECT_TRUE(r.differ());
  EXPECT_FALSE(r.right()) << "one against one";
  EXPECT_FALSE(r.complete());
  r.told(replica(3), 6);
  EXPECT_TRUE(r.complete());
  EXPECT_EQ(r.right(), 6u);
  EXPECT_EQ(r.odd(), std::vector<NodeId>{replica(1)}) << "also if it leads";
}

TEST(StateRound, WithoutAMajorityNobodyIs) {
  StateRound two = round_of(2);
  two.told(replica(1), 5);
  two.told(replica(2), 6);
  EXPECT_TRUE(two.complete() && two.differ());
  EXPECT_FALSE(two.right());
  StateRound five = round_of(5);
  for (std::uint64_t n = 1; n <= 5; ++n) five.told(replica(n), n / 2);  // 0 1 1 2 2
  EXPECT_FALSE(five.right());
}

TEST(StateRound, LearnersAreComparedAndDoNotCount) {
  StateRound r = round_of(1, 2);
  r.told(replica(2), 6);
  r.told(replica(3), 6);
  EXPECT_FALSE(r.right());
  r.told(replica(1), 5);
  EXPECT_EQ(r.right(), 5u);
  EXPECT_EQ(r.odd(), (std::vector<NodeId>{replica(2), replica(3)}));
}

TEST(StateRound, BothHalvesOfAJointConfigurationHaveToAgree) {
  raft::ConfState conf;
  conf.voters = {replica(1), replica(2), replica(3)};
  conf.outgoing = {replica(3), replica(4), replica(5)};
  StateRound r(RaftIndex(1), conf, {});
  for (std::uint64_t n : {1u, 2u, 3u}) r.told(replica(n), 5);
  EXPECT_FALSE(r.right());
  r.told(replica(4), 5);
  EXPECT_EQ(r.right(), 5u);
}

TEST(StateRound, StrangersAndEarlierLivesAreNotHeard) {
  StateRound r = round_of(3);
  r.told(replica(1), 5);
  r.told(replica(2, 1), 6);
  r.told(replica(9), 6);
  EXPECT_FALSE(r.differ());
  EXPECT_EQ(r.answers().size(), 1u);
}

// ---- whole nodes -------------------------------------------------------------------------------

struct Site : ClusterWorld {
  explicit Site(std::uint64_t seed, std::size_t n = 3) : ClusterWorld(n, seed) { start(); }

  StreamHost* host(std::size_t i, const std::string& stream) {
    for (StreamHost* h : nodes[i]->node->jetstream()->all_streams()) {
      if (h->name() == stream) return h;
    }
    return nullptr;
  }
  std::size_t leader(const std::string& stream) {
    for (std::size_t i = 0; i < size(); ++i) {
      StreamHost* h = host(i, stream);
      if (h && h->group().leading()) return i;
    }
    return size();
  }
  /// Somebody leads, `count` replicas have the same state at the same entry, and the leader has seen it.
  bool proven(const std::string& stream, std::size_t count) {
    std::size_t l = leader(stream);
    if (l == size()) return false;
    StreamHost* led = host(l, stream);
    std::size_t same = 0;
    for (std::size_t i = 0; i < size(); ++i) {
      StreamHost* h = host(i, stream);
      same += h && h->group().applied() == led->group().applied() && h->state_hash() == led->state_hash();
    }
    const StateCheck* check = nodes[l]->node->jetstream()->state_check();
    return same == count && check->proven(led->group_id()) == led->group().applied() &&
           check->difference(led->group_id()).empty();
  }
  std::uint64_t counted(std::size_t i, const std::string& what) {
    auto varz = page(i, "/varz");
    return parse_u64(text_at(varz, "jetstream.state_checks." + what)).value_or(999);
  }
  std::size_t errors(std::size_t i, const std::string& text) {
    std::size_t n = 0;
    for (const auto& line : nodes[i]->log.lines()) n += line.text.find(text) != std::string::npos;
    return n;
  }
  std::string log_of(std::size_t i) {
    std::string out;
    for (const auto& line : nodes[i]->log.lines()) out += line.text + "\n";
    return out;
  }
};

TEST(StateCheck, ReplicasAreFoundEqualAndIdleOnesAreNotAsked) {
  Site w(1);
  ClusterClient c(w, 0);
  ASSERT_TRUE(c.login());
  EXPECT_EQ(c.create_stream("S", 3), "");
  EXPECT_EQ(c.create_consumer("S", "k"), "");
  for (int i = 0; i < 20; ++i) EXPECT_EQ(c.publish("S.a"), i + 1);
  ASSERT_TRUE(w.eventually([&] { return w.proven("S", 3); }));
  std::size_t l = w.leader("S");
  w.run(3 * kSecond);
  std::uint64_t compared = w.counted(l, "compared");
  EXPECT_GT(compared, 0u);
  w.run(60 * kSecond);
  EXPECT_EQ(w.counted(l, "compared"), compared);
  EXPECT_EQ(w.counted(l, "differed"), 0u);
  auto raftz = w.page(l, "/raftz", "acc=A");
  const auto* group = at(raftz, "A." + w.host(l, "S")->group_name());
  ASSERT_NE(group, nullptr);
  EXPECT_EQ(text_at(*group, "state_hash").size(), 16u);
  EXPECT_EQ(text_at(*group, "state_proven"), text_at(*group, "applied"));
  // Who was away shows its state again, though nothing was written.
  std::size_t other = (l + 1) % 3;
  w[other].kill();
  w.run(2 * kSecond);
  w.start(other);
  EXPECT_TRUE(w.eventually([&] { return w.counted(l, "compared") > compared; }));
}

TEST(StateCheck, WhoDiffersFromAMajorityComesBackAsAnotherReplica) {
  for (std::uint64_t seed = 1; seed <= 6; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Site w(seed);
    ClusterClient c(w, 0);
    ASSERT_TRUE(c.login());
    EXPECT_EQ(c.create_stream("S", 3), "");
    for (int i = 0; i < 10; ++i) EXPECT_EQ(c.publish("S.a", std::to_string(i)), i + 1);
    ASSERT_TRUE(w.eventually([&] { return w.proven("S", 3); }));
    // Half of the seeds: the one that leads, which has to hand over first.
    std::size_t odd = (w.leader("S") + (seed % 2)) % 3;
    NodeId before = w.host(odd, "S")->group().self();
    ASSERT_TRUE(w.host(odd, "S")->store().remove(StreamSeq(4)));
    EXPECT_EQ(c.publish("S.a", "x"), 11) << "nothing is looked at before";
    ASSERT_TRUE(w.eventually([&] {
      StreamHost* h = w.host(odd, "S");
      return h && h->group().self() != before && w.proven("S", 3);
    })) << w.log_of(odd);
    EXPECT_GE(w.errors(odd, "is not what a majority has; it begins anew"), 1u);
    EXPECT_EQ(w.counted(odd, "given_up"), 1u);
    for (std::size_t i = 0; i < 3; ++i) {
      EXPECT_EQ(w.status(i, "/healthz"), 200);
      auto fourth = w.host(i, "S")->store().load(StreamSeq(4));
      ASSERT_TRUE(fourth && fourth->has_value());
      EXPECT_EQ((*fourth)->payload(), "3");
    }
    EXPECT_EQ(c.publish("S.a"), 12);
  }
}

TEST(StateCheck, WithoutAMajorityItIsReportedAndNothingIsDone) {
  Site w(5);
  ClusterClient c(w, 0);
  ASSERT_TRUE(c.login());
  EXPECT_EQ(c.create_stream("S", 2), "");
  for (int i = 0; i < 10; ++i) EXPECT_EQ(c.publish("S.a"), i + 1);
  ASSERT_TRUE(w.eventually([&] { return w.proven("S", 2); }));
  std::size_t l = w.leader("S");
  ASSERT_TRUE(w.host(l, "S")->store().remove(StreamSeq(4)));
  EXPECT_EQ(c.publish("S.a"), 11);
  w.run(20 * kSecond);
  EXPECT_EQ(w.errors(l, "no majority agrees, nothing is done"), 1u) << "said once";
  EXPECT_EQ(w.counted(l, "given_up"), 0u);
  EXPECT_EQ(w.status(l, "/healthz"), 503);
  MonitorReply health = w[l].node->monitor("/healthz", "details=1");
  EXPECT_NE(health.body.find("replicas differ at entry"), std::string::npos) << health.body;
  EXPECT_EQ(c.publish("S.a"), 12) << "it goes on";
}

TEST(StateCheck, AMetaReplicaThatDiffersBeginsAnewToo) {
  for (std::uint64_t seed = 1; seed <= 4; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Site w(seed);
    ClusterClient c(w, 0);
    ASSERT_TRUE(c.login());
    EXPECT_EQ(c.create_stream("S", 3), "");
    std::size_t leader = w.index(w.meta_leader(0));
    std::size_t odd = (leader + (seed % 2)) % 3;
    cluster::MetaGroup& meta = w[odd].node->jetstream()->meta();
    NodeId before = meta.self();
    jetstream::EntryBuilder b;
    b.meta_delete_stream("A", "nothing");
    ASSERT_TRUE(meta.apply(meta.group().applied(), meta.group().term(), b.finish(Wall{kSecond}), false));
    EXPECT_EQ(c.create_stream("T", 3), "");
    ASSERT_TRUE(w.eventually([&] {
      JetStream* js = w[odd].node->jetstream();
      if (js->meta().self() == before || !w.settled()) return false;
      for (std::size_t i = 0; i < 3; ++i) {
        if (w[i].node->jetstream()->meta().state().state_hash() != js->meta().state().state_hash())
          return false;
      }
      return true;
    })) << w.log_of(odd);
    EXPECT_GT(c.publish("T.a"), 0);
    EXPECT_EQ(c.create_stream("U", 3), "");
  }
}

}  // namespace
}  // namespace weir::server
