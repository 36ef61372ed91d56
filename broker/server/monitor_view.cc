#include "broker/server/monitor_view.h"

#include <algorithm>

#include "broker/base/text.h"
#include "broker/server/version.h"
#include "broker/subject/subject.h"

namespace weir::server {

namespace {
std::int64_t i64(std::uint64_t v) {
  return static_cast<std::int64_t>(v);
}

double seconds(Nanos n) {
  return static_cast<double>(n) / static_cast<double>(kSecond);
}

constexpr const char* kCompiler = "c++20 (gcc " __VERSION__ ")";
}  // namespace

api::ServerIdentity MonitorView::identity() const {
  api::ServerIdentity s;
  s.name = n_.name;
  s.host = n_.options.host;
  s.id = n_.id;
  s.cluster = n_.options.cluster.name;
  s.domain = n_.options.jetstream.domain;
  s.version = kCompatVersion;
  s.tags = n_.options.server_tags;
  s.metadata = n_.options.server_metadata;
  s.jetstream = n_.jetstream != nullptr;
  s.flags = n_.jetstream ? 1 : 0;
  s.time = n_.env.clock.wall();
  return s;
}

api::Varz MonitorView::varz() const {
  const auto& o = n_.options;
  api::Varz v;
  v.server_id = n_.id;
  v.server_name = n_.name;
  v.version = kCompatVersion;
  v.weir = kWeirVersion;
  v.go = kCompiler;
  v.host = o.host;
  if (auto at = n_.clients->endpoint()) v.port = at->port;
  v.auth_required = n_.auth->auth_required();
  v.max_connections = o.max_connections;
  v.max_subscriptions = o.max_subscriptions;
  v.ping_interval = o.ping_interval;
  v.ping_max = o.ping_max;
  if (n_.monitor_endpoint) {
    v.http_host = n_.monitor_endpoint->host;
    v.http_port = n_.monitor_endpoint->port;
  }
  v.http_base_path = o.http_base_path == "/" ? "" : o.http_base_path;
  Nanos auth_timeout = o.tls.present ? o.tls.timeout + kSecond : 2 * kSecond;
  v.auth_timeout = seconds(o.authorization.timeout > 0 ? o.authorization.timeout : auth_timeout);
  v.max_control_line = o.max_control_line;
  v.max_payload = o.max_payload;
  v.max_pending = o.max_pending;
  v.jetstream = js_varz();
  v.tls_timeout = seconds(o.tls.timeout);
  v.tls_required = o.tls.present && !o.allow_non_tls;
  v.tls_verify = o.tls.present && o.tls.verify;
  v.tls_cert_not_after = n_.clients->certificate_end();
  v.write_deadline = o.write_deadline;
  v.start = n_.start;
  v.now = n_.env.clock.wall();
  v.uptime = format_uptime(v.now - v.start);
  auto usage = n_.env.process.usage();
  v.mem = i64(usage.rss_bytes);
  v.cores = static_cast<int>(usage.cores);
  v.threads = 1;
  v.cpu = usage.cpu_percent;
  auto totals = n_.clients->live_totals();
  v.connections = i64(n_.clients->count());
  v.total_connections = totals.total_connections;
  v.in_msgs = v.in_client_msgs = i64(totals.in_msgs);
  v.in_bytes = v.in_client_bytes = i64(totals.in_bytes);
  v.out_msgs = v.out_client_msgs = i64(totals.out_msgs);
  v.out_bytes = v.out_client_bytes = i64(totals.out_bytes);
  v.slow_consumers = i64(totals.slow_consumers);
  v.stale_connections = i64(totals.stale_connections);
  v.stalled_clients = i64(totals.stalls);
  v.slow_consumer_stats.clients = totals.slow_consumers;
  v.stale_connection_stats.clients = totals.stale_connections;
  for (const Account& a : n_.accounts) v.subscriptions += static_cast<std::uint32_t>(a.sublist.size());
  v.http_req_stats = n_.http_requests;
  v.config_load_time = n_.start;
  v.config_digest = n_.config_digest;
  v.tags = o.server_tags;
  v.metadata = o.server_metadata;
  if (Account* sys = n_.system_account()) v.system_account = sys->name;
  if (n_.jetstream)
    v.sync_mode = o.jetstream.sync_always ? "always" : format_duration(o.jetstream.sync_interval);
  if (n_.mesh) add_cluster(v);
  return v;
}

api::ServerStats MonitorView::statsz() const {
  api::Varz v = varz();
  api::ServerStats s;
  s.start = v.start;
  s.mem = v.mem;
  s.cores = v.cores;
  s.cpu = v.cpu;
  s.connections = v.connections;
  s.total_connections = v.total_connections;
  for (const Account& a : n_.accounts) s.active_accounts += a.stats.connections > 0;
  s.subscriptions = v.subscriptions;
  s.sent = {v.out_msgs, v.out_bytes, {}};
  s.sent_to_clients = {v.out_client_msgs, v.out_client_bytes, {}};
  s.received = {v.in_msgs, v.in_bytes, {}};
  s.received_from_clients = {v.in_client_msgs, v.in_client_bytes, {}};
  s.slow_consumers = v.slow_consumers;
  s.slow_consumer_stats = v.slow_consumer_stats;
  s.stale_connections = v.stale_connections;
  s.stale_connection_stats = v.stale_connection_stats;
  s.stalled_clients = v.stalled_clients;
  s.active_servers = 1;
  if (n_.mesh) add_routes(s);
  s.jetstream = std::move(v.jetstream);
  s.threads = v.threads;
  return s;
}

api::ConnInfo MonitorView::conn_info(const ConnectionView& c, const api::ConnzOptions& o) const {
  Wall now = n_.env.clock.wall();
  api::ConnInfo i;
  i.cid = c.cid;
  i.kind = "Client";
  i.type = "nats";
  i.ip = c.remote.host;
  i.port = c.remote.port;
  i.start = c.start;
  i.last_activity = c.last_activity;
  if (c.stop.ns) {
    i.stop = c.stop;
    i.reason = c.reason;
  }
  if (c.rtt) i.rtt = format_duration(c.rtt);
  Wall until = c.stop.ns ? c.stop : now;
  i.uptime = format_uptime(until - c.start);
  i.idle = format_uptime(now - c.last_activity);
  i.pending_bytes = i64(c.pending_bytes);
  i.stalls = i64(c.stalls);
  i.in_msgs = i64(c.stats.in_msgs);
  i.out_msgs = i64(c.stats.out_msgs);
  i.in_bytes = i64(c.stats.in_bytes);
  i.out_bytes = i64(c.stats.out_bytes);
  i.subscriptions = static_cast<std::uint32_t>(c.subscriptions.size());
  i.name = c.options.name;
  i.lang = c.options.lang;
  i.version = c.options.version;
  if (c.tls) {
    i.tls_version = c.tls->version;
    i.tls_cipher_suite = c.tls->cipher;
    i.tls_first = c.tls_first;
  }
  if (o.auth) {
    i.authorized_user = c.user;
    i.account = c.account;
  }
  for (const auto& sub : c.subscriptions) {
    if (o.subscriptions && !o.subscriptions_detail) i.subscriptions_list.push_back(sub.subject);
    if (o.subscriptions_detail) {
      i.subscriptions_list_detail.push_back(
          {c.account, sub.subject, sub.queue, sub.sid, i64(sub.delivered), i64(sub.max), c.cid});
    }
  }
  return i;
}

namespace {

bool wanted(const ConnectionView& c, const api::ConnzOptions& o) {
  if (o.cid && c.cid != o.cid) return false;
  if (!o.user.empty() && c.user != o.user) return false;
  if (!o.account.empty() && c.account != o.account) return false;
  if (o.filter_subject.empty()) return true;
  return std::any_of(c.subscriptions.begin(), c.subscriptions.end(), [&](const session::Subscription& s) {
    return subject::overlaps(s.subject, o.filter_subject);
  });
}

/// What to order by; everything but cid, start, stop and reason goes from large to small.
std::int64_t sort_key(const ConnectionView& c, api::ConnSort sort, Wall now) {
  using api::ConnSort;
  switch (sort) {
    case ConnSort::kCid: return i64(c.cid);
    case ConnSort::kStart: return c.start.ns;
    case ConnSort::kStop: return -c.stop.ns;
    case ConnSort::kSubs: return -i64(c.subscriptions.size());
    case ConnSort::kPending: return -i64(c.pending_bytes);
    case ConnSort::kMsgsTo: return -i64(c.stats.out_msgs);
    case ConnSort::kMsgsFrom: return -i64(c.stats.in_msgs);
    case ConnSort::kBytesTo: return -i64(c.stats.out_bytes);
    case ConnSort::kBytesFrom: return -i64(c.stats.in_bytes);
    case ConnSort::kLast: return -c.last_activity.ns;
    case ConnSort::kIdle: return -(now - c.last_activity);
    case ConnSort::kUptime: return -((c.stop.ns ? c.stop : now) - c.start);
    case ConnSort::kRtt: return -c.rtt;
    case ConnSort::kReason: return 0;
  }
  return 0;
}

}  // namespace

api::Connz MonitorView::connz(const api::ConnzOptions& o) const {
  std::vector<ConnectionView> all;
  if (o.state != api::ConnState::kClosed) all = n_.clients->open_views(true);
  if (o.state != api::ConnState::kOpen) {
    const auto& closed = n_.clients->closed_views();
    all.insert(all.end(), closed.begin(), closed.end());
  }
  std::erase_if(all, [&](const ConnectionView& c) { return !wanted(c, o); });
  Wall now = n_.env.clock.wall();
  std::stable_sort(all.begin(), all.end(), [&](const ConnectionView& a, const ConnectionView& b) {
    if (o.sort == api::ConnSort::kReason) return a.reason < b.reason;
    return sort_key(a, o.sort, now) < sort_key(b, o.sort, now);
  });
  api::Connz z;
  z.server_id = n_.id;
  z.now = now;
  z.total = i64(all.size());
  z.offset = o.offset;
  z.limit = o.limit;
  for (std::int64_t i = std::max<std::int64_t>(o.offset, 0); i < z.total && z.num_connections < o.limit;
       ++i) {
    z.connections.push_back(conn_info(all[static_cast<std::size_t>(i)], o));
    ++z.num_connections;
  }
  return z;
}

api::Subsz MonitorView::subsz(const api::SubszOptions& o) const {
  api::Subsz z;
  z.server_id = n_.id;
  z.now = n_.env.clock.wall();
  z.offset = o.offset;
  z.limit = o.limit;
  std::uint64_t hits = 0;
  for (const Account& a : n_.accounts) {
    if (!o.account.empty() && a.name != o.account) continue;
    z.num_subscriptions += static_cast<std::uint32_t>(a.sublist.size());
    z.num_cache += static_cast<std::uint32_t>(a.sublist.cached());
    hits += a.sublist.cache_stats().hits;
    z.num_matches += a.sublist.cache_stats().hits + a.sublist.cache_stats().misses;
    if (!o.subscriptions) continue;
    a.sublist.for_each([&](std::string_view pattern, std::string_view queue, session::Subscription* sub) {
      if (!o.test.empty() && !subject::matches(pattern, o.test)) return;
      if (!sub->client) return;
      if (z.total++ < o.offset || i64(z.subscriptions_list.size()) >= o.limit) return;
      z.subscriptions_list.push_back({a.name, std::string(pattern), std::string(queue), sub->sid,
                                      i64(sub->delivered), i64(sub->max), sub->client->id().v});
    });
  }
  if (z.num_matches) z.cache_hit_rate = static_cast<double>(hits) / static_cast<double>(z.num_matches);
  return z;
}

}  // namespace weir::server
