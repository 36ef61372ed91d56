#include "broker/raft/invariants.h"

namespace weir::raft {
namespace {

Status broken(const char* rule) {
  return Error(Code::kCorrupt, rule);
}

Status alone(const View& v) {
  if (v.base.index > v.applied) return broken("entries were compacted before they were applied");
  if (v.applied > v.applying) return broken("applied what was not handed out");
  if (v.applying > v.commit) return broken("handed out what is not committed");
  if (v.commit > v.last.index) return broken("committed beyond the log");
  if (v.stable > v.last.index) return broken("durable beyond the log");
  if (v.last.term > v.term) return broken("an entry of a term to come");
  if ((v.role == Role::kLeader) != (v.leader == v.id)) return broken("leader and role disagree");
  if (v.role == Role::kCandidate && v.vote != v.id) return broken("a candidate that did not vote for itself");
  if (v.role != Role::kFollower && v.head_unknown) return broken("campaigns without knowing its log");
  if (v.role == Role::kLeader && v.faults > 0) return broken("leads with unreadable entries");
  return ok();
}

Status after(const View& a, const View& b) {
  if (b.term < a.term) return broken("the term went back");
  if (b.term == a.term && a.vote != NodeId{0} && b.vote != a.vote) return broken("two votes in one term");
  if (b.commit < a.commit) return broken("the commit index went back");
  if (b.applied < a.applied) return broken("the applied index went back");
  if (b.base.index < a.base.index) return broken("the log grew backwards");
  if (a.role == Role::kLeader && b.role == Role::kLeader && a.term == b.term && b.last.index < a.last.index) {
    return broken("a leader cut its own log");
  }
  if (a.term == b.term && a.leader != NodeId{0} && b.leader != NodeId{0} && a.leader != b.leader) {
    return broken("two leaders in one term");
  }
  return ok();
}

}  // namespace

Status Invariants::check(const View& now) {
  RETURN_IF_ERROR(alone(now));
  if (before_) RETURN_IF_ERROR(after(*before_, now));
  before_ = now;
  return ok();
}

void Invariants::restarted(const HardState& durable) {
  View v;
  v.term = durable.term;
  v.vote = durable.vote;
  before_ = v;
}

}  // namespace weir::raft
