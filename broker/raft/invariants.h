// broker/raft/invariants.h - what may change in a core from one moment to the next.
//
// Room:    pure; an object that remembers the last View of one core's life and compares (LogCabin's
//          habit). Tests and the simulator call it after every input; a host may, it costs 200 ns.
// Errors:  kCorrupt naming the first rule that is broken. That is a defect of the core, not of input.
#pragma once

#include <optional>

#include "broker/base/result.h"
#include "broker/raft/ready.h"

namespace weir::raft {

class Invariants {
 public:
  /// Checks `now` by itself and against the view before it.
  Status check(const View& now);
  /// The core was restarted: what was durable holds on, the rest may be gone.
  void restarted(const HardState& durable);

 private:
  std::optional<View> before_;
};

}  // namespace weir::raft
