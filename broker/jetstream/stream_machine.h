// broker/jetstream/stream_machine.h - one stream: what every replica does with the stream's log.
//
// Room:     pure. Apply alone decides: sequences, duplicates, limits, removals, consumers.
// Thread:   owned by one shard. Owner: the group of the stream; the store outlives the machine.
// Time:     log time of the entry, made monotone here (a new leader's clock may be behind).
// Promise:  same state + same commands = same outcomes, same store calls, same hash() and state_hash() (P5).
//           Content depends on nothing else: watch_removals() changes what is reported, not what is done.
// Errors:   a client's error is Outcome::error. A Status error means that this replica cannot go on
//           (unreadable store, malformed or unknown command): the owner stops the group (P6).
// Rules:    order of the checks of a publish as observed of nats-server 2.15, see stream_publish.cc.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "broker/api/consumer_config.h"
#include "broker/api/stream_config.h"
#include "broker/base/ids.h"
#include "broker/base/result.h"
#include "broker/base/time.h"
#include "broker/jetstream/command.h"
#include "broker/jetstream/consumer_start.h"
#include "broker/jetstream/consumer_state.h"
#include "broker/jetstream/dedupe.h"
#include "broker/jetstream/filter_index.h"
#include "broker/jetstream/outcome.h"
#include "broker/jetstream/publish_headers.h"
#include "broker/store/catalog.h"
#include "broker/store/message_store.h"

namespace weir::jetstream {

/// Which entry a checkpoint includes: entries at or below it are not applied again.
struct CheckpointMark {
  RaftIndex applied;
  Term term;
};

/// No purge and no first_seq raises the sequence of a stream above this: the numbers must not run out.
constexpr StreamSeq kPurgeSeqMax{std::uint64_t{1} << 62};

/// Walks catalog keys that begin with a prefix, in byte order (store::Catalog::scan).
using CatalogScan =
    std::function<void(const std::string& prefix,
                       const std::function<bool(const std::string& key, const std::string& value)>& visit)>;

class StreamMachine {
 public:
  using Consumers = std::map<std::string, std::unique_ptr<ConsumerState>, std::less<>>;

  /// `config` has its defaults filled in and was checked. What is decided follows the log: it begins with the
  /// stream's first configuration, where first_seq takes effect. Until then, and for a replica that reads the
  /// log from its start, `config` is what the meta group knows now, and stands for nothing.
  StreamMachine(api::StreamConfig config, Wall created, store::MessageStore& store);
  StreamMachine(const StreamMachine&) = delete;
  StreamMachine& operator=(const StreamMachine&) = delete;

  /// Once, before the first apply(), if there is a checkpoint: the state that encode_checkpoint() wrote below
  /// `prefix`. The store must hold what it held then. Errors: kCorrupt, kUnsupported (newer version);
  /// kNotFound when there is no checkpoint, and then nothing was changed.
  Result<CheckpointMark> restore(const std::string& prefix, const CatalogScan& scan);

  /// Applies one command of entry `index`. `log_time` is the entry's.
  Status apply(const Command& command, RaftIndex index, Wall log_time, Outcome& out);

  /// When a Tick has something to do, in log time; nullopt: never, as things stand.
  std::optional<Wall> next_due() const;

  /// Appends what changed since the last call (or restore), as catalog edits below `prefix`. The
  /// caller commits them together with the store's own edits; after a failed commit the machine is
  /// no longer usable for checkpoints.
  void encode_checkpoint(const std::string& prefix, CheckpointMark mark,
                         std::vector<store::CatalogEdit>& edits);

  /// The whole state as edits below `prefix`, where nothing must be yet: for a replica that is given this
  /// state. What the next encode_checkpoint() writes stays as it was.
  void encode_full(const std::string& prefix, CheckpointMark mark,
                   std::vector<store::CatalogEdit>& edits) const;

  /// Removed messages at or above `from` are reported in outcomes; StreamSeq(UINT64_MAX) = none.
  /// Leader only: the lowest sequence that some consumer counts as pending. Not part of the state.
  void watch_removals(StreamSeq from) { watch_from_ = from; }

  const api::StreamConfig& config() const { return config_; }
  std::uint64_t config_revision() const { return config_revision_; }
  Wall created() const { return created_; }
  const store::MessageStore& store() const { return store_; }
  store::MessageStore& store() { return store_; }
  const Consumers& consumers() const { return consumers_; }
  /// nullptr if there is none.
  const ConsumerState* find_consumer(std::string_view name) const;
  const ConsumerState* find_consumer(std::uint32_t id) const;
  /// Ids of the consumers whose filters stand for a subject, ascending. Valid until the next call, or
  /// until a consumer changes.
  const std::vector<std::uint32_t>& consumers_of(std::string_view literal) { return filters_.match(literal); }
  Wall log_time() const { return now_; }
  std::size_t dedupe_size() const { return dedupe_.size(); }
  /// Rolling hash of everything applied so far. Equal on replicas at the same index.
  std::uint64_t hash() const { return hash_; }
  /// hash() and what there is now, counted anew when a checkpoint is read: also finds what was lost on the
  /// way. Equal on replicas at the same index, whichever way they got there. O(1).
  std::uint64_t state_hash() const;

