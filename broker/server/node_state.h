// broker/server/node_state.h - the parts of a node, for those inside that look at several of them.
//
// Room:    shell. Thread: the shard. Owner: Node (node.cc builds and orders it).
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "broker/auth/accounts.h"
#include "broker/cluster/mesh.h"
#include "broker/config/options.h"
#include "broker/env/env.h"
#include "broker/server/account.h"
#include "broker/server/advisories.h"
#include "broker/server/api_server.h"
#include "broker/server/clients.h"
#include "broker/server/connect_urls.h"
#include "broker/server/interest.h"
#include "broker/server/jetstream.h"
#include "broker/server/router.h"

namespace weir::server {

struct NodeState {
  NodeState(env::Env& e, config::Options o) : env(e), options(std::move(o)), router(e.random.next()) {}

  env::Env& env;
  config::Options options;
  std::string id, name;
  Wall start;
  std::string config_digest;
  std::optional<env::Endpoint> monitor_endpoint;
  std::map<std::string, std::uint64_t> http_requests;
  bool lame_duck = false;
  bool stopping = false;

  Router router;
  std::unique_ptr<auth::AuthTable> auth;
  std::deque<Account> accounts;  // index = AccountId; a deque, because others keep references
  std::unique_ptr<Advisories> advisories;
  std::unique_ptr<JetStream> jetstream;  // null when off
  std::unique_ptr<ApiServer> api;        // null when off
  std::unique_ptr<Clients> clients;
  std::unique_ptr<cluster::Mesh> mesh;  // null without a cluster, as interest
  std::unique_ptr<Interest> interest;
  ConnectUrls connect_urls;

  Account* find_account(std::string_view account_name) {
    for (Account& a : accounts) {
      if (a.name == account_name) return &a;
    }
    return nullptr;
  }
  Account* system_account() {
    for (Account& a : accounts) {
      if (a.is_system) return &a;
    }
    return nullptr;
  }
};

}  // namespace weir::server
