#include "broker/config/reload_diff.h"

namespace weir::config {
namespace {

// Values as unambiguous text: every string carries its length.
// (Members of a struct, so that each overload sees all the others.)
struct Writer {
  static void put(std::string& out, const std::string& s) { out += std::to_string(s.size()) + ':' + s; }
  static void put(std::string& out, bool b) { out += b ? 't' : 'f'; }
  static void put(std::string& out, int n) { out += std::to_string(n) + ' '; }
  static void put(std::string& out, std::int64_t n) { out += std::to_string(n) + ' '; }
  static void put(std::string& out, WriteTimeout w) { put(out, static_cast<int>(w)); }
  template <class A, class B>
  static void put(std::string& out, const std::pair<A, B>& pair) {
    put(out, pair.first);
    put(out, pair.second);
  }
  template <class T>
  static void put(std::string& out, const std::optional<T>& value) {
    put(out, value.has_value());
    if (value) put(out, *value);
  }
  static void put(std::string&, const Position&) {}  // where it stands does not matter

  template <class... T>
  static void put_all(std::string& out, const T&... values) {
    (put(out, values), ...);
  }
  static void put(std::string& out, const SubjectLists& s) { put_all(out, s.allow, s.deny); }
  static void put(std::string& out, const AllowResponses& a) { put_all(out, a.max, a.expires); }
  static void put(std::string& out, const PermissionsConfig& p) {
    put_all(out, p.publish, p.subscribe, p.allow_responses);
  }
  static void put(std::string& out, const UserConfig& u) {
    put_all(out, u.name, u.password, u.nkey, u.permissions, u.connection_types, u.proxy_required);
  }
  static void put(std::string& out, const AuthorizationConfig& a) {
    put_all(out, a.user, a.password, a.token, a.timeout, a.users, a.default_permissions, a.proxy_required);
  }
  static void put(std::string& out, const AccountJetStreamConfig& j) {
    put_all(out, j.enabled, j.max_memory, j.max_store, j.max_streams, j.max_consumers, j.max_ack_pending);
    put_all(out, j.mem_max_stream_bytes, j.disk_max_stream_bytes, j.max_bytes_required, j.cluster_traffic);
  }
  static void put(std::string& out, const AccountLimitsConfig& l) {
    put_all(out, l.max_connections, l.max_subscriptions, l.max_payload, l.max_leafnodes);
  }
  static void put(std::string& out, const AccountConfig& a) {
    put_all(out, a.name, a.nkey, a.users, a.default_permissions, a.jetstream, a.limits);
  }
  static void put(std::string& out, const TlsCertConfig& c) { put_all(out, c.cert_file, c.key_file); }
  static void put(std::string& out, const TlsConfig& t) {
    put_all(out, t.present, t.certs, t.ca_file, t.verify, t.verify_and_map,
            t.verify_cert_and_check_known_urls);
    put_all(out, t.insecure, t.cipher_suites, t.allow_insecure_cipher_suites, t.curve_preferences, t.timeout);
    put_all(out, t.connection_rate_limit, t.pinned_certs, t.min_version, t.handshake_first,
            t.handshake_first_fallback);
  }
  static void put(std::string& out, const CompressionConfig& c) { put_all(out, c.mode, c.rtt_thresholds); }
  static void put(std::string& out, const JetStreamLimitsConfig& l) {
    put_all(out, l.max_ack_pending, l.max_ha_assets, l.max_request_batch, l.duplicate_window);
    put_all(out, l.batch_max_inflight_per_stream, l.batch_max_inflight_total, l.batch_max_msgs,
            l.batch_timeout);
  }
  static void put(std::string& out, const std::map<std::string, std::string>& map) {
    put(out, static_cast<std::int64_t>(map.size()));
    for (const auto& entry : map) put(out, entry);
  }
  template <class T>
  static void put(std::string& out, const std::vector<T>& list) {
    put(out, static_cast<std::int64_t>(list.size()));
    for (const T& item : list) put(out, item);
  }
};

template <class... T>
std::string shown(const T&... values) {
  std::string out;
  Writer::put_all(out, values...);
  return out;
}

struct Row {
  const char* key;
  bool reloadable;
  std::string (*text)(const Options&);
};

using O = Options;
constexpr bool kReload = true;
constexpr bool kRestart = false;

const Row kRows[] = {
    {"listen", kRestart, [](const O& o) { return shown(o.host, o.port); }},
    {"server_name", kRestart, [](const O& o) { return shown(o.server_name); }},
    {"http", kRestart, [](const O& o) { return shown(o.http_host, o.http_port, o.https_port); }},
    {"http_base_path", kRestart, [](const O& o) { return shown(o.http_base_path); }},
    {"max_subscriptions", kRestart, [](const O& o) { return shown(o.max_subscriptions, o.max_sub_tokens); }},
    {"max_pending", kRestart, [](const O& o) { return shown(o.max_pending); }},
    {"max_closed_clients", kRestart, [](const O& o) { return shown(o.max_closed_clients); }},
    {"no_header_support", kRestart, [](const O& o) { return shown(o.no_header_support); }},
    {"lame_duck_duration", kRestart,
     [](const O& o) { return shown(o.lame_duck_duration, o.lame_duck_grace_period); }},
    {"system_account", kRestart, [](const O& o) { return shown(o.system_account, o.no_system_account); }},
    {"store_dir", kRestart, [](const O& o) { return shown(o.effective_store_dir()); }},
    {"jetstream.domain", kRestart, [](const O& o) { return shown(o.jetstream.domain); }},
    {"jetstream.unique_tag", kRestart, [](const O& o) { return shown(o.jetstream.unique_tag); }},
    {"jetstream.enabled", kRestart, [](const O& o) { return shown(o.jetstream.enabled); }},
    {"jetstream.sync_interval", kRestart,
     [](const O& o) { return shown(o.jetstream.sync_always, o.jetstream.sync_interval); }},
    {"jetstream.strict", kRestart, [](const O& o) { return shown(o.jetstream.strict); }},
    {"jetstream.limits", kRestart, [](const O& o) { return shown(o.jetstream.limits); }},
    {"jetstream.queues", kRestart,
     [](const O& o) {
       const JetStreamConfig& j = o.jetstream;
       return shown(j.max_outstanding_catchup, j.max_buffered_msgs, j.max_buffered_size,
                    j.request_queue_limit, j.info_queue_limit);
     }},
    {"cluster.listen", kRestart,
     [](const O& o) { return shown(o.cluster.present, o.cluster.host, o.cluster.port, o.cluster.name); }},
    {"cluster", kReload,
     [](const O& o) {
       const ClusterConfig& c = o.cluster;
       return shown(c.routes, c.advertise, c.no_advertise, c.connect_retries, c.connect_backoff, c.user,
                    c.password, c.auth_timeout, c.permissions, c.pool_size, c.accounts, c.compression,
                    c.ping_interval, c.ping_max, c.write_deadline, c.write_timeout, c.tls);
     }},
    {"client_advertise", kReload, [](const O& o) { return shown(o.client_advertise); }},
    {"server_tags", kReload, [](const O& o) { return shown(o.server_tags); }},
    {"server_metadata", kReload, [](const O& o) { return shown(o.server_metadata); }},
    {"logging", kReload,
     [](const O& o) {
       return shown(o.debug, o.trace, o.trace_verbose, o.trace_headers, o.logtime, o.logtime_utc, o.log_file,
                    o.max_traced_msg_len);
     }},
    {"pid_file", kReload, [](const O& o) { return shown(o.pid_file); }},
    {"ports_file_dir", kReload, [](const O& o) { return shown(o.ports_file_dir); }},
    {"max_connections", kReload, [](const O& o) { return shown(o.max_connections); }},
    {"max_control_line", kReload, [](const O& o) { return shown(o.max_control_line); }},
    {"max_payload", kReload, [](const O& o) { return shown(o.max_payload); }},
    {"write_deadline", kReload, [](const O& o) { return shown(o.write_deadline); }},
    {"write_timeout", kRestart, [](const O& o) { return shown(o.write_timeout); }},
    {"ping", kReload, [](const O& o) { return shown(o.ping_interval, o.ping_max); }},
    {"authorization", kReload, [](const O& o) { return shown(o.authorization, o.no_auth_user); }},
    {"accounts", kReload, [](const O& o) { return shown(o.accounts); }},
    {"tls", kReload, [](const O& o) { return shown(o.tls); }},
    {"allow_non_tls", kRestart, [](const O& o) { return shown(o.allow_non_tls); }},
};

/// Room for data may grow while running; taking it away could strand what is stored.
void size_limit(ReloadDiff& diff, const char* key, std::int64_t before, std::int64_t after) {
  if (before == after) return;
  bool grows = before != kUnset && after != kUnset && after > before;
  (grows ? diff.reloadable : diff.restart).push_back(key);
}

}  // namespace

ReloadDiff reload_diff(const Options& before, const Options& after) {
  ReloadDiff diff;
  for (const Row& row : kRows) {
    if (row.text(before) == row.text(after)) continue;
    (row.reloadable ? diff.reloadable : diff.restart).push_back(row.key);
  }
  const JetStreamConfig& old_js = before.jetstream;
  const JetStreamConfig& new_js = after.jetstream;
  size_limit(diff, "jetstream.max_memory_store", old_js.max_memory_store, new_js.max_memory_store);
  size_limit(diff, "jetstream.max_file_store", old_js.max_file_store, new_js.max_file_store);
  return diff;
}

std::vector<std::string> ReloadDiff::refusals() const {
  std::vector<std::string> out;
  for (const std::string& key : restart) {
    out.push_back("config reload not supported for " + key + ": it needs a restart");
  }
  return out;
}

}  // namespace weir::config
