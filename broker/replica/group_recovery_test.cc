// What a replica of several makes of its journal at start: damage, fetched states, what is still open.
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "broker/env/testing/sim_disk.h"
#include "broker/raft/confchange.h"
#include "broker/replica/group.h"

namespace weir::replica {
namespace {

using env::testing::SimEnv;
using store::JournalFault;
using store::JournalRecord;
using store::RecordKind;

constexpr GroupId kGroup{7};
constexpr NodeId kSelf{1u << 24}, kTwo{2u << 24}, kThree{3u << 24};

class Machine final : public StateMachine {
 public:
  Status apply(RaftIndex index, Term, const Bytes& payload, bool) override {
    applied.push_back(std::to_string(index.v) + std::string(payload.text()));
    return ok();
  }
  void stopped(const Error&) override { ++stops; }
  std::vector<std::string> applied;
  int stops = 0;
};

class Recovery : public ::testing::Test {
 protected:
  Recovery() : env(world.env()), host(env, nullptr), group(std::make_unique<Group>(kGroup, host, machine)) {}
  void found(const std::vector<NodeId>& members = {kSelf, kTwo, kThree}) { group->found(kSelf, members); }
  void restore(std::uint64_t index, std::uint64_t term, bool installed) {
    Position p;
    p.self = kSelf;
    p.at = {RaftIndex(index), Term(term)};
    p.conf.voters = {kSelf, kTwo, kThree};
    p.installed = installed;
    group->restore(p);
  }
  void record(RecordKind kind, std::uint64_t index, std::uint64_t term, const std::string& payload = "") {
    JournalRecord r;
    r.group = kGroup;
    r.kind = kind;
    r.index = RaftIndex(index);
    r.term = Term(term);
    r.payload = Bytes::copy_of(payload);
    (void)group->replay(r);
  }
  void entry(std::uint64_t index, std::uint64_t term, const std::string& payload = "x") {
    record(RecordKind::kEntry, index, term, payload);
  }
  void commit(std::uint64_t index, std::uint64_t term) {
    JournalRecord r;
    r.group = kGroup;
    r.kind = RecordKind::kHardState;
    r.index = RaftIndex(index);
    r.term = Term(term);
    r.payload = hard_state_bytes(kTwo, false);
    (void)group->replay(r);
  }
  void lost(std::uint64_t from, std::uint64_t to, std::uint64_t term, RecordKind kind = RecordKind::kEntry) {
    JournalFault f;
    f.group = kGroup;
    f.from = RaftIndex(from);
    f.to = RaftIndex(to);
    f.term = Term(term);
    f.kind = kind;
    group->damaged(f);
  }
  void doubt(GroupId id, bool vote, bool end) {
    JournalFault f;
    f.group = id;
    f.vote_lost = vote;
    f.open_end = end;
    group->damaged(f);
  }
  raft::View started() {
    group->start(nullptr);
    return group->core() ? group->core()->view() : raft::View{};
  }
  SimEnv world{1};
  env::Env env;
  Host host;
  Machine machine;
  std::unique_ptr<Group> group;
};

TEST_F(Recovery, WithoutDamageTheLogIsThereAndTheCommittedPartApplied) {
  found();
  entry(2, 1), entry(3, 1), commit(3, 1), entry(4, 1);
  raft::View v = started();
  EXPECT_EQ(v.last, (raft::EntryId{RaftIndex(4), Term(1)}));
  EXPECT_EQ(machine.applied, (std::vector<std::string>{"2x", "3x"}));
  EXPECT_FALSE(v.head_unknown);
  EXPECT_EQ(v.vote, kTwo);
}

TEST_F(Recovery, AReplicaThatWasGivenUpSaysSo) {
  found();
  entry(2, 1), commit(2, 1);
  EXPECT_FALSE(group->ended());
  record(RecordKind::kRemoved, 2, 1);
  EXPECT_TRUE(group->ended());
  record(RecordKind::kRemoved, 0, 0);
  EXPECT_FALSE(group->ended()) << "another life began";
}

TEST_F(Recovery, TheEndIsSeenBehindALogWithoutItsBeginning) {
  found({kSelf});
  entry(9, 1);
  EXPECT_TRUE(group->why_stopped());
  record(RecordKind::kRemoved, 9, 1);
  EXPECT_TRUE(group->ended());
}

TEST_F(Recovery, TheEndOfAnEarlierLifeIsNotTheOwn) {
  restore(9, 3, /*installed=*/true);
  record(RecordKind::kRemoved, 5, 2);
  EXPECT_FALSE(group->ended()) << "the state was fetched after that";
  record(RecordKind::kReset, 9, 3);
  record(RecordKind::kRemoved, 9, 3);
  EXPECT_TRUE(group->ended());
}

TEST_F(Recovery, ALostVoteNeedsANewId) {
  found();
  entry(2, 1);
  doubt(kGroup, true, false);
  EXPECT_EQ(started().id, NodeId(0));
  EXPECT_TRUE(group->needs_new_id());
  EXPECT_EQ(machine.stops, 1);
}

TEST_F(Recovery, AloneNobodyElseCouldBeElectedByALostVote) {
  found({kSelf});
  entry(2, 1);
  doubt(kGroup, true, false);
  EXPECT_EQ(started().id, kSelf);
  EXPECT_FALSE(group->needs_new_id());
}

TEST_F(Recovery, ALoneReplicaThatWasToGetCompanyIsNotAlone) {
  found({kSelf});
  raft::ConfState both;
  both.voters = {kSelf, kTwo};
  entry(2, 1);
  record(RecordKind::kConfig, 3, 1, std::string(raft::encode_conf(both).text()));
  doubt(kGroup, true, false);
  EXPECT_EQ(started().id, NodeId(0));
  EXPECT_TRUE(group->needs_new_id());
}

TEST_F(Recovery, AFaultyEntryIsNeitherAppliedNorDropped) {
  found();
  entry(2, 1), lost(3, 3, 1), entry(4, 1), commit(4, 1);
  raft::View v = started();
  EXPECT_EQ(machine.applied, std::vector<std::string>{"2x"});
  EXPECT_EQ(v.faults, 1u);
  EXPECT_EQ(v.last.index, RaftIndex(4));
  EXPECT_FALSE(v.head_unknown);
}

TEST_F(Recovery, ARepairCompletesTheLog) {
  found();
  entry(2, 1), lost(3, 3, 1), entry(4, 1), commit(4, 1);
  record(RecordKind::kRepairedEntry, 3, 9, "wrong");  // of another term: of an entry that is not there
  record(RecordKind::kRepairedEntry, 3, 1, "back");
  raft::View v = started();
  EXPECT_EQ(machine.applied, (std::vector<std::string>{"2x", "3back", "4x"}));
  EXPECT_EQ(v.faults, 0u);
}

TEST_F(Recovery, ACutTakesFaultsAlong) {
  found();
  entry(2, 1), lost(3, 5, 1);
  record(RecordKind::kCut, 4, 0);
  raft::View v = started();
  EXPECT_EQ(v.faults, 1u);
  EXPECT_EQ(v.last.index, RaftIndex(3));
}

TEST_F(Recovery, EntriesThatSupersedeTakeFaultsAlong) {
  found();
  entry(2, 1), lost(3, 5, 1), entry(3, 2), entry(4, 2);
  raft::View v = started();
  EXPECT_EQ(v.faults, 0u);
  EXPECT_EQ(v.last, (raft::EntryId{RaftIndex(4), Term(2)}));
}

TEST_F(Recovery, WhatWasReplacedBelowTheCheckpointIsGoneAboveItToo) {
  restore(4, 2, /*installed=*/false);
  for (std::uint64_t index = 3; index <= 6; ++index) entry(index, 1, "old");
  entry(3, 2), entry(4, 2);
  EXPECT_EQ(started().last, (raft::EntryId{RaftIndex(4), Term(2)}));
}

TEST_F(Recovery, EntriesThatNobodyKnowsEndTheLog) {
  found();
  entry(2, 1), lost(3, 4, 0), entry(5, 2);
  raft::View v = started();
  EXPECT_EQ(v.last.index, RaftIndex(2));
  EXPECT_TRUE(v.head_unknown);
  EXPECT_EQ(v.faults, 0u);
}

// The lost frame may have held 3 and 4 of term 2 in the place of those of term 1: 5 fits by its index alone.
TEST_F(Recovery, BehindALossOfNobodyKnowsWhatUncommittedEntriesAreInDoubt) {
  found();
  commit(2, 1);
  entry(2, 1), entry(3, 1), entry(4, 1);
  doubt(GroupId(0), true, true);
  entry(5, 2), commit(5, 2);
  raft::View v = started();
  EXPECT_EQ(machine.applied, std::vector<std::string>{"2x"});
  EXPECT_EQ(v.last.index, RaftIndex(2));
  EXPECT_TRUE(v.head_unknown);
}

TEST_F(Recovery, AGroupOfOneDoesNotDoubtForOthers) {
  found({kSelf});
  entry(2, 1);
  doubt(GroupId(0), true, true);
  entry(3, 1);
  EXPECT_EQ(started().last.index, RaftIndex(3));
  EXPECT_EQ(machine.applied.size(), 2u);
}

TEST_F(Recovery, AloneAnOpenEndStopsTheGroup) {
  found({kSelf});
  entry(2, 1);
  doubt(kGroup, false, true);
  EXPECT_EQ(started().id, NodeId(0));
  ASSERT_TRUE(group->why_stopped());
  EXPECT_EQ(group->why_stopped()->code, Code::kCorrupt);
  EXPECT_NE(group->why_stopped()->detail.find("lost entries behind 2"), std::string::npos);
  EXPECT_FALSE(group->needs_new_id());
}

TEST_F(Recovery, AloneAnOpenEndOfAnEarlierStartStopsTheGroup) {
  found({kSelf});
  entry(2, 1);
  record(RecordKind::kHardState, 2, 1, std::string(hard_state_bytes(kSelf, true).text()));
  EXPECT_EQ(started().id, NodeId(0));
  ASSERT_TRUE(group->why_stopped());
}

TEST_F(Recovery, AloneACommitBehindTheEndStopsTheGroup) {
  found({kSelf});
  entry(2, 1), commit(3, 1);
  EXPECT_EQ(started().id, NodeId(0));
  ASSERT_TRUE(group->why_stopped());
}

// Its records go on behind the loss, and none of them tells of one before it.
TEST_F(Recovery, AloneARecordBehindALossOfNobodyKnowsWhatIsProof) {
  found({kSelf});
  entry(2, 1), commit(2, 1);
  doubt(GroupId(0), true, true);
  entry(3, 1);
  EXPECT_EQ(started().id, kSelf);
  EXPECT_FALSE(group->why_stopped());
}

TEST_F(Recovery, AloneWithoutARecordALossOfNobodyKnowsWhatStopsTheGroup) {
  auto journal = store::Journal::open(env, "j", {}, nullptr, nullptr);
  ASSERT_TRUE(journal);
  Position p;
  p.self = kSelf;
  p.at = {RaftIndex(4), Term(2)};
  p.conf.voters = {kSelf};
  group->restore(p);
  doubt(GroupId(0), true, true);
  group->start(journal->get());
  ASSERT_TRUE(group->why_stopped());
  EXPECT_NE(group->why_stopped()->detail.find("lost entries behind 4"), std::string::npos);
  group.reset();
}

TEST_F(Recovery, WithoutARecordALossOfNobodyKnowsWhatMayBeItsVote) {
  found();
  doubt(GroupId(0), true, true);
  EXPECT_EQ(started().id, NodeId(0));
  EXPECT_TRUE(group->needs_new_id());
}

TEST_F(Recovery, AHoleTooLargeToFillNeedsANewId) {
  found();
  entry(2, 1), entry(1u << 22, 1);
  EXPECT_EQ(machine.stops, 1);
  EXPECT_TRUE(group->needs_new_id());
}

// The state was fetched while the log had its entry: what followed was acknowledged, and stays.
TEST_F(Recovery, AFetchedStateJoinsTheLogByItsEntry) {
  restore(3, 1, true);
  entry(2, 1), entry(3, 1), entry(4, 1);
  EXPECT_EQ(started().last.index, RaftIndex(4));
  EXPECT_FALSE(group->core()->view().head_unknown);
}

TEST_F(Recovery, AFetchedStateReplacesAnotherLog) {
  restore(3, 2, true);
  entry(2, 1), entry(3, 1), entry(4, 1);
  raft::View v = started();
  EXPECT_EQ(v.last, (raft::EntryId{RaftIndex(3), Term(2)}));
  EXPECT_FALSE(v.head_unknown);
}

TEST_F(Recovery, BehindItsResetTheLogCounts) {
  restore(3, 2, true);
  entry(2, 1), entry(3, 1), entry(4, 1);
  record(RecordKind::kReset, 3, 2);
  entry(4, 2);
  EXPECT_EQ(started().last, (raft::EntryId{RaftIndex(4), Term(2)}));
}

TEST_F(Recovery, TheFileWithTheResetMayBeGone) {
  restore(3, 2, true);
  entry(4, 2), entry(5, 2);
  raft::View v = started();
  EXPECT_EQ(v.last.index, RaftIndex(5));
  EXPECT_FALSE(v.head_unknown);
}

TEST_F(Recovery, AResetThatIsLostLeavesTheEndOpen) {
  restore(3, 2, true);
  entry(2, 1), entry(3, 1), entry(4, 2);  // acknowledged behind the state, perhaps
  raft::View v = started();
  EXPECT_EQ(v.last.index, RaftIndex(3));
  EXPECT_TRUE(v.head_unknown);
}

TEST_F(Recovery, TheFaultWithTheStatesEntryJoinsToo) {
  restore(3, 2, true);
  entry(2, 2), lost(3, 4, 2), entry(5, 2);
  raft::View v = started();
  EXPECT_EQ(v.last.index, RaftIndex(5));
  EXPECT_EQ(v.faults, 1u);
}

// Memory is bounded, and what is dropped from it is still known by its term, so that it can be loaded.
TEST_F(Recovery, AppliedEntriesDoNotFillTheMemory) {
  HostTuning small;
  small.memory_bytes_max = 100;
  Host other(env, nullptr, small);
  group = std::make_unique<Group>(kGroup, other, machine);
  found({kSelf});
  for (std::uint64_t i = 2; i <= 1000; ++i) entry(i, 1 + i / 100, std::string(30, 'x'));
  group->start(nullptr);
  EXPECT_EQ(machine.applied.size(), 999u);
  const raft::Log& log = group->core()->log();
  EXPECT_EQ(log.base().index, RaftIndex(1));
  EXPECT_EQ(log.term_at(RaftIndex(550)), Term(6));
  EXPECT_LE(log.memory_bytes(), 200u);
  group.reset();
}

TEST_F(Recovery, ATermThatFallsEndsTheLogBeforeIt) {
  found();
  entry(2, 3), commit(2, 4), entry(3, 2), entry(4, 4), commit(4, 4);
  raft::View v = started();
  EXPECT_EQ(v.last, (raft::EntryId{RaftIndex(2), Term(3)}));
  EXPECT_TRUE(v.head_unknown);
  EXPECT_EQ(machine.applied, std::vector<std::string>{"2x"});
}

TEST_F(Recovery, ALostEntryWhoseTermFallsEndsTheLogBeforeIt) {
  found();
  entry(2, 3), lost(3, 4, 2);
  raft::View v = started();
  EXPECT_EQ(v.last, (raft::EntryId{RaftIndex(2), Term(3)}));
  EXPECT_TRUE(v.head_unknown);
}

TEST_F(Recovery, AloneATermThatFallsStopsTheGroup) {
  found({kSelf});
  entry(2, 3), entry(3, 2);
  EXPECT_EQ(started().id, NodeId(0));
  ASSERT_TRUE(group->why_stopped());
  EXPECT_EQ(group->why_stopped()->code, Code::kCorrupt);
  EXPECT_EQ(machine.applied, std::vector<std::string>{"2x"});
}

// The journal forgets an open end with the next entry; the replica does not, until a leader told it.
TEST_F(Recovery, AnOpenEndIsRememberedAcrossStarts) {
  for (int life = 0; life < 3; ++life) {
    group = std::make_unique<Group>(kGroup, host, machine);
    found();
    auto journal = store::Journal::open(
        env, "j", {}, [&](const JournalRecord& r) { (void)group->replay(r); }, [](const JournalFault&) {});
    ASSERT_TRUE(journal);
    if (life == 0) {
      entry(2, 1);
      doubt(kGroup, false, true);
    }
    group->start(journal->get());
    ASSERT_NE(group->core(), nullptr);
    EXPECT_TRUE(group->core()->view().head_unknown) << life;
    bool drained = false;
    (*journal)->drain([&](Status s) { drained = s.has_value(); });
    world.loop.run_until([&] { return drained; }, kSecond);
    ASSERT_TRUE(drained);
    group.reset();
    journal->reset();
    world.loop.forget_all();
  }
}

}  // namespace
}  // namespace weir::replica
