// broker/server/interest.h - which subjects the other nodes want, and messages between nodes.
//
// Room:    shell over cluster::Mesh. Thread: the shard. Owner: Node, which passes the mesh's events on.
// Here:    subscriptions of clients, and of listeners that are `told`, are counted by (account, subject,
//          queue). Peers hear of the first and of the end of the last, of queues the number of members;
//          several changes of a turn are one. A peer that comes up hears of all of it, in frames, while
//          changes go on: every entry says what there is from now on, so order does not matter.
//          What is `everywhere` goes to peers without JetStream only, as members of kMembersQueue.
// There:   what a peer told is entries of the accounts' sublists until it takes them back or goes.
// Order:   interest has the lane before messages, so a reply finds the inbox of its asker.
// Cost:    nothing is counted while there is no peer.
// Limits:  kRemoteSubscriptionsMax per peer; the mesh's lanes. A message for a full lane is lost for that
//          peer and counted; publishers are held back from half a lane on (Clients). Interest that found
//          no room is sent again as a whole.
// Errors:  a frame that cannot be true is logged and not used.
// Format:  docs/formats/interest.md
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include "broker/base/log.h"
#include "broker/cluster/mesh.h"
#include "broker/server/account.h"
#include "broker/server/interest_frames.h"
#include "broker/server/router.h"

namespace weir::server {

/// Subscriptions that one peer may have here; later ones are not heard of.
constexpr std::size_t kRemoteSubscriptionsMax = 2'000'000;

struct InterestStats {
  std::uint64_t sent = 0, sent_bytes = 0, received = 0, received_bytes = 0;  // messages and their bodies
  std::uint64_t lost = 0;                                                    // messages for a full lane
  std::uint64_t bad_frames = 0;
};

struct InterestLimits {
  cluster::MeshTuning mesh;  // as given to the mesh
  std::size_t subscriptions_max = kRemoteSubscriptionsMax;
};

class Interest final : public PeerSide {
 public:
  /// All outlive it. The accounts are complete. Sets itself as the router's peers.
  Interest(Log& log, Router& router, std::deque<Account>& accounts, cluster::Mesh& mesh,
           InterestLimits limits = {});
  ~Interest() override;
  Interest(const Interest&) = delete;
  Interest& operator=(const Interest&) = delete;

  // Of the mesh.
  void peer_up(const cluster::NodeInfo& peer);
  void peer_down(NodeId peer);
  /// Frames of the kinds kInterest and kMessage.
  void frame(NodeId from, cluster::FrameKind kind, const Bytes& payload);

  /// End of turn, before the mesh's: tells the peers what changed.
  void flush();

  const InterestStats& stats() const { return stats_; }
  /// What `peer` wants; 0 and empty for an unknown one. Patterns in order, a queue's too.
  std::size_t subscriptions(NodeId peer) const;
  std::vector<std::string> subjects(NodeId peer) const;

  // PeerSide.
  void local_changed(const Account& account, const session::Subscription& sub, bool added) override;
  bool forward(const Account& account, std::string_view target, const session::Inbound& m,
               std::span<session::RemoteNode* const> to) override;
  bool crowded() const override;
  /// The lane of messages to this peer is more than half full.
  bool crowded(NodeId peer) const;

 private:
  using Key = std::pair<std::string, std::string>;  // subject, queue
  using KeyView = std::pair<std::string_view, std::string_view>;
  struct KeyOrder {
    using is_transparent = void;
    static KeyView view(const Key& k) { return {k.first, k.second}; }
    static KeyView view(const KeyView& k) { return k; }
    template <class A, class B>
    bool operator()(const A& a, const B& b) const {
      return view(a) < view(b);
    }
  };
  struct Local {
    std::uint32_t count = 0;  // subscriptions
    std::uint32_t told = 0;   // of which the peers know
    bool dirty = false;
  };
  using Locals = std::map<Key, Local, KeyOrder>;

  struct Remote {
    Account* account;
    session::Subscription sub;
    std::uint64_t round = 0;  // of the whole interest that named it last
  };
  using RemoteView = std::tuple<std::uint32_t, std::string_view, std::string_view>;
  struct RemoteOrder {
    using is_transparent = void;
    static RemoteView view(const std::unique_ptr<Remote>& r) {
      return {r->account->id.v, r->sub.subject, r->sub.queue};
    }
    static const RemoteView& view(const RemoteView& v) { return v; }
    template <class A, class B>
    bool operator()(const A& a, const B& b) const {
      return view(a) < view(b);
    }
  };
  using Remotes = std::set<std::unique_ptr<Remote>, RemoteOrder>;

  /// How far the whole interest was sent.
  struct Whole {
    bool due = true;
    bool begun = false;
    std::size_t account = 0;
    std::optional<Key> last;  // of `account`
  };
  struct Peer : session::RemoteNode {
    std::string name;
    bool jetstream = true;
    Remotes remotes;
    std::uint64_t round = 0;
    Whole whole;
    std::uint64_t lost = 0, bad_frames = 0, over_limit = 0;
    std::set<std::string, std::less<>> unknown_accounts;  // said so in the log
  };

  void count_all();
  std::uint32_t told_weight(const Key& key, const Local& l) const;
  /// `outside`: to peers without JetStream only.
  void tell_all(Bytes frame, bool outside);
  void tell_changes();
  void tell_whole(Peer& peer);
  bool fill_whole(Peer& peer, InterestWriter& out) const;
  void on_interest(Peer& peer, const Bytes& payload);
  void on_message(Peer& peer, const Bytes& payload);
  void apply(Peer& peer, Account& account, const InterestChange& change);
  void drop(Remotes& from, Remotes::iterator it);
  void bad_frame(Peer& peer, const char* kind, const Error& why);
  Account* find(Peer& peer, std::string_view account);
  const Peer* peer(NodeId id) const;

  Log& log_;
  Router& router_;
  std::deque<Account>& accounts_;
  cluster::Mesh& mesh_;
  const InterestLimits limits_;
  std::map<std::string, Account*, std::less<>> by_name_;
  std::map<NodeId, std::unique_ptr<Peer>> peers_;
  std::vector<Locals> locals_;  // by AccountId; empty while there is no peer
  std::vector<std::pair<std::size_t, Locals::iterator>> dirty_;
  InterestStats stats_;
};

}  // namespace weir::server
