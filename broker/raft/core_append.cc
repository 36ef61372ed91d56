// broker/raft/core_append.cc - the follower's side: appends, heartbeats, snapshots (3.5, 7).
#include <algorithm>
#include <utility>

#include "broker/base/check.h"
#include "broker/raft/core.h"

namespace weir::raft {

void Core::heard_from_leader(NodeId leader) {
  if (role_ == Role::kLeader || (leader_ != NodeId{0} && leader_ != leader)) {
    halt("two leaders in one term");
    return;
  }
  if (role_ != Role::kFollower) become_follower(term_, leader);
  leader_ = leader;
  election_elapsed_ = 0;
  promise_elapsed_ = 0;
}

// Above an unreadable entry nothing is acknowledged: an ack says "I can give it back".
RaftIndex Core::ack_limit() const {
  return faults_.empty() ? log_.last() : faults_.begin()->first - 1;
}

void Core::ack_append(RaftIndex index) {
  if (leader_ == NodeId{0}) return;
  Message m = make(MessageType::kAppendResp, leader_);
  m.index = std::min(index, ack_limit());
  send_durably(std::move(m));
}

void Core::on_append(Message& m) {
  heard_from_leader(m.from);
  if (halted_) return;
  if (m.index < log_.commit()) {  // an old one: all up to commit agrees with every leader to come
    ack_append(log_.commit());
    return;
  }
  bool match = log_.matches({m.index, m.log_term});
#ifdef WEIR_DEFECT_RAFT_NO_PREV_CHECK
  match = m.index <= log_.last();
#endif
  if (match) {
    accept_entries(m);
    return;
  }
  Message resp = make(MessageType::kAppendResp, m.from);
  resp.reject = true;
  resp.index = m.index;
  resp.hint = log_.last_not_after(m.index, m.log_term);
  send(std::move(resp));
}

void Core::accept_entries(Message& m) {
  RaftIndex last_new = m.index + m.entries.size();
  for (Entry& e : m.entries) {
    if (log_.matches({e.index, e.term})) {
      if (faults_.count(e.index) > 0) repair(std::move(e));
      continue;
    }
    if (e.index <= log_.commit()) {
      halt("a leader contradicts a committed entry");
      return;
    }
    if (e.index <= log_.last()) cut_log(e.index);
    log_.append(e);
    if (e.type == EntryType::kConfig) note_conf(e);
  }
  verified_ = std::max(verified_, last_new);
  log_.commit_to(std::min(m.commit, last_new));
  ack_append(last_new);
  maybe_head_known();
}

void Core::on_heartbeat(const Message& m) {
  heard_from_leader(m.from);
  if (halted_) return;
  Message resp = make(MessageType::kHeartbeatResp, m.from);
  resp.context = m.context;
  resp.reject = installing_.has_value();
  resp.asleep = (m.asleep && sleep_if_matching(m)) || asleep_;
  if (m.commit <= log_.last()) log_.commit_to(m.commit);
  seen_round_ = std::max(seen_round_, m.context);
  // A lease may rest on it: without the term on disk, a restart could vote for another at once.
  durable_hard_.term == term_ ? send(std::move(resp)) : send_durably(std::move(resp));
}

void Core::on_snapshot(const Message& m) {
  heard_from_leader(m.from);
  if (halted_) return;
  const SnapshotMeta& meta = *m.snapshot;
  bool damaged = !faults_.empty() && faults_.begin()->first <= meta.index;
  if (!damaged && meta.index <= log_.commit()) {
    ack_append(log_.commit());
    return;
  }
  if (!damaged && log_.matches({meta.index, meta.term})) {  // the entries are here, only not committed yet
    log_.commit_to(meta.index);
    ack_append(meta.index);
    return;
  }
  if (meta.index <= log_.applied() || (installing_ && installing_->index >= meta.index)) return;
  installing_ = meta;
  install_ = InstallRequest{m.from, meta};
}

void Core::snapshot_failed() {
  installing_.reset();  // the next heartbeat answer makes the leader offer it again
}

void Core::snapshot_installed(const SnapshotMeta& meta) {
  installing_.reset();
  if (halted_ || meta.index <= log_.applied()) return;
  CHECK(check_conf(meta.conf).has_value(), "installed a snapshot without a valid configuration");
  // A state fetched later than asked for may come from a later term.
  if (meta.term > term_) become_follower(meta.term, NodeId{0});
  EntryId id{meta.index, meta.term};
  bool keep = log_.matches(id);
  if (!keep && meta.index <= log_.commit()) {
    halt("a snapshot contradicts committed entries");
    return;
  }
  if (keep) {
    log_.commit_to(meta.index);
    log_.start_applying(std::max(log_.applying(), meta.index));
    log_.apply_to(meta.index);
    log_.compact(meta.index);
    faults_.erase(faults_.begin(), faults_.upper_bound(meta.index));
    std::erase_if(repaired_, [&](const Entry& e) { return e.index <= meta.index; });
    std::erase_if(confs_, [&](const ConfAt& c) { return c.index <= meta.index; });
  } else {
    log_.restore(id);
    log_reset_ = id;
    cut_from_.reset();
    faults_.clear();
    repaired_.clear();
    confs_.clear();
  }
  nevers_.clear();
  confs_.insert(confs_.begin(), ConfAt{meta.index, meta.conf});
  members_changed();
  verified_ = std::max(verified_, keep ? verified_ : meta.index);
  ack_append(meta.index);
  maybe_head_known();
}

}  // namespace weir::raft
