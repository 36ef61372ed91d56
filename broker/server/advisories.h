// broker/server/advisories.h - what the server tells of its own accord: events and metrics.
//
// Room:    shell. Thread: the shard. Owner: Node.
// Cost:    an event is built only when somebody in the account listens.
#pragma once

#include <string>
#include <string_view>

#include "broker/api/advisories.h"
#include "broker/base/prng.h"
#include "broker/env/env.h"
#include "broker/jetstream/consumer_output.h"
#include "broker/server/router.h"

namespace weir::server {

class StreamHost;

class Advisories {
 public:
  Advisories(env::Env& env, Router& router, std::string domain)
      : env_(env), router_(router), domain_(std::move(domain)), prng_(env.random.next()) {}

  /// Events of the cluster go here too; null: there is no system account.
  void set_system(Account* system) { system_ = system; }
  void stream_action(Account& account, const std::string& stream, api::AssetAction action);
  /// This node leads the stream, and with it its consumers, or no majority of its voters can be reached.
  void stream_elected(StreamHost& stream, const std::string& leader);
  void quorum_lost(StreamHost& stream);
  /// This node leads the meta group.
  void domain_elected(const std::string& leader, const std::string& cluster,
                      std::vector<api::PeerInfo> replicas);
  void out_of_storage(const api::ServerEvent& e);
  void server_removed(const api::ServerEvent& e);
  void consumer_action(StreamHost& stream, std::string_view consumer, api::AssetAction action);
  void consumer_event(StreamHost& stream, std::string_view consumer, const jetstream::ConsumerAdvisory& a);
  api::EventHead head();

 private:
  template <class Build>
  void publish(Account& account, const std::string& subject, Build&& build);
  /// In the stream's account, and with the account's name in the system account.
  template <class Build>
  void publish_both(Account& account, const std::string& subject, Build&& build);

  env::Env& env_;
  Router& router_;
  std::string domain_;
  Account* system_ = nullptr;
  Prng prng_;
};

}  // namespace weir::server
