#include "surveyor/event_queue.h"

#include <chrono>
#include <utility>

namespace weir::surveyor {

void EventQueue::put(Event e) {
  {
    std::lock_guard lock(mutex_);
    events_.push_back(std::move(e));
  }
  ready_.notify_one();
}

void EventQueue::push(Arrival a) {
  {
    std::lock_guard lock(mutex_);
    if (bytes_ + a.data.size() > kQueueBytesMax || events_.size() >= kQueueEventsMax) {
      ++dropped_[a.kind == Arrival::Kind::kReply ? "reply" : "event"];
      return;
    }
    bytes_ += a.data.size();
    events_.push_back(std::move(a));
  }
  ready_.notify_one();
}

void EventQueue::push(ConnectionChange c) {
  put(std::move(c));
}
void EventQueue::push(StopRequest s) {
  put(s);
}

std::optional<Event> EventQueue::pop(Nanos wait) {
  std::unique_lock lock(mutex_);
  auto there = [this] { return !events_.empty(); };
  if (!ready_.wait_for(lock, std::chrono::nanoseconds(std::max<Nanos>(wait, 0)), there)) return std::nullopt;
  Event e = std::move(events_.front());
  events_.pop_front();
  if (auto* a = std::get_if<Arrival>(&e)) bytes_ -= a->data.size();
  return e;
}

std::map<std::string, std::uint64_t> EventQueue::take_dropped() {
  std::lock_guard lock(mutex_);
  return std::exchange(dropped_, {});
}

}  // namespace weir::surveyor
