// broker/cluster/tls_settings.h - from the tls {} blocks of the configuration to what a transport takes.
//
// Room: pure.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "broker/config/options.h"
#include "broker/env/tls.h"

namespace weir::cluster {

/// Of any listener: accepted connections are verified if the block says so, dialled ones unless it says
/// `insecure`.
env::TlsSettings tls_settings(const config::TlsConfig& tls);

/// For whom a certificate must be that is shown at `host` ("": nobody's name). An address of a node may come
/// from gossip; a certificate for a name of cluster.routes is good for it too.
std::vector<std::string> tls_hosts(const config::ClusterConfig& cluster, const std::string& host);

/// May the node with this certificate come in? As verify_and_map and verify_cert_and_check_known_urls of
/// cluster.tls say; at least one of them is set.
bool is_known_node(const config::ClusterConfig& cluster, const env::TlsState& peer);

/// "10.0.0.1", "fe80::1"; not "n1".
bool is_address(std::string_view host);

}  // namespace weir::cluster
