// broker/jetstream/meta_state.h - the meta group's state machine: which nodes and streams exist, and
// which replica of which stream lives where.
//
// Room:     pure. It knows desired configurations and placement, not consumers and not messages.
// Files:    meta_state.cc (streams) meta_nodes.cc (nodes, replicas) meta_snapshot.cc.
// Thread:   one shard. Owner: cluster's meta group.
// Promise:  same commands = same state, outcomes, hash() and state_hash() on every node.
// Format:   snapshot docs/formats/meta-state.md; commands docs/formats/entry.md (64 to 72).
// Errors:   a client's error is MetaOutcome::error; a Status error stops the group (P6).
// Invariant: subjects of the streams of one account never overlap; group ids are never reused; no
//           replica id is given twice in a group (ADR 4). Checked by meta_state_test.cc,
//           meta_nodes_test.cc.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "broker/api/stream_config.h"
#include "broker/base/ids.h"
#include "broker/base/result.h"
#include "broker/base/time.h"
#include "broker/jetstream/command.h"

namespace weir::jetstream {

constexpr GroupId kMetaGroup{1};
constexpr std::size_t kMetaNodesMax = 256;  // removed ones included; learners of the meta group

struct MetaNode {
  NodeId id;  // without incarnation
  std::string name, cluster, domain;
  std::vector<std::string> tags;
  bool jetstream = true;
  bool removed = false;        // by an operator; streams may still have replicas to be moved from it
  NodeId meta_replica;         // its replica id in the meta group
  std::uint64_t lives = 0;     // the last incarnation given to one of its replicas, in any group
  std::uint64_t boot = 0;      // start of the node that its memory streams' replicas were renewed for
  std::uint64_t revision = 0;  // MetaState::revision() of its last change
  bool operator==(const MetaNode&) const = default;
};

/// Where a stream was, and what it asked for, before its replicas began to move.
struct MetaOrigin {
  std::vector<NodeId> nodes;  // without incarnations; empty: nothing moves
  std::int32_t replicas = 0;
  std::optional<api::Placement> placement;
};

struct MetaStream {
  std::string account;
  GroupId group;
  Wall created;
  std::uint64_t revision = 0;        // MetaState::revision() of the last change of `config`
  std::uint64_t peers_revision = 0;  // of the last change of `peers` or `preferred`
  std::vector<NodeId> peers;         // replica ids that should be its voters, in the order of the placement
  // Replicas that should not be members any more, and may still be: they stay as they are, with their votes,
  // until the group's leader says that they are none. Who is wanted again before that keeps its id.
  std::vector<NodeId> leaving;
  MetaOrigin origin;             // from the first change of peers until the group's members are as wanted
  std::vector<NodeId> founders;  // those that started the group; the first configuration of its log
  NodeId preferred;              // the node that should lead; 0 = any
  api::StreamConfig config;

  /// The replica id that `node` should have; 0 if none.
  NodeId replica_on(NodeId node) const;
  /// The one that it has to keep: as above, or one that leaves; 0 if none.
  NodeId hosted_on(NodeId node) const;
};

/// What a node holds or will hold, according to the placement.
struct MetaLoad {
  std::size_t streams = 0;     // replicas
  std::size_t replicated = 0;  // of these: of streams with more than one (max_ha_assets)
  std::uint64_t reserved_file = 0, reserved_memory = 0;  // sums of max_bytes
  bool operator==(const MetaLoad&) const = default;
};

enum class MetaChange : std::uint8_t {
  kNone,
  kCreated,
  kExisting,  // is there already, just so
  kUpdated,   // a stream's configuration, with `groups` not empty its peers too
  kDeleted,
  kNodeChanged,   // `node`; `groups`: see MetaOutcome
  kPeersChanged,  // of `groups`
  kReset,         // `stream` starts anew, empty, as another group; `groups` has the former one
};

struct MetaOutcome {
  api::ApiError error;  // kNone: success
  MetaChange change = MetaChange::kNone;
  MetaStream stream;            // as it is now; kDeleted: as it was. Of changes of one stream
  MetaNode node;                // as it is now. Of changes of a node
  NodeId replaced;              // kNodeChanged: the node that is no more because `node` took its name
  std::vector<GroupId> groups;  // streams whose peers changed, and kMetaGroup if its replica id did;
                                // after the removal of a node: those that need a new home

  bool ok() const { return error.err_code == api::ErrCode::kNone; }
};

class MetaState {
 public:
  /// Applies one command of entry `index`. Outcomes: 10058 name in use with another configuration,
  /// 10065 subjects overlap, 10027 too many streams, 10059 not found, 10052 a change that is not
  /// allowed, 10025 a configuration that cannot be read; 10005 no nodes given, 10075 a list of nodes
  /// that cannot be, 10202 made for nodes or peers that have changed since (choose again), 10044 the
  /// node is not known or was removed, 10023 too many nodes or lives.
  Status apply(const Command& command, RaftIndex index, Wall log_time, MetaOutcome& out);

