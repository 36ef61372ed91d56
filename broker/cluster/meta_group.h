// broker/cluster/meta_group.h - the group that knows which streams exist and where.
//
// Room:    shell. Thread: the shard. Owner: the node's JetStream.
// Today:   a group of one: the node decides alone and holds every stream.
// Order:   a change reaches the hook when it is committed, also while the journal is replayed, so that
//          a stream exists before its own records are.
#pragma once

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
  /// A committed change; `live` is false for those found in the journal at start.
  using Changed = std::function<void(const jetstream::MetaOutcome&, bool live)>;

  /// A checkpoint is written each `checkpoint_entries` entries.
  MetaGroup(env::Env& env, store::Catalog& catalog, std::uint64_t checkpoint_entries, Changed changed);

  /// State of the last checkpoint. Errors: kCorrupt.
  Status restore();
  Status replay(const store::JournalRecord& record) { return group_.replay(record); }
  void damaged(const store::JournalFault& fault) { group_.damaged(fault); }
  void start(store::Journal* journal) { group_.start(journal); }
  /// See replica::Group.
  void release_restored() { group_.release_restored(); }

  void create(std::string_view account, const api::StreamConfig& config, std::string_view node, Done done);
  void update(std::string_view account, const api::StreamConfig& config, Done done);
  void remove(std::string_view account, std::string_view name, Done done);
  /// End of turn: proposes what was asked for.
  void flush();
  /// Writes the state to the catalog and lets the journal go, if something was applied since.
  void checkpoint();

  const jetstream::MetaState& state() const { return state_; }
  const replica::Group& group() const { return group_; }

  Status apply(RaftIndex index, Term term, const Bytes& payload, bool live) override;
  void stopped(const Error& why) override;

 private:
  struct Pending {
    RaftIndex index;
    std::vector<Done> dones;
  };
  static void fail(std::vector<Done>& dones, const Error& why);

  env::Env& env_;
  store::Catalog& catalog_;
  const std::uint64_t checkpoint_entries_;
  Changed changed_;
  jetstream::MetaState state_;
  replica::Group group_;
  jetstream::EntryBuilder builder_;
  std::vector<Done> batch_;
  std::deque<Pending> pending_;
  RaftIndex checkpointed_{0};
  bool checkpointing_ = false;
  std::shared_ptr<int> alive_ = std::make_shared<int>(0);
};

}  // namespace weir::cluster
