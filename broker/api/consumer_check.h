// broker/api/consumer_check.h - rules and defaults of consumer configurations.
//
// Room:    pure. What a configuration and its stream's can tell; counts of consumers, uniqueness on
//          work queues and resources are the caller's business.
// Source:  codes and texts are nats-server's.
// Errors:  one code per rule, see error_table.inc 10078 to 10222.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "broker/api/consumer_config.h"
#include "broker/api/stream_config.h"
#include "broker/base/time.h"

namespace weir::api {

constexpr Nanos kAckWaitDefault = 30 * kSecond;
constexpr std::int64_t kMaxAckPendingDefault = 1000;
constexpr std::int64_t kMaxWaitingDefault = 512;
constexpr Nanos kInactiveThresholdDefault = 5 * kSecond;  // of consumers without durable name
constexpr Nanos kPinnedTtlDefault = 2 * kMinute;

/// What the server and the account allow; 0 or less = no limit.
struct ConsumerRules {
  bool pedantic = false;
  bool clustered = false;              // false: one replica only
  std::int64_t max_ack_pending = 0;    // the lower one of server and account
  std::int64_t max_request_batch = 0;  // server
};

/// Checks a configuration for its stream and gives it back with all defaults set, also the name: it is
/// durable_name if only that is given. A configuration without any name keeps none; the caller makes
/// one and sets `name`. The stream's configuration must have passed stream_check.h.
Decoded<ConsumerConfig> check_consumer_create(ConsumerConfig wanted, const StreamConfig& stream,
                                              const ConsumerRules& rules);

/// For a consumer that exists: what of `old` may become `wanted`. Both must have their defaults.
/// `push_bound` = someone listens on old.deliver_subject.
/// Errors: kConsumerCreate (10012) with the reason, as nats-server wraps it.
std::optional<ApiError> check_consumer_change(const ConsumerConfig& old, const ConsumerConfig& wanted,
                                              bool push_bound);

/// The forms of the CREATE subject.
enum class ConsumerCreateForm : std::uint8_t {
  kUnnamed,  // CONSUMER.CREATE.<stream>
  kDurable,  // CONSUMER.DURABLE.CREATE.<stream>.<consumer>
  kNamed,    // CONSUMER.CREATE.<stream>.<consumer>[.<filter>]
};
struct ConsumerCreateSubject {
  ConsumerCreateForm form = ConsumerCreateForm::kUnnamed;
  std::string_view stream;
  std::string_view consumer;  // empty for kUnnamed
  std::string_view filter;    // empty = none
};

struct ConsumerCreateRequest;
/// Compares the subject with the body and sets config.name from the subject.
/// Errors: 10056, 10127, 10016 to 10020, 10131, 10137.
std::optional<ApiError> check_consumer_subject(const ConsumerCreateSubject& subject,
                                               ConsumerCreateRequest& request);

/// "30" or "30%" as 0..100 and more; nullopt if it is neither.
std::optional<std::uint32_t> parse_sample_freq(std::string_view text);

}  // namespace weir::api
