#include "broker/jetstream/ack_timers.h"

#include <algorithm>

#include "broker/base/check.h"
#include "broker/jetstream/consumer_output.h"

namespace weir::jetstream {

namespace {

constexpr std::size_t kCompactAt = 64;

bool later(const AckTimers::Run& a, const AckTimers::Run& b) {
  // The sequence decides between equal deadlines, so that the order is the same everywhere.
  if (a.deadline_ms != b.deadline_ms) return a.deadline_ms > b.deadline_ms;
  return a.range.first > b.range.first;
}

bool due(std::uint64_t deadline_ms, Mono now) {
  return now.ns >= 0 && deadline_ms <= static_cast<std::uint64_t>(now.ns / kMillisecond);
}

}  // namespace

std::uint64_t AckTimers::deadline_ms(Mono now, Nanos wait) {
  // A wait of centuries counts as one of some decades: it must fit a pending entry's stamp.
  constexpr Nanos kWaitMax = 30 * 365 * 24 * kHour;
  Nanos ns = std::max<Nanos>(now.ns, 0) + std::clamp<Nanos>(wait, 0, kWaitMax);
  return static_cast<std::uint64_t>((ns + kMillisecond - 1) / kMillisecond) + 1;
}

void AckTimers::reset(std::size_t classes) {
  queues_.assign(classes, {});
  odd_.clear();
}

void AckTimers::arm(std::size_t cls, std::uint64_t deadline_ms, StreamSeq seq) {
  CHECK(cls < queues_.size(), "unknown wait");
  auto& runs = queues_[cls].runs;
  if (queues_[cls].head < runs.size()) {
    Run& last = runs.back();
    if (deadline_ms < last.deadline_ms) return arm_odd(deadline_ms, seq);
    if (deadline_ms == last.deadline_ms && seq > last.range.last) {
      last.range.last = seq;
      return;
    }
  }
  runs.push_back({deadline_ms, {seq, seq}});
}

void AckTimers::arm_odd(std::uint64_t deadline_ms, StreamSeq seq) {
  odd_.push_back({deadline_ms, {seq, seq}});
  std::push_heap(odd_.begin(), odd_.end(), later);
}

void AckTimers::pop(Queue& q) {
  ++q.head;
  if (q.head == q.runs.size()) {
    q.runs.clear();
    q.head = 0;
  } else if (q.head >= kCompactAt && q.head * 2 >= q.runs.size()) {
    q.runs.erase(q.runs.begin(), q.runs.begin() + static_cast<std::ptrdiff_t>(q.head));
    q.head = 0;
  }
}

std::optional<AckTimers::Run> AckTimers::take_due(Mono now) {
  Queue* first = nullptr;
  for (auto& q : queues_) {
    if (q.head == q.runs.size()) continue;
    if (first == nullptr || later(first->runs[first->head], q.runs[q.head])) first = &q;
  }
  bool odd = !odd_.empty() && (first == nullptr || later(first->runs[first->head], odd_.front()));
  if (!odd && first == nullptr) return std::nullopt;
  Run run = odd ? odd_.front() : first->runs[first->head];
  if (!due(run.deadline_ms, now)) return std::nullopt;
  if (odd) {
    std::pop_heap(odd_.begin(), odd_.end(), later);
    odd_.pop_back();
  } else {
    pop(*first);
  }
  return run;
}

Mono AckTimers::next() const {
  Mono at = kNoDeadline;
  auto take = [&](std::uint64_t ms) { at = std::min(at, Mono{static_cast<Nanos>(ms) * kMillisecond}); };
  for (const auto& q : queues_)
    if (q.head < q.runs.size()) take(q.runs[q.head].deadline_ms);
  if (!odd_.empty()) take(odd_.front().deadline_ms);
  return at;
}

void RedeliveryQueue::pop() {
  if (++head_ == seqs_.size()) {
    clear();
  } else if (head_ >= 1024 && head_ * 2 >= seqs_.size()) {
    seqs_.erase(seqs_.begin(), seqs_.begin() + static_cast<std::ptrdiff_t>(head_));
    head_ = 0;
  }
}

void RedeliveryQueue::clear() {
  seqs_.clear();
  head_ = 0;
}

}  // namespace weir::jetstream
