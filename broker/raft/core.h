// broker/raft/core.h - one replica of one group: decides, never does.
//
// Room:    pure. No clock (ticks), no I/O (Ready), no chance (seeded generator), no callback.
// Thread:  the shard that owns the group.      Owner: replica::Group.
// Use:     call any input; while has_ready(), take_ready() and do what README.md says, in order.
// Source:  Ongaro's dissertation (section numbers at the code); PreVote 9.6, CheckQuorum 6.2, lease
//          6.4.1, read index 6.4, transfer 3.10, joint consensus 4.3; unreadable entries after
//          "Protocol-Aware Recovery" (FAST 2018) with the differences in core_repair.cc.
// Files:   core.cc (inputs, Ready) core_election.cc core_leader.cc (replication, commit)
//          core_append.cc (follower) core_config.cc core_read.cc core_transfer.cc core_sleep.cc
//          core_repair.cc.
// Errors:  none but refusals as data. Contradictions that no honest group can reach halt the core
//          (SoftState::halted, P6). CHECK only for misuse by the host.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <span>
#include <vector>

#include "broker/base/bytes.h"
#include "broker/base/fifo.h"
#include "broker/base/ids.h"
#include "broker/base/prng.h"
#include "broker/raft/confchange.h"
#include "broker/raft/log.h"
#include "broker/raft/messages.h"
#include "broker/raft/progress.h"
#include "broker/raft/quorum.h"
#include "broker/raft/ready.h"

namespace weir::raft {

class Core {
 public:
  Core(const Config& config, StartState start);

  // Inputs. None re-enters; all are no-ops on a halted core.

  /// A message arrived over an authenticated link of `from` (it overrides message.from).
  void step(NodeId from, Message message);
  /// One tick of time has passed. A host that was paused must deliver the ticks it owes before it
  /// serves a read from the lease. No effect while asleep.
  void tick();
  /// Appends the payloads, each as one entry, if this node leads. Bounded by uncommitted_bytes_max.
  Proposed propose(std::span<const Bytes> payloads);
  Proposed propose_conf_change(const ConfChange& change);
  /// Everything of Ready::write numbers up to `write` is on this node's disk.
  void durable(std::uint64_t write);
  /// The state machine has applied entries up to `index` (durable or not).
  void applied(RaftIndex index);
  /// The host's checkpoint covers entries up to `index` <= applied; they are dropped from the log.
  void compact(RaftIndex index);
  /// Gives leadership to `to`: a voter that answers. Aborted after election_ticks. False if refused.
  bool transfer_leadership(NodeId to);
  /// Asks for a point up to which state must be applied before a linearizable read is answered; comes
  /// back in Ready::reads. On a follower the leader is asked; the answer may get lost (time out and
  /// ask again with a new context). False: no leader known, or reads_max reached.
  bool read_index(std::uint64_t context);
  /// Asks for votes now (first start, tests). No effect where a time-out had none either, nor within
  /// election_ticks of a sign of life of a leader or of a restart.
  void campaign();
  /// A new group that has had no leader, with Config::order: a tick may make this node campaign. For a while,
  /// then it is as any other.
  bool never_led() const;
  /// Answers to Ready::loads; empty if the host cannot read them.
  void entries_loaded(const LoadRequest& request, std::vector<Entry> entries);
  /// Ready::install is done: state and `meta` (at or above what was asked) are durable.
  void snapshot_installed(const SnapshotMeta& meta);
  void snapshot_failed();
  /// Liveness of a node pair (DESIGN 6): true while `peer` has promised support. A restart of the peer
  /// must show as false, then true. Unknown peers count as silent.
  void set_peer_alive(NodeId peer, bool alive);

  // Outputs.

  bool has_ready() const;
  Ready take_ready();

  // Questions.

  /// This node leads, and no other can have been elected since the heartbeats that a majority
  /// answered were sent (6.4.1). Applied state is then as good as a read index.
  bool lease_valid() const;
  /// The host need not tick this core until an input wakes it.
  bool asleep() const { return asleep_; }
  /// transfer_leadership() is under way.
  bool transferring() const { return transferee_ != NodeId{0}; }
  /// Lowest entry that a member which answers still needs; entries below may be compacted freely.
  RaftIndex needed_from() const;
  Role role() const { return role_; }
  NodeId leader() const { return leader_; }
  Term term() const { return term_; }
  const Log& log() const { return log_; }
  const ConfState& conf() const { return confs_.back().conf; }
  std::vector<PeerView> peers() const;
  View view() const;

 private:
  struct ConfAt {
    RaftIndex index;  // of the entry that brought it
    ConfState conf;
  };
  struct PendingWrite {
    std::uint64_t number;
    HardState hard;
    std::vector<RaftIndex> repaired;
  };
  struct FaultState {
    Term term;
    bool maybe_config = true;
    bool writing = false;  // payload is back, not yet durable
  };
  struct Round {
    std::uint64_t number, sent_at;
  };
  struct PendingRead {
    std::uint64_t context;
    NodeId from;  // 0 = this node's host
    RaftIndex index;
    std::uint64_t round;  // confirmed by a majority's answer to this round
  };

  // core.cc
  bool plausible(const Message& m) const;
  void step_same_term(Message& m);
  bool step_other_term(Message& m);
  Message make(MessageType type, NodeId to) const;
  void send(Message m) { now_.push_back(std::move(m)); }
  void send_durably(Message m) { later_.push_back(std::move(m)); }
  void take_committed(Ready& r);
  void take_writes(Ready& r);
  SoftState soft_state() const;
  void halt(const char* why);