  /// nullptr if there is none. Valid until the next apply() or restore().
  const MetaStream* find(std::string_view account, std::string_view name) const;
  const MetaStream* find(GroupId group) const;
  /// Streams of an account by name, until `visit` returns false.
  void for_each(std::string_view account, const std::function<bool(const MetaStream&)>& visit) const;
  /// All streams by account and name.
  void for_each(const std::function<bool(const MetaStream&)>& visit) const;
  std::size_t count(std::string_view account) const;
  std::size_t count() const { return by_group_.size(); }
  /// Groups with replicas that leave or with an origin, in order.
  const std::set<GroupId>& parting() const { return parting_; }

  /// nullptr if it never registered. Removed ones are found. Valid until the next apply() or restore().
  const MetaNode* find_node(NodeId id) const;
  const MetaNode* find_node(std::string_view name) const;
  /// By id. Empty on a server that is not clustered; then streams may be placed on any node.
  const std::map<NodeId, MetaNode>& nodes() const { return nodes_; }
  MetaLoad load(NodeId node) const;

  /// Ids below were given; those of them that find() does not know belonged to streams that are gone.
  GroupId next_group() const { return next_group_; }
  std::uint64_t revision() const { return revision_; }
  /// Rolling hash of everything applied so far.
  std::uint64_t hash() const { return hash_; }
  /// hash() and the figures of what there is. Equal on every node at the same index. O(1).
  std::uint64_t state_hash() const;

  /// Appends the whole state.
  void encode(std::string& out) const;
  /// Replaces this state. Errors: kCorrupt, kUnsupported; the state is then unchanged.
  Status restore(std::string_view bytes);

 private:
  struct Account {
    std::map<std::string, MetaStream, std::less<>> streams;
    // Tokens before the first wildcard of a subject -> (subject, stream name). Keeps the overlap check short
    // also where all subjects begin with the same tokens.
    std::multimap<std::string, std::pair<std::string, std::string>, std::less<>> subjects;
  };
  using Decoded = api::Decoded<api::StreamConfig>;

  Status apply_stream(const Command& command, Wall log_time, MetaOutcome& out);
  Status apply_node(const Command& command, MetaOutcome& out);
  void create(const MetaStreamCommand& c, Wall log_time, MetaOutcome& out);
  void update(const MetaStreamCommand& c, MetaOutcome& out);
  void remove(const MetaStreamCommand& c, MetaOutcome& out);

  // meta_nodes.cc
  void register_node(const MetaNodeCommand& c, MetaOutcome& out);
  void remove_node(NodeId id, MetaOutcome& out);
  void set_peers(const MetaPeersCommand& c, MetaOutcome& out);
  void renew(const MetaRenewCommand& c, MetaOutcome& out);
  void renew_memory(const MetaRenewCommand& c, MetaOutcome& out);
  void release_peers(const MetaPeersCommand& c, MetaOutcome& out);
  void note_origin(MetaStream& stream) const;
  void keep_parting(const MetaStream& stream);
  /// What left on `node` forgot its promises, or never comes back: it is no replica any more.
  void forget_leaving(MetaStream& stream, NodeId node);
  template <class Visit>
  void each_leaving_on(NodeId node, Visit visit);
  void reset(const MetaPeersCommand& c, MetaOutcome& out);
  /// Whether `nodes` may hold `stream` (null = a new one). Sets out.error if not.
  bool check_nodes(const std::vector<NodeId>& nodes, const MetaStream* stream, MetaOutcome& out) const;
  /// Nodes that stay keep their replica; the others begin a life. After check_nodes().
  void assign_peers(MetaStream& stream, const std::vector<NodeId>& nodes, NodeId preferred);
  void replace_node(NodeId old, MetaNode& fresh, MetaOutcome& out);
  /// A new replica id for stream.peers[at].
  void swap_peer(MetaStream& stream, std::size_t at, NodeId replica);
  void count_load(const MetaStream& stream, bool add);
  template <class Visit>
  void each_stream_on(NodeId node, Visit visit);

  MetaStream* find_mutable(std::string_view account, std::string_view name);
  /// True if `subjects` overlap with those of a stream of the account other than `name`.
  bool overlaps(std::string_view account, std::string_view name,
                const std::vector<std::string>& subjects) const;
  void insert(MetaStream stream);
  void index_subjects(Account& account, const MetaStream& stream);
  void unindex_subjects(Account& account, const MetaStream& stream);
  void mix(std::string_view bytes);

  std::map<std::string, Account, std::less<>> accounts_;
  std::map<GroupId, MetaStream*> by_group_;  // views accounts_; map nodes do not move
  std::map<NodeId, MetaNode> nodes_;
  std::map<NodeId, MetaLoad> loads_;  // derived from the streams, as parting_
  std::set<GroupId> parting_;
  std::uint64_t revision_ = 0;
  GroupId next_group_{2};
  std::uint64_t hash_ = 0x9e3779b97f4a7c15u;
};

}  // namespace weir::jetstream
