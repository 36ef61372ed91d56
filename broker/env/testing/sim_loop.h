// broker/env/testing/sim_loop.h - a deterministic event loop and clock with virtual time.
//
// Room:     test world; no thread, no real clock. One SimTime may carry many SimLoops (the nodes of
//           a simulated cluster); a SimLoop made without one owns its own.
// Order:    events run by (time, number of creation). Time jumps to the next event; handlers cost 0.
// Turn:     consecutive events of one loop that are due now and existed when the turn began, at most
//           kTurnEventsMax, then the loop's end-of-turn task.
// Pause:    a paused loop runs nothing until its time has come; then everything that became due meanwhile,
//           in order. What a stopped process, or one on a machine that does not get to it, looks like.
// Kill:     forget_all() or the destructor drop what a loop has pending without running it.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "broker/base/prng.h"
#include "broker/env/env.h"

namespace weir::env::testing {

class SimLoop;

/// The virtual time line and the queue of everything that will happen.
class SimTime {
 public:
  explicit SimTime(Mono start = Mono{1'000 * kSecond}) : now_(start) {}

  Mono now() const { return now_; }
  /// Runs one turn of the next loop that has something to do, moving time forward if need be.
  /// False if nothing is pending.
  bool turn();
  /// Runs turns until nothing is pending, or `turns_max` ran. Returns the number of turns. A world
  /// with a repeating timer never gets idle: use run_for or run_until there.
  std::uint64_t run_until_idle(std::uint64_t turns_max = 1'000'000);
  /// Runs everything due within `d`, then sets the time to exactly now + d.
  void run_for(Nanos d);
  /// Runs turns until `stop()` holds (checked between turns) or `limit` of virtual time has passed.
  /// Returns stop().
  bool run_until(const std::function<bool()>& stop, Nanos limit = kMinute);
  bool idle() const { return events_.empty(); }
  /// The loop that the last turn was of. Not to be followed: it may be gone.
  const SimLoop* ran() const { return ran_; }
  std::uint64_t turns() const { return turns_; }

 private:
  friend class SimLoop;
  static constexpr unsigned kTurnEventsMax = 64;
  using Key = std::pair<Mono, std::uint64_t>;
  struct Event {
    SimLoop* loop;
    Task task;
  };
  bool take_due(SimLoop* loop, std::uint64_t before, Task& task);

  Mono now_;
  std::uint64_t next_ = 1;
  std::uint64_t turns_ = 0;
  std::map<Key, Event> events_;
  const SimLoop* ran_ = nullptr;
  SimLoop* running_ = nullptr;  // cleared if the loop dies inside its own turn
};

class SimLoop final : public Loop, public Clock {
 public:
  SimLoop() : own_(std::make_unique<SimTime>()), time_(*own_) {}
  explicit SimLoop(SimTime& time) : time_(time) {}
  ~SimLoop() override;
  SimLoop(const SimLoop&) = delete;
  SimLoop& operator=(const SimLoop&) = delete;

  void post(Task task) override { (void)at(time_.now_, std::move(task)); }
  TimerId at(Mono when, Task task) override;
  void cancel(TimerId id) override;
  void set_end_of_turn(Task task) override;

  /// Virtual time plus this loop's skew (skew never makes now() go back by itself).
  Mono now() override { return time_.now_ + mono_skew_; }
  Wall wall() override { return {kWallStart.ns + time_.now_.ns + wall_skew_}; }
  /// Offsets of this node's clocks. `at` takes times of the skewed clock.
  void set_skew(Nanos mono, Nanos wall) {
    mono_skew_ = mono;
    wall_skew_ = wall;
  }

  /// Runs nothing before the true time `until`. A second pause may only prolong the first.
  void pause(Mono until);
  bool paused() const { return time_.now_ < paused_until_; }
  /// The pause ends now.
  void resume();

  /// Drops everything pending and the end-of-turn task: the process died. Ends a pause.
  void forget_all();

  SimTime& time() { return time_; }
  std::uint64_t run_until_idle(std::uint64_t turns_max = 1'000'000) {
    return time_.run_until_idle(turns_max);
  }
  void run_for(Nanos d) { time_.run_for(d); }
  bool run_until(const std::function<bool()>& stop, Nanos limit = kMinute) {
    return time_.run_until(stop, limit);
  }

  /// Unix time of virtual time zero: 2030-01-01T00:00:00Z.
  static constexpr Wall kWallStart{1'893'456'000 * kSecond};

 private:
  friend class SimTime;
  void move(TimerId id, Mono to);
  std::unique_ptr<SimTime> own_;
  SimTime& time_;
  std::map<TimerId, Mono> pending_;  // every event of this loop: number -> due time
  Task end_of_turn_;
  bool end_replaced_ = false;  // set_end_of_turn was called while the task ran
  Nanos mono_skew_ = 0;
  Nanos wall_skew_ = 0;
  Mono paused_until_{};
  Nanos paused_events_ = 0;           // that wait for the end of the pause: keeps their order
  std::map<TimerId, Mono> deferred_;  // these events, and when they were due; some may be gone
};

/// Keeps every line; tests look for words in them.
class LogSink final : public Log {
 public:
  struct Line {
    Level level;
    std::string text;
  };
  explicit LogSink(Level least = Level::kDebug) : least_(least) {}
  void write(Level level, std::string_view line) override { lines_.push_back({level, std::string(line)}); }
  bool enabled(Level level) const override { return level >= least_; }
  const std::vector<Line>& lines() const { return lines_; }
  bool contains(std::string_view part) const;
  std::size_t count(Level level) const;
  void clear() { lines_.clear(); }

 private:
  Level least_;
  std::vector<Line> lines_;
};

class SimRandom final : public Random {
 public:
  explicit SimRandom(std::uint64_t seed) : prng_(seed) {}
  std::uint64_t next() override { return prng_.next(); }

 private:
  Prng prng_;
};

class SimProcess final : public Process {
 public:
  ProcessUsage usage() override { return figures; }
  ProcessUsage figures{64u << 20, 1.0, 2};
};

/// A world without a network: listen and dial fail with kUnsupported (dial in a later turn).
class NoTransport final : public Transport {
 public:
  explicit NoTransport(Loop& loop) : loop_(loop) {}
  Result<std::unique_ptr<Listener>> listen(const Endpoint& at, Accepted on_accept) override;
  void dial(const Endpoint& to, std::int64_t timeout_ns, Dialled done) override;
  std::vector<std::string> interface_addresses() override { return {}; }

 private:
  Loop& loop_;
};

}  // namespace weir::env::testing
