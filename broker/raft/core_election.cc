// broker/raft/core_election.cc - time-outs, pre-votes, votes (dissertation 3.4, 3.6, 6.2, 9.6).
#include <algorithm>

#include "broker/raft/core.h"

namespace weir::raft {

namespace {
constexpr unsigned kTurnsMax = 8;
}

void Core::become_follower(Term term, NodeId leader) {
  if (term > term_) {
    term_ = term;
    vote_ = NodeId{0};
    seen_round_ = 0;
    verified_ = RaftIndex{0};
    head_target_.reset();
    nevers_.clear();
  }
  if (role_ == Role::kLeader) {
    drop_reads();
    progress_.clear();
    promise_elapsed_ = cfg_.election_ticks;  // it had promised nothing to another leader
  }
  role_ = Role::kFollower;
  leader_ = leader;
  asleep_ = false;
  reset_election_timer();
}

void Core::become_leader() {
  role_ = Role::kLeader;
  leader_ = cfg_.id;
  progress_.clear();
  heartbeat_elapsed_ = quorum_elapsed_ = quiet_ticks_ = transfer_elapsed_ = 0;
  uncommitted_bytes_ = 0;
  round_ = confirmed_round_ = 0;
  rounds_.clear();
  lease_from_.reset();
  transferee_ = NodeId{0};
  transfer_sent_ = false;
  heartbeat_due_ = true;
  members_changed();
  term_start_ = log_.last() + 1;
  append_as_leader(EntryType::kNoop, Bytes());
}

bool Core::never_led() const {
  return cfg_.order && term_ == Term{0} && log_.last_id() == kNewGroup && clock_ < 2 * cfg_.election_ticks;
}

// Who campaigns first, as a number from 0: the living voters but `gone`, from one that the order names.
unsigned Core::turn(NodeId gone) const {
  std::vector<NodeId> voters;
  std::size_t own = 0;
  for (NodeId node : members_of(conf())) {
    if (node == gone || !is_voter(conf(), node) || (node != cfg_.id && gone.v != 0 && !peer_alive(node)))
      continue;
    if (node == cfg_.id) own = voters.size();
    voters.push_back(node);
  }
  if (voters.empty()) return 0;
  std::size_t first = static_cast<std::size_t>(*cfg_.order % voters.size());
  return static_cast<unsigned>((own + voters.size() - first) % voters.size());
}

void Core::reset_election_timer() {
  election_elapsed_ = 0;
  if (never_led() && turn(NodeId{0}) == 0) {
    election_timeout_ = 1;  // others may not know the group yet
    return;
  }
  // Always more than election_ticks: peers that heard the leader as late as this node did are out of
  // their promise when the request arrives.
  // After a start all begin to wait at once.
  bool by_turns = cfg_.order && leader_ == NodeId{0};
  election_timeout_ = cfg_.election_ticks + 1 +
                      (by_turns ? turn_delay() : static_cast<unsigned>(prng_.below(cfg_.election_ticks)));
}

// From one turn to the next.
unsigned Core::turn_ticks() const {
  return std::max(1u, cfg_.election_ticks / 4);
}

// One after the other, however many they are: those whose turn comes first may have lost what others have,
// and of several who ask in one moment none gets a majority, every time anew.
unsigned Core::turn_delay() {
  unsigned step = turn_ticks();
  return std::min(turn(NodeId{0}), kTurnsMax) * step + static_cast<unsigned>(prng_.below(step));
}

// 4.2.2: a node that its own latest configuration leaves out may still be needed, as long as that one is
// not committed: it can be the only one with the entry, and refuse its vote to all who lack it. Its own
// vote does not count then (tally), and it steps down once the entry is committed.
bool Core::electable() const {
  for (std::size_t i = confs_.size(); i-- > 0;) {
    if (is_voter(confs_[i].conf, cfg_.id)) return true;
    if (confs_[i].index <= log_.commit()) return false;
  }
  return false;
}

bool Core::may_campaign() const {
  return !halted_ && role_ != Role::kLeader && electable() && faults_.empty() && !head_unknown_ &&
         !installing_;
}

// A node that answered a heartbeat has promised its leader not to help another one for
// election_ticks; the leader's lease rests on it. The promise outlives changes of term.
bool Core::promised_to_leader(NodeId candidate) const {
  if (role_ == Role::kLeader) return true;
  if (asleep_) return peer_alive(leader_) && candidate != leader_;
  return promise_elapsed_ < cfg_.election_ticks;
}

void Core::tick_election() {
  ++election_elapsed_;
  // A group of one need not wait, once that it is one is final: until then the leader that shrank it may
  // hold a lease on this node's promise.
  bool alone = confs_.back().index <= log_.commit() &&
               joint_majority(conf(), [this](NodeId n) { return n == cfg_.id; });
  if (election_elapsed_ < election_timeout_ && !alone) return;
  reset_election_timer();
  leader_ = NodeId{0};
  if (may_campaign()) {
    start_election(true, false);
    return;
  }
  // Without a leader a damaged replica may have to move on to a new term, so that the answers about
  // its lowest unreadable entry count (core_repair.cc).
  auto fault =
      std::find_if(faults_.begin(), faults_.end(), [this](auto& f) { return f.first > log_.commit(); });
  if (fault != faults_.end() && term_ == start_term_ && droppable(fault->first)) {
    become_follower(term_ + 1, NodeId{0});
  }
}

void Core::campaign() {
  // The promise to a leader also binds the vote for oneself.
  if (may_campaign() && promise_elapsed_ >= cfg_.election_ticks) start_election(true, false);
}

void Core::start_election(bool pre, bool force) {
  asleep_ = false;
  role_ = pre ? Role::kPreCandidate : Role::kCandidate;
  leader_ = NodeId{0};
  votes_.clear();
  reset_election_timer();
  if (pre) {
    votes_[cfg_.id] = true;
    // Asking binds nobody. Who does not answer has a leader, or a promise that is about to end (after a
    // restart all have one), or is not there yet: ask again before a whole time-out is over.
    election_timeout_ = election_timeout_ / 2 + 1;
  } else {
    become_follower(term_ + 1, NodeId{0});
    role_ = Role::kCandidate;
    vote_ = cfg_.id;  // counts once it is durable: own_vote_durable()
  }
  for (NodeId node : members_of(conf())) {
    if (node == cfg_.id || !is_voter(conf(), node)) continue;
    Message m = make(pre ? MessageType::kPreVote : MessageType::kVote, node);
    if (pre) m.term = term_ + 1;
    m.index = log_.last();
    m.log_term = log_.last_id().term;
    m.force = force;
    // Voters judge the log named here, so it has to be on disk before anybody can count their votes.
    if (pre) {
      send(std::move(m));
    } else {
      send_durably(std::move(m));
    }
  }
  if (pre) tally();
}

void Core::own_vote_durable() {
  if (role_ != Role::kCandidate || votes_.count(cfg_.id) > 0) return;
  if (durable_hard_.term != term_ || durable_hard_.vote != cfg_.id) return;
  votes_[cfg_.id] = true;
  tally();
}

void Core::on_vote(const Message& m) {
  bool pre = m.type == MessageType::kPreVote;
#ifndef WEIR_DEFECT_RAFT_HEAD_VOTES
  if (head_unknown_) return;  // it does not know what it would be comparing with
#endif
  if (!m.force && promised_to_leader(m.from)) return;
  EntryId last = log_.last_id();
  bool up_to_date = m.log_term > last.term || (m.log_term == last.term && m.index >= last.index);
  bool free = pre ? m.term > term_ : vote_ == m.from || (vote_ == NodeId{0} && leader_ == NodeId{0});
#ifdef WEIR_DEFECT_RAFT_VOTE_NO_LOG_CHECK
  up_to_date = true;
#endif
#ifdef WEIR_DEFECT_RAFT_FORGET_VOTE
  free = pre ? free : true;
#endif
  Message resp = make(pre ? MessageType::kPreVoteResp : MessageType::kVoteResp, m.from);
  if (!free || !up_to_date) {
    resp.reject = true;
    send(std::move(resp));
    return;
  }
  if (pre) {
    resp.term = m.term;
    send(std::move(resp));
    return;
  }
  vote_ = m.from;
  election_elapsed_ = 0;
  send_durably(std::move(resp));
}

void Core::on_vote_resp(const Message& m) {
  bool pre = m.type == MessageType::kPreVoteResp;
  if (role_ != (pre ? Role::kPreCandidate : Role::kCandidate)) return;
  if (pre && !m.reject && m.term != term_ + 1) return;  // of an earlier attempt
  votes_.emplace(m.from, !m.reject);
  tally();
  if (pre || !m.reject || role_ == Role::kLeader || !cfg_.order) return;
  // Its log was good enough a moment ago: somebody else asked in the same moment. Neither may get a majority
  // if others are down, and no promise to a leader has to run out before the next try.
  unsigned retry = election_elapsed_ + turn_ticks() + turn_delay();
  election_timeout_ = std::min(election_timeout_, retry);
}

void Core::tally() {
  VoteResult result = joint_vote(conf(), [this](NodeId n) {
    auto it = votes_.find(n);
    if (it == votes_.end()) return Ballot::kMissing;
    return it->second ? Ballot::kYes : Ballot::kNo;
  });
  if (result == VoteResult::kWon) win(role_ == Role::kPreCandidate);
  if (result == VoteResult::kLost) become_follower(term_, NodeId{0});
}

void Core::win(bool pre) {
  if (pre) {
    start_election(false, false);
  } else {
    become_leader();
  }
}

}  // namespace weir::raft
