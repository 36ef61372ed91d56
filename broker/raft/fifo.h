// broker/raft/fifo.h - a queue in one vector, without memory while it was never used.
//
// Room:    pure. std::deque takes 600 bytes before its first element; a core has six queues, and most
//          cores of a node are idle.
// Cost:    push and pop are O(1) amortised; the front's gap is closed when it is half of the vector.
//          When the last element goes, memory above kKeep elements is given back.
#pragma once

#include <cstddef>
#include <utility>
#include <vector>

namespace weir::raft {

template <class T>
class Fifo {
 public:
  bool empty() const { return head_ == items_.size(); }
  std::size_t size() const { return items_.size() - head_; }
  T& front() { return items_[head_]; }
  const T& front() const { return items_[head_]; }
  T& back() { return items_.back(); }
  const T& back() const { return items_.back(); }
  T& operator[](std::size_t i) { return items_[head_ + i]; }
  const T& operator[](std::size_t i) const { return items_[head_ + i]; }
  T* begin() { return items_.data() + head_; }
  T* end() { return items_.data() + items_.size(); }
  const T* begin() const { return items_.data() + head_; }
  const T* end() const { return items_.data() + items_.size(); }

  void push_back(T item) { items_.push_back(std::move(item)); }
  void pop_back() {
    items_.pop_back();
    settle();
  }
  void pop_front() {
    items_[head_] = T();
    ++head_;
    settle();
  }
  void clear() {
    head_ = items_.size();
    settle();
  }

 private:
  static constexpr std::size_t kKeep = 64;

  void settle() {
    if (empty()) {
      head_ = 0;
      items_.clear();
      if (items_.capacity() > kKeep) items_ = {};
    } else if (head_ >= 32 && head_ * 2 >= items_.size()) {
      items_.erase(items_.begin(), items_.begin() + static_cast<std::ptrdiff_t>(head_));
      head_ = 0;
    }
  }
  std::vector<T> items_;
  std::size_t head_ = 0;  // elements before it are gone
};

}  // namespace weir::raft
