// broker/raft/core_sleep.cc - groups without work hold no timer and send nothing (DESIGN 6).
//
// The leader puts the group to sleep when every member whose node is alive has the whole log and knows
// it is committed. Followers sleep only if they see the same. What wakes: any message, any proposal or
// read, for a follower its leader's node falling silent, for a leader a node coming back, or so many
// falling silent that no majority is left. A dead follower alone wakes nobody (TiKV #19070).
// Safety does not rest on any of this: a sleeping leader has no lease, a sleeping follower's promise is
// good manners only, and a replica that wakes is an ordinary one with its timers just started.
#include <algorithm>

#include "broker/raft/core.h"

namespace weir::raft {

bool Core::quorum_alive() const {
  return joint_majority(conf(), [this](NodeId n) { return n == cfg_.id || peer_alive(n); });
}

void Core::maybe_sleep() {
  if (cfg_.hibernate_ticks == 0 || ++quiet_ticks_ < cfg_.hibernate_ticks || sends_due_) return;
  RaftIndex last = log_.last();
  bool settled = log_.commit() == last && log_.applied() == last && committed_in_term() && reads_.empty() &&
                 transferee_ == NodeId{0} && !is_joint(conf()) && is_voter(conf(), cfg_.id) && quorum_alive();
  for (const auto& [node, pr] : progress_) {
    if (!peer_alive(node)) continue;
    settled = settled && pr.state == ProgressState::kReplicate && pr.match == last && pr.sent_commit >= last;
  }
  if (!settled) return;
  send_heartbeats(true);
  rounds_.clear();
  lease_from_.reset();
  asleep_ = true;
}

// A follower's answer to what this leader sent before it fell asleep, with nothing new in it. If it woke the
// group, groups could not sleep any more once so many are awake that answers take longer than a heartbeat.
bool Core::old_answer(const Message& m) const {
  if (role_ != Role::kLeader || m.term != term_ || m.reject) return false;
  if (m.type == MessageType::kHeartbeatResp) return m.context < round_;
  auto it = progress_.find(m.from);
  return m.type == MessageType::kAppendResp && it != progress_.end() && m.index <= it->second.match;
}

bool Core::sleep_if_matching(const Message& m) {
  EntryId last = log_.last_id();
  // An old order of the same term must not cancel a promise given since.
  bool fresh = m.context > seen_round_;
  if (!fresh || !peer_alive(m.from) || m.index != last.index || m.log_term != last.term ||
      m.commit != last.index || !faults_.empty() || head_unknown_ || installing_) {
    return false;
  }
  asleep_ = true;
  return true;
}

void Core::wake(bool by_message) {
  if (!asleep_) return;
  asleep_ = false;
  quiet_ticks_ = 0;
  if (role_ == Role::kLeader) {
    quorum_elapsed_ = 0;
    for (auto& [node, pr] : progress_) pr.active = pr.active || peer_alive(node);
    heartbeat_due_ = sends_due_ = true;
    return;
  }
  reset_election_timer();
  if (by_message) {
    promise_elapsed_ = 0;  // the leader is awake too, or will be; give it the time it has by right
    return;
  }
  promise_elapsed_ = cfg_.election_ticks;
  // The silence has lasted already. One after the other, or spread over half a time-out.
  unsigned half = std::max(1u, cfg_.election_ticks / 2);
  unsigned left = 1 + (cfg_.order ? std::min(turn(leader_) * (half - half / 4), cfg_.election_ticks)
                                  : static_cast<unsigned>(prng_.below(half)));
  election_elapsed_ = election_timeout_ - left;
}

void Core::set_peer_alive(NodeId peer, bool alive) {
  bool was = peer_alive(peer);
  if (alive) {
    alive_.insert(peer);
  } else {
    alive_.erase(peer);
  }
  if (!asleep_ || was == alive) return;
  if (role_ == Role::kLeader) {
    if (alive ? progress_.count(peer) > 0 : !quorum_alive()) wake(false);
  } else if (!alive && peer == leader_) {
    wake(false);
  }
}

}  // namespace weir::raft
