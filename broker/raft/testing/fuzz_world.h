// broker/raft/testing/fuzz_world.h - a seeded cluster of cores with everything that can go wrong, and
// the checkers that look on. Time is a counter; one tick of a node is 9 to 11 units.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "broker/base/prng.h"
#include "broker/raft/testing/test_node.h"

namespace weir::raft::testing {

struct FuzzPlan {
  std::uint64_t seed = 1;
  unsigned nodes = 3;
  unsigned units = 4000;
  bool crashes = true, partitions = true, members = true, damage = true, sleep = false;
  bool lease = false;  // the one follower that a leader still reaches restarts at the worst moment
  bool churn = false;  // leaders die young, one entry per append
};

class FuzzWorld {
 public:
  explicit FuzzWorld(const FuzzPlan& plan);
  /// Runs the plan, heals everything, waits for health. Returns what went wrong, or "".
  std::string run();
  std::uint64_t trace_hash() const { return trace_; }
  std::uint64_t committed() const { return truth_.size(); }

  struct Counts {
    unsigned elections = 0, crashes = 0, snapshots = 0, conf_changes = 0, transfers = 0, reads = 0,
             lease_reads = 0, damaged = 0, heads = 0, sleeps = 0, loads = 0, dropped = 0;
  } counts;

 private:
  struct Flight {
    std::uint64_t due, number;
    Message m;
    bool operator<(const Flight& o) const { return std::pair(due, number) < std::pair(o.due, o.number); }
  };
  struct Member {
    std::unique_ptr<TestNode> node;
    std::uint64_t next_tick = 0, restart_at = 0, slow = 1;
  };

  void unit();
  void add_node(NodeId id, const ConfState& conf);
  void drain(Member& m);
  void post(Message m);
  void deliver();
  void disturb();
  void propose(Member& m);
  void change_members(Core& core);
  void crash(Member& m);
  void restart(Member& m);
  void damage(TestNode& n);
  void partition();
  void attack_lease();
  void cut(NodeId a, NodeId b);
  void heal();
  void views_of_peers();
  bool linked(NodeId a, NodeId b) const { return cut_.count({a, b}) == 0; }
  bool hurt(TestNode& n);
  void read(Member& m);
  void check(TestNode& n);
  void check_applied(TestNode& n);
  void check_leader(TestNode& n);
  void check_logs();
  bool healthy(std::uint64_t index);
  void fail(const std::string& what);
  Core* leader();
  void describe();

  FuzzPlan plan_;
  Prng prng_;
  std::uint64_t now_ = 0, trace_ = 0, message_number_ = 0, context_ = 0, payload_ = 0, next_id_ = 0;
  bool quiet_ = false;  // no new faults
  std::map<NodeId, Member> nodes_;
  std::set<Flight> flights_;
  std::set<std::pair<NodeId, NodeId>> cut_;
  std::map<RaftIndex, std::pair<Term, std::uint64_t>> truth_;  // what some node applied at an index
  std::map<RaftIndex, std::uint64_t> state_hash_;              // state after an index
  std::map<Term, NodeId> leaders_;
  std::uint64_t attack_at_ = 0;
  NodeId attacked_, last_friend_;
  std::map<std::uint64_t, RaftIndex> read_floor_;
  RaftIndex max_commit_{0};
  std::string failed_;
};

}  // namespace weir::raft::testing
