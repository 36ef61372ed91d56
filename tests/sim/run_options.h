// tests/sim/run_options.h - what a seed chooses for the worlds of both kinds of run.
#pragma once

#include "tests/sim/faults.h"
#include "tests/sim/kv_workload.h"
#include "tests/sim/workload.h"
#include "tests/sim/world.h"

namespace weir::sim {

constexpr std::uint64_t kDiskBytes = 2u << 30;
constexpr std::uint64_t kTurnsAtOnceMax = 100'000;  // without time passing
constexpr Nanos kBackLimit = 30 * kSecond;          // a dead node runs again
constexpr Nanos kQuietLimit = 40 * kSecond;         // everything in flight is answered or given up

template <class T, std::size_t N>
T one_of(Prng& prng, const T (&choices)[N]) {
  return choices[prng.below(N)];
}

NetOptions net_options(Prng& prng);
SimNode::Options node_options(Prng& prng);
WorkloadOptions workload_options(Prng& prng);

/// Who names whom in cluster.routes.
enum class Routes : unsigned char { kAll, kOthers, kFirst };

struct ClusterPlan {
  unsigned nodes = 3;
  Routes routes = Routes::kAll;
  Nanos start_spread = 0;     // of the first starts
  bool late_node = false;     // the last node starts in the middle of the run
  Nanos clock_spread = 0;     // wall clocks differ by at most twice that
  std::vector<int> replicas;  // that streams may have
  FaultOptions faults;
};
ClusterPlan cluster_plan(Prng& prng, unsigned nodes);
SimNode::Options cluster_node_options(Prng& prng, const ClusterPlan& plan, unsigned number);
WorkloadOptions cluster_workload_options(Prng& prng, const ClusterPlan& plan);
KvOptions kv_options(Prng& prng, const ClusterPlan& plan, unsigned first_number);

}  // namespace weir::sim
