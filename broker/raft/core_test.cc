// A single core driven by hand: refusals, messages that cannot be true, order of outputs.
#include "broker/raft/core.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>

#include "broker/base/prng.h"

namespace weir::raft {
namespace {

StartState start_of(std::initializer_list<std::uint64_t> terms, std::uint64_t voters = 3) {
  StartState s;
  s.base = kNewGroup;
  s.applied = s.base.index;
  for (std::uint64_t i = 1; i <= voters; ++i) s.conf.voters.push_back(NodeId{i});
  RaftIndex index = s.base.index;
  for (std::uint64_t term : terms) {
    s.entries.push_back({++index, Term{term}, EntryType::kNormal, Bytes::copy_of("e")});
    s.hard.term = Term{term};
  }
  return s;
}

Config config_of(std::uint64_t id) {
  Config c;
  c.id = NodeId{id};
  c.seed = id;
  return c;
}

Message message(MessageType type, std::uint64_t term) {
  Message m;
  m.type = type;
  m.term = Term{term};
  return m;
}

/// Makes everything durable and applied; returns all messages.
std::vector<Message> settle(Core& core) {
  std::vector<Message> out;
  while (core.has_ready()) {
    Ready r = core.take_ready();
    for (Message& m : r.messages) out.push_back(std::move(m));
    if (r.write != 0) core.durable(r.write);
    for (Message& m : r.after_durable) out.push_back(std::move(m));
    if (!r.committed.empty()) core.applied(r.committed.back().index);
  }
  return out;
}

void elect(Core& core) {
  core.campaign();
  settle(core);
  for (auto type : {MessageType::kPreVoteResp, MessageType::kVoteResp}) {
    core.step(NodeId{2}, message(type, core.term().v + (type == MessageType::kPreVoteResp ? 1 : 0)));
    settle(core);
  }
  ASSERT_EQ(core.role(), Role::kLeader);
}

TEST(RaftCore, NothingHappensWithoutInput) {
  Core core(config_of(1), start_of({}));
  EXPECT_FALSE(core.has_ready());
  EXPECT_TRUE(core.take_ready().empty());
  EXPECT_FALSE(core.lease_valid());
  EXPECT_FALSE(core.read_index(1));
  EXPECT_FALSE(core.transfer_leadership(NodeId{2}));
  EXPECT_EQ(core.propose_conf_change({}).outcome, ProposeOutcome::kNotLeader);
}

TEST(RaftCore, ProposalsOfOneTurnShareAMessage) {
  Core core(config_of(1), start_of({}));
  elect(core);
  Message ack = message(MessageType::kAppendResp, core.term().v);
  ack.index = core.log().last();
  core.step(NodeId{2}, ack);
  settle(core);
  std::vector<Bytes> one{Bytes::copy_of("a")};
  for (int i = 0; i < 10; ++i) EXPECT_EQ(core.propose(one).outcome, ProposeOutcome::kAppended);
  Ready r = core.take_ready();
  EXPECT_EQ(r.entries.size(), 10u);
  ASSERT_EQ(r.messages.size(), 1u);  // node 3 has not answered its probe
  EXPECT_EQ(r.messages[0].entries.size(), 10u);
  EXPECT_NE(r.write, 0u);
}

TEST(RaftCore, AcksWaitForTheirWriteAndEarlierOnes) {
  Core core(config_of(2), start_of({}));
  Message m = message(MessageType::kAppend, 1);
  m.index = RaftIndex{1};
  m.entries.push_back({RaftIndex{2}, Term{1}, EntryType::kNormal, Bytes::copy_of("a")});
  core.step(NodeId{1}, m);
  Ready first = core.take_ready();
  EXPECT_NE(first.write, 0u);
  ASSERT_EQ(first.after_durable.size(), 1u);
  EXPECT_EQ(first.wait_for, first.write);
  core.step(NodeId{1}, m);  // again, before the write is done
  Ready second = core.take_ready();
  EXPECT_EQ(second.write, 0u);
  EXPECT_TRUE(second.messages.empty());
  ASSERT_EQ(second.after_durable.size(), 1u);
  EXPECT_EQ(second.wait_for, first.write);
  core.durable(first.write);
  core.step(NodeId{1}, m);
  EXPECT_EQ(core.take_ready().messages.size(), 1u);
}

TEST(RaftCore, MessagesThatCannotBeTrueAreDroppedAndCounted) {
  Core core(config_of(2), start_of({1, 1}));
  std::uint64_t bad = 0;
  auto refuse = [&](Message m, std::uint64_t from = 1) {
    core.step(NodeId{from}, std::move(m));
    EXPECT_EQ(core.view().malformed, ++bad);
  };
  refuse(message(static_cast<MessageType>(0), 1));
  refuse(message(static_cast<MessageType>(99), 1));
  refuse(message(MessageType::kHeartbeat, 1), 0);
  refuse(message(MessageType::kHeartbeat, 1), 2);
  refuse(message(MessageType::kSnapshot, 1));
  Message append = message(MessageType::kAppend, 2);
  append.index = RaftIndex{3};
  append.log_term = Term{1};
  append.entries.push_back({RaftIndex{5}, Term{2}, EntryType::kNormal, {}});  // gap
  refuse(append);
  append.entries[0] = {RaftIndex{4}, Term{3}, EntryType::kNormal, {}};  // of a term to come
  refuse(append);
  append.entries[0] = {RaftIndex{4}, Term{0}, EntryType::kNormal, {}};  // older than the one before
  refuse(append);
  append.entries[0] = {RaftIndex{4}, Term{2}, EntryType::kConfig, Bytes::copy_of("?")};
  refuse(append);
  refuse(message(MessageType::kFetchResp, 1));  // says "have" and brings nothing
  constexpr std::uint64_t kMax = ~std::uint64_t{0};
  refuse(message(MessageType::kVote, kMax));  // the next term would be 0
  Message far = message(MessageType::kSnapshot, 2);
  far.snapshot = SnapshotMeta{RaftIndex{kMax}, Term{2}, core.conf()};  // so would be the next index
  refuse(far);
  far = message(MessageType::kHeartbeat, 2);
  far.commit = RaftIndex{kNumberMax + 1};
  refuse(far);
  EXPECT_EQ(core.term(), Term{1});
  EXPECT_EQ(core.log().last(), RaftIndex{3});
}

// A state takes its time: a log that went on without its entries since would make it fetch the next one.
TEST(RaftCore, EntriesBehindAStateThatIsFetchedAreNeeded) {
  Core core(config_of(1), start_of({}));
  elect(core);
  auto answer = [&](std::uint64_t from, RaftIndex index) {
    Message m = message(MessageType::kAppendResp, core.term().v);
    m.index = index;
    core.step(NodeId{from}, std::move(m));
    return settle(core);
  };
  auto store = [&](int entries) {
    for (int i = 0; i < entries; ++i) {
      Bytes payload = Bytes::copy_of("e");
      core.propose({&payload, 1});
      settle(core);
      answer(2, core.log().last());
    }
  };
  store(3);
  RaftIndex then = core.log().applied();
  ASSERT_EQ(then, core.log().last());
  core.compact(then);
  std::vector<Message> told;
  for (int i = 0; i < 20 && told.empty(); ++i) {
    core.tick();
    told = settle(core);
  }
  Message alive = message(MessageType::kHeartbeatResp, core.term().v);
  for (const Message& m : told) alive.context = std::max(alive.context, m.context);
  core.step(NodeId{3}, alive);
  told = settle(core);
  ASSERT_TRUE(std::any_of(told.begin(), told.end(),
                          [](const Message& m) { return m.type == MessageType::kSnapshot; }));
  store(5);
  ASSERT_EQ(core.log().applied(), then + 5);
  EXPECT_EQ(core.needed_from(), then + 1);
  answer(3, then + 2);  // it has the state, and that went further
  EXPECT_EQ(core.needed_from(), then + 3);
}

TEST(RaftCore, AContradictionOfCommittedEntriesHaltsInsteadOfGuessing) {
  StartState s = start_of({1, 1});
  s.hard.commit = RaftIndex{3};
  Core core(config_of(2), std::move(s));
  settle(core);
  Message m = message(MessageType::kAppend, 5);
  m.index = RaftIndex{3};
  m.log_term = Term{1};
  core.step(NodeId{1}, m);  // fine
  settle(core);
  Message other = message(MessageType::kAppend, 5);
  other.index = RaftIndex{3};
  other.log_term = Term{1};
  core.step(NodeId{1}, other);
  EXPECT_EQ(core.take_ready().soft, std::nullopt);
  Core leader(config_of(1), start_of({}));
  elect(leader);
  leader.step(NodeId{3}, message(MessageType::kHeartbeat, leader.term().v));
  Ready r = leader.take_ready();
  ASSERT_TRUE(r.soft.has_value());
  EXPECT_STREQ(r.soft->halted, "two leaders in one term");
  std::vector<Bytes> one{Bytes::copy_of("a")};
  EXPECT_EQ(leader.propose(one).outcome, ProposeOutcome::kNotLeader);
}

TEST(RaftCore, ANewcomerTakesNoEntriesFromTheVeryBeginning) {
  Core core(config_of(4), StartState{});
  Message m = message(MessageType::kAppend, 1);
  m.commit = RaftIndex{1};
  m.entries.push_back(
      {RaftIndex{1}, Term{1}, EntryType::kConfig, encode_conf({{NodeId{1}}, {}, {}, {}, false})});
  core.step(NodeId{1}, m);
  settle(core);
  EXPECT_EQ(core.view().malformed, 1u);
  EXPECT_EQ(core.log().last(), RaftIndex{0});
  EXPECT_TRUE(core.conf().voters.empty()) << "its first configuration comes with a state";
}

TEST(RaftCore, AFollowerThatHearsTwoLeadersInOneTermHalts) {
  Core core(config_of(3), start_of({}));
  core.step(NodeId{1}, message(MessageType::kHeartbeat, 1));
  settle(core);
  core.step(NodeId{2}, message(MessageType::kHeartbeat, 2));  // of the next term: an election
  settle(core);
  EXPECT_EQ(core.leader(), NodeId{2});
  core.step(NodeId{1}, message(MessageType::kHeartbeat, 2));
  Ready r = core.take_ready();
  ASSERT_TRUE(r.soft.has_value());
  EXPECT_STREQ(r.soft->halted, "two leaders in one term");
  EXPECT_EQ(core.leader(), NodeId{2});
}

TEST(RaftCore, ACommitIndexBeyondTheLogMeansALoss) {
  StartState s = start_of({1, 1});
  s.hard.commit = RaftIndex{9};
  Core core(config_of(2), std::move(s));
  EXPECT_TRUE(core.view().head_unknown);
  for (int i = 0; i < 100; ++i) core.tick();
  EXPECT_EQ(core.role(), Role::kFollower);
}

// Who stops a node asks once.
TEST(RaftCore, ATransferBeginsAlsoRightAfterAQuorumCheck) {
  Core core(config_of(1), start_of({}));
  elect(core);
  auto answer = [&](MessageType type) {
    Message m = message(type, core.term().v);
    m.index = core.log().last();
    core.step(NodeId{2}, std::move(m));
    settle(core);
  };
  answer(MessageType::kAppendResp);
  for (unsigned i = 0; i < config_of(1).election_ticks; ++i) {
    answer(MessageType::kHeartbeatResp);
    core.tick();
    settle(core);
  }
  ASSERT_EQ(core.role(), Role::kLeader);
  EXPECT_FALSE(core.transfer_leadership(NodeId{2})) << "it may be gone";
  core.set_peer_alive(NodeId{2}, true);
  EXPECT_TRUE(core.transfer_leadership(NodeId{2}));
}

TEST(RaftCore, NothingIsDroppedAboveAConfigurationThatCannotBeRead) {
  for (bool config : {false, true}) {
    StartState s = start_of({1, 1, 1, 1}, 4);
    RaftIndex first = s.entries.front().index, last = s.entries.back().index;
    s.hard.commit = first + 1;
    s.faults = {{{first + 1, Term{1}}, config}, {{last, Term{1}}, false}};
    Core core(config_of(1), std::move(s));
    for (std::uint64_t from : {2u, 3u}) {
      Message m = message(MessageType::kFetchResp, 2);
      m.index = last;
      m.log_term = Term{1};
      m.answer = FetchAnswer::kNever;
      core.step(NodeId{from}, std::move(m));
      settle(core);
    }
    EXPECT_EQ(core.log().last(), config ? last : RaftIndex{last.v - 1});
  }
}

// A leader's lease rests on the answers: a restart that has forgotten the term could vote for another.
TEST(RaftCore, AHeartbeatOfANewTermIsAnsweredWhenTheTermIsOnDisk) {
  Core core(config_of(1), start_of({}));
  core.step(NodeId{2}, message(MessageType::kHeartbeat, 1));
  Ready r = core.take_ready();
  EXPECT_TRUE(r.messages.empty());
  ASSERT_EQ(r.after_durable.size(), 1u);
  EXPECT_EQ(r.after_durable[0].type, MessageType::kHeartbeatResp);
  core.durable(r.write);
  core.step(NodeId{2}, message(MessageType::kHeartbeat, 1));
  EXPECT_EQ(core.take_ready().messages.size(), 1u) << "the term is there";
}

// What peers send is not trusted: whatever the fields say, no CHECK fires. (A lying leader may halt the
// core; that is the wanted answer.)
TEST(RaftCore, RandomMessagesTripNoCheck) {
  unsigned halted = 0;
  for (std::uint64_t seed = 1; seed <= 400; ++seed) {
    Prng prng(seed);
    Config c = config_of(1);
    c.hibernate_ticks = 5;
    StartState s = start_of({1, 1, 2});
    if (prng.chance(1, 3)) s.faults.push_back({{RaftIndex{3}, Term{1}}, false});
    s.head_unknown = prng.chance(1, 5);
    Core core(c, std::move(s));
    for (int i = 0; i < 300; ++i) {
      Message m = message(static_cast<MessageType>(prng.between(1, kMessageTypeMax)), prng.below(6));
      if (prng.chance(1, 2)) m.term = core.term();
      m.index = RaftIndex{prng.below(9)};
      m.log_term = Term{prng.below(5)};
      m.commit = RaftIndex{prng.below(12)};
      m.hint = {RaftIndex{prng.below(12)}, Term{prng.below(5)}};
      m.context = prng.below(5);
      m.reject = prng.chance(1, 3);
      m.force = prng.chance(1, 8);
      m.asleep = prng.chance(1, 8);
      m.answer = static_cast<FetchAnswer>(prng.below(6));
      for (std::uint64_t n = prng.below(3), k = 1; k <= n; ++k) {
        m.entries.push_back({m.index + k, Term{std::max(m.log_term.v, m.term.v)}, EntryType::kNormal, {}});
      }
      if (m.type == MessageType::kSnapshot) m.snapshot = SnapshotMeta{m.index, m.log_term, core.conf()};
      if (prng.chance(1, 50)) m.index = RaftIndex{UINT64_MAX};
      core.step(NodeId{prng.between(2, 4)}, std::move(m));
      if (prng.chance(1, 4)) core.tick();
      if (prng.chance(1, 20)) core.set_peer_alive(NodeId{prng.between(1, 4)}, prng.chance(2, 3));
      std::vector<Bytes> one{Bytes::copy_of("a")};
      if (prng.chance(1, 20)) core.propose(one);
      while (core.has_ready()) {
        Ready r = core.take_ready();
        if (r.soft && r.soft->halted) ++halted;
        if (r.write != 0) core.durable(r.write);
        if (!r.committed.empty()) core.applied(r.committed.back().index);
        if (r.install && prng.chance(1, 2)) core.snapshot_installed(r.install->meta);
        if (r.install) core.snapshot_failed();
        for (const LoadRequest& l : r.loads) core.entries_loaded(l, {});
      }
    }
  }
  EXPECT_GT(halted, 0u);
}

TEST(RaftCoreDeath, HostMisuseIsCaught) {
  StartState s = start_of({});
  s.base = {};
  s.applied = RaftIndex{0};
  EXPECT_DEATH(Core(config_of(1), s), "below the first index");
  Core core(config_of(1), start_of({}));
  EXPECT_DEATH(core.durable(7), "not handed out");
  Config c = config_of(1);
  c.lease_ticks = c.election_ticks;
  EXPECT_DEATH(Core(c, start_of({})), "lease");
}

// Two of three ask in the same moment, and the third is down: neither has a majority. The next try must not
// wait for a whole time-out, and not be in the same moment again.
TEST(RaftCore, ASplitVoteIsTriedAgainSoon) {
  for (std::uint64_t order = 0; order < 6; ++order) {
    std::vector<std::unique_ptr<Core>> cores;
    for (std::uint64_t id : {1u, 2u}) {
      Config c = config_of(id);
      c.order = order;
      cores.push_back(std::make_unique<Core>(c, start_of({1})));
      for (unsigned i = 0; i < c.election_ticks && cores.back()->role() == Role::kFollower; ++i)
        cores.back()->tick();
      cores.back()->campaign();
    }
    auto round = [&] {  // what both say crosses on its way
      std::vector<std::vector<Message>> said;
      for (auto& core : cores) said.push_back(settle(*core));
      for (std::size_t from : {0u, 1u}) {
        for (const Message& m : said[from]) {
          if (m.to == NodeId{2 - from}) cores[1 - from]->step(NodeId{from + 1}, m);
        }
      }
    };
    auto leads = [&] { return cores[0]->role() == Role::kLeader || cores[1]->role() == Role::kLeader; };
    for (int i = 0; i < 4; ++i) round();
    ASSERT_FALSE(leads());
    ASSERT_EQ(cores[0]->term(), cores[1]->term());
    unsigned ticks = 0;
    for (; ticks < 20 && !leads(); ++ticks) {
      for (auto& core : cores) core->tick();
      for (int i = 0; i < 6; ++i) round();
    }
    EXPECT_LE(ticks, 9u) << "order " << order;
  }
}

}  // namespace
}  // namespace weir::raft
