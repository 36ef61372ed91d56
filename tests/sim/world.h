// tests/sim/world.h - the seeded world: time, network, and the nodes with their disks.
//
// A node is a server::Node over a SimLoop with skewed clocks, a SimDisk that outlives it, and a SimHost.
// It dies by loss of power (unsynced bytes at risk), by kill -9 (page cache survives), by its own wish
// when its disk failed, or by an orderly stop; and comes back after a while, on the same disk or on an
// empty one. It can also be paused: it lives, and does nothing.
// Damage:   a disk that was wiped, or whose files rotted, is damaged(); whoever injects faults calls
//           repaired() when the cluster has made up for it. A damaged node that does not start any more is
//           wiped by its operator, who gives it the same name.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "broker/env/testing/sim_disk.h"
#include "broker/server/node.h"
#include "tests/sim/sim_net.h"

namespace weir::sim {

/// The first thing found wrong; later ones are usually its consequences.
class Verdict {
 public:
  void fail(const std::string& what);
  bool failed() const { return !text_.empty(); }
  const std::string& text() const { return text_; }
  std::function<void(const std::string&)> on_fail;

 private:
  std::string text_;
};

/// What happens in the world, for -v; also the last lines before a failure.
class EventLog {
 public:
  explicit EventLog(env::testing::SimTime& time) : time_(time) {}
  bool verbose = false;
  void add(const std::string& line);
  const std::vector<std::string>& lines() const { return lines_; }

 private:
  env::testing::SimTime& time_;
  std::vector<std::string> lines_;  // the last kKept
};

enum class Death : unsigned char { kPower, kKill, kStop };

class SimNode {
 public:
  struct Options {
    std::uint64_t seed = 0;
    config::Options config;
    server::Tuning tuning;
    env::testing::SimDiskOptions disk;
    Nanos mono_skew = 0, wall_skew = 0;
  };
  SimNode(env::testing::SimTime& time, SimNet& net, unsigned number, Options options, Verdict& verdict,
          EventLog& events);
  ~SimNode();

  void start();
  /// start() in a turn of its own.
  void first_start();
  bool running() const { return node_ != nullptr; }
  /// Power fails or the process is killed in this instant, or an orderly stop begins.
  void die(Death how, Nanos back_after);
  /// As die(kKill), and the disk is lost: it comes back with an empty one.
  void lose_disk(Nanos back_after);
  /// One bit of each of `files` (paths) flips, at a random place.
  void rot(const std::vector<std::string>& files);
  /// Reads of one of `files` fail from now on, until the node's next start.
  void fail_reads(const std::vector<std::string>& files);
  bool damaged() const { return damaged_; }
  void repaired() { damaged_ = false; }
  void pause(Nanos d);
  void resume() { loop_.resume(); }
  bool paused() const { return loop_.paused(); }
  /// The wall clock jumps.
  void jump(Nanos d);
  /// A dead node need not wait any longer.
  void hurry();
  /// Power fails at the n-th disk operation from now.
  void power_fails_at(std::uint64_t operation, Nanos back_after);
  void cancel_power_failure();
  /// To be called between turns: carries out what happened inside one.
  void settle();

  std::string name() const { return "n" + std::to_string(number_); }
  unsigned number() const { return number_; }
  const env::testing::SimLoop& loop() const { return loop_; }
  env::Endpoint endpoint() const { return {host_.address(), 4222}; }
  env::testing::SimDisk& disk() { return disk_; }
  SimHost& host() { return host_; }
  server::Node* node() { return node_.get(); }
  unsigned lives() const { return lives_; }
  bool sync_always() const { return options_.config.jetstream.sync_always; }
  unsigned deaths[2] = {0, 0};  // by loss of power, others
  /// Error lines are expected from now on (a fault was injected) until the next start.
  bool expect_errors = false;
  /// As expect_errors, across restarts: the disk is full.
  bool disk_full = false;
  /// Runs before each start (faults during recovery), and after each.
  std::function<void()> before_start;
  std::function<void()> on_start;
  /// Its disk is lost, or may not be read any more.
  std::function<void()> on_damage;
  /// It ended, in whatever way: what it had in memory is gone.
  std::function<void()> on_end;

 private:
  class NodeLog final : public Log {
   public:
    explicit NodeLog(SimNode& n) : node_(n) {}
    void write(Level level, std::string_view text) override;
    bool enabled(Level level) const override { return level >= Level::kDebug; }

   private:
    SimNode& node_;
  };
  void bury(bool power);
  void come_back(Nanos after);

  env::testing::SimTime& time_;
  Options options_;
  Verdict& verdict_;
  EventLog& events_;
  Prng prng_;
  env::testing::SimLoop loop_;
  env::testing::SimLoop outside_;  // what outlives the process: power, restarts
  env::testing::SimDisk disk_;
  SimHost host_;
  env::testing::SimRandom random_;
  env::testing::SimProcess process_;
  NodeLog log_;
  env::Env env_;
  std::unique_ptr<server::Node> node_;
  env::TimerId back_ = 0;  // timer of outside_
  bool damaged_ = false;
  bool disk_lost_ = false;
  unsigned lives_ = 0;
  unsigned number_;
  std::optional<Death> dying_;
  Nanos back_after_ = 0;
  bool fatal_ = false;
  bool stopped_ = false;
};

}  // namespace weir::sim
