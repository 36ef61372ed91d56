#include "broker/api/api_level.h"

#include "broker/base/text.h"

namespace weir::api {
namespace {

void remove_reply_keys(Metadata& m) {
  m.erase(std::string(kMetaServerVersion));
  m.erase(std::string(kMetaServerLevel));
}

template <class Config>
bool same(Config a, Config b) {
  for (auto* c : {&a, &b}) {
    remove_reply_keys(c->metadata);
    c->metadata.erase(std::string(kMetaRequiredLevel));
  }
  return a == b;
}

template <class Config>
void set_stored(Config& config) {
  remove_reply_keys(config.metadata);
  config.metadata[std::string(kMetaRequiredLevel)] = std::to_string(required_api_level(config));
}

}  // namespace

int required_api_level(const StreamConfig& c) {
  if (c.allow_batched) return 4;
  const bool level2 =
      c.allow_msg_counter || c.allow_atomic || c.allow_msg_schedules || c.persist_mode == PersistMode::kAsync;
  if (level2) return 2;
  return c.allow_msg_ttl || c.subject_delete_marker_ttl > 0 ? 1 : 0;
}

int required_api_level(const ConsumerConfig& c) {
  if (c.ack_policy == AckPolicy::kFlowControl) return 4;
  const bool level1 = c.pause_until.has_value() || c.priority_policy != PriorityPolicy::kNone ||
                      c.priority_timeout != 0 || !c.priority_groups.empty();
  return level1 ? 1 : 0;
}

void set_stored_metadata(StreamConfig& config) {
  set_stored(config);
}
void set_stored_metadata(ConsumerConfig& config) {
  set_stored(config);
}

void add_reply_metadata(Metadata& metadata, std::string_view version, int level) {
  metadata[std::string(kMetaServerVersion)] = version;
  metadata[std::string(kMetaServerLevel)] = std::to_string(level);
}

int stored_api_level(const Metadata& metadata) {
  const auto it = metadata.find(std::string(kMetaRequiredLevel));
  if (it == metadata.end() || it->second.empty()) return 0;
  const auto n = parse_u64(it->second);
  constexpr std::uint64_t kMax = 1'000'000;
  return n && *n <= kMax ? static_cast<int>(*n) : -1;
}

std::size_t metadata_bytes(const Metadata& metadata) {
  std::size_t n = 0;
  for (const auto& [key, value] : metadata) n += key.size() + value.size();
  return n;
}

bool same_config(const StreamConfig& a, const StreamConfig& b) {
  return same(a, b);
}
bool same_config(const ConsumerConfig& a, const ConsumerConfig& b) {
  return same(a, b);
}

}  // namespace weir::api
