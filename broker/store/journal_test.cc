#include "broker/store/journal.h"

#include <gtest/gtest.h>

#include "broker/store/journal_format.h"
#include "broker/store/journal_rig.h"

namespace weir::store::testing {
namespace {

TEST(Journal, AnEmptyFolderIsANewJournal) {
  JournalRig rig(1);
  ASSERT_TRUE(rig.open());
  EXPECT_EQ(rig.visited, 0u);
  EXPECT_TRUE(rig.drained());
  rig.entry(1, 1);
  EXPECT_EQ(rig.acked, 0u);
  rig.settle();
  EXPECT_EQ(rig.acked, 1u);
  EXPECT_EQ(rig.journal->stats().records, 1u);
  rig.die(Survivors::kNone);
  ASSERT_TRUE(rig.open());
  EXPECT_TRUE(rig.faults.empty());
  EXPECT_TRUE(rig.recovered_prefix(1));
}

TEST(Journal, OptionsAreChecked) {
  JournalRig rig(1);
  rig.options.file_bytes = 10'000;
  EXPECT_EQ(rig.open().error().code, Code::kInvalid);
  rig.options.file_bytes = 16384;
  rig.options.files_max = 1;
  EXPECT_EQ(rig.open().error().code, Code::kInvalid);
}

TEST(Journal, EverythingQueuedSharesOneFrameAndOneSync) {
  JournalRig rig(2);
  rig.options.file_bytes = 1 << 20;
  ASSERT_TRUE(rig.open());
  rig.entry(1, 1);
  rig.settle();
  auto before = rig.journal->stats();
  for (std::uint32_t g = 1; g <= 100; ++g) rig.entry(g, 2);
  rig.journal->flush();
  for (std::uint32_t g = 1; g <= 100; ++g) rig.entry(g, 3);  // while the frame is under way
  rig.journal->flush();
  rig.settle();
  EXPECT_EQ(rig.acked, 201u);
  EXPECT_EQ(rig.journal->stats().frames - before.frames, 2u);
  EXPECT_EQ(rig.journal->stats().syncs - before.syncs, 2u);
  EXPECT_GT(rig.journal->stats().sync_ns_max, 0u);
}

TEST(Journal, PayloadsAreGatheredNotCopied) {
  JournalRig rig(3);
  ASSERT_TRUE(rig.open());
  rig.entry(1, 1);
  rig.settle();
  Bytes payload = Bytes::copy_of(std::string(1000, 'p'));
  const auto* where = payload.data();
  rig.journal->append({GroupId(1), RecordKind::kEntry, Term(1), RaftIndex(2), payload}, [](Status) {});
  rig.journal->flush();
  rig.world.loop.run_for(kSecond);
  EXPECT_EQ(payload.data(), where);
  EXPECT_NE(rig.world.disk.content("j/00000001.jnl")->find(std::string(1000, 'p')), std::string::npos);
}

TEST(Journal, RollsOverIntoAFileThatIsReadyAndRecyclesReleasedOnes) {
  JournalRig rig(4);
  ASSERT_TRUE(rig.open());
  for (std::uint64_t i = 1; i <= 100; ++i) {
    rig.entry(1, i, std::string(3000, 'x'));
    rig.settle();
    if (i > 5) rig.release(1, i - 5);
  }
  EXPECT_EQ(rig.acked, 100u);
  EXPECT_LE(rig.journal->stats().files, 6u);
  EXPECT_EQ(rig.world.disk.files().size(), rig.journal->stats().files);
  rig.die(Survivors::kAny);
  ASSERT_TRUE(rig.open());
  EXPECT_TRUE(rig.faults.empty());
  EXPECT_TRUE(rig.recovered_prefix(100));
  EXPECT_LT(rig.visited, 25u);  // old frames of recycled files are not taken for live ones
}

TEST(Journal, RollOverDoesNotWaitForTheNextFile) {
  JournalRig rig(5);
  ASSERT_TRUE(rig.open());
  rig.entry(1, 1);
  rig.settle();
  Nanos longest = 0;
  for (std::uint64_t i = 2; i <= 60; ++i) {
    rig.entry(1, i, std::string(3000, 'x'));
    Mono t = rig.world.loop.now();
    rig.settle();
    longest = std::max(longest, rig.world.loop.now() - t);
    rig.world.loop.run_for(5 * kMillisecond);
    rig.release(1, i - 1);
  }
  EXPECT_LT(longest, 600 * kMicrosecond);  // creating and stamping a file takes longer
}

TEST(Journal, RecordLargerThanAFileGetsAFileOfItsOwn) {
  JournalRig rig(6);
  ASSERT_TRUE(rig.open());
  rig.entry(1, 1);
  rig.entry(1, 2, std::string(100'000, 'L'));
  rig.entry(1, 3);
  rig.settle();
  EXPECT_EQ(rig.acked, 3u);
  rig.die(Survivors::kNone);
  ASSERT_TRUE(rig.open());
  EXPECT_TRUE(rig.faults.empty());
  EXPECT_TRUE(rig.recovered_prefix(3));
  ASSERT_TRUE(rig.drained());
  for (std::uint64_t i = 4; i <= 30; ++i) {
    rig.entry(1, i, std::string(3000, 'x'));
    rig.settle();
    rig.release(1, i - 1);
  }
  rig.world.loop.run_for(kSecond);
  for (const auto& path : rig.world.disk.files()) {
    EXPECT_EQ(rig.world.disk.content(path)->size(), rig.options.file_bytes) << path;  // the large one is gone
  }
}

TEST(Journal, RecordOverTheLimitIsRefused) {
  JournalRig rig(6);
  ASSERT_TRUE(rig.open());
  BytesBuilder b;
  b.grow(limits::kRecordBytesMax + 1);
  std::optional<Status> got;
  rig.journal->append({GroupId(1), RecordKind::kEntry, Term(1), RaftIndex(1), b.freeze()},
                      [&](Status s) { got = std::move(s); });
  EXPECT_FALSE(got.has_value());
  rig.world.loop.run_until_idle();
  EXPECT_EQ(got->error().code, Code::kLimit);
}

TEST(Journal, FullPressedAndLaggard) {
  JournalRig rig(7);
  ASSERT_TRUE(rig.open());
  rig.entry(9, 1);  // never released
  for (std::uint64_t i = 1; !rig.journal->full(); ++i) {
    ASSERT_LT(i, 100u);
    rig.entry(1, i, std::string(3000, 'x'));
    rig.settle();
    rig.release(1, i);
    EXPECT_TRUE(rig.journal->pressed() || !rig.journal->full());
  }
  EXPECT_TRUE(rig.journal->pressed());
  EXPECT_EQ(rig.journal->laggard(), GroupId(9));
  rig.release(9, 1);
  rig.entry(1, 1000);
  rig.settle();
  EXPECT_FALSE(rig.journal->full());
  EXPECT_FALSE(rig.journal->pressed());
  EXPECT_EQ(rig.journal->laggard(), GroupId(0));
}

TEST(Journal, WritesGoOnWhenFull) {
  JournalRig rig(8);
  ASSERT_TRUE(rig.open());
  for (std::uint64_t i = 1; i <= 60; ++i) {
    rig.entry(1, i, std::string(3000, 'x'));
    rig.settle();
  }
  EXPECT_TRUE(rig.journal->full());
  EXPECT_EQ(rig.acked, 60u);  // the owner decides what to refuse: acks and votes must get through
}

TEST(Journal, HardStatesOfIdleGroupsDoNotPinFiles) {
  JournalRig rig(9);
  ASSERT_TRUE(rig.open());
  for (std::uint32_t g = 2; g < 30; ++g) {
    rig.append(GroupId(g), RecordKind::kHardState, 7, 0, "vote" + std::to_string(g));
  }
  for (std::uint64_t i = 1; i <= 100; ++i) {
    rig.entry(1, i, std::string(3000, 'x'));
    rig.settle();
    rig.release(1, i);
  }
  EXPECT_LE(rig.journal->stats().files, 5u);
  rig.die(Survivors::kNone);
  ASSERT_TRUE(rig.open());
  EXPECT_TRUE(rig.faults.empty());
  for (std::uint32_t g = 2; g < 30; ++g) EXPECT_EQ(rig.image.groups[g].state, "7/0/vote" + std::to_string(g));
}

TEST(Journal, RemovedGroupsPinNothing) {
  JournalRig rig(10);
  ASSERT_TRUE(rig.open());
  rig.entry(5, 1);
  rig.append(GroupId(5), RecordKind::kHardState, 1, 0, "v");
  rig.append(GroupId(5), RecordKind::kRemoved, 0, 0, "");
  rig.settle();
  for (std::uint64_t i = 1; i <= 30; ++i) {
    rig.entry(1, i, std::string(3000, 'x'));
    rig.settle();
    rig.release(1, i);
  }
  EXPECT_LE(rig.journal->stats().files, 5u);
  rig.entry(5, 1, "again");
  rig.settle();
  rig.die(Survivors::kNone);
  ASSERT_TRUE(rig.open());
  EXPECT_EQ(rig.image.groups[5].entries.at(1).second, "again");
  EXPECT_FALSE(rig.image.groups[5].state.has_value());
}

TEST(Journal, CutsResetsAndRepairsAreReadBack) {
  JournalRig rig(17);
  ASSERT_TRUE(rig.open());
  for (std::uint64_t i = 1; i <= 6; ++i) rig.entry(1, i);
  rig.append(GroupId(1), RecordKind::kHardState, 3, 2, "vote");
  rig.append(GroupId(1), RecordKind::kRepairedEntry, 1, 2, "two again");
  rig.append(GroupId(1), RecordKind::kCut, 1, 5, "");
  rig.append(GroupId(2), RecordKind::kNoop, 1, 1, "");
  rig.append(GroupId(2), RecordKind::kConfig, 1, 2, "members");
  rig.append(GroupId(3), RecordKind::kHardState, 3, 2, "kept");
  rig.entry(3, 1);
  rig.append(GroupId(3), RecordKind::kReset, 7, 100, "");
  rig.entry(3, 101);
  rig.settle();
  for (int start = 0; start < 3; ++start) {
    rig.die(Survivors::kNone);
    ASSERT_TRUE(rig.open());
    ASSERT_TRUE(rig.drained());
    EXPECT_TRUE(rig.faults.empty());
    EXPECT_TRUE(rig.recovered_prefix(14));
    auto& one = rig.image.groups[1].entries;
    EXPECT_EQ(one.size(), 4u);
    EXPECT_EQ(one[2].second, "two again");
    EXPECT_EQ(rig.image.groups[2].entries[2].second, "config members");
    EXPECT_EQ(rig.image.groups[3].entries.size(), 1u);
    EXPECT_EQ(rig.image.groups[3].state, "3/2/kept");
  }
}

TEST(Journal, AResetFreesFilesAndCarriesTheHardState) {
  JournalRig rig(18);
  ASSERT_TRUE(rig.open());
  rig.append(GroupId(1), RecordKind::kHardState, 3, 2, "vote");
  for (std::uint64_t i = 1; i <= 15; ++i) {
    rig.entry(1, i, std::string(3000, 'x'));
    rig.settle();
  }
  EXPECT_TRUE(rig.journal->pressed());
  rig.append(GroupId(1), RecordKind::kReset, 9, 1000, "");
  for (std::uint64_t i = 1; i <= 10; ++i) {
    rig.entry(2, i, std::string(3000, 'x'));
    rig.settle();
    rig.release(2, i);
  }
  EXPECT_FALSE(rig.journal->pressed());
  rig.die(Survivors::kNone);
  ASSERT_TRUE(rig.open());
  EXPECT_TRUE(rig.image.groups[1].entries.empty());
  EXPECT_EQ(rig.image.groups[1].state, "3/2/vote");
}

// The promise of a journal at rest is written without a sync, so a file that is to be left gets one of its
// own first. Meanwhile hard states that are carried along fill a frame of that file, and its sync counts as
// well.
TEST(Journal, AFileIsNotClosedUnderItsSync) {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    JournalRig rig(seed);
    ASSERT_TRUE(rig.open());
    std::uint64_t last = 0;
    auto add = [&](std::size_t bytes) { rig.entry(9, ++last, std::string(bytes, 'x')); };
    for (int round = 0; round < 6; ++round) {
      for (std::uint32_t g = 1; g <= 3; ++g) rig.append(GroupId(g), RecordKind::kHardState, 1, 0, "vote");
      add(9'000);
      rig.settle();
      std::uint64_t first_file = last;
      add(100);
      rig.settle();
      rig.world.loop.run_for(kSecond);
      add(12'150);  // not into this file, and not into a frame with what is carried
      rig.journal->flush();
      rig.release(9, first_file);
      for (int i = 0; i < 5; ++i) rig.settle();
      ASSERT_EQ(rig.acked, rig.history.size()) << "round " << round;
    }
  }
}

TEST(Journal, AFailedSyncIsFinal) {
  JournalRig rig(11);
  ASSERT_TRUE(rig.open());
  rig.entry(1, 1);
  rig.settle();
  rig.world.disk.fail_next_sync("j/");
  rig.entry(1, 2);
  rig.journal->flush();
  rig.entry(1, 3);  // queued behind
  std::optional<Status> drained;
  rig.journal->drain([&](Status s) { drained = std::move(s); });
  rig.world.loop.run_for(kSecond);
  EXPECT_TRUE(rig.journal->failed());
  EXPECT_EQ(rig.acked, 1u);
  EXPECT_EQ(rig.errors, 2u);
  ASSERT_TRUE(drained.has_value());
  EXPECT_FALSE(drained->has_value());
  auto ops = rig.world.disk.counts().operations;
  rig.entry(1, 4);
  rig.journal->flush();
  EXPECT_EQ(rig.errors, 2u);  // not inside the call
  rig.world.loop.run_for(kSecond);
  EXPECT_EQ(rig.errors, 3u);
  EXPECT_EQ(rig.world.disk.counts().operations, ops);  // nothing is tried again
  EXPECT_TRUE(rig.world.log.contains("no further write"));
}

TEST(Journal, AfterAFailedSyncThePageCacheIsNotBelieved) {
  for (std::uint64_t seed = 1; seed <= 50; ++seed) {
    JournalRig rig(seed);
    ASSERT_TRUE(rig.open());
    rig.entry(1, 1);
    rig.settle();
    rig.world.disk.fail_next_sync("j/");
    rig.entry(1, 2, std::string(3000, 'x'));
    rig.settle();
    ASSERT_TRUE(rig.journal->failed());
    rig.die(std::nullopt);  // the process exits; the page cache shows what the disk may not have
    ASSERT_TRUE(rig.open());
    EXPECT_TRUE(rig.recovered_prefix(1));
    std::size_t seen = rig.history.size();
    ASSERT_TRUE(rig.drained());
    rig.die(Survivors::kNone);
    ASSERT_TRUE(rig.open());
    EXPECT_TRUE(rig.faults.empty());
    EXPECT_TRUE(rig.recovered_prefix(seen)) << "what recovery handed out is gone, seed " << seed;
  }
}

TEST(Journal, NoSpaceForANewFileStallsAndRecovers) {
  JournalRig rig(12);
  ASSERT_TRUE(rig.open());
  rig.entry(1, 1);
  rig.settle();
  rig.world.loop.run_for(kSecond);
  rig.world.disk.set_capacity(rig.world.disk.used_bytes());
  std::uint64_t i = 2;
  for (; !rig.journal->full(); ++i) {
    ASSERT_LT(i, 20u);
    rig.entry(1, i, std::string(3000, 'x'));
    rig.settle();
    rig.world.loop.run_for(5 * kMillisecond);
  }
  EXPECT_FALSE(rig.journal->failed());
  std::size_t acked = rig.acked;
  EXPECT_EQ(acked, i - 1);  // it says so while there is still room
  for (int k = 0; k < 4; ++k) rig.entry(1, i++, std::string(3000, 'x'));
  rig.settle();
  EXPECT_LT(rig.acked, rig.history.size());
  rig.release(1, 5);
  rig.settle();
  rig.world.loop.run_for(3 * kSecond);
  EXPECT_EQ(rig.acked, rig.history.size());  // the released file took them
  rig.world.disk.set_capacity(1 << 30);
  rig.world.loop.run_for(3 * kSecond);
  EXPECT_FALSE(rig.journal->full());
}

TEST(Journal, RelaxedModeAcknowledgesWrittenRecordsAndSyncsEachInterval) {
  JournalRig rig(13);
  rig.options.sync_always = false;
  rig.options.sync_interval_ns = 100 * kMillisecond;
  ASSERT_TRUE(rig.open());
  rig.world.loop.run_for(kSecond);
  auto syncs = rig.journal->stats().syncs;
  rig.entry(1, 1);
  rig.settle();
  rig.entry(1, 2);
  rig.settle();
  EXPECT_EQ(rig.acked, 2u);
  EXPECT_EQ(rig.journal->stats().syncs, syncs);
  rig.world.loop.run_for(150 * kMillisecond);
  EXPECT_EQ(rig.journal->stats().syncs, syncs + 1);
  rig.entry(1, 3);
  rig.settle();
  rig.die(Survivors::kNone);
  ASSERT_TRUE(rig.open());
  EXPECT_TRUE(rig.recovered_prefix(2));
  EXPECT_EQ(rig.history.size(), 2u);
  ASSERT_TRUE(rig.drained());
  rig.entry(1, 3);
  EXPECT_TRUE(rig.drained());
  rig.die(Survivors::kNone);
  ASSERT_TRUE(rig.open());
  EXPECT_TRUE(rig.recovered_prefix(3));  // drain means durable, in every mode
}

TEST(Journal, KillLosesNothingInRelaxedMode) {
  JournalRig rig(14);
  rig.options.sync_always = false;
  ASSERT_TRUE(rig.open());
  for (std::uint64_t i = 1; i <= 40; ++i) {
    rig.entry(1, i, std::string(3000, 'x'));
    rig.settle();
  }
  rig.die(std::nullopt);
  ASSERT_TRUE(rig.open());
  EXPECT_TRUE(rig.faults.empty());
  EXPECT_TRUE(rig.recovered_prefix(40));
  ASSERT_TRUE(rig.drained());
  rig.die(Survivors::kNone);
  ASSERT_TRUE(rig.open());
  EXPECT_TRUE(rig.recovered_prefix(40));  // the tail was written again
}

TEST(Journal, ManyRestartsDoNotPileUpFiles) {
  JournalRig rig(15);
  for (int start = 0; start < 40; ++start) {
    ASSERT_TRUE(rig.open());
    ASSERT_TRUE(rig.recovered_prefix(rig.history.size()));
    ASSERT_TRUE(rig.drained());
    if (start == 0) rig.entry(1, 1);
    rig.settle();
    EXPECT_LE(rig.journal->stats().files, 12u) << start;
    rig.die(start % 2 ? std::optional(Survivors::kAny) : std::nullopt);
  }
}

TEST(Journal, TenThousandGroupsReleaseCheaply) {
  JournalRig rig(16);
  rig.options.file_bytes = 4 << 20;
  ASSERT_TRUE(rig.open());
  for (std::uint64_t i = 1; i <= 30; ++i) {
    for (std::uint32_t g = 1; g <= 10'000; ++g) {
      rig.journal->append({GroupId(g), RecordKind::kEntry, Term(1), RaftIndex(i), Bytes()}, nullptr);
    }
    ASSERT_TRUE(rig.drained());
    for (std::uint32_t g = 1; g <= 10'000; ++g) rig.journal->release(GroupId(g), RaftIndex(i));
  }
  EXPECT_LE(rig.journal->stats().files, 5u);
}

}  // namespace
}  // namespace weir::store::testing
