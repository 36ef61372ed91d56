#include "broker/cluster/tls_settings.h"

#include <algorithm>

#include "broker/auth/cert_subject.h"
#include "broker/base/text.h"
#include "broker/cluster/route_url.h"

namespace weir::cluster {
namespace {

// OpenSSL's names; what is not here has the same.
std::string group_of(const std::string& curve) {
  if (curve == "CurveP256") return "P-256";
  if (curve == "CurveP384") return "P-384";
  if (curve == "CurveP521") return "P-521";
  return curve;
}

// `pattern` is a name of a certificate: its first label may be "*".
bool name_matches(std::string_view pattern, std::string_view host) {
  if (pattern.substr(0, 2) == "*.") {
    auto dot = host.find('.');
    if (dot == std::string_view::npos) return false;
    pattern.remove_prefix(1);
    host.remove_prefix(dot);
  }
  return to_lower(pattern) == to_lower(host);
}

}  // namespace

env::TlsSettings tls_settings(const config::TlsConfig& tls) {
  env::TlsSettings s;
  s.at = tls.at.to_string();
  for (const config::TlsCertConfig& c : tls.certs) {
    s.certs.push_back({{c.cert_file, c.cert_at.to_string()}, {c.key_file, c.key_at.to_string()}});
  }
  s.ca = {tls.ca_file, tls.ca_at.to_string()};
  s.clients = tls.verify ? env::TlsVerify::kNeeded : env::TlsVerify::kNone;
  s.servers = tls.insecure ? env::TlsVerify::kNone : env::TlsVerify::kNeeded;
  s.v13_only = tls.min_version == "1.3";
  s.cipher_suites = tls.cipher_suites;
  for (const std::string& curve : tls.curve_preferences) s.groups.push_back(group_of(curve));
  s.pinned = tls.pinned_certs;
  return s;
}

bool is_address(std::string_view host) {
  if (host.find(':') != std::string_view::npos) return true;
  // No name of a host ends in a label of digits.
  std::string_view last = host.substr(host.rfind('.') + 1);
  return !last.empty() && last.find_first_not_of("0123456789") == std::string_view::npos;
}

std::vector<std::string> tls_hosts(const config::ClusterConfig& cluster, const std::string& host) {
  std::vector<std::string> hosts{host};
  if (!is_address(host)) return hosts;
  for (const auto& [url, at] : cluster.routes) {
    auto route = parse_route_url(url);
    if (!route || is_address(route->at.host)) continue;
    if (std::find(hosts.begin(), hosts.end(), route->at.host) == hosts.end()) hosts.push_back(route->at.host);
  }
  return hosts;
}

bool is_known_node(const config::ClusterConfig& cluster, const env::TlsState& peer) {
  if (!peer.has_peer_certificate) return false;
  if (cluster.tls.verify_cert_and_check_known_urls) {
    for (const auto& [url, at] : cluster.routes) {
      auto route = parse_route_url(url);
      if (!route) continue;
      for (const std::string& name : peer.peer_names) {
        if (name_matches(name, route->at.host)) return true;
      }
    }
  }
  if (!cluster.tls.verify_and_map || cluster.user.empty()) return false;
  for (const auto* list : {&peer.peer_emails, &peer.peer_names, &peer.peer_uris}) {
    if (std::find(list->begin(), list->end(), cluster.user) != list->end()) return true;
  }
  return auth::same_subject(cluster.user, peer.peer_subject);
}

}  // namespace weir::cluster
