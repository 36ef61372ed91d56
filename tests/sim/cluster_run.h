// tests/sim/cluster_run.h - one seed with several nodes. See seed_run.h.
#pragma once

#include "tests/sim/seed_run.h"

namespace weir::sim {

SeedResult run_cluster_seed(std::uint64_t seed, unsigned nodes, bool verbose, bool blind);

}  // namespace weir::sim
