#include "broker/replica/group.h"

#include "broker/base/check.h"
#include "broker/base/limits.h"

namespace weir::replica {

Group::Group(GroupId id, env::Loop& loop, StateMachine& machine)
    : id_(id), loop_(loop), machine_(machine), self_(std::make_shared<Group*>(this)) {}

void Group::restore(RaftIndex applied, Term term) {
  CHECK(!started_ && last_.v == 0);
  applied_ = last_ = restored_ = applied;
  term_ = term;
}

Status Group::replay(const store::JournalRecord& record) {
  CHECK(!started_, "replay after start");
  if (why_stopped_) return *why_stopped_;
  if (record.term > term_) term_ = record.term;
  if (record.kind != store::RecordKind::kEntry || record.index <= applied_) return ok();
  if (record.index != last_ + 1) {
    Error e(Code::kCorrupt, "group " + std::to_string(id_.v) + ": entry " + std::to_string(last_.v + 1) +
                                " is missing from the journal, next found is " +
                                std::to_string(record.index.v));
    stop(e);
    return e;
  }
  last_ = record.index;
  // A group of one has no other opinion to wait for: what is durable is committed.
  Status s = machine_.apply(record.index, record.term, record.payload, /*live=*/false);
  if (!s) {
    stop(s.error());
    return s;
  }
  applied_ = record.index;
  return ok();
}

void Group::damaged(const store::JournalFault& fault) {
  if (fault.to <= applied_) return;  // the checkpoint has it
  stop(Error(Code::kCorrupt, "group " + std::to_string(id_.v) + ": " + fault.detail));
}

void Group::start(store::Journal* journal) {
  CHECK(!started_);
  started_ = true;
  journal_ = journal;
  if (why_stopped_) return;
  term_ = term_ + 1;
  if (!journal_) return;
  store::JournalRecord r;
  r.group = id_;
  r.kind = store::RecordKind::kHardState;
  r.term = term_;
  r.index = applied_;
  journal_->append(std::move(r), [self = std::weak_ptr<Group*>(self_)](Status s) {
    auto g = self.lock();
    if (g && *g && !s) (*g)->stop(s.error());
  });
}

Result<RaftIndex> Group::propose(Bytes payload) {
  if (why_stopped_) return Error(Code::kUnavailable, why_stopped_->detail);
  if (!started_) return {Code::kUnavailable, "group is recovering"};
  last_ = last_ + 1;
  in_flight_bytes_ += payload.size();
  in_flight_.push_back({last_, term_, payload});
  std::weak_ptr<Group*> self = self_;
  auto done = [self](Status s) {
    if (auto g = self.lock(); g && *g) (*g)->durable(s);
  };
  if (!journal_) {
    loop_.post([done = std::move(done)]() mutable { done(ok()); });
    return last_;
  }
  store::JournalRecord r;
  r.group = id_;
  r.term = term_;
  r.index = last_;
  r.payload = std::move(payload);
#ifdef WEIR_DEFECT_ACK_BEFORE_SYNC
  // Seeded defect: the simulator has to notice that acks run ahead of the disk.
  journal_->append(std::move(r), [](Status) {});
  loop_.post([done = std::move(done)]() mutable { done(ok()); });
#else
  journal_->append(std::move(r), std::move(done));
#endif
  return last_;
}

bool Group::crowded() const {
  return in_flight_bytes_ > limits::kInFlightBytesMax;
}

void Group::durable(const Status& status) {
  if (why_stopped_) return;
  if (!status) return stop(status.error());
  apply_front();
}

void Group::apply_front() {
  CHECK(!in_flight_.empty(), "a completion without an entry");
  Entry e = std::move(in_flight_.front());
  in_flight_.pop_front();
  in_flight_bytes_ -= e.payload.size();
  CHECK(e.index == applied_ + 1, "entries apply in order");
  // Set before: apply may look at applied() through its owner.
  applied_ = e.index;
  auto keep = self_;  // apply may destroy this group (stream deleted)
  Status s = machine_.apply(e.index, e.term, e.payload, /*live=*/true);
  if (!*keep) return;
  if (!s) stop(s.error());
}

void Group::compact(RaftIndex index) {
  CHECK(index <= applied_);
#ifdef WEIR_DEFECT_COMPACT_TOO_FAR
  index = last_;  // seeded defect, docs/testing.md
#endif
  if (journal_) journal_->release(id_, index);
}

void Group::release_restored() {
  if (restored_.v && journal_ && !why_stopped_) journal_->release(id_, restored_);
}

void Group::remove() {
  if (journal_ && !journal_->failed()) {
    store::JournalRecord r;
    r.group = id_;
    r.kind = store::RecordKind::kRemoved;
    r.term = term_;
    r.index = last_;
    journal_->append(std::move(r), [](Status) {});  // a failed journal is reported by everybody else
  }
  if (!why_stopped_) why_stopped_ = std::make_unique<Error>(Code::kUnavailable, "removed");
  in_flight_.clear();
  in_flight_bytes_ = 0;
}

void Group::stop(Error why) {
  if (why_stopped_) return;
  why_stopped_ = std::make_unique<Error>(why);
  in_flight_.clear();
  in_flight_bytes_ = 0;
  machine_.stopped(why);
}

}  // namespace weir::replica
