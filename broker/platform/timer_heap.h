// broker/platform/timer_heap.h - pending timers of one loop, earliest first.
//
// Room:      container only; AsioLoop asks it when to wake and what is due.
// Thread:    the loop's.
// Cost:      add and cancel O(log n), no allocation once the vectors have grown. A broker holds a few
//            timers per connection and group, so thousands are normal.
// Invariant: of two timers of one instant the one added first leaves first.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "broker/base/time.h"
#include "broker/env/loop.h"

namespace weir::platform {

class TimerHeap {
 public:
  /// Never returns 0. An id is not given out again for 2^32 reuses of its slot.
  env::TimerId add(Mono when, env::Task task);
  /// Drops the timer and its task. Ids that are unknown or have run are ignored.
  void cancel(env::TimerId id);

  bool empty() const { return heap_.empty(); }
  /// Time of the earliest timer; the heap is not empty.
  Mono next() const { return heap_.front().when; }
  /// Order number that the next added timer gets; see pop_due.
  std::uint64_t next_order() const { return next_order_; }

  /// Takes the earliest timer if it is due at `now` and was added before `order_end` (so that a timer
  /// which sets itself again for the past cannot keep a turn going for ever).
  bool pop_due(Mono now, std::uint64_t order_end, env::Task* out);

 private:
  struct Node {
    Mono when;
    std::uint64_t order = 0;
    std::uint32_t slot = 0;
    bool before(const Node& o) const { return when != o.when ? when < o.when : order < o.order; }
  };
  struct Slot {
    std::uint32_t generation = 1;
    std::uint32_t position = 0;  // in heap_ while pending
    bool pending = false;
    env::Task task;
  };

  void place(std::size_t position, const Node& node);
  void sift_up(std::size_t position, const Node& node);
  void sift_down(std::size_t position, const Node& node);
  env::Task take(std::size_t position);

  std::vector<Node> heap_;
  std::vector<Slot> slots_;
  std::vector<std::uint32_t> free_;
  std::uint64_t next_order_ = 0;
};

}  // namespace weir::platform
