// broker/replica/group_apply.cc - what the group has agreed on, who leads it, reads.
#include "broker/base/check.h"
#include "broker/raft/confchange.h"
#include "broker/replica/group.h"

namespace weir::replica {

using raft::EntryType;

void Group::apply(std::vector<raft::Entry>& entries) {
  if (entries.empty()) return;
  auto keep = self_;
  for (const raft::Entry& e : entries) {
    if (!apply_one(e) || !*keep || why_stopped_) return;
  }
  core_->applied(applied_.index);
  if (!reads_.empty()) answer_reads();
}

// False: the group was destroyed or stopped.
bool Group::apply_one(const raft::Entry& e) {
  CHECK(e.index == applied_.index + 1, "entries apply in order");
  auto keep = self_;
  applied_ = {e.index, e.term};  // before: apply may look at applied() through its owner
  settle(applied_);
  if (e.type == EntryType::kConfig) {
    auto conf = raft::decode_conf(e.payload.span());
    if (!conf) {
      stop(conf.error());
      return false;
    }
    conf_ = std::move(*conf);
    machine_.members_changed(conf_);
  } else if (e.type == EntryType::kNormal) {
    Status s = machine_.apply(e.index, e.term, e.payload, /*live=*/true);
    if (!*keep) return false;
    if (!s) {
      stop(s.error());
      return false;
    }
  }
  bool led = core_->role() == raft::Role::kLeader && e.term == core_->term();
  if (led && !leading_) {
    leading_ = true;
    machine_.leading(true);
  }
  return *keep != nullptr;
}

void Group::settle(const raft::EntryId& applied) {
  while (!in_flight_.empty() && in_flight_.front().id.index <= applied.index) {
    in_flight_bytes_ -= in_flight_.front().bytes;
    in_flight_.pop_front();
  }
}

void Group::role(const raft::SoftState& soft) {
  if (soft.halted) {
    return stop(Error(Code::kCorrupt, "group " + std::to_string(id_.v) + ": " + soft.halted));
  }
  bool still = soft.role == raft::Role::kLeader && soft.term == told_term_;
  if (leading_ && !still) lose_leadership();
  if (why_stopped_) return;
  if (soft.leader == told_leader_ && soft.term == told_term_) return;
  told_leader_ = soft.leader;
  told_term_ = soft.term;
  machine_.leader_changed(soft.leader, soft.term);
}

void Group::lose_leadership() {
  leading_ = false;
  in_flight_.clear();
  in_flight_bytes_ = 0;
  machine_.leading(false);
}

// ---- reads -----------------------------------------------------------------------------------

void Group::read_point(UniqueFunction<void(bool)> done) {
  if (!core_ || why_stopped_) return done(false);
  host_.now_current();
  if (leading_ && (core_->lease_valid() || alone())) return done(true);
  std::uint64_t context = next_read_++;
  if (!core_->read_index(context)) return done(false);
  reads_[context] = {RaftIndex(0), std::move(done)};
  marked();
  host_.awaken(*this);
}

void Group::read_state(const raft::ReadState& state) {
  auto it = reads_.find(state.context);
  if (it == reads_.end()) return;
  if (!state.ok) {
    auto done = std::move(it->second.done);
    reads_.erase(it);
    return done(false);
  }
  it->second.index = state.index;
  answer_reads();
}

void Group::answer_reads() {
  auto keep = self_;
  for (auto it = reads_.begin(); it != reads_.end();) {
    if (it->second.index.v == 0 || it->second.index > applied_.index) {
      ++it;
      continue;
    }
    auto done = std::move(it->second.done);
    it = reads_.erase(it);
    done(true);
    if (!*keep) return;
  }
}

}  // namespace weir::replica
