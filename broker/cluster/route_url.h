// broker/cluster/route_url.h - the addresses of cluster.routes and of gossip.
//
// Room: pure.
#pragma once

#include <string>
#include <string_view>

#include "broker/base/result.h"
#include "broker/env/transport.h"

namespace weir::cluster {

constexpr std::uint16_t kRoutePortDefault = 6222;

struct RouteUrl {
  env::Endpoint at;
  std::string user, password;  // percent escapes resolved
};

/// "nats-route://user:pass@host:port", "nats://...", "tls://..." or "host:port"; IPv6 in brackets; a port
/// that is missing is kRoutePortDefault. Errors: kInvalid with the reason, without the password.
Result<RouteUrl> parse_route_url(std::string_view text);

}  // namespace weir::cluster
