// broker/api/unsupported.h - configuration that Weir understands but does not do yet.
//
// Room:    pure. One table row per feature in unsupported.cc: when a feature is done, its row goes.
// Rule:    a setting that would change behaviour is refused with a clear text, never ignored.
#pragma once

#include <optional>
#include <string>

#include "broker/api/consumer_config.h"
#include "broker/api/stream_config.h"

namespace weir::api {

/// What of the configuration is missing, as one line for people; nullopt = all of it is there.
std::optional<std::string> unsupported_reason(const StreamConfig& config);
std::optional<std::string> unsupported_reason(const ConsumerConfig& config);

}  // namespace weir::api
