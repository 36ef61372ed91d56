#include "broker/store/journal_ledger.h"

#include <gtest/gtest.h>

#include "broker/base/prng.h"

namespace weir::store {
namespace {

JournalRecord entry(std::uint32_t g, std::uint64_t i) {
  return {GroupId(g), RecordKind::kEntry, Term(1), RaftIndex(i), {}};
}
JournalRecord state(std::uint32_t g, const char* text = "s") {
  return {GroupId(g), RecordKind::kHardState, Term(2), RaftIndex(5), Bytes::copy_of(std::string_view(text))};
}
JournalRecord record(RecordKind kind, std::uint32_t g, std::uint64_t i) {
  return {GroupId(g), kind, Term(1), RaftIndex(i), {}};
}
JournalRecord removed(std::uint32_t g) {
  return {GroupId(g), RecordKind::kRemoved, Term(0), RaftIndex(0), {}};
}

TEST(JournalLedger, AFileIsPinnedByItsUnreleasedEntries) {
  JournalLedger l;
  l.begin_file("a", 1, 1, 1);
  l.place(entry(1, 1), 1);
  l.place(entry(1, 2), 1);
  l.place(entry(2, 7), 2);
  EXPECT_EQ(l.chain(GroupId(1)), 1u);
  EXPECT_EQ(l.chain(GroupId(2)), 2u);
  EXPECT_EQ(l.chain(GroupId(3)), 0u);
  l.release(GroupId(1), RaftIndex(1));
  EXPECT_FALSE(l.oldest_idle());
  EXPECT_EQ(l.laggard(), GroupId(2));
  l.release(GroupId(2), RaftIndex(7));
  EXPECT_EQ(l.laggard(), GroupId(1));
  l.release(GroupId(1), RaftIndex(2));
  EXPECT_TRUE(l.oldest_idle());
  EXPECT_EQ(l.laggard(), GroupId(0));
  l.release(GroupId(99), RaftIndex(1));
  EXPECT_EQ(l.pop_oldest().name, "a");
  EXPECT_FALSE(l.oldest_idle());
}

TEST(JournalLedger, ACutSuffixDoesNotPinItsOldFile) {
  JournalLedger l;
  l.begin_file("a", 1, 1, 1);
  for (std::uint64_t i = 1; i <= 10; ++i) l.place(entry(1, i), i);
  l.begin_file("b", 1, 2, 11);
  l.place(entry(1, 7), 11);
  l.release(GroupId(1), RaftIndex(6));
  EXPECT_TRUE(l.oldest_idle());
}

TEST(JournalLedger, ACutToTheFirstEntryFreesAtOnce) {
  JournalLedger l;
  l.begin_file("a", 1, 1, 1);
  l.place(entry(1, 1), 1);
  l.begin_file("b", 1, 2, 2);
  l.place(entry(1, 1), 2);
  EXPECT_TRUE(l.oldest_idle());
}

TEST(JournalLedger, EntriesBelowAnEarlierReleaseCountAgain) {
  JournalLedger l;
  l.begin_file("a", 1, 1, 1);
  l.place(entry(1, 10), 1);
  l.release(GroupId(1), RaftIndex(10));
  l.place(entry(1, 4), 2);
  EXPECT_FALSE(l.oldest_idle());
  l.release(GroupId(1), RaftIndex(4));
  EXPECT_TRUE(l.oldest_idle());
}

TEST(JournalLedger, HardStatesAreCarriedOn) {
  JournalLedger l;
  l.begin_file("a", 1, 1, 1);
  for (std::uint32_t g = 1; g <= 5; ++g) l.place(state(g, "old"), 1);
  l.begin_file("b", 1, 2, 2);
  l.place(state(3, "new"), 2);
  EXPECT_TRUE(l.oldest_released());
  EXPECT_FALSE(l.oldest_idle());
  auto part = l.hard_states_of_oldest(1);
  ASSERT_EQ(part.size(), 1u);
  auto all = l.hard_states_of_oldest(1 << 20);
  ASSERT_EQ(all.size(), 4u);
  for (const auto& r : all) {
    EXPECT_NE(r.group, GroupId(3));
    EXPECT_EQ(r.payload.text(), "old");
    EXPECT_EQ(r.term, Term(2));
    EXPECT_EQ(r.index, RaftIndex(5));
    l.place(r, 3);
  }
  EXPECT_TRUE(l.oldest_idle());
}

TEST(JournalLedger, RemovalUnpinsEverything) {
  JournalLedger l;
  l.begin_file("a", 1, 1, 1);
  l.place(entry(1, 1), 1);
  l.begin_file("b", 1, 2, 2);
  l.place(entry(1, 2), 2);
  l.place(state(1), 2);
  l.place(removed(1), 3);
  EXPECT_TRUE(l.oldest_idle());
  l.pop_oldest();
  EXPECT_TRUE(l.oldest_idle());
  EXPECT_EQ(l.chain(GroupId(1)), 0u);
  l.place(removed(77), 4);  // never heard of
}

TEST(JournalLedger, ACutUnpinsWithoutAnEntry) {
  JournalLedger l;
  l.begin_file("a", 1, 1, 1);
  for (std::uint64_t i = 1; i <= 10; ++i) l.place(entry(1, i), i);
  l.begin_file("b", 1, 2, 11);
  l.release(GroupId(1), RaftIndex(6));
  EXPECT_FALSE(l.oldest_idle());
  l.place(record(RecordKind::kCut, 1, 8), 11);
  EXPECT_FALSE(l.oldest_idle());
  l.place(record(RecordKind::kCut, 1, 7), 11);
  EXPECT_TRUE(l.oldest_idle());
  EXPECT_EQ(l.chain(GroupId(1)), 11u);
  l.place(record(RecordKind::kCut, 1, 0), 11);
  l.place(record(RecordKind::kCut, 2, 5), 12);  // never heard of
}

TEST(JournalLedger, AResetReleasesTheLogAndKeepsTheHardState) {
  JournalLedger l;
  l.begin_file("a", 1, 1, 1);
  l.place(entry(1, 1), 1);
  l.place(state(1), 1);
  l.begin_file("b", 1, 2, 2);
  l.place(entry(1, 2), 2);
  l.place(record(RecordKind::kRepairedEntry, 1, 1), 2);
  l.place(record(RecordKind::kReset, 1, 100), 3);
  EXPECT_TRUE(l.oldest_released());
  EXPECT_FALSE(l.oldest_idle());
  EXPECT_EQ(l.hard_states_of_oldest(100).size(), 1u);
  l.place(state(1), 3);
  EXPECT_TRUE(l.oldest_idle());
  l.pop_oldest();
  EXPECT_TRUE(l.oldest_released());
  l.place(entry(1, 101), 4);
  EXPECT_FALSE(l.oldest_released());
  EXPECT_EQ(l.laggard(), GroupId(1));
}

TEST(JournalLedger, ARepairHoldsItsOwnFileUntilReleased) {
  JournalLedger l;
  l.begin_file("a", 1, 1, 1);
  for (std::uint64_t i = 1; i <= 10; ++i) l.place(entry(1, i), i);
  l.begin_file("b", 1, 2, 11);
  l.place(record(RecordKind::kRepairedEntry, 1, 5), 11);
  l.place(record(RecordKind::kRepairedConfig, 1, 4), 11);
  l.begin_file("c", 1, 3, 12);
  l.place(entry(1, 11), 12);
  l.place(record(RecordKind::kRepairedNoop, 1, 7), 13);  // 11 keeps this file anyway
  l.release(GroupId(1), RaftIndex(4));
  EXPECT_FALSE(l.oldest_idle());
  l.release(GroupId(1), RaftIndex(10));
  EXPECT_TRUE(l.oldest_idle());
  l.pop_oldest();
  EXPECT_TRUE(l.oldest_idle());
  l.pop_oldest();
  EXPECT_FALSE(l.oldest_idle());
  l.place(record(RecordKind::kRepairedEntry, 1, 9), 14);  // released already
  l.release(GroupId(1), RaftIndex(11));
  EXPECT_TRUE(l.oldest_idle());
}

TEST(JournalLedger, ACutVoidsRepairsAboveIt) {
  JournalLedger l;
  l.begin_file("a", 1, 1, 1);
  for (std::uint64_t i = 1; i <= 10; ++i) l.place(entry(1, i), i);
  l.begin_file("b", 1, 2, 11);
  l.place(record(RecordKind::kRepairedEntry, 1, 8), 11);
  EXPECT_EQ(l.laggard(), GroupId(1));
  l.release(GroupId(1), RaftIndex(6));
  l.begin_file("c", 1, 3, 12);
  l.place(entry(1, 7), 12);
  EXPECT_TRUE(l.oldest_idle());
  l.pop_oldest();
  EXPECT_TRUE(l.oldest_idle());
  EXPECT_EQ(l.laggard(), GroupId(0));
}

// Against a model that remembers every record.
TEST(JournalLedger, MatchesAModelThatScans) {
  struct Kept {
    JournalRecord r;
    std::uint64_t use;
  };
  for (std::uint64_t seed = 1; seed <= 30; ++seed) {
    Prng prng(seed);
    JournalLedger l;
    std::vector<Kept> kept;
    std::map<std::uint32_t, std::uint64_t> last;
    auto holds_entry = [](const JournalRecord& r) { return is_entry(r.kind) || is_repair(r.kind); };
    std::uint64_t use = 1;
    l.begin_file("1", 1, 1, 1);
    for (int i = 0; i < 600; ++i) {
      auto g = static_cast<std::uint32_t>(prng.between(1, 5));
      auto drop = [&](auto pred) {
        std::erase_if(kept, [&](const Kept& k) { return k.r.group.v == g && pred(k.r); });
      };
      auto what = prng.below(24);
      if (what == 23) {
        std::uint64_t index = prng.between(1, last[g] + 1);
        last[g] = index - 1;
        drop([&](const JournalRecord& k) { return holds_entry(k) && k.index.v >= index; });
        l.place(record(RecordKind::kCut, g, index), 1);
      } else if (what == 22) {
        last[g] += prng.below(3);
        drop([&](const JournalRecord& k) { return holds_entry(k); });
        l.place(record(RecordKind::kReset, g, last[g]), 1);
      } else if (what >= 20) {
        auto r = record(RecordKind::kRepairedEntry, g, prng.between(1, last[g] + 1));
        bool is_there = std::any_of(kept.begin(), kept.end(), [&](const Kept& k) {
          return k.r.group == r.group && is_entry(k.r.kind) && k.r.index == r.index;
        });
        if (!is_there) continue;
        kept.push_back({r, use});
        l.place(r, 1);
      } else if (what < 10) {
        std::uint64_t index = what < 8 ? last[g] + 1 : prng.between(1, last[g] + 1);
        last[g] = index;
        auto r = entry(g, index);
        drop([&](const JournalRecord& k) { return holds_entry(k) && k.index >= r.index; });
        kept.push_back({r, use});
        l.place(r, 1);
      } else if (what < 12) {
        drop([](const JournalRecord& k) { return k.kind == RecordKind::kHardState; });
        kept.push_back({state(g), use});
        l.place(state(g), 1);
      } else if (what < 13) {
        drop([](const JournalRecord&) { return true; });
        last[g] = 0;
        l.place(removed(g), 1);
      } else if (what < 17) {
        std::uint64_t upto = prng.below(last[g] + 1);
        drop([&](const JournalRecord& k) { return holds_entry(k) && k.index.v <= upto; });
        l.release(GroupId(g), RaftIndex(upto));
      } else {
        ++use;
        l.begin_file(std::to_string(use), 1, use, 1);
      }
      while (l.files().size() > 1 && l.oldest_idle()) l.pop_oldest();
      std::uint64_t oldest = use;
      for (const auto& k : kept) oldest = std::min(oldest, k.use);
      ASSERT_EQ(l.files().front().use, oldest) << "seed " << seed << " step " << i;
    }
  }
}

}  // namespace
}  // namespace weir::store
