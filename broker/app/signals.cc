#include "broker/app/signals.h"

#include <pthread.h>

#include <csignal>

namespace weir::app {
namespace {

// Ends the thread; a real-time signal, so that no operator's signal is taken for it.
int end_signal() {
  return SIGRTMIN;
}

sigset_t waited_for() {
  sigset_t set;
  sigemptyset(&set);
  for (int s : {SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGUSR2, end_signal()}) sigaddset(&set, s);
  return set;
}

}  // namespace

void Signals::block() {
  sigset_t set = waited_for();
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
  std::signal(SIGPIPE, SIG_IGN);
  std::signal(SIGXFSZ, SIG_IGN);
}

Signals::Signals(std::function<void(int)> handler) {
  thread_ = std::thread([handler = std::move(handler)] {
    sigset_t set = waited_for();
    for (;;) {
      int which = 0;
      if (sigwait(&set, &which) != 0) continue;
      if (which == end_signal()) return;
      handler(which);
    }
  });
}

Signals::~Signals() {
  pthread_kill(thread_.native_handle(), end_signal());
  thread_.join();
}

}  // namespace weir::app
