#include "surveyor/merge.h"

#include <gtest/gtest.h>

#include "surveyor/rows_testing.h"

namespace weir::surveyor {
namespace {

using testing::answer;
using testing::consumer_row;
using testing::page;
using testing::statsz;
using testing::stream_row;

class MergeTest : public ::testing::Test {
 protected:
  using Snap = std::shared_ptr<const Snapshot>;
  /// Finishes `round` a minute after the one before.
  Snap finish(Round round) {
    now_ = now_ + kMinute;
    round.id = ++id_;
    return merger_.finish(std::move(round), now_);
  }
  /// n1 leads, n2 and n3 follow; each argument is what that server has.
  Snap three(std::uint64_t n1, std::uint64_t n2, std::uint64_t n3) {
    Round r;
    answer(r, "n1", {stream_row("n1", n1, {"n2", "n3"})});
    answer(r, "n2", {stream_row("n1", n2, {"n1", "n3"})});
    answer(r, "n3", {stream_row("n1", n3, {"n1", "n2"})});
    return finish(std::move(r));
  }
  /// One clustered server with one consumer.
  Snap one(ConsumerRow c, std::uint64_t last_seq = 100) {
    Round r;
    StreamRow s = stream_row("n1", last_seq);
    s.consumers.push_back(std::move(c));
    answer(r, "n1", {std::move(s)});
    return finish(std::move(r));
  }

