// tests/sim/seed_run.h - one seed: a world, its workload, its faults, its verdict.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace weir::sim {

struct SeedResult {
  std::string failure;  // empty = good
  std::vector<std::string> last_events;
  std::uint64_t hash = 0;  // of everything that happened
  double simulated_seconds = 0;
  std::uint64_t operations = 0, acked = 0, deliveries = 0;
  unsigned power_losses = 0, other_deaths = 0;
  unsigned nodes = 0;
  // Clusters.
  std::map<std::string, unsigned> faults;  // by kind
  std::vector<double> recoveries;          // seconds from the end of faults until every stream takes writes
  std::uint64_t elections = 0, registers = 0;  // leaders seen; operations on registers
  std::uint64_t given_up = 0;                  // replicas that the nodes themselves found to differ
};

/// How many nodes the world of a seed has if nobody says otherwise.
unsigned nodes_of(std::uint64_t seed);
/// `nodes` 0: nodes_of(seed). `blind`: replicas whose states differ are left to the nodes to find and heal.
SeedResult run_seed(std::uint64_t seed, unsigned nodes, bool verbose, bool blind = false);

}  // namespace weir::sim
