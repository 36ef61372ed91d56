// broker/api/monitor.h - monitoring pages (HTTP and $SYS) as plain structs, and their JSON.
//
// Room:    pure. server/ fills the structs, this folder gives them their one JSON form, so that all
//          faces agree. Only fields that can hold a true value are there: no Go runtime figures
//          except those that exporters insist on.
// Units:   sizes in bytes; durations Nanos; `cpu` in percent of one core; uptime, idle and rtt are
//          texts (format_uptime, format_duration).
// Use:     the texts have no white space; the HTTP face may send them as they are. $SYS replies wrap
//          the same text with encode_sys_reply().
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "broker/api/monitor_js.h"
#include "broker/api/responses.h"
#include "broker/api/stream_config.h"
#include "broker/base/time.h"

namespace weir::api {

/// The server in events and $SYS replies ("server").
struct ServerIdentity {
  std::string name, host, id;
  std::string cluster, domain;
  std::string version;  // field "ver"
  std::vector<std::string> tags;
  Metadata metadata;
  bool jetstream = false;
  std::uint64_t flags = 0;  // bit 0: JetStream
  std::uint64_t seq = 0;
  Wall time;
};

/// A client in events.
struct ClientInfo {
  std::optional<Wall> start;
  std::string host;
  std::uint64_t id = 0;
  std::string account, service, user, name, lang, version;
  Nanos rtt = 0;
  std::string server, cluster;
  std::optional<Wall> stop;
  std::string kind;         // "Client", "Router", "JetStream", "Account", "System"
  std::string client_type;  // "nats", "websocket", "mqtt"
};

struct DataStats {
  std::int64_t msgs = 0;
  std::int64_t bytes = 0;
  std::optional<std::pair<std::int64_t, std::int64_t>> routes;  // messages, bytes of peer links
};

struct CountsByKind {
  std::uint64_t clients = 0, routes = 0, gateways = 0, leafs = 0;
};

// ---- varz ------------------------------------------------------------------------------------

struct ClusterVarz {
  std::string name, host;
  int port = 0;
  double auth_timeout = 0;
  std::vector<std::string> urls;
  double tls_timeout = 0;
  bool tls_required = false, tls_verify = false;
  int pool_size = 0;
};
struct WebsocketVarz {
  std::string host;
  int port = 0;
  std::string advertise, no_auth_user;
  Nanos handshake_timeout = 0;
  double auth_timeout = 0;
  bool no_tls = false, same_origin = false;
  std::vector<std::string> allowed_origins;
  bool compression = false;
};
struct Varz {
  std::string server_id, server_name;
  std::string version;  // nats-server version whose features are there
  std::string weir;     // our own version
  int proto = 1;
  std::string git_commit, go;  // `go` names our compiler: exporters want the field
  std::string host;
  int port = 0;
  bool auth_required = false, tls_required = false, tls_verify = false;
  std::string ip;
  std::vector<std::string> connect_urls, ws_connect_urls;
  std::int64_t max_connections = 0, max_subscriptions = 0;
  Nanos ping_interval = 0;
  int ping_max = 0;
  std::string http_host;
  int http_port = 0;
  std::string http_base_path;
  int https_port = 0;
  double auth_timeout = 0;  // s
  std::int64_t max_control_line = 0, max_payload = 0, max_pending = 0;
  ClusterVarz cluster;
  WebsocketVarz websocket;
  std::optional<JsVarz> jetstream;
  double tls_timeout = 0;  // s
  Nanos write_deadline = 0;
  Wall start, now;
  std::string uptime;
  std::int64_t mem = 0;
  int cores = 0;
  int threads = 0;  // field "gomaxprocs": threads that run the broker
  double cpu = 0;
  std::int64_t connections = 0;
  std::uint64_t total_connections = 0;
  std::int64_t routes = 0, remotes = 0, leafnodes = 0;
  std::int64_t in_msgs = 0, in_bytes = 0, in_client_msgs = 0, in_client_bytes = 0;
  std::int64_t out_msgs = 0, out_bytes = 0, out_client_msgs = 0, out_client_bytes = 0;
  std::int64_t slow_consumers = 0, stale_connections = 0, stalled_clients = 0;
  std::uint32_t subscriptions = 0;
  std::map<std::string, std::uint64_t> http_req_stats;
  Wall config_load_time;
  std::string config_digest;
  std::vector<std::string> tags;
  Metadata metadata;
  std::string system_account;
  CountsByKind slow_consumer_stats, stale_connection_stats;
  std::optional<Wall> tls_cert_not_after;
  std::string sync_mode;  // Weir's own: "always" or the interval, how durable a PubAck is
};

// ---- connections, subscriptions, accounts -----------------------------------------------------

struct SubDetail {
  std::string account, subject, queue;
  std::string sid;
  std::int64_t msgs = 0, max = 0;
  std::uint64_t cid = 0;
};
struct ConnInfo {
  std::uint64_t cid = 0;
  std::string kind, type;  // "Client", "nats"
  std::string ip;
  int port = 0;
  Wall start, last_activity;
  std::optional<Wall> stop;  // closed ones only
  std::string reason;        // closed ones only
  std::string rtt, uptime, idle;
  std::int64_t pending_bytes = 0;
  std::int64_t in_msgs = 0, out_msgs = 0, in_bytes = 0, out_bytes = 0;
  std::int64_t stalls = 0;
  std::uint32_t subscriptions = 0;
  std::string name, lang, version;
  std::string tls_version, tls_cipher_suite;
  bool tls_first = false;
  std::string authorized_user, account;  // only when asked for
  std::vector<std::string> subscriptions_list;
  std::vector<SubDetail> subscriptions_list_detail;
  std::string jwt, issuer_key, name_tag;
  std::vector<std::string> tags;
};
struct Connz {
  std::string server_id;
  Wall now;
  std::int64_t num_connections = 0, total = 0, offset = 0, limit = 0;
  std::vector<ConnInfo> connections;
};
struct Subsz {
  std::string server_id;
  Wall now;
  std::uint32_t num_subscriptions = 0, num_cache = 0;
  std::uint64_t num_inserts = 0, num_removes = 0, num_matches = 0;
  double cache_hit_rate = 0;
  std::uint32_t max_fanout = 0;
  double avg_fanout = 0;
  std::int64_t total = 0, offset = 0, limit = 0;
  std::vector<SubDetail> subscriptions_list;
};
struct AccountStat {
  std::string account, name;
  std::int64_t conns = 0, leafnodes = 0, total_conns = 0;
  std::uint32_t num_subscriptions = 0;
  DataStats sent, received;
  std::int64_t slow_consumers = 0;
};
struct AccountStatz {
  std::string server_id;
  Wall now;
  std::vector<AccountStat> accounts;
};
struct RouteInfo {
  std::uint64_t rid = 0;
  std::string remote_id, remote_name;
  bool did_solicit = false, is_configured = false;
  std::string ip;
  int port = 0;
  Wall start, last_activity;
  std::string rtt, uptime, idle;
  std::int64_t pending_size = 0;
  std::int64_t in_msgs = 0, out_msgs = 0, in_bytes = 0, out_bytes = 0;
  std::uint32_t subscriptions = 0;
  std::vector<std::string> subscriptions_list;
};
struct Routez {
  std::string server_id, server_name;
  Wall now;
  std::vector<RouteInfo> routes;
};
/// One account on this server: /accountz?acc=, and bare the reply to $SYS.REQ.ACCOUNT.<account>.INFO.
struct AccountzDetail {
  std::string name;
  Wall update_time;
  bool is_system = false, jetstream = false;
  std::int64_t leafnodes = 0, clients = 0;
  Subsz sublist;  // its figures only
};
struct Accountz {
  std::string server_id;
  Wall now;
  std::string system_account;
  std::vector<std::string> accounts;
  std::optional<AccountzDetail> detail;  // instead of `accounts`
};
/// Work that waits, by the name of the queue: /ipqueuesz.
struct QueueInfo {
  std::int64_t pending = 0, in_progress = 0;
};
using Ipqueuesz = std::map<std::string, QueueInfo>;
/// $SYS.REQ.USER.INFO
struct UserInfo {
  std::string user, account, account_name, user_name;
  std::string permissions_json;  // already JSON; empty = none
  Nanos expires = 0;
};

// ---- health, statsz ----------------------------------------------------------------------

struct HealthError {
  std::string type;  // CONNECTION, BAD_REQUEST, JETSTREAM, ACCOUNT, STREAM, CONSUMER
  std::string account, stream, consumer, error;
};
struct Healthz {
  std::string status = "ok";  // "unavailable", "error"
  int status_code = 0;        // HTTP status; 0 = left out
  std::string error;
  std::vector<HealthError> errors;
};
struct RouteStat {
  std::uint64_t rid = 0;
  std::string name;
  DataStats sent, received;
  std::int64_t pending = 0;
};
struct ServerStats {
  Wall start;
  std::int64_t mem = 0;
  int cores = 0;
  double cpu = 0;
  std::int64_t connections = 0;
  std::uint64_t total_connections = 0;
  std::int64_t active_accounts = 0;
  std::uint32_t subscriptions = 0;
  DataStats sent, sent_to_clients, received, received_from_clients;
  std::int64_t slow_consumers = 0;
  CountsByKind slow_consumer_stats;
  std::int64_t stale_connections = 0;
  CountsByKind stale_connection_stats;
  std::int64_t stalled_clients = 0;
  std::vector<RouteStat> routes;
  std::int64_t active_servers = 0;
  std::optional<JsVarz> jetstream;
  int threads = 0;  // field "gomaxprocs"
};
std::string encode_varz(const Varz& v);
std::string encode_connz(const Connz& c);
std::string encode_routez(const Routez& r);
/// There are no gateways and no leaf nodes: pages that say so, for programs that ask every server.
std::string encode_gatewayz(std::string_view server_id, Wall now);
std::string encode_leafz(std::string_view server_id, Wall now);
std::string encode_subsz(const Subsz& s);
std::string encode_accountz(const Accountz& a);
std::string encode_account_detail(const AccountzDetail& a);
std::string encode_ipqueuesz(const Ipqueuesz& q);
/// The reply to PROFILEZ: there are no profiles of Weir's own, `error` says so.
std::string encode_profilez(std::string_view error);
std::string encode_accstatz(const AccountStatz& a);
std::string encode_healthz(const Healthz& h);
std::string encode_user_info(const UserInfo& u);

/// STATSZ, pushed or asked for: {"server":{...},"statsz":{...}}.
std::string encode_statsz(const ServerIdentity& server, const ServerStats& stats);
/// {"server":{...},"data":<data>}; `data_json` is one of the texts above.
std::string encode_sys_reply(const ServerIdentity& server, std::string_view data_json);
/// {"server":{...},"error":{"code":400,"description":"..."}}
std::string encode_sys_error(const ServerIdentity& server, int code, std::string_view description);
/// Bare {name,host,id}: the reply to IDZ.
std::string encode_idz(const ServerIdentity& server);

}  // namespace weir::api
