// The health page: /healthz and $SYS.REQ.SERVER.<id>.HEALTHZ.
//
// js-enabled-only and js-server-only say whether this process is well, whatever the cluster does: if they
// waited for a meta leader, an orchestrator that starts nodes one after the other would never start the
// second.
#include <algorithm>

#include "broker/server/cluster_side.h"
#include "broker/server/group_view.h"
#include "broker/server/monitor_view.h"

namespace weir::server {

using jetstream::MetaStream;

namespace {

constexpr std::size_t kHindrancesShown = 1000;

api::Healthz unhealthy(int code, std::string type, std::string text) {
  api::Healthz h;
  h.status = code == 503 || code == 404 ? "unavailable" : "error";
  h.status_code = code;
  h.error = text;
  h.errors.push_back({std::move(type), {}, {}, {}, std::move(text)});
  return h;
}

std::string quoted(const std::string& s) {
  return "\"" + s + "\"";
}

api::Healthz not_found(const api::HealthzOptions& o, bool stream_found) {
  std::string type = "ACCOUNT", text = "account " + quoted(o.account) + " not found";
  if (!o.stream.empty() && !stream_found) {
    type = "STREAM";
    text = "stream " + quoted(o.stream) + " not found on account " + quoted(o.account);
  } else if (!o.stream.empty()) {
    type = "CONSUMER";
    text = "consumer " + quoted(o.consumer) + " not found for stream " + quoted(o.stream) + " on account " +
           quoted(o.account);
  }
  api::Healthz h = unhealthy(404, std::move(type), "JetStream " + text);
  h.errors[0].account = o.account;
  h.errors[0].stream = o.stream;
  h.errors[0].consumer = o.consumer;
  return h;
}

}  // namespace

api::Healthz MonitorView::healthz(const api::HealthzOptions& o) const {
  api::Healthz h = health(o);
  if (h.status_code == 0) h.status_code = 200;
  if (!o.details) {
    h.errors.clear();
  } else if (!h.errors.empty()) {
    h.status = "error";
    h.error.clear();
  }
  return h;
}

api::Healthz MonitorView::health(const api::HealthzOptions& o) const {
  if (!o.stream.empty() && o.account.empty())
    return unhealthy(400, "BAD_REQUEST", "\"account\" must not be empty when checking stream health");
  if (!o.consumer.empty() && o.stream.empty())
    return unhealthy(400, "BAD_REQUEST", "\"stream\" must not be empty when checking consumer health");
  if (n_.stopping || n_.lame_duck) return unhealthy(503, "CONNECTION", "server is shutting down");
  if (!n_.jetstream) {
    if (!n_.options.jetstream.enabled && !o.js_enabled_only) return {};
    return unhealthy(503, "JETSTREAM", "JetStream not enabled");
  }
  if (n_.jetstream->failed()) return unhealthy(503, "JETSTREAM", "the journal's disk failed");
  if (o.js_enabled_only || o.js_server_only) return {};
  if (std::string why = meta_health(); !why.empty()) return unhealthy(503, "JETSTREAM", "JetStream " + why);
  if (o.js_meta_only) return {};
  return streams_health(o);
}

void MonitorView::safe_to_stop(const api::HealthzOptions& o,
                               std::function<void(const api::Healthz&)> done) const {
  ClusterAsks* asks = n_.jetstream ? n_.jetstream->asks() : nullptr;
  if (!asks) return done({"ok", 200, {}, {}});  // nobody could take over: nothing to wait for
  asks->safe_to_stop([details = o.details, done = std::move(done)](const std::vector<StopHindrance>& found) {
    api::Healthz h;
    h.status_code = 200;
    if (found.empty()) return done(h);
    h.status = "unavailable";
    h.status_code = 503;
    h.error = "not safe to stop: " + found[0].why;
    if (found.size() > 1) h.error += " (and " + std::to_string(found.size() - 1) + " more)";
    for (const StopHindrance& f : found) {
      if (!details || h.errors.size() >= kHindrancesShown) break;
      h.errors.push_back({f.stream.empty() ? "JETSTREAM" : "STREAM", f.account, f.stream, {}, f.why});
    }
    done(h);
  });
}

std::string MonitorView::meta_health() const {
  const ClusterSide* cluster = n_.jetstream->context().cluster;
  if (!cluster) return {};
  if (std::string why = n_.jetstream->refusal(); !why.empty()) return "takes no part in the cluster: " + why;
  if (n_.jetstream->meta_leader().v == 0) return "has not established contact with a meta leader";
  if (std::string why = not_current(n_.jetstream->meta().group(), cluster); !why.empty())
    return "meta group " + why;
  if (const StateCheck* check = n_.jetstream->state_check()) {
    if (std::string why = check->difference(jetstream::kMetaGroup); !why.empty())
      return "meta group contradicts itself: " + why;
  }
  return n_.jetstream->registered() ? ""
                                    : "is not current with the meta leader: this node is not registered yet";
}

// Streams that should have a replica here; without a cluster, all.
api::Healthz MonitorView::streams_health(const api::HealthzOptions& o) const {
  if (!o.account.empty() && !n_.find_account(o.account)) return not_found(o, false);
  api::Healthz h;
  bool stream_found = o.stream.empty(), consumer_found = o.consumer.empty();
  NodeId self = n_.jetstream->self();
  n_.jetstream->meta().state().for_each([&](const MetaStream& s) {
    if (!o.account.empty() && s.account != o.account) return true;
    if (!o.stream.empty() && s.config.name != o.stream) return true;
    if (n_.mesh && s.replica_on(self).v == 0) return true;
    stream_found = true;
    const StreamHost* host = n_.jetstream->find(s.group);
    if (host && host->machine().find_consumer(o.consumer)) consumer_found = true;
    if (std::string why = stream_health(s, host); !why.empty())
      h.errors.push_back({"STREAM",
                          s.account,
                          s.config.name,
                          {},
                          "JetStream stream '" + s.account + " > " + s.config.name + "' " + why});
    return true;
  });
  if (!stream_found) return not_found(o, false);
  if (!consumer_found && h.errors.empty()) return not_found(o, true);
  if (h.errors.empty()) return h;
  h.status = "unavailable";
  h.status_code = 503;
  h.error = h.errors[0].error;
  return h;
}

std::string MonitorView::stream_health(const MetaStream& s, const StreamHost* host) const {
  if (auto why = n_.jetstream->offline_reason(s.account, s.config.name)) return "is offline: " + *why;
  if (!host) return "is not current: its replica here has not begun yet";
  if (std::string why = host->offline_reason(); !why.empty()) return "is offline: " + why;
  if (host->fetching()) return "is not current: its state is being fetched";
  if (const StateCheck* check = n_.jetstream->state_check()) {
    if (std::string why = check->difference(s.group); !why.empty()) return "contradicts itself: " + why;
  }
  return n_.mesh ? not_current(host->group(), n_.jetstream->context().cluster) : std::string();
}

}  // namespace weir::server