  // core_election.cc
  void become_follower(Term term, NodeId leader);
  void become_leader();
  void start_election(bool pre, bool force);
  void win(bool pre);
  void tally();
  bool electable() const;
  bool may_campaign() const;
  unsigned turn(NodeId gone) const;
  unsigned turn_ticks() const;
  unsigned turn_delay();
  bool promised_to_leader(NodeId candidate) const;
  void reset_election_timer();
  void tick_election();
  void on_vote(const Message& m);
  void on_vote_resp(const Message& m);
  void own_vote_durable();

  // core_leader.cc
  void append_as_leader(EntryType type, Bytes payload);
  void tick_leader();
  bool quorum_active();
  void on_append_resp(const Message& m);
  void on_heartbeat_resp(const Message& m);
  void maybe_commit();
  void commit_advanced(RaftIndex before);
  void send_heartbeats(bool asleep);
  void send_due();
  void send_appends(NodeId to, Progress& pr);
  void send_append(NodeId to, Progress& pr, std::vector<Entry> entries);
  void send_snapshot(NodeId to, Progress& pr);
  bool committed_in_term() const;

  // core_append.cc
  void heard_from_leader(NodeId leader);
  void on_append(Message& m);
  void accept_entries(Message& m);
  void on_heartbeat(const Message& m);
  void on_snapshot(const Message& m);
  void ack_append(RaftIndex index);
  RaftIndex ack_limit() const;

  // core_config.cc
  void load_confs(const StartState& start);
  void note_conf(const Entry& entry);
  void cut_log(RaftIndex from);
  const ConfState& conf_at(RaftIndex index) const;
  void members_changed();
  void conf_committed();

  // core_read.cc
  void on_read_index(NodeId from, std::uint64_t context);
  void answer_read(const PendingRead& read, bool ok);
  void confirm_round();
  void release_waiting_reads();
  void drop_reads();

  // core_transfer.cc
  void maybe_send_timeout_now();
  void on_timeout_now(const Message& m);

  // core_sleep.cc
  void wake(bool by_message);
  void maybe_sleep();
  bool old_answer(const Message& m) const;
  bool sleep_if_matching(const Message& m);
  bool quorum_alive() const;
  bool peer_alive(NodeId n) const { return alive_.count(n) > 0; }

  // core_repair.cc
  void load_faults(const StartState& start);
  void tick_repair();
  void ask_repairs();
  void ask_entries(NodeId node);
  Message fetch_answer(NodeId to, EntryId id, FetchAnswer answer) const;
  void fetch_compacted(NodeId to, EntryId id);
  void repair_loaded(const LoadRequest& request, std::vector<Entry> entries);
  void on_fetch(const Message& m);
  void on_fetch_resp(Message& m);
  void repair(Entry entry);
  void repaired(RaftIndex index);
  void maybe_drop_fault();
  bool droppable(RaftIndex index) const;
  void on_head(const Message& m);
  void on_head_resp(const Message& m);
  void maybe_head_known();

  const Config cfg_;
  Prng prng_;
  Log log_;
  std::vector<ConfAt> confs_;  // ascending; the last is in force, the first at or below applied
  const char* halted_ = nullptr;

  Term term_;
  NodeId vote_;
  Role role_ = Role::kFollower;
  NodeId leader_;

  // Time, in ticks.
  std::uint64_t clock_ = 0;
  unsigned election_elapsed_ = 0;
  unsigned election_timeout_ = 0;
  unsigned promise_elapsed_ = 0;  // since a leader was last heard; no vote below election_ticks

  // Candidate.
  std::map<NodeId, bool> votes_;

  // Leader. Meaningless in other roles; reset by become_leader.
  std::map<NodeId, Progress> progress_;  // all other members
  unsigned heartbeat_elapsed_ = 0, quorum_elapsed_ = 0, quiet_ticks_ = 0;
  std::size_t uncommitted_bytes_ = 0;
  bool sends_due_ = false, heartbeat_due_ = false;
  RaftIndex term_start_;  // index of this term's no-op
  std::uint64_t round_ = 0, confirmed_round_ = 0;
  Fifo<Round> rounds_;                       // sent, not confirmed
  std::optional<std::uint64_t> lease_from_;  // clock_ when the last confirmed round was sent
  NodeId transferee_;
  unsigned transfer_elapsed_ = 0;
  bool transfer_sent_ = false;  // in this term: somebody may campaign against the lease

  Fifo<PendingRead> reads_;
  std::vector<PendingRead> waiting_reads_;  // for the first commit of the term

  // Sleep.
  bool asleep_ = false;
  std::set<NodeId> alive_;
  std::uint64_t seen_round_ = 0;  // of the leader of this term

  // Repair.
  std::map<RaftIndex, FaultState> faults_;
  Term start_term_;
  std::set<NodeId> nevers_;  // said "never" of the lowest droppable fault, in this term
  unsigned repair_elapsed_ = 0;
  bool head_unknown_ = false;
  std::uint64_t head_context_ = 0;
  std::optional<RaftIndex> head_target_;
  RaftIndex verified_;  // log agrees with this term's leader up to here
  std::optional<SnapshotMeta> installing_;

  // Outbox.
  std::vector<Message> now_, later_;
  std::vector<LoadRequest> loads_;
  std::vector<LoadRequest> repair_loads_;  // asked of the host, not answered: who wants what
  std::vector<ReadState> read_states_;
  std::optional<InstallRequest> install_;
  std::vector<Entry> repaired_;
  std::optional<EntryId> log_reset_;
  std::optional<RaftIndex> cut_from_;
  Fifo<PendingWrite> writes_;
  std::uint64_t write_number_ = 0;
  HardState handed_hard_, durable_hard_;
  SoftState handed_soft_;
  std::uint64_t malformed_ = 0;
};

}  // namespace weir::raft
