// Interest and messages between nodes: every rule by itself; interest_property_test.cc has them at random.
#include "broker/server/interest.h"

#include <gtest/gtest.h>

#include "broker/server/cluster_rig.h"

namespace weir::server::testing {
namespace {

using Messages = std::vector<RigMessage>;

std::size_t frames(RigNode& n, cluster::Lane lane) {
  return n.mesh.sent[static_cast<std::size_t>(lane)];
}

struct CountingListener final : session::Listener {
  void on_message(const session::Inbound& m) override {
    subjects.emplace_back(m.subject);
    bodies.emplace_back(m.body);
  }
  std::vector<std::string> subjects, bodies;
};

struct ListenerAt {
  ListenerAt(RigNode& n, std::size_t account, const std::string& subject, bool told)
      : router(n.router), account_(n.accounts[account]) {
    sub.subject = subject;
    sub.listener = &listener;
    sub.told = told;
    router.add(account_, sub);
  }
  ~ListenerAt() { router.remove(account_, sub); }
  CountingListener listener;
  session::Subscription sub;
  Router& router;
  Account& account_;
};

TEST(Interest, MessageReachesSubscriberOfAnotherNode) {
  ClusterRig rig(2);
  RigClient a(rig.node(0), 1), b(rig.node(1), 1), other(rig.node(1), 2);
  b.sub("orders.*", "7");
  other.sub("orders.*", "8");
  rig.settle();
  a.pub("orders.eu", "hello", "answer.here");
  a.hpub("orders.us", "NATS/1.0\r\nK: v\r\n\r\n", "");
  rig.settle();
  EXPECT_EQ(b.take(), (Messages{{"orders.eu", "7", "answer.here", "", "hello"},
                                {"orders.us", "7", "", "NATS/1.0\r\nK: v\r\n\r\n", ""}}));
  EXPECT_TRUE(other.take().empty()) << "accounts are separate";
  EXPECT_EQ(rig.node(0).interest->stats().sent, 2u);
  EXPECT_EQ(rig.node(1).interest->stats().received, 2u);
}

TEST(Interest, NoFrameForNodesWithoutInterest) {
  ClusterRig rig(3);
  RigClient a(rig.node(0), 1), b(rig.node(1), 1);
  b.sub("x", "1");
  b.sub(">", "2");
  rig.settle();
  a.pub("x", "1");
  rig.settle();
  EXPECT_EQ(b.take().size(), 2u);
  EXPECT_EQ(frames(rig.node(0), cluster::Lane::kMessages), 1u) << "once per node, not per subscription";
  EXPECT_EQ(frames(rig.node(1), cluster::Lane::kMessages), 0u) << "never forwarded again";
}

TEST(Interest, FirstAndLastSubscriptionAreTold) {
  ClusterRig rig(2);
  RigNode& n = rig.node(0);
  RigClient a(n, 1), b(n, 1);
  std::size_t before = frames(n, cluster::Lane::kInterest);
  auto told = [&] {
    rig.settle();
    return std::exchange(before, frames(n, cluster::Lane::kInterest)) != before;
  };
  a.sub("s", "1");
  EXPECT_TRUE(told());
  b.sub("s", "1");
  a.sub("s", "2");
  EXPECT_FALSE(told());
  EXPECT_EQ(rig.node(1).interest->subjects(rig_id(0)), std::vector<std::string>{"s"});
  a.unsub("1");
  a.unsub("2");
  EXPECT_FALSE(told());
  b.unsub("1");
  EXPECT_TRUE(told());
  EXPECT_EQ(rig.node(1).interest->subscriptions(rig_id(0)), 0u);
  a.sub("s", "1");
  a.unsub("1");
  EXPECT_FALSE(told()) << "came and went in one turn";
}

TEST(Interest, ChangesOfATurnShareAFrame) {
  ClusterRig rig(2);
  RigClient a(rig.node(0), 1), b(rig.node(0), 2);
  std::size_t before = frames(rig.node(0), cluster::Lane::kInterest);
  for (int i = 0; i < 50; ++i) {
    (i % 2 ? a : b).sub("s." + std::to_string(i), std::to_string(i), i % 3 ? "" : "q");
  }
  rig.settle();
  EXPECT_EQ(frames(rig.node(0), cluster::Lane::kInterest), before + 1);
  EXPECT_EQ(rig.node(1).interest->subscriptions(rig_id(0)), 50u);
  EXPECT_EQ(rig.node(1).accounts[1].remotes, 25u);
}

TEST(Interest, NothingIsCountedWithoutPeers) {
  ClusterRig rig(2, false);
  RigClient a(rig.node(0), 1), b(rig.node(1), 1);
  a.sub("early", "1");
  a.sub("gone", "2");
  a.unsub("2");
  rig.settle();
  EXPECT_EQ(frames(rig.node(0), cluster::Lane::kInterest), 0u);
  rig.connect(0, 1);
  rig.settle();
  EXPECT_EQ(rig.node(1).interest->subjects(rig_id(0)), std::vector<std::string>{"early"});
  a.sub("late", "3");
  rig.settle();
  b.pub("early", "1");
  b.pub("late", "2");
  rig.settle();
  EXPECT_EQ(a.take().size(), 2u);
}

TEST(Interest, WholeInterestGoesInFramesWhileChangesGoOn) {
  InterestLimits limits;
  limits.mesh.lane_bytes_max[static_cast<std::size_t>(cluster::Lane::kInterest)] = 160u << 10;
  ClusterRig rig(2, false, limits);
  RigClient a(rig.node(0), 1), b(rig.node(0), 2);
  constexpr std::size_t kMany = 20'000;
  for (std::size_t i = 0; i < kMany; ++i) {
    (i % 2 ? a : b).sub("a.rather.long.subject." + std::to_string(i), std::to_string(i));
  }
  rig.connect(0, 1);
  rig.flush();
  EXPECT_LT(rig.node(0).mesh.lane_bytes(rig_id(1), cluster::Lane::kInterest), 160u << 10);
  EXPECT_GT(rig.node(0).mesh.lane_bytes(rig_id(1), cluster::Lane::kInterest), 80u << 10);
  // Ends before and after the place where the whole has come to, and something new.
  b.unsub("0");
  a.unsub(std::to_string(kMany - 1));
  a.sub("new", "n");
  rig.settle();
  EXPECT_EQ(rig.node(1).interest->subscriptions(rig_id(0)), kMany - 1);
  EXPECT_GT(frames(rig.node(0), cluster::Lane::kInterest), 9u);
  EXPECT_FALSE(rig.node(1).accounts[2].sublist.has_interest("a.rather.long.subject.0"));
  EXPECT_TRUE(rig.node(1).accounts[1].sublist.has_interest("new"));
  rig.cut(0, 1);
  EXPECT_EQ(rig.node(1).accounts[1].sublist.size(), 0u);
  EXPECT_EQ(rig.node(1).accounts[1].remotes, 0u);
}

TEST(Interest, WhatFoundNoRoomIsToldAgain) {
  InterestLimits limits;
  std::size_t& lane_max = limits.mesh.lane_bytes_max[static_cast<std::size_t>(cluster::Lane::kInterest)];
  lane_max = 200;
  ClusterRig rig(2, true, limits);
  RigClient a(rig.node(0), 1);
  a.sub("stays", "1");
  a.sub("goes", "2");
  rig.settle();
  ASSERT_EQ(rig.node(1).interest->subscriptions(rig_id(0)), 2u);
  for (int i = 0; i < 4; ++i) {  // fills the lane
    a.sub("filler.that.takes.room.in.the.lane." + std::to_string(i), "f" + std::to_string(i));
    rig.flush();
  }
  a.unsub("2");
  for (int i = 0; i < 4; ++i) a.unsub("f" + std::to_string(i));
  rig.flush();
  EXPECT_GT(rig.node(0).mesh.refused, 0u);
  rig.settle();
  EXPECT_EQ(rig.node(1).interest->subjects(rig_id(0)), std::vector<std::string>{"stays"});
}

TEST(Interest, PeerLossTakesItsSubscriptionsBack) {
  ClusterRig rig(3);
  RigClient a(rig.node(0), 1), b(rig.node(1), 1), c(rig.node(2), 1);
  b.sub("s", "1");
  c.sub("s", "1");
  rig.settle();
  rig.cut(0, 1);
  a.pub("s", "x");
  rig.settle();
  EXPECT_TRUE(b.take().empty());
  EXPECT_EQ(c.take().size(), 1u);
  rig.connect(0, 1);
  rig.settle();
  a.pub("s", "y");
  rig.settle();
  EXPECT_EQ(b.take().size(), 1u);
}

TEST(Interest, NeverForwardedAgain) {
  ClusterRig rig(3, false);
  rig.connect(0, 1);
  rig.connect(1, 2);
  RigClient a(rig.node(0), 1), b(rig.node(1), 1), c(rig.node(2), 1);
  b.sub("s", "1");
  c.sub("s", "1");
  rig.settle();
  a.pub("s", "x");
  rig.settle();
  EXPECT_EQ(b.take().size(), 1u);
  EXPECT_TRUE(c.take().empty());
}

TEST(Interest, QueueGroupGivesMembersHereAndThereTheSame) {
  ClusterRig rig(3);
  RigClient a(rig.node(0), 1), here(rig.node(0), 1), two(rig.node(1), 1), there(rig.node(2), 1);
  here.sub("s", "1", "q");
  two.sub("s", "1", "q");
  there.sub("s", "1", "q");
  there.sub("s", "2", "q");
  rig.settle();
  constexpr std::size_t kSent = 4000;
  for (std::size_t i = 0; i < kSent; ++i) a.pub("s", "x");
  rig.settle();
  std::size_t at_home = here.take().size(), one = two.take().size(), other = there.take().size();
  EXPECT_EQ(at_home + one + other, kSent);
  EXPECT_NEAR(static_cast<double>(at_home), kSent / 4.0, kSent * 0.05);
  EXPECT_NEAR(static_cast<double>(one), kSent / 4.0, kSent * 0.05);
  there.unsub("1");
  there.unsub("2");
  two.unsub("1");
  rig.settle();
  for (std::size_t i = 0; i < 20; ++i) a.pub("s", "x");
  rig.settle();
  EXPECT_EQ(here.take().size(), 20u);
}

TEST(Interest, OwnEchoLeavesQueueGroupToOtherNodes) {
  ClusterRig rig(2);
  RigClient a(rig.node(0), 1, "\"echo\":false"), b(rig.node(1), 1);
  a.sub("s", "1", "q");
  b.sub("s", "1", "q");
  rig.settle();
  a.pub("s", "x");
  rig.settle();
  EXPECT_TRUE(a.take().empty());
  EXPECT_EQ(b.take().size(), 1u);
}

TEST(Interest, QueueGroupOfOtherNodesIsServedByWeight) {
  ClusterRig rig(3);
  RigClient a(rig.node(0), 1), one(rig.node(1), 1), three(rig.node(2), 1);
  one.sub("s.*", "1", "q");
  for (const char* sid : {"1", "2", "3"}) three.sub("s.>", sid, "q");
  rig.settle();
  constexpr std::size_t kSent = 4000;
  for (std::size_t i = 0; i < kSent; ++i) a.pub("s.x", "m");
  rig.settle();
  std::size_t first = one.take().size(), second = three.take().size();
  EXPECT_EQ(first + second, kSent);
  EXPECT_NEAR(static_cast<double>(first), kSent / 4.0, kSent * 0.05);
  three.unsub("1");
  three.unsub("2");
  rig.settle();
  for (std::size_t i = 0; i < kSent; ++i) a.pub("s.x", "m");
  rig.settle();
  EXPECT_NEAR(static_cast<double>(one.take().size()), kSent / 2.0, kSent * 0.05);
}

TEST(Interest, OnlyNamedQueuesAreServed) {
  ClusterRig rig(3);
  RigClient a(rig.node(0), 1), b(rig.node(1), 1), c(rig.node(2), 1);
  b.sub("s", "q1", "one");
  b.sub("s", "q2", "two");
  c.sub("s", "q1", "one");
  c.sub("s", "plain");
  rig.settle();
  for (int i = 0; i < 200; ++i) {
    a.pub("s", "x");
    rig.settle();
    Messages mb = b.take(), mc = c.take();
    auto count = [](const Messages& m, const char* sid) {
      return std::count_if(m.begin(), m.end(), [&](const RigMessage& x) { return x.sid == sid; });
    };
    ASSERT_EQ(count(mb, "q1") + count(mc, "q1"), 1);
    ASSERT_EQ(count(mb, "q2"), 1);
    ASSERT_EQ(count(mc, "plain"), 1);
  }
}

TEST(Interest, NoRespondersOnlyIfNobodyAnywhere) {
  ClusterRig rig(2);
  RigClient a(rig.node(0), 1), b(rig.node(1), 1);
  a.sub("inbox", "i");
  b.sub("service", "1", "q");
  rig.settle();
  a.pub("service", "?", "inbox");
  rig.settle();
  EXPECT_TRUE(a.take().empty());
  EXPECT_EQ(b.take().size(), 1u);
  a.pub("nothing", "?", "inbox");
  Messages m = a.take();
  ASSERT_EQ(m.size(), 1u);
  EXPECT_TRUE(m[0].headers.starts_with("NATS/1.0 503"));
  rig.cut(0, 1);
  a.pub("service", "?", "inbox");
  EXPECT_EQ(a.take().size(), 1u);
}

TEST(Interest, ReplyFindsTheInboxOfItsAsker) {
  ClusterRig rig(2);
  RigClient a(rig.node(0), 1), b(rig.node(1), 1);
  b.sub("service", "1");
  rig.settle();
  // Inbox and question in one turn: the answer must not be faster than the news of the inbox.
  a.pub("service", "?", "_INBOX.1");
  a.sub("_INBOX.1", "i");
  rig.flush();
  while (rig.net.deliver_one()) {
    for (const RigMessage& m : b.take()) b.pub(m.reply, "!");
  }
  EXPECT_EQ(a.take().size(), 1u);
}

TEST(Interest, MessagesOfAPublisherKeepTheirOrder) {
  ClusterRig rig(2);
  RigClient a(rig.node(0), 1), b(rig.node(1), 1);
  b.sub("s.>", "1");
  rig.settle();
  std::string large(5000, 'x');
  for (int i = 0; i < 100; ++i) a.pub("s." + std::to_string(i), i % 3 ? "small" : large);
  rig.settle();
  Messages m = b.take();
  ASSERT_EQ(m.size(), 100u);
  for (std::size_t i = 0; i < m.size(); ++i) {
    EXPECT_EQ(m[i].subject, "s." + std::to_string(i));
    EXPECT_EQ(m[i].body, i % 3 ? "small" : large);
  }
}

TEST(Interest, LargeBodiesAreShared) {
  ClusterRig rig(2);
  RigClient b(rig.node(1), 1);
  b.sub("s", "1");
  rig.settle();
  RigNode& n = rig.node(0);
  Bytes body = Bytes::copy_of(std::string(100'000, 'b'));
  n.router.send(n.accounts[1], "s", "", body, 0);
  ASSERT_EQ(n.mesh.last.size(), 2u);
  EXPECT_EQ(n.mesh.last[1].data(), body.data());
  n.router.send(n.accounts[1], "s", "", std::string_view(body.text()));
  ASSERT_EQ(n.mesh.last.size(), 2u);
  EXPECT_NE(n.mesh.last[1].data(), body.data()) << "the caller's bytes are gone after the call";
  rig.settle();
  Messages m = b.take();
  ASSERT_EQ(m.size(), 2u);
  EXPECT_EQ(m[0].body, body.text());
  EXPECT_EQ(m[1].body, body.text());
}

TEST(Interest, DeliveriesShowTheirOwnSubject) {
  ClusterRig rig(2);
  RigClient b(rig.node(1), 1);
  b.sub("deliver.here", "1");
  ListenerAt told(rig.node(1), 1, "deliver.*", true);
  rig.settle();
  RigNode& n = rig.node(0);
  EXPECT_EQ(n.router.deliver(n.accounts[1], "deliver.here",
                             {"orders.eu", "$JS.ACK.s.c.1.1.1.1.0", "body", 0, nullptr, nullptr}),
            1u);
  rig.settle();
  EXPECT_EQ(b.take(), (Messages{{"orders.eu", "1", "$JS.ACK.s.c.1.1.1.1.0", "", "body"}}));
  EXPECT_EQ(told.listener.subjects, std::vector<std::string>{"deliver.here"});
}

TEST(Interest, WatchersSeeInterestOfOtherNodes) {
  struct Watcher final : InterestWatcher {
    void interest_changed() override { ++calls; }
    int calls = 0;
  } w;
  ClusterRig rig(2);
  Account& account = rig.node(0).accounts[1];
  account.watchers.emplace("deliver.x", &w);
  RigClient b(rig.node(1), 1);
  b.sub("deliver.*", "1", "workers");
  rig.settle();
  EXPECT_EQ(w.calls, 1);
  EXPECT_TRUE(account.sublist.has_interest("deliver.x"));
  EXPECT_TRUE(Router::has_queue_interest(account, "deliver.x", "workers"));
  EXPECT_FALSE(Router::has_queue_interest(account, "deliver.x", "others"));
  rig.cut(0, 1);
  EXPECT_EQ(w.calls, 2);
  EXPECT_FALSE(account.sublist.has_interest("deliver.x"));
}

TEST(Interest, ListenersAreToldOnlyIfTheySaySo) {
  ClusterRig rig(2);
  ListenerAt stream(rig.node(1), 1, "s.>", false), inbox(rig.node(1), 1, "told.*", true);
  RigClient a(rig.node(0), 1), b(rig.node(1), 1);
  b.sub("s.x", "1");
  rig.settle();
  EXPECT_EQ(rig.node(0).interest->subjects(rig_id(1)), (std::vector<std::string>{"s.x", "told.*"}));
  a.pub("s.x", "1");
  a.pub("told.y", "2");
  rig.settle();
  EXPECT_EQ(b.take().size(), 1u);
  EXPECT_TRUE(stream.listener.subjects.empty()) << "its own node sends a stream's messages to the leader";
  EXPECT_EQ(inbox.listener.subjects, std::vector<std::string>{"told.y"});
}

TEST(Interest, AcksGoToTheServerHereAndToWatchersElsewhere) {
  ClusterRig rig(2);
  CountingListener acks0, acks1;
  rig.node(0).accounts[1].acks = &acks0;
  rig.node(1).accounts[1].acks = &acks1;
  RigClient a(rig.node(0), 1), b(rig.node(1), 1);
  b.sub("$JS.ACK.S.>", "1");
  rig.settle();
  EXPECT_EQ(rig.node(0).accounts[1].ack_watchers, 1u);
  a.pub("$JS.ACK.S.C.1.1.1.1.0", "+ACK");
  rig.settle();
  EXPECT_EQ(b.take().size(), 1u);
  EXPECT_EQ(acks0.subjects.size(), 1u);
  EXPECT_TRUE(acks1.subjects.empty());
  b.unsub("1");
  rig.settle();
  EXPECT_EQ(rig.node(0).accounts[1].ack_watchers, 0u);
}

TEST(Interest, UnknownAccountIsSaidOnce) {
  ClusterRig rig(2);
  RigNode& n = rig.node(0);
  InterestWriter w;
  w.add({"elsewhere", "s", "", 1});
  w.add({"A", "known", "", 1});
  Bytes frame = w.finish();
  std::size_t before = n.log.lines().size();
  n.interest->frame(rig_id(1), cluster::FrameKind::kInterest, frame);
  n.interest->frame(rig_id(1), cluster::FrameKind::kInterest, frame);
  EXPECT_EQ(n.log.lines().size(), before + 1);
  EXPECT_TRUE(n.log.contains("\"elsewhere\""));
  EXPECT_EQ(n.interest->subjects(rig_id(1)), std::vector<std::string>{"known"});
}

TEST(Interest, SubscriptionsOfAPeerAreCapped) {
  InterestLimits limits;
  limits.subscriptions_max = 3;
  ClusterRig rig(2, true, limits);
  RigClient a(rig.node(0), 1);
  for (int i = 0; i < 9; ++i) a.sub("s." + std::to_string(i), std::to_string(i));
  rig.settle();
  EXPECT_EQ(rig.node(1).interest->subscriptions(rig_id(0)), 3u);
  EXPECT_TRUE(rig.node(1).log.contains("more than 3 subscriptions"));
  EXPECT_LE(rig.node(1).log.count(Level::kError), 3u) << "powers of two only";
}

TEST(Interest, FullLaneLosesAndCounts) {
  InterestLimits limits;
  limits.mesh.lane_bytes_max[static_cast<std::size_t>(cluster::Lane::kMessages)] = 10'000;
  ClusterRig rig(2, true, limits);
  RigNode& n = rig.node(0);
  RigClient a(n, 1), b(rig.node(1), 1);
  b.sub("s", "1");
  rig.settle();
  std::string body(900, 'x');
  for (int i = 0; i < 5; ++i) a.pub("s", body);
  EXPECT_FALSE(n.router.take_crowded());
  a.pub("s", body);
  EXPECT_TRUE(n.router.take_crowded()) << "more than half full";
  EXPECT_FALSE(n.router.take_crowded()) << "said once";
  EXPECT_TRUE(n.router.peers_crowded());
  for (int i = 0; i < 9; ++i) a.pub("s", body);
  EXPECT_EQ(n.interest->stats().lost, 4u);
  EXPECT_EQ(n.log.count(Level::kWarn), 3u) << "1, 2, 4 lost";
  a.sub("inbox", "i");
  a.pub("s", body, "inbox");
  EXPECT_TRUE(a.take().empty()) << "somebody is there, it is no 503";
  rig.settle();
  EXPECT_FALSE(n.router.peers_crowded());
  EXPECT_EQ(b.take().size(), 11u);
}

TEST(Interest, BadFramesAreRefused) {
  ClusterRig rig(2);
  RigNode& n = rig.node(0);
  RigClient a(n, 1);
  a.sub("s", "1");
  Bytes junk = Bytes::copy_of("\x01\x7fjunk");
  n.interest->frame(rig_id(1), cluster::FrameKind::kInterest, junk);
  n.interest->frame(rig_id(1), cluster::FrameKind::kMessage, junk);
  n.interest->frame(rig_id(7), cluster::FrameKind::kMessage, junk);
  n.interest->frame(rig_id(1), cluster::FrameKind::kHints, junk);
  EXPECT_EQ(n.interest->stats().bad_frames, 2u);
  EXPECT_TRUE(n.log.contains("peer n1 sent interest that cannot be"));
  EXPECT_TRUE(a.take().empty());
}

TEST(Interest, EndsBeforeTheRouter) {
  ClusterRig rig(2);
  RigClient a(rig.node(0), 1), b(rig.node(1), 1);
  b.sub("s", "1");
  rig.settle();
  rig.cut(0, 1);
  rig.node(0).interest.reset();
  a.sub("x", "1");
  a.pub("x", "1");
  EXPECT_EQ(a.take().size(), 1u);
}

}  // namespace
}  // namespace weir::server::testing
