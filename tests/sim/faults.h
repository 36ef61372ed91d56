// tests/sim/faults.h - what goes wrong in a cluster, as a seed decides.
//
// Each seed has its own choice of kinds and its own pace. Faults overlap. Of a node's disk: power loss may
// take what was not synced, from all nodes at once; but what was promised is damaged (lost disk, rotten
// files, reads that fail) on one node only, the victim, until everything was repaired: rested(). A node that
// is removed takes its replicas along: one at a time, and not beside damage.
// heal() ends all of it: ways are open, nodes run or are about to.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "tests/sim/nodes.h"

namespace weir::sim {

enum class Fault : unsigned char {
  kPower,     // one node loses power, now
  kPowerAt,   // at one of its next disk operations
  kPowerAll,  // all at once
  kKill,
  kKillAll,
  kStop,     // an orderly stop
  kRolling,  // of all nodes, one after the other
  kPause,
  kSplit,    // two halves that do not hear each other
  kIsolate,  // one node, from nodes or from clients too
  kOneWay,   // what one node says to another is not heard
  kBridge,   // two halves, and one node that both hear
  kSlow,     // some ways are slow
  kReset,
  kClock,
  kSync,  // a sync fails
  kReads,
  kRot,
  kFull,
  kWipe,
  kRemove,  // an operator takes a node out of the cluster, and starts it again at the end
  kCount,
};
constexpr std::size_t kFaults = static_cast<std::size_t>(Fault::kCount);
std::string_view name_of(Fault f);

struct FaultOptions {
  std::uint64_t seed = 0;
  std::array<bool, kFaults> enabled{};
  Nanos pause_max = 2 * kSecond;  // between two faults
  std::uint64_t disk_bytes = 0;
};

class Faults {
 public:
  /// `clients` are the addresses of clients, for partitions that cut them off too.
  Faults(env::testing::SimTime& time, SimNet& net, Nodes& nodes, std::vector<std::string> clients,
         FaultOptions options, EventLog& events);
  ~Faults() { loop_.forget_all(); }

  void begin();
  void heal();
  /// Everything damaged was repaired: another node may be the next victim.
  void rested();
  /// The node whose disk may be damaged, or -1.
  int victim() const { return victim_; }
  /// Whether a node was removed since then.
  bool removed() const { return removed_; }
  bool active() const { return active_; }
  std::array<unsigned, kFaults> counts{};
  /// Whether the loss of one disk leaves everything with a majority. Null: always.
  std::function<bool()> may_damage;
  /// An operator's removal of the node; false if nobody took the request.
  std::function<bool(SimNode&)> remove;

 private:
  void schedule();
  void inject(Fault f);
  SimNode& any() { return nodes_[prng_.below(nodes_.size())]; }
  SimNode& the_victim();
  Nanos back_after();
  void rolling(std::size_t at, unsigned life);
  void cut(SimNode& a, SimNode& b);
  void cut_way(const std::string& from, const std::string& to);
  void cut_clients(SimNode& n);
  void split(bool bridge);
  void isolate();
  void end_cuts_later();
  void slow();
  void fill(SimNode& n);
  void remove_node(SimNode& n);
  std::vector<std::string> some_files(SimNode& n, std::size_t most);
  std::string list(const std::vector<std::size_t>& of) const;

  env::testing::SimTime& time_;
  env::testing::SimLoop loop_;
  SimNet& net_;
  Nodes& nodes_;
  const std::vector<std::string> clients_;
  const FaultOptions options_;
  EventLog& events_;
  Prng prng_;
  bool active_ = false;
  int victim_ = -1;
  bool removed_ = false;  // a node, since everything was repaired
  std::vector<std::pair<std::string, std::string>> slow_;
  std::vector<SimNode*> restart_;  // their node only forgets the fault when it starts anew
};

}  // namespace weir::sim
