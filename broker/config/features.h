// broker/config/features.h - which parts of the configuration this build acts on.
//
// Room:    pure. The only place that says "built" or "not built". To enable a feature, set its
//          `built` to true here: the options parser already reads its keys.
// Why:     a key that is understood but has no effect must stop the start; silence would be a lie.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace weir::config {

enum class Feature : std::uint8_t {
  kCluster,
  kTls,
  kHttps,
  kWebsocket,
  kLeafNodes,
  kGateway,
  kMqtt,
  kOperatorMode,
  kAuthCallout,
  kImportsExports,
  kMappings,
  kNkeyUsers,
  kOcsp,
  kProxies,
  kEncryptionAtRest,
  kSyslog,
  kLogRotation,
  kAccountTrace,
  kFeatureFlags,
  kWindowsCertStore,
  kRoutePermissions,
};

struct FeatureInfo {
  Feature feature;
  std::string_view name;
  bool built;
};

inline constexpr std::array kFeatures = {
    FeatureInfo{Feature::kCluster, "cluster", true},
    FeatureInfo{Feature::kTls, "tls of clients", true},
    FeatureInfo{Feature::kHttps, "https monitoring", false},
    FeatureInfo{Feature::kWebsocket, "websocket", false},
    FeatureInfo{Feature::kLeafNodes, "leafnodes", false},
    FeatureInfo{Feature::kGateway, "gateway", false},
    FeatureInfo{Feature::kMqtt, "mqtt", false},
    FeatureInfo{Feature::kOperatorMode, "operator mode", false},
    FeatureInfo{Feature::kAuthCallout, "auth callout", false},
    FeatureInfo{Feature::kImportsExports, "imports and exports", false},
    FeatureInfo{Feature::kMappings, "subject mappings", false},
    FeatureInfo{Feature::kNkeyUsers, "nkey users", false},
    FeatureInfo{Feature::kOcsp, "ocsp", false},
    FeatureInfo{Feature::kProxies, "proxies", false},
    FeatureInfo{Feature::kEncryptionAtRest, "encryption at rest", false},
    FeatureInfo{Feature::kSyslog, "syslog", false},
    FeatureInfo{Feature::kLogRotation, "log rotation", false},
    FeatureInfo{Feature::kAccountTrace, "account message trace", false},
    FeatureInfo{Feature::kFeatureFlags, "feature flags", false},
    FeatureInfo{Feature::kWindowsCertStore, "windows certificate store", false},
    FeatureInfo{Feature::kRoutePermissions, "permissions between nodes", false},
};

/// True when this build acts on the keys of `feature`.
constexpr bool is_built(Feature feature) {
  for (const auto& info : kFeatures) {
    if (info.feature == feature) return info.built;
  }
  return false;
}

}  // namespace weir::config
