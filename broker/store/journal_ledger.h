// broker/store/journal_ledger.h - which groups still need which journal file.
//
// Room:     pure bookkeeping. Files are freed oldest first: a file is free when no group has an
//           unreleased entry in it and no group's last hard state lies in it.
// Cost:     place and release O(1) amortised, never a walk over all groups; 16 bytes per (group, file)
//           that has live entries, about 120 bytes and one copied hard state per group.
// Owner:    Journal. Thread: its.
// Invariant: pins of a file == number of groups' spans and repairs of it; hard_states == number of groups
//           whose last hard state is in it. Checked by journal_ledger_test.cc.
#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <unordered_map>
#include <vector>

#include "broker/store/journal.h"
#include "broker/store/journal_index.h"

namespace weir::store {

class JournalLedger {
 public:
  struct FileUse {
    std::string name;
    std::uint64_t bytes = 0;
    std::uint64_t use = 0;          // grows from file to file
    std::uint64_t first_frame = 0;  // number of the first frame in it
    std::uint64_t gate = 0;         // free once this frame is synced; 0: not idle yet
    unsigned pins = 0;
    unsigned hard_states = 0;
    std::vector<GroupId> groups;   // had entries here; may be out of date
    std::vector<GroupId> holders;  // had their last hard state here; may be out of date
  };

  /// Everything placed from now on is in this file. Its use number exceeds all before.
  void begin_file(std::string name, std::uint64_t bytes, std::uint64_t use, std::uint64_t first_frame);
  /// For the index: the salt of that file, and where a frame begins whose records follow.
  void set_salt(std::uint64_t salt) { index_.set_salt(salt); }
  void begin_frame(std::uint64_t frame, std::uint64_t offset) { index_.begin_frame(frame, offset); }
  /// Notes a record that is (being) written to the last file, in frame `frame`.
  void place(const JournalRecord& record, std::uint64_t frame);
  /// Frame of the group's last record; 0 none.
  std::uint64_t chain(GroupId group) const;

  void release(GroupId group, RaftIndex upto);

  const std::deque<FileUse>& files() const { return files_; }
  const JournalIndex& index() const { return index_; }
  /// No entry in the oldest file is needed (its hard states may be).
  bool oldest_released() const { return !files_.empty() && files_.front().pins == 0; }
  bool oldest_idle() const { return oldest_released() && files_.front().hard_states == 0; }
  /// The last hard states that live in the oldest file, up to about `bytes_max` of them (at least one
  /// if there is one): written again into a newer file they free it.
  std::vector<JournalRecord> hard_states_of_oldest(std::size_t bytes_max);
  void set_oldest_gate(std::uint64_t frame) { files_.front().gate = frame; }
  FileUse pop_oldest();
  /// A group with an unreleased entry in the oldest file; 0 none.
  GroupId laggard();

 private:
  struct Span {
    std::uint64_t use;
    RaftIndex max;  // highest entry of the group in that file that is not superseded
  };
  struct Group {
    std::vector<Span> spans;    // by use; max never falls
    std::vector<Span> repairs;  // by use, max in any order: files that only repaired entries are in
    RaftIndex released;
    std::uint64_t chain = 0;
    std::uint64_t state_use = 0;  // file of the last hard state; 0 none
    Term state_term;
    RaftIndex state_index;
    Bytes state;
  };
  FileUse& file(std::uint64_t use);
  void trim(Group& g);
  void cut(Group& g, RaftIndex from);
  void unpin(Group& g);
  void place_entry(Group& g, const JournalRecord& r);
  void place_repair(Group& g, const JournalRecord& r);
  void place_state(Group& g, const JournalRecord& r);
  void forget(GroupId id);

  std::deque<FileUse> files_;
  std::unordered_map<GroupId, Group> groups_;
  JournalIndex index_;
};

}  // namespace weir::store
