// What of a journal is lost without a name: told before anything that was written behind it, and kept in
// mind.
#include <gtest/gtest.h>

#include "broker/store/journal_format.h"
#include "broker/store/journal_rig.h"

namespace weir::store::testing {
namespace {

const char kFile1[] = "j/00000001.jnl";

class JournalLoss : public ::testing::Test {
 protected:
  JournalLoss() { rig.options.file_bytes = 64 * 1024; }
  std::size_t row(std::size_t frame, std::size_t i) {
    return frame * kJournalBlock + kFrameHeaderBytes + i * kTableEntryBytes;
  }
  JournalRig rig{7};
};

// The bad row may have replaced what was handed out before: those behind it fit by their index alone.
TEST_F(JournalLoss, ABadRowIsToldBeforeTheRowsBehindIt) {
  ASSERT_TRUE(rig.open());
  rig.append(GroupId(1), RecordKind::kEntry, 3, 10, "stale");
  rig.settle();
  for (std::uint64_t i = 10; i <= 12; ++i) rig.append(GroupId(1), RecordKind::kEntry, 4, i, "new");
  rig.append(GroupId(1), RecordKind::kHardState, 4, 11, "vote");
  rig.settle();
  rig.world.loop.run_for(kSecond);
  rig.die(Survivors::kAll);
  ASSERT_TRUE(rig.world.disk.flip_bit(kFile1, row(2, 0) + 8, 0));  // the term of 10
  ASSERT_TRUE(rig.open());
  EXPECT_EQ(rig.story, "1:1@10 0:lost 0-0 1:1@11 1:1@12 1:2@11 1:lost 0-0 ");
}

TEST_F(JournalLoss, EachRunOfBadRowsIsToldInItsPlace) {
  ASSERT_TRUE(rig.open());
  rig.entry(9, 1);
  rig.settle();
  for (std::uint64_t i = 1; i <= 5; ++i) rig.entry(static_cast<std::uint32_t>(i), 1);
  rig.settle();
  rig.world.loop.run_for(kSecond);
  rig.die(Survivors::kAll);
  ASSERT_TRUE(rig.world.disk.flip_bit(kFile1, row(2, 1) + 8, 0));
  ASSERT_TRUE(rig.world.disk.flip_bit(kFile1, row(2, 3) + 8, 0));
  ASSERT_TRUE(rig.open());
  EXPECT_EQ(rig.story.substr(0, 51), "9:1@1 1:1@1 0:lost 0-0 3:1@1 0:lost 0-0 5:1@1 1:los");
}

// The last of the lost frames may be read in the next file, without its header.
TEST_F(JournalLoss, LostFramesAreToldBeforeTheOneThatIsSalvagedBehindThem) {
  rig.options.file_bytes = 16 * 1024;
  ASSERT_TRUE(rig.open());
  for (std::uint64_t i = 1; i <= 6; ++i) {
    rig.entry(1, i, std::string(3000, 'x'));
    rig.settle();
  }
  rig.world.loop.run_for(kSecond);
  rig.die(Survivors::kAll);
  rig.world.disk.fail_reads(kFile1, 3 * kJournalBlock + 10, 1);
  ASSERT_TRUE(rig.world.disk.flip_bit("j/00000002.jnl", kJournalBlock + 24, 0));
  ASSERT_TRUE(rig.open());
  EXPECT_EQ(rig.story.substr(0, 49), "1:1@1 1:1@2 0:lost 0-0 1:lost 3-3 1:1@4 1:1@5 1:1");
}

class JournalEnd : public JournalLoss {
 protected:
  bool told() const {
    return std::any_of(rig.faults.begin(), rig.faults.end(),
                       [](const JournalFault& f) { return f.group.v == 0 && f.vote_lost && f.open_end; });
  }
};

// The file was stamped for a frame, and what was to hold it does not read: no torn write looks like that.
TEST_F(JournalEnd, AnUnreadableFirstFrameOfANewerFileIsAFaultAndStaysOne) {
  rig.options.file_bytes = 16 * 1024;
  ASSERT_TRUE(rig.open());
  for (std::uint64_t i = 1; i <= 4; ++i) {
    rig.entry(1, i, std::string(3000, 'x'));
    rig.settle();
  }
  rig.die(Survivors::kAll);
  rig.world.disk.fail_reads("j/00000002.jnl", kJournalBlock + 10, 1);
  for (int life = 0; life < 3; ++life) {
    ASSERT_TRUE(rig.open());
    EXPECT_TRUE(told()) << life;
    EXPECT_EQ(rig.image.groups[1].entries.size(), 3u + static_cast<unsigned>(life));
    rig.entry(1, 4 + static_cast<std::uint64_t>(life), "again");
    rig.settle();
    rig.die(Survivors::kNone);
  }
}

// Nobody needs its file, which is used again: it is told once. (An owner that knows better: JournalPast.)
TEST_F(JournalEnd, AnUnreadableFirstFrameOfAllIsAFault) {
  ASSERT_TRUE(rig.open());
  rig.entry(1, 1);
  rig.settle();
  rig.die(Survivors::kAll);
  rig.world.disk.fail_reads(kFile1, kJournalBlock + 10, 1);
  ASSERT_TRUE(rig.open());
  EXPECT_TRUE(told());
  EXPECT_EQ(rig.visited, 0u);
  rig.entry(1, 1, "again");
  rig.settle();
  ASSERT_EQ(rig.acked, 2u);
  rig.die(Survivors::kNone);
  ASSERT_TRUE(rig.open());
  EXPECT_EQ(rig.image.groups[1].entries.size(), 1u);
}

// What is acknowledged behind a hole must not depend on a promise that comes later.
TEST_F(JournalEnd, AHoleAtTheEndCostsNoFrameThatIsWrittenBehindIt) {
  ASSERT_TRUE(rig.open());
  rig.entry(1, 1);
  rig.settle();
  rig.world.loop.run_for(kSecond);  // frame 2 promises frame 1
  rig.die(Survivors::kAll);
  rig.world.disk.fail_reads(kFile1, 3 * kJournalBlock + 10, 1);
  ASSERT_TRUE(rig.open());
  EXPECT_TRUE(told());
  rig.entry(1, 2);
  rig.settle();
  ASSERT_EQ(rig.acked, 2u);
  rig.die(Survivors::kNone);
  ASSERT_TRUE(rig.open());
  EXPECT_TRUE(told());
  EXPECT_EQ(rig.image.groups[1].entries.size(), 2u);
}

class JournalSpare : public JournalLoss {
 protected:
  JournalSpare() {
    rig.options.file_bytes = 16 * 1024;
    EXPECT_TRUE(rig.open());
    rig.entry(1, 1);
    rig.settle();
    rig.world.loop.run_for(kSecond);  // the next file is prepared
    rig.die(Survivors::kAll);
    EXPECT_TRUE(rig.world.disk.content(kSpare));
  }
  static constexpr const char* kSpare = "j/00000002.jnl";
  void expect_aside_once() {
    ASSERT_TRUE(rig.open());
    EXPECT_TRUE(rig.faults.empty());
    EXPECT_EQ(rig.visited, 1u);
    EXPECT_TRUE(rig.world.log.contains("00000002.jnl: its header cannot be read"));
    for (int life = 0; life < 2; ++life) {
      ASSERT_TRUE(rig.drained());
      rig.die(Survivors::kNone);
      EXPECT_TRUE(rig.world.disk.content("j/00000002.jnl.unreadable"));
      rig.world.log.clear();
      ASSERT_TRUE(rig.open());
      EXPECT_TRUE(rig.faults.empty());
      EXPECT_TRUE(rig.world.log.lines().empty());
    }
  }
};

TEST_F(JournalSpare, WithADamagedHeaderIsMovedAsideOnce) {
  ASSERT_TRUE(rig.world.disk.flip_bit(kSpare, 17, 1));
  expect_aside_once();
}

TEST_F(JournalSpare, WithAnUnreadableHeaderIsMovedAsideOnce) {
  rig.world.disk.fail_reads(kSpare, 10, 1);
  expect_aside_once();
}

TEST_F(JournalSpare, WhatWasMovedAsideBeforeStays) {
  rig.world.disk.put("j/00000002.jnl.unreadable", "older");
  ASSERT_TRUE(rig.world.disk.flip_bit(kSpare, 17, 1));
  ASSERT_TRUE(rig.open());
  EXPECT_EQ(*rig.world.disk.content("j/00000002.jnl.unreadable"), "older");
  EXPECT_TRUE(rig.world.disk.content("j/00000002.jnl.unreadable2"));
}

// Something may have been written there.
TEST_F(JournalSpare, WithAnythingBehindTheHeaderItIsALossAndStays) {
  ASSERT_TRUE(rig.world.disk.flip_bit(kSpare, 17, 1));
  ASSERT_TRUE(rig.world.disk.flip_bit(kSpare, 9000, 1));
  for (int life = 0; life < 2; ++life) {
    ASSERT_TRUE(rig.open());
    ASSERT_FALSE(rig.faults.empty());
    EXPECT_TRUE(rig.faults[0].open_end);
    EXPECT_TRUE(rig.world.disk.content(kSpare));
    rig.die(Survivors::kAll);
  }
}

class JournalPastTest : public JournalLoss {
 protected:
  void lose_all() {
    for (const auto& path : rig.world.disk.files()) ASSERT_TRUE(rig.world.disk.remove(path));
    ASSERT_TRUE(rig.world.disk.sync_dir("j"));
  }
  void live_and_die(JournalPast past, bool write) {
    rig.options.past = past;
    ASSERT_TRUE(rig.open());
    if (write) rig.entry(1, 1);
    ASSERT_TRUE(rig.drained());
    rig.die(Survivors::kNone);
  }
  bool told() const {
    return !rig.faults.empty() && rig.faults[0].group.v == 0 && rig.faults[0].vote_lost &&
           rig.faults[0].open_end && rig.faults[0].detail.find("all of them are gone") != std::string::npos;
  }
};

// What the owner notes after drain() has to be so, whatever it appended.
TEST_F(JournalPastTest, AnEmptyJournalProvesThatItIsThere) {
  ASSERT_NO_FATAL_FAILURE(live_and_die(JournalPast::kUnnoted, /*write=*/false));
  rig.options.past = JournalPast::kWritten;
  ASSERT_TRUE(rig.open());
  EXPECT_TRUE(rig.faults.empty());
  rig.entry(1, 1);
  EXPECT_TRUE(rig.drained());
}

TEST_F(JournalPastTest, AJournalWithoutAFrameThatWasWrittenIsLost) {
  ASSERT_NO_FATAL_FAILURE(live_and_die(JournalPast::kUnnoted, true));
  ASSERT_NO_FATAL_FAILURE(lose_all());
  rig.options.past = JournalPast::kWritten;
  ASSERT_TRUE(rig.open());
  EXPECT_TRUE(told());
  EXPECT_EQ(rig.visited, 0u);
}

// New frames do not hide it, and it is told before they are handed out.
TEST_F(JournalPastTest, ThatItIsLostIsToldUntilSomebodyRemovesTheNote) {
  ASSERT_NO_FATAL_FAILURE(live_and_die(JournalPast::kUnnoted, true));
  ASSERT_NO_FATAL_FAILURE(lose_all());
  for (int life = 0; life < 3; ++life) {
    ASSERT_NO_FATAL_FAILURE(live_and_die(JournalPast::kWritten, true));
    EXPECT_TRUE(told()) << life;
    EXPECT_EQ(rig.faults.size(), 1u);
    EXPECT_EQ(rig.story.find("0:lost 0-0 "), 0u);
  }
  ASSERT_TRUE(rig.world.disk.remove("j/lost"));
  ASSERT_TRUE(rig.world.disk.sync_dir("j"));
  ASSERT_NO_FATAL_FAILURE(live_and_die(JournalPast::kWritten, true));
  EXPECT_TRUE(rig.faults.empty());
  EXPECT_GT(rig.visited, 0u);
}

TEST_F(JournalPastTest, DeathAtAnyOperationAfterTheLossDoesNotHideIt) {
  for (std::uint64_t n = 1; n < 40; ++n) {
    JournalRig other(n);
    other.options.past = JournalPast::kUnnoted;
    ASSERT_TRUE(other.open());
    ASSERT_TRUE(other.drained());
    other.die(Survivors::kNone);
    for (const auto& path : other.world.disk.files()) ASSERT_TRUE(other.world.disk.remove(path));
    ASSERT_TRUE(other.world.disk.sync_dir("j"));
    other.options.past = JournalPast::kWritten;
    other.world.disk.crash_at(n);
    if (other.open()) {
      other.entry(1, 1);
      other.settle();
    }
    other.die(Survivors::kAny);
    ASSERT_TRUE(other.open());
    ASSERT_FALSE(other.faults.empty()) << n;
    EXPECT_TRUE(other.faults[0].open_end && other.faults[0].vote_lost) << n;
  }
}

}  // namespace
}  // namespace weir::store::testing