  Merger merger_{MergeOptions{}};
  Wall now_{1'700'000'000 * kSecond};
  std::uint64_t id_ = 0;
};

TEST_F(MergeTest, LeaderRowWinsWhateverTheOrder) {
  for (int order = 0; order < 2; ++order) {
    Round r;
    StreamRow leader = stream_row("n1", 100, {"n2"}), follower = stream_row("n1", 100, {"n1"});
    leader.consumers.push_back(consumer_row("n2", 50, 20));
    follower.consumers.push_back(consumer_row("n2", 50, 20));
    leader.consumers[0].pending = 1000;  // a follower of the consumer believes this
    leader.consumers[0].ack_pending = 0;
    follower.consumers[0].pending = 50;  // its leader knows
    if (order) {
      answer(r, "n1", {leader});
      answer(r, "n2", {follower});
    } else {
      answer(r, "n2", {follower});
      answer(r, "n1", {leader});
    }
    auto s = finish(std::move(r));
    ASSERT_EQ(s->streams.size(), 1u);
    const StreamView& v = s->streams[0];
    EXPECT_EQ(v.labels, R"(cluster_name="C1",account="A",account_name="app",stream="ORDERS")");
    EXPECT_TRUE(v.has_leader);
    EXPECT_EQ(v.replicas_online, 2u);
    ASSERT_EQ(v.consumers.size(), 1u);
    EXPECT_EQ(v.consumers[0].pending, 50u);
    EXPECT_EQ(v.consumers[0].ack_pending, 30u);
    EXPECT_EQ(v.lag_consumer, 50u);
  }
}

TEST_F(MergeTest, NullClusterLeads) {
  Round r;
  StreamRow s = stream_row("", 10);
  s.group = {};
  ConsumerRow c = consumer_row("", 4, 4);
  c.group = {};
  s.consumers.push_back(c);
  answer(r, "solo", {s});
  auto snap = finish(std::move(r));
  const StreamView& v = snap->streams.at(0);
  EXPECT_TRUE(v.has_leader);
  EXPECT_TRUE(v.detail);
  EXPECT_EQ(v.state.messages, 10u);
  EXPECT_FALSE(v.lag_replica) << "one replica has no replica lag";
  EXPECT_TRUE(v.consumers.at(0).has_leader);
  EXPECT_TRUE(v.consumers.at(0).detail);
}

TEST_F(MergeTest, OfTwoClaimsTheNewerTermCounts) {
  Round r;
  StreamRow old_leader = stream_row("n1", 500, {"n2"}), new_leader = stream_row("n2", 400, {"n1"});
  old_leader.group.leader_since = {1 * kSecond};
  new_leader.group.leader_since = {2 * kSecond};
  answer(r, "n1", {old_leader});
  answer(r, "n2", {new_leader});
  EXPECT_EQ(finish(std::move(r))->streams.at(0).state.last_seq, 400u);
}

TEST_F(MergeTest, ReplicaLagNeedsTwoRounds) {
  EXPECT_EQ(three(1000, 1000, 1000)->streams.at(0).lag_replica, 0u);
  EXPECT_EQ(three(2000, 1900, 2001)->streams.at(0).lag_replica, 0u) << "one round shows only noise";
  EXPECT_EQ(three(3000, 2500, 3001)->streams.at(0).lag_replica, 100u) << "the smaller of two rounds";
  EXPECT_EQ(three(4000, 2500, 4000)->streams.at(0).lag_replica, 500u);
}

TEST_F(MergeTest, SilentFollowerLagsFromItsLastWord) {
  three(1000, 1000, 1000);
  Snap s;
  for (std::uint64_t last : {5000u, 20000u, 40000u}) {
    Round r;
    StreamRow leader = stream_row("n1", last, {"n2", "n3"});
    leader.group.peers[1].current = false;
    leader.group.peers[1].active_ns = kMinute;
    answer(r, "n1", {leader});
    answer(r, "n2", {stream_row("n1", last, {"n1", "n3"})});
    s = finish(std::move(r));
  }
  const StreamView& v = s->streams.at(0);
  EXPECT_EQ(v.lag_replica, 19000u);
  EXPECT_EQ(v.replicas_online, 2u);
  EXPECT_EQ(v.replicas, 3u);
  EXPECT_EQ(v.quorum_margin, 0);
  EXPECT_EQ(v.replicas_current, 2u);
  EXPECT_EQ(v.status, StreamStatus::kQuorumRisk);
  ASSERT_EQ(v.peers.size(), 2u);
  EXPECT_FALSE(v.peers[1].healthy);
  EXPECT_TRUE(v.peers[0].healthy);
}

TEST_F(MergeTest, PeerThatOnlyTheLeaderHearsIsOnline) {
  Round r;
  answer(r, "n1", {stream_row("n1", 10, {"n2", "n3"})});
  EXPECT_EQ(finish(std::move(r))->streams.at(0).replicas_online, 3u);
}

TEST_F(MergeTest, DeadLeaderKeepsItsValuesForTwoRounds) {
  three(1000, 1000, 1000);
  auto followers = [&] {
    Round r;
    answer(r, "n2", {stream_row("n1", 1000, {"n1", "n3"})});
    answer(r, "n3", {stream_row("n1", 1000, {"n1", "n2"})});
    return finish(std::move(r));
  };
  for (std::uint32_t i = 0; i < kRoundsKept; ++i) {
    auto s = followers();
    EXPECT_TRUE(s->streams.at(0).detail) << i;
    EXPECT_EQ(s->streams.at(0).state.last_seq, 1000u);
    EXPECT_EQ(s->streams.at(0).replicas_online, 2u);
  }
  EXPECT_FALSE(followers()->streams.at(0).detail) << "then its numbers are unknown, not 0";
  EXPECT_TRUE(followers()->streams.at(0).has_leader) << "a majority still names one";
}

TEST_F(MergeTest, NobodyNamesALeader) {
  Round r;
  answer(r, "n2", {stream_row("", 1000, {"n1", "n3"})});
  answer(r, "n3", {stream_row("", 1000, {"n1", "n2"})});
  auto s = finish(std::move(r));
  EXPECT_FALSE(s->streams.at(0).has_leader);
  EXPECT_EQ(s->streams.at(0).status, StreamStatus::kNoLeader);
  EXPECT_FALSE(s->streams.at(0).detail);
}

TEST_F(MergeTest, StreamOnASilentServerStaysAndLosesItsLeader) {
  Round r;
  answer(r, "n1", {stream_row("n1", 10)});
  answer(r, "n2", {});
  finish(std::move(r));
  Snap s;
  for (std::uint32_t i = 0; i <= kRoundsKept; ++i) {
    Round quiet;
    answer(quiet, "n2", {});
    s = finish(std::move(quiet));
    ASSERT_EQ(s->streams.size(), 1u);
  }
  EXPECT_FALSE(s->streams[0].has_leader);
  EXPECT_EQ(s->streams[0].replicas_online, 0u);
  EXPECT_EQ(s->streams[0].quorum_margin, -1);
  for (const ServerView& v : s->servers) EXPECT_EQ(v.up, v.identity.name == "n2");
  now_ = now_ + 2 * kHour;
  Round later;
  answer(later, "n2", {});
  s = finish(std::move(later));
  EXPECT_TRUE(s->streams.empty()) << "forgotten after an hour";
  EXPECT_EQ(s->servers.size(), 1u);
}

TEST_F(MergeTest, DeletedStreamAndConsumerGoAtOnce) {
  one(consumer_row("n1", 5, 5));
  Round r;
  answer(r, "n1", {stream_row("n1", 100)});
  EXPECT_TRUE(finish(std::move(r))->streams.at(0).consumers.empty());
  Round none;
  answer(none, "n1", {});
  EXPECT_TRUE(finish(std::move(none))->streams.empty());
}

TEST_F(MergeTest, TimedOutServerExplainsWhatIsMissing) {
  one(consumer_row("n1", 5, 5));
  Round r;
  r.add(statsz("n1"), true);  // answers PING, not JSZ
  auto s = finish(std::move(r));
  ASSERT_EQ(s->streams.size(), 1u);
  EXPECT_TRUE(s->streams[0].detail);
  EXPECT_TRUE(s->streams[0].has_leader);
  EXPECT_EQ(s->streams[0].replicas_online, 1u);
  ASSERT_EQ(s->streams[0].consumers.size(), 1u);
  EXPECT_EQ(s->streams[0].consumers[0].delivered, 5u);
}

TEST_F(MergeTest, BlindRoundsAccuseNobody) {
  three(10, 10, 10);
  for (std::uint32_t i = 0; i < kRoundsKept; ++i) {
    auto s = finish({});
    EXPECT_TRUE(s->blind);
    EXPECT_EQ(s->surveyed, 0u);
    EXPECT_EQ(s->expected, 3u);
    EXPECT_EQ(s->streams.size(), 1u);
    EXPECT_TRUE(s->streams[0].has_leader);
  }
  EXPECT_TRUE(finish({})->streams.empty());
  auto s = three(11, 11, 11);
  EXPECT_FALSE(s->blind);
  EXPECT_TRUE(s->streams.at(0).detail);
}

TEST_F(MergeTest, DriftShowsAfterIdleRounds) {
  auto drifting = [&](std::uint64_t last) {
    Round r;
    StreamRow follower = stream_row("n1", last, {"n1"});
    follower.state.messages -= 7;
    answer(r, "n1", {stream_row("n1", last, {"n2"})});
    answer(r, "n2", {follower});
    return finish(std::move(r))->streams.at(0).drift;
  };
  EXPECT_EQ(drifting(100), 0u);
  EXPECT_EQ(drifting(200), 0u) << "it moves";
  EXPECT_EQ(drifting(200), 0u);
  EXPECT_EQ(drifting(200), 0u);
  EXPECT_EQ(drifting(200), 7u);
  EXPECT_EQ(drifting(201), 0u);
}

TEST_F(MergeTest, LagsOfMirrorAndSources) {
  Round r;
  StreamRow s = stream_row("n1", 10);
  s.sources = {{"A", "", "", 5, kSecond}, {"A", "hub", "", 70, -1}};
  answer(r, "n1", {s});
  auto v = finish(std::move(r))->streams.at(0);
  EXPECT_EQ(v.lag_source, 70u);
  EXPECT_FALSE(v.lag_mirror);
  ASSERT_EQ(v.origins.size(), 2u);
  EXPECT_EQ(v.origins[0].active_s, 1.0);
  EXPECT_FALSE(v.origins[1].active_s) << "never heard is not 0 seconds ago";
  EXPECT_NE(v.origins[0].idx, v.origins[1].idx) << "the same origin twice";
}

TEST_F(MergeTest, CountersDoNotFallWhenLeadershipMoves) {
  auto lead_by = [&](const std::string& leader, std::uint64_t delivered, std::uint64_t acked) {
    Round r;
    for (const char* name : {"n1", "n2"}) {
      StreamRow s = stream_row(leader, 100, {name == leader ? "n2" : "n1"});
      s.consumers.push_back(consumer_row(leader, delivered, acked));
      answer(r, name, {s});
    }
    return finish(std::move(r))->streams.at(0).consumers.at(0);
  };
  EXPECT_EQ(lead_by("n1", 50, 40).delivered, 50u);
  auto moved = lead_by("n2", 47, 39);
  EXPECT_EQ(moved.delivered, 50u);
  EXPECT_EQ(moved.acked, 40u);
  EXPECT_EQ(lead_by("n2", 49, 41).delivered, 50u);
  EXPECT_EQ(lead_by("n2", 60, 55).delivered, 60u);
  EXPECT_EQ(lead_by("n2", 3, 1).delivered, 3u) << "the same leader: a reset, which Prometheus understands";
}

TEST_F(MergeTest, ConsumerMadeAnewStartsFromNothing) {
  ConsumerRow old_one = consumer_row("n1", 50, 40), new_one = consumer_row("n1", 2, 1);
  old_one.created = {1 * kSecond};
  new_one.created = {2 * kSecond};
  old_one.delivered.last_active = now_;
  one(old_one);
  auto c = one(new_one)->streams.at(0).consumers.at(0);
  EXPECT_EQ(c.delivered, 2u);
  EXPECT_EQ(c.redeliveries, 0.0);
  EXPECT_EQ(c.last_delivery.ns, 0) << "the old one's last delivery does not count";
}

TEST_F(MergeTest, RedeliveriesAreDeliveriesBeyondFirstOnes) {
  auto step = [&](std::uint64_t consumer_seq, std::uint64_t stream_seq) {
    ConsumerRow c = consumer_row("n1", consumer_seq, 0);
    c.delivered.stream_seq = stream_seq;
    return one(c)->streams.at(0).consumers.at(0).redeliveries;
  };
  EXPECT_EQ(step(10, 10), 0.0);
  EXPECT_EQ(step(25, 20), 5.0);
  EXPECT_EQ(step(30, 90), 5.0) << "a gap of deleted messages takes nothing back";
  EXPECT_EQ(step(1, 1), 5.0) << "a reset takes nothing back";
  EXPECT_EQ(step(4, 1), 8.0);
  ConsumerRow filtered = consumer_row("n1", 9, 0);
  filtered.config->filters = 1;
  EXPECT_FALSE(one(filtered)->streams.at(0).consumers.at(0).redeliveries);
}

TEST_F(MergeTest, LimitsThatDoNotExistAreAbsent) {
  ConsumerRow c = consumer_row("n1", 5, 0);
  c.config->max_ack_pending = -1;
  EXPECT_FALSE(one(c)->streams.at(0).consumers.at(0).max_ack_pending);
  c.config->max_ack_pending = 10;
  c.config->ack_policy = "none";
  EXPECT_FALSE(one(c)->streams.at(0).consumers.at(0).max_ack_pending);
  c.config->deliver_subject = "there";
  auto push = one(c)->streams.at(0).consumers.at(0);
  EXPECT_FALSE(push.pull);
  EXPECT_FALSE(push.max_waiting);
}

TEST_F(MergeTest, LastActivitySurvivesARestartOfTheLeader) {
  ConsumerRow c = consumer_row("n1", 5, 5);
  c.delivered.last_active = {7 * kSecond};
  one(c);
  c.delivered.last_active = {};
  EXPECT_EQ(one(c)->streams.at(0).consumers.at(0).last_delivery.ns, 7 * kSecond);
}

TEST_F(MergeTest, StatusChangesShowTheOldOneForARound) {
  ConsumerRow c = consumer_row("n1", 50, 50);
  for (int i = 0; i < 3; ++i) one(c);
  c.paused = true;
  auto v = one(c)->streams.at(0).consumers.at(0);
  EXPECT_EQ(v.status, ConsumerStatus::kPaused);
  EXPECT_EQ(v.previous_status, ConsumerStatus::kOk);
  EXPECT_FALSE(one(c)->streams.at(0).consumers.at(0).previous_status);
}

TEST_F(MergeTest, DurableOnlyLeavesOthersOut) {
  merger_ = Merger(MergeOptions{0, kHour, true});
  ConsumerRow c = consumer_row("n1", 5, 5);
  c.config->durable.clear();
  EXPECT_TRUE(one(c)->streams.at(0).consumers.empty());
}

TEST_F(MergeTest, ExpectedServersAreTheTopOfAllWeKnow) {
  Round r;
  r.add(statsz("n1", 5), true);
  EXPECT_EQ(finish(std::move(r))->expected, 5u);
  merger_ = Merger(MergeOptions{2, kHour, false});
  Round q;
  q.add(statsz("n1", 5), true);
  EXPECT_EQ(finish(std::move(q))->expected, 2u);
}

TEST_F(MergeTest, RestartedServerReplacesItsOldSelfAndGoodbyeIsDown) {
  Round r;
  r.add(statsz("n1"), true);
  r.add(statsz("n2"), true);
  finish(std::move(r));
  Round again;
  StatszReply reborn = statsz("n1");
  reborn.server.id = "ID-n1-second";
  again.add(std::move(reborn), true);
  again.goodbye(testing::server("n2"));
  auto s = finish(std::move(again));
  ASSERT_EQ(s->servers.size(), 2u);
  for (const ServerView& v : s->servers) {
    EXPECT_NE(v.identity.id, "ID-n1");
    EXPECT_EQ(v.up, v.identity.name == "n1");
  }
  EXPECT_EQ(s->surveyed, 1u);
}

TEST_F(MergeTest, MetaGroup) {
  Round r;
  for (const char* name : {"n1", "n2"}) {
    JszPage p = page(name, {});
    p.meta.emplace();
    p.meta->leader = "n1";
    p.meta->size = 3;
    if (p.server.name == "n1") {
      p.meta->peers = {{"n2", true, false, kSecond, 0}, {"n3", false, false, kMinute, 9}};
    }
    r.add(statsz(name), true);
    r.add(std::move(p));
    r.mark_complete(std::string("ID-") + name);
  }
  auto s = finish(std::move(r));
  ASSERT_EQ(s->metas.size(), 1u);
  EXPECT_TRUE(s->metas[0].has_leader);
  EXPECT_EQ(s->metas[0].quorum_margin, 0);
  EXPECT_FALSE(s->metas[0].disagreement);
  EXPECT_EQ(s->metas[0].peers.at(1).lag_ops, 9u);
}

TEST_F(MergeTest, LagInSecondsFollowsTheLeadersTimes) {
  auto at = [](std::int64_t s) { return Wall{(1'700'000'000 + s) * kSecond}; };
  ConsumerRow c = consumer_row("n1", 60, 50);
  c.pending = 40;
  Round r;
  StreamRow s = stream_row("n1", 100);
  s.state.first_ts = at(0);
  s.state.last_ts = at(99);
  s.consumers.push_back(c);
  JszPage p = page("n1", {s});
  p.server.time = at(120);
  r.add(statsz("n1"), true);
  r.add(std::move(p));
  r.mark_complete("ID-n1");
  auto v = finish(std::move(r))->streams.at(0).consumers.at(0);
  ASSERT_TRUE(v.lag_s);
  EXPECT_NEAR(*v.lag_s, 70, 0.01) << "message 51 came at second 50, now is 120";
  EXPECT_EQ(one(consumer_row("n1", 100, 100))->streams.at(0).consumers.at(0).lag_s, 0.0);
}

TEST(LagRing, PointsAndReset) {
  LagRing ring;
  StreamStateRow s;
  EXPECT_FALSE(ring.published_at(1));
  auto add = [&](std::uint64_t last, Nanos ts) {
    s.last_seq = last;
    s.last_ts = {ts};
    ring.add(s);
  };
  add(100, 100 * kSecond);
  EXPECT_EQ(ring.published_at(5)->ns, 100 * kSecond) << "at least as old as the point above";
  add(200, 300 * kSecond);
  EXPECT_EQ(ring.published_at(150)->ns, 200 * kSecond);
  EXPECT_FALSE(ring.published_at(201));
  for (std::uint64_t i = 0; i < 2 * LagRing::kPoints; ++i)
    add(300 + i, static_cast<Nanos>(400 + i) * kSecond);
  EXPECT_EQ(ring.published_at(300 + 2 * LagRing::kPoints - 1)->ns,
            (400 + 2 * LagRing::kPoints - 1) * kSecond);
  add(3, 900 * kSecond);
  EXPECT_EQ(ring.published_at(1)->ns, 900 * kSecond) << "made anew: the old points are gone";
}

StallSample sample(std::uint64_t position, std::uint64_t work, bool present = true) {
  StallSample s;
  s.position = position;
  s.work = work;
  s.client_present = present;
  s.delivered_consumer = s.delivered_stream = position;
  return s;
}

TEST(Stall, Verdicts) {
  auto verdict = [](std::vector<StallSample> samples) {
    StallWindow w;
    for (auto& s : samples) w.add(s);
    return w.evaluate();
  };
  using S = ConsumerStatus;
  EXPECT_FALSE(verdict({sample(1, 1), sample(1, 1)})) << "too few";
  EXPECT_EQ(verdict({sample(1, 5), sample(1, 0), sample(1, 5)}), S::kOk);
  EXPECT_EQ(verdict({sample(1, 5), sample(1, 5), sample(1, 5)}), S::kStalled);
  EXPECT_EQ(verdict({sample(1, 5, false), sample(1, 5, false), sample(1, 5, false)}), S::kStopped);
  EXPECT_EQ(verdict({sample(9, 5), sample(3, 5), sample(4, 5)}), S::kRewind);
  EXPECT_EQ(verdict({sample(1, 5), sample(2, 6), sample(3, 7)}), S::kWarning);
  EXPECT_EQ(verdict({sample(1, 7), sample(2, 6), sample(3, 7)}), S::kOk);
  auto full = [](std::uint64_t position) {
    StallSample s = sample(position, 5);
    s.saturated = true;
    return s;
  };
  EXPECT_EQ(verdict({full(1), full(2), full(3)}), S::kSaturated);
  EXPECT_EQ(verdict({full(1), full(1), full(1)}), S::kStalled);
}

TEST(Stall, OneMessageThatPinsTheFloorIsNoStall) {
  StallWindow w;
  for (std::uint64_t i = 0; i < 5; ++i) {
    StallSample s = sample(10, 3);
    s.ack_pending = 1;
    s.delivered_consumer = s.delivered_stream = 100 + 50 * i;
    w.add(s);
  }
  EXPECT_EQ(w.evaluate(), ConsumerStatus::kOk);
}

TEST(Stall, OneMessageRedeliveredForEverIs) {
  StallWindow w;
  for (std::uint64_t i = 0; i < 5; ++i) {
    StallSample s = sample(10, 3, false);
    s.ack_pending = 1;
    s.delivered_consumer = 100 + 5 * i;
    s.delivered_stream = 11;
    w.add(s);
  }
  EXPECT_EQ(w.evaluate(), ConsumerStatus::kStalled);
}

TEST(Labels, Escape) {
  std::string out;
  append_label(out, "a", "x\"y\\z\nw");
  append_label(out, "b", "");
  EXPECT_EQ(out, "a=\"x\\\"y\\\\z\\nw\",b=\"\"");
}

}  // namespace
}  // namespace weir::surveyor
