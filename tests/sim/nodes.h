// tests/sim/nodes.h - the nodes of one world.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "tests/sim/world.h"

namespace weir::sim {

class Nodes {
 public:
  void add(std::unique_ptr<SimNode> node) { nodes_.push_back(std::move(node)); }
  std::size_t size() const { return nodes_.size(); }
  SimNode& operator[](std::size_t i) { return *nodes_[i]; }
  auto begin() const { return nodes_.begin(); }
  auto end() const { return nodes_.end(); }

  std::vector<env::Endpoint> endpoints() const {
    std::vector<env::Endpoint> out;
    for (const auto& n : nodes_) out.push_back(n->endpoint());
    return out;
  }
  bool all_running() const {
    for (const auto& n : nodes_) {
      if (!n->running()) return false;
    }
    return true;
  }
  /// Between turns: carries out what happened inside one.
  void settle() {
    for (auto& n : nodes_) n->settle();
  }
  /// nullptr: the loop is no node's.
  SimNode* owner_of(const env::testing::SimLoop* loop) const {
    for (const auto& n : nodes_) {
      if (&n->loop() == loop) return n.get();
    }
    return nullptr;
  }
  /// Changes with every death of any of them.
  unsigned lives() const {
    unsigned sum = 0;
    for (const auto& n : nodes_) sum += n->lives() + n->deaths[0] + n->deaths[1];
    return sum;
  }

 private:
  std::vector<std::unique_ptr<SimNode>> nodes_;
};

}  // namespace weir::sim
