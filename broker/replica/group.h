// broker/replica/group.h - drives one replica of one Raft group: persist, send, apply, in order.
//
// Room:     shell over store::Journal; the only code that turns a raft::Ready into effects.
// Thread:   the shard's loop. The state machine is called from Host::run() only, never inside propose(); but
// for
//           handing_over(), which transfer_leadership() calls.
// Life:     one of found(), join(), restore(); replay() for each journal record; damaged() for each
//           fault; start(); then propose(). A stopped group refuses everything and says why (P6).
// Alone:    a group whose only voter is this replica is the same code without messages. What it finds in
//           its journal is committed, and applied while the journal is read.
// Files:    group.cc inputs and the Ready loop, group_start.cc recovery, group_apply.cc what is committed.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "broker/base/bytes.h"
#include "broker/base/fifo.h"
#include "broker/base/ids.h"
#include "broker/base/result.h"
#include "broker/base/unique_function.h"
#include "broker/raft/core.h"
#include "broker/raft/log.h"
#include "broker/replica/host.h"
#include "broker/replica/position.h"
#include "broker/replica/state_machine.h"
#include "broker/store/journal.h"

namespace weir::replica {

class Group {
 public:
  Group(GroupId id, Host& host, StateMachine& machine);
  ~Group();
  Group(const Group&) = delete;
  Group& operator=(const Group&) = delete;

  // Before start(): exactly one of these three.

  /// First member of a new group.
  void found(NodeId self, const std::vector<NodeId>& members);
  /// Added later, or with an id that has promised nothing yet: gets everything from the leader. Records
  /// of an earlier life in the journal are void. `generation` of the store to be filled first.
  void join(NodeId self, std::uint32_t generation = 0);
  /// State of the last checkpoint: everything up to position.at is in it.
  void restore(const Position& position);

  /// One record of this group from the journal, in order. Errors: kCorrupt for a log that cannot be used;
  /// the group is then stopped.
  Status replay(const store::JournalRecord& record);
  /// The journal knows of something that cannot be read; in order with replay(). Every group must be told of
  /// faults of group 0 too: until then nobody knows what they cost whom. With other members, entries are
  /// fetched from those; alone, the group stops at start() if they matter.
  void damaged(const store::JournalFault& fault);
  /// Ends recovery. `journal` may be null: the log lives and dies with the process.
  void start(store::Journal* journal);

  // At work.

  /// Appends `payload` as the next entry; it is applied, or lost with the leadership. Errors: kUnavailable
  /// when this replica does not lead or is stopped. Not refused for size until far above crowded(): acks,
  /// deletes and purges go on when new messages cannot (DESIGN 5).
  Result<raft::EntryId> propose(Bytes payload);
  /// A transfer of the leadership is under way: propose() refuses until it ended.
  bool transferring() const { return core_ && core_->transferring(); }
  /// Since start() this replica led, or heard who leads.
  bool met_leader() const { return met_leader_; }
  /// More than limits::kInFlightBytesMax wait to be applied: take no new work from clients.
  bool crowded() const;
  /// Calls `done` with true once local state is as good as a linearizable read needs (at once under a
  /// lease), with false if that cannot be had: no leader, it changed, or its answer is lost (after two
  /// election time-outs). Any replica may ask. Not called if the group is destroyed first.
  void read_point(UniqueFunction<void(bool)> done);
  raft::Proposed change_members(const raft::ConfChange& change);
  bool transfer_leadership(NodeId to);

  // State and log position.

