#include "broker/api/unsupported.h"

#include <string_view>

namespace weir::api {
namespace {

template <class Config>
struct Row {
  std::string_view feature;
  bool (*used)(const Config&);
};

using S = StreamConfig;
constexpr Row<S> kStreamRows[] = {
    {"mirror", [](const S& c) { return c.mirror.has_value(); }},
    {"sources", [](const S& c) { return !c.sources.empty(); }},
    {"mirror_direct", [](const S& c) { return c.mirror_direct; }},
    {"republish", [](const S& c) { return c.republish.has_value(); }},
    {"subject_transform", [](const S& c) { return c.subject_transform.has_value(); }},
    {"s2 compression", [](const S& c) { return c.compression == Compression::kS2; }},
    {"subject_delete_marker_ttl", [](const S& c) { return c.subject_delete_marker_ttl != 0; }},
    {"allow_msg_counter", [](const S& c) { return c.allow_msg_counter; }},
    {"allow_atomic", [](const S& c) { return c.allow_atomic; }},
    {"allow_msg_schedules", [](const S& c) { return c.allow_msg_schedules; }},
    {"allow_batched", [](const S& c) { return c.allow_batched; }},
    {"async persist mode", [](const S& c) { return c.persist_mode == PersistMode::kAsync; }},
};

using C = ConsumerConfig;
constexpr Row<C> kConsumerRows[] = {
    {"flow_control ack policy", [](const C& c) { return c.ack_policy == AckPolicy::kFlowControl; }},
    {"direct", [](const C& c) { return c.direct; }},
    {"sourcing", [](const C& c) { return c.sourcing; }},
    {"pause_until", [](const C& c) { return c.pause_until.has_value(); }},
    {"priority groups",
     [](const C& c) {
       return c.priority_policy != PriorityPolicy::kNone || !c.priority_groups.empty() ||
              c.priority_timeout != 0;
     }},
};

template <class Config, std::size_t N>
std::optional<std::string> first_used(const Row<Config> (&rows)[N], const Config& config) {
  for (const auto& row : rows) {
    if (row.used(config)) return std::string(row.feature) + " is not supported by this server";
  }
  return std::nullopt;
}

}  // namespace

std::optional<std::string> unsupported_reason(const StreamConfig& config) {
  return first_used(kStreamRows, config);
}

std::optional<std::string> unsupported_reason(const ConsumerConfig& config) {
  return first_used(kConsumerRows, config);
}

}  // namespace weir::api
