// broker/jetstream/ack_timers.h - when unacknowledged messages are due again.
//
// Room:    pure, volatile; rebuilt from the pending set by a new leader.
// Rule:    messages with the same wait become due in the order in which they were armed, so each
//          wait has a plain queue; messages armed in the same millisecond share one run. Nothing is
//          removed on ack: whoever takes a due run looks at the pending set, where an entry whose
//          stamp is not the run's deadline is meant no more.
// Cost:    arming O(1); memory per millisecond and wait, not per message, for deliveries in order.
// Units:   deadlines in milliseconds of the monotonic clock, rounded up.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "broker/base/ids.h"
#include "broker/base/time.h"
#include "broker/jetstream/progress.h"

namespace weir::jetstream {

/// Stamp of a pending entry in the live copy that waits for redelivery or has no timer.
constexpr std::uint64_t kQueued = 0;

class AckTimers {
 public:
  struct Run {
    std::uint64_t deadline_ms = 0;
    SeqRange range;
  };

  /// Deadline for `wait` from `now`: never kQueued.
  static std::uint64_t deadline_ms(Mono now, Nanos wait);

  /// Forgets all; `classes` is the number of different waits (ack_wait or each backoff).
  void reset(std::size_t classes);
  /// `cls` = which wait. Deadlines of a class must not fall; one that does goes to the odd ones.
  void arm(std::size_t cls, std::uint64_t deadline_ms, StreamSeq seq);
  /// For a delay of its own (NAK with delay).
  void arm_odd(std::uint64_t deadline_ms, StreamSeq seq);
  /// The next run that is due at `now`, removed.
  std::optional<Run> take_due(Mono now);
  /// Drops runs at the front of the queues for which `live(run)` is false.
  template <class F>
  void trim(F&& live) {
    for (auto& q : queues_)
      while (q.head < q.runs.size() && !live(q.runs[q.head])) pop(q);
  }
  /// kNoDeadline when nothing is armed.
  Mono next() const;

 private:
  struct Queue {
    std::vector<Run> runs;
    std::size_t head = 0;
  };
  static void pop(Queue& q);
  std::vector<Queue> queues_;
  std::vector<Run> odd_;  // heap, earliest first
};

/// Messages that wait to be delivered again, first come first served.
class RedeliveryQueue {
 public:
  bool empty() const { return head_ == seqs_.size(); }
  /// Some of them may have been acked meanwhile.
  std::size_t size() const { return seqs_.size() - head_; }
  StreamSeq front() const { return seqs_[head_]; }
  void push(StreamSeq seq) { seqs_.push_back(seq); }
  void pop();
  void clear();

 private:
  std::vector<StreamSeq> seqs_;
  std::size_t head_ = 0;
};

}  // namespace weir::jetstream
