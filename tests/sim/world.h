// tests/sim/world.h - the seeded world: time, network, and the nodes with their disks.
//
// A node is a server::Node over a SimLoop with skewed clocks, a SimDisk that outlives it, and a SimHost.
// It dies by loss of power (unsynced bytes at risk), by kill -9 (page cache survives), by its own wish
// when its disk failed, or by an orderly stop; and comes back after a while.
// Written for N nodes; the product runs one today.
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
  bool running() const { return node_ != nullptr; }
  /// Power fails or the process is killed in this instant, or an orderly stop begins.
  void die(Death how, Nanos back_after);
  /// Power fails at the n-th disk operation from now.
  void power_fails_at(std::uint64_t operation, Nanos back_after);
  /// To be called between turns: carries out what happened inside one.
  void settle();

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
  unsigned lives_ = 0;
  unsigned number_;
  std::optional<Death> dying_;
  Nanos back_after_ = 0;
  bool fatal_ = false;
  bool stopped_ = false;
};

}  // namespace weir::sim
