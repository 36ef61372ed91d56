// broker/platform/asio_context.h - the inside of AsioLoop, for asio_loop.cc and the transport only.
#pragma once

#include <atomic>
#include <mutex>
#include <vector>

#include "broker/platform/asio_loop.h"
#include "broker/platform/asio_pieces.h"
#include "broker/platform/timer_heap.h"

namespace weir::platform {

/// Bytes that one read of a busy connection can bring; the buffer is shared by all of them.
constexpr std::size_t kScratchBytes = 128 * 1024;

struct AsioLoop::Impl {
  // First, so that it dies last: tasks and timers below may own sockets.
  asio::io_context io{1};
  asio::executor_work_guard<asio::io_context::executor_type> work{io.get_executor()};
  asio::steady_timer alarm{io};
  Mono alarm_at{0};  // when `alarm` fires; 0 = not set

  TimerHeap timers;
  std::vector<env::Task> tasks;
  std::vector<env::Task> running;  // tasks of this turn; kept for its capacity
  env::Task end_of_turn;
  env::Task next_end_of_turn;  // set while the old one may be running
  bool end_replaced = false;
  std::uint64_t turn = 0;
  std::size_t flushing = 0;
  std::vector<std::uint8_t> scratch = std::vector<std::uint8_t>(kScratchBytes);
  std::vector<std::uint8_t> plain;  // what a read brought, decrypted; kScratchBytes from its first use on

  std::atomic<bool> stopping{false};
  std::mutex mail_mutex;
  std::vector<env::Task> mail;  // under mail_mutex; a wake-up is on its way if not empty
  std::vector<env::Task> mail_running;

  void run_turn();
  bool run_io();
  bool run_mail();
  bool run_tasks();
  bool run_timers();
  void run_end_of_turn();
  void set_alarm();
  void wake();
};

}  // namespace weir::platform
