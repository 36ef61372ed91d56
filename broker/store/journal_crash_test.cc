// Crashes at every disk operation of short histories, and long random lives with many of them.
#include <gtest/gtest.h>

#include "broker/store/journal_rig.h"

namespace weir::store::testing {
namespace {

constexpr Survivors kChoices[] = {Survivors::kNone, Survivors::kAll, Survivors::kPrefix, Survivors::kTorn,
                                  Survivors::kRandom};

/// Random work on a few groups. Indices follow raft's habits: append, cut a suffix and append.
class Workload {
 public:
  Workload(JournalRig& rig, std::uint64_t seed) : rig_(rig), prng_(seed) {}

  void step() {
    auto g = static_cast<std::uint32_t>(prng_.between(1, 4));
    std::uint64_t& last = last_[g];
    std::uint64_t what = prng_.below(100);
    if (what < 55) {
      constexpr RecordKind kKinds[] = {RecordKind::kNoop, RecordKind::kConfig, RecordKind::kEntry};
      rig_.append(GroupId(g), kKinds[std::min<std::uint64_t>(what, 2)], term_, ++last, payload());
    } else if (what < 62 && last > rig_.released(g)) {
      last = prng_.between(rig_.released(g) + 1, last);
      rig_.append(GroupId(g), RecordKind::kEntry, ++term_, last, payload());
    } else if (what < 64 && last > rig_.released(g)) {
      last = prng_.between(rig_.released(g), last - 1);
      rig_.append(GroupId(g), RecordKind::kCut, ++term_, last + 1, "");
    } else if (what < 65) {
      last += prng_.below(5);
      rig_.append(GroupId(g), RecordKind::kReset, ++term_, last, "");
    } else if (what < 68) {
      repair(g);
    } else if (what < 72) {
      rig_.append(GroupId(g), RecordKind::kHardState, ++term_, last, "n" + std::to_string(g));
    } else if (what < 74) {
      rig_.append(GroupId(g), RecordKind::kRemoved, 0, 0, "");
      last = 0;
    } else if (what < 90) {
      release(g);
    } else {
      rig_.world.loop.run_for(static_cast<Nanos>(prng_.below(3 * kMillisecond)));
    }
    if (prng_.chance(2, 3)) rig_.journal->flush();
    if (prng_.chance(1, 2)) rig_.world.loop.run_for(static_cast<Nanos>(prng_.below(400 * kMicrosecond)));
  }
  /// After recovery: go on where the surviving history ended.
  void resync() {
    Image model;
    for (const auto& r : rig_.history) model.apply(r);
    for (std::uint32_t g = 1; g <= 4; ++g) {
      auto& e = model.groups[g].entries;
      last_[g] = e.empty() ? rig_.released(g) : e.rbegin()->first;
      last_[g] = std::max(last_[g], rig_.released(g));
    }
  }

 private:
  // Only what was acknowledged and not cut since may be released: the owner applied it.
  void release(std::uint32_t g) {
    Image model;
    for (std::size_t i = 0; i < rig_.acked; ++i) model.apply(rig_.history[i]);
    std::uint64_t top = model.groups[g].entries.empty() ? 0 : model.groups[g].entries.rbegin()->first;
    for (std::size_t i = rig_.acked; i < rig_.history.size(); ++i) {
      const auto& r = rig_.history[i];
      if (r.group.v != g) continue;
      if (r.kind == RecordKind::kRemoved || r.kind == RecordKind::kReset) return;
      if (is_entry(r.kind) || r.kind == RecordKind::kCut) top = std::min(top, r.index.v - 1);
    }
    if (top > rig_.released(g)) rig_.release(g, prng_.between(rig_.released(g) + 1, top));
  }
  // Other bytes than the entry had, so that the test sees which of the two counts.
  void repair(std::uint32_t g) {
    Image model;
    for (const auto& r : rig_.history) model.apply(r);
    auto& e = model.groups[g].entries;
    auto it = e.lower_bound(prng_.between(rig_.released(g), last_[g]));
    if (it == e.end()) return;
    auto kind = it->second.second.starts_with("noop")     ? RecordKind::kNoop
                : it->second.second.starts_with("config") ? RecordKind::kConfig
                                                          : RecordKind::kEntry;
    rig_.append(GroupId(g), repair_of(kind), it->second.first, it->first, payload());
  }
  std::string payload() {
    std::uint64_t n = prng_.chance(1, 40) ? prng_.below(30'000) : prng_.below(2'000);
    std::string s(n, static_cast<char>('a' + prng_.below(26)));
    return std::to_string(++serial_) + s;
  }

