// broker/app/send_signal.h - `--signal cmd[=pid|pidfile]`: tells a running broker something.
#pragma once

#include <string>
#include <vector>

#include "broker/base/result.h"
#include "broker/config/flags.h"

namespace weir::app {

/// Process ids that `target` means: "" = the only running process of our name, a pid, "12*" = running
/// ones of our name whose pid starts so, the path of a pid file or a glob of such paths.
/// `process_name` is the base name of argv[0].
Result<std::vector<int>> find_targets(const std::string& target, const std::string& process_name);

/// Sends it; kNotFound, kInvalid or kIo with a text for the operator.
Status send_signal(const config::SignalRequest& request, const std::string& process_name);

}  // namespace weir::app
