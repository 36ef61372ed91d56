// Account verbs: $JS.API.INFO.
#include "broker/server/api_server.h"
#include "broker/server/version.h"

namespace weir::server {

void ApiServer::info(ApiRequest& r) {
  if (!api::is_empty_request(r.body)) {
    return fail(r, api::ReplyType::kAccountInfo, api::ErrCode::kNotEmptyRequest);
  }
  auto usage = js_.usage(r.account);
  const auto& limits = r.account->js_limits;
  api::AccountInfo info;
  info.total.memory = usage.memory;
  info.total.storage = usage.storage;
  info.total.reserved_memory = usage.reserved_memory;
  info.total.reserved_storage = usage.reserved_storage;
  info.total.streams = static_cast<std::int64_t>(usage.streams);
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
  info.api.total = js_.api.total - 1;  // of those answered: without this one
  info.api.errors = js_.api.errors;
  reply(r, api::encode_account_info(info));
}

}  // namespace weir::server
