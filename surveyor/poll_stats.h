// surveyor/poll_stats.h - what the surveyor counts about its own questions.
//
// Room:    pure data; counters start at 0 with the process. Durations in seconds.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <utility>

#include "broker/base/time.h"

namespace weir::surveyor {

constexpr std::array<double, 11> kDurationBounds = {0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10};

struct DurationHistogram {
  std::array<std::uint64_t, kDurationBounds.size() + 1> buckets{};  // last = above every bound
  double sum_s = 0;
  std::uint64_t count = 0;

  void add(double seconds) {
    std::size_t i = 0;
    while (i < kDurationBounds.size() && seconds > kDurationBounds[i]) ++i;
    ++buckets[i];
    sum_s += seconds;
    ++count;
  }
};

/// Per kind of question: "PING", "JSZ", and "round" for all of one round.
struct RequestStats {
  DurationHistogram duration;
  std::uint64_t response_bytes = 0;
  double last_duration_s = 0;
  Wall last_success;  // 0 = never
};

struct PollStats {
  std::map<std::string, RequestStats> requests;
  std::map<std::pair<std::string, std::string>, std::uint64_t> errors;  // request, reason
  std::map<std::string, std::uint64_t> events, events_dropped;
  std::uint64_t late_replies = 0, no_replies = 0, failed_rounds = 0, reconnects = 0;
};

}  // namespace weir::surveyor
