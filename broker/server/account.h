// broker/server/account.h - one account's subject space on this node.
//
// Room:    shell state, plain data. Owner: Accounts (node_impl.h); lives as long as the node.
// Thread:  the shard.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "broker/base/ids.h"
#include "broker/config/options.h"
#include "broker/session/subscription.h"
#include "broker/subject/sublist.h"

namespace weir::server {

struct AccountStats {
  std::uint64_t in_msgs = 0, in_bytes = 0, out_msgs = 0, out_bytes = 0, slow_consumers = 0;
  std::uint64_t connections = 0, total_connections = 0;
};

/// Told when interest in the literal subject that it watches may have come or gone (push consumers).
class InterestWatcher {
 public:
  virtual ~InterestWatcher() = default;
  /// Must not change subscriptions or watchers.
  virtual void interest_changed() = 0;
};

/// Of an account that only streams know: it is in no table of this node.
constexpr AccountId kUnconfiguredAccount{UINT32_MAX};

struct Account {
  AccountId id;
  std::string name;
  bool is_system = false;
  bool jetstream = false;
  config::AccountJetStreamConfig js_limits;
  config::AccountLimitsConfig limits;
  subject::Sublist<session::Subscription*> sublist;
  /// Subscriptions of clients and other nodes that overlap $JS.ACK.>: acks take a shortcut unless somebody
  /// watches.
  std::uint64_t ack_watchers = 0;
  /// Entries of `sublist` that stand for other nodes; 0 keeps the path of a message short.
  std::size_t remotes = 0;
  session::Listener* acks = nullptr;  // takes $JS.ACK.>; null without JetStream
  /// By the subject they watch: a change looks at those that its pattern's literal start selects.
  std::multimap<std::string, InterestWatcher*, std::less<>> watchers;
  std::uint64_t js_file_bytes = 0, js_memory_bytes = 0;  // stored by the streams of this account
  /// As other nodes told lately; kept for accounts with limits only.
  std::uint64_t js_others_file_bytes = 0, js_others_memory_bytes = 0, js_others_consumers = 0;
  std::uint64_t api_total = 0, api_errors = 0;  // JetStream requests that came to this node, and refusals
  AccountStats stats;
};

}  // namespace weir::server