 private:
  // stream_machine.cc
  Status dispatch(const Command& command, Outcome& out);
  void mix(std::uint64_t v);
  void note_config();
  Status apply_update(const Command& command, Outcome& out);
  Status apply_tick(Outcome& out);

  // stream_publish.cc
  Status apply_publish(const Command& command, Outcome& out);
  bool refuse_by_form(const PublishCommand& p, const PublishHeaders& h, Outcome& out) const;
  Status refuse_by_sequence(const PublishCommand& p, const PublishHeaders& h, Outcome& out);
  bool refuse_by_history(const PublishHeaders& h, Outcome& out);
  Status refuse_by_limits(const PublishCommand& p, Outcome& out);
  Status store_message(PublishCommand& p, const PublishHeaders& h, Outcome& out);
  Status roll_up(std::string_view subject, std::string_view rollup, Outcome& out);

  // stream_retention.cc
  Status apply_delete(const Command& command, Outcome& out);
  Status apply_purge(const Command& command, Outcome& out);
  Result<std::uint64_t> purge_all(StreamSeq below, std::uint64_t keep, Outcome& out);
  Result<std::uint64_t> purge_filtered(const PurgeCommand& p, Outcome& out);
  Status expire(Outcome& out);
  Status enforce_totals(Outcome& out);
  Status enforce_subject(std::string_view subject, Outcome& out);
  Status enforce_all_subjects(Outcome& out);
  Result<store::Removed> remove_one(StreamSeq seq, Outcome& out);
  Result<store::Removed> remove_below(StreamSeq first_keep, Outcome& out);
  Status report_range(StreamSeq first, StreamSeq end, Outcome& out);

  // stream_consumers.cc
  Status apply_create_consumer(const Command& command, Outcome& out);
  Status apply_delete_consumer(const Command& command, Outcome& out);
  Status apply_progress(const Command& command, Outcome& out);
  Status add_consumer(const CreateConsumerCommand& c, api::ConsumerConfig config, Outcome& out);
  Status change_consumer(ConsumerState& consumer, const api::ConsumerConfig& config, Outcome& out);
  Result<ConsumerStart> choose_start(const api::ConsumerConfig& config);
  ConsumerStart last_per_subject(const api::ConsumerConfig& config) const;
  bool refuse_on_work_queue(std::string_view name, const api::ConsumerConfig& config, Outcome& out) const;
  Status release(const std::vector<SeqRange>& finished, Outcome& out);
  Status release_one(StreamSeq seq, Outcome& out);
  Status drop_unwanted(StreamSeq from, const store::Filter& filter);
  bool wanted(StreamSeq seq, std::string_view subject);
  void index_consumer(ConsumerState& consumer);

  // stream_checkpoint.cc
  struct Meta {
    CheckpointMark mark;
    std::uint64_t consumers = 0;
    std::uint64_t dedupe_next = 0;
  };
  std::string encode_config() const;
  std::string encode_meta(CheckpointMark mark) const;
  Result<Meta> restore_meta(std::string_view bytes);
  Status restore_value(std::string_view key, std::string_view value);
  Status restore_consumer(std::uint64_t id, std::string_view value);
  void encode_dedupe(const std::string& prefix, std::vector<store::CatalogEdit>& edits);

  api::StreamConfig config_;
  Wall created_;
  store::MessageStore& store_;
  std::uint64_t config_revision_ = 0;
  Wall now_;                 // highest log time so far
  std::string last_msg_id_;  // of the last accepted message, empty if it had none
  DedupeTable dedupe_;
  Consumers consumers_;
  std::map<std::uint32_t, ConsumerState*> by_id_;  // views consumers_
  FilterIndex filters_;                            // of consumers_
  // Of messages that many consumers wait for: one that did not finish it when last looked. Saves looking
  // at all of them per acknowledgement; not part of the state. Looked up only.
  std::unordered_map<std::uint64_t, std::uint32_t> witnesses_;
  std::uint32_t next_consumer_id_ = 1;
  std::uint64_t hash_ = 0x9e3779b97f4a7c15u;
  std::uint64_t consumers_hash_ = 0;  // sum of ConsumerState::hash()
  std::uint64_t config_hash_ = 0;     // 0 before the log's first configuration

  StreamSeq watch_from_{UINT64_MAX};
  std::vector<SeqRange> finished_;  // scratch of apply_progress

  // What the next checkpoint has to write.
  bool config_dirty_ = true;
  std::set<std::uint32_t> dirty_consumers_;    // alive and changed
  std::set<std::uint32_t> removed_consumers_;  // gone, key still there
  std::uint32_t consumers_written_below_ = 1;  // living consumers with a lower id have a key
  std::uint64_t dedupe_first_written_ = 0;     // bounds of the pages in the catalog
  std::uint64_t dedupe_next_written_ = 0;
};

/// Literal or wildcard filters of a consumer; empty = everything.
std::vector<std::string> filters_of(const api::ConsumerConfig& config);

}  // namespace weir::jetstream
