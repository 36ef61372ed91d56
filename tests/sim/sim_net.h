// tests/sim/sim_net.h - the seeded network of broker/env/testing under the names used here.
#pragma once

#include "broker/env/testing/sim_net.h"

namespace weir::sim {

using env::testing::NetOptions;
using env::testing::SimHost;
using env::testing::SimNet;

}  // namespace weir::sim
