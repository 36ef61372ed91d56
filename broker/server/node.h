// broker/server/node.h - the whole broker, over env. app/ gives it the platform, tests/sim a seeded world.
//
// Room:    composition root of the shard: sessions, accounts, JetStream, system events, monitoring.
// Thread:  everything on env.loop. Other threads (HTTP) post to the loop and wait.
// Life:    construct, start(); stop() begins an orderly end; destroy on the loop's thread.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "broker/base/result.h"
#include "broker/base/unique_function.h"
#include "broker/config/options.h"
#include "broker/env/env.h"
#include "broker/server/tuning.h"

namespace weir::server {

/// An answer of the monitoring endpoints: HTTP status and body.
struct MonitorReply {
  int status = 200;
  std::string content_type = "application/json";
  std::string body;
};

class JetStream;

class Node {
 public:
  /// `options` are complete and checked. `env` outlives the node.
  Node(env::Env& env, config::Options options, const Tuning& tuning = {});
  ~Node();
  Node(const Node&) = delete;
  Node& operator=(const Node&) = delete;

  /// Recovers the store, then listens. On an error nothing listens and the node is to be destroyed;
  /// the text is for people ("Error listening on port: ...", "Can't start JetStream: ...").
  Status start();

  /// Refuses new clients, closes the others, makes the journal durable, then calls `done` once.
  void stop(UniqueFunction<void()> done);

  /// Lame duck mode: no new clients, INFO ldm to the others, closes them over
  /// lame_duck_duration, then `done`.
  void lame_duck(UniqueFunction<void()> done);

  /// Called once when the node must not go on: the journal's disk failed. The process exits.
  void on_fatal(UniqueFunction<void(const Error&)> handler);

  /// Bound client endpoint; nullopt before start().
  std::optional<env::Endpoint> client_endpoint() const;
  /// Bound endpoint for other nodes; nullopt without a cluster.
  std::optional<env::Endpoint> cluster_endpoint() const;

  /// Serves "/varz", "/jsz", "/healthz", "/connz", ... (path without base path, query without '?').
  /// Unknown paths give 404. On the loop's thread.
  MonitorReply monitor(std::string_view path, std::string_view query);
  /// As monitor(), also for pages that other nodes have to be asked for ("/healthz?safe-to-stop=1"). `done`
  /// runs once, on the loop's thread, perhaps before this returns; not after the node is gone.
  void monitor(std::string_view path, std::string_view query, std::function<void(MonitorReply)> done);
  /// The HTTP listener's bound address, for /varz and the ports file.
  void set_monitor_endpoint(const env::Endpoint& at);

  const std::string& id() const;    // "N..." 56 characters
  const std::string& name() const;  // server_name or the id
  /// "<store_dir>/jetstream" as it is logged; empty without JetStream.
  std::string store_directory() const;
  /// What tests look at from inside; nullptr without JetStream or before start().
  JetStream* jetstream();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace weir::server
