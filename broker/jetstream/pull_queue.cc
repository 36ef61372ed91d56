#include "broker/jetstream/pull_queue.h"

#include <algorithm>
#include <utility>

#include "broker/jetstream/consumer_output.h"

namespace weir::jetstream {

PullRequest make_pull(Bytes reply, const api::NextRequest& body) {
  PullRequest r;
  r.reply = std::move(reply);
  r.batch = body.batch > 0 ? static_cast<std::uint64_t>(body.batch) : 1;
  r.expires = std::max<Nanos>(body.expires, 0);
  r.max_bytes = body.max_bytes > 0 ? static_cast<std::uint64_t>(body.max_bytes) : 0;
  r.no_wait = body.no_wait;
  r.heartbeat = std::max<Nanos>(body.idle_heartbeat, 0);
  return r;
}

Mono PullQueue::none() {
  return kNoDeadline;
}

PullRequest PullQueue::take_front() {
  PullRequest r = std::move(ring_[head_]);
  ring_[head_] = PullRequest();
  head_ = (head_ + 1) & (ring_.size() - 1);
  --size_;
  wanted_ -= r.batch;
  if (r.no_wait) --no_wait_;
  return r;
}

void PullQueue::put_back(PullRequest r) {
  if (size_ == ring_.size()) {
    std::vector<PullRequest> bigger(std::max<std::size_t>(4, ring_.size() * 2));
    for (std::size_t i = 0; i < size_; ++i) bigger[i] = std::move(ring_[(head_ + i) & (ring_.size() - 1)]);
    ring_ = std::move(bigger);
    head_ = 0;
  }
  wanted_ += r.batch;
  if (r.no_wait) ++no_wait_;
  next_due_ = std::min({next_due_, r.deadline, r.heartbeat_due});
  ring_[(head_ + size_) & (ring_.size() - 1)] = std::move(r);
  ++size_;
}

void PullQueue::push(PullRequest r) {
  if (size_ == 0) next_due_ = none();
  put_back(std::move(r));
}

void PullQueue::served_front(Mono heartbeat_due) {
  PullRequest& r = front();
  ++r.sent;
  --r.batch;
  --wanted_;
  if (r.batch == 0) {
    pop_front();
    return;
  }
  if (r.heartbeat > 0) r.heartbeat_due = heartbeat_due;
  if (size_ > 1) put_back(take_front());
}

void PullQueue::pop_front() {
  take_front();
}

}  // namespace weir::jetstream
