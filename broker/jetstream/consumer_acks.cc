// Acknowledgements, and the redelivery of what is not acknowledged.
#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "broker/jetstream/consumer_leader.h"

namespace weir::jetstream {

namespace {

constexpr std::size_t kExpiredPerStep = 65'536;

}  // namespace

void ConsumerLeader::changed(bool urgent) {
  p_dirty_ = true;
  p_urgent_ |= urgent;
  dirty_ = true;
}

void ConsumerLeader::on_ack(const AckMessage& ack, Now now, const PullRequest* next) {
  dirty_ = true;
  last_used_ = now.mono;
  // Of an earlier leader's delivery that was never committed: this leader delivers it again, and a
  // confirmation now would promise what is not known.
  bool unknown = ack.sseq > s_.delivered_.stream || ack.sseq.v == 0;
  bool known = tracks_ && !unknown;
  switch (ack.kind) {
    case api::AckKind::kAck:
    case api::AckKind::kNext:
      if (!known) break;
      if (s_.config().ack_policy == api::AckPolicy::kExplicit) {
        ack_one(ack.sseq, now);
      } else {
        ack_upto(ack.sseq, now);
      }
      break;
    case api::AckKind::kNak:
      if (known) nak(ack, now);
      break;
    case api::AckKind::kProgress:
      if (known) in_progress(ack.sseq, now);
      break;
    case api::AckKind::kTerm:
      if (known) terminate(ack.sseq, ack.reason, true);
      break;
  }
  if (ack.kind == api::AckKind::kNext) {
    if (next != nullptr && !unknown) on_pull(*next, now);
    return;
  }
  if (!known || ack.reply.empty()) return;
  bool durable = ack.kind == api::AckKind::kAck || ack.kind == api::AckKind::kTerm;
  (durable ? confirm_committed_ : confirm_now_).push_back(ack.reply);
  if (durable && p_dirty_) p_urgent_ = true;
}

void ConsumerLeader::on_flow_control(std::string_view subject, Now now) {
  StreamSeq upto;
  if (!flow_.answered(subject, upto)) return;
  dirty_ = true;
  if (s_.config().ack_policy == api::AckPolicy::kFlowControl) ack_upto(upto, now);
}

void ConsumerLeader::sample_ack(const PendingEntry& e, Now now) {
  if (sample_percent_ == 0 || prng_.below(100) >= sample_percent_) return;
  ConsumerAdvisory a;
  a.kind = ConsumerAdvisoryKind::kAckSample;
  a.sseq = e.sseq;
  a.cseq = e.cseq;
  a.deliveries = e.deliveries;
  if (e.stamp != kQueued) {
    // The deadline was rounded up when it was made: the sum is exact to 2 ms.
    Nanos sent = static_cast<Nanos>(e.stamp) * kMillisecond - wait_of(e.deliveries);
    a.ack_time = std::max<Nanos>(now.mono.ns - sent, 0);
  }
  advisories_.push_back(std::move(a));
}

void ConsumerLeader::ack_one(StreamSeq seq, Now now) {
  if (auto e = s_.pending_.find(seq)) {
    sample_ack(*e, now);
    s_.pending_.erase(seq);
  } else if (s_.exceeded_.erase(seq) == 0) {
    return;  // acked before
  }
  append_seq(p_.acked, seq);
  s_.last_acked_ = now.wall;
  changed(false);
}

void ConsumerLeader::ack_upto(StreamSeq seq, Now now) {
  bool any = false;
  if (auto e = s_.pending_.find(seq)) sample_ack(*e, now);
  while (!s_.pending_.empty() && s_.pending_.front().sseq <= seq) {
    StreamSeq first = s_.pending_.front().sseq;
    s_.pending_.erase(first);
    append_seq(p_.acked, first);
    any = true;
  }
  while (!s_.exceeded_.empty() && s_.exceeded_.begin()->first <= seq) {
    append_seq(p_.acked, s_.exceeded_.begin()->first);
    s_.exceeded_.erase(s_.exceeded_.begin());
    any = true;
  }
  if (!any) return;
  s_.last_acked_ = now.wall;
  changed(false);
}

void ConsumerLeader::nak(const AckMessage& ack, Now now) {
  auto e = s_.pending_.find(ack.sseq);
  if (!e) return;
  ConsumerAdvisory a;
  a.kind = ConsumerAdvisoryKind::kNak;
  a.sseq = ack.sseq;
  a.cseq = ack.cseq;
  a.deliveries = ack.deliveries;
  advisories_.push_back(std::move(a));
  ++p_.naks;
  ++s_.naks_;
  changed(false);
  if (!timed_) return;
  if (ack.delay > 0) {
    std::uint64_t at = AckTimers::deadline_ms(now.mono, ack.delay);
    s_.pending_.update(e->sseq, at, e->deliveries);
    timers_.arm_odd(at, e->sseq);
  } else if (e->stamp != kQueued) {
    queue_redelivery(*e);
  }
}

void ConsumerLeader::in_progress(StreamSeq seq, Now now) {
  auto e = s_.pending_.find(seq);
  if (!e || !timed_) return;
  arm(seq, e->deliveries, now);
  append_seq(p_.touched, seq);
  changed(false);
}

void ConsumerLeader::terminate(StreamSeq seq, std::string_view reason, bool report) {
  auto e = s_.pending_.find(seq);
  if (e) {
    s_.pending_.erase(seq);
  } else {
    auto over = s_.exceeded_.find(seq);
    if (over == s_.exceeded_.end()) return;
    e = PendingEntry{seq, ConsumerSeq(), 0, over->second};
    s_.exceeded_.erase(over);
  }
  append_seq(p_.termed, seq);
  changed(false);
  if (!report) return;
  ConsumerAdvisory a;
  a.kind = ConsumerAdvisoryKind::kTerminated;
  a.sseq = seq;
  a.cseq = e->cseq;
  a.deliveries = e->deliveries;
  a.reason = reason;
  advisories_.push_back(std::move(a));
}

std::size_t ConsumerLeader::timer_class(std::uint64_t deliveries) const {
  return std::min<std::size_t>(static_cast<std::size_t>(deliveries) - 1, waits_.size() - 1);
}

Nanos ConsumerLeader::wait_of(std::uint64_t deliveries) const {
  return waits_[timer_class(deliveries)];
}

void ConsumerLeader::arm(StreamSeq seq, std::uint64_t deliveries, Now now) {
  std::uint64_t at = AckTimers::deadline_ms(now.mono, wait_of(deliveries));
  s_.pending_.update(seq, at, deliveries);
  timers_.arm(timer_class(deliveries), at, seq);
}

/// Sets the deadline of every pending message anew: from the committed copy's delivery times on a
/// new leader, otherwise no later than the present configuration says.
void ConsumerLeader::rearm_all(Now now, bool from_committed) {
  timers_.reset(waits_.size());
  std::vector<std::pair<std::uint64_t, PendingEntry>> all;
  all.reserve(s_.pending_.size());
  s_.pending_.for_each([&](const PendingEntry& e) {
    std::uint64_t latest = AckTimers::deadline_ms(now.mono, wait_of(e.deliveries));
    std::uint64_t at = e.stamp;
    if (from_committed) {
      Nanos age = now.wall.ns - static_cast<Nanos>(e.stamp) * kMillisecond;
      Nanos wait = wait_of(e.deliveries);
      at = AckTimers::deadline_ms(now.mono, wait - std::clamp<Nanos>(age, 0, wait));
    } else if (at != kQueued) {
      at = std::min(at, latest);
    }
    all.emplace_back(at, e);
    return true;
  });
  std::stable_sort(all.begin(), all.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  for (const auto& [at, e] : all) {
    if (at == kQueued) continue;
    s_.pending_.update(e.sseq, timed_ ? at : kQueued, e.deliveries);
    if (timed_) timers_.arm(timer_class(e.deliveries), at, e.sseq);
  }
}

void ConsumerLeader::expire_acks(Now now) {
  // Runs whose messages are all acked go first, so that memory follows what is pending.
  timers_.trim([&](const AckTimers::Run& r) {
    auto e = s_.pending_.at_or_after(r.range.first);
    return e && e->sseq <= r.range.last;
  });
  std::size_t expired = 0;
  while (auto run = timers_.take_due(now.mono)) {
    for (auto e = s_.pending_.at_or_after(run->range.first); e && e->sseq <= run->range.last;
         e = s_.pending_.at_or_after(e->sseq + 1)) {
      if (e->stamp != run->deadline_ms) continue;
      queue_redelivery(*e);
      ++expired;
    }
    if (expired >= kExpiredPerStep) {
      dirty_ = true;
      return;
    }
  }
}

void ConsumerLeader::queue_redelivery(const PendingEntry& e) {
  if (deliver_max_ == 0 || e.deliveries < deliver_max_) {
    s_.pending_.update(e.sseq, kQueued, e.deliveries);
    again_.push(e.sseq);
    return;
  }
  s_.pending_.erase(e.sseq);
  s_.exceeded_[e.sseq] = e.deliveries;
  append_seq(p_.exceeded, e.sseq);
  p_dirty_ = true;
  ConsumerAdvisory a;
  a.kind = ConsumerAdvisoryKind::kMaxDeliver;
  a.sseq = e.sseq;
  a.deliveries = e.deliveries;
  advisories_.push_back(std::move(a));
}

/// The stream begins above some pending messages: they can never be delivered again.
void ConsumerLeader::drop_gone(const store::StoreState& state) {
  if (state.first_seq <= gone_below_) return;
  gone_below_ = state.first_seq;
  while (!s_.pending_.empty() && s_.pending_.front().sseq < gone_below_)
    terminate(s_.pending_.front().sseq, {}, false);
  while (!s_.exceeded_.empty() && s_.exceeded_.begin()->first < gone_below_)
    terminate(s_.exceeded_.begin()->first, {}, false);
  dirty_ = false;  // it is the step itself that changed something
}

}  // namespace weir::jetstream
