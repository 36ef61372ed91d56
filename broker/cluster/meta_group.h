// broker/cluster/meta_group.h - the group that knows which nodes and streams exist, and where.
//
// Room:    shell. Thread: the shard. Owner: the node's JetStream.
// Alone:   without a cluster it is a group of one: the node decides alone and holds every stream.
// Order:   a change reaches the hook when it is committed, also while the journal is replayed, so that
//          a stream exists before its own records are.
// Errors:  changes are taken by the leader only; elsewhere they fail with kClusterNotAvail.
#pragma once

#include <algorithm>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "broker/base/unique_function.h"
#include "broker/env/env.h"
#include "broker/jetstream/meta_state.h"
#include "broker/replica/group.h"
#include "broker/store/catalog.h"

namespace weir::cluster {

class MetaGroup final : public replica::StateMachine {
 public:
  using Done = UniqueFunction<void(const jetstream::MetaOutcome&)>;
  struct Hooks {
    /// A committed change; `live` is false for those found in the journal at start.
    std::function<void(const jetstream::MetaOutcome&, bool live)> changed;
    /// The whole state was replaced by one fetched from another node.
    std::function<void()> replaced;
    std::function<void(bool)> leading;
    std::function<void(NodeId leader, Term)> leader_changed;
    /// See replica::StateMachine::fetch_state; answer with install() or install_failed().
    std::function<void(NodeId from, const raft::SnapshotMeta& least)> fetch;
  };

  /// `self` is this node's replica id: see replica(). A checkpoint is written each `checkpoint_entries`
  /// entries.
  MetaGroup(env::Env& env, store::Catalog& catalog, replica::Host& host, NodeId self,
            std::uint64_t checkpoint_entries, Hooks hooks);

  /// The replica id that `node` has in the meta group by its catalog: its own, unless it began anew.
  static NodeId replica(const store::Catalog& catalog, NodeId node);
  /// State of the last checkpoint; false if there is none: then found() or join(). After begin_anew() the
  /// state of before is there all the same, to be replaced. Errors: kCorrupt.
  Result<bool> restore();
  void found(const std::vector<NodeId>& members) { group_->found(self_, members); }
  void join() { group_->join(self_); }
  Status replay(const store::JournalRecord& record) { return group_->replay(record); }
  void damaged(const store::JournalFault& fault) { group_->damaged(fault); }
  void start(store::Journal* journal) { group_->start(journal); }
  /// The group stopped and needs another replica id (replica::Group::needs_new_id): it goes on as `fresh`,
  /// once that is durable, and gets everything from the leader.
  void begin_anew(NodeId fresh, store::Journal* journal);
  /// See replica::Group.
  void release_restored() { group_->release_restored(); }

  /// Adds one command to this turn's entry; `done` gets its outcome.
  void propose(const std::function<void(jetstream::EntryBuilder&)>& add, Done done);
  void create(std::string_view account, const api::StreamConfig& config, const std::vector<NodeId>& nodes,
              std::uint64_t max_streams, Done done);
  /// `nodes` empty: they stay.
  void update(std::string_view account, const api::StreamConfig& config, const std::vector<NodeId>& nodes,
              Done done);
  void remove(std::string_view account, std::string_view name, Done done);
  /// End of turn: proposes what was asked for.
  void flush();
  /// Writes the state to the catalog and lets the journal go, if something was applied since.
  void checkpoint(bool press = false);

  /// What another node needs to start from here: position and state. Empty if there is nothing yet.
  std::string state_for_peer() const;
  /// The answer to Hooks::fetch. Errors: kCorrupt; the group then asks again.
  void install(std::string_view state);
  void install_failed() { group_->state_failed(); }

  const jetstream::MetaState& state() const { return state_; }
  const replica::Group& group() const { return *group_; }
  replica::Group& group() { return *group_; }
  NodeId self() const { return self_; }
  bool leading() const { return group_->leading(); }
  /// Entries applied since the last checkpoint.
  std::uint64_t since_checkpoint() const {
    return group_->applied() - std::min(checkpointed_, group_->applied());
  }

  Status apply(RaftIndex index, Term term, const Bytes& payload, bool live) override;
  void stopped(const Error& why) override;
  void leading(bool now) override;
  void leader_changed(NodeId leader, Term term) override { hooks_.leader_changed(node_of(leader), term); }
  void fetch_state(NodeId from, const raft::SnapshotMeta& least) override { hooks_.fetch(from, least); }
  std::uint64_t state_hash() const override { return state_.state_hash(); }

 private:
  struct Pending {
    raft::EntryId id;
    std::vector<Done> dones;
  };
  static void fail(std::vector<Done>& dones, const Error& why);
  void fail_all(const Error& why);

  env::Env& env_;
  store::Catalog& catalog_;
  replica::Host& host_;
  NodeId self_;  // replica id
  const std::uint64_t checkpoint_entries_;
  Hooks hooks_;
  jetstream::MetaState state_;
  std::unique_ptr<replica::Group> group_;
  jetstream::EntryBuilder builder_;
  std::vector<Done> batch_;
  std::deque<Pending> pending_;
  RaftIndex checkpointed_{0};
  bool checkpointing_ = false;
  Mono checkpoint_retry_{};  // not before, after one failed
  std::shared_ptr<int> alive_ = std::make_shared<int>(0);
};

}  // namespace weir::cluster
