// One follower by hand: what leaves before the disk answers, what it may checkpoint, whom it listens to,
// time.
#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <string>
#include <vector>

#include "broker/env/testing/sim_disk.h"
#include "broker/replica/group.h"

namespace weir::replica {
namespace {

using env::testing::SimEnv;
using raft::Message;
using raft::MessageType;
using store::JournalRecord;
using store::RecordKind;

constexpr GroupId kGroup{7};
constexpr NodeId kSelf{1u << 24}, kTwo{2u << 24}, kThree{3u << 24};

/// A journal whose disk answers when the test says so.
class HeldJournal final : public store::Journal {
 public:
  void append(JournalRecord record, env::DiskDone done) override {
    records.push_back(std::move(record));
    held.push_back(std::move(done));
  }
  void flush() override {}
  void release(GroupId, RaftIndex upto) override { released = std::max(released, upto); }
  void read(GroupId, RaftIndex, RaftIndex, std::size_t, ReadDone) override {}
  GroupId laggard() const override { return GroupId(0); }
  bool pressed() const override { return false; }
  bool full() const override { return false; }
  bool failed() const override { return false; }
  const store::JournalStats& stats() const override { return stats_; }
  void drain(env::DiskDone) override {}
  void answer() {
    while (!held.empty()) {
      env::DiskDone done = std::move(held.front());
      held.pop_front();
      if (done) done(ok());
    }
  }
  std::vector<JournalRecord> records;
  std::deque<env::DiskDone> held;
  RaftIndex released;

