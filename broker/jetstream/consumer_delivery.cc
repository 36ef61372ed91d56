// The delivery engine: which message goes next, and to whom.
#include <algorithm>
#include <utility>

#include "broker/jetstream/consumer_leader.h"

namespace weir::jetstream {

namespace {

std::uint64_t digits(std::uint64_t v) {
  std::uint64_t n = 1;
  while (v >= 10) {
    v /= 10;
    ++n;
  }
  return n;
}

}  // namespace

/// Cheap test before a message is looked for.
bool ConsumerLeader::may_deliver(Now now) const {
  if (commits_first() && proposed_ - committed_ >= kInFlightMax) return false;
  return push_ ? flow_.open(now.mono) : !pulls_.empty();
}

Status ConsumerLeader::deliver_all(const StepInput& in, ConsumerOutput& out) {
  store_retry_at_ = Mono{};
  replay_due_ = Mono{};
  for (std::size_t n = 0; may_deliver(in.now); ++n) {
    if (n >= in.budget) {
      out.more = true;
      return ok();
    }
    ASSIGN_OR_RETURN(Outcome again, deliver_redelivery(in, out));
    if (again == Outcome::kSent) continue;
    if (again == Outcome::kBlocked) return ok();
    ASSIGN_OR_RETURN(Outcome fresh, deliver_new(in, out));
    if (fresh == Outcome::kSent) continue;
    if (fresh == Outcome::kNothing) {
      replaying_ = false;
      end_no_wait_pulls(out);
    }
    return ok();
  }
  return ok();
}

Result<ConsumerLeader::Outcome> ConsumerLeader::deliver_redelivery(const StepInput& in, ConsumerOutput& out) {
  while (!again_.empty()) {
    StreamSeq seq = again_.front();
    auto e = s_.pending_.find(seq);
    if (!e || e->stamp != kQueued) {  // acked, or in progress again
      again_.pop();
      continue;
    }
    ASSIGN_OR_RETURN(auto m, in.store.load(seq));
    if (!m) {
      again_.pop();
      terminate(seq, "Unacknowledged message was deleted", true);
      continue;
    }
    if (!send(*m, e->deliveries + 1, in, out)) return Outcome::kBlocked;
    again_.pop();
    arm(seq, e->deliveries + 1, in.now);
    p_.redelivered.push_back({seq, 1});
    return Outcome::kSent;
  }
  return Outcome::kNothing;
}

Result<ConsumerLeader::Outcome> ConsumerLeader::deliver_new(const StepInput& in, ConsumerOutput& out) {
  RETURN_IF_ERROR(find_new(in.store));
  if (!found_) return Outcome::kNothing;
  if (ack_pending_max_ > 0 && s_.pending_.size() >= ack_pending_max_) {
    end_no_wait_pulls(out);  // the next message may be long in coming
    return Outcome::kBlocked;
  }
  if (replay_waits(in.now)) return Outcome::kBlocked;
  --num_pending_;
  if (!send(*found_, 1, in, out)) {
    ++num_pending_;
    return Outcome::kBlocked;
  }
  record_new(found_->seq, in.now);
  if (replaying_) {
    replay_last_ = found_->time;
    replay_at_ = in.now.mono;
  }
  found_.reset();
  return Outcome::kSent;
}

/// Looks for the next message that was never delivered, unless it is known already.
Status ConsumerLeader::find_new(store::MessageStore& store) {
  if (found_ || num_pending_ == 0) return ok();
  while (skip_at_ < s_.skip_list_.size()) {
    ASSIGN_OR_RETURN(found_, store.load(s_.skip_list_[skip_at_]));
    if (found_) return ok();
    ++skip_at_;
  }
  StreamSeq from = std::max(s_.scanned_, s_.skip_end_) + 1;
  ASSIGN_OR_RETURN(found_, store.next(filter_, from));
  // What lies between does not match. Without a find the count was wrong: it is exact again now.
  StreamSeq looked = found_ ? found_->seq - 1 : store.state().last_seq;
  if (looked > s_.scanned_) s_.scanned_ = looked;
  if (!found_) num_pending_ = 0;
  s_.drop_skip_list_when_done();
  skip_at_ = 0;
  return ok();
}

/// Replay original: a message waits as long after its predecessor as it did when it was stored.
bool ConsumerLeader::replay_waits(Now now) {
  if (!replaying_ || replay_last_.ns == 0) return false;
  Nanos gap = std::max<Nanos>(found_->time - replay_last_, 0);
  Mono due = replay_at_ + gap;
  if (due <= now.mono) return false;
  replay_due_ = due;
  return true;
}

/// What a pull's max_bytes counts: subject, ack subject, headers and payload.
std::uint64_t ConsumerLeader::wire_size(const store::Message& m, std::uint64_t deliveries) const {
  std::uint64_t numbers = digits(deliveries) + digits(m.seq.v) + digits(s_.delivered_.consumer.v + 1) +
                          digits(static_cast<std::uint64_t>(std::max<Nanos>(m.time.ns, 0))) +
                          digits(num_pending_) + 5;  // and the dots before them
  return m.record.size() + options_.ack_prefix_size + numbers;
}

bool ConsumerLeader::send(const store::Message& m, std::uint64_t deliveries, const StepInput& in,
                          ConsumerOutput& out) {
  std::uint64_t size = wire_size(m, deliveries);
  PullRequest* pull = push_ ? nullptr : next_pull(in, size, out);
  if (!push_ && pull == nullptr) return false;
  ++s_.delivered_.consumer;
  out.deliveries.push_back(
      {push_ ? deliver_subject_ : pull->reply, m, s_.delivered_.consumer, deliveries, num_pending_});
  s_.last_delivered_ = in.now.wall;
  p_dirty_ = true;
  if (!push_) {
    served(*pull, size, in.now, out);
  } else if (flow_.sent(size, in.now.mono)) {
    StreamSeq upto = deliveries == 1 ? m.seq : s_.delivered_.stream;
    out.statuses.push_back({deliver_subject_, "NATS/1.0 100 FlowControl Request\r\n\r\n", flow_.request(upto),
                            out.deliveries.size()});
  }
  return true;
}

/// A first delivery: the positions move, and the message is pending from now.
void ConsumerLeader::record_new(StreamSeq seq, Now now) {
  ConsumerSeq cseq = s_.delivered_.consumer;
  auto& runs = p_.delivered;
  if (!runs.empty() && runs.back().cseq + runs.back().count == cseq &&
      runs.back().sseq + runs.back().count == seq) {
    ++runs.back().count;
  } else {
    runs.push_back({cseq, seq, 1});
  }
  s_.delivered_.stream = seq;
  s_.scanned_ = seq;
  if (!s_.skip_list_.empty()) {
    ++skip_at_;
    s_.drop_skip_list_when_done();
    if (s_.skip_list_.empty()) skip_at_ = 0;
  }
  if (!tracks_) return;
  std::uint64_t at = kQueued;
  if (timed_) {
    at = AckTimers::deadline_ms(now.mono, waits_[0]);
    timers_.arm(0, at, seq);
  }
  s_.pending_.append({seq, cseq, at, 1});
}

}  // namespace weir::jetstream
