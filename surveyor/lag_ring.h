// surveyor/lag_ring.h - when was sequence N of a stream published? A short memory of exact points.
//
// Room:    pure. Points are (last_seq, last_ts) and (first_seq, first_ts) as the stream's leader reports
//          them, so both halves of a point come from one clock; between two points it interpolates.
// Limits:  kPoints points; the oldest goes first.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>

#include "broker/base/time.h"
#include "surveyor/model.h"

namespace weir::surveyor {

class LagRing {
 public:
  static constexpr std::size_t kPoints = 60;

  /// Takes the state of one round. A last_seq that fell (stream made anew) empties the ring.
  void add(const StreamStateRow& state);

  /// Publication time of the first message with a sequence >= `seq`; nullopt if the stream ends below it.
  std::optional<Wall> published_at(std::uint64_t seq) const;

 private:
  struct Point {
    std::uint64_t seq;
    Wall at;
  };
  std::optional<Point> first_;
  std::deque<Point> points_;  // both members strictly resp. weakly rising
};

}  // namespace weir::surveyor
