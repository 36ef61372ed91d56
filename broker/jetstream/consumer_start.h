// broker/jetstream/consumer_start.h - where a new consumer begins, decided when its creation is applied.
//
// Room:   pure data. StreamMachine fills it in from the store (deliver_policy), ConsumerState keeps it.
// Why:    "last", "new" and "by start time" depend on the messages of that moment. Deciding in apply
//         gives every replica the same answer.
#pragma once

#include <vector>

#include "broker/base/ids.h"

namespace weir::jetstream {

struct ConsumerStart {
  /// First sequence that may be delivered. May be above the stream's last.
  StreamSeq first{1};
  /// last_per_subject only: up to and including `only_upto` nothing but the sequences of `only`
  /// (ascending, none below `first`) is to be delivered; above it everything that matches.
  StreamSeq only_upto;
  std::vector<StreamSeq> only;
};

}  // namespace weir::jetstream
