// tests/sim/seed_run.h - one seed: a world, its workload, its faults, its verdict.
#pragma once

#include <cstdint>
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
};

SeedResult run_seed(std::uint64_t seed, bool verbose);

}  // namespace weir::sim
