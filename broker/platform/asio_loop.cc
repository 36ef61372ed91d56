#include "broker/platform/asio_loop.h"

#include <algorithm>
#include <chrono>

#include "broker/platform/asio_context.h"
#include "broker/platform/system.h"

namespace weir::platform {
namespace {

// Rounds of posted tasks that a turn runs before it looks at sockets again.
constexpr int kTaskRounds = 4;
// asio adds the wait to a clock point; a year keeps "never" away from overflow.
constexpr Nanos kAlarmMax = 365 * 24 * kHour;

std::chrono::steady_clock::time_point to_chrono(Mono t) {
  return std::chrono::steady_clock::time_point(std::chrono::nanoseconds(t.ns));
}

}  // namespace

AsioLoop::AsioLoop() : impl_(std::make_unique<Impl>()) {}
AsioLoop::~AsioLoop() = default;

void AsioLoop::run() {
  while (!impl_->stopping.load(std::memory_order_relaxed)) impl_->run_turn();
  impl_->stopping.store(false);
}

void AsioLoop::stop() {
  impl_->stopping.store(true);
  impl_->wake();
}

void AsioLoop::post(env::Task task) {
  impl_->tasks.push_back(std::move(task));
}
env::TimerId AsioLoop::at(Mono when, env::Task task) {
  return impl_->timers.add(when, std::move(task));
}
void AsioLoop::cancel(env::TimerId id) {
  impl_->timers.cancel(id);
}

void AsioLoop::set_end_of_turn(env::Task task) {
  impl_->next_end_of_turn = std::move(task);
  impl_->end_replaced = true;
}

bool AsioLoop::post_external(env::Task task) {
  bool first;
  {
    std::lock_guard lock(impl_->mail_mutex);
    if (impl_->mail.size() >= kMailboxTasksMax) return false;
    first = impl_->mail.empty();
    impl_->mail.push_back(std::move(task));
  }
  if (first) impl_->wake();
  return true;
}

void AsioLoop::post_completion(env::Task task) {
  bool first;
  {
    std::lock_guard lock(impl_->mail_mutex);
    first = impl_->mail.empty();
    impl_->mail.push_back(std::move(task));
  }
  if (first) impl_->wake();
}

std::uint64_t AsioLoop::turn() const {
  return impl_->turn;
}
std::size_t AsioLoop::flushing_connections() const {
  return impl_->flushing;
}

void AsioLoop::Impl::wake() {
  asio::post(io, [] {});
}

void AsioLoop::Impl::run_turn() {
  ++turn;
  bool ran = run_io();
  ran |= run_mail();
  ran |= run_tasks();
  ran |= run_timers();
  if (ran) run_end_of_turn();
  // Completions posted by the end of turn (a write that was sent at once) need no look at the sockets.
  for (int round = 0; round < kTaskRounds && run_tasks(); ++round) run_end_of_turn();
}

bool AsioLoop::Impl::run_io() {
  bool idle = tasks.empty() && (timers.empty() || timers.next() > monotonic_now());
  std::size_t count = 0;
  if (idle && !stopping.load(std::memory_order_relaxed)) {
    set_alarm();
    count += io.run_one();
  }
  while (count < kHandlersPerTurn && io.poll_one() > 0) ++count;
  return count > 0;
}

// One asio timer stands for all. It is moved only forward in time of firing: a cancelled earliest timer
// costs one empty wake-up instead of a system call for every change.
void AsioLoop::Impl::set_alarm() {
  if (timers.empty()) return;
  Mono when = std::min(timers.next(), monotonic_now() + kAlarmMax);
  if (alarm_at.ns != 0 && alarm_at <= when) return;
  alarm_at = when;
  alarm.expires_at(to_chrono(when));
  alarm.async_wait([this](const asio::error_code& ec) {
    if (!ec) alarm_at = Mono{0};
  });
}

bool AsioLoop::Impl::run_mail() {
  {
    std::lock_guard lock(mail_mutex);
    if (mail.empty()) return false;
    mail_running.swap(mail);
  }
  for (auto& task : mail_running) {
    task();
    task = nullptr;
  }
  mail_running.clear();
  return true;
}

bool AsioLoop::Impl::run_tasks() {
  if (tasks.empty()) return false;
  running.swap(tasks);
  for (auto& task : running) {
    task();
    task = nullptr;
  }
  running.clear();
  return true;
}

bool AsioLoop::Impl::run_timers() {
  if (timers.empty()) return false;
  Mono now = monotonic_now();
  std::uint64_t end = timers.next_order();
  bool ran = false;
  env::Task task;
  while (timers.pop_due(now, end, &task)) {
    task();
    task = nullptr;
    ran = true;
  }
  return ran;
}

void AsioLoop::Impl::run_end_of_turn() {
  if (end_replaced) {
    end_of_turn = std::move(next_end_of_turn);
    end_replaced = false;
  }
  if (end_of_turn) end_of_turn();
}

}  // namespace weir::platform
