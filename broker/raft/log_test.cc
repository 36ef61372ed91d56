#include "broker/raft/log.h"

#include <gtest/gtest.h>

#include <initializer_list>

namespace weir::raft {
namespace {

Entry entry(std::uint64_t index, std::uint64_t term, std::string_view payload = "x") {
  return {RaftIndex{index}, Term{term}, EntryType::kNormal, Bytes::copy_of(payload)};
}

EntryId id(std::uint64_t index, std::uint64_t term) {
  return {RaftIndex{index}, Term{term}};
}

Log log_of(std::initializer_list<std::uint64_t> terms) {
  std::vector<Entry> entries;
  std::uint64_t index = 0;
  for (std::uint64_t term : terms) entries.push_back(entry(++index, term));
  return Log({}, {}, std::move(entries));
}

TEST(RaftLog, TermsOfAllEntriesAreKnown) {
  Log log = log_of({1, 1, 4, 4, 5});
  EXPECT_EQ(log.last_id(), id(5, 5));
  EXPECT_EQ(log.term_at(RaftIndex{0}), Term{0});
  EXPECT_EQ(log.term_at(RaftIndex{2}), Term{1});
  EXPECT_EQ(log.term_at(RaftIndex{3}), Term{4});
  EXPECT_EQ(log.term_at(RaftIndex{5}), Term{5});
  EXPECT_FALSE(log.term_at(RaftIndex{6}).has_value());
  EXPECT_TRUE(log.matches(id(4, 4)));
  EXPECT_FALSE(log.matches(id(4, 5)));
  EXPECT_FALSE(log.matches(id(6, 5)));
  EXPECT_TRUE(log.matches(id(0, 0)));
}

TEST(RaftLog, AMessageTakesNoMoreEntriesThanItsReaderAccepts) {
  Log log({}, {}, {});
  for (std::uint64_t i = 1; i <= kMessageEntriesMax + 10; ++i) log.append(entry(i, 1, ""));
  EXPECT_EQ(log.slice(RaftIndex{1}, log.last(), 1 << 20).size(), kMessageEntriesMax);
}

TEST(RaftLog, OlderRunsStandForEntriesOnDisk) {
  Log log(id(10, 2), {{RaftIndex{11}, Term{2}}, {RaftIndex{13}, Term{3}}}, {entry(15, 3), entry(16, 7)});
  EXPECT_EQ(log.term_at(RaftIndex{9}), std::nullopt);
  EXPECT_EQ(log.term_at(RaftIndex{10}), Term{2});
  EXPECT_EQ(log.term_at(RaftIndex{12}), Term{2});
  EXPECT_EQ(log.term_at(RaftIndex{14}), Term{3});
  EXPECT_EQ(log.term_at(RaftIndex{16}), Term{7});
  EXPECT_EQ(log.memory_first(), RaftIndex{15});
  EXPECT_EQ(log.stable(), RaftIndex{16});
}

TEST(RaftLog, LastNotAfterFindsWhereLogsMayAgree) {
  Log log = log_of({1, 1, 4, 4, 5});
  EXPECT_EQ(log.last_not_after(RaftIndex{9}, Term{9}), id(5, 5));
  EXPECT_EQ(log.last_not_after(RaftIndex{5}, Term{4}), id(4, 4));
  EXPECT_EQ(log.last_not_after(RaftIndex{3}, Term{4}), id(3, 4));
  EXPECT_EQ(log.last_not_after(RaftIndex{5}, Term{3}), id(2, 1));
  EXPECT_EQ(log.last_not_after(RaftIndex{5}, Term{0}), id(0, 0));
  EXPECT_EQ(log.last_not_after(RaftIndex{0}, Term{9}), id(0, 0));
}

TEST(RaftLog, TruncationForgetsTermsAndDurability) {
  Log log = log_of({1, 1, 4, 4, 5});
  log.truncate(RaftIndex{4});
  EXPECT_EQ(log.last_id(), id(3, 4));
  EXPECT_EQ(log.stable(), RaftIndex{3});
  log.append(entry(4, 6));
  EXPECT_EQ(log.stable(), RaftIndex{3});
  EXPECT_EQ(log.take_unstable().size(), 1u);
  EXPECT_TRUE(log.take_unstable().empty());
}

TEST(RaftLog, AWriteSaysNothingAboutWhatReplacedItsEntries) {
  Log log = log_of({1});
  log.append(entry(2, 2));
  log.take_unstable();
  log.write_started(1);
  log.truncate(RaftIndex{2});
  log.append(entry(2, 3));
  log.take_unstable();
  log.write_started(2);
  log.truncate(RaftIndex{2});
  log.append(entry(2, 4));  // and back: the third write is of this one
  log.take_unstable();
  log.write_started(3);
  log.write_done(1);
  EXPECT_EQ(log.stable(), RaftIndex{1});
  log.write_done(2);
  EXPECT_EQ(log.stable(), RaftIndex{1});
  log.write_done(3);
  EXPECT_EQ(log.stable(), RaftIndex{2});
}

TEST(RaftLog, WritesMayBeReportedInOneGo) {
  Log log = log_of({});
  for (std::uint64_t i = 1; i <= 3; ++i) {
    log.append(entry(i, 1));
    log.take_unstable();
    log.write_started(i);
  }
  log.write_done(2);
  EXPECT_EQ(log.stable(), RaftIndex{2});
  log.write_done(2);
  EXPECT_EQ(log.stable(), RaftIndex{2});
  log.write_done(3);
  EXPECT_EQ(log.stable(), RaftIndex{3});
}

TEST(RaftLog, CompactionKeepsTheTermAtItsEdge) {
  Log log = log_of({1, 1, 4, 4, 5});
  log.commit_to(RaftIndex{4});
  log.start_applying(RaftIndex{4});
  log.apply_to(RaftIndex{4});
  log.compact(RaftIndex{3});
  EXPECT_EQ(log.base(), id(3, 4));
  EXPECT_EQ(log.first(), RaftIndex{4});
  EXPECT_EQ(log.term_at(RaftIndex{2}), std::nullopt);
  EXPECT_TRUE(log.matches(id(3, 4)));
  EXPECT_EQ(log.last_not_after(RaftIndex{5}, Term{1}), id(3, 4));
  log.compact(RaftIndex{2});
  EXPECT_EQ(log.base(), id(3, 4));
}

TEST(RaftLog, MemoryIsTrimmedOnlyBelowAppliedAndDurable) {
  Log log = log_of({1, 1, 1});
  log.append(entry(4, 1));
  log.commit_to(RaftIndex{4});
  log.start_applying(RaftIndex{4});
  log.apply_to(RaftIndex{2});
  log.trim_memory(0);
  EXPECT_EQ(log.memory_first(), RaftIndex{3});
  log.apply_to(RaftIndex{4});
  log.trim_memory(0);
  EXPECT_EQ(log.memory_first(), RaftIndex{4});  // entry 4 is not on disk
  EXPECT_EQ(log.memory_bytes(), 1u);
  EXPECT_EQ(log.term_at(RaftIndex{1}), Term{1});
}

TEST(RaftLog, SliceGivesAtLeastOneEntry) {
  Log log({}, {}, {entry(1, 1, "aaaa"), entry(2, 1, "bbbb"), entry(3, 1, "cccc")});
  EXPECT_EQ(log.slice(RaftIndex{1}, RaftIndex{3}, 0).size(), 1u);
  EXPECT_EQ(log.slice(RaftIndex{1}, RaftIndex{3}, 8).size(), 2u);
  EXPECT_EQ(log.slice(RaftIndex{2}, RaftIndex{3}, 100).size(), 2u);
}

TEST(RaftLog, RestoreStartsOver) {
  Log log = log_of({1, 1, 1});
  log.restore(id(9, 4));
  EXPECT_EQ(log.last_id(), id(9, 4));
  EXPECT_EQ(log.applied(), RaftIndex{9});
  EXPECT_EQ(log.term_at(RaftIndex{3}), std::nullopt);
  log.append(entry(10, 4));
  EXPECT_EQ(log.at(RaftIndex{10}).term, Term{4});
}

TEST(RaftLogDeath, MisuseIsCaught) {
  Log log = log_of({1, 2});
  log.commit_to(RaftIndex{1});
  EXPECT_DEATH(log.truncate(RaftIndex{1}), "committed");
  EXPECT_DEATH(log.append(entry(4, 2)), "out of order");
  EXPECT_DEATH(log.append(entry(3, 1)), "goes back");
  EXPECT_DEATH(log.commit_to(RaftIndex{3}), "beyond");
  EXPECT_DEATH(log.apply_to(RaftIndex{2}), "handed out");
}

}  // namespace
}  // namespace weir::raft
