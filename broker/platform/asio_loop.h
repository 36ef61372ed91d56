// broker/platform/asio_loop.h - the shard's event loop on asio.
//
// Room:    edge. asio stays in .cc files and asio_context.h; this header is safe to include anywhere.
// Thread:  made anywhere, then owned by the thread that calls run(). Only the calls marked so may
//          come from other threads.
// Turn:    wait for one ready handler (only when nothing else is due), take more that are ready up to
//          kHandlersPerTurn, then tasks from other threads, posted tasks, due timers, then the
//          end-of-turn task. The loop never blocks while a task or an end of turn is owed.
// Clock:   monotonic, CLOCK_MONOTONIC.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "broker/env/loop.h"

namespace weir::platform {

constexpr std::size_t kHandlersPerTurn = 256;
constexpr std::size_t kMailboxTasksMax = 65'536;

class AsioLoop final : public env::Loop {
 public:
  AsioLoop();
  /// Drops tasks and timers that have not run. Everything that uses the loop is gone by then.
  ~AsioLoop() override;

  /// Runs turns until stop(). May be called again afterwards.
  void run();
  /// Ends run() after the current turn; before run(), makes the next one return at once. Any thread.
  void stop();

  void post(env::Task task) override;
  env::TimerId at(Mono when, env::Task task) override;
  void cancel(env::TimerId id) override;
  void set_end_of_turn(env::Task task) override;

  /// Runs `task` on the loop. Any thread. False (task dropped) if kMailboxTasksMax wait already.
  [[nodiscard]] bool post_external(env::Task task);
  /// As post_external without the cap: for completions of work that the loop itself asked for, whose
  /// number the asker bounds. Any thread.
  void post_completion(env::Task task);

  /// Number of the current turn; lets a connection bound what it does in one.
  std::uint64_t turn() const;

  /// Connections that are closed by their owner and still have bytes to send. At shutdown the process
  /// lingers (shortly) until this is 0.
  std::size_t flushing_connections() const;

  struct Impl;  // asio_context.h, for platform/ only
  Impl& impl() { return *impl_; }

 private:
  std::unique_ptr<Impl> impl_;
};

}  // namespace weir::platform
