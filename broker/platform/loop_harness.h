// broker/platform/loop_harness.h - runs a real loop in a test until something holds. Tests only.
#pragma once

#include <gtest/gtest.h>

#include <functional>

#include "broker/platform/asio_loop.h"
#include "broker/platform/system.h"

namespace weir::platform {

/// Turns `loop` until `done()` holds; fails the test after ten seconds.
inline void run_until(AsioLoop& loop, std::function<bool()> done) {
  bool late = false;
  auto limit = loop.at(monotonic_now() + 10 * kSecond, [&] {
    late = true;
    loop.stop();
  });
  std::function<void()> look = [&] {
    if (done()) loop.stop();
  };
  loop.set_end_of_turn([&] { look(); });
  loop.post([] {});
  loop.run();
  loop.set_end_of_turn(nullptr);
  loop.cancel(limit);
  EXPECT_FALSE(late) << "condition not reached";
}

}  // namespace weir::platform
