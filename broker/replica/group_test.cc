// Group over the real journal in a simulated world: order, durability, crashes at every disk operation.
#include "broker/replica/group.h"

#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "broker/base/limits.h"
#include "broker/env/testing/sim_disk.h"

namespace weir::replica {
namespace {

using env::testing::SimEnv;
using env::testing::Survivors;

constexpr GroupId kGroup{7};

class Machine final : public StateMachine {
 public:
  Status apply(RaftIndex index, Term term, const Bytes& payload, bool live) override {
    if (on_apply) on_apply();
    if (payload.text() == fail_on) return {Code::kCorrupt, "cannot apply"};
    entries.emplace_back(payload.text());
    indexes.push_back(index.v);
    terms.push_back(term.v);
    live_count += live;
    return ok();
  }
  void stopped(const Error& why) override {
    ++stops;
    reason = why.detail;
  }
  std::vector<std::string> entries;
  std::vector<std::uint64_t> indexes, terms;
  std::string fail_on = "\xff", reason;
  std::function<void()> on_apply;
  int live_count = 0, stops = 0;
};

constexpr NodeId kSelf{1u << 24};

/// One life of a process with one journal and two groups of one member on it.
struct Node {
  explicit Node(SimEnv& w, std::optional<Position> checkpoint = {})
      : world(w), env(w.env()), host(env, nullptr) {
    group = std::make_unique<Group>(kGroup, host, machine);
    other = std::make_unique<Group>(GroupId(8), host, other_machine);
    checkpoint ? group->restore(*checkpoint) : group->found(kSelf, {kSelf});
    other->found(kSelf, {kSelf});
    store::JournalOptions o;
    o.file_bytes = 16 * 1024;
    o.files_max = 8;
    auto opened = store::Journal::open(
        env, "j", o,
        [this](const store::JournalRecord& r) {
          if (r.group == kGroup) replayed = group->replay(r);
          if (r.group == GroupId(8)) (void)other->replay(r);
        },
        [this](const store::JournalFault& f) {
          faults.push_back(f);
          if (f.group == kGroup) group->damaged(f);
          if (f.group == GroupId(8)) other->damaged(f);
        });
    if (!opened) return;
    journal = std::move(*opened);
    world.loop.set_end_of_turn([this] { turn(); });
  }
  ~Node() {
    world.loop.set_end_of_turn([] {});
  }
  void turn() {
    if (host.run()) world.loop.post([] {});
    journal->flush();
  }
  /// Groups of one lead after two writes.
  void start() {
    group->start(journal.get());
    other->start(journal.get());
    turn();
    world.loop.run_until(
        [&] {
          return (group->leading() || group->why_stopped()) && (other->leading() || other->why_stopped());
        },
        kSecond);
  }
  bool propose(const std::string& text) { return group->propose(Bytes::copy_of(text)).has_value(); }
  bool flush_until(std::size_t applied) {
    turn();
    return world.loop.run_until([&] { return machine.entries.size() >= applied; }, kSecond);
  }
  SimEnv& world;
  env::Env env;
  Host host;
  Machine machine, other_machine;
  std::unique_ptr<store::Journal> journal;
  std::unique_ptr<Group> group, other;
  std::vector<store::JournalFault> faults;
  Status replayed = ok();
};

/// A group without a disk.
struct MemoryNode {
  explicit MemoryNode(SimEnv& w) : world(w), env(w.env()), host(env, nullptr), group(kGroup, host, machine) {
    group.found(kSelf, {kSelf});
    group.start(nullptr);
    settle();
  }
  ~MemoryNode() {
    world.loop.set_end_of_turn([] {});
  }
  void settle() {
    world.loop.set_end_of_turn([this] {
      if (host.run()) world.loop.post([] {});
    });
    world.loop.post([] {});
    world.loop.run_until_idle();
  }
  SimEnv& world;
  env::Env env;
  Host host;
  Machine machine;
  Group group;
};

TEST(Group, AppliesInOrderOnceDurable) {
  SimEnv world(1);
  Node n(world);
  n.start();
  for (int i = 0; i < 20; ++i) ASSERT_TRUE(n.propose("e" + std::to_string(i)));
  EXPECT_EQ(n.group->last(), RaftIndex(22));  // a new group begins behind 1, a term with an entry of its own
  EXPECT_TRUE(n.machine.entries.empty());     // never inside propose()
  ASSERT_TRUE(n.flush_until(20));
  for (std::size_t i = 0; i < 20; ++i) {
    EXPECT_EQ(n.machine.entries[i], "e" + std::to_string(i));
    EXPECT_EQ(n.machine.indexes[i], i + 3);
  }
  EXPECT_EQ(n.machine.live_count, 20);
  EXPECT_EQ(n.group->applied(), RaftIndex(22));
  EXPECT_EQ(n.group->in_flight_bytes(), 0u);
}

TEST(Group, RefusesBeforeStart) {
  SimEnv world(1);
  Node n(world);
  auto r = n.group->propose(Bytes::copy_of("x"));
  ASSERT_FALSE(r);
  EXPECT_EQ(r.error().code, Code::kUnavailable);
  EXPECT_FALSE(n.group->leading());
}

TEST(Group, SaysWhenTooMuchWaits) {
  SimEnv world(1);
  MemoryNode n(world);
  Bytes big = Bytes::copy_of(std::string(limits::kInFlightBytesMax / 2 + 1, 'x'));
  ASSERT_TRUE(n.group.propose(big));
  EXPECT_FALSE(n.group.crowded());
  // What has to go on (acks, deletes) does: the owner asks crowded() before it takes new messages.
  ASSERT_TRUE(n.group.propose(big));
  EXPECT_TRUE(n.group.crowded());
  n.settle();
  EXPECT_FALSE(n.group.crowded());
  EXPECT_EQ(n.machine.entries.size(), 2u);
}

TEST(Group, EachLifeHasATermOfItsOwn) {
  SimEnv world(1);
  Prng prng(5);
  std::uint64_t last = 0;
  for (int life = 0; life < 5; ++life) {
    Node n(world);
    n.start();
    EXPECT_GT(n.group->term().v, last);
    last = n.group->term().v;
    ASSERT_TRUE(n.propose("x"));
    ASSERT_TRUE(n.flush_until(static_cast<std::size_t>(life) + 1));
    EXPECT_EQ(n.machine.terms.back(), last);
    n.group.reset();
    n.other.reset();
    n.journal.reset();
    world.loop.forget_all();
    world.disk.crash(prng, Survivors::kNone);
  }
}

TEST(Group, GroupsShareTheJournal) {
  SimEnv world(3);
  Node n(world);
  n.start();
  for (int i = 0; i < 5; ++i) {
    ASSERT_TRUE(n.propose("a"));
    ASSERT_TRUE(n.other->propose(Bytes::copy_of("b")));
  }
  ASSERT_TRUE(n.flush_until(5));
  world.loop.run_for(kSecond);
  EXPECT_EQ(n.other_machine.entries, std::vector<std::string>(5, "b"));
  EXPECT_EQ(n.machine.entries, std::vector<std::string>(5, "a"));
}

// A process dies at the n-th disk operation, for every n: what was applied live is found again, in the
// same order, and nothing that was never proposed.
TEST(Group, CrashAtEveryDiskOperation) {
  constexpr int kEntries = 12;
  bool survived = false;
  for (std::uint64_t at = 1; !survived && at < 500; ++at) {
    for (Survivors how : {Survivors::kNone, Survivors::kTorn, Survivors::kAny}) {
      SimEnv world(at * 7 + static_cast<std::uint64_t>(how));
      Prng prng(at);
      world.disk.crash_at(at);
      std::vector<std::string> seen;
      {
        Node n(world);
        if (n.journal) {
          n.start();
          for (int i = 0; i < kEntries; ++i) {
            if (!n.propose("e" + std::to_string(i))) break;  // it died before it led
            n.turn();
            world.loop.run_for(300 * kMicrosecond);
          }
          world.loop.run_for(20 * kMillisecond);
        }
        seen = n.machine.entries;
        survived = !world.disk.frozen();
      }
      if (survived) {
        EXPECT_EQ(seen.size(), static_cast<std::size_t>(kEntries));
        break;
      }
      world.loop.forget_all();
      world.disk.crash(prng, how);
      Node n(world);
      ASSERT_TRUE(n.journal);
      EXPECT_TRUE(n.faults.empty()) << at;
      EXPECT_TRUE(n.replayed.has_value());
      ASSERT_GE(n.machine.entries.size(), seen.size()) << "applied and lost, operation " << at;
      for (std::size_t i = 0; i < n.machine.entries.size(); ++i) {
        EXPECT_EQ(n.machine.entries[i], "e" + std::to_string(i));
      }
      EXPECT_EQ(n.machine.live_count, 0);
      std::size_t before = n.machine.entries.size();
      n.start();
      ASSERT_TRUE(n.propose("new"));
      ASSERT_TRUE(n.flush_until(before + 1));
      EXPECT_GT(n.machine.indexes.back(), before);
    }
  }
  EXPECT_TRUE(survived);
}

TEST(Group, NothingIsAppliedAfterAFailedSync) {
  SimEnv world(9);
  Node n(world);
  n.start();
  ASSERT_TRUE(n.propose("good"));
  ASSERT_TRUE(n.flush_until(1));
  world.disk.fail_next_sync("j/");
  ASSERT_TRUE(n.propose("bad"));
  ASSERT_TRUE(n.propose("worse"));
  n.turn();
  world.loop.run_for(kSecond);
  EXPECT_EQ(n.machine.entries, std::vector<std::string>{"good"});
  EXPECT_EQ(n.machine.stops, 1);
  ASSERT_NE(n.group->why_stopped(), nullptr);
  EXPECT_FALSE(n.group->leading());
  EXPECT_EQ(n.group->in_flight_bytes(), 0u);
  auto r = n.group->propose(Bytes::copy_of("more"));
  ASSERT_FALSE(r);
  EXPECT_EQ(r.error().code, Code::kUnavailable);
  world.loop.run_for(kSecond);
  EXPECT_EQ(n.machine.stops, 1);
}

TEST(Group, AnErrorOfApplyStopsTheGroup) {
  SimEnv world(10);
  Node n(world);
  n.machine.fail_on = "bad";
  n.start();
  ASSERT_TRUE(n.propose("a"));
  ASSERT_TRUE(n.propose("bad"));
  ASSERT_TRUE(n.propose("b"));
  n.turn();
  world.loop.run_for(kSecond);
  EXPECT_EQ(n.machine.entries, std::vector<std::string>{"a"});
  EXPECT_EQ(n.machine.stops, 1);
  EXPECT_EQ(n.machine.reason, "cannot apply");
  ASSERT_TRUE(n.other->propose(Bytes::copy_of("x")));  // others go on
  n.turn();
  world.loop.run_for(kSecond);
  EXPECT_EQ(n.other_machine.entries.size(), 1u);
}

Position position(std::uint64_t index, std::uint64_t term) {
  Position p;
  p.self = kSelf;
  p.at = {RaftIndex(index), Term(term)};
  p.conf.voters = {kSelf};
  return p;
}

TEST(Group, RestoreSkipsWhatTheCheckpointHas) {
  SimEnv world(11);
  Prng prng(1);
  {
    Node n(world);
    n.start();
    for (int i = 1; i <= 6; ++i) ASSERT_TRUE(n.propose("e" + std::to_string(i)));
    ASSERT_TRUE(n.flush_until(6));
    EXPECT_EQ(n.group->applied(), RaftIndex(8));
    auto mark = n.group->checkpoint_position();
    ASSERT_TRUE(mark);
    EXPECT_EQ(*mark, position(8, 1));
  }
  world.loop.forget_all();
  world.disk.crash(prng, Survivors::kNone);
  {
    Node n(world, position(6, 1));
    EXPECT_EQ(n.machine.entries, (std::vector<std::string>{"e5", "e6"}));
    EXPECT_EQ(n.group->applied(), RaftIndex(8));
  }
  world.loop.forget_all();
  world.disk.crash(prng, Survivors::kNone);
  Node n(world, position(8, 1));
  EXPECT_TRUE(n.machine.entries.empty());
  n.start();
  n.group->release_restored();
  ASSERT_TRUE(n.propose("e7"));
  ASSERT_TRUE(n.flush_until(1));
  EXPECT_EQ(n.machine.indexes.back(), 10u);
  EXPECT_EQ(n.machine.terms.back(), 2u);
  n.group->compact(RaftIndex(10));
  EXPECT_EQ(n.group->core()->log().base().index, RaftIndex(10));
}

TEST(Group, AMissingEntryStopsTheGroup) {
  SimEnv world(12);
  auto env = world.env();
  Host host(env, nullptr);
  Machine machine;
  Group g(kGroup, host, machine);
  g.found(kSelf, {kSelf});
  auto record = [](std::uint64_t index) {
    store::JournalRecord r;
    r.group = kGroup;
    r.term = Term(1);
    r.index = RaftIndex(index);
    r.payload = Bytes::copy_of("e" + std::to_string(index));
    return r;
  };
  EXPECT_TRUE(g.replay(record(2)));
  EXPECT_TRUE(g.replay(record(2)));  // the journal may repeat itself
  Status s = g.replay(record(4));
  ASSERT_FALSE(s);
  EXPECT_EQ(s.error().code, Code::kCorrupt);
  EXPECT_EQ(machine.stops, 1);
  EXPECT_FALSE(g.replay(record(3)));
  EXPECT_EQ(machine.entries, std::vector<std::string>{"e2"});
  g.start(nullptr);
  EXPECT_FALSE(g.leading());
}

TEST(Group, DamageMattersOnlyAboveTheCheckpoint) {
  SimEnv world(13);
  auto env = world.env();
  Host host(env, nullptr);
  for (bool covered : {true, false}) {
    Machine machine;
    Group g(kGroup, host, machine);
    g.restore(position(covered ? 9 : 8, 2));
    store::JournalFault f;
    f.group = kGroup;
    f.from = RaftIndex(5);
    f.to = RaftIndex(9);
    f.detail = "a bad block";
    g.damaged(f);
    g.start(nullptr);
    EXPECT_EQ(machine.stops, covered ? 0 : 1);
    EXPECT_EQ(g.why_stopped() == nullptr, covered);
  }
}

TEST(Group, ABitFlippedInTheJournalStopsTheGroup) {
  SimEnv world(14);
  Prng prng(1);
  std::string marker = "the-entry-that-rots";
  {
    Node n(world);
    n.start();
    ASSERT_TRUE(n.propose("first"));
    ASSERT_TRUE(n.flush_until(1));
    ASSERT_TRUE(n.propose(marker));
    ASSERT_TRUE(n.flush_until(2));
    ASSERT_TRUE(n.propose("third"));
    ASSERT_TRUE(n.flush_until(3));
    ASSERT_TRUE(n.propose("fourth"));
    ASSERT_TRUE(n.flush_until(4));
  }
  world.loop.forget_all();
  world.disk.crash(prng, Survivors::kAll);
  bool flipped = false;
  for (const std::string& path : world.disk.files()) {
    auto at = world.disk.content(path)->find(marker);
    if (at != std::string::npos) flipped |= world.disk.flip_bit(path, at + 3, 2);
  }
  ASSERT_TRUE(flipped);
  Node n(world);
  ASSERT_TRUE(n.journal);
  EXPECT_FALSE(n.faults.empty());
  EXPECT_EQ(n.machine.entries, std::vector<std::string>{"first"});
  n.start();  // until then later records might make it harmless
  ASSERT_NE(n.group->why_stopped(), nullptr);
  EXPECT_EQ(n.machine.stops, 1);
  EXPECT_FALSE(n.propose("x"));
  EXPECT_TRUE(n.other->leading());
}

TEST(Group, MemoryGroupAppliesInALaterTurn) {
  SimEnv world(15);
  MemoryNode n(world);
  ASSERT_TRUE(n.group.propose(Bytes::copy_of("a")));
  ASSERT_TRUE(n.group.propose(Bytes::copy_of("b")));
  EXPECT_TRUE(n.machine.entries.empty());
  n.settle();
  EXPECT_EQ(n.machine.entries, (std::vector<std::string>{"a", "b"}));
  EXPECT_TRUE(world.disk.files().empty());
}

TEST(Group, MayBeDestroyedWhileEntriesAreUnderWay) {
  SimEnv world(16);
  Node n(world);
  n.start();
  ASSERT_TRUE(n.propose("a"));
  n.turn();
  n.group.reset();
  world.loop.run_for(kSecond);
  EXPECT_TRUE(n.machine.entries.empty());
}

TEST(Group, MayBeDestroyedByItsOwnApply) {
  SimEnv world(17);
  Node n(world);
  n.start();
  n.machine.on_apply = [&] { n.group.reset(); };
  ASSERT_TRUE(n.propose("a"));
  ASSERT_TRUE(n.propose("b"));
  n.turn();
  world.loop.run_for(kSecond);
  EXPECT_EQ(n.machine.entries.size(), 1u);
}

TEST(Group, RemoveVoidsItsRecords) {
  SimEnv world(18);
  Prng prng(1);
  {
    Node n(world);
    n.start();
    ASSERT_TRUE(n.propose("a"));
    ASSERT_TRUE(n.other->propose(Bytes::copy_of("kept")));
    ASSERT_TRUE(n.flush_until(1));
    ASSERT_TRUE(n.propose("never applied"));
    n.group->retire();
    end_records(*n.journal, n.group->id());
    n.turn();
    world.loop.run_for(kSecond);
    EXPECT_EQ(n.machine.entries.size(), 1u);
    EXPECT_EQ(n.machine.stops, 0);
    EXPECT_FALSE(n.propose("x"));
  }
  world.loop.forget_all();
  world.disk.crash(prng, Survivors::kNone);
  Node n(world);
  ASSERT_TRUE(n.journal);
  // The journal may still show what the removal made void, but only in front of it.
  n.start();
  EXPECT_EQ(n.other_machine.entries, std::vector<std::string>{"kept"});
}

}  // namespace
}  // namespace weir::replica
