// The cluster in the monitoring pages: /routez and the parts of /varz and STATSZ. Routes are peer links.
#include "broker/base/text.h"
#include "broker/server/monitor_view.h"

namespace weir::server {

namespace {

constexpr Nanos kDefaultAuthTimeout = 2 * kSecond;

std::int64_t i64(std::uint64_t v) {
  return static_cast<std::int64_t>(v);
}

/// "host:port" of a route's URL: passwords are not shown.
std::string host_of(std::string_view url) {
  if (auto scheme = url.find("://"); scheme != std::string_view::npos) url.remove_prefix(scheme + 3);
  url = url.substr(0, url.find('/'));
  if (auto at = url.rfind('@'); at != std::string_view::npos) url.remove_prefix(at + 1);
  return std::string(url);
}

}  // namespace

api::Routez MonitorView::routez(const api::RoutezOptions& o) const {
  api::Routez z;
  z.server_id = n_.id;
  z.server_name = n_.name;
  z.now = n_.env.clock.wall();
  if (!n_.mesh) return z;
  Mono now = n_.env.clock.now();
  for (const cluster::LinkStats& link : n_.mesh->links()) {
    api::RouteInfo r;
    r.rid = link.rid;
    r.remote_id = link.peer.server_id;
    r.remote_name = link.peer.name;
    r.did_solicit = link.solicited;
    r.is_configured = link.configured;
    r.ip = link.remote_ip;
    r.port = link.remote_port;
    r.start = link.start;
    Nanos idle = now - link.last_heard;
    r.last_activity = z.now - idle;
    if (link.rtt) r.rtt = format_duration(link.rtt);
    r.uptime = format_uptime(z.now - link.start);
    r.idle = format_uptime(idle);
    r.pending_size = i64(link.pending_bytes);
    r.in_msgs = i64(link.in_frames);
    r.out_msgs = i64(link.out_frames);
    r.in_bytes = i64(link.in_bytes);
    r.out_bytes = i64(link.out_bytes);
    if (n_.interest) {
      r.subscriptions = static_cast<std::uint32_t>(n_.interest->subscriptions(link.peer.id));
      if (o.subscriptions || o.subscriptions_detail) {
        r.subscriptions_list = n_.interest->subjects(link.peer.id);
      }
    }
    z.routes.push_back(std::move(r));
  }
  return z;
}

void MonitorView::add_cluster(api::Varz& v) const {
  const config::ClusterConfig& c = n_.options.cluster;
  v.cluster.name = c.name;
  v.cluster.host = c.host;
  auto at = n_.mesh->endpoint();
  v.cluster.port = at ? at->port : c.port;
  Nanos timeout = c.tls.present ? c.tls.timeout + kSecond : kDefaultAuthTimeout;
  if (c.auth_timeout > 0) timeout = c.auth_timeout;
  v.cluster.auth_timeout = static_cast<double>(timeout) / static_cast<double>(kSecond);
  if (c.tls.present) {
    v.cluster.tls_required = v.cluster.tls_verify = true;
    v.cluster.tls_timeout = static_cast<double>(c.tls.timeout) / static_cast<double>(kSecond);
  }
  for (const auto& [url, position] : c.routes) v.cluster.urls.push_back(host_of(url));
  v.connect_urls = n_.connect_urls.list(n_.lame_duck);
  v.routes = v.remotes = i64(n_.mesh->links().size());
  if (!n_.interest) return;
  const InterestStats& s = n_.interest->stats();
  v.in_msgs += i64(s.received);
  v.in_bytes += i64(s.received_bytes);
  v.out_msgs += i64(s.sent);
  v.out_bytes += i64(s.sent_bytes);
}

void MonitorView::add_routes(api::ServerStats& s) const {
  for (const cluster::LinkStats& link : n_.mesh->links()) {
    api::RouteStat r;
    r.rid = link.rid;
    r.name = link.peer.name;
    r.sent = {i64(link.out_frames), i64(link.out_bytes), {}};
    r.received = {i64(link.in_frames), i64(link.in_bytes), {}};
    r.pending = i64(link.pending_bytes);
    s.routes.push_back(std::move(r));
  }
  s.active_servers += i64(s.routes.size());
}

}  // namespace weir::server
