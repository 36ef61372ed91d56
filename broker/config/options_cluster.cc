// cluster {}: the peer listener and the other nodes.
#include <algorithm>
#include <array>

#include "broker/base/text.h"
#include "broker/config/options_builder.h"

namespace weir::config {
namespace {

using C = ClusterConfig;

constexpr std::array<std::string_view, 10> kModes = {
    "off",     "accept",          "on",      "s2_fast", "s2_better",
    "s2_best", "s2_uncompressed", "s2_auto", "enabled", "not supported"};

void cluster_name(Builder& b, const Member& m, C& c) {
  std::string name;
  if (!b.text(m, name)) return;
  if (name.find_first_of(" \t\r\n") != std::string::npos) {
    b.error(m.value.at, "cluster name cannot contain spaces");
    return;
  }
  c.name = std::move(name);
}

void listen(Builder& b, const Member& m, C& c) {
  b.endpoint(m, c.host, c.port);
}

void routes(Builder& b, const Member& m, C& c) {
  if (!b.want(m, Value::Kind::kArray)) return;
  c.routes.clear();
  for (const Value& item : m.value.items) {
    std::string url;
    if (!b.text(Member{m.key, item.at, item, false}, url)) continue;
    if (!is_route_url(url)) {
      b.error(item.at, "error parsing route url [\"" + url + "\"]");
      continue;
    }
    c.routes.emplace_back(std::move(url), item.at);
  }
}

void no_users(Builder& b, const Member& m, C&) {
  b.error(m.at, "Cluster authorization does not allow multiple users");
}
void no_token(Builder& b, const Member& m, C&) {
  b.error(m.at, "Cluster authorization does not support tokens");
}
void permissions(Builder& b, const Member& m, C& c) {
  read_permissions(b, m, c.permissions);
}

constexpr Key<C> kAuthorizationKeys[] = {
    {"user|username", text<&C::user>},
    {"password|pass", text<&C::password>},
    {"timeout", timeout<&C::auth_timeout>},
    needs<C>(Feature::kRoutePermissions, "permissions|permission|default_permissions", permissions),
    {"users", no_users},
    {"token", no_token},
    needs<C>(Feature::kAuthCallout, "auth_callout|auth_hook"),
};

void authorization(Builder& b, const Member& m, C& c) {
  b.block<C>(m, kAuthorizationKeys, c);
}
void compression(Builder& b, const Member& m, C& c) {
  read_compression(b, m, c.compression);
}
void write_timeout(Builder& b, const Member& m, C& c) {
  b.write_timeout(m, c.write_timeout);
}
// Both sides of a link show certificates and verify them, whatever `verify` says.
void tls(Builder& b, const Member& m, C& c) {
  read_tls(b, m, c.tls);
  if (!c.tls.verify && b.options.where("cluster.tls.verify").known()) {
    b.warn(b.options.where("cluster.tls.verify"), "nodes always verify each other's certificates");
  }
  c.tls.verify = true;
  for (const char* key : {"handshake_first", "connection_rate_limit"}) {
    Position at = b.options.where(std::string("cluster.tls.") + key);
    if (at.known()) b.warn(at, "\"" + std::string(key) + "\" has no effect between nodes");
  }
}

// Keys without effect: there is one link to each node, it looks after itself (MeshTuning) and is dialled
// again for as long as the node is a member.
constexpr Key<C> kClusterKeys[] = {
    {"name", cluster_name},
    {"listen", listen},
    {"host|net", text<&C::host>},
    {"port", port<&C::port>},
    {"routes", routes},
    {"advertise|cluster_advertise", text<&C::advertise>},
    {"no_advertise", flag<&C::no_advertise>},
    no_effect<C>("connect_retries", number<&C::connect_retries, -1>),
    no_effect<C>("connect_backoff", flag<&C::connect_backoff>),
    {"authorization", authorization},
    needs<C>(Feature::kRoutePermissions, "permissions", permissions),
    no_effect<C>("pool_size", number<&C::pool_size, -kInt32Max>),
    no_effect<C>("accounts", texts<&C::accounts>),
    no_effect<C>("compression", compression),
    no_effect<C>("ping_interval", duration<&C::ping_interval>),
    no_effect<C>("ping_max", number<&C::ping_max>),
    no_effect<C>("write_deadline", duration<&C::write_deadline>),
    no_effect<C>("write_timeout", write_timeout),
    {"tls", tls},
};

void mode(Builder& b, const Member& m, CompressionConfig& out) {
  if (m.value.is(Value::Kind::kBool)) {
    out.mode = m.value.boolean ? "s2_fast" : "off";
    return;
  }
  std::string word;
  if (!b.text(m, word)) return;
  word = to_lower(word);
  if (word == "disabled" || word == "not_supported") word = "not supported";
  if (std::find(kModes.begin(), kModes.end(), word) == kModes.end()) {
    b.error(m.value.at, "unsupported compression mode \"" + word + "\"");
    return;
  }
  out.mode = word == "on" || word == "enabled" ? "s2_fast" : std::move(word);
}

void rtt_thresholds(Builder& b, const Member& m, CompressionConfig& out) {
  if (!b.want(m, Value::Kind::kArray)) return;
  std::vector<Nanos> list;
  for (const Value& item : m.value.items) {
    Nanos threshold = 0;
    if (!b.duration(Member{m.key, item.at, item, false}, threshold)) return;
    list.push_back(threshold);
  }
  out.rtt_thresholds = std::move(list);
}

constexpr Key<CompressionConfig> kCompressionKeys[] = {
    {"mode", mode},
    {"rtt_thresholds|thresholds|rtts|rtt", rtt_thresholds},
};

}  // namespace

bool is_route_url(std::string_view url) {
  auto scheme = url.find("://");
  if (scheme == std::string_view::npos || scheme == 0 || url.find(':') != scheme) return false;
  std::string_view rest = url.substr(scheme + 3);
  if (rest.find_first_of(" \t\r\n") != std::string_view::npos) return false;
  rest = rest.substr(0, rest.find('/'));
  auto user = rest.rfind('@');
  if (user != std::string_view::npos) rest = rest.substr(user + 1);
  auto colon = rest.rfind(':');
  bool v6 = !rest.empty() && rest.back() == ']';
  if (colon == std::string_view::npos || v6) return !rest.empty();
  auto number = parse_u64(rest.substr(colon + 1));
  return colon > 0 && number && *number >= 1 && *number <= 65535;
}

void read_compression(Builder& b, const Member& m, CompressionConfig& out) {
  CompressionConfig compression;
  if (m.value.is(Value::Kind::kMap)) {
    b.block<CompressionConfig>(m, kCompressionKeys, compression);
  } else {
    mode(b, m, compression);
  }
  out = std::move(compression);
}

void read_cluster(Builder& b, const Member& m, Options& o) {
  ClusterConfig cluster;
  cluster.present = true;
  cluster.at = m.at;
  b.block<C>(m, kClusterKeys, cluster);
  o.cluster = std::move(cluster);
}

}  // namespace weir::config
