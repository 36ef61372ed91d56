// broker/raft/core_config.cc - membership (dissertation 4). A configuration is in force from the moment
// its entry is in the log, committed or not, and goes when the entry is cut.
#include <algorithm>
#include <utility>

#include "broker/base/check.h"
#include "broker/raft/core.h"

namespace weir::raft {

void Core::load_confs(const StartState& start) {
  CHECK(start.conf.voters.empty() || check_conf(start.conf).has_value(), "started with a bad configuration");
  // A member that starts with an empty log must get its first configuration with a state, because no
  // entry holds it. So the log of a new group begins above index 0 (README.md, "A new group").
  CHECK(start.conf.voters.empty() || start.base.index > RaftIndex{0},
        "a configuration below the first index");
  confs_.push_back({start.applied, start.conf});
  for (const Entry& e : start.entries) {
    bool faulty = std::any_of(start.faults.begin(), start.faults.end(),
                              [&](const Fault& f) { return f.id.index == e.index; });
    if (e.type == EntryType::kConfig && e.index > start.applied && !faulty) note_conf(e);
  }
}

void Core::note_conf(const Entry& entry) {
  Result<ConfState> conf = decode_conf(entry.payload.span());
  CHECK(conf.has_value(), "configuration entry was not checked");
  auto after =
      std::find_if(confs_.begin(), confs_.end(), [&](const ConfAt& c) { return c.index > entry.index; });
  confs_.insert(after, ConfAt{entry.index, std::move(conf).value()});
  members_changed();
}

void Core::cut_log(RaftIndex from) {
  log_.truncate(from);
  cut_from_ = cut_from_ ? std::min(*cut_from_, from) : from;
  faults_.erase(faults_.lower_bound(from), faults_.end());
  std::erase_if(repaired_, [&](const Entry& e) { return e.index >= from; });
  nevers_.clear();
  verified_ = std::min(verified_, from - 1);
  std::size_t before = confs_.size();
  while (confs_.size() > 1 && confs_.back().index >= from) confs_.pop_back();
  if (confs_.size() != before) members_changed();
}

const ConfState& Core::conf_at(RaftIndex index) const {
  for (std::size_t i = confs_.size(); i-- > 1;) {
    if (confs_[i].index <= index) return confs_[i].conf;
  }
  return confs_.front().conf;
}

// Brings the leader's bookkeeping in line with the configuration now in force.
void Core::members_changed() {
  if (role_ != Role::kLeader) return;
  std::vector<NodeId> members = members_of(conf());
  std::erase_if(progress_,
                [&](auto& p) { return !std::binary_search(members.begin(), members.end(), p.first); });
  for (NodeId node : members) {
    if (node == cfg_.id || progress_.count(node) > 0) continue;
    progress_.emplace(node, Progress(log_.last() + 1, cfg_.in_flight_count_max, cfg_.in_flight_bytes_max));
  }
  if (transferee_ != NodeId{0} && !is_voter(conf(), transferee_)) transferee_ = NodeId{0};
  // The majority whose promises made up the lease may not be one any more.
  lease_from_.reset();
  sends_due_ = true;
}

Proposed Core::propose_conf_change(const ConfChange& change) {
  auto refused = [](const char* why) { return Proposed{ProposeOutcome::kRefused, {}, why}; };
  if (halted_ || role_ != Role::kLeader) return {ProposeOutcome::kNotLeader, {}, ""};
  if (transferee_ != NodeId{0}) return {ProposeOutcome::kTransferring, {}, ""};
  // Ongaro's correction of 2015: not before an entry of this term is committed.
  if (!committed_in_term()) return refused("no entry of this term is committed yet");
  if (confs_.back().index > log_.commit()) return refused("another change of members is under way");
  Result<ConfState> next = change_conf(conf(), change);
  if (!next) return refused("not possible from the configuration in force");
  if (*next == conf()) return refused("changes nothing");
  if (asleep_) wake(false);
  append_as_leader(EntryType::kConfig, encode_conf(*next));
  return {ProposeOutcome::kAppended, log_.last_id(), ""};
}

// Called when commit moved: the configuration in force may have become final.
void Core::conf_committed() {
  if (role_ != Role::kLeader || confs_.back().index > log_.commit()) return;
  if (is_joint(conf())) {
    if (!conf().auto_leave) return;
    Result<ConfState> next = change_conf(conf(), ConfChange{});
    CHECK(next.has_value(), "a joint configuration can be left");
    append_as_leader(EntryType::kConfig, encode_conf(*next));
    return;
  }
  if (is_voter(conf(), cfg_.id)) return;
  // 4.2.2: a leader that is no member any more leads until that is committed, then goes. It tells the
  // commit index and orders the best voter to campaign, so that nobody waits for a time-out.
  send_due();
  NodeId best;
  RaftIndex best_match{0};
  for (const auto& [node, pr] : progress_) {
    if (is_voter(conf(), node) && pr.active && pr.match > best_match) {
      best = node;
      best_match = pr.match;
    }
  }
  if (best != NodeId{0}) send(make(MessageType::kTimeoutNow, best));
  become_follower(term_, NodeId{0});
}

}  // namespace weir::raft
