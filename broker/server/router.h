// broker/server/router.h - hands a message to everybody in the account who asked for it.
//
// Room:    shell. Thread: the shard. Never re-entered: listeners defer what publishes.
// Cost:    one cached match; a client receiver costs one line and one copy or shared slice.
// Cluster: other nodes are entries of the sublist too. A message of this node goes to each of them at most
//          once; what came from one stays here. Without such entries nothing is asked of the cluster.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "broker/base/prng.h"
#include "broker/server/account.h"
#include "broker/session/client_session.h"

namespace weir::server {

/// The queue by which nodes without JetStream know what its members listen for (docs/formats/interest.md).
inline constexpr std::string_view kMembersQueue = "\x01JetStream";

/// What the router needs of the cluster: see interest.h.
class PeerSide {
 public:
  virtual ~PeerSide() = default;
  /// A subscription that other nodes are to know of came or goes.
  virtual void local_changed(const Account& account, const session::Subscription& sub, bool added) = 0;
  /// Sends `m`, matched by `target`, to those in `to`, for what is marked in them. True: a lane to one of
  /// them fills, its publishers should wait.
  virtual bool forward(const Account& account, std::string_view target, const session::Inbound& m,
                       std::span<session::RemoteNode* const> to) = 0;
  /// A lane is still so full that publishers should wait.
  virtual bool crowded() const = 0;
};

/// A message from another node.
struct Arrival {
  std::string_view target;                     // what subscriptions are matched with
  session::Inbound message;                    // its subject is what they see
  bool plain = false;                          // for all plain subscriptions
  bool everywhere = false;                     // for streams and the API; its node has no JetStream
  std::span<const std::string_view> queues{};  // and for one member of each of these
};

class Router {
 public:
  explicit Router(std::uint64_t seed) : prng_(seed) {}

  /// Delivers; returns how many receivers took it (a queue group and another node count as one each).
  /// Messages that come from clients and find nobody get a 503 when the client asked for that.
  std::size_t route(Account& account, const session::Inbound& message);

  /// Matches `target` but shows `message.subject`: deliveries of consumers.
  std::size_t deliver(Account& account, std::string_view target, const session::Inbound& message);

  /// To subscriptions of this node that other nodes know of, and nowhere else.
  std::size_t arrived(Account& account, const Arrival& arrival);

  /// A message of the server itself.
  std::size_t send(Account& account, std::string_view subject, std::string_view reply, std::string_view body,
                   std::size_t header_size = 0);
  std::size_t send(Account& account, std::string_view subject, std::string_view reply, const Bytes& body,
                   std::size_t header_size);

  void add(Account& account, session::Subscription& sub);
  void remove(Account& account, session::Subscription& sub);

  /// Somebody listens on `subject` as member of `queue`, here or on another node.
  static bool has_queue_interest(const Account& account, std::string_view subject, std::string_view queue);

  /// A subscription used up its maximum; removed once the walk is over.
  void note_exhausted(session::Subscription& sub) { exhausted_.push_back(&sub); }

  /// nullptr: there are no other nodes (any more).
  void set_peers(PeerSide* peers) { peers_ = peers; }
  /// A message goes to a node whose lane fills.
  void crowd() { crowded_ = true; }
  /// True once after that: the publisher should wait.
  bool take_crowded() { return std::exchange(crowded_, false); }
  bool peers_crowded() const { return peers_ && peers_->crowded(); }

 private:
  using Match = subject::Sublist<session::Subscription*>::Match;
  using Group = subject::Sublist<session::Subscription*>::Group;

  std::size_t walk(const Match& found, const session::Inbound& m, Account& account);
  std::size_t walk_cluster(const Match& found, const session::Inbound& m, Account& account);
  std::size_t walk_arrival(const Match& found, const Arrival& arrival, Account& account);
  session::RemoteNode* pick_member(const Group& group);
  bool serve_here(const Group& group, const session::Inbound& m, Account& account, bool from_peer);
  session::RemoteNode* pick_node(const Group& group, std::uint64_t away);
  static std::uint64_t members_away(const Group& group);
  bool serve_group(const Group& group, const session::Inbound& m, Account& account);
  session::RemoteNode& choose(session::RemoteNode& node);
  static void tell_watchers(Account& account, std::string_view pattern);
  bool hand_over(session::Subscription& sub, const session::Inbound& m, Account& account);
  void no_responders(Account& account, const session::Inbound& m);
  void reap();

  Prng prng_;
  const std::uint64_t salt_ = prng_.next();  // spreads the nodes without JetStream over its members
  PeerSide* peers_ = nullptr;
  bool walking_ = false;
  bool crowded_ = false;
  std::string_view target_;  // of the deliver() under way
  std::vector<session::Subscription*> exhausted_;
  std::vector<session::Subscription*> members_;  // of the group under way, those of this node
  std::vector<session::RemoteNode*> chosen_;     // of the walk under way
};

}  // namespace weir::server