  /// What a checkpoint of the state as it is now has to record; nullopt: not now, the log on this disk is
  /// behind what was applied.
  std::optional<Position> checkpoint_position() const;
  /// What a fetched state that covers everything up to `at` has to record.
  Position position_at(const raft::SnapshotMeta& at, std::uint32_t generation) const;
  /// A checkpoint made of checkpoint_position() is durable up to `index`; the journal may drop what no
  /// follower needs. With `press` followers are not waited for.
  void compact(RaftIndex index, bool press = false);
  /// The checkpoint of restore() is durable, not just readable: the journal, which does not remember
  /// releases across a restart, may drop what it covers.
  void release_restored();
  /// fetch_state() is done: the state `at` is in place, and its position durable. A state that is not ahead
  /// of what is applied counts as failed.
  void state_installed(const raft::SnapshotMeta& at, std::uint32_t generation);
  void state_failed();
  /// Wants the machine's hash as of entry `index`, which is not applied yet; replaces an earlier wish.
  void note_state(RaftIndex index);
  /// What note_state() wanted. nullopt: not applied yet, or passed over: the state came from another replica.
  std::optional<std::uint64_t> noted_state() const;
  std::uint64_t state_hash() const { return machine_.state_hash(); }
  /// What is applied here is not what others have: stops, to come back under a new replica id (ADR 4).
  void give_up(Error why);
  /// Stops the group for good. What the journal holds of it stays until end_records().
  void retire();

  // For Host.
  void step(NodeId from, raft::Message message);
  void tick(unsigned count);
  void peer_alive(NodeId node, bool alive);
  void pump();
  bool needs_ticks() const;

  // Questions.
  GroupId id() const { return id_; }
  NodeId self() const { return self_id_; }
  Term term() const { return core_ ? core_->term() : hard_.term; }
  RaftIndex last() const { return core_ ? core_->log().last() : applied_.index; }
  RaftIndex applied() const { return applied_.index; }
  Term applied_term() const { return applied_.term; }
  RaftIndex commit() const { return core_ ? core_->log().commit() : applied_.index; }
  std::uint32_t generation() const { return generation_; }
  /// Leads and has applied all of earlier terms.
  bool leading() const { return leading_; }
  /// leading(), and no other replica can: it is alone, or holds a lease. Reading the applied state then is
  /// as good as read_point().
  bool leads_for_sure();
  NodeId leader() const { return core_ ? core_->leader() : NodeId(0); }
  /// In force at the end of the log.
  const raft::ConfState& conf() const { return core_ ? core_->conf() : conf_; }
  /// As far as it is committed and applied.
  const raft::ConfState& applied_conf() const { return conf_; }
  /// A group of one: whoever else is there, is not a member yet.
  bool alone() const;
  bool started() const { return started_; }
  /// Before start(): end_records() was the last that the journal heard of this replica.
  bool ended() const { return ended_; }
  /// Has no state of its own yet: join() and nothing installed.
  bool empty() const { return applied_.index.v == 0; }
  /// Stopped because what it promised is lost: it may come back under a new replica id (ADR 4).
  bool needs_new_id() const { return needs_new_id_; }
  const Error* why_stopped() const { return why_stopped_.get(); }
  std::size_t in_flight_bytes() const { return in_flight_bytes_; }
  const raft::Core* core() const { return core_.get(); }

 private:
  static constexpr std::size_t kAsleep = ~std::size_t{0};
  static constexpr RaftIndex kNoNote{UINT64_MAX};
  struct InFlight {
    raft::EntryId id;
    std::size_t bytes;
  };
  struct Later {
    std::uint64_t wait_for;
    std::vector<raft::Message> messages;
  };
  struct Read {
    RaftIndex index;          // 0: not known yet
    std::uint64_t asked = 0;  // in ticks
    bool old = false;         // of a leader that is gone
    UniqueFunction<void(bool)> done;
  };

  // group_start.cc
  Status replay_entry(const store::JournalRecord& record, raft::EntryType type);
  void replay_repair(const store::JournalRecord& record);
  Status replay_committed();
  Status apply_recovered(const raft::Entry& entry);
  void drop_recovered();
  void cut_recovered(RaftIndex from);
  void push_recovered(raft::Entry entry);
  void push_fault(raft::EntryId id, bool maybe_config);
  RaftIndex recovered_last() const;
  Term last_term() const;
  bool behind_installed(raft::EntryId id);
  void doubt_uncommitted();
  bool others_matter() const;
  bool lone_at_end() const;
  Status unusable(Error why);
  raft::StartState start_state();
  bool settle_damage();
  bool end_is_lost_to_all();
  void write_reset();
  void note_head();

