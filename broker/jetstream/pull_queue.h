// broker/jetstream/pull_queue.h - the pull requests that wait for messages.
//
// Room:    pure, volatile: clients send again after a leadership change.
// Rule:    served in turn, one message each, so that clients share the messages evenly.
// Cost:    every call O(1) per pull touched; expiry looks at all pulls only when one is due.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "broker/api/requests.h"
#include "broker/base/bytes.h"
#include "broker/base/time.h"

namespace weir::jetstream {

/// A pull request in the queue. The last group is the queue's own.
struct PullRequest {
  Bytes reply;
  std::uint64_t batch = 1;  // 0 counts as 1
  Nanos expires = 0;        // from arrival; 0 = never
  std::uint64_t max_bytes = 0;
  bool no_wait = false;
  Nanos heartbeat = 0;

  Mono deadline;              // kNoDeadline = none
  Mono heartbeat_due;         // kNoDeadline = none
  std::uint64_t sent = 0;     // messages delivered to it
  std::uint64_t checked = 0;  // step in which interest was looked at
};

/// From the decoded body of MSG.NEXT or +NXT. Negative numbers count as not given.
PullRequest make_pull(Bytes reply, const api::NextRequest& body);

class PullQueue {
 public:
  bool empty() const { return size_ == 0; }
  std::size_t size() const { return size_; }
  /// Messages that the waiting pulls still ask for.
  std::uint64_t wanted() const { return wanted_; }
  bool any_no_wait() const { return no_wait_ > 0; }
  /// Earliest deadline or heartbeat; may be early after a removal, never late.
  Mono next_due() const { return size_ == 0 ? none() : next_due_; }

  void push(PullRequest r);
  /// The one whose turn it is; the queue must not be empty. Valid until the next call.
  PullRequest& front() { return ring_[head_]; }
  /// One message went to the front: it goes to the back, or away when its batch is done.
  void served_front(Mono heartbeat_due);
  void pop_front();

  /// Calls `keep(PullRequest&)` for each in turn, removes those for which it gives false, and finds
  /// next_due anew.
  template <class F>
  void filter(F&& keep) {
    std::size_t n = size_;
    next_due_ = none();
    for (std::size_t i = 0; i < n; ++i) {
      PullRequest r = take_front();
      if (keep(r)) put_back(std::move(r));
    }
  }

 private:
  static Mono none();
  PullRequest take_front();
  void put_back(PullRequest r);

  std::vector<PullRequest> ring_;  // power of two
  std::size_t head_ = 0;
  std::size_t size_ = 0;
  std::uint64_t wanted_ = 0;
  std::size_t no_wait_ = 0;
  Mono next_due_ = none();
};

}  // namespace weir::jetstream
