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

void Group::note_state(RaftIndex index) {
  note_at_ = index;
  noted_.reset();
}

std::optional<std::uint64_t> Group::noted_state() const {
  if (!noted_ && note_at_ == applied_.index) return machine_.state_hash();
  return noted_;
}

void Group::take_note(RaftIndex next) {
  if (next <= note_at_ || noted_) return;
  noted_ = machine_.state_hash();
  note_at_ = kNoNote;
}

void Group::give_up(Error why) {
  if (!core_ || why_stopped_ || alone()) return;
  needs_new_id_ = true;
  stop(std::move(why));
}

// False: the group was destroyed or stopped.
bool Group::apply_one(const raft::Entry& e) {
  CHECK(e.index == applied_.index + 1, "entries apply in order");
  auto keep = self_;
  take_note(e.index);
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
    if (!*keep || why_stopped_) return false;
  } else if (e.type == EntryType::kNormal) {
    Status s = machine_.apply(e.index, e.term, e.payload, /*live=*/true);
    if (!*keep || why_stopped_) return false;
    if (!s) {
      // What is stored here rotted, or everybody stops at this entry: then nobody leads who would take it in.
      needs_new_id_ = lost_by(s.error()) && !alone();
      stop(s.error());
      return false;
    }
  }
  bool led = core_->role() == raft::Role::kLeader && e.term == core_->term();
  if (led && !changed_ && !alone()) host_.changed(*this);
  if (led && !leading_) {
    leading_ = true;
    machine_.leading(true);
  }
  return *keep && !why_stopped_;
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
  bool leads = soft.role == raft::Role::kLeader;
  bool still = leads && soft.term == told_term_;
  auto keep = self_;
#ifndef WEIR_DEFECT_REPLICA_KEEP_IN_FLIGHT
  forget_in_flight(leads ? soft.term : Term(0));
#endif
  if (leading_ && !still) {
    leading_ = false;
    machine_.leading(false);
  }
  if (!*keep || why_stopped_) return;
  if (soft.leader == told_leader_ && soft.term == told_term_) return;
  if (told_leader_.v != 0) {  // it will not answer any more
    for (auto& [context, read] : reads_) read.old = read.old || read.index.v == 0;
  }
  told_leader_ = soft.leader;
  met_leader_ = met_leader_ || soft.leader.v != 0;
  told_term_ = soft.term;
  machine_.leader_changed(soft.leader, soft.term);
}

// Proposals of other terms are lost, or applied without this replica's doing.
void Group::forget_in_flight(Term but) {
  in_flight_.erase_if([&](const InFlight& p) {
    if (p.id.term == but) return false;
    in_flight_bytes_ -= p.bytes;
    return true;
  });
}

// ---- reads -----------------------------------------------------------------------------------

bool Group::leads_for_sure() {
  if (!leading_ || !core_) return false;
  if (alone() && conf_ == core_->conf()) return true;
  host_.now_current();
  return leading_ && told_term_ == core_->term() && core_->lease_valid();
}

void Group::read_point(UniqueFunction<void(bool)> done) {
  if (!core_ || why_stopped_) return done(false);
  host_.now_current();
  // The lease of a term says nothing about state before what earlier terms left is applied.
  bool good = leading_ && told_term_ == core_->term() && core_->lease_valid();
#ifdef WEIR_DEFECT_REPLICA_STALE_READ
  good = leading_;
#endif
  if (good) return done(true);
  std::uint64_t context = next_read_++;
  if (!core_->read_index(context)) return done(false);
  reads_[context] = {RaftIndex(0), ticks_, false, std::move(done)};
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

// Whoever gets an answer may ask again, stop the group or destroy it.
void Group::answer_reads() {
  std::vector<UniqueFunction<void(bool)>> ready;
  for (auto it = reads_.begin(); it != reads_.end();) {
    if (it->second.index.v == 0 || it->second.index > applied_.index) {
      ++it;
      continue;
    }
    ready.push_back(std::move(it->second.done));
    it = reads_.erase(it);
  }
  for (auto& done : ready) done(true);
}

// A leader that is gone, or a message that was lost, is not told: time tells.
void Group::fail_reads(bool only_old) {
  std::vector<UniqueFunction<void(bool)>> failed;
  for (auto it = reads_.begin(); it != reads_.end();) {
    const Read& read = it->second;
    bool old = read.old || ticks_ - read.asked >= 2ull * host_.tuning().election_ticks;
#ifdef WEIR_DEFECT_REPLICA_LOSE_READS
    old = false;
#endif
    if (only_old && !old) {
      ++it;
      continue;
    }
    failed.push_back(std::move(it->second.done));
    it = reads_.erase(it);
  }
  for (auto& done : failed) done(false);
}

}  // namespace weir::replica
