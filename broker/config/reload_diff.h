// broker/config/reload_diff.h - what a new configuration changes, and whether a running server may.
//
// Room:    pure.
// Rule:    one change that needs a restart refuses the whole reload; nothing is applied then.
#pragma once

#include <string>
#include <vector>

#include "broker/config/options.h"

namespace weir::config {

struct ReloadDiff {
  std::vector<std::string> reloadable;  // canonical keys that differ and can be applied
  std::vector<std::string> restart;     // canonical keys that differ and cannot

  bool empty() const { return reloadable.empty() && restart.empty(); }
  /// "config reload not supported for X: ..." lines, one per key of `restart`.
  std::vector<std::string> refusals() const;
};

/// Both must be the result of load() with the same flags, the old one as loaded and not as run
/// (ports that were chosen at start must not be written back into it).
ReloadDiff reload_diff(const Options& before, const Options& after);

}  // namespace weir::config
