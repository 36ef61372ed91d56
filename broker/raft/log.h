// broker/raft/log.h - what a core knows of its log: terms of all of it, payloads of its tail.
//
// Room:    pure. Disk holds the rest; the host reads it when the core asks (Ready::loads).
// Thread:  owned by one core.
// Shape:   base | runs of terms cover (base, last] | payloads cover [memory_first, last]
//          base < memory_first <= last + 1, applied <= applying <= commit <= last, stable <= last.
// Memory:  16 bytes per run of equal terms, plus the payload slices of the tail.
// Errors:  indexes out of range are programmer errors (CHECK); Core checks what peers send first.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "broker/base/fifo.h"
#include "broker/base/ids.h"
#include "broker/raft/messages.h"

namespace weir::raft {

/// Entries from `first` on carry `term`, until the next run begins.
struct TermRun {
  RaftIndex first;
  Term term;
};

class Log {
 public:
  /// `older`: runs of the entries in (base, first of entries); `entries`: the tail, consecutive, up to the
  /// end.
  Log(EntryId base, const std::vector<TermRun>& older, std::vector<Entry> entries);

  EntryId base() const { return base_; }
  RaftIndex first() const { return base_.index + 1; }
  RaftIndex last() const { return last_; }
  EntryId last_id() const { return {last_, runs_.back().term}; }
  RaftIndex memory_first() const { return RaftIndex{last_.v + 1 - tail_.size()}; }
  std::size_t memory_bytes() const { return memory_bytes_; }
  RaftIndex commit() const { return commit_; }
  RaftIndex applying() const { return applying_; }
  RaftIndex applied() const { return applied_; }
  RaftIndex stable() const { return stable_; }

  /// Term of an entry in [base, last]; nothing outside.
  std::optional<Term> term_at(RaftIndex index) const;
  bool matches(EntryId id) const { return term_at(id.index) == id.term; }
  /// The highest entry at or below `index` whose term is at most `term` (5.3's fast back-up): where
  /// the logs of two replicas may still agree. Base if there is none.
  EntryId last_not_after(RaftIndex index, Term term) const;
  /// Entry in memory.
  const Entry& at(RaftIndex index) const;
  /// Entries [from, upto] in memory, at least one, then as many as fit in `bytes_max`.
  std::vector<Entry> slice(RaftIndex from, RaftIndex upto, std::size_t bytes_max) const;

  void append(Entry entry);  // index must be last()+1
  /// Puts the payload of an unreadable entry in its place; same index and term, in memory.
  void repair(const Entry& entry);
  /// Drops entries at and above `from`, which must be above commit.
  void truncate(RaftIndex from);
  /// Forgets entries up to `upto` (<= applied).
  void compact(RaftIndex upto);
  /// Drops payloads from the front while more than `bytes_max` are held and disk has them.
  void trim_memory(std::size_t bytes_max);
  /// The log is replaced by a snapshot at `id`.
  void restore(EntryId id);

  void commit_to(RaftIndex index);  // never backwards; index <= last()
  void apply_to(RaftIndex index);
  void start_applying(RaftIndex index) { applying_ = index; }
  /// At start: the state machine holds everything up to `applied`.
  void start_at(RaftIndex applied, RaftIndex commit);

  bool has_unstable() const { return handed_ < last_; }
  /// Entries that the host has not been given for writing; they count as given from now on.
  std::vector<Entry> take_unstable();
  /// Write `number` contains everything taken so far.
  void write_started(std::uint64_t number) { writes_.push_back({number, handed_}); }
  /// Write `number` and all before it are on disk. A write of entries that were cut meanwhile
  /// says nothing about the entries that took their place, even at the same index and term.
  void write_done(std::uint64_t number);

 private:
  struct Write {
    std::uint64_t number;
    RaftIndex last;  // highest entry of this and earlier writes that is still in the log
  };
  EntryId base_;
  std::vector<TermRun> runs_;  // ascending; the first covers base_
  Fifo<Entry> tail_;
  RaftIndex last_;
  std::size_t memory_bytes_ = 0;
  RaftIndex commit_, applying_, applied_;
  RaftIndex stable_;  // on this node's disk up to here
  RaftIndex handed_;  // given to the host for writing up to here
  Fifo<Write> writes_;
};

}  // namespace weir::raft
