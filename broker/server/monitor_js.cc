// The JetStream half of MonitorView: /jsz, /healthz and the JetStream block of /varz.
#include <algorithm>

#include "broker/server/consumer_host.h"
#include "broker/server/monitor_view.h"
#include "broker/server/version.h"

namespace weir::server {

api::JsServerConfig MonitorView::js_config() const {
  const auto& o = n_.options.jetstream;
  const auto& js = n_.jetstream->context();
  api::JsServerConfig c;
  c.max_memory = static_cast<std::int64_t>(js.memory_bytes_max);
  c.max_storage = static_cast<std::int64_t>(js.file_bytes_max);
  c.store_dir = n_.jetstream->directory();
  c.sync_interval = o.sync_interval;
  c.sync_always = o.sync_always;
  c.domain = o.domain;
  c.unique_tag = o.unique_tag;
  c.strict = o.strict;
  return c;
}

api::JsStats MonitorView::js_stats(const Account* account) const {
  auto u = n_.jetstream->usage(account);
  api::JsStats s;
  s.memory = u.memory;
  s.storage = u.storage;
  s.reserved_memory = u.reserved_memory;
  s.reserved_storage = u.reserved_storage;
  for (const Account& a : n_.accounts) s.accounts += a.jetstream;
  s.api.level = kApiLevel;
  s.api.total = n_.jetstream->api.total;
  s.api.errors = n_.jetstream->api.errors;
  return s;
}

std::optional<api::JsVarz> MonitorView::js_varz() const {
  if (!n_.jetstream) return std::nullopt;
  api::JsVarz v;
  v.config = js_config();
  v.stats = js_stats(nullptr);
  const auto& l = n_.options.jetstream.limits;
  v.limits = {l.max_request_batch, l.max_ack_pending, l.max_ha_assets, l.duplicate_window};
  return v;
}

api::StreamDetail MonitorView::stream_detail(StreamHost& s, const api::JszOptions& o) const {
  api::StreamInfo info = s.info();
  api::StreamDetail d;
  d.name = s.name();
  d.created = info.created;
  d.cluster = info.cluster;
  d.state = info.state;
  if (o.config) d.config = std::move(info.config);
  if (!o.consumers) return d;
  for (const auto& [name, c] : s.consumers()) d.consumers.push_back(c->info(o.config));
  return d;
}

api::Jsz MonitorView::jsz(const api::JszOptions& o) const {
  api::Jsz z;
  z.server_id = n_.id;
  z.now = n_.env.clock.wall();
  z.disabled = !n_.jetstream;
  if (z.disabled) return z;
  z.config = js_config();
  z.stats = js_stats(nullptr);
  for (StreamHost* s : n_.jetstream->all_streams()) {
    ++z.streams;
    z.consumers += static_cast<std::int64_t>(s->machine().consumers().size());
    z.messages += s->machine().store().state().messages;
    z.bytes += s->machine().store().state().bytes;
  }
  z.streams_leader = z.streams;
  z.consumers_leader = z.consumers;
  if (!o.accounts && !o.streams && !o.consumers && o.account.empty()) return z;
  std::int64_t at = 0;
  for (Account& a : n_.accounts) {
    if (!a.jetstream || (!o.account.empty() && a.name != o.account)) continue;
    ++z.total;
    if (at++ < o.offset || static_cast<std::int64_t>(z.account_details.size()) >= o.limit) continue;
    api::AccountDetail d;
    d.name = d.id = a.name;
    d.stats = js_stats(&a);
    if (o.streams || o.consumers) {
      for (StreamHost* s : n_.jetstream->streams(a)) d.streams.push_back(stream_detail(*s, o));
    }
    z.account_details.push_back(std::move(d));
  }
  return z;
}

namespace {
api::Healthz unhealthy(int code, std::string type, std::string text) {
  api::Healthz h;
  h.status = code == 503 ? "unavailable" : "error";
  h.status_code = code;
  h.error = text;
  h.errors.push_back({std::move(type), {}, {}, {}, std::move(text)});
  return h;
}
}  // namespace

api::Healthz MonitorView::healthz(const api::HealthzOptions& o) const {
  if ((!o.stream.empty() && o.account.empty()) || (!o.consumer.empty() && o.stream.empty())) {
    return unhealthy(400, "BAD_REQUEST",
                     o.account.empty() ? "account must not be empty when checking stream health"
                                       : "stream must not be empty when checking consumer health");
  }
  if (n_.stopping || n_.lame_duck) return unhealthy(503, "CONNECTION", "server is shutting down");
  if (!n_.jetstream) {
    if (!n_.options.jetstream.enabled && !o.js_enabled_only) return {};
    return unhealthy(503, "JETSTREAM", "JetStream not enabled");
  }
  if (n_.jetstream->failed()) return unhealthy(503, "JETSTREAM", "the journal's disk failed");
  if (o.js_enabled_only || o.js_server_only || o.js_meta_only) return {};
  api::Healthz h;
  bool found_stream = o.stream.empty(), found_consumer = o.consumer.empty();
  for (StreamHost* s : n_.jetstream->all_streams()) {
    if (!o.account.empty() && s->account().name != o.account) continue;
    if (!o.stream.empty() && s->name() != o.stream) continue;
    found_stream = true;
    found_consumer = found_consumer || s->consumer(o.consumer) != nullptr;
    if (std::string why = s->offline_reason(); !why.empty()) {
      h.errors.push_back({"STREAM", s->account().name, s->name(), {}, "stream is offline: " + why});
    }
  }
  for (const auto& s : n_.jetstream->offline_streams()) {
    if (!o.account.empty() && s.account != o.account) continue;
    if (!o.stream.empty() && s.name != o.stream) continue;
    found_stream = found_consumer = true;
    h.errors.push_back({"STREAM", s.account, s.name, {}, "stream is offline: " + s.why});
  }
  if (!o.account.empty() && !n_.find_account(o.account))
    return unhealthy(404, "ACCOUNT", "account not found");
  if (!found_stream) return unhealthy(404, "STREAM", "stream not found");
  if (!found_consumer) return unhealthy(404, "CONSUMER", "consumer not found");
  if (h.errors.empty()) return h;
  h.status = "unavailable";
  h.status_code = 503;
  h.error =
      "JetStream stream '" + h.errors[0].account + " > " + h.errors[0].stream + "': " + h.errors[0].error;
  if (!o.details) h.errors.clear();
  return h;
}

}  // namespace weir::server
