#include "broker/platform/timer_heap.h"

namespace weir::platform {

void TimerHeap::place(std::size_t position, const Node& node) {
  heap_[position] = node;
  slots_[node.slot].position = static_cast<std::uint32_t>(position);
}

void TimerHeap::sift_up(std::size_t position, const Node& node) {
  while (position > 0) {
    std::size_t parent = (position - 1) / 2;
    if (!node.before(heap_[parent])) break;
    place(position, heap_[parent]);
    position = parent;
  }
  place(position, node);
}

void TimerHeap::sift_down(std::size_t position, const Node& node) {
  for (;;) {
    std::size_t child = 2 * position + 1;
    if (child >= heap_.size()) break;
    if (child + 1 < heap_.size() && heap_[child + 1].before(heap_[child])) ++child;
    if (!heap_[child].before(node)) break;
    place(position, heap_[child]);
    position = child;
  }
  place(position, node);
}

env::TimerId TimerHeap::add(Mono when, env::Task task) {
  std::uint32_t slot;
  if (free_.empty()) {
    slot = static_cast<std::uint32_t>(slots_.size());
    slots_.emplace_back();
  } else {
    slot = free_.back();
    free_.pop_back();
  }
  slots_[slot].task = std::move(task);
  slots_[slot].pending = true;
  heap_.emplace_back();
  sift_up(heap_.size() - 1, Node{when, next_order_++, slot});
  return (std::uint64_t{slots_[slot].generation} << 32) | slot;
}

env::Task TimerHeap::take(std::size_t position) {
  std::uint32_t slot = heap_[position].slot;
  Node last = heap_.back();
  heap_.pop_back();
  if (position < heap_.size()) {
    bool up = position > 0 && last.before(heap_[(position - 1) / 2]);
    up ? sift_up(position, last) : sift_down(position, last);
  }
  Slot& s = slots_[slot];
  s.pending = false;
  if (++s.generation == 0) s.generation = 1;
  free_.push_back(slot);
  return std::move(s.task);
}

void TimerHeap::cancel(env::TimerId id) {
  auto slot = static_cast<std::uint32_t>(id);
  if (slot >= slots_.size()) return;
  const Slot& s = slots_[slot];
  if (!s.pending || s.generation != static_cast<std::uint32_t>(id >> 32)) return;
  // The task may own what its destructor reaches back for: it dies after the heap is whole again.
  env::Task dropped = take(s.position);
}

bool TimerHeap::pop_due(Mono now, std::uint64_t order_end, env::Task* out) {
  if (heap_.empty() || heap_.front().when > now || heap_.front().order >= order_end) return false;
  *out = take(0);
  return true;
}

}  // namespace weir::platform
