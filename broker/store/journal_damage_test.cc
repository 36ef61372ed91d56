// Bits that rot, sectors that cannot be read, files that are gone: reported, never cut, never believed.
#include <gtest/gtest.h>

#include <functional>

#include "broker/base/crc32c.h"
#include "broker/base/varint.h"
#include "broker/store/journal_format.h"
#include "broker/store/journal_rig.h"

namespace weir::store::testing {
namespace {

const char kFile1[] = "j/00000001.jnl";

class JournalDamage : public ::testing::Test {
 protected:
  JournalDamage() { rig.options.file_bytes = 64 * 1024; }
  /// Three groups, one frame per index, all in the first file; then death.
  void write(std::uint64_t frames, Nanos idle = 0) {
    ASSERT_TRUE(rig.open());
    for (std::uint64_t i = 1; i <= frames; ++i) {
      for (std::uint32_t g = 1; g <= 3; ++g)
        rig.entry(g, i, "group" + std::to_string(g) + "index" + std::to_string(i));
      rig.settle();
    }
    rig.world.loop.run_for(idle);
    rig.die(Survivors::kAll);
  }
  std::size_t offset_of(const std::string& text) { return rig.world.disk.content(kFile1)->find(text); }
  bool has_fault(std::uint32_t group, std::uint64_t from, std::uint64_t to) {
    return std::any_of(rig.faults.begin(), rig.faults.end(), [&](const JournalFault& f) {
      return f.group.v == group && f.from.v == from && f.to.v == to;
    });
  }
  JournalRig rig{99};
};

TEST_F(JournalDamage, ADamagedPayloadIsNamedExactlyAndTheRestIsSalvaged) {
  write(4);
  ASSERT_TRUE(rig.world.disk.flip_bit(kFile1, offset_of("group2index2"), 3));
  ASSERT_TRUE(rig.open());
  ASSERT_EQ(rig.faults.size(), 1u);
  EXPECT_TRUE(has_fault(2, 2, 2));
  EXPECT_NE(rig.faults[0].detail.find("00000001.jnl offset 8192"), std::string::npos) << rig.faults[0].detail;
  EXPECT_EQ(rig.visited, 11u);
  EXPECT_EQ(rig.image.groups[1].entries.size(), 4u);
  EXPECT_EQ(rig.image.groups[2].entries.size(), 3u);
  EXPECT_EQ(rig.image.groups[3].entries.size(), 4u);
  EXPECT_EQ(rig.world.log.count(Level::kError), 1u);
}

TEST_F(JournalDamage, LostEntriesComeInRunsOfOneTermAndKindInTheirPlace) {
  ASSERT_TRUE(rig.open());
  rig.append(GroupId(1), RecordKind::kEntry, 1, 1, "good one");
  for (std::uint64_t i = 2; i <= 3; ++i)
    rig.append(GroupId(1), RecordKind::kEntry, 1, i, "bad" + std::string(9, 'x'));
  rig.append(GroupId(1), RecordKind::kNoop, 2, 4, "bad" + std::string(9, 'x'));
  rig.append(GroupId(1), RecordKind::kConfig, 2, 5, "bad" + std::string(9, 'x'));
  rig.append(GroupId(1), RecordKind::kEntry, 2, 6, "good six");
  rig.append(GroupId(1), RecordKind::kEntry, 2, 7, "bad" + std::string(9, 'x'));
  rig.settle();
  rig.append(GroupId(1), RecordKind::kEntry, 2, 8, "good eight");
  rig.settle();
  rig.world.loop.run_for(kSecond);
  rig.die(Survivors::kAll);
  std::string bytes = *rig.world.disk.content(kFile1);
  for (std::size_t at = bytes.find("bad"); at != std::string::npos; at = bytes.find("bad", at + 1)) {
    ASSERT_TRUE(rig.world.disk.flip_bit(kFile1, at, 0));
  }
  ASSERT_TRUE(rig.open());
  EXPECT_EQ(rig.story, "1:1@1 1:lost 2-3 1:lost 4-4 1:lost 5-5 1:1@6 1:lost 7-7 1:1@8 ");
  ASSERT_EQ(rig.faults.size(), 4u);
  for (const auto& f : rig.faults) {
    EXPECT_FALSE(f.vote_lost);
    EXPECT_FALSE(f.open_end);
  }
  EXPECT_EQ(rig.faults[0].term, Term(1));
  EXPECT_EQ(rig.faults[0].kind, RecordKind::kEntry);
  EXPECT_EQ(rig.faults[1].term, Term(2));
  EXPECT_EQ(rig.faults[1].kind, RecordKind::kNoop);
  EXPECT_EQ(rig.faults[2].kind, RecordKind::kConfig);
}

TEST_F(JournalDamage, ARepairKeepsWhatFollowsAndSurvives) {
  write(4, kSecond);
  ASSERT_TRUE(rig.world.disk.flip_bit(kFile1, offset_of("group2index2"), 3));
  ASSERT_TRUE(rig.open());
  EXPECT_TRUE(has_fault(2, 2, 2));
  EXPECT_EQ(rig.faults[0].term, Term(1));
  rig.append(GroupId(2), RecordKind::kRepairedEntry, 1, 2, "group2index2");
  ASSERT_TRUE(rig.drained());
  rig.die(Survivors::kNone);
  ASSERT_TRUE(rig.open());
  EXPECT_TRUE(has_fault(2, 2, 2));  // the bytes are still bad; the repair follows
  EXPECT_GT(rig.story.find("2:8@2 "), rig.story.find("2:lost 2-2 "));
  rig.image.groups[2].entries.clear();
  for (const auto& r : rig.history) rig.image.apply(r);
  EXPECT_EQ(rig.image.groups[2].entries.size(), 4u);
}

class JournalDoubt : public JournalDamage {
 protected:
  const JournalFault* doubt(std::uint32_t group) {
    auto it = std::find_if(rig.faults.begin(), rig.faults.end(), [&](const JournalFault& f) {
      return f.group.v == group && (f.vote_lost || f.open_end);
    });
    return it == rig.faults.end() ? nullptr : &*it;
  }
  void state(std::uint32_t g, const std::string& text) {
    rig.append(GroupId(g), RecordKind::kHardState, 1, 0, text);
  }
  void settle_each(std::initializer_list<std::function<void()>> frames) {
    ASSERT_TRUE(rig.open());
    for (const auto& f : frames) {
      f();
      rig.settle();
    }
    rig.world.loop.run_for(kSecond);
    rig.die(Survivors::kAll);
  }
  /// Recovers once more after the journal did nothing but tidy up.
  void again() {
    ASSERT_TRUE(rig.drained());
    rig.die(Survivors::kNone);
    ASSERT_TRUE(rig.open());
  }
};

TEST_F(JournalDoubt, ALostHardStateIsNamedUntilAnotherOneFollows) {
  settle_each({[&] { state(1, "old vote"); }, [&] { state(1, "new vote"); }, [&] { rig.entry(1, 1); }});
  ASSERT_TRUE(rig.world.disk.flip_bit(kFile1, offset_of("new vote"), 1));
  ASSERT_TRUE(rig.open());
  ASSERT_EQ(rig.faults.size(), 1u);
  ASSERT_TRUE(doubt(1));
  EXPECT_TRUE(doubt(1)->vote_lost);
  EXPECT_FALSE(doubt(1)->open_end);
  rig.entry(1, 2);
  again();
  ASSERT_TRUE(doubt(1));
  EXPECT_TRUE(doubt(1)->vote_lost);
  state(1, "newest vote");
  again();
  EXPECT_FALSE(doubt(1));
}

TEST_F(JournalDoubt, AnUnknownFrameBehindTheLastRecordLeavesTheEndOpen) {
  // Group 1 has records after the frame that goes, group 2 before it, group 3 in it.
  settle_each({[&] { state(1, "v"), rig.entry(1, 1), rig.entry(2, 1); }, [&] { rig.entry(3, 1); },
               [&] { rig.entry(1, 2); }});
  rig.world.disk.fail_reads(kFile1, 8192 + 100, 1);
  for (int start = 0; start < 3; ++start) {
    if (start == 0) {
      ASSERT_TRUE(rig.open());
    } else {
      again();
    }
    ASSERT_TRUE(doubt(0)) << start;  // for group 3, of which nothing is known
    EXPECT_TRUE(doubt(0)->vote_lost && doubt(0)->open_end);
    EXPECT_FALSE(doubt(1)) << start;
    ASSERT_TRUE(doubt(2)) << start;
    EXPECT_TRUE(doubt(2)->vote_lost && doubt(2)->open_end);
    EXPECT_EQ(rig.faults.size(), 2u);
  }
  rig.entry(2, 2);
  again();
  ASSERT_TRUE(doubt(2));
  EXPECT_FALSE(doubt(2)->open_end);
  EXPECT_TRUE(doubt(2)->vote_lost);
  state(2, "v");
  again();
  EXPECT_FALSE(doubt(2));
}

TEST_F(JournalDoubt, ARecordWithItsChainInTheUnknownFrameNamesTheGap) {
  settle_each({[&] { state(1, "v"), rig.entry(1, 1); }, [&] { rig.entry(1, 2), rig.entry(1, 3); },
               [&] { rig.entry(1, 4); }});
  rig.world.disk.fail_reads(kFile1, 8192 + 100, 1);
  ASSERT_TRUE(rig.open());
  EXPECT_TRUE(has_fault(1, 2, 3));
  ASSERT_TRUE(doubt(1));
  EXPECT_TRUE(doubt(1)->vote_lost);
  EXPECT_FALSE(doubt(1)->open_end);
  EXPECT_EQ(rig.faults[1].term, Term(0));
}

TEST_F(JournalDoubt, ALaterHardStateSupersedesButDoesNotCloseTheEnd) {
  settle_each({[&] { rig.entry(1, 1); }, [&] { rig.entry(1, 2); }, [&] { state(1, "v"); }});
  rig.world.disk.fail_reads(kFile1, 8192 + 100, 1);
  ASSERT_TRUE(rig.open());
  ASSERT_TRUE(doubt(1));
  EXPECT_FALSE(doubt(1)->vote_lost);
  EXPECT_TRUE(doubt(1)->open_end);
  rig.append(GroupId(1), RecordKind::kCut, 1, 2, "");
  again();
  EXPECT_FALSE(doubt(1));
}

TEST_F(JournalDoubt, RemovalAndResetMakeLostEntriesHarmless) {
  settle_each({[&] { rig.entry(1, 1), rig.entry(2, 1); }, [&] { rig.entry(1, 2), rig.entry(2, 2); },
               [&] {
                 rig.append(GroupId(1), RecordKind::kRemoved, 0, 0, "");
                 rig.append(GroupId(2), RecordKind::kReset, 1, 9, "");
                 state(2, "v");
                 rig.entry(2, 10);
               }});
  rig.world.disk.fail_reads(kFile1, 8192 + 100, 1);
  ASSERT_TRUE(rig.open());
  EXPECT_EQ(rig.faults.size(), 1u);
  EXPECT_TRUE(doubt(0));
}

TEST_F(JournalDoubt, CopiesThatTheJournalMakesDoNotHideADoubt) {
  rig.options.file_bytes = 16 * 1024;
  settle_each({[&] { state(1, "old vote"), rig.entry(1, 1); }, [&] { state(1, "new vote"); }});
  ASSERT_TRUE(rig.world.disk.flip_bit(kFile1, offset_of("new vote"), 1));
  ASSERT_TRUE(rig.open());
  ASSERT_TRUE(doubt(1));
  rig.release(1, 1);
  for (std::uint64_t i = 1; i <= 30; ++i) {  // the old file goes, its hard state is carried on
    rig.entry(2, i, std::string(3000, 'x'));
    rig.settle();
    rig.release(2, i);
  }
  again();
  EXPECT_EQ(rig.image.groups[1].state, "1/0/old vote");
  EXPECT_EQ(rig.image.groups[1].entries.size(), 0u);
  ASSERT_TRUE(doubt(1));
  EXPECT_TRUE(doubt(1)->vote_lost);
  state(1, "newest vote");
  again();
  EXPECT_FALSE(doubt(1));
}

TEST_F(JournalDoubt, ATailWrittenAgainBehindAHoleKeepsTheDoubt) {
  ASSERT_TRUE(rig.open());
  rig.entry(9, 1);
  rig.settle();
  state(1, "old vote");
  rig.entry(1, 1);
  rig.settle();
  rig.entry(2, 1);
  rig.settle();
  rig.die(Survivors::kAll);
  // Frame 3 is beyond the promise and cannot be read; frame 2 is written again, behind the hole.
  rig.world.disk.fail_reads(kFile1, 3 * kJournalBlock + 10, 1);
  ASSERT_TRUE(rig.open());
  ASSERT_TRUE(doubt(1));
  EXPECT_TRUE(doubt(1)->vote_lost && doubt(1)->open_end);
  again();
  ASSERT_TRUE(doubt(1));
  EXPECT_TRUE(doubt(1)->vote_lost && doubt(1)->open_end);
  ASSERT_TRUE(doubt(9));
}

TEST_F(JournalDoubt, ADamagedHeaderWithAllRecordsSavedCastsNoDoubt) {
  settle_each({[&] { state(1, "v"), rig.entry(1, 1); }, [&] { rig.entry(1, 2), rig.entry(2, 1); },
               [&] { rig.entry(1, 3); }});
  ASSERT_TRUE(rig.world.disk.flip_bit(kFile1, 8192 + 24, 0));
  ASSERT_TRUE(rig.open());
  ASSERT_EQ(rig.faults.size(), 1u);
  EXPECT_FALSE(doubt(0));
}

TEST_F(JournalDamage, AFileCutShortIsReportedAlthoughThePromiseWentWithIt) {
  write(4, kSecond);
  std::string bytes = *rig.world.disk.content(kFile1);
  rig.world.disk.put(kFile1, bytes.substr(0, 3 * kJournalBlock));
  ASSERT_TRUE(rig.open());
  EXPECT_TRUE(has_fault(0, 0, 0));
  EXPECT_NE(rig.faults[0].detail.find("cut short, 12288 of 65536 bytes"), std::string::npos)
      << rig.faults[0].detail;
}

TEST_F(JournalDamage, ADamagedTableEntryCostsThatRecordOnly) {
  write(4);
  ASSERT_TRUE(rig.world.disk.flip_bit(kFile1, 8192 + kFrameHeaderBytes + kTableEntryBytes + 16, 0));  // index
  ASSERT_TRUE(rig.open());
  EXPECT_EQ(rig.visited, 11u);
  EXPECT_TRUE(has_fault(0, 0, 0));
  EXPECT_TRUE(has_fault(2, 2, 2));  // the chain of group 2 in frame 3 names what is missing
}

// Such a table is nobody's: no one writes it, and "group 0" in a fault means that groups are not known.
TEST_F(JournalDamage, ATableOfRightChecksumsThatNamesNoGroupIsDamage) {
  write(4);
  std::string bytes = *rig.world.disk.content(kFile1);
  auto* frame = reinterpret_cast<std::uint8_t*>(bytes.data()) + 8192;
  std::uint32_t seed = frame_seed(get_u64(frame + 8), get_u64(frame + 24));
  std::uint8_t* entry = frame + kFrameHeaderBytes + kTableEntryBytes;
  auto e = decode_table_entry(entry);
  put_u32(entry, 0);
  put_u32(entry + 40, crc32c({frame + e.offset, e.length}, crc32c({entry, 40}, seed)));
  std::size_t table = std::size_t{get_u32(frame + 68)} * kTableEntryBytes;
  put_u32(frame + 72, crc32c({frame + kFrameHeaderBytes, table}, seed));
  put_u32(frame + 76, crc32c({frame, 76}));
  rig.world.disk.put(kFile1, bytes);
  ASSERT_TRUE(rig.open());
  EXPECT_EQ(rig.visited, 11u);
  EXPECT_TRUE(has_fault(0, 0, 0));
  EXPECT_TRUE(has_fault(2, 2, 2));
  for (const auto& f : rig.faults) EXPECT_TRUE(f.group.v != 0 || f.term.v == 0);
}

TEST_F(JournalDamage, ADamagedFrameHeaderLosesNoRecord) {
  write(4);
  ASSERT_TRUE(rig.world.disk.flip_bit(kFile1, 8192 + 24, 0));  // its number
  ASSERT_TRUE(rig.open());
  EXPECT_EQ(rig.visited, 12u);
  EXPECT_TRUE(has_fault(0, 0, 0));
  EXPECT_TRUE(rig.recovered_prefix(12));
}

TEST_F(JournalDamage, BeyondThePromiseItIsATornTail) {
  write(4);
  ASSERT_TRUE(rig.world.disk.flip_bit(kFile1, offset_of("group2index4"), 3));
  ASSERT_TRUE(rig.open());
  EXPECT_TRUE(rig.faults.empty());
  EXPECT_EQ(rig.visited, 9u);
}

TEST_F(JournalDamage, AJournalAtRestPromisesItsLastFrame) {
  write(4, kSecond);
  ASSERT_TRUE(rig.world.disk.flip_bit(kFile1, offset_of("group2index4"), 3));
  ASSERT_TRUE(rig.open());
  EXPECT_TRUE(has_fault(2, 4, 4));
  EXPECT_EQ(rig.visited, 11u);
}

// The next frame promises it; without one, little time passes in which it looks like a torn write.
TEST_F(JournalDamage, AShortRestIsEnough) {
  write(4, 15 * kMillisecond);
  ASSERT_TRUE(rig.world.disk.flip_bit(kFile1, offset_of("group2index4"), 3));
  ASSERT_TRUE(rig.open());
  EXPECT_TRUE(has_fault(2, 4, 4));
}

TEST_F(JournalDamage, ACleanStopPromisesTheLastFrameToo) {
  ASSERT_TRUE(rig.open());
  rig.entry(1, 1, "clean stop");
  rig.settle();
  rig.journal.reset();
  rig.die(Survivors::kAll);
  ASSERT_TRUE(rig.world.disk.flip_bit(kFile1, offset_of("clean stop"), 3));
  ASSERT_TRUE(rig.open());
  EXPECT_TRUE(has_fault(1, 1, 1));
}

TEST_F(JournalDamage, FaultsAreReportedAtEachStartUntilReleased) {
  write(4, kSecond);
  ASSERT_TRUE(rig.world.disk.flip_bit(kFile1, offset_of("group2index2"), 3));
  for (int start = 0; start < 4; ++start) {
    ASSERT_TRUE(rig.open());
    EXPECT_TRUE(has_fault(2, 2, 2)) << start;
    rig.entry(1, static_cast<std::uint64_t>(5 + start));
    rig.settle();
    rig.die(Survivors::kAny);
  }
  ASSERT_TRUE(rig.open());
  for (std::uint32_t g = 1; g <= 3; ++g) rig.release(g, 100);
  rig.entry(9, 1);
  ASSERT_TRUE(rig.drained());
  rig.entry(9, 2);
  ASSERT_TRUE(rig.drained());
  rig.die(Survivors::kNone);
  ASSERT_TRUE(rig.open());
  EXPECT_TRUE(rig.faults.empty());
}

TEST_F(JournalDamage, UnreadableSectorInTheMiddle) {
  write(4, kSecond);
  rig.world.disk.fail_reads(kFile1, 8192 + 100, 1);
  ASSERT_TRUE(rig.open());
  EXPECT_EQ(rig.visited, 9u);
  EXPECT_TRUE(has_fault(0, 0, 0));
  for (std::uint32_t g = 1; g <= 3; ++g) EXPECT_TRUE(has_fault(g, 2, 2));  // named by the chain
}

TEST_F(JournalDamage, AnUnreadableTailIsAFaultAndStaysOne) {
  write(4);
  // Frame 4 is beyond the last promise; a torn write reads as something, this does not read at all.
  rig.world.disk.fail_reads(kFile1, 4 * 4096 + 10, 1);
  ASSERT_TRUE(rig.open());
  EXPECT_EQ(rig.visited, 9u);
  EXPECT_TRUE(has_fault(0, 0, 0));
  rig.entry(1, 4, "rewritten");
  ASSERT_TRUE(rig.drained());
  rig.die(Survivors::kNone);
  ASSERT_TRUE(rig.open());
  EXPECT_TRUE(has_fault(0, 0, 0));
  EXPECT_EQ(rig.image.groups[1].entries.at(4).second, "rewritten");
}

TEST_F(JournalDamage, ATornTailIsCutWithALine) {
  write(4);
  // Frame 4 is beyond the last promise: like a write that reached the disk in part.
  ASSERT_TRUE(rig.world.disk.flip_bit(kFile1, offset_of("group2index4"), 3));
  ASSERT_TRUE(rig.open());
  EXPECT_TRUE(rig.faults.empty());
  EXPECT_EQ(rig.visited, 9u);
  EXPECT_TRUE(rig.world.log.contains("00000001.jnl offset 16384: torn tail: "));
  EXPECT_TRUE(rig.world.log.contains(" bytes in 1 frames beyond the last known sync are cut"));
  EXPECT_EQ(rig.world.log.count(Level::kWarn), 1u);
  EXPECT_EQ(rig.world.log.count(Level::kError), 0u);
}

TEST_F(JournalDamage, AWholeTailIsNoCut) {
  write(4);
  ASSERT_TRUE(rig.open());
  EXPECT_EQ(rig.visited, 12u);
  EXPECT_EQ(rig.world.log.count(Level::kWarn), 0u);
}

TEST_F(JournalDamage, ADamagedFileHeaderIsRecoveredFromTheFrames) {
  write(4, kSecond);
  ASSERT_TRUE(rig.world.disk.flip_bit(kFile1, 17, 1));
  ASSERT_TRUE(rig.open());
  EXPECT_TRUE(rig.faults.empty());
  EXPECT_TRUE(rig.recovered_prefix(12));
  EXPECT_TRUE(rig.world.log.contains("file header is damaged"));
}

TEST_F(JournalDamage, ALaterVersionIsRefused) {
  write(1);
  auto bytes = *rig.world.disk.content(kFile1);
  JournalFileHeader h = *decode_file_header(as_span(bytes));
  h.version = 2;
  encode_file_header(h, reinterpret_cast<std::uint8_t*>(bytes.data()));
  rig.world.disk.put(kFile1, bytes);
  auto s = rig.open();
  ASSERT_FALSE(s);
  EXPECT_EQ(s.error().code, Code::kUnsupported);
}

TEST_F(JournalDamage, ForeignFilesAreLeftAlone) {
  write(2, kSecond);
  rig.world.disk.put("j/notes.txt", "mine");
  rig.world.disk.put("j/0000000G.jnl", "mine");
  rig.world.disk.put("j/000000ff.jnl", std::string(9000, 'g'));  // the right name, but nothing of ours
  ASSERT_TRUE(rig.open());
  EXPECT_TRUE(rig.recovered_prefix(6));
  EXPECT_TRUE(has_fault(0, 0, 0));
  for (std::uint64_t i = 3; i < 60; ++i) {
    rig.entry(1, i, std::string(3000, 'x'));
    rig.settle();
    rig.release(1, i);
    rig.release(2, i);
    rig.release(3, i);
  }
  EXPECT_EQ(*rig.world.disk.content("j/notes.txt"), "mine");
  EXPECT_EQ(*rig.world.disk.content("j/0000000G.jnl"), "mine");
  EXPECT_EQ(*rig.world.disk.content("j/000000ff.jnl"), std::string(9000, 'g'));
}

class JournalFiles : public JournalDamage {
 protected:
  /// Three files of three frames each.
  void fill() {
    rig.options.file_bytes = 16 * 1024;
    ASSERT_TRUE(rig.open());
    for (std::uint64_t i = 1; i <= 9; ++i) {
      rig.entry(1, i, std::string(3000, 'x'));
      rig.settle();
    }
    rig.die(Survivors::kAll);
  }
  void lose(const std::string& path) {
    ASSERT_TRUE(rig.world.disk.remove(path));
    ASSERT_TRUE(rig.world.disk.sync_dir("j"));
  }
};

TEST_F(JournalFiles, AMissingFileInTheMiddleIsAFault) {
  fill();
  lose("j/00000002.jnl");
  ASSERT_TRUE(rig.open());
  EXPECT_EQ(rig.visited, 6u);
  EXPECT_TRUE(has_fault(0, 0, 0));
  EXPECT_TRUE(has_fault(1, 4, 6));
  EXPECT_NE(rig.faults[0].detail.find("frame 4 to 6"), std::string::npos) << rig.faults[0].detail;
}

TEST_F(JournalFiles, AMissingFirstFileIsAFault) {
  fill();
  lose(kFile1);
  ASSERT_TRUE(rig.open());
  EXPECT_EQ(rig.visited, 6u);
  EXPECT_TRUE(has_fault(1, 1, 3));
}

TEST_F(JournalFiles, AReleasedFileMayBeMissing) {
  rig.options.file_bytes = 16 * 1024;
  ASSERT_TRUE(rig.open());
  for (std::uint64_t i = 1; i <= 9; ++i) {
    rig.entry(1, i, std::string(3000, 'x'));
    rig.settle();
    if (i == 7) rig.release(1, 6);
  }
  rig.die(Survivors::kAll);
  for (const char* path : {kFile1, "j/00000002.jnl"}) lose(path);
  ASSERT_TRUE(rig.open());
  EXPECT_TRUE(rig.faults.empty());
  EXPECT_TRUE(rig.recovered_prefix(9));
}

TEST_F(JournalFiles, ACopiedFileIsIgnored) {
  fill();
  rig.world.disk.put("j/0000aaaa.jnl", *rig.world.disk.content("j/00000002.jnl"));
  ASSERT_TRUE(rig.open());
  EXPECT_TRUE(rig.recovered_prefix(9));
}

// Every byte of a small journal, one bit at a time: what is handed out was written, and what is
// missing below the promise is reported.
TEST(JournalFlip, AnyBitAnywhere) {
  JournalRig base(5);
  ASSERT_TRUE(base.open());
  base.append(GroupId(1), RecordKind::kHardState, 3, 0, "vote");
  base.entry(1, 1, "one");
  base.settle();
  base.entry(2, 1, std::string(600, 'b'));
  base.entry(1, 2, "two");
  base.settle();
  base.entry(1, 3, "three");
  base.entry(2, 2, "last");
  base.settle();
  base.world.loop.run_for(kSecond);
  base.die(Survivors::kAll);
  std::map<std::string, std::string> files;
  for (const auto& p : base.world.disk.files()) files[p] = *base.world.disk.content(p);
  Image full;
  for (const auto& r : base.history) full.apply(r);

  Prng prng(1);
  std::size_t reported = 0;
  for (std::size_t at = 0; at < files["j/00000001.jnl"].size(); ++at) {
    JournalRig rig(at);
    for (const auto& [p, bytes] : files) rig.world.disk.put(p, bytes);
    ASSERT_TRUE(rig.world.disk.flip_bit("j/00000001.jnl", at, static_cast<unsigned>(prng.below(8))));
    auto opened = rig.open();
    ASSERT_TRUE(opened) << "offset " << at;
    for (auto& [id, g] : rig.image.groups) {
      for (auto& [index, e] : g.entries) {
        ASSERT_EQ(full.groups[id].entries.count(index), 1u) << at;
        ASSERT_EQ(full.groups[id].entries[index], e) << at;
      }
      ASSERT_TRUE(!g.state || g.state == full.groups[id].state) << at;
    }
    bool complete = rig.image == full;
    ASSERT_TRUE(complete || !rig.faults.empty()) << "lost without a word, offset " << at;
    reported += rig.faults.empty() ? 0u : 1u;
  }
  EXPECT_GT(reported, 500u);
}

// Random damage of many kinds to journals of random lives: opening never fails for it, nothing is invented.
TEST(JournalFlip, HeavyDamageInventsNothing) {
  for (std::uint64_t seed = 1; seed <= 300; ++seed) {
    JournalRig rig(seed);
    Prng prng(seed);
    ASSERT_TRUE(rig.open());
    std::set<std::string> written;
    for (std::uint64_t i = 1; i <= 20; ++i) {
      std::string payload = std::to_string(i) + std::string(prng.below(3000), 'p');
      written.insert(payload);
      rig.entry(static_cast<std::uint32_t>(prng.between(1, 3)), i, payload);
      rig.settle();
    }
    rig.die(Survivors::kAll);
    auto files = rig.world.disk.files();
    for (std::uint64_t n = prng.between(1, 40); n > 0; --n) {
      const auto& path = files[prng.below(files.size())];
      std::uint64_t at = prng.below(rig.world.disk.content(path)->size());
      if (prng.chance(1, 5)) {
        rig.world.disk.fail_reads(path, at, 1);
      } else {
        (void)rig.world.disk.flip_bit(path, at, static_cast<unsigned>(prng.below(8)));
      }
    }
    auto opened = rig.open();
    if (!opened) {
      EXPECT_EQ(opened.error().code, Code::kUnsupported);
      continue;
    }
    for (auto& [id, g] : rig.image.groups) {
      for (auto& [index, e] : g.entries) ASSERT_EQ(written.count(e.second), 1u);
    }
    rig.world.disk.clear_faults();
    EXPECT_TRUE(rig.drained());
  }
}

}  // namespace
}  // namespace weir::store::testing
