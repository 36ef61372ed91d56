#include "broker/api/consumer_config.h"

#include "broker/api/config_json.h"

namespace weir::api {
namespace {

constexpr EnumText<DeliverPolicy> kDeliverPolicies[] = {
    {"all", DeliverPolicy::kAll},
    {"last", DeliverPolicy::kLast},
    {"new", DeliverPolicy::kNew},
    {"by_start_sequence", DeliverPolicy::kByStartSequence},
    {"by_start_time", DeliverPolicy::kByStartTime},
    {"last_per_subject", DeliverPolicy::kLastPerSubject},
    {"undefined", DeliverPolicy::kAll},  // old clients send it
};
constexpr EnumText<AckPolicy> kAckPolicies[] = {
    {"none", AckPolicy::kNone},
    {"all", AckPolicy::kAll},
    {"explicit", AckPolicy::kExplicit},
    {"flow_control", AckPolicy::kFlowControl},
};
constexpr EnumText<ReplayPolicy> kReplayPolicies[] = {{"instant", ReplayPolicy::kInstant},
                                                      {"original", ReplayPolicy::kOriginal}};
constexpr EnumText<PriorityPolicy> kPriorityPolicies[] = {
    {"none", PriorityPolicy::kNone},
    {"overflow", PriorityPolicy::kOverflow},
    {"pinned_client", PriorityPolicy::kPinnedClient},
    {"prioritized", PriorityPolicy::kPrioritized},
};

void read_modes(ObjectReader& r, ConsumerConfig& c) {
  r.field("flow_control", c.flow_control);
  r.field("idle_heartbeat", c.idle_heartbeat);
  r.field("headers_only", c.headers_only);
  r.field("max_batch", c.max_batch);
  r.field("max_expires", c.max_expires);
  r.field("max_bytes", c.max_bytes);
  r.field("deliver_subject", c.deliver_subject);
  r.field("deliver_group", c.deliver_group);
  r.field("inactive_threshold", c.inactive_threshold);
  r.field("num_replicas", c.num_replicas);
  r.field("mem_storage", c.mem_storage);
  r.field("direct", c.direct);
  r.field("sourcing", c.sourcing);
  r.field("metadata", c.metadata);
  r.field("pause_until", c.pause_until);
  r.field("priority_groups", c.priority_groups);
  r.field("priority_policy", c.priority_policy, kPriorityPolicies);
  r.field("priority_timeout", c.priority_timeout);
}

void write_head(JsonWriter& w, const ConsumerConfig& c) {
  w.field_if("durable_name", c.durable_name);
  w.field_if("name", c.name);
  w.field_if("description", c.description);
  w.field("deliver_policy", to_text(c.deliver_policy));
  w.field_if("opt_start_seq", c.opt_start_seq);
  w.field_if("opt_start_time", c.opt_start_time);
  w.field("ack_policy", to_text(c.ack_policy));
  w.field_if("ack_wait", c.ack_wait);
  w.field_if("max_deliver", c.max_deliver);
  w.field_if("backoff", c.backoff);
  w.field_if("filter_subject", c.filter_subject);
  w.field_if("filter_subjects", c.filter_subjects);
  w.field("replay_policy", to_text(c.replay_policy));
  w.field_if("rate_limit_bps", c.rate_limit_bps);
  w.field_if("sample_freq", c.sample_freq);
  w.field_if("max_waiting", c.max_waiting);
  w.field_if("max_ack_pending", c.max_ack_pending);
}

void write_modes(JsonWriter& w, const ConsumerConfig& c) {
  w.field_if("flow_control", c.flow_control);
  w.field_if("headers_only", c.headers_only);
  w.field_if("max_batch", c.max_batch);
  w.field_if("max_expires", c.max_expires);
  w.field_if("max_bytes", c.max_bytes);
  w.field_if("deliver_subject", c.deliver_subject);
  w.field_if("deliver_group", c.deliver_group);
  w.field_if("idle_heartbeat", c.idle_heartbeat);
  w.field_if("inactive_threshold", c.inactive_threshold);
  w.field("num_replicas", c.num_replicas);
  w.field_if("mem_storage", c.mem_storage);
  w.field_if("direct", c.direct);
  w.field_if("sourcing", c.sourcing);
  w.field_if("metadata", c.metadata);
  w.field_if("pause_until", c.pause_until);
  w.field_if("priority_groups", c.priority_groups);
  if (c.priority_policy != PriorityPolicy::kNone) w.field("priority_policy", to_text(c.priority_policy));
  w.field_if("priority_timeout", c.priority_timeout);
}

}  // namespace

std::string_view to_text(DeliverPolicy v) {
  return text_of(kDeliverPolicies, v);
}
std::string_view to_text(AckPolicy v) {
  return text_of(kAckPolicies, v);
}
std::string_view to_text(ReplayPolicy v) {
  return text_of(kReplayPolicies, v);
}
std::string_view to_text(PriorityPolicy v) {
  return text_of(kPriorityPolicies, v);
}

void read_consumer_config(ObjectReader& r, ConsumerConfig& c) {
  r.field("durable_name", c.durable_name);
  r.field("name", c.name);
  r.field("description", c.description);
  r.field("deliver_policy", c.deliver_policy, kDeliverPolicies);
  r.field("opt_start_seq", c.opt_start_seq);
  r.field("opt_start_time", c.opt_start_time);
  r.field("ack_policy", c.ack_policy, kAckPolicies);
  r.field("ack_wait", c.ack_wait);
  r.field("max_deliver", c.max_deliver);
  r.field("backoff", c.backoff);
  r.field("filter_subject", c.filter_subject);
  r.field("filter_subjects", c.filter_subjects);
  r.field("replay_policy", c.replay_policy, kReplayPolicies);
  r.field("rate_limit_bps", c.rate_limit_bps);
  r.field("sample_freq", c.sample_freq);
  r.field("max_waiting", c.max_waiting);
  r.field("max_ack_pending", c.max_ack_pending);
  read_modes(r, c);
}

void write_consumer_config(JsonWriter& w, const ConsumerConfig& c) {
  w.begin_object();
  write_head(w, c);
  write_modes(w, c);
  w.end_object();
}

Decoded<ConsumerConfig> decode_consumer_config(std::string_view json, Strictness strictness) {
  return decode_object<ConsumerConfig>(json, strictness, read_consumer_config);
}

std::string encode_consumer_config_json(const ConsumerConfig& config) {
  std::string out;
  out.reserve(384);
  JsonWriter w(out);
  write_consumer_config(w, config);
  return out;
}

}  // namespace weir::api
