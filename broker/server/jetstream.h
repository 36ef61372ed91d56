// broker/server/jetstream.h - the JetStream of this shard: journal, catalog, meta group, streams.
//
// Room:     shell. Thread: the shard. Owner: Node.
// Recovery: catalog, meta checkpoint, streams' checkpoints, then the journal in order; the same path
//           after a clean stop and after kill -9.
// Promise:  nothing is deleted because it looks orphaned: groups in the catalog that the meta group
//           does not know are kept and reported.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <variant>
#include <vector>

#include "broker/cluster/membership.h"
#include "broker/cluster/meta_group.h"
#include "broker/cluster/placement.h"
#include "broker/server/advisories.h"
#include "broker/server/cluster_asks.h"
#include "broker/server/forward.h"
#include "broker/server/js_context.h"
#include "broker/server/lost_streams.h"
#include "broker/server/quorum_watch.h"
#include "broker/server/registrar.h"
#include "broker/server/rehome.h"
#include "broker/server/remote_stream.h"
#include "broker/server/renewals.h"
#include "broker/server/state_check.h"
#include "broker/server/state_transfer.h"
#include "broker/server/stream_host.h"
#include "broker/store/block_cache.h"

namespace weir::server {

class LeaderBalance;
class LeaderWatch;
class Rooms;

class JetStream final {
 public:
  using FindAccount = std::function<Account*(std::string_view name)>;
  using EachAccount = std::function<void(const std::function<void(Account&)>&)>;
  using MetaDone = cluster::MetaGroup::Done;
  struct Accounts {
    FindAccount find;
    EachAccount each;
  };

  JetStream(env::Env& env, const config::Options& options, const Tuning& tuning, Router& router,
            Advisories& advisories, Accounts accounts);
  ~JetStream();

  /// Opens the catalog: from then on this node knows who it is. Errors as start().
  Status open(std::string server_name, std::string server_id);
  NodeId self() const { return js_.self; }
  /// Grows with each start of this store.
  std::uint64_t boot() const { return boot_; }
  /// Of the cluster that this node belongs to; empty before it is founded.
  std::string cluster_id() const { return founding_.born ? founding_.born->cluster_id : std::string(); }
  /// Inline recovery. `cluster` and `peers` are null without a cluster. Errors: text for "Can't start
  /// JetStream: ...".
  Status start(ClusterSide* cluster, replica::Peers* peers);

  // Of the cluster (jetstream_cluster.cc).
  void peer_up(const cluster::NodeInfo& peer);
  void peer_down(NodeId peer);
  void peer_alive(NodeId peer, bool alive) { host_->peer_alive(peer, alive); }
  void founding_frame(NodeId from, const Bytes& payload) { membership_->frame(from, payload); }
  void raft_message(NodeId from, GroupId group, raft::Message message) {
    host_->step(from, group, std::move(message));
  }
  Status state_frame(NodeId from, const Bytes& payload) {
    return state_check_ ? state_check_->frame(from, payload) : ok();
  }
  /// Null without a cluster.
  const StateCheck* state_check() const { return state_check_.get(); }
  void forwarded_publish(Account& account, const Forwarded& f, const Bytes& frame);
  /// The cluster was founded, by others or with this node.
  std::function<void(const std::string& cluster_id)> on_born;
  /// End of turn: consumers, stream batches, meta batch, journal. True if work was left for later.
  void end_of_turn();
  /// Completes when everything proposed is durable.
  void drain(UniqueFunction<void()> done);
  /// Tells waiting clients that the server goes.
  void shutting_down();
  /// Gives every leadership to another node (lame duck mode).
  void hand_over();
  /// The journal failed for good.
  bool failed() const { return journal_ && journal_->failed(); }

  /// The meta group's replica here goes on under another id.
  void renew_meta(NodeId fresh) { meta_->begin_anew(fresh, journal_.get()); }
  /// Others have what this replica lost: it begins anew, when its stream can do without it for so long.
  void replica_damaged(const StreamHost& host);
  void hand_over(replica::Group& group);
  /// A host that stopped for good: this node asks others for the stream.
  void drop_useless(GroupId group);

