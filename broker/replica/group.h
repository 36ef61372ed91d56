// broker/replica/group.h - drives one replicated log: persist, then apply, in order.
//
// Room:     shell over store::Journal. The only code between a proposal and its application.
// Today:    a group of one. The leader is this node, an entry is committed once it is durable here,
//           and no message is sent. Raft's core takes the place of `committed = durable` without a
//           change for the state machines above (DESIGN 6, docs/adr/0002).
// Thread:   the shard's loop. Applications run from completions, never inside propose().
// Life:     restore() once, replay() for each journal record above the checkpoint, start(), then
//           propose(). A stopped group refuses everything and says why (P6).
#pragma once

#include <deque>
#include <memory>
#include <string>

#include "broker/base/bytes.h"
#include "broker/base/ids.h"
#include "broker/base/result.h"
#include "broker/env/loop.h"
#include "broker/store/journal.h"

namespace weir::replica {

/// What the log is applied to. Deterministic: the same entries give the same state on every replica.
class StateMachine {
 public:
  virtual ~StateMachine() = default;
  /// Applies one committed entry. `payload` may be kept (slices share its block). `live` is false
  /// for entries replayed at start, whose proposers are gone. An error stops the group.
  virtual Status apply(RaftIndex index, Term term, const Bytes& payload, bool live) = 0;
  /// The group stopped: disk failure, damaged log or an apply error. Called once.
  virtual void stopped(const Error& why) = 0;
};

class Group {
 public:
  Group(GroupId id, env::Loop& loop, StateMachine& machine);
  ~Group() { *self_ = nullptr; }
  Group(const Group&) = delete;
  Group& operator=(const Group&) = delete;

  /// State of the last checkpoint: everything up to `applied` is in it.
  void restore(RaftIndex applied, Term term);
  /// One record of this group from the journal, in order. Entries at or below the checkpoint are
  /// skipped. Errors: kCorrupt when an index is missing; the group is then stopped.
  Status replay(const store::JournalRecord& record);
  /// An entry range is known to be unreadable (journal fault). Stops the group if it matters.
  void damaged(const store::JournalFault& fault);
  /// Ends recovery: takes a new term, so that entries of earlier lives are told apart. `journal` may
  /// be null: a memory group, whose log lives and dies with the process.
  void start(store::Journal* journal);

  /// Appends `payload` as the next entry. Errors: kUnavailable when stopped or not started. Never
  /// refuses for size: acks, deletes and purges go on when new messages cannot (P1, DESIGN 5).
  Result<RaftIndex> propose(Bytes payload);
  /// More than limits::kInFlightBytesMax wait to be applied: take no new work from clients.
  bool crowded() const;

  /// The state machine's checkpoint covers entries up to `index`; the journal may drop them.
  void compact(RaftIndex index);
  /// The checkpoint of restore() is durable, not just readable: the journal, which does not remember
  /// releases across a restart, may drop what it covers.
  void release_restored();
  /// Removes the group's records for good (the stream was deleted). The group is stopped.
  void remove();

  GroupId id() const { return id_; }
  Term term() const { return term_; }
  RaftIndex last() const { return last_; }
  RaftIndex applied() const { return applied_; }
  bool leader() const { return started_ && !why_stopped_; }
  const Error* why_stopped() const { return why_stopped_.get(); }
  std::size_t in_flight_bytes() const { return in_flight_bytes_; }

 private:
  struct Entry {
    RaftIndex index;
    Term term;
    Bytes payload;
  };
  void durable(const Status& status);
  void apply_front();
  void stop(Error why);

  const GroupId id_;
  store::Journal* journal_ = nullptr;  // null before start() and for memory groups
  env::Loop& loop_;
  StateMachine& machine_;
  Term term_{0};
  RaftIndex last_{0};
  RaftIndex applied_{0};
  RaftIndex restored_{0};
  bool started_ = false;
  std::unique_ptr<Error> why_stopped_;
  std::deque<Entry> in_flight_;  // proposed, not yet applied; indexes are consecutive
  std::size_t in_flight_bytes_ = 0;
  // Completions hold a weak reference: they may outlive the group.
  std::shared_ptr<Group*> self_;
};

}  // namespace weir::replica