  // group.cc
  void marked();
  void tell_alive();
  void handle(raft::Ready ready);
  void persist(raft::Ready& ready);
  void written(std::uint64_t write, const Status& status);
  void send(std::vector<raft::Message>& messages);
  void load(const raft::LoadRequest& request);
  void stop(Error why);

  // group_apply.cc
  void take_note(RaftIndex next);
  void apply(std::vector<raft::Entry>& entries);
  bool apply_one(const raft::Entry& entry);
  void role(const raft::SoftState& soft);
  void forget_in_flight(Term but);
  void settle(const raft::EntryId& applied);
  void read_state(const raft::ReadState& state);
  void answer_reads();
  void fail_reads(bool only_old);

  const GroupId id_;
  Host& host_;
  StateMachine& machine_;
  store::Journal* journal_ = nullptr;  // null before start() and for memory groups
  std::unique_ptr<raft::Core> core_;   // null before start()
  NodeId self_id_;
  std::uint32_t generation_ = 0;
  bool started_ = false;
  bool leading_ = false;
  bool installed_ = false;  // see Position
  raft::EntryId installed_at_;
  std::unique_ptr<Error> why_stopped_;

  raft::EntryId applied_;
  raft::ConfState conf_;  // at applied_

  // Recovery.
  raft::EntryId base_;  // of the log in the journal
  raft::HardState hard_;
  std::vector<raft::TermRun> older_;  // terms of entries behind base_ that are not in recovered_
  Fifo<raft::Entry> recovered_;       // consecutive; with applied_ if that was in the journal, to the end
  std::size_t recovered_bytes_ = 0;
  std::vector<raft::Fault> faults_;  // ascending, all above applied_
  RaftIndex restored_;
  std::string damage_;           // the first fault, in words
  bool ignore_journal_ = false;  // records of an earlier life
  bool named_ = false;           // the journal had something to say about this group
  bool unnamed_loss_ = false;    // it lost something of groups that nobody knows
  bool joined_ = false;          // what comes now lies behind the installed state
  bool log_seen_ = false;        // an entry or what replaces the log
  bool misplaced_ = false;       // there was something that may lie behind it
  bool head_unknown_ = false;    // entries may be lost behind the last one
  bool head_noted_ = false;      // the last hard state says so
  bool vote_lost_ = false;
  bool needs_new_id_ = false;
  bool ended_ = false;

  Fifo<InFlight> in_flight_;  // proposed here in this term, not applied
  std::size_t in_flight_bytes_ = 0;
  Fifo<Later> later_;       // messages that wait for the disk
  raft::HardState handed_;  // the last one given to the journal
  std::uint64_t durable_ = 0;
  std::uint64_t reset_write_ = 0;  // the write with the kReset of an installed state
  bool fetching_ = false;          // the machine was asked for a state
  std::map<std::uint64_t, Read> reads_;
  std::uint64_t next_read_;  // begins anywhere: answers to an earlier life must not fit
  std::uint64_t ticks_ = 0;
  raft::ConfState alive_conf_;  // whose members the core knows to be alive or not
  NodeId told_leader_;
  bool met_leader_ = false;
  Term told_term_;
  RaftIndex note_at_ = kNoNote;
  std::optional<std::uint64_t> noted_;
  bool changed_ = false;  // in Host::changed_
  bool marked_ = false;
  std::size_t awake_at_ = kAsleep;  // in Host::awake_
  // Completions hold a weak reference: they may outlive the group.
  std::shared_ptr<Group*> self_;

  friend class Host;
};

/// Payload of a group's hard state record: the vote, and whether entries may be lost behind the last one.
Bytes hard_state_bytes(NodeId vote, bool head_unknown);
/// What is stored here cannot be read: it rotted, or its sectors failed.
inline bool lost_by(const Error& why) {
  return why.code == Code::kCorrupt || why.code == Code::kIo;
}

/// Makes what the journal holds of `group` void. Only once something else that is durable says that the
/// replica is over: a start that finds neither may know a meta state from before, and would found the group
/// again.
void end_records(store::Journal& journal, GroupId group);

}  // namespace weir::replica
