// broker/raft/core_leader.cc - proposals, replication, commit (dissertation 3.5, 3.6.2, 10.2.1).
//
// Appends are built when the host takes a Ready, not when something becomes sendable: all proposals
// and acks of one loop turn share messages.
#include <algorithm>
#include <utility>

#include "broker/raft/core.h"

namespace weir::raft {

Proposed Core::propose(std::span<const Bytes> payloads) {
  if (halted_ || role_ != Role::kLeader) return {ProposeOutcome::kNotLeader, {}, ""};
  if (transferee_ != NodeId{0}) return {ProposeOutcome::kTransferring, {}, ""};
  std::size_t bytes = 0;
  for (const Bytes& p : payloads) bytes += p.size();
  // One oversized batch may pass when nothing else waits, else it could never pass.
  if (uncommitted_bytes_ > 0 && uncommitted_bytes_ + bytes > cfg_.uncommitted_bytes_max) {
    return {ProposeOutcome::kTooMuch, {}, ""};
  }
  if (asleep_) wake(false);
  for (const Bytes& p : payloads) append_as_leader(EntryType::kNormal, p);
  return {ProposeOutcome::kAppended, log_.last_id(), ""};
}

void Core::append_as_leader(EntryType type, Bytes payload) {
  uncommitted_bytes_ += payload.size();
  Entry entry{log_.last() + 1, term_, type, std::move(payload)};
  log_.append(entry);
  quiet_ticks_ = 0;
  sends_due_ = true;
  if (type == EntryType::kConfig) note_conf(entry);
}

void Core::tick_leader() {
  if (++quorum_elapsed_ >= cfg_.election_ticks) {
    quorum_elapsed_ = 0;
    if (!quorum_active()) {
      become_follower(term_, NodeId{0});
      return;
    }
  }
  if (transferee_ != NodeId{0} && ++transfer_elapsed_ >= cfg_.election_ticks) {
    transferee_ = NodeId{0};
    // Without a lease for the rest of the term it would be a leader that may not deliver.
    if (transfer_sent_) return become_follower(term_, NodeId{0});
  }
  if (++heartbeat_elapsed_ >= cfg_.heartbeat_ticks) heartbeat_due_ = true;
  maybe_sleep();
}

bool Core::quorum_active() {
  bool active = joint_majority(conf(), [this](NodeId n) {
    auto it = progress_.find(n);
    return n == cfg_.id || (it != progress_.end() && it->second.active);
  });
  for (auto& [node, pr] : progress_) pr.active = false;
  return active;
}

void Core::on_append_resp(const Message& m) {
  auto it = progress_.find(m.from);
  if (role_ != Role::kLeader || it == progress_.end()) return;
  Progress& pr = it->second;
  pr.active = true;
  if (m.index > log_.last()) {
    ++malformed_;
    return;
  }
  if (m.reject) {
    // What lies below this log's base nobody can compare: the follower is believed, and gets a state.
    RaftIndex claimed = std::min(m.hint.index, m.index);
    RaftIndex agree = claimed < log_.base().index ? claimed : log_.last_not_after(claimed, m.hint.term).index;
    if (pr.refused(m.index, agree)) sends_due_ = true;
    return;
  }
  bool more = pr.acked(m.index);
  if (pr.state == ProgressState::kProbe && (more || m.index == pr.match)) {
    pr.become_replicate();
    sends_due_ = true;
  } else if (pr.state == ProgressState::kSnapshot && pr.match >= log_.base().index &&
             pr.match >= pr.pending_snapshot) {
    pr.become_probe();
    pr.become_replicate();
    sends_due_ = true;
  } else if (pr.state == ProgressState::kReplicate) {
    pr.in_flight.free_to(m.index);
    sends_due_ = true;
  }
  if (!more) return;
  maybe_commit();
  if (m.from == transferee_) maybe_send_timeout_now();
}

void Core::on_heartbeat_resp(const Message& m) {
  auto it = progress_.find(m.from);
  if (role_ != Role::kLeader || it == progress_.end() || m.context > round_) return;
  Progress& pr = it->second;
  pr.active = true;
  pr.round = std::max(pr.round, m.context);
  bool installing = m.reject;
  if (pr.state == ProgressState::kSnapshot && !installing) pr.become_probe();
  // It answers a heartbeat that left after the last append, and that append has no answer: lost, perhaps.
  if (m.context > pr.sent_round) {
    pr.probe_sent = false;
    pr.nudge = pr.state == ProgressState::kReplicate && pr.match < log_.last();
  }
  sends_due_ = true;
  confirm_round();
}

// 5.4.2 of the Raft paper: only entries of the leader's own term are committed by counting; what lies
// below them comes with them. The leader's own copy counts when it is on its own disk, no earlier.
void Core::maybe_commit() {
  RaftIndex before = log_.commit();
#ifdef WEIR_DEFECT_RAFT_COUNT_REMOVED
  const ConfState& conf = confs_.front().conf;
#else
  const ConfState& conf = this->conf();
#endif
  RaftIndex index{joint_reached(conf, [this](NodeId n) {
#ifdef WEIR_DEFECT_RAFT_SKIP_DURABLE
    if (n == cfg_.id) return log_.last().v;
#endif
    if (n == cfg_.id) return log_.stable().v;
    auto it = progress_.find(n);
    return it == progress_.end() ? 0 : it->second.match.v;
  })};
  if (index <= before) return;
#ifndef WEIR_DEFECT_RAFT_COMMIT_OLD_TERM
  if (log_.term_at(index) != term_) return;
#endif
  log_.commit_to(index);
  commit_advanced(before);
}

void Core::commit_advanced(RaftIndex before) {
  for (RaftIndex i = std::max(before + 1, std::max(term_start_, log_.memory_first())); i <= log_.commit();
       ++i) {
    std::size_t bytes = log_.at(i).payload.size();
    uncommitted_bytes_ -= std::min(uncommitted_bytes_, bytes);
  }
  sends_due_ = true;
  release_waiting_reads();
  conf_committed();
}

bool Core::committed_in_term() const {
  return role_ == Role::kLeader && log_.commit() >= term_start_;
}

void Core::send_heartbeats(bool asleep) {
  heartbeat_due_ = false;
  heartbeat_elapsed_ = 0;
  ++round_;
  rounds_.push_back({round_, clock_});
  for (auto& [node, pr] : progress_) {
    if (asleep && !peer_alive(node)) continue;
    Message m = make(MessageType::kHeartbeat, node);
    m.context = round_;
    m.commit = std::min(pr.match, log_.commit());  // what it does not have it must not commit
    pr.sent_commit = std::max(pr.sent_commit, m.commit);
    if (asleep) {
      m.asleep = true;
      m.index = log_.last();
      m.log_term = log_.last_id().term;
    }
    send(std::move(m));
  }
  confirm_round();  // a group of one answers itself
}

void Core::send_due() {
  if (heartbeat_due_) send_heartbeats(false);
  if (!std::exchange(sends_due_, false)) return;
  for (auto& [node, pr] : progress_) send_appends(node, pr);
}

void Core::send_appends(NodeId to, Progress& pr) {
  while (!pr.paused()) {
    bool more = pr.next <= log_.last();
    bool probing = pr.state == ProgressState::kProbe;
    if (!more && !probing && !pr.nudge && pr.sent_commit >= log_.commit()) return;
    if (pr.next < log_.first()) {
      send_snapshot(to, pr);
      return;
    }
    if (pr.nudge && (!more || pr.in_flight.full())) {
      send_append(to, pr, {});
      continue;
    }
    if (more && pr.next < log_.memory_first()) {
      pr.loading = true;
      loads_.push_back({to, pr.next, log_.memory_first() - 1, false});
      return;
    }
    std::vector<Entry> entries;
    if (more) entries = log_.slice(pr.next, log_.last(), cfg_.append_bytes_max);
    send_append(to, pr, std::move(entries));
  }
}

void Core::send_append(NodeId to, Progress& pr, std::vector<Entry> entries) {
  Message m = make(MessageType::kAppend, to);
  m.index = pr.next - 1;
  m.log_term = *log_.term_at(m.index);
  m.commit = log_.commit();
  std::size_t bytes = 0;
  for (const Entry& e : entries) bytes += e.payload.size();
  pr.sent(entries.size(), bytes, m.commit);
  pr.sent_round = round_;
  m.entries = std::move(entries);
  send(std::move(m));
}

void Core::send_snapshot(NodeId to, Progress& pr) {
  if (!pr.active) return;  // a dead node would only hold resources of the living
  Message m = make(MessageType::kSnapshot, to);
  RaftIndex index = log_.applied();
  m.snapshot = SnapshotMeta{index, *log_.term_at(index), conf_at(index)};
  pr.become_snapshot(index);
  send(std::move(m));
}

void Core::entries_loaded(const LoadRequest& request, std::vector<Entry> entries) {
  if (request.repair) return repair_loaded(request, std::move(entries));
  auto it = progress_.find(request.peer);
  if (halted_ || role_ != Role::kLeader || it == progress_.end() || !it->second.loading) return;
  Progress& pr = it->second;
  pr.loading = false;
  if (entries.empty() && !pr.active) {
    // It gets no state either: the same entries would be asked for again at once, and without end. Its next
    // answer to a heartbeat goes on from here.
    pr.become_probe();
    pr.probe_sent = true;
    return;
  }
  sends_due_ = true;
  if (entries.empty()) {
    send_snapshot(request.peer, pr);
    return;
  }
  if (entries.size() > kMessageEntriesMax) entries.resize(kMessageEntriesMax);
  for (std::size_t i = 0; i < entries.size(); ++i) {
    if (entries[i].index != pr.next + i || !log_.matches({entries[i].index, entries[i].term})) return;
  }
  if (pr.next >= log_.first() && !pr.paused()) send_append(request.peer, pr, std::move(entries));
}

RaftIndex Core::needed_from() const {
  RaftIndex from = log_.applied() + 1;
  for (const auto& [node, pr] : progress_) {
    // One that fetches a state goes on from there: without the entries since, it would have to fetch another.
    if (pr.active) from = std::min(from, std::max(pr.match, pr.pending_snapshot) + 1);
  }
  return from;
}

std::vector<PeerView> Core::peers() const {
  std::vector<PeerView> out;
  for (const auto& [node, pr] : progress_) {
    out.push_back(
        {node, pr.match, pr.next, static_cast<std::uint8_t>(pr.state), pr.active, is_voter(conf(), node)});
  }
  return out;
}

}  // namespace weir::raft
