// Entries read back while the journal lives: always what a model says counts now.
#include <gtest/gtest.h>

#include "broker/store/journal_format.h"
#include "broker/store/journal_index.h"
#include "broker/store/journal_rig.h"

namespace weir::store::testing {
namespace {

using Records = std::vector<JournalRecord>;

Result<Records> read(JournalRig& rig, std::uint32_t g, std::uint64_t from, std::uint64_t upto,
                     std::size_t bytes_max = 1 << 20) {
  std::optional<Result<Records>> got;
  rig.journal->read(GroupId(g), RaftIndex(from), RaftIndex(upto), bytes_max,
                    [&](Result<Records> r) { got = std::move(r); });
  EXPECT_FALSE(got.has_value()) << "done inside the call";
  (void)rig.world.loop.run_until([&] { return got.has_value(); }, kSecond);
  if (!got) return Error(Code::kUnavailable, "no answer");
  return std::move(*got);
}

std::string told(const Result<Records>& r) {
  if (!r) return r.error().code == Code::kNotFound ? "not found" : r.error().to_string();
  std::string s;
  for (const auto& e : *r) {
    s += std::to_string(e.index.v) + "/" + std::to_string(e.term.v) + "/" + Image::content(e) + " ";
  }
  return s;
}

TEST(JournalRead, FromSeveralFramesAndFiles) {
  JournalRig rig(1);
  ASSERT_TRUE(rig.open());
  std::string big(3000, 'x');
  for (std::uint64_t i = 1; i <= 9; ++i) {
    rig.entry(1, i, big + std::to_string(i));
    rig.entry(2, 2 * i - 1);
    rig.entry(2, 2 * i);
    rig.settle();
  }
  EXPECT_EQ(told(read(rig, 2, 4, 7)), "4/1/e4 5/1/e5 6/1/e6 7/1/e7 ");
  auto all = read(rig, 1, 1, 100);
  ASSERT_TRUE(all);
  ASSERT_EQ(all->size(), 9u);
  EXPECT_EQ((*all)[8].payload.text(), big + "9");
  EXPECT_EQ(told(read(rig, 1, 10, 20)), "not found");
  EXPECT_EQ(told(read(rig, 1, 0, 20)), "not found");
  EXPECT_EQ(told(read(rig, 1, 5, 4)), "not found");
  EXPECT_EQ(told(read(rig, 3, 1, 1)), "not found");
  EXPECT_EQ(read(rig, 2, 1, ~std::uint64_t{0})->size(), 18u);
}

TEST(JournalRead, BytesMaxLeavesAtLeastOne) {
  JournalRig rig(2);
  rig.options.file_bytes = 1 << 20;
  ASSERT_TRUE(rig.open());
  for (std::uint64_t i = 1; i <= 10; ++i) rig.entry(1, i, std::string(100, 'x'));
  rig.settle();
  EXPECT_EQ(read(rig, 1, 1, 10, 0)->size(), 1u);
  EXPECT_EQ(read(rig, 1, 1, 10, 99)->size(), 1u);
  EXPECT_EQ(read(rig, 1, 1, 10, 350)->size(), 3u);
  EXPECT_EQ(read(rig, 1, 3, 10, 800)->size(), 8u);
}

TEST(JournalRead, CutReleasedResetAndRemovedEntriesAreNotFound) {
  JournalRig rig(3);
  ASSERT_TRUE(rig.open());
  for (std::uint64_t i = 1; i <= 6; ++i) rig.entry(1, i);
  rig.append(GroupId(1), RecordKind::kCut, 1, 6, "");
  rig.append(GroupId(1), RecordKind::kNoop, 2, 4, "");
  rig.append(GroupId(1), RecordKind::kConfig, 2, 5, "c");
  rig.settle();
  EXPECT_EQ(told(read(rig, 1, 2, 9)), "2/1/e2 3/1/e3 4/2/noop  5/2/config c ");
  rig.append(GroupId(1), RecordKind::kRepairedEntry, 1, 3, "three");
  rig.settle();
  EXPECT_EQ(told(read(rig, 1, 2, 9)), "2/1/e2 3/1/three 4/2/noop  5/2/config c ");
  rig.release(1, 2);
  EXPECT_EQ(told(read(rig, 1, 2, 9)), "not found");
  EXPECT_EQ(told(read(rig, 1, 3, 4)), "3/1/three 4/2/noop  ");
  rig.append(GroupId(1), RecordKind::kReset, 2, 50, "");
  rig.settle();
  EXPECT_EQ(told(read(rig, 1, 3, 4)), "not found");
  rig.entry(1, 51);
  rig.settle();
  EXPECT_EQ(told(read(rig, 1, 51, 51)), "51/1/e51 ");
  rig.append(GroupId(1), RecordKind::kRemoved, 0, 0, "");
  rig.settle();
  EXPECT_EQ(told(read(rig, 1, 51, 51)), "not found");
}

TEST(JournalRead, WhatIsNotWrittenYetIsNotFound) {
  JournalRig rig(4);
  ASSERT_TRUE(rig.open());
  rig.entry(1, 1);
  rig.settle();
  rig.entry(1, 2);
  std::optional<Result<Records>> got;
  rig.journal->flush();
  rig.journal->read(GroupId(1), RaftIndex(1), RaftIndex(9), 100,
                    [&](Result<Records> r) { got = std::move(r); });
  rig.world.loop.run_for(kSecond);
  EXPECT_EQ(told(*got), "1/1/e1 ");
}

TEST(JournalRead, TheEndOfTheJournalForgetsReads) {
  JournalRig rig(5);
  ASSERT_TRUE(rig.open());
  rig.entry(1, 1);
  rig.settle();
  bool called = false;
  rig.journal->read(GroupId(1), RaftIndex(1), RaftIndex(9), 100, [&](auto) { called = true; });
  rig.journal->read(GroupId(7), RaftIndex(1), RaftIndex(9), 100, [&](auto) { called = true; });
  rig.journal.reset();
  rig.world.loop.run_for(kSecond);
  EXPECT_FALSE(called);
}

TEST(JournalRead, DamageEndsAReadAndARepairHealsIt) {
  JournalRig rig(6);
  rig.options.file_bytes = 64 * 1024;
  ASSERT_TRUE(rig.open());
  for (std::uint64_t i = 1; i <= 5; ++i) rig.entry(1, i, "index" + std::to_string(i));
  rig.settle();
  const char* path = "j/00000001.jnl";
  ASSERT_TRUE(rig.world.disk.flip_bit(path, rig.world.disk.content(path)->find("index3"), 2));
  EXPECT_EQ(told(read(rig, 1, 1, 9)), "1/1/index1 2/1/index2 ");
  EXPECT_EQ(told(read(rig, 1, 3, 9)), "not found");
  EXPECT_EQ(told(read(rig, 1, 4, 9)), "4/1/index4 5/1/index5 ");
  rig.append(GroupId(1), RecordKind::kRepairedEntry, 1, 3, "index3");
  rig.settle();
  EXPECT_EQ(told(read(rig, 1, 1, 9)), "1/1/index1 2/1/index2 3/1/index3 4/1/index4 5/1/index5 ");
  rig.world.disk.fail_reads(path, 4096, 1);
  EXPECT_EQ(told(read(rig, 1, 1, 9)), "not found");
  EXPECT_TRUE(rig.world.log.contains("read back"));
}

// After a start the index comes from recovery, damaged frame headers and lost entries included.
TEST(JournalRead, AfterAStart) {
  JournalRig rig(7);
  rig.options.file_bytes = 64 * 1024;
  ASSERT_TRUE(rig.open());
  for (std::uint64_t i = 1; i <= 6; ++i) {
    rig.entry(1, i, "index" + std::to_string(i));
    rig.settle();
  }
  rig.world.loop.run_for(kSecond);
  rig.die(Survivors::kAll);
  const char* path = "j/00000001.jnl";
  ASSERT_TRUE(rig.world.disk.flip_bit(path, 2 * 4096 + 24, 0));  // header of frame 2
  ASSERT_TRUE(rig.world.disk.flip_bit(path, rig.world.disk.content(path)->find("index4"), 2));
  ASSERT_TRUE(rig.open());
  EXPECT_EQ(told(read(rig, 1, 1, 9)), "1/1/index1 2/1/index2 3/1/index3 ");
  EXPECT_EQ(told(read(rig, 1, 4, 9)), "not found");
  EXPECT_EQ(told(read(rig, 1, 5, 9)), "5/1/index5 6/1/index6 ");
}

TEST(JournalRead, ManyGroupsInOneFrame) {
  JournalRig rig(8);
  rig.options.file_bytes = 4 << 20;
  ASSERT_TRUE(rig.open());
  for (std::uint64_t i = 1; i <= 2; ++i) {
    for (std::uint32_t g = 1; g <= 1000; ++g) rig.entry(g, i, std::to_string(g) + std::string(50, 'x'));
  }
  rig.settle();
  EXPECT_EQ(rig.journal->stats().frames, 1u);
  for (std::uint32_t g : {1u, 90u, 91u, 500u, 1000u}) {
    auto got = read(rig, g, 1, 2);
    ASSERT_TRUE(got);
    ASSERT_EQ(got->size(), 2u);
    EXPECT_EQ((*got)[1].payload.text(), std::to_string(g) + std::string(50, 'x'));
  }
}

// Random histories with restarts, kills and recycled files: what is read is what the model has.
TEST(JournalRead, MatchesAModel) {
  for (std::uint64_t seed = 1; seed <= 60 && !::testing::Test::HasFailure(); ++seed) {
    JournalRig rig(seed);
    rig.options.sync_always = seed % 3 != 0;
    Prng prng(seed);
    ASSERT_TRUE(rig.open());
    std::uint64_t last[4] = {}, released[4] = {}, term = 1;
    for (int step = 0; step < 250; ++step) {
      auto g = static_cast<std::uint32_t>(prng.between(1, 3));
      auto what = prng.below(100);
      std::string payload = std::to_string(step) + std::string(prng.below(1500), 'p');
      if (what < 60) {
        rig.append(GroupId(g), RecordKind::kEntry, term, ++last[g], payload);
      } else if (what < 68 && last[g] > released[g]) {
        last[g] = prng.between(released[g] + 1, last[g]);
        rig.append(GroupId(g), RecordKind::kEntry, ++term, last[g], payload);
      } else if (what < 72 && last[g] > released[g]) {
        last[g] = prng.between(released[g], last[g] - 1);
        rig.append(GroupId(g), RecordKind::kCut, ++term, last[g] + 1, "");
      } else if (what < 74) {
        last[g] += prng.below(3);
        released[g] = last[g];
        rig.append(GroupId(g), RecordKind::kReset, ++term, last[g], "");
      } else if (what < 90) {
        rig.settle();
        released[g] = prng.between(released[g], last[g]);
        rig.release(g, released[g]);
      } else if (what < 92) {
        rig.settle();
        rig.die(std::nullopt);
        ASSERT_TRUE(rig.open());
        ASSERT_TRUE(rig.drained());
        for (std::uint32_t k = 1; k <= 3; ++k) rig.release(k, released[k]);
      } else {
        rig.settle();
        Image model;
        for (const auto& r : rig.history) model.apply(r);
        const auto& e = model.groups[g].entries;
        std::uint64_t from = prng.between(1, last[g] + 1), upto = from + prng.below(20);
        std::string want;
        for (std::uint64_t i = from; i <= upto && from > released[g] && e.count(i) != 0; ++i) {
          want += std::to_string(i) + "/" + std::to_string(e.at(i).first) + "/" + e.at(i).second + " ";
        }
        ASSERT_EQ(told(read(rig, g, from, upto)), want.empty() ? "not found" : want)
            << "seed " << seed << " step " << step << " group " << g << " from " << from;
      }
      if (prng.chance(1, 3)) rig.journal->flush();
    }
  }
}

TEST(JournalIndex, KeepsNothingForReleasedEntries) {
  JournalIndex index;
  index.begin_file("a", 1);
  auto entry = [](std::uint64_t i) {
    return JournalRecord{GroupId(1), RecordKind::kEntry, Term(1), RaftIndex(i), {}};
  };
  for (std::uint64_t i = 1; i <= 1000; ++i) {
    index.begin_frame(i, i * 4096);
    index.place(entry(2 * i), i);
    index.place(entry(2 * i + 1), i);
  }
  EXPECT_EQ(index.size(), 1000u);
  for (std::uint64_t upto = 1; upto < 2000; upto += 3) {
    index.release(GroupId(1), RaftIndex(upto));
    ASSERT_LE(index.size(), 1000 - upto / 2 + 1 + 500);
    auto found = index.find({GroupId(1), RaftIndex(upto + 1), RaftIndex(upto + 1), 5000, 10});
    ASSERT_EQ(found.size(), 1u);
    ASSERT_EQ(found[0].offset, (upto + 1) / 2 * 4096);
  }
  index.release(GroupId(1), RaftIndex(~std::uint64_t{0}));
  EXPECT_EQ(index.size(), 0u);
  EXPECT_TRUE(index.find({GroupId(1), RaftIndex(2000), RaftIndex(2001), 5000, 10}).empty());
}

}  // namespace
}  // namespace weir::store::testing
