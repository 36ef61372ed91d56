// broker/app/signals.h - signals as calls on a thread of their own.
//
// Thread:  make one in main before any other thread exists, so that all inherit the blocked mask.
//          The handler runs on the signal thread; it posts to the loop.
// Ignored: SIGPIPE, and SIGXFSZ (a file size limit then shows as a failed write).
#pragma once

#include <functional>
#include <thread>

namespace weir::app {

class Signals {
 public:
  /// Blocks INT, TERM, HUP, USR1 and USR2 for the calling thread and all it makes later.
  static void block();

  /// Delivers the blocked signals to `handler` until destroyed.
  explicit Signals(std::function<void(int)> handler);
  ~Signals();

 private:
  std::thread thread_;
};

}  // namespace weir::app
