// broker/server/stream_host.h - one stream on this node: group, state machine, store, consumers.
//
// Room:     shell. Thread: the shard. Owner: JetStream.
// Publish:  messages of one turn are one entry; the entry is proposed at the end of the turn; when it
//           is applied each waiting publisher gets what apply decided (DESIGN 4).
// Memory:   at most limits::kInFlightBytesMax proposed and not applied; beyond, 429.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "broker/api/responses.h"
#include "broker/base/fifo.h"
#include "broker/jetstream/command.h"
#include "broker/jetstream/consumer_leader.h"
#include "broker/jetstream/stream_machine.h"
#include "broker/replica/group.h"
#include "broker/server/account.h"
#include "broker/server/js_context.h"
#include "broker/server/state_transfer.h"
#include "broker/store/file_store.h"

namespace weir::server {

class ConsumerHost;

struct StreamIdentity {
  GroupId group;
  std::string name;
  api::StreamConfig config;
  Wall created;
  NodeId self;                   // replica id of this node
  std::vector<NodeId> founders;  // replica ids of the first members
};

class StreamHost final : public replica::StateMachine, public session::Listener {
 public:
  using Done = UniqueFunction<void(const jetstream::Outcome&)>;
  using AddCommand = std::function<void(jetstream::EntryBuilder&)>;

  /// Loads the last checkpoint if there is one. Errors: kCorrupt, kIo; the stream is then offline.
  static Result<std::unique_ptr<StreamHost>> open(JsContext& js, Account& account, StreamIdentity identity);
  ~StreamHost() override;

  /// Journal records above the checkpoint, then start().
  Status replay(const store::JournalRecord& record) { return group_.replay(record); }
  void damaged(const store::JournalFault& fault) { group_.damaged(fault); }
  /// See replica::Group.
  void release_restored() { group_.release_restored(); }
  /// Some of its files cannot be read.
  bool damaged() const { return file_ && file_->damaged(); }
  /// Ends recovery: subscribes, starts consumers.
  void start();

  /// Proposes one command; `done` gets its outcome when it is applied, or an error outcome at once.
  void propose(const AddCommand& add, Done done);
  /// The configuration as of a revision of the meta state, as an entry of its own.
  void propose_config(std::uint64_t revision, const std::string& config_json);
  /// A progress record of a consumer; `done` when it is committed.
  void propose_progress(std::uint32_t consumer_id, std::string_view body, Done done);
  /// End of turn: the batch becomes an entry.
  void flush();
  /// Writes a checkpoint if the tail is big, or always with `now`.
  void maybe_checkpoint(bool now);
  /// The journal is short of room: lets go of it even if a follower would still read there.
  void press();
  /// Ends the stream: consumers told, group and files removed. This replica never comes back: a start may
  /// find a meta state that still wants it (replica_ended).
  void destroy();
  /// The replica that a start must not begin again under this id.
  static bool replica_ended(const store::Catalog& catalog, GroupId group, NodeId replica);
  /// Forgets ended replicas for which `over` holds: no meta state that a start may find wants them any more.
  static void forget_ended(store::Catalog& catalog, const std::function<bool(GroupId, NodeId)>& over);

  void on_message(const session::Inbound& message) override;
  Status apply(RaftIndex index, Term term, const Bytes& payload, bool live) override;
  void stopped(const Error& why) override;
  void leading(bool now) override;
  void handing_over() override;
  void members_changed(const raft::ConfState& conf) override;
  void fetch_state(NodeId from, const raft::SnapshotMeta& least) override;
  std::uint64_t state_hash() const override { return machine_->state_hash(); }

  struct StateMessages {
    std::vector<store::Message> messages;
    bool end = false;  // no live one follows
  };
  /// This replica's state for another one: messages from `from` on. Errors: kUnavailable, ask again.
  Result<StateMessages> state_messages(StreamSeq from, std::size_t bytes, std::size_t messages);
  /// The rest of it as it is now. Errors: kUnavailable, kLimit.
  Result<StateCut> state_cut();
  /// There is one that others may have.
  bool gives_state() const { return started_ && !group_.why_stopped() && !group_.empty() && !fetch_; }

  const std::string& name() const { return identity_.name; }
  GroupId group_id() const { return identity_.group; }
  Account& account() { return account_; }
  const Account& account() const { return account_; }
  const jetstream::StreamMachine& machine() const { return *machine_; }
  jetstream::StreamMachine& machine() { return *machine_; }
  store::MessageStore& store() { return *store_; }
  const replica::Group& group() const { return group_; }
  replica::Group& group() { return group_; }
  ConsumerHost* consumer(std::string_view name);
  /// Whether the stream, as configured at what is applied, stores messages of this subject.
  bool takes(std::string_view subject) const;
  /// What is stored here may be old, but not older than what this replica had when it last heard its leader.
  bool may_read() const;
  /// No other node can lead this stream now: a consumer may deliver. If not, `consumer` is stepped again once
  /// that is known (a deposed leader must not deliver what was acknowledged to the next one, P4).
  bool may_deliver(ConsumerHost& consumer);
  /// A record of a consumer was refused: it is started anew from what is applied, once that is all it
  /// proposed before.
  void consumer_refused(std::uint32_t id);
  const std::map<std::string, std::unique_ptr<ConsumerHost>, std::less<>>& consumers() const {
    return consumers_;
  }

