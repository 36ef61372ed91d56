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

  void stream_action(StreamHost& stream, api::AssetAction action);
  void consumer_action(StreamHost& stream, std::string_view consumer, api::AssetAction action);
  void consumer_event(StreamHost& stream, std::string_view consumer, const jetstream::ConsumerAdvisory& a);
  api::EventHead head();

 private:
  template <class Build>
  void publish(Account& account, const std::string& subject, Build&& build);

  env::Env& env_;
  Router& router_;
  std::string domain_;
  Prng prng_;
};

}  // namespace weir::server
