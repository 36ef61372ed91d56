// broker/server/turn.h - who has work to do before the loop's turn ends.
//
// Room:    shell. Thread: the shard. Owner: JetStream.
// Order of a turn's end: API requests, consumers, stream batches, journal, client outboxes (node.cc).
// Life:    a queued object takes itself off the list when it is destroyed.
#pragma once

#include <algorithm>
#include <vector>

namespace weir::server {

template <class T>
class TurnList {
 public:
  /// `item.queued` is the caller's flag that keeps it from being listed twice.
  void add(T& item, bool& queued) {
    if (queued) return;
    queued = true;
    items_.push_back(&item);
  }
  /// What was listed so far; later additions go to the next round.
  std::vector<T*> take() { return std::exchange(items_, {}); }
  bool empty() const { return items_.empty(); }
  void forget(T& item) {
    std::replace(items_.begin(), items_.end(), &item, static_cast<T*>(nullptr));
    std::replace(running_.begin(), running_.end(), &item, static_cast<T*>(nullptr));
  }
  /// Calls f for each listed item; items destroyed meanwhile are skipped.
  template <class F>
  void run(F&& f) {
    running_ = take();
    for (std::size_t i = 0; i < running_.size(); ++i) {
      if (running_[i]) f(*running_[i]);
    }
    running_.clear();
  }

 private:
  std::vector<T*> items_;
  std::vector<T*> running_;
};

class StreamHost;
class ConsumerHost;

struct Turn {
  TurnList<StreamHost> streams;      // with a batch to propose
  TurnList<ConsumerHost> consumers;  // to be stepped
};

}  // namespace weir::server
