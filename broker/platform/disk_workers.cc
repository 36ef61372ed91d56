#include "broker/platform/disk_workers.h"

#include <algorithm>

#include "broker/base/check.h"

namespace weir::platform {
namespace {
constexpr unsigned kPromptReserve = 2;
}

DiskWorkers::DiskWorkers(unsigned threads) {
  CHECK(threads >= 2, "one worker could be held by bulk work for ever");
  bulk_max_ = threads > kPromptReserve ? threads - kPromptReserve : 1;
  threads_.reserve(threads);
  for (unsigned i = 0; i < threads; ++i) threads_.emplace_back([this] { work(); });
}

DiskWorkers::~DiskWorkers() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  for (auto& t : threads_) t.join();
}

void DiskWorkers::submit(Lane lane, UniqueFunction<void()> job) {
  {
    std::lock_guard lock(mutex_);
    (lane == Lane::kPrompt ? prompt_ : bulk_).push_back(std::move(job));
  }
  wake_.notify_one();
}

// Under mutex_.
bool DiskWorkers::take(UniqueFunction<void()>* job, Lane* lane) {
  bool bulk = prompt_.empty() && !bulk_.empty() && bulk_running_ < bulk_max_;
  if (prompt_.empty() && !bulk) return false;
  auto& queue = bulk ? bulk_ : prompt_;
  *lane = bulk ? Lane::kBulk : Lane::kPrompt;
  *job = std::move(queue.front());
  queue.pop_front();
  if (bulk) ++bulk_running_;
  return true;
}

void DiskWorkers::work() {
  std::unique_lock lock(mutex_);
  for (;;) {
    UniqueFunction<void()> job;
    Lane lane = Lane::kPrompt;
    if (take(&job, &lane)) {
      lock.unlock();
      job();
      job = nullptr;
      lock.lock();
      if (lane == Lane::kBulk) {
        --bulk_running_;
        if (stopping_ || !bulk_.empty()) wake_.notify_all();
      }
    } else if (stopping_ && prompt_.empty() && bulk_.empty()) {
      return;
    } else {
      wake_.wait(lock);
    }
  }
}

}  // namespace weir::platform
