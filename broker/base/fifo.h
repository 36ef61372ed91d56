// broker/base/fifo.h - a queue in one vector, without memory while it was never used.
//
// Room:    pure. std::deque takes 600 bytes before its first element; a node has queues per stream, consumer
//          and Raft group, and most of those are idle.
// Cost:    push and pop are O(1) amortised; the front's gap is closed when it is half of the vector.
//          When the last element goes, memory above kKeep elements is given back.
// Caution: push_back() moves the elements: no reference to one survives it.
#pragma once

#include <cstddef>
#include <iterator>
#include <utility>
#include <vector>

namespace weir {

template <class T>
class Fifo {
 public:
  bool empty() const { return head_.at == items_.size(); }
  std::size_t size() const { return items_.size() - head_.at; }
  T& front() { return items_[head_.at]; }
  const T& front() const { return items_[head_.at]; }
  T& back() { return items_.back(); }
  const T& back() const { return items_.back(); }
  T& operator[](std::size_t i) { return items_[head_.at + i]; }
  const T& operator[](std::size_t i) const { return items_[head_.at + i]; }
  T* begin() { return items_.data() + head_.at; }
  T* end() { return items_.data() + items_.size(); }
  const T* begin() const { return items_.data() + head_.at; }
  const T* end() const { return items_.data() + items_.size(); }
  auto rbegin() const { return std::make_reverse_iterator(end()); }
  auto rend() const { return std::make_reverse_iterator(begin()); }

  void push_back(T item) { items_.push_back(std::move(item)); }
  void pop_back() {
    items_.pop_back();
    settle();
  }
  void pop_front() {
    items_[head_.at] = T();
    ++head_.at;
    settle();
  }
  /// The element at `i`, which moves those behind it; at the front as pop_front().
  void erase(std::size_t i) {
    if (i == 0) return pop_front();
    items_.erase(items_.begin() + static_cast<std::ptrdiff_t>(head_.at + i));
    settle();
  }
  template <class Predicate>
  void erase_if(Predicate&& over) {
    items_.erase(items_.begin(), items_.begin() + static_cast<std::ptrdiff_t>(head_.at));
    head_.at = 0;
    std::erase_if(items_, over);
    settle();
  }
  void clear() {
    head_.at = items_.size();
    settle();
  }

 private:
  static constexpr std::size_t kKeep = 64;

  void settle() {
    if (empty()) {
      head_.at = 0;
      items_.clear();
      if (items_.capacity() > kKeep) std::vector<T>().swap(items_);  // = {} would keep it
    } else if (head_.at >= 32 && head_.at * 2 >= items_.size()) {
      items_.erase(items_.begin(), items_.begin() + static_cast<std::ptrdiff_t>(head_.at));
      head_.at = 0;
    }
  }
  // Empty when moved from, as the vector is then.
  struct Head {
    std::size_t at = 0;
    Head() = default;
    Head(const Head&) = default;
    Head& operator=(const Head&) = default;
    Head(Head&& o) noexcept : at(std::exchange(o.at, 0)) {}
    Head& operator=(Head&& o) noexcept {
      at = std::exchange(o.at, 0);
      return *this;
    }
  };
  std::vector<T> items_;
  Head head_;  // elements before it are gone
};

}  // namespace weir
