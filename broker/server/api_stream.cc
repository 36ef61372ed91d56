// Stream verbs that change something: CREATE, UPDATE, DELETE, PURGE, LEADER.STEPDOWN.
#include <algorithm>

#include "broker/api/api_level.h"
#include "broker/api/stream_check.h"
#include "broker/api/unsupported.h"
#include "broker/server/api_server.h"
#include "broker/server/cluster_side.h"
#include "broker/server/group_view.h"
#include "broker/server/version.h"

namespace weir::server {

using api::ApiError;
using api::ErrCode;
using api::ReplyType;

namespace {
constexpr std::string_view kNoBackups = "this version of Weir has no backups of streams";

/// Of all replicas, as accounts are charged.
std::uint64_t reserved(const api::StreamConfig& c) {
  auto replicas = static_cast<std::uint64_t>(std::max<std::int64_t>(c.num_replicas, 1));
  return c.max_bytes > 0 ? static_cast<std::uint64_t>(c.max_bytes) * replicas : 0;
}
}  // namespace

api::StreamInfo ApiServer::shown(const StreamHost& stream) const {
  api::StreamInfo info = stream.info();
  api::add_reply_metadata(info.config.metadata, kCompatVersion, kApiLevel);
  // Without a cluster only STREAM.INFO names a leader; clients compare the answers of create and info.
  if (options_.cluster.name.empty()) info.cluster.reset();
  const auto* s = js_.meta().state().find(stream.group_id());
  if (!s || s->origin.nodes.empty() || !info.cluster) return info;
  // nats CLI calls off only what is shown to be under way.
  auto& desired = info.cluster->desired.emplace();
  desired.name = info.cluster->name;
  for (NodeId replica : s->peers) {
    auto& peer = desired.replicas.emplace_back();
    peer.name = js_.context().cluster->name_of(replica);
    peer.peer = peer_text(replica);
  }
  desired.origin_replicas = s->origin.replicas;
  desired.origin_placement = s->origin.placement;
  return info;
}

std::optional<ApiError> ApiServer::refuse_stream(const Account& account, const api::StreamConfig& c,
                                                 const api::StreamConfig* old) {
  if (auto reason = api::unsupported_reason(c)) {
    return api::make_error(ErrCode::kStreamInvalidConfig, *reason);
  }
  const auto& limits = account.js_limits;
  // Counted over all streams of the account: only where somebody asks.
  bool limited = limits.max_streams >= 0 || limits.max_store >= 0 || limits.max_memory >= 0;
  auto usage = limited ? js_.reserved(account) : JetStream::Usage();
  if (!old && limits.max_streams >= 0 && usage.streams >= static_cast<std::size_t>(limits.max_streams)) {
    return api::make_error(ErrCode::kMaximumStreamsLimit);
  }
  bool file = c.storage == api::Storage::kFile;
  std::uint64_t before = old ? reserved(*old) : 0;
  std::uint64_t want = reserved(c);
  std::int64_t account_max = file ? limits.max_store : limits.max_memory;
  std::uint64_t taken = file ? usage.reserved_storage : usage.reserved_memory;
  std::uint64_t account_used = taken - std::min(taken, before);
  auto too_much = file ? ErrCode::kStorageResourcesExceeded : ErrCode::kMemoryResourcesExceeded;
  if (account_max >= 0 && account_used + want > static_cast<std::uint64_t>(account_max)) {
    return api::make_error(too_much);
  }
  if (js_.context().cluster) return std::nullopt;  // the placement knows which nodes have room
  if (want == 0) return std::nullopt;
  auto total = js_.usage(nullptr);
  std::uint64_t server_max = file ? js_.context().file_bytes_max : js_.context().memory_bytes_max;
  std::uint64_t server_used = (file ? total.reserved_storage : total.reserved_memory) - before;
  if (server_used + want > server_max) return api::make_error(too_much);
  return std::nullopt;
}

void ApiServer::stream_create(ApiRequest& r) {
  constexpr auto kType = ReplyType::kStreamCreate;
  auto decoded = api::decode_stream_config_request(r.body, strictness());
  if (auto* e = std::get_if<ApiError>(&decoded)) return fail(r, kType, *e);
  auto request = std::get<api::StreamConfigRequest>(std::move(decoded));
  if (auto e = api::check_stream_name(r.tokens[2], request.config.name)) return fail(r, kType, *e);
  api::StreamRules rules;
  rules.pedantic = request.pedantic;
  rules.clustered = js_.context().cluster != nullptr;
  rules.max_duplicate_window = options_.jetstream.limits.duplicate_window;
  rules.max_bytes_required = r.account->js_limits.max_bytes_required;
  bool file = request.config.storage == api::Storage::kFile;
  std::int64_t most =
      file ? r.account->js_limits.disk_max_stream_bytes : r.account->js_limits.mem_max_stream_bytes;
  rules.max_stream_bytes = std::max<std::int64_t>(most, 0);
  auto checked = api::check_stream_create(std::move(request.config), rules);
  if (auto* e = std::get_if<ApiError>(&checked)) return fail(r, kType, *e);
  auto config = std::get<api::StreamConfig>(std::move(checked));
  auto old = config_of(r, config.name);
  if (auto e = refuse_stream(*r.account, config, old ? &*old : nullptr)) return fail(r, kType, *e);
  api::set_stored_metadata(config);
  if (old && api::same_config(*old, config)) {
    return answer_when_applied(r, *js_.meta().state().find(r.account->name, config.name), "created");
  }
  js_.create_stream(*r.account, config, [this, r](const jetstream::MetaOutcome& o) {
    if (!o.ok()) return place_later(r, kType, o.error);
    answer_when_applied(r, o.stream, "created");
  });
}

// As the meta group knows it.
std::optional<api::StreamConfig> ApiServer::config_of(const ApiRequest& r, std::string_view name) const {
  const auto* s = js_.meta().state().find(r.account->name, name);
  if (!s) return std::nullopt;
  return s->config;
}

void ApiServer::stream_update(ApiRequest& r) {
  constexpr auto kType = ReplyType::kStreamUpdate;
  auto decoded = api::decode_stream_config_request(r.body, strictness());
  if (auto* e = std::get_if<ApiError>(&decoded)) return fail(r, kType, *e);
  auto request = std::get<api::StreamConfigRequest>(std::move(decoded));
  if (auto e = api::check_stream_name(r.tokens[2], request.config.name)) return fail(r, kType, *e);
  auto old = config_of(r, request.config.name);
  if (!old) return fail(r, kType, ErrCode::kStreamNotFound);
  if (auto why = js_.offline_reason(r.account->name, request.config.name)) {
    return fail(r, kType, api::make_error(ErrCode::kStreamOfflineReason, *why));
  }
  api::StreamRules rules;
  rules.pedantic = request.pedantic;
  rules.clustered = js_.context().cluster != nullptr;
  rules.max_duplicate_window = options_.jetstream.limits.duplicate_window;
  auto checked = api::check_stream_update(*old, std::move(request.config), rules);
  if (auto* e = std::get_if<ApiError>(&checked)) return fail(r, kType, *e);
  auto config = std::get<api::StreamConfig>(std::move(checked));
  if (auto e = refuse_stream(*r.account, config, &*old)) return fail(r, kType, *e);
  api::set_stored_metadata(config);
  js_.update_stream(*r.account, config, [this, r](const jetstream::MetaOutcome& o) {
    if (!o.ok()) return place_later(r, kType, o.error);
    answer_when_applied(r, o.stream, "updated");
  });
}

void ApiServer::stream_delete(ApiRequest& r) {
  constexpr auto kType = ReplyType::kStreamDelete;
  if (!api::is_empty_request(r.body)) return fail(r, kType, ErrCode::kNotEmptyRequest);
  js_.delete_stream(*r.account, r.tokens[2], [this, r](const jetstream::MetaOutcome& o) {
    if (!o.ok()) return fail(r, kType, o.error);
    reply(r, api::encode_success(kType));
  });
}

void ApiServer::stream_purge(ApiRequest& r) {
  constexpr auto kType = ReplyType::kStreamPurge;
  auto decoded = api::decode_purge(r.body, strictness());
  if (auto* e = std::get_if<ApiError>(&decoded)) return fail(r, kType, *e);
  auto q = std::get<api::PurgeRequest>(std::move(decoded));
  StreamHost* host = stream_or_fail(r, kType, 2);
  if (!host) return;
  host->propose(
      [&](jetstream::EntryBuilder& b) {
        b.purge({q.seq, q.keep, q.filter});
      },
      [this, r](const jetstream::Outcome& o) {
        if (!o.ok()) return fail(r, kType, o.error);
        reply(r, api::encode_stream_purge(o.removed_count));
      });
}

void ApiServer::stream_step_down(ApiRequest& r) {
  constexpr auto kType = ReplyType::kStreamLeaderStepDown;
  StreamHost* host = stream_or_fail(r, kType, 3);
  if (!host) return;
  // A single node has nobody to step down for.
  if (!js_.context().cluster) return fail(r, kType, ErrCode::kClusterRequired);
  step_down(r, kType, host->group());
}

void ApiServer::stream_snapshot(ApiRequest& r) {
  fail(r, ReplyType::kStreamSnapshot, api::make_error(ErrCode::kStreamSnapshot, kNoBackups));
}

void ApiServer::stream_restore(ApiRequest& r) {
  fail(r, ReplyType::kStreamRestore, api::make_error(ErrCode::kStreamRestore, kNoBackups));
}

}  // namespace weir::server
