// broker/server/connect_urls.h - addresses that clients are told: this node's and its peers'.
//
// Room:    pure but for the addresses of the machine's interfaces. Thread: the shard. Owner: NodeState.
// Rules:   as nats-server: a node alone tells no URLs; from the first peer that has some on, INFO carries the
//          own ones first, then the peers'. cluster.no_advertise: neither are URLs told to peers nor are
//          theirs told to clients. A node in lame duck mode is left out.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "broker/cluster/mesh.h"
#include "broker/config/options.h"
#include "broker/env/transport.h"

namespace weir::server {

/// Host and port of INFO: client_advertise where it is set (without a port: the bound one), else the
/// configured host and the bound port.
env::Endpoint advertised_client(const config::Options& options, std::uint16_t bound_port);

/// "host:port" of the client listener `bound` for NodeInfo::client_urls: client_advertise, or the configured
/// host, or for a wildcard the addresses of the interfaces (none: empty). Without a listener or with
/// cluster.no_advertise: empty.
std::vector<std::string> own_client_urls(const config::Options& options,
                                         const std::optional<env::Endpoint>& bound,
                                         env::Transport& transport);

/// "host:port" for NodeInfo::route_url: cluster.advertise (without a port: the bound one), or the listener;
/// "" for a wildcard, then others use the address that they see.
std::string own_route_url(const config::Options& options, const env::Endpoint& bound);

class ConnectUrls {
 public:
  /// Starts telling; not called with cluster.no_advertise, then nothing ever is. `own`: own_client_urls().
  void enable(std::vector<std::string> own) {
    own_ = std::move(own);
    enabled_ = true;
  }

  // True: what clients are told changed, see Clients::broadcast_info().
  bool peer_up(const cluster::NodeInfo& peer);
  bool peer_changed(const cluster::NodeInfo& peer) { return peer_up(peer); }
  bool peer_down(NodeId peer);

  /// For INFO. `lame_duck`: of this node.
  std::vector<std::string> list(bool lame_duck) const;

 private:
  std::vector<std::string> own_;
  std::map<NodeId, std::vector<std::string>> peers_;
  bool enabled_ = false;
  bool had_peers_ = false;  // the own ones are told from then on
};

}  // namespace weir::server
