// broker/raft/core_read.cc - linearizable reads without a log entry (dissertation 6.4, 6.4.1).
//
// A heartbeat round that a majority answers proves that this node led when the round was sent. A read
// asked for before that moment may be answered from state applied up to the commit index of that time.
// The same answers carry a promise (core_election.cc), and the lease counts from the sending.
#include <algorithm>
#include <utility>

#include "broker/raft/core.h"

namespace weir::raft {

bool Core::read_index(std::uint64_t context) {
  if (halted_ || reads_.size() + waiting_reads_.size() >= cfg_.reads_max) return false;
  if (role_ == Role::kLeader) {
    if (asleep_) wake(false);
    on_read_index(NodeId{0}, context);
    return true;
  }
  if (leader_ == NodeId{0}) return false;
  if (asleep_) wake(true);
  Message m = make(MessageType::kReadIndex, leader_);
  m.context = context;
  send(std::move(m));
  return true;
}

void Core::on_read_index(NodeId from, std::uint64_t context) {
  quiet_ticks_ = 0;
  PendingRead read{context, from, log_.commit(), round_ + 1};
  if (reads_.size() + waiting_reads_.size() >= cfg_.reads_max) {
    answer_read(read, false);
  } else if (!committed_in_term()) {
    waiting_reads_.push_back(read);  // its commit index may be behind the last leader's
  } else if (lease_valid()) {
    answer_read(read, true);
  } else {
    reads_.push_back(read);
    heartbeat_due_ = true;
  }
}

void Core::answer_read(const PendingRead& read, bool ok) {
  if (read.from == NodeId{0}) {
    read_states_.push_back({read.context, read.index, ok});
    return;
  }
  Message m = make(MessageType::kReadIndexResp, read.from);
  m.context = read.context;
  m.index = read.index;
  m.reject = !ok;
  send(std::move(m));
}

void Core::confirm_round() {
  std::uint64_t reached = joint_reached(conf(), [this](NodeId n) {
    if (n == cfg_.id) return round_;
    auto it = progress_.find(n);
    return it == progress_.end() ? 0 : it->second.round;
  });
  if (reached <= confirmed_round_) return;
  confirmed_round_ = reached;
  while (!rounds_.empty() && rounds_.front().number <= reached) {
    if (rounds_.front().number == reached && !asleep_) lease_from_ = rounds_.front().sent_at;
    rounds_.pop_front();
  }
  while (!reads_.empty() && reads_.front().round <= reached) {
    answer_read(reads_.front(), true);
    reads_.pop_front();
  }
}

bool Core::lease_valid() const {
  if (halted_ || !committed_in_term()) return false;
#ifdef WEIR_DEFECT_RAFT_STALE_LEASE
  return true;
#endif
  if (joint_majority(conf(), [this](NodeId n) { return n == cfg_.id; })) return true;
  // A node that was told to campaign may do so at any time, and its votes ignore promises.
  if (asleep_ || transfer_sent_ || !lease_from_) return false;
  return clock_ - *lease_from_ < cfg_.lease_ticks;
}

void Core::release_waiting_reads() {
  if (waiting_reads_.empty() || !committed_in_term()) return;
  std::vector<PendingRead> waiting = std::exchange(waiting_reads_, {});
  for (const PendingRead& read : waiting) on_read_index(read.from, read.context);
}

void Core::drop_reads() {
  for (const PendingRead& read : reads_) answer_read(read, false);
  for (const PendingRead& read : waiting_reads_) answer_read(read, false);
  reads_.clear();
  waiting_reads_.clear();
}

}  // namespace weir::raft
