#include "broker/server/connect_urls.h"

#include <algorithm>

#include "broker/base/text.h"

namespace weir::server {

namespace {

bool is_wildcard(const std::string& host) {
  return host.empty() || host == "0.0.0.0" || host == "::" || host == "[::]";
}

std::string without_brackets(std::string_view host) {
  if (host.size() >= 2 && host.front() == '[' && host.back() == ']') host = host.substr(1, host.size() - 2);
  return std::string(host);
}

/// "host", "host:port", "1.2.3.4:0", "[::1]:port" or "::1"; port 0, -1 or none: `port`.
env::Endpoint endpoint_of(const std::string& text, std::uint16_t port) {
  std::size_t colon = text.rfind(':');
  bool bare_v6 = colon != std::string::npos && text.find(':') != colon && text.front() != '[';
  bool bracket_end = !text.empty() && text.back() == ']';
  if (colon == std::string::npos || bare_v6 || bracket_end) return {without_brackets(text), port};
  auto given = parse_u64(std::string_view(text).substr(colon + 1));
  bool usable = given && *given > 0 && *given <= 65'535;
  return {without_brackets(std::string_view(text).substr(0, colon)),
          usable ? static_cast<std::uint16_t>(*given) : port};
}

}  // namespace

env::Endpoint advertised_client(const config::Options& o, std::uint16_t bound_port) {
  if (!o.client_advertise.empty()) return endpoint_of(o.client_advertise, bound_port);
  return {without_brackets(o.host), bound_port};
}

std::vector<std::string> own_client_urls(const config::Options& o, const std::optional<env::Endpoint>& bound,
                                         env::Transport& transport) {
  if (!bound || o.cluster.no_advertise) return {};
  if (!o.client_advertise.empty() || !is_wildcard(o.host)) {
    return {env::to_string(advertised_client(o, bound->port))};
  }
  std::vector<std::string> out;
  for (const std::string& host : transport.interface_addresses()) {
    out.push_back(env::to_string({host, bound->port}));
  }
  return out;
}

std::string own_route_url(const config::Options& o, const env::Endpoint& bound) {
  if (!o.cluster.advertise.empty()) return env::to_string(endpoint_of(o.cluster.advertise, bound.port));
  if (is_wildcard(o.cluster.host)) return {};
  return env::to_string({without_brackets(o.cluster.host), bound.port});
}

bool ConnectUrls::peer_up(const cluster::NodeInfo& peer) {
  if (!enabled_) return false;
  auto before = list(false);
  NodeId id = cluster::node_of(peer.id);
  if (peer.lame_duck || peer.client_urls.empty()) {
    peers_.erase(id);
  } else {
    peers_[id] = peer.client_urls;
    had_peers_ = true;
  }
  return list(false) != before;
}

bool ConnectUrls::peer_down(NodeId peer) {
  auto before = list(false);
  peers_.erase(cluster::node_of(peer));
  return list(false) != before;
}

std::vector<std::string> ConnectUrls::list(bool lame_duck) const {
  std::vector<std::string> out;
  if (!had_peers_) return out;
  auto add = [&](const std::vector<std::string>& urls) {
    for (const auto& u : urls) {
      if (std::find(out.begin(), out.end(), u) == out.end()) out.push_back(u);
    }
  };
  if (!lame_duck) add(own_);
  for (const auto& [id, urls] : peers_) add(urls);
  return out;
}

}  // namespace weir::server
