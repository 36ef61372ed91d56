#include "broker/api/monitor.h"
#include "broker/api/monitor_json.h"

namespace weir::api {
namespace {

void put_if(JsonWriter& w, std::string_view name, double v) {
  if (v != 0) w.field(name, v);
}

void write_cluster(JsonWriter& w, const ClusterVarz& c) {
  w.begin_object("cluster");
  w.field_if("name", c.name);
  w.field_if("addr", c.host);
  w.field_if("cluster_port", c.port);
  put_if(w, "auth_timeout", c.auth_timeout);
  w.field_if("urls", c.urls);
  put_if(w, "tls_timeout", c.tls_timeout);
  w.field_if("tls_required", c.tls_required);
  w.field_if("tls_verify", c.tls_verify);
  w.field_if("pool_size", c.pool_size);
  w.end_object();
}

void write_websocket(JsonWriter& w, const WebsocketVarz& s) {
  w.begin_object("websocket");
  w.field_if("host", s.host);
  w.field_if("port", s.port);
  w.field_if("advertise", s.advertise);
  w.field_if("no_auth_user", s.no_auth_user);
  w.field_if("handshake_timeout", s.handshake_timeout);
  put_if(w, "auth_timeout", s.auth_timeout);
  w.field_if("no_tls", s.no_tls);
  w.field_if("same_origin", s.same_origin);
  w.field_if("allowed_origins", s.allowed_origins);
  w.field_if("compression", s.compression);
  w.end_object();
}

void write_empty(JsonWriter& w, std::string_view name) {
  w.begin_object(name);
  w.end_object();
}

void write_settings(JsonWriter& w, const Varz& v) {
  w.field("server_id", v.server_id);
  w.field("server_name", v.server_name);
  w.field("version", v.version);
  w.field_if("weir", v.weir);
  w.field("proto", v.proto);
  w.field_if("git_commit", v.git_commit);
  w.field("go", v.go);
  w.field("host", v.host);
  w.field("port", v.port);
  w.field_if("auth_required", v.auth_required);
  w.field_if("tls_required", v.tls_required);
  w.field_if("tls_verify", v.tls_verify);
  w.field_if("ip", v.ip);
  w.field_if("connect_urls", v.connect_urls);
  w.field_if("ws_connect_urls", v.ws_connect_urls);
  w.field("max_connections", v.max_connections);
  w.field_if("max_subscriptions", v.max_subscriptions);
  w.field("ping_interval", v.ping_interval);
  w.field("ping_max", v.ping_max);
  w.field("http_host", v.http_host);
  w.field("http_port", v.http_port);
  w.field("http_base_path", v.http_base_path);
  w.field("https_port", v.https_port);
  w.field("auth_timeout", v.auth_timeout);
  w.field("max_control_line", v.max_control_line);
  w.field("max_payload", v.max_payload);
  w.field("max_pending", v.max_pending);
}

void write_parts(JsonWriter& w, const Varz& v) {
  write_cluster(w, v.cluster);
  write_empty(w, "gateway");
  write_empty(w, "leaf");
  write_empty(w, "mqtt");
  write_websocket(w, v.websocket);
  if (v.jetstream) {
    w.key("jetstream");
    write_js_varz(w, *v.jetstream, true);
  } else {
    write_empty(w, "jetstream");
  }
  w.field_if("sync_mode", v.sync_mode);
  w.field("tls_timeout", v.tls_timeout);
  w.field("write_deadline", v.write_deadline);
}

void write_counters(JsonWriter& w, const Varz& v) {
  w.field("start", v.start);
  w.field("now", v.now);
  w.field("uptime", v.uptime);
  w.field("mem", v.mem);
  w.field("cores", v.cores);
  w.field("gomaxprocs", v.threads);
  w.field("cpu", v.cpu);
  w.field("connections", v.connections);
  w.field("total_connections", v.total_connections);
  w.field("routes", v.routes);
  w.field("remotes", v.remotes);
  w.field("leafnodes", v.leafnodes);
  w.field("in_msgs", v.in_msgs);
  w.field("in_bytes", v.in_bytes);
  w.field("in_client_msgs", v.in_client_msgs);
  w.field("in_client_bytes", v.in_client_bytes);
  w.field("out_msgs", v.out_msgs);
  w.field("out_bytes", v.out_bytes);
  w.field("out_client_msgs", v.out_client_msgs);
  w.field("out_client_bytes", v.out_client_bytes);
  w.field("slow_consumers", v.slow_consumers);
  w.field("stale_connections", v.stale_connections);
  w.field("stalled_clients", v.stalled_clients);
  w.field("subscriptions", v.subscriptions);
}

void write_rest(JsonWriter& w, const Varz& v) {
  w.begin_object("http_req_stats");
  for (const auto& [path, count] : v.http_req_stats) w.field(path, count);
  w.end_object();
  w.field("config_load_time", v.config_load_time);
  w.field("config_digest", v.config_digest);
  w.field_if("tags", v.tags);
  w.field_if("metadata", v.metadata);
  w.field_if("system_account", v.system_account);
  write_by_kind(w, "slow_consumer_stats", v.slow_consumer_stats);
  write_by_kind(w, "stale_connection_stats", v.stale_connection_stats);
  w.field_if("tls_cert_not_after", v.tls_cert_not_after);
}

bool any(const CountsByKind& c) {
  return c.clients != 0 || c.routes != 0 || c.gateways != 0 || c.leafs != 0;
}

void write_stats(JsonWriter& w, const ServerStats& s) {
  w.begin_object("statsz");
  w.field("start", s.start);
  w.field("mem", s.mem);
  w.field("cores", s.cores);
  w.field("cpu", s.cpu);
  w.field("connections", s.connections);
  w.field("total_connections", s.total_connections);
  w.field("active_accounts", s.active_accounts);
  w.field("subscriptions", s.subscriptions);
  write_data_stats(w, "sent", s.sent);
  write_data_stats(w, "sent_to_clients", s.sent_to_clients);
  write_data_stats(w, "received", s.received);
  write_data_stats(w, "received_from_clients", s.received_from_clients);
  w.field("slow_consumers", s.slow_consumers);
  if (any(s.slow_consumer_stats)) write_by_kind(w, "slow_consumer_stats", s.slow_consumer_stats);
  w.field_if("stale_connections", s.stale_connections);
  if (any(s.stale_connection_stats)) write_by_kind(w, "stale_connection_stats", s.stale_connection_stats);
  w.field_if("stalled_clients", s.stalled_clients);
  if (!s.routes.empty()) {
    w.begin_array("routes");
    for (const auto& r : s.routes) {
      w.begin_object();
      w.field("rid", r.rid);
      w.field_if("name", r.name);
      write_data_stats(w, "sent", r.sent);
      write_data_stats(w, "received", r.received);
      w.field("pending", r.pending);
      w.end_object();
    }
    w.end_array();
  }
  w.field_if("active_servers", s.active_servers);
  if (s.jetstream) {
    w.key("jetstream");
    write_js_varz(w, *s.jetstream, false);
  }
  w.field_if("gomaxprocs", s.threads);
  w.end_object();
}

}  // namespace

void write_server_identity(JsonWriter& w, const ServerIdentity& s) {
  w.begin_object();
  w.field("name", s.name);
  w.field("host", s.host);
  w.field("id", s.id);
  w.field_if("cluster", s.cluster);
  w.field_if("domain", s.domain);
  w.field("ver", s.version);
  w.field_if("tags", s.tags);
  w.field_if("metadata", s.metadata);
  w.field("jetstream", s.jetstream);
  w.field("flags", s.flags);
  w.field("seq", s.seq);
  w.field("time", s.time);
  w.end_object();
}

void write_client_info(JsonWriter& w, const ClientInfo& c) {
  w.begin_object();
  w.field_if("start", c.start);
  w.field_if("host", c.host);
  w.field_if("id", c.id);
  w.field_if("acc", c.account);
  w.field_if("svc", c.service);
  w.field_if("user", c.user);
  w.field_if("name", c.name);
  w.field_if("lang", c.lang);
  w.field_if("ver", c.version);
  w.field_if("rtt", c.rtt);
  w.field_if("server", c.server);
  w.field_if("cluster", c.cluster);
  w.field_if("stop", c.stop);
  w.field_if("kind", c.kind);
  w.field_if("client_type", c.client_type);
  w.end_object();
}

void write_data_stats(JsonWriter& w, std::string_view name, const DataStats& d) {
  w.begin_object(name);
  w.field("msgs", d.msgs);
  w.field("bytes", d.bytes);
  if (d.routes) {
    w.begin_object("routes");
    w.field("msgs", d.routes->first);
    w.field("bytes", d.routes->second);
    w.end_object();
  }
  w.end_object();
}

void write_by_kind(JsonWriter& w, std::string_view name, const CountsByKind& c) {
  w.begin_object(name);
  w.field("clients", c.clients);
  w.field("routes", c.routes);
  w.field("gateways", c.gateways);
  w.field("leafs", c.leafs);
  w.end_object();
}

std::string encode_varz(const Varz& v) {
  std::string out;
  JsonWriter w(out);
  w.begin_object();
  write_settings(w, v);
  write_parts(w, v);
  write_counters(w, v);
  write_rest(w, v);
  w.end_object();
  return out;
}

std::string encode_statsz(const ServerIdentity& server, const ServerStats& stats) {
  std::string out;
  JsonWriter w(out);
  w.begin_object();
  w.key("server");
  write_server_identity(w, server);
  write_stats(w, stats);
  w.end_object();
  return out;
}

std::string encode_sys_reply(const ServerIdentity& server, std::string_view data_json) {
  std::string out;
  JsonWriter w(out);
  w.begin_object();
  w.key("server");
  write_server_identity(w, server);
  w.key("data");
  w.raw(data_json);
  w.end_object();
  return out;
}

std::string encode_sys_error(const ServerIdentity& server, int code, std::string_view description) {
  std::string out;
  JsonWriter w(out);
  w.begin_object();
  w.key("server");
  write_server_identity(w, server);
  w.key("error");
  write_error(w, ApiError{code, ErrCode::kNone, std::string(description)});
  w.end_object();
  return out;
}

std::string encode_idz(const ServerIdentity& server) {
  std::string out;
  JsonWriter w(out);
  w.begin_object();
  w.field("name", server.name);
  w.field("host", server.host);
  w.field("id", server.id);
  w.end_object();
  return out;
}

}  // namespace weir::api
