#include "broker/api/monitor.h"
#include "broker/api/monitor_json.h"

namespace weir::api {
namespace {

void write_sub(JsonWriter& w, const SubDetail& s) {
  w.begin_object();
  w.field_if("account", s.account);
  w.field("subject", s.subject);
  w.field_if("qgroup", s.queue);
  w.field("sid", s.sid);
  w.field("msgs", s.msgs);
  w.field_if("max", s.max);
  w.field("cid", s.cid);
  w.end_object();
}

void write_subs(JsonWriter& w, std::string_view name, const std::vector<SubDetail>& subs) {
  if (subs.empty()) return;
  w.begin_array(name);
  for (const auto& s : subs) write_sub(w, s);
  w.end_array();
}

/// Fields that a client's and a peer's connection share.
template <class Conn>
void write_times(JsonWriter& w, const Conn& c) {
  w.field("ip", c.ip);
  w.field("port", c.port);
  w.field("start", c.start);
  w.field("last_activity", c.last_activity);
}

template <class Conn>
void write_traffic(JsonWriter& w, const Conn& c) {
  w.field("in_msgs", c.in_msgs);
  w.field("out_msgs", c.out_msgs);
  w.field("in_bytes", c.in_bytes);
  w.field("out_bytes", c.out_bytes);
}

void write_who(JsonWriter& w, const ConnInfo& c) {
  w.field_if("name", c.name);
  w.field_if("lang", c.lang);
  w.field_if("version", c.version);
  w.field_if("tls_version", c.tls_version);
  w.field_if("tls_cipher_suite", c.tls_cipher_suite);
  w.field_if("tls_first", c.tls_first);
  w.field_if("authorized_user", c.authorized_user);
  w.field_if("account", c.account);
  w.field_if("subscriptions_list", c.subscriptions_list);
  write_subs(w, "subscriptions_list_detail", c.subscriptions_list_detail);
  w.field_if("jwt", c.jwt);
  w.field_if("issuer_key", c.issuer_key);
  w.field_if("name_tag", c.name_tag);
  w.field_if("tags", c.tags);
}

void write_conn(JsonWriter& w, const ConnInfo& c) {
  w.begin_object();
  w.field("cid", c.cid);
  w.field_if("kind", c.kind);
  w.field_if("type", c.type);
  write_times(w, c);
  w.field_if("stop", c.stop);
  w.field_if("reason", c.reason);
  w.field_if("rtt", c.rtt);
  w.field("uptime", c.uptime);
  w.field("idle", c.idle);
  w.field("pending_bytes", c.pending_bytes);
  write_traffic(w, c);
  w.field_if("stalls", c.stalls);
  w.field("subscriptions", c.subscriptions);
  write_who(w, c);
  w.end_object();
}

void write_route(JsonWriter& w, const RouteInfo& r) {
  w.begin_object();
  w.field("rid", r.rid);
  w.field("remote_id", r.remote_id);
  w.field("remote_name", r.remote_name);
  w.field("did_solicit", r.did_solicit);
  w.field("is_configured", r.is_configured);
  write_times(w, r);
  w.field_if("rtt", r.rtt);
  w.field("uptime", r.uptime);
  w.field("idle", r.idle);
  w.field("pending_size", r.pending_size);
  write_traffic(w, r);
  w.field("subscriptions", r.subscriptions);
  w.field_if("subscriptions_list", r.subscriptions_list);
  w.end_object();
}

}  // namespace

void write_account_stat_fields(JsonWriter& w, const AccountStat& a) {
  w.field("acc", a.account);
  w.field("name", a.name);
  w.field("conns", a.conns);
  w.field("leafnodes", a.leafnodes);
  w.field("total_conns", a.total_conns);
  w.field("num_subscriptions", a.num_subscriptions);
  write_data_stats(w, "sent", a.sent);
  write_data_stats(w, "received", a.received);
  w.field("slow_consumers", a.slow_consumers);
}

std::string encode_connz(const Connz& c) {
  std::string out;
  JsonWriter w(out);
  w.begin_object();
  w.field("server_id", c.server_id);
  w.field("now", c.now);
  w.field("num_connections", c.num_connections);
  w.field("total", c.total);
  w.field("offset", c.offset);
  w.field("limit", c.limit);
  w.begin_array("connections");
  for (const auto& conn : c.connections) write_conn(w, conn);
  w.end_array();
  w.end_object();
  return out;
}

std::string encode_routez(const Routez& r) {
  std::string out;
  JsonWriter w(out);
  w.begin_object();
  w.field("server_id", r.server_id);
  w.field("server_name", r.server_name);
  w.field("now", r.now);
  w.field("num_routes", std::uint64_t{r.routes.size()});
  w.begin_array("routes");
  for (const auto& route : r.routes) write_route(w, route);
  w.end_array();
  w.end_object();
  return out;
}

namespace {
void write_sublist(JsonWriter& w, const Subsz& s) {
  w.field("num_subscriptions", s.num_subscriptions);
  w.field("num_cache", s.num_cache);
  w.field("num_inserts", s.num_inserts);
  w.field("num_removes", s.num_removes);
  w.field("num_matches", s.num_matches);
  w.field("cache_hit_rate", s.cache_hit_rate);
  w.field("max_fanout", s.max_fanout);
  w.field("avg_fanout", s.avg_fanout);
}
}  // namespace

std::string encode_subsz(const Subsz& s) {
  std::string out;
  JsonWriter w(out);
  w.begin_object();
  w.field("server_id", s.server_id);
  w.field("now", s.now);
  write_sublist(w, s);
  w.field("total", s.total);
  w.field("offset", s.offset);
  w.field("limit", s.limit);
  write_subs(w, "subscriptions_list", s.subscriptions_list);
  w.end_object();
  return out;
}

std::string encode_gatewayz(std::string_view server_id, Wall now) {
  std::string out;
  JsonWriter w(out);
  w.begin_object();
  w.field("server_id", server_id);
  w.field("now", now);
  w.begin_object("outbound_gateways");
  w.end_object();
  w.begin_object("inbound_gateways");
  w.end_object();
  w.end_object();
  return out;
}

std::string encode_leafz(std::string_view server_id, Wall now) {
  std::string out;
  JsonWriter w(out);
  w.begin_object();
  w.field("server_id", server_id);
  w.field("now", now);
  w.field("leafnodes", 0);
  w.begin_array("leafs");
  w.end_array();
  w.end_object();
  return out;
}

std::string encode_accountz(const Accountz& a) {
  std::string out;
  JsonWriter w(out);
  w.begin_object();
  w.field("server_id", a.server_id);
  w.field("now", a.now);
  w.field_if("system_account", a.system_account);
  w.field_if("accounts", a.accounts);
  if (a.detail) {
    w.key("account_detail");
    w.raw(encode_account_detail(*a.detail));
  }
  w.end_object();
  return out;
}

std::string encode_account_detail(const AccountzDetail& a) {
  std::string out;
  JsonWriter w(out);
  w.begin_object();
  w.field("account_name", a.name);
  w.field("update_time", a.update_time);
  w.field_if("is_system", a.is_system);
  w.field("expired", false);
  w.field("complete", true);
  w.field("jetstream_enabled", a.jetstream);
  w.field("leafnode_connections", a.leafnodes);
  w.field("client_connections", a.clients);
  w.field("subscriptions", a.sublist.num_subscriptions);
  w.begin_object("sublist_stats");
  write_sublist(w, a.sublist);
  w.end_object();
  w.end_object();
  return out;
}

std::string encode_ipqueuesz(const Ipqueuesz& q) {
  std::string out;
  JsonWriter w(out);
  w.begin_object();
  for (const auto& [name, queue] : q) {
    w.begin_object(name);
    w.field("pending", queue.pending);
    w.field_if("in_progress", queue.in_progress);
    w.end_object();
  }
  w.end_object();
  return out;
}

std::string encode_profilez(std::string_view error) {
  std::string out;
  JsonWriter w(out);
  w.begin_object();
  w.key("profile");
  w.raw("null");
  w.field("error", error);
  w.end_object();
  return out;
}

std::string encode_accstatz(const AccountStatz& a) {
  std::string out;
  JsonWriter w(out);
  w.begin_object();
  w.field("server_id", a.server_id);
  w.field("now", a.now);
  w.begin_array("account_statz");
  for (const auto& account : a.accounts) {
    w.begin_object();
    write_account_stat_fields(w, account);
    w.end_object();
  }
  w.end_array();
  w.end_object();
  return out;
}

std::string encode_healthz(const Healthz& h) {
  std::string out;
  JsonWriter w(out);
  w.begin_object();
  w.field("status", h.status);
  w.field_if("status_code", h.status_code);
  w.field_if("error", h.error);
  if (!h.errors.empty()) {
    w.begin_array("errors");
    for (const auto& e : h.errors) {
      w.begin_object();
      w.field("type", e.type);
      w.field_if("account", e.account);
      w.field_if("stream", e.stream);
      w.field_if("consumer", e.consumer);
      w.field_if("error", e.error);
      w.end_object();
    }
    w.end_array();
  }
  w.end_object();
  return out;
}

std::string encode_user_info(const UserInfo& u) {
  std::string out;
  JsonWriter w(out);
  w.begin_object();
  w.field("user", u.user);
  w.field("account", u.account);
  w.field_if("account_name", u.account_name);
  w.field_if("user_name", u.user_name);
  if (!u.permissions_json.empty()) {
    w.key("permissions");
    w.raw(u.permissions_json);
  }
  w.field_if("expires", u.expires);
  w.end_object();
  return out;
}

}  // namespace weir::api
