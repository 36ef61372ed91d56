// broker/api/consumer_config.h - the configuration of a consumer as clients send and read it.
//
// Room:    pure. Plain data; the rules are in consumer_check.h.
// Thread:  any. Owner: whoever holds the value.
// Units:   durations are Nanos; sizes in bytes; rate_limit_bps in bits per second.
// Invariant: decode(encode(c)) == c, and encode gives one text per value (see stream_config.h).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "broker/api/stream_config.h"

namespace weir::api {

enum class DeliverPolicy : std::uint8_t {
  kAll,
  kLast,
  kNew,
  kByStartSequence,
  kByStartTime,
  kLastPerSubject,
};
enum class AckPolicy : std::uint8_t { kNone, kAll, kExplicit, kFlowControl };
enum class ReplayPolicy : std::uint8_t { kInstant, kOriginal };
enum class PriorityPolicy : std::uint8_t { kNone, kOverflow, kPinnedClient, kPrioritized };

struct ConsumerConfig {
  std::string durable_name;  // empty = ephemeral
  std::string name;          // equal to durable_name when both are set
  std::string description;
  DeliverPolicy deliver_policy = DeliverPolicy::kAll;
  StreamSeq opt_start_seq;  // with kByStartSequence only
  std::optional<Wall> opt_start_time;
  AckPolicy ack_policy = AckPolicy::kNone;
  Nanos ack_wait = 0;            // 0 before defaulting; then 30 s where acks are used
  std::int64_t max_deliver = 0;  // 0 before defaulting; -1 = unlimited
  std::vector<Nanos> backoff;
  std::string filter_subject;                // exclusive with filter_subjects
  std::vector<std::string> filter_subjects;  // no overlaps
  ReplayPolicy replay_policy = ReplayPolicy::kInstant;
  std::uint64_t rate_limit_bps = 0;  // 0 = none
  std::string sample_freq;           // "30" or "30%"; empty = no ack samples
  std::int64_t max_waiting = 0;      // pull requests queued; 0 before defaulting (512)
  std::int64_t max_ack_pending = 0;  // 0 before defaulting (1000); -1 = unlimited
  bool flow_control = false;
  Nanos idle_heartbeat = 0;
  bool headers_only = false;
  std::int64_t max_batch = 0;   // largest batch of one pull; 0 = no cap
  Nanos max_expires = 0;        // longest pull; 0 = no cap
  std::int64_t max_bytes = 0;   // largest max_bytes of one pull; 0 = no cap
  std::string deliver_subject;  // set = push consumer
  std::string deliver_group;
  Nanos inactive_threshold = 0;
  std::int32_t num_replicas = 0;  // 0 = the stream's
  bool mem_storage = false;
  bool direct = false;    // internal consumer of a mirror or source
  bool sourcing = false;  // durable consumer that feeds a mirror or source
  Metadata metadata;
  std::optional<Wall> pause_until;
  std::vector<std::string> priority_groups;
  PriorityPolicy priority_policy = PriorityPolicy::kNone;
  Nanos priority_timeout = 0;  // how long a pin lasts; 0 = default
  bool operator==(const ConsumerConfig&) const = default;

  bool is_push() const { return !deliver_subject.empty(); }
  bool is_durable() const { return !durable_name.empty(); }
  /// The name that the consumer goes by; empty = the server makes one.
  const std::string& chosen_name() const { return durable_name.empty() ? name : durable_name; }
};

std::string_view to_text(DeliverPolicy v);
std::string_view to_text(AckPolicy v);
std::string_view to_text(ReplayPolicy v);
std::string_view to_text(PriorityPolicy v);

/// Decodes a bare config (stored texts; the API wraps it in a request, see requests.h).
/// Errors: kInvalidJSON (10025) with the reason.
Decoded<ConsumerConfig> decode_consumer_config(std::string_view json,
                                               Strictness strictness = Strictness::kStrict);

/// The canonical text, with the fields that nats-server writes, in its order.
std::string encode_consumer_config_json(const ConsumerConfig& config);

}  // namespace weir::api