  JournalRig& rig_;
  Prng prng_;
  std::map<std::uint32_t, std::uint64_t> last_;
  std::uint64_t term_ = 1;
  std::uint64_t serial_ = 0;
};

void check(JournalRig& rig, std::size_t least, const std::string& what) {
  for (const auto& f : rig.faults) ADD_FAILURE() << what << ": fault: " << f.detail;
  ASSERT_TRUE(rig.recovered_prefix(least))
      << what << ": acknowledged " << least << " of " << rig.history.size();
}

struct Run {
  std::uint64_t seed;
  std::uint64_t crash_at;  // 0: none
  std::optional<Survivors> survivors;
  bool always = true;
};

/// One life of `steps` steps, a crash at an operation, a recovery that itself crashes, another one.
/// Returns how many operations the undisturbed history takes.
std::uint64_t live(const Run& run, int steps) {
  JournalRig rig(run.seed);
  rig.options.sync_always = run.always;
  rig.options.sync_interval_ns = run.always ? 0 : kMillisecond;
  std::string what = "seed " + std::to_string(run.seed) + " crash at " + std::to_string(run.crash_at) +
                     " survivors " +
                     (run.survivors ? std::to_string(static_cast<int>(*run.survivors)) : "kill");
  rig.world.disk.crash_at(run.crash_at);
  Workload work(rig, run.seed * 31);
  std::size_t durable = 0;
  if (rig.open()) {
    for (int i = 0; i < steps && !rig.world.disk.frozen(); ++i) {
      work.step();
      if (run.always) durable = rig.acked;
    }
    if (!rig.world.disk.frozen() && rig.drained()) durable = rig.acked;
    if (run.always) durable = rig.acked;
  }
  std::uint64_t operations = rig.world.disk.counts().operations;
  if (!run.survivors) durable = rig.acked;  // the page cache keeps what was written
  rig.die(run.survivors);

  // Recovery is interrupted as well, at an operation that moves with the first.
  rig.world.disk.crash_at(1 + run.crash_at % 13);
  if (rig.open()) {
    check(rig, durable, what + " (first recovery)");
    if (rig.drained()) durable = rig.history.size();
  }
  rig.die(run.survivors);

  EXPECT_TRUE(rig.open()) << what;
  if (!rig.journal) return operations;
  check(rig, durable, what + " (second recovery)");
  EXPECT_TRUE(rig.drained()) << what;
  work.resync();
  for (int i = 0; i < 5; ++i) work.step();
  EXPECT_TRUE(rig.drained()) << what;
  durable = rig.acked;
  EXPECT_EQ(durable, rig.history.size()) << what;
  rig.die(Survivors::kNone);
  EXPECT_TRUE(rig.open()) << what;
  check(rig, durable, what + " (after it)");
  return operations;
}

TEST(JournalCrash, AtEveryOperationOfShortHistories) {
  for (std::uint64_t seed = 1; seed <= 12; ++seed) {
    std::uint64_t operations = live({seed, 0, Survivors::kNone}, 40);
    ASSERT_GT(operations, 30u);
    for (std::uint64_t at = 1; at <= operations && !HasFailure(); ++at) {
      for (Survivors s : kChoices) live({seed, at, s}, 40);
      live({seed, at, std::nullopt}, 40);
    }
  }
}

TEST(JournalCrash, AtEveryOperationInRelaxedMode) {
  for (std::uint64_t seed = 100; seed <= 106; ++seed) {
    std::uint64_t operations = live({seed, 0, Survivors::kNone, false}, 40);
    for (std::uint64_t at = 1; at <= operations && !HasFailure(); ++at) {
      for (Survivors s : kChoices) live({seed, at, s, false}, 40);
      live({seed, at, std::nullopt, false}, 40);
    }
  }
}

// Long lives: hundreds of steps, recycled files, crashes and kills in between, sync failures too.
TEST(JournalCrash, LongRandomLives) {
  for (std::uint64_t seed = 1; seed <= 150 && !HasFailure(); ++seed) {
    JournalRig rig(seed);
    Prng prng(seed);
    Workload work(rig, seed);
    for (int life = 0; life < 6 && !HasFailure(); ++life) {
      ASSERT_TRUE(rig.open());
      check(rig, rig.acked, "seed " + std::to_string(seed) + " life " + std::to_string(life));
      if (HasFailure()) break;
      ASSERT_TRUE(rig.drained());
      work.resync();
      bool sick = prng.chance(1, 4);
      std::uint64_t steps = prng.below(200);
      for (std::uint64_t i = 0; i < steps; ++i) {
        if (sick && i == steps / 2) rig.world.disk.fail_next_sync("j/");
        work.step();
      }
      auto survivors = prng.chance(1, 2) ? std::optional(Survivors::kAny) : std::nullopt;
      rig.die(survivors);
      rig.world.disk.clear_faults();
    }
  }
}

}  // namespace
}  // namespace weir::store::testing
