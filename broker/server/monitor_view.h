// broker/server/monitor_view.h - the node's figures as the structs that HTTP, $SYS and metrics share.
//
// Room:    shell, reads only. Thread: the shard. Source of the fields: jsapi reference sections 8 to 11.
#pragma once

#include <functional>

#include "broker/api/monitor.h"
#include "broker/api/monitor_options.h"
#include "broker/server/node_state.h"

namespace weir::server {

class MonitorView {
 public:
  explicit MonitorView(NodeState& node) : n_(node) {}

  api::Varz varz() const;
  api::Connz connz(const api::ConnzOptions& o) const;
  api::Subsz subsz(const api::SubszOptions& o) const;
  /// Of an account that does not exist: as without a name. The caller asks NodeState first.
  api::Accountz accountz(const api::AccountzOptions& o) const;
  api::AccountzDetail account_detail(const Account& a) const;
  /// `system_waiting`: requests that the system service has queued.
  api::Ipqueuesz ipqueuesz(const api::IpqueueszOptions& o, std::size_t system_waiting) const;
  api::AccountStatz accstatz(const api::AccountStatzOptions& o) const;
  api::Routez routez(const api::RoutezOptions& o = {}) const;
  api::Jsz jsz(const api::JszOptions& o) const;
  /// This node leads the meta group: who answers jsz with "leader only".
  bool meta_leader() const;
  api::Raftz raftz(const api::RaftzOptions& o) const;
  /// health_view.cc
  api::Healthz healthz(const api::HealthzOptions& o) const;
  /// The page for "safe to stop": others may have to be asked. `done` runs once, perhaps at once.
  void safe_to_stop(const api::HealthzOptions& o, std::function<void(const api::Healthz&)> done) const;
  api::ServerStats statsz() const;
  api::ServerIdentity identity() const;

 private:
  void add_cluster(api::Varz& v) const;
  void add_routes(api::ServerStats& s) const;
  std::optional<api::JsVarz> js_varz() const;
  api::JsServerConfig js_config() const;
  api::JsStats js_stats(const Account* account) const;
  std::int64_t ha_assets() const;
  std::optional<api::MetaCluster> meta_cluster(bool with_replicas) const;
  api::StreamDetail stream_detail(const StreamHost& s, const api::JszOptions& o) const;
  void add_streams(const Account& a, const api::JszOptions& o, api::AccountDetail& d) const;
  api::Healthz health(const api::HealthzOptions& o) const;
  std::string meta_health() const;
  api::Healthz streams_health(const api::HealthzOptions& o) const;
  std::string stream_health(const jetstream::MetaStream& s, const StreamHost* host) const;
  api::ConnInfo conn_info(const ConnectionView& c, const api::ConnzOptions& o) const;

  NodeState& n_;
};

}  // namespace weir::server
