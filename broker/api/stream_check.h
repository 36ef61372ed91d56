// broker/api/stream_check.h - rules and defaults of stream configurations.
//
// Room:    pure. What one configuration (or an old and a new one) can tell; resources and the
//          existence of other streams are the caller's business.
// Source:  codes and texts are nats-server's, because people and scripts look for them.
// Errors:  mostly kStreamInvalidConfig (10052).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "broker/api/consumer_config.h"
#include "broker/api/stream_config.h"
#include "broker/base/time.h"

namespace weir::api {

constexpr std::int32_t kReplicasMax = 5;
constexpr std::size_t kNameBytesMax = 255;
constexpr std::size_t kDescriptionBytesMax = 4 * 1024;
constexpr std::size_t kMetadataBytesMax = 128 * 1024;
constexpr Nanos kDuplicateWindowDefault = 2 * kMinute;

/// A name of a stream or consumer: not empty, no blanks or control characters and none of `. * > / \`.
bool asset_name_valid(std::string_view name);

/// What the server and the account allow; 0 = no limit.
struct StreamRules {
  bool pedantic = false;   // refuse instead of silently correcting
  bool clustered = false;  // false: one replica only
  Nanos max_duplicate_window = 0;
  bool max_bytes_required = false;
  std::int64_t max_stream_bytes = 0;  // for the storage type in question
};

/// Checks a configuration for STREAM.CREATE and gives it back with all defaults set.
Decoded<StreamConfig> check_stream_create(StreamConfig wanted, const StreamRules& rules);
/// The same for STREAM.UPDATE of a stream that has `old`.
Decoded<StreamConfig> check_stream_update(const StreamConfig& old, StreamConfig wanted,
                                          const StreamRules& rules);

/// New limits of a stream against the consumers that it has: kStreamUpdate (10069) with the names of those
/// beyond them, in order.
std::optional<ApiError> check_consumer_limits(const ConsumerLimits& limits,
                                              const std::vector<const ConsumerConfig*>& consumers);

/// kStreamSubjectOverlap (10065) if a subject of `config` collides with one of another stream.
std::optional<ApiError> check_subject_overlap(const StreamConfig& config,
                                              const std::vector<const StreamConfig*>& others);

/// The name in the API subject against the one in the body: kStreamMismatch (10056),
/// kStreamNameContainsPathSeparators (10128).
std::optional<ApiError> check_stream_name(std::string_view in_subject, std::string_view in_body);

}  // namespace weir::api
