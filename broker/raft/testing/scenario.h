// broker/raft/testing/scenario.h - interpreter of scenario texts: commands to a cluster of cores and
// what they show. The language is described in tests/scenario/raft/README.md.
#pragma once

#include <map>
#include <set>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "broker/raft/testing/test_node.h"

namespace weir::raft::testing {

class Scenario {
 public:
  /// Runs one command line and returns what it shows, lines ending in \n. A command that the language
  /// does not have gives a line that starts with "error".
  std::string run(const std::string& line);

 private:
  using Words = std::vector<std::string>;
  struct Filter {
    NodeId from, to;  // 0 = any
    std::string type;
    bool matches(const Message& m) const;
  };

  bool setup(const std::string& verb, const Words& words);
  bool drive(const std::string& verb, const Words& words);
  bool network(const std::string& verb, const Words& words);
  bool inspect(const std::string& verb, const Words& words);
  void make_log(const Words& words);
  void start(const Words& words);
  void change(TestNode& n, const Words& words);
  void install(TestNode& n, const Words& words);
  void shown(const Proposed& p);
  void gather(TestNode& n);
  void step(std::size_t at);
  std::size_t deliver(const Filter& filter, bool drop, std::size_t count);
  void stabilize(const Words& words);
  void show_logs(const Words& words);
  void show_status(const Words& words);
  void show_progress(TestNode& n);
  Filter filter_of(const Words& words) const;
  TestNode& node(const std::string& name);
  std::vector<NodeId> nodes_of(const Words& words) const;
  bool linked(NodeId a, NodeId b) const { return cut_.count({a, b}) == 0; }

  std::map<NodeId, TestNode> nodes_;
  std::map<NodeId, SoftState> soft_;
  std::vector<Message> flight_;
  std::set<std::pair<NodeId, NodeId>> cut_;
  std::set<NodeId> hold_writes_;
  Config config_;
  ConfState conf_;
  std::ostringstream out_;
};

/// One line of a message, without the line's end.
std::string show(const Message& m);
std::string show(const ConfState& conf);

}  // namespace weir::raft::testing