  api::StreamInfo info(bool with_config = true) const;
  std::optional<api::ClusterInfo> cluster_info() const;
  /// Of all consumers, by name. On a replica that does not lead: what is committed.
  std::vector<api::ConsumerInfo> consumer_infos(bool with_config) const;
  /// "S-R3F-7": replicas, file or memory, number of the group.
  std::string group_name() const;
  /// Its state is being fetched from another replica.
  bool fetching() const { return fetch_ != nullptr; }
  /// Empty, or why the stream does not serve.
  std::string offline_reason() const;

 private:
  friend class ConsumerHost;
  struct Waiting {  // one command of an entry
    std::uint32_t reply_offset = 0, reply_size = 0;
    std::uint32_t done = 0;  // index + 1 into dones; 0 = none
  };
  struct PendingEntry {
    raft::EntryId id;
    std::string replies;
    std::vector<Waiting> waiting;
    std::vector<Done> dones;
  };

  StreamHost(JsContext& js, Account& account, StreamIdentity identity);
  Status open_store();
  Status open_machine();
  Status place_in_log();
  void begin_in_log();
  store::FileStore::Options file_options(std::uint32_t generation) const;
  std::uint32_t unused_generation(std::uint32_t least) const;
  /// Of those below `below`. Returns how many there were.
  std::size_t discard_other_generations(std::uint32_t below = UINT32_MAX);
  void make_room();
  std::vector<store::CatalogEdit> machine_edits_gone() const;
  void end_consumers(jetstream::ConsumerEnd why);
  void leads_for_sure();
  void ask_lead_later();
  void restart_refused();
  void state_arrived(Result<StateFetch::Arrived> arrived);
  void switch_to(std::shared_ptr<StateFetch::Arrived> fresh, raft::SnapshotMeta at);
  void adopt(StateFetch::Arrived& fresh, const raft::SnapshotMeta& at);
  void start_fetch();
  void fetch_failed(const Error& why);
  void fail_pending(const Error& why);
  std::string state_prefix(std::uint32_t generation) const;
  bool may_propose() const { return !group_.why_stopped() && (group_.leading() || soon_leading()); }
  /// A group of one that has just started: what comes meanwhile waits.
  bool soon_leading() const { return group_.alone() && !group_.why_stopped(); }
  void subscribe();
  void unsubscribe();
  std::optional<api::ApiError> refuse_publish(const session::Inbound& m) const;
  /// `more`: bytes that come to each replica.
  bool over_account_limit(std::uint64_t more) const;
  void refuse(std::string_view reply, api::ApiError error);
  void listed();
  void close_batch();
  void fail_batches();
  void fail_batch(PendingEntry& entry, const Error& why);
  void answer(PendingEntry& entry, std::size_t at, const jetstream::Outcome& outcome);
  void pub_ack(std::string_view reply, const jetstream::Outcome& outcome);
  void react(const jetstream::Outcome& outcome);
  void consumer_changed(const jetstream::Outcome& outcome);
  void start_consumer(const jetstream::ConsumerState& state);
  void wake_consumers(const jetstream::Outcome& outcome);
  void account_usage();
  void count_bytes(std::uint64_t now);
  void arm_tick();
  void start_checkpoint();
  void log_stopped() const;
  void checkpoint_done(RaftIndex index, const Status& status);

  JsContext& js_;
  Account& account_;
  StreamIdentity identity_;
  std::unique_ptr<store::MessageStore> store_;
  store::FileStore* file_ = nullptr;  // store_ when it is one
  std::unique_ptr<jetstream::StreamMachine> machine_;
  replica::Group group_;
  bool started_ = false;
  bool destroyed_ = false;
  bool asking_lead_ = false;                              // whether this replica still leads
  std::map<std::uint32_t, RaftIndex> refused_consumers_;  // id -> applied before it may start again
  std::unordered_map<std::uint32_t, ConsumerHost*> consumers_by_id_;
  std::unique_ptr<StateFetch> fetch_;               // this replica is behind the log
  StateFetch::Half half_;                           // of an attempt that was interrupted
  std::shared_ptr<StateFetch::Arrived> switching_;  // becomes the state when its checkpoint is durable
  bool fetch_all_ = false;                          // an attempt that began with what is here did not fit
  std::vector<std::unique_ptr<session::Subscription>> subscriptions_;
  std::map<std::string, std::unique_ptr<ConsumerHost>, std::less<>> consumers_;

  jetstream::EntryBuilder builder_;
  PendingEntry batch_;
  bool queued_ = false;
  Fifo<PendingEntry> pending_;
  std::vector<std::pair<std::string, api::ApiError>> refusals_;  // sent at the end of the turn
  std::vector<std::pair<PendingEntry, Error>> failed_;           // batches, told at the end of the turn
  jetstream::Outcome outcome_;
  // Edits of the checkpoint under way. The machine says each change once: a failed checkpoint's edits
  // go into the next one.
  std::map<std::string, std::optional<std::string>> unsaved_;
  RaftIndex checkpointed_;
  Mono checkpoint_retry_;  // after a failure: not before
  std::string scratch_;
  std::uint64_t counted_bytes_ = 0;  // our share of js_.file_bytes or memory_bytes
  env::TimerId tick_timer_ = 0;
  Wall tick_at_;
  bool tick_proposed_ = false;
  Wall leader_since_;
  std::shared_ptr<StreamHost*> self_;  // completions hold it weakly
};

}  // namespace weir::server
