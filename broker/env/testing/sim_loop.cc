#include "broker/env/testing/sim_loop.h"

#include <algorithm>

namespace weir::env::testing {

bool SimTime::take_due(SimLoop* loop, std::uint64_t before, Task& task) {
  auto it = events_.begin();
  if (it == events_.end() || it->second.loop != loop || it->first.first > now_ ||
      it->first.second >= before) {
    return false;
  }
  task = std::move(it->second.task);
  loop->pending_.erase(it->first.second);
  events_.erase(it);
  return true;
}

bool SimTime::turn() {
  if (events_.empty()) return false;
  now_ = std::max(now_, events_.begin()->first.first);
  running_ = events_.begin()->second.loop;
  ran_ = running_;
  ++turns_;
  std::uint64_t before = next_;
  Task task;
  for (unsigned i = 0; i < kTurnEventsMax && running_ && take_due(running_, before, task); ++i) {
    task();
    task = nullptr;
  }
  if (running_ && running_->end_of_turn_) {
    // Out of the loop while it runs: the task may replace itself or kill the loop.
    SimLoop* loop = running_;
    Task end = std::move(loop->end_of_turn_);
    loop->end_replaced_ = false;
    end();
    if (running_ && !loop->end_replaced_) loop->end_of_turn_ = std::move(end);
  }
  running_ = nullptr;
  return true;
}

std::uint64_t SimTime::run_until_idle(std::uint64_t turns_max) {
  std::uint64_t n = 0;
  while (n < turns_max && turn()) ++n;
  return n;
}

void SimTime::run_for(Nanos d) {
  Mono end = now_ + d;
  while (!events_.empty() && events_.begin()->first.first <= end) (void)turn();
  now_ = std::max(now_, end);
}

bool SimTime::run_until(const std::function<bool()>& stop, Nanos limit) {
  Mono end = now_ + limit;
  while (!stop()) {
    if (events_.empty() || events_.begin()->first.first > end) return false;
    (void)turn();
  }
  return true;
}

SimLoop::~SimLoop() {
  forget_all();
}

TimerId SimLoop::at(Mono when, Task task) {
  Mono due = std::max(when + -mono_skew_, time_.now_);
  TimerId id = time_.next_++;
  if (due < paused_until_) {
    deferred_.emplace(id, due);
    due = paused_until_ + paused_events_++;
  }
  time_.events_.emplace(SimTime::Key{due, id}, SimTime::Event{this, std::move(task)});
  pending_.emplace(id, due);
  return id;
}

void SimLoop::cancel(TimerId id) {
  auto it = pending_.find(id);
  if (it == pending_.end()) return;
  time_.events_.erase({it->second, id});
  pending_.erase(it);
}

void SimLoop::set_end_of_turn(Task task) {
  end_of_turn_ = std::move(task);
  end_replaced_ = true;
}

void SimLoop::move(TimerId id, Mono to) {
  Mono& due = pending_.at(id);
  auto node = time_.events_.extract({due, id});
  node.key().first = due = to;
  time_.events_.insert(std::move(node));
}

void SimLoop::pause(Mono until) {
  if (until <= paused_until_) return;
  if (!paused()) deferred_.clear();
  paused_until_ = until;
  paused_events_ = 0;
  std::vector<SimTime::Key> early;
  for (const auto& [id, due] : pending_) {
    if (due < until) early.push_back({due, id});
  }
  std::sort(early.begin(), early.end());
  for (const SimTime::Key& key : early) {
    deferred_.emplace(key.second, key.first);
    move(key.second, until + paused_events_++);
  }
}

void SimLoop::resume() {
  if (!paused()) return;
  paused_until_ = Mono{};
  for (const auto& [id, due] : std::exchange(deferred_, {})) {
    if (pending_.count(id)) move(id, std::max(due, time_.now_));
  }
}

void SimLoop::forget_all() {
  paused_until_ = Mono{};
  // Destroying a task may destroy objects that cancel timers here: take it all out first.
  std::vector<Task> dropped;
  for (auto& [id, due] : std::exchange(pending_, {})) {
    auto it = time_.events_.find({due, id});
    if (it == time_.events_.end()) continue;
    dropped.push_back(std::move(it->second.task));
    time_.events_.erase(it);
  }
  dropped.push_back(std::exchange(end_of_turn_, nullptr));
  end_replaced_ = true;
  if (time_.running_ == this) time_.running_ = nullptr;
}

bool LogSink::contains(std::string_view part) const {
  return std::any_of(lines_.begin(), lines_.end(),
                     [&](const Line& l) { return l.text.find(part) != std::string::npos; });
}

std::size_t LogSink::count(Level level) const {
  return static_cast<std::size_t>(
      std::count_if(lines_.begin(), lines_.end(), [&](const Line& l) { return l.level == level; }));
}

Result<std::unique_ptr<Listener>> NoTransport::listen(const Endpoint&, Accepted) {
  return Error(Code::kUnsupported, "this test world has no network");
}

void NoTransport::dial(const Endpoint&, std::int64_t, Dialled done) {
  loop_.post([done = std::move(done)]() mutable {
    done(Error(Code::kUnsupported, "this test world has no network"));
  });
}

}  // namespace weir::env::testing