  // Asked by API handlers on the leader of the meta group; `config` is checked and complete. `done` runs when
  // the meta group has it; the stream's own log follows.
  void create_stream(Account& account, const api::StreamConfig& config, MetaDone done);
  void update_stream(Account& account, const api::StreamConfig& config, MetaDone done);
  void delete_stream(Account& account, std::string_view name, MetaDone done);
  struct MoveWish {
    NodeId off;                     // the node to leave; 0 = whichever
    std::vector<std::string> tags;  // of the nodes to go to, with those of the placement
  };
  /// The stream moves, its configuration stays. 10005 if it cannot.
  void move_stream(const jetstream::MetaStream& stream, const MoveWish& wish, MetaDone done);
  /// Back to where the stream was before its replicas began to move, with the replicas and the placement that
  /// it had then. 10129 if nothing moves.
  void cancel_move(const jetstream::MetaStream& stream, MetaDone done);
  /// Moves what the node holds to others, as far as they can take it.
  void evacuate(NodeId node) { rehomer_->evacuate(node); }
  /// The stream leaves `node` for another one, or goes on with fewer if there is none.
  void remove_peer(const jetstream::MetaStream& stream, NodeId node, MetaDone done);

  StreamHost* find(const Account& account, std::string_view name);
  StreamHost* find(GroupId group);
  /// Configured accounts; nullptr: none of that name.
  Account* find_account(std::string_view name) const { return find_account_(name); }
  void for_each_account(const std::function<void(Account&)>& visit) const { each_account_(visit); }
  std::vector<cluster::PlaceNode> place_nodes() const;
  cluster::PlaceRules place_rules() const;
  /// Null without a cluster.
  ClusterAsks* asks() { return asks_.get(); }
  /// Nodes with a link here that the meta group does not know yet.
  bool forming() const;
  /// The meta group knows this node as it is; always true without a cluster.
  bool registered() const { return !registrar_ || registrar_->registered(); }
  /// Why the cluster does not want this node: an operator removed it, or its name is taken. "" if it does.
  std::string refusal() const { return registrar_ ? registrar_->refusal() : std::string(); }
  /// Who leads the meta group; 0: not known.
  NodeId meta_leader() const { return node_of(meta_->group().leader()); }
  /// Why a stream that exists has no host; nullopt if it has one or does not exist.
  std::optional<std::string> offline_reason(std::string_view account, std::string_view name) const;
  /// Streams without a host: "account", "name", why.
  struct Offline {
    std::string account, name, why;
  };
  std::vector<Offline> offline_streams() const;
  /// What recovery read is durable: it may be shown and acted on.
  bool ready() const { return ready_; }
  /// Called once, when that begins.
  std::function<void()> on_ready;
  /// By name, of one account.
  std::vector<StreamHost*> streams(const Account& account) const;
  std::vector<StreamHost*> all_streams() const;

  struct Usage {
    std::uint64_t memory = 0, storage = 0, reserved_memory = 0, reserved_storage = 0;
    std::size_t streams = 0, consumers = 0;
  };
  Usage usage(const Account* account) const;  // of this node; null = all
  /// Streams and reservations of the account in the whole cluster: max_bytes of each replica.
  Usage reserved(const Account& account) const;
  /// Consumers of the account's streams that are led here.
  std::size_t led_consumers(const Account& account) const;
  JsContext& context() { return js_; }
  const JsContext& context() const { return js_; }
  const store::JournalStats* journal_stats() const { return journal_ ? &journal_->stats() : nullptr; }
  const cluster::MetaGroup& meta() const { return *meta_; }
  cluster::MetaGroup& meta() { return *meta_; }
  /// "<store_dir>/jetstream".
  const std::string& directory() const { return directory_; }

  struct ApiCounters {
    std::uint64_t total = 0, errors = 0;
  };
  ApiCounters api;

