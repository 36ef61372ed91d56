// broker/env/loop.h - the shard's event loop.
#pragma once

#include <cstdint>

#include "broker/base/time.h"
#include "broker/base/unique_function.h"

namespace weir::env {

using Task = UniqueFunction<void()>;

/// Names a pending timer; 0 is never given out.
using TimerId = std::uint64_t;

class Loop {
 public:
  virtual ~Loop() = default;

  /// Runs `task` in a later turn, in order of posting.
  virtual void post(Task task) = 0;

  /// Runs `task` once, at `when` or as soon after it as the loop can. Timers of one instant run in
  /// the order in which they were set.
  virtual TimerId at(Mono when, Task task) = 0;

  /// Forgets a timer. One that ran already, or 0, is no error.
  virtual void cancel(TimerId id) = 0;

  /// Calls `task` at the end of every turn that ran at least one handler, until replaced. There is
  /// one such task per loop: the Node's, which flushes batches and outboxes (DESIGN 4).
  virtual void set_end_of_turn(Task task) = 0;
};

}  // namespace weir::env
