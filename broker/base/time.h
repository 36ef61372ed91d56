// broker/base/time.h - points in time and durations, in nanoseconds.
//
// Mono is a monotonic clock without meaning outside the process; Wall is Unix time; Nanos is a
// difference. They do not mix: adding a Nanos is the only arithmetic.
#pragma once

#include <compare>
#include <cstdint>

namespace weir {

using Nanos = std::int64_t;

constexpr Nanos kMicrosecond = 1'000;
constexpr Nanos kMillisecond = 1'000'000;
constexpr Nanos kSecond = 1'000'000'000;
constexpr Nanos kMinute = 60 * kSecond;
constexpr Nanos kHour = 60 * kMinute;

template <class Tag>
struct TimePoint {
  Nanos ns = 0;
  constexpr auto operator<=>(const TimePoint&) const = default;
  constexpr TimePoint operator+(Nanos d) const { return {ns + d}; }
  constexpr TimePoint operator-(Nanos d) const { return {ns - d}; }
  constexpr Nanos operator-(TimePoint o) const { return ns - o.ns; }
};

using Mono = TimePoint<struct MonoTag>;
using Wall = TimePoint<struct WallTag>;  // ns since 1970-01-01T00:00:00Z; 0 = no time

}  // namespace weir