 private:
  store::JournalStats stats_;
};

class Machine final : public StateMachine {
 public:
  Status apply(RaftIndex, Term, const Bytes& payload, bool) override {
    applied.emplace_back(payload.text());
    return ok();
  }
  void stopped(const Error&) override { ++stops; }
  void fetch_state(NodeId from, const raft::SnapshotMeta& meta) override {
    fetches.push_back({from, meta.index});
  }
  std::vector<std::string> applied;
  std::vector<std::pair<NodeId, RaftIndex>> fetches;
  int stops = 0;
};

class Follower : public ::testing::Test, public Peers {
 protected:
  Follower() : env(world.env()), host(env, this), group(kGroup, host, machine) {
    group.found(kSelf, {kSelf, kTwo, kThree});
    group.start(&journal);
  }
  ~Follower() override {
    world.loop.set_end_of_turn([] {});
  }
  void send(NodeId, GroupId, Message m) override { sent.push_back(std::move(m)); }
  Message from_leader(MessageType type, std::uint64_t term = 1) {
    Message m;
    m.type = type;
    m.from = kTwo;
    m.to = kSelf;
    m.term = Term(term);
    return m;
  }
  Message append(std::uint64_t after, std::uint64_t after_term, std::vector<std::string> texts,
                 std::uint64_t commit, std::uint64_t term = 1) {
    Message m = from_leader(MessageType::kAppend, term);
    m.index = RaftIndex(after);
    m.log_term = Term(after_term);
    m.commit = RaftIndex(commit);
    for (auto& t : texts) m.entries.push_back({RaftIndex(++after), Term(term), {}, Bytes::copy_of(t)});
    return m;
  }
  void arrives(Message m) {
    NodeId link = node_of(m.from);
    host.step(link, kGroup, std::move(m));
    (void)host.run();
  }
  std::size_t count(MessageType type) const {
    return static_cast<std::size_t>(
        std::count_if(sent.begin(), sent.end(), [&](const Message& m) { return m.type == type; }));
  }
  SimEnv world{1};
  env::Env env;
  Host host;
  Machine machine;
  HeldJournal journal;
  Group group;
  std::vector<Message> sent;
  Nanos skew = 0;
};

TEST_F(Follower, AnswersAreHeldUntilTheDiskHasIt) {
  arrives(append(1, 0, {"a", "b"}, 1));
  EXPECT_EQ(count(MessageType::kAppendResp), 0u);
  journal.answer();
  (void)host.run();
  EXPECT_EQ(count(MessageType::kAppendResp), 1u);
  EXPECT_EQ(sent.back().index, RaftIndex(3));
}

// Read back, a commit index must not name entries that the ones behind it replace.
TEST_F(Follower, TheCommitIndexIsWrittenBehindItsEntries) {
  arrives(append(1, 0, {"a", "b"}, 3));
  ASSERT_EQ(journal.records.size(), 3u);
  EXPECT_EQ(journal.records[0].kind, RecordKind::kEntry);
  EXPECT_EQ(journal.records[2].kind, RecordKind::kHardState);
  EXPECT_EQ(journal.records[2].index, RaftIndex(3));
}

TEST_F(Follower, ACheckpointWaitsForTheLogOnThisDisk) {
  arrives(append(1, 0, {"a", "b"}, 3));
  EXPECT_EQ(machine.applied.size(), 2u);  // others have made it durable
  EXPECT_FALSE(group.checkpoint_position());
  journal.answer();
  auto position = group.checkpoint_position();
  ASSERT_TRUE(position);
  EXPECT_EQ(position->at.index, RaftIndex(3));
}

TEST_F(Follower, MessagesToAnotherLifeAreNotForThisOne) {
  Message vote = from_leader(MessageType::kAppend, 5);
  vote.index = RaftIndex(1);
  vote.to = replica_id(kSelf, 1);
  arrives(vote);
  EXPECT_EQ(group.term(), Term(0));
  vote.to = kSelf;
  host.step(kThree, kGroup, vote);  // of the second node, over the link of the third
  EXPECT_EQ(group.term(), Term(0));
  arrives(vote);
  EXPECT_EQ(group.term(), Term(5));
}

// A process that stood still for a while handles the heartbeat first, then its late ticks: these are of the
// time before it, and must not count against the promise that it renews.
TEST_F(Follower, LateTicksDoNotBreakAPromise) {
  arrives(append(1, 0, {"a"}, 1));
  journal.answer();
  (void)host.run();
  Nanos tick = host.tuning().tick;
  auto wait = [&](Nanos d) { world.loop.set_skew(skew += d, 0); };  // nothing runs meanwhile
  wait(9 * tick);
  arrives(from_leader(MessageType::kHeartbeat));
  host.now_current();
  wait(5 * tick);
  host.now_current();
  (void)host.run();
  sent.clear();
  Message ask = from_leader(MessageType::kPreVote, 2);
  ask.from = kThree;
  ask.index = RaftIndex(2);
  ask.log_term = Term(1);
  arrives(ask);
  EXPECT_EQ(count(MessageType::kPreVoteResp), 0u);
}

TEST_F(Follower, AReadWithoutAnAnswerIsRefusedInTime) {
  arrives(append(1, 0, {"a"}, 1));
  int answers = 0, good = 0;
  group.read_point([&](bool yes) { ++answers, good += yes; });
  (void)host.run();
  EXPECT_EQ(count(MessageType::kReadIndex), 1u);
  for (int i = 0; i < 30 && answers == 0; ++i) {
    arrives(from_leader(MessageType::kHeartbeat));  // the leader lives; the question was lost
    world.loop.set_skew(skew += host.tuning().tick, 0);
    host.now_current();
    (void)host.run();
  }
  EXPECT_EQ(answers, 1);
  EXPECT_EQ(good, 0);
}

// An answer to a question of an earlier life must not fit one of this life.
TEST_F(Follower, ReadsAreNumberedAnewInEachLife) {
  arrives(append(1, 0, {"a"}, 2));
  group.read_point([](bool) {});
  (void)host.run();
  Machine other_machine;
  std::uint64_t first = sent.back().context;
  Group other(GroupId(8), host, other_machine);
  other.found(kSelf, {kSelf, kTwo, kThree});
  other.start(nullptr);
  host.step(kTwo, GroupId(8), append(1, 0, {"a"}, 2));
  other.read_point([](bool) {});
  (void)host.run();
  EXPECT_EQ(sent.back().type, MessageType::kReadIndex);
  EXPECT_NE(sent.back().context, first);
}

TEST_F(Follower, AReadIsAnsweredByAFetchedState) {
  arrives(append(1, 0, {"a"}, 1));
  int good = 0;
  group.read_point([&](bool yes) { good += yes; });
  (void)host.run();
  Message answer = from_leader(MessageType::kReadIndexResp);
  answer.context = sent.back().context;
  answer.index = RaftIndex(9);
  arrives(answer);
  EXPECT_EQ(good, 0);
  Message offer = from_leader(MessageType::kSnapshot);
  offer.snapshot = raft::SnapshotMeta{RaftIndex(9), Term(1), group.conf()};
  arrives(offer);
  ASSERT_EQ(machine.fetches.size(), 1u);
  offer.snapshot->index = RaftIndex(12);
  arrives(offer);
  EXPECT_EQ(machine.fetches.size(), 1u);  // one at a time
  group.state_installed({RaftIndex(9), Term(1), group.conf()}, 1);
  (void)host.run();
  EXPECT_EQ(good, 1);
  EXPECT_EQ(group.applied(), RaftIndex(9));
  bool reset = false;
  for (auto& r : journal.records) reset = reset || (r.kind == RecordKind::kReset && r.index == RaftIndex(9));
  EXPECT_TRUE(reset);
}

// Entries behind the state were acknowledged: a reset would void them.
TEST_F(Follower, AStateWithinTheLogDoesNotResetIt) {
  arrives(append(1, 0, {"a", "b", "c", "d"}, 1));
  journal.answer();
  Message offer = from_leader(MessageType::kSnapshot);
  offer.snapshot = raft::SnapshotMeta{RaftIndex(9), Term(1), group.conf()};
  arrives(offer);
  ASSERT_EQ(machine.fetches.size(), 1u);
  group.state_installed({RaftIndex(3), Term(1), group.conf()}, 1);
  (void)host.run();
  journal.answer();
  for (auto& r : journal.records) EXPECT_NE(r.kind, RecordKind::kReset);
  EXPECT_EQ(group.last(), RaftIndex(5));
  auto position = group.checkpoint_position();
  ASSERT_TRUE(position);
  EXPECT_FALSE(position->installed);
}

// Nobody else ever had the unreadable entry: it goes, and the journal must know.
TEST_F(Follower, AnEntryThatIsDroppedIsCutFromTheJournal) {
  Machine other_machine;
  Group other(GroupId(8), host, other_machine);
  other.found(kSelf, {kSelf, kTwo, kThree});
  JournalRecord r;
  r.group = GroupId(8);
  r.index = RaftIndex(2);
  r.term = Term(1);
  r.payload = Bytes::copy_of("a");
  ASSERT_TRUE(other.replay(r));
  store::JournalFault f;
  f.group = GroupId(8);
  f.from = f.to = RaftIndex(3);
  f.term = Term(1);
  other.damaged(f);
  other.start(&journal);
  for (NodeId node : {kTwo, kThree}) {
    Message never = from_leader(MessageType::kFetchResp, 2);
    never.from = node;
    never.index = RaftIndex(3);
    never.log_term = Term(1);
    never.answer = raft::FetchAnswer::kNever;
    host.step(node, GroupId(8), never);
    (void)host.run();
  }
  EXPECT_EQ(other.last(), RaftIndex(2));
  bool cut = false;
  for (auto& each : journal.records)
    cut = cut || (each.kind == RecordKind::kCut && each.index == RaftIndex(3));
  EXPECT_TRUE(cut);
}

// The node was alive before its replica became a member.
TEST_F(Follower, ALeaderDoesNotSleepBesideANewMemberThatIsAliveAndBehind) {
  HostTuning tuning;
  tuning.hibernate_ticks = 3;
  Host sleepy(env, this, tuning);
  Machine other_machine;
  Group lead(GroupId(8), sleepy, other_machine);
  lead.found(kSelf, {kSelf});
  lead.start(nullptr);
  sleepy.peer_alive(kTwo, true);
  auto run = [&] {
    world.loop.set_skew(skew += tuning.tick, 0);
    sleepy.now_current();
    (void)sleepy.run();
    world.loop.run_for(0);
    (void)sleepy.run();
  };
  for (int i = 0; i < 5; ++i) run();
  ASSERT_TRUE(lead.leading());
  ASSERT_EQ(lead.change_members({{{raft::ConfOp::kAddLearner, kTwo}}}).outcome,
            raft::ProposeOutcome::kAppended);
  for (int i = 0; i < 20; ++i) run();
  EXPECT_FALSE(lead.core()->asleep());
  sleepy.peer_alive(kTwo, false);
  for (int i = 0; i < 20; ++i) run();
  EXPECT_TRUE(lead.core()->asleep());
}

TEST_F(Follower, AStateThatIsNotAheadIsNoState) {
  arrives(append(1, 0, {"a", "b"}, 3));
  group.state_installed({RaftIndex(2), Term(1), group.conf()}, 1);
  EXPECT_EQ(group.applied(), RaftIndex(3));
  EXPECT_EQ(group.generation(), 0u);
}

}  // namespace
}  // namespace weir::replica
