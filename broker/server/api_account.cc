// Account verbs: $JS.API.INFO.
#include <algorithm>

#include "broker/server/api_server.h"
#include "broker/server/version.h"

namespace weir::server {

void ApiServer::info(ApiRequest& r) {
  if (!api::is_empty_request(r.body)) {
    return fail(r, api::ReplyType::kAccountInfo, api::ErrCode::kNotEmptyRequest);
  }
  if (ClusterAsks* asks = js_.asks()) {
    return asks->usage(*r.account, [this, r](const NodeUsage& usage) { info_reply(r, usage); });
  }
  auto here = js_.usage(r.account);
  info_reply(r, {here.storage, here.memory, here.consumers, r.account->api_total, r.account->api_errors});
}

void ApiServer::info_reply(const ApiRequest& r, const NodeUsage& usage) {
  const auto& limits = r.account->js_limits;
  auto reserved = js_.reserved(*r.account);
  api::AccountInfo info;
  info.total.memory = usage.memory_bytes;
  info.total.storage = usage.file_bytes;
  info.total.reserved_memory = reserved.reserved_memory;
  info.total.reserved_storage = reserved.reserved_storage;
  info.total.streams = static_cast<std::int64_t>(reserved.streams);
  info.total.consumers = static_cast<std::int64_t>(usage.consumers);
  info.total.limits.max_memory = limits.max_memory;
  info.total.limits.max_storage = limits.max_store;
  info.total.limits.max_streams = limits.max_streams;
  info.total.limits.max_consumers = limits.max_consumers;
  info.total.limits.max_ack_pending = limits.max_ack_pending;
  info.total.limits.memory_max_stream_bytes = limits.mem_max_stream_bytes;
  info.total.limits.storage_max_stream_bytes = limits.disk_max_stream_bytes;
  info.total.limits.max_bytes_required = limits.max_bytes_required;
  info.domain = options_.jetstream.domain;
  info.api.level = kApiLevel;
  info.api.total = usage.api_total - std::min<std::uint64_t>(usage.api_total, 1);  // without this one
  info.api.errors = usage.api_errors;
  reply(r, api::encode_account_info(info));
}

}  // namespace weir::server
