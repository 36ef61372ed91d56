// broker/raft/progress.h - what a leader knows of one follower's log, and how much it may send.
//
// Room:    pure bookkeeping; every change of state is a named function here, none in the step code.
// States:  Probe      the end of the common prefix is being searched: one append per answer
//          Replicate  appends are sent ahead of their acks, up to the in-flight limits
//          Snapshot   the log no longer reaches back far enough: nothing is sent until the host of
//                     the follower has installed a state and says so by an append ack
// Invariant: match < next. In Replicate, [match+1, next) is in flight.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "broker/base/fifo.h"
#include "broker/base/ids.h"

namespace weir::raft {

/// Appends sent and not acknowledged: count and bytes bounded.
class InFlight {
 public:
  InFlight(std::size_t count_max, std::size_t bytes_max) : count_max_(count_max), bytes_max_(bytes_max) {}
  bool full() const { return sent_.size() >= count_max_ || bytes_ >= bytes_max_; }
  std::size_t count() const { return sent_.size(); }
  std::size_t bytes() const { return bytes_; }
  void add(RaftIndex last, std::size_t bytes) {
    sent_.push_back({last, bytes});
    bytes_ += bytes;
  }
  /// Everything up to `index` was acknowledged.
  void free_to(RaftIndex index) {
    while (!sent_.empty() && sent_.front().last <= index) {
      bytes_ -= sent_.front().bytes;
      sent_.pop_front();
    }
  }
  void clear() {
    sent_.clear();
    bytes_ = 0;
  }

 private:
  struct Sent {
    RaftIndex last;
    std::size_t bytes;
  };
  std::size_t count_max_, bytes_max_;
  Fifo<Sent> sent_;
  std::size_t bytes_ = 0;
};

enum class ProgressState : std::uint8_t { kProbe, kReplicate, kSnapshot };

struct Progress {
  Progress(RaftIndex next_index, std::size_t count_max, std::size_t bytes_max)
      : next(next_index), in_flight(count_max, bytes_max) {}

  ProgressState state = ProgressState::kProbe;
  RaftIndex match{0};        // durable on the follower up to here
  RaftIndex next;            // first entry to send
  RaftIndex sent_commit{0};  // highest commit index told
  RaftIndex pending_snapshot{0};
  std::uint64_t round = 0;       // last heartbeat round answered
  std::uint64_t sent_round = 0;  // heartbeat round in force when the last append left
  bool active = false;           // answered anything since the last quorum check
  bool probe_sent = false;       // Probe: wait for the answer
  bool nudge = false;            // Replicate: send an empty append to find out whether appends were lost
  bool loading = false;          // the host reads old entries for it
  InFlight in_flight;

  void become_probe() {
    // After a snapshot the follower has at least that; the ack may have been for more.
    RaftIndex from = state == ProgressState::kSnapshot ? std::max(match, pending_snapshot) : match;
    reset(ProgressState::kProbe);
    next = from + 1;
  }
  void become_replicate() {
    reset(ProgressState::kReplicate);
    next = match + 1;
  }
  void become_snapshot(RaftIndex index) {
    reset(ProgressState::kSnapshot);
    pending_snapshot = index;
  }
  /// Nothing may be sent now.
  bool paused() const {
    if (loading) return true;
    switch (state) {
      case ProgressState::kProbe: return probe_sent;
      case ProgressState::kReplicate: return in_flight.full() && !nudge;
      case ProgressState::kSnapshot: return true;
    }
    return true;
  }
  /// An append with `count` entries (0 for an empty one) leaves.
  void sent(std::size_t count, std::size_t bytes, RaftIndex commit) {
    sent_commit = std::max(sent_commit, commit);
    nudge = false;
    if (state == ProgressState::kProbe) {
      probe_sent = true;
    } else if (count > 0) {
      next = next + count;
      in_flight.add(next - 1, bytes);
    }
  }
  /// The follower acknowledged everything up to `index`. False if that was known.
  bool acked(RaftIndex index) {
    if (index <= match) return false;
    match = index;
    next = std::max(next, match + 1);
    return true;
  }
  /// The follower refused an append after `rejected`; `agree` is where the logs may still agree.
  /// Returns false if the answer is out of date.
  bool refused(RaftIndex rejected, RaftIndex agree) {
    if (rejected <= match && agree < match) {
      // It lost entries that it had (a disk that lied, a follower that answers before its sync). A
      // lower match only delays commits, so an old answer can do no harm here.
      match = agree;
      reset(ProgressState::kProbe);
      next = match + 1;
      return true;
    }
    if (state == ProgressState::kReplicate) {
      if (rejected <= match) return false;
      become_probe();
      return true;
    }
    if (state == ProgressState::kSnapshot || rejected + 1 != next) return false;
    next = std::max(std::min(rejected, agree + 1), match + 1);
    probe_sent = false;
    return true;
  }

 private:
  void reset(ProgressState to) {
    state = to;
    probe_sent = nudge = loading = false;
    pending_snapshot = RaftIndex{0};
    in_flight.clear();
  }
};

}  // namespace weir::raft
