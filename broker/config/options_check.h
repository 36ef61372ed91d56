// broker/config/options_check.h - what no single key can tell: contradictions between keys.
//
// Room:    pure. Runs after file and flags are merged.
// Errors:  appended to `errors`, each with the place of the key that is in the wrong.
#pragma once

#include <vector>

#include "broker/config/options.h"

namespace weir::config {

void check_options(const Options& options, std::vector<Issue>& errors, std::vector<Issue>& warnings);

}  // namespace weir::config
