// broker/raft/core_transfer.cc - leadership on request (dissertation 3.10).
//
// Proposals wait while the target catches up; when its log is complete it is told to campaign at once.
// The order breaks the promises that the lease rests on, so the lease is over for the rest of the term
// even if the transfer is given up: the order may still be on its way. The leader then steps down.
#include "broker/raft/core.h"

namespace weir::raft {

bool Core::transfer_leadership(NodeId to) {
  if (halted_ || role_ != Role::kLeader || to == cfg_.id) return false;
  auto it = progress_.find(to);
  if (it == progress_.end() || !is_voter(conf(), to)) return false;
  if (asleep_) wake(false);
  // Behind a probe or a snapshot there is no telling when it would be able to lead. Right after a quorum
  // check nobody has answered; whose node is alive will.
  bool answers = it->second.active || peer_alive(to);
  if (it->second.state != ProgressState::kReplicate || !answers) return false;
  if (transferee_ == to) return true;
  transferee_ = to;
  transfer_elapsed_ = 0;
  maybe_send_timeout_now();
  return true;
}

void Core::maybe_send_timeout_now() {
  if (role_ != Role::kLeader || transferee_ == NodeId{0}) return;
  auto it = progress_.find(transferee_);
  if (it == progress_.end() || it->second.match != log_.last()) return;
  transfer_sent_ = true;
  send(make(MessageType::kTimeoutNow, transferee_));
}

void Core::on_timeout_now(const Message& m) {
  // From the leader of this term only; an order of an earlier term was dropped by its term. The leader
  // that removed itself is not known as leader by those who have not heard of it since.
  if (role_ != Role::kFollower || (leader_ != NodeId{0} && leader_ != m.from) || !may_campaign()) return;
  start_election(false, true);
}

}  // namespace weir::raft
