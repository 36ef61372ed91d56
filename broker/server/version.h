// broker/server/version.h - what this build says of itself.
#pragma once

namespace weir::server {

// The nats-server version whose P0 rows (docs/ARCHITECTURE.md "Compatibility") are answered; clients
// gate features on it. Raised as features land.
constexpr const char* kCompatVersion = "2.9.25";
constexpr const char* kWeirVersion = "0.1.0";
constexpr int kApiLevel = 0;

}  // namespace weir::server
