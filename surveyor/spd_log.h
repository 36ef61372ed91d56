// surveyor/spd_log.h - log lines to stderr. spdlog stays in the .cc file.
#pragma once

#include <memory>

#include "broker/base/log.h"

namespace weir::surveyor {

/// Any thread may write. Lines: "2024-05-06T07:08:09.012Z info text".
std::unique_ptr<Log> make_log(Level least);

}  // namespace weir::surveyor
