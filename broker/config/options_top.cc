// The keys of the file's top level.
#include "broker/base/text.h"
#include "broker/config/options_build.h"
#include "broker/config/options_builder.h"

namespace weir::config {
namespace {

using O = Options;
constexpr Feature kJwt = Feature::kOperatorMode;

void listen(Builder& b, const Member& m, O& o) {
  b.endpoint(m, o.host, o.port);
}
void http(Builder& b, const Member& m, O& o) {
  b.endpoint(m, o.http_host, o.http_port);
}
void https(Builder& b, const Member& m, O& o) {
  b.endpoint(m, o.http_host, o.https_port);
}

void http_base_path(Builder& b, const Member& m, O& o) {
  std::string path;
  if (!b.text(m, path)) return;
  if (path.empty() || path.front() != '/') path.insert(path.begin(), '/');
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  o.http_base_path = std::move(path);
}

void server_name(Builder& b, const Member& m, O& o) {
  std::string name;
  if (!b.text(m, name)) return;
  if (name.find_first_of(" \t\r\n") != std::string::npos) {
    b.error(m.value.at, "server name cannot contain spaces");
    return;
  }
  o.server_name = std::move(name);
}

/// As many as a node may register in its cluster (jetstream::kTagsMax).
constexpr std::size_t kServerTagsMax = 256;

// Tags compare without case; "a,b" in one string are two tags.
void server_tags(Builder& b, const Member& m, O& o) {
  std::vector<std::string> list;
  if (!b.text_list(m, list)) return;
  o.server_tags.clear();
  for (const std::string& entry : list) {
    std::size_t start = 0;
    while (start <= entry.size()) {
      auto comma = std::min(entry.find(',', start), entry.size());
      std::string tag = to_lower(std::string_view(entry).substr(start, comma - start));
      tag.erase(0, tag.find_first_not_of(" \t"));
      tag.erase(tag.find_last_not_of(" \t") + 1);
      if (!tag.empty()) o.server_tags.push_back(std::move(tag));
      start = comma + 1;
    }
  }
  if (o.server_tags.size() > kServerTagsMax) b.error(m.value.at, "more than 256 server tags");
}

void server_metadata(Builder& b, const Member& m, O& o) {
  b.text_map(m, o.server_metadata);
}
void default_js_domain(Builder& b, const Member& m, O& o) {
  b.text_map(m, o.default_js_domain);
}
void write_timeout(Builder& b, const Member& m, O& o) {
  b.write_timeout(m, o.write_timeout);
}
void tls(Builder& b, const Member& m, O& o) {
  read_tls(b, m, o.tls);
}
void mappings(Builder& b, const Member& m, O&) {
  check_mappings(b, m);
}
void ignored_tls(Builder& b, const Member& m, O&) {
  TlsConfig ignored;
  read_tls(b, m, ignored);
}

void max_sub_tokens(Builder& b, const Member& m, O& o) {
  number<&O::max_sub_tokens, 1, 255>(b, m, o);
}

void lame_duck_duration(Builder& b, const Member& m, O& o) {
  Nanos d = 0;
  if (!b.duration(m, d)) return;
  if (d < 30 * kSecond) {
    b.error(m.value.at, "invalid lame_duck_duration of " + format_duration(d) + ", minimum is 30 seconds");
    return;
  }
  o.lame_duck_duration = d;
}

// Each flag that is on asks for a behaviour this version does not have; off is what it does.
void feature_flags(Builder& b, const Member& m, O& o) {
  if (!b.want(m, Value::Kind::kMap)) return;
  for (const Member& entry : m.value.members) {
    bool on = false;
    if (!b.boolean(entry, on) || !on || is_built(Feature::kFeatureFlags)) continue;
    o.unsupported.push_back({entry.at, Feature::kFeatureFlags, to_lower(entry.key)});
  }
}

constexpr Key<O> kTopKeys[] = {
    // Client listener and identity.
    {"listen", listen},
    {"host|net", text<&O::host>},
    {"port", port<&O::port>},
    {"server_name", server_name},
    {"client_advertise", text<&O::client_advertise>},
    {"server_tags", server_tags},
    {"server_metadata", server_metadata},
    {"feature_flags", feature_flags},
    // Logging and files.
    {"debug", flag<&O::debug>},
    {"trace", flag<&O::trace>},
    {"trace_verbose", flag<&O::trace_verbose>},
    {"trace_headers", flag<&O::trace_headers>},
    {"logtime", flag<&O::logtime>},
    {"logtime_utc", flag<&O::logtime_utc>},
    {"log_file|logfile", text<&O::log_file>},
    needs<O>(Feature::kLogRotation, "log_size_limit|logfile_size_limit", any_integer<O>),
    needs<O>(Feature::kLogRotation, "log_max_num|logfile_max_num", any_integer<O>),
    needs<O>(Feature::kSyslog, "syslog", any_bool<O>),
    needs<O>(Feature::kSyslog, "remote_syslog", any_text<O>),
    {"pid_file|pidfile", text<&O::pid_file>},
    {"ports_file_dir", text<&O::ports_file_dir>},
    {"max_traced_msg_len", number<&O::max_traced_msg_len>},
    no_effect<O>("connect_error_reports", number<&O::connect_error_reports>),
    no_effect<O>("reconnect_error_reports", number<&O::reconnect_error_reports>),
    // Monitoring.
    {"http", http},
    {"http_port|monitor_port", port<&O::http_port>},
    needs<O>(Feature::kHttps, "https", https),
    needs<O>(Feature::kHttps, "https_port", port<&O::https_port>),
    {"http_base_path", http_base_path},
    no_effect<O>("prof_port", any_integer<O>),
    no_effect<O>("prof_block_rate", any_integer<O>),
    // Limits of a connection.
    {"max_connections|max_conn", number<&O::max_connections, -kInt64Max, kInt64Max>},
    {"max_subscriptions|max_subs", number<&O::max_subscriptions, -1>},
    {"max_sub_tokens|max_subscription_tokens", max_sub_tokens},
    {"max_control_line", number<&O::max_control_line, 1>},
    {"max_payload", number<&O::max_payload, 0>},
    {"max_pending", number<&O::max_pending, 1, kInt64Max>},
    {"write_deadline", duration<&O::write_deadline>},
    {"write_timeout", write_timeout},
    {"no_fast_producer_stall", flag<&O::no_fast_producer_stall>},
    {"max_closed_clients", number<&O::max_closed_clients>},
    {"ping_interval", duration<&O::ping_interval>},
    {"ping_max", number<&O::ping_max>},
    {"no_header_support", flag<&O::no_header_support>},
    no_effect<O>("disable_sublist_cache|no_sublist_cache", flag<&O::disable_sublist_cache>),
    {"lame_duck_duration", lame_duck_duration},
    {"lame_duck_grace_period", duration<&O::lame_duck_grace_period>},
    // Who may connect.
    needs<O>(Feature::kTls, "tls", tls),
    {"allow_non_tls", flag<&O::allow_non_tls>},
    needs<O>(Feature::kOcsp, "ocsp", check_ocsp),
    needs<O>(Feature::kOcsp, "ocsp_cache", check_ocsp_cache),
    {"authorization", read_authorization},
    {"no_auth_user", text<&O::no_auth_user>},
    {"accounts", read_accounts},
    needs<O>(Feature::kMappings, "mappings|maps", mappings),
    {"system_account|system", text<&O::system_account>},
    {"no_system_account|no_system|no_sys_acc", flag<&O::no_system_account>},
    needs<O>(kJwt, "default_sentinel", any_text<O>),
    needs<O>(kJwt, "operator|operators|root|roots|root_operator|root_operators"),
    needs<O>(kJwt, "resolver|account_resolver|accounts_resolver", check_resolver),
    needs<O>(kJwt, "resolver_tls", ignored_tls),
    needs<O>(kJwt, "resolver_preload"),
    needs<O>(kJwt, "resolver_pinned_accounts"),
    needs<O>(kJwt, "trusted|trusted_keys"),
    needs<O>(Feature::kProxies, "proxies", check_proxies),
    needs<O>(Feature::kProxies, "proxy_protocol", any_bool<O>),
    // JetStream.
    {"jetstream", read_jetstream},
    {"store_dir|storedir", text<&O::store_dir>},
    needs<O>(Feature::kLeafNodes, "default_js_domain", default_js_domain),
    // Other listeners.
    needs<O>(Feature::kCluster, "cluster", read_cluster),
    needs<O>(Feature::kGateway, "gateway", check_gateway),
    needs<O>(Feature::kLeafNodes, "leafnodes|leaf", check_leafnodes),
    needs<O>(Feature::kWebsocket, "websocket|ws", check_websocket),
    needs<O>(Feature::kMqtt, "mqtt", check_mqtt),
};

}  // namespace

void build(const Value& root, Options& out, std::vector<Issue>& errors, std::vector<Issue>& warnings) {
  Builder b(out);
  b.block<O>(Member{"", root.at, root, false}, kTopKeys, out);
  errors.insert(errors.end(), b.errors.begin(), b.errors.end());
  warnings.insert(warnings.end(), b.warnings.begin(), b.warnings.end());
}

}  // namespace weir::config
