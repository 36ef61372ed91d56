// broker/raft/core.cc - inputs are sorted by term and kind; outputs are gathered into a Ready.
#include "broker/raft/core.h"

#include <algorithm>
#include <utility>

#include "broker/base/check.h"

namespace weir::raft {
namespace {

bool valid_payload(const Entry& e) {
  return e.type != EntryType::kConfig || decode_conf(e.payload.span()).has_value();
}

bool is_from_leader(MessageType t) {
  return t == MessageType::kAppend || t == MessageType::kHeartbeat || t == MessageType::kSnapshot;
}

bool asks_for_vote(MessageType t) {
  return t == MessageType::kVote || t == MessageType::kPreVote;
}

}  // namespace

Core::Core(const Config& config, StartState start)
    : cfg_(config),
      prng_(config.seed),
      log_(start.base, start.older, start.entries),
      term_(start.hard.term),
      vote_(start.hard.vote),
      start_term_(start.hard.term),
      head_unknown_(start.head_unknown),
      handed_hard_(start.hard),
      durable_hard_(start.hard) {
  CHECK(cfg_.id != NodeId{0} && cfg_.election_ticks > cfg_.heartbeat_ticks && cfg_.heartbeat_ticks > 0);
  CHECK(cfg_.lease_ticks + 2 <= cfg_.election_ticks, "a lease must end before its promise");
  // A snapshot can be on disk before the term it came with. Moving on without a vote is always allowed.
  if (log_.last_id().term > term_) {
    start_term_ = term_ = log_.last_id().term;
    vote_ = NodeId{0};
  }
  // A commit index is written after the entries it names: more of it than of them means a loss.
  if (start.hard.commit > log_.last()) head_unknown_ = true;
  log_.start_at(start.applied, std::min(start.hard.commit, log_.last()));
  load_confs(start);
  load_faults(start);
  if (head_unknown_) head_context_ = prng_.next();
  // What was promised to a leader before the restart is not known any more, so all of it is kept.
  promise_elapsed_ = term_ == Term{0} ? cfg_.election_ticks : 0;
  reset_election_timer();
  handed_hard_.commit = log_.commit();  // a floor; no reason to write it at each start
#ifdef WEIR_DEFECT_RAFT_DOUBLE_VOTE
  vote_ = NodeId{0};
#endif
#ifdef WEIR_DEFECT_RAFT_RESTART_NO_PROMISE
  promise_elapsed_ = cfg_.election_ticks;
#endif
}

bool Core::plausible(const Message& m) const {
  auto type = static_cast<std::uint8_t>(m.type);
  if (type == 0 || type > kMessageTypeMax || m.from == NodeId{0} || m.from == cfg_.id) return false;
  if (m.term.v > kNumberMax || !can_be({m.index, m.log_term}) || m.commit.v > kNumberMax) return false;
  if (m.type == MessageType::kSnapshot) {
    return m.snapshot && m.snapshot->index > RaftIndex{0} && m.snapshot->index.v <= kNumberMax &&
           m.snapshot->term <= m.term && check_conf(m.snapshot->conf).has_value();
  }
  if (m.type == MessageType::kFetchResp && m.answer == FetchAnswer::kHave) {
    return m.entries.size() == 1 && m.entries[0].index == m.index && m.entries[0].term == m.log_term &&
           valid_payload(m.entries[0]);
  }
  if (m.type != MessageType::kAppend) return true;
  // No log has an entry 1 to send: a new group's begins above it (kNewGroup). A newcomer, whose empty log
  // ends at 0, would take whatever it is told for the beginning.
  if (m.index == RaftIndex{0}) return false;
  EntryId before{m.index, m.log_term};
  for (const Entry& e : m.entries) {
    if (e.index != before.index + 1 || e.term < before.term || e.term > m.term || !valid_payload(e))
      return false;
    before = {e.index, e.term};
  }
  return true;
}

void Core::step(NodeId from, Message m) {
  if (halted_) return;
  m.from = from;
  if (!plausible(m)) {
    ++malformed_;
    return;
  }
  if (asleep_ && old_answer(m)) return;
  bool lullaby = m.asleep && (m.type == MessageType::kHeartbeat || m.type == MessageType::kHeartbeatResp);
  if (asleep_ && !(lullaby && m.term == term_)) {
    bool promised = promised_to_leader(from);
    wake(true);
    if (asks_for_vote(m.type) && !promised) promise_elapsed_ = cfg_.election_ticks;
  }
  if (m.term != term_ && !step_other_term(m)) return;
  step_same_term(m);
}

// True if the message goes on to step_same_term.
bool Core::step_other_term(Message& m) {
  if (m.term > term_) {
    if (m.type == MessageType::kPreVote) return true;
    if (m.type == MessageType::kPreVoteResp && !m.reject) return true;
    // A node that cannot hear the leader does not get to move the term of those who can (6.2).
    if (m.type == MessageType::kVote && !m.force && promised_to_leader(m.from)) return false;
    become_follower(m.term, is_from_leader(m.type) ? m.from : NodeId{0});
    return true;
  }
  switch (m.type) {
    case MessageType::kAppend:
    case MessageType::kHeartbeat:
    case MessageType::kSnapshot: {
      // A leader of the past. It must learn of the newer term even though it may never ask for a
      // vote again, else a node whose term ran ahead could not come back.
      Message resp = make(MessageType::kAppendResp, m.from);
      resp.reject = true;
      send(std::move(resp));
      return false;
    }
    case MessageType::kPreVote:
    case MessageType::kFetch:
    case MessageType::kHead: return true;
    case MessageType::kFetchResp: return m.answer == FetchAnswer::kHave;  // an entry id never lies
    default: return false;
  }
}

void Core::step_same_term(Message& m) {
  switch (m.type) {
    case MessageType::kPreVote:
    case MessageType::kVote: on_vote(m); break;
    case MessageType::kPreVoteResp:
    case MessageType::kVoteResp: on_vote_resp(m); break;
    case MessageType::kAppend: on_append(m); break;
    case MessageType::kAppendResp: on_append_resp(m); break;
    case MessageType::kHeartbeat: on_heartbeat(m); break;
    case MessageType::kHeartbeatResp: on_heartbeat_resp(m); break;
    case MessageType::kSnapshot: on_snapshot(m); break;
    case MessageType::kTimeoutNow: on_timeout_now(m); break;
    case MessageType::kReadIndex:
      if (role_ == Role::kLeader) on_read_index(m.from, m.context);
      break;
    case MessageType::kReadIndexResp: read_states_.push_back({m.context, m.index, !m.reject}); break;
    case MessageType::kFetch: on_fetch(m); break;
    case MessageType::kFetchResp: on_fetch_resp(m); break;
    case MessageType::kHead: on_head(m); break;
    case MessageType::kHeadResp: on_head_resp(m); break;
  }
}

void Core::tick() {
  if (halted_ || asleep_) return;
  ++clock_;
  if (promise_elapsed_ < cfg_.election_ticks) ++promise_elapsed_;
  tick_repair();
  if (role_ == Role::kLeader) {
    tick_leader();
  } else {
    tick_election();
  }
}

void Core::durable(std::uint64_t write) {
  CHECK(write <= write_number_, "durable() of a write that was not handed out");
  if (halted_) return;
  log_.write_done(write);
  while (!writes_.empty() && writes_.front().number <= write) {
    durable_hard_ = writes_.front().hard;
    for (RaftIndex index : writes_.front().repaired) repaired(index);
    writes_.pop_front();
  }
  own_vote_durable();
  if (role_ == Role::kLeader) maybe_commit();
  maybe_head_known();
  log_.trim_memory(cfg_.memory_bytes_max);
}

void Core::applied(RaftIndex index) {
  log_.apply_to(index);
  while (confs_.size() > 1 && confs_[1].index <= log_.applied()) confs_.erase(confs_.begin());
  log_.trim_memory(cfg_.memory_bytes_max);
}

void Core::compact(RaftIndex index) {
  log_.compact(index);
}

Message Core::make(MessageType type, NodeId to) const {
  Message m;
  m.type = type;
  m.from = cfg_.id;
  m.to = to;
  m.term = term_;
  return m;
}

bool Core::has_ready() const {
  HardState hard{term_, vote_, log_.commit()};
  RaftIndex next = log_.applying() + 1;
  bool can_apply = next <= log_.commit() && !installing_ && faults_.count(next) == 0;
  bool sends = role_ == Role::kLeader && (sends_due_ || heartbeat_due_);
  return !(hard == handed_hard_) || log_.has_unstable() || cut_from_ || log_reset_ || !repaired_.empty() ||
         !now_.empty() || !later_.empty() || !loads_.empty() || !read_states_.empty() || install_ ||
         (can_apply && !halted_) || (sends && !halted_) || !(soft_state() == handed_soft_);
}

Ready Core::take_ready() {
  if (role_ == Role::kLeader && !halted_) send_due();
  Ready r;
  take_writes(r);
  r.messages = std::exchange(now_, {});
  r.after_durable = std::exchange(later_, {});
  if (!r.after_durable.empty()) {
    if (writes_.empty()) {
      for (Message& m : r.after_durable) r.messages.push_back(std::move(m));
      r.after_durable.clear();
    } else {
      r.wait_for = writes_.back().number;
    }
  }
#ifdef WEIR_DEFECT_RAFT_SKIP_DURABLE
  for (Message& m : r.after_durable) r.messages.push_back(std::move(m));
  r.after_durable.clear();
  r.wait_for = 0;
#endif
  take_committed(r);
  r.install = std::exchange(install_, std::nullopt);
  r.loads = std::exchange(loads_, {});
  r.reads = std::exchange(read_states_, {});
  SoftState soft = soft_state();
  if (!(soft == handed_soft_)) r.soft = handed_soft_ = soft;
  return r;
}

void Core::take_writes(Ready& r) {
  HardState hard{term_, vote_, log_.commit()};
  bool promise = hard.term != handed_hard_.term || hard.vote != handed_hard_.vote;
  if (!(hard == handed_hard_)) r.hard_state = handed_hard_ = hard;
  r.log_reset = std::exchange(log_reset_, std::nullopt);
  r.cut_from = std::exchange(cut_from_, std::nullopt);
  r.entries = log_.take_unstable();
  r.repaired = std::exchange(repaired_, {});
  if (!promise && !r.log_reset && !r.cut_from && r.entries.empty() && r.repaired.empty()) return;
  r.write = ++write_number_;
  log_.write_started(r.write);
  PendingWrite write{r.write, hard, {}};
  for (const Entry& e : r.repaired) write.repaired.push_back(e.index);
  writes_.push_back(std::move(write));
}

void Core::take_committed(Ready& r) {
  if (installing_ || halted_) return;
  RaftIndex upto = log_.commit();
  if (!faults_.empty()) upto = std::min(upto, faults_.begin()->first - 1);
  RaftIndex from = log_.applying() + 1;
  if (from > upto) return;
  r.committed = log_.slice(from, upto, cfg_.apply_bytes_max);
  log_.start_applying(r.committed.back().index);
}

SoftState Core::soft_state() const {
  return {role_, leader_, term_, asleep_, head_unknown_, faults_.size(), halted_};
}

View Core::view() const {
  View v;
  v.id = cfg_.id;
  v.leader = leader_;
  v.vote = vote_;
  v.role = role_;
  v.term = term_;
  v.base = log_.base();
  v.last = log_.last_id();
  v.stable = log_.stable();
  v.commit = log_.commit();
  v.applying = log_.applying();
  v.applied = log_.applied();
  v.asleep = asleep_;
  v.head_unknown = head_unknown_;
  v.faults = faults_.size();
  v.malformed = malformed_;
  return v;
}

void Core::halt(const char* why) {
  if (role_ == Role::kLeader) become_follower(term_, NodeId{0});
  halted_ = why;
  asleep_ = false;
}

}  // namespace weir::raft