 private:
  struct ByName {
    using is_transparent = void;
    using View = std::pair<std::string_view, std::string_view>;
    template <class A, class B>
    bool operator()(const A& a, const B& b) const {
      return View(a) < View(b);
    }
  };
  void stream_changed(const jetstream::MetaOutcome& change, bool live);
  void tell(const jetstream::MetaOutcome& change);
  void open_stream(const jetstream::MetaStream& stream);
  void close_stream(const jetstream::MetaStream& stream);
  using Orphan = std::variant<store::JournalRecord, store::JournalFault>;
  void keep_orphan(const store::JournalRecord& record);
  bool waits_for_meta(GroupId group) const;
  static void adopt(StreamHost& host, const Orphan& found);
  void start_cluster();
  static void fail_meta(const api::ApiError& error, MetaDone done);
  void propose_config(StreamHost& host, const jetstream::MetaStream& s);
  void log_offline(const jetstream::MetaStream& stream) const;
  Status load_identity();
  void check_ready();
  void make_meta();
  void start_meta();
  void born(const cluster::FoundingRecord& record);
  void stream_leading(StreamHost& host, bool now);
  void peers_changed(const jetstream::MetaOutcome& change);
  void place(const jetstream::MetaStream& stream);
  void drop_host(GroupId group, bool destroy);
  void resync();
  bool as_wanted(StreamHost& host, const jetstream::MetaStream& stream) const;
  void reconcile();
  bool may_host(const jetstream::MetaStream& stream) const;
  void fetch_meta(NodeId from, const raft::SnapshotMeta& least);
  void answer_unserved();
  Account& account_of(const jetstream::MetaStream& stream);
  StreamIdentity identity_of(const jetstream::MetaStream& stream) const;
  Status recover_journal();
  void damaged(const store::JournalFault& fault);
  void journal_drained(bool noted);
  void replay(const store::JournalRecord& record);
  void report_quarantine() const;
  void void_strangers();
  void drop_ended();
  void replica_useless(const jetstream::MetaStream& stream);
  void make_remote(const jetstream::MetaStream& stream);
  void watch_disk();
  void checkpoint_under_pressure();

  env::Env& env_;
  const config::Options& options_;
  FindAccount find_account_;
  EachAccount each_account_;
  Turn turn_;
  JsContext js_;
  std::unique_ptr<store::BlockCache> cache_;
  std::unique_ptr<store::Catalog> catalog_;
  std::unique_ptr<store::Journal> journal_;
  std::unique_ptr<replica::Host> host_;
  std::unique_ptr<cluster::MetaGroup> meta_;
  cluster::FoundingState founding_;
  std::unique_ptr<cluster::Membership> membership_;  // null without a cluster, as registrar_
  std::unique_ptr<Registrar> registrar_;
  std::unique_ptr<StateServer> state_server_;
  std::unique_ptr<QuorumWatch> quorum_watch_;
  std::unique_ptr<Rehomer> rehomer_;
  std::unique_ptr<Renewals> renewals_;
  std::unique_ptr<LostStreams> lost_;
  std::unique_ptr<StateCheck> state_check_;
  std::unique_ptr<ClusterAsks> asks_;
  std::unique_ptr<LeaderBalance> balance_;
  std::unique_ptr<LeaderWatch> leader_watch_;
  std::unique_ptr<Rooms> rooms_;
  std::uint64_t boot_ = 0;
  std::map<GroupId, std::unique_ptr<StreamHost>> streams_;
  std::map<GroupId, std::unique_ptr<RemoteStream>> remotes_;  // held by other nodes
  std::set<GroupId> unsettled_;  // led here, members are not as the meta group wants them
  env::TimerId reconcile_timer_ = 0;
  std::map<GroupId, std::vector<Orphan>> orphans_;  // what the journal has of groups not known yet
  std::map<std::pair<std::string, std::string>, StreamHost*, ByName> by_name_;
  std::map<GroupId, std::string> offline_;                      // could not be opened, and why
  std::vector<std::pair<GroupId, api::StreamConfig>> updates_;  // from the meta group, while starting
  std::string directory_, server_id_;
  std::map<std::string, Account> unconfigured_;  // accounts of streams that the configuration lacks
  std::set<GroupId> strangers_;                  // in the journal, not hosted here
  std::optional<store::JournalFault> loss_;      // of records of nobody knows which group
  Wall started_;
  bool recovering_ = true;
  bool drained_ = false, identity_durable_ = false;
  bool ready_ = false;  // both
  std::shared_ptr<int> alive_ = std::make_shared<int>(0);
  env::TimerId disk_timer_ = 0;
};

}  // namespace weir::server
