// broker/platform/disk_workers.h - the threads that do blocking disk work for a loop.
//
// Thread:  submit() from the loop; jobs run on a worker. A job posts its own completion.
// Lanes:   kPrompt is what acknowledgements wait for; kBulk (zero-filling, cold reads) never takes
//          the last kPromptReserve workers, so it cannot delay the journal.
// Limits:  the queue is bounded by its users (one job per File at a time, reads in flight).
#pragma once

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <mutex>
#include <thread>
#include <vector>

#include "broker/base/unique_function.h"

namespace weir::platform {

enum class Lane : unsigned char { kPrompt, kBulk };

class DiskWorkers {
 public:
  explicit DiskWorkers(unsigned threads);
  /// Finishes every queued job first.
  ~DiskWorkers();

  void submit(Lane lane, UniqueFunction<void()> job);

 private:
  void work();
  bool take(UniqueFunction<void()>* job, Lane* lane);

  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<UniqueFunction<void()>> prompt_;  // these four under mutex_
  std::deque<UniqueFunction<void()>> bulk_;
  std::size_t bulk_running_ = 0;
  bool stopping_ = false;
  std::size_t bulk_max_ = 1;
  std::vector<std::thread> threads_;
};

}  // namespace weir::platform
