// broker/jetstream/consumer_leader.h - delivers one consumer's messages on the leader of its stream.
//
// Room:      pure. Runs on a live copy of the ConsumerState, ahead of the committed one by what is
//            proposed and not committed, plus what only a leader has: waiting pulls, redelivery
//            timers, flow control. Destroyed when leadership ends; the next leader starts from the
//            committed copy, which must have applied every entry of earlier terms before start().
// Thread:    the shard's.      Owner: the stream group's leader side (server/).
// Inputs:    on_* calls change state and produce nothing; the owner then calls step() once per turn
//            (if wants_step()) and does what the output says. Between two steps all on_* calls use
//            the same or a growing clock.
// Errors:    step() returns those of the store; nothing is lost, the message is tried again after
//            kStoreRetry.
// Files:     consumer_leader.cc life and figures, consumer_requests.cc pulls, consumer_acks.cc
//            acknowledgements, consumer_delivery.cc the delivery engine.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "broker/base/prng.h"
#include "broker/base/result.h"
#include "broker/jetstream/ack_message.h"
#include "broker/jetstream/ack_timers.h"
#include "broker/jetstream/consumer_output.h"
#include "broker/jetstream/consumer_state.h"
#include "broker/jetstream/progress.h"
#include "broker/jetstream/pull_queue.h"
#include "broker/jetstream/push_flow.h"
#include "broker/store/filter.h"
#include "broker/store/message_store.h"

namespace weir::jetstream {

/// Both clocks at one moment: deadlines run on `mono`, `wall` is for what clients see.
struct Now {
  Mono mono;
  Wall wall;
};

struct ConsumerLeaderOptions {
  std::string stream;  // name, for $JS.FC subjects
  /// R1: nothing can fail over, so everything may be sent at once.
  bool group_of_one = false;
  /// false: no progress is ever proposed (ephemeral consumers that live on the leader only);
  /// confirmations and deliveries then go at once.
  bool replicated = true;
  /// Length of "$JS.ACK.<...>.<stream>.<consumer>" without the last dot, for max_bytes sums.
  std::size_t ack_prefix_size = 0;
  std::uint64_t seed = 1;  // for ack sampling
};

/// What ends a consumer's leadership; decides the 409 that waiting pulls get.
enum class ConsumerEnd : std::uint8_t { kDeleted, kLeadershipChange, kServerShutdown };

/// Live figures for ConsumerInfo, /jsz and metrics.
struct ConsumerFigures {
  SeqPair delivered;
  SeqPair ack_floor;
  Wall last_delivered;  // zero = never
  Wall last_acked;
  std::uint64_t num_ack_pending = 0;
  std::uint64_t num_redelivered = 0;
  std::uint64_t num_waiting = 0;
  std::uint64_t num_pending = 0;
  bool push_bound = false;
};

struct StepInput {
  store::MessageStore& store;
  Now now;
  std::size_t budget = 0;  // deliveries at most, see limits::kDeliveriesPerTurn
  /// Does anybody listen on this subject (a pull's reply)? Asked once per pull and step.
  const std::function<bool(std::string_view)>& has_interest;
};

class ConsumerLeader {
 public:
  static constexpr Nanos kMergeDelay = 10 * kMillisecond;  // plain acks wait this long for company
  static constexpr Nanos kStoreRetry = kSecond;
  static constexpr std::uint64_t kInFlightMax = 8;        // records proposed, not committed
  static constexpr std::uint64_t kSkipsPerRecord = 8192;  // skipping alone is proposed this rarely

  /// Copies `committed`. Counts what is pending. Errors: those of the store.
  static Result<std::unique_ptr<ConsumerLeader>> start(const ConsumerState& committed,
                                                       ConsumerLeaderOptions options,
                                                       store::MessageStore& store, Now now);

  // --- what happened -----------------------------------------------------------------------------
  /// A message that matches the filter was stored (call for those only).
  void on_stored(StreamSeq seq);
  /// A message left the stream, whatever the reason.
  void on_removed(StreamSeq seq, std::string_view subject);
  /// Many messages left at once (purge): counts again. Errors: those of the store.
  Status on_purged(store::MessageStore& store);
  /// The deliver subject of a push consumer has interest, or none any more.
  void on_push_interest(bool active, Now now);
  /// Nobody listens on this reply any more: its pulls go.
  void on_interest_lost(std::string_view reply);
  /// Queues a pull, or prepares the status that refuses it.
  void on_pull(PullRequest request, Now now);
  /// An acknowledgement; `next` is the pull of a +NXT, answered on ack.reply.
  void on_ack(const AckMessage& ack, Now now, const PullRequest* next = nullptr);
  /// An (empty) message to the subject of a flow control request.
  void on_flow_control(std::string_view subject, Now now);
  /// Records up to this number are committed (and applied to the committed copy).
  void on_committed(std::uint64_t progress_number);
  /// The configuration changed by apply. Errors: those of the store (figures are counted again).
  Status on_config(const api::ConsumerConfig& config, store::MessageStore& store, Now now);

  /// The group of the stream has others now, or nobody else any more: see ConsumerLeaderOptions.
  void on_members(bool group_of_one) { options_.group_of_one = group_of_one; }

  // --- what to do --------------------------------------------------------------------------------
  /// Something may be done before the next deadline. Cheap.
  bool wants_step() const { return dirty_; }
  /// Clears and fills `out`.
  Status step(const StepInput& in, ConsumerOutput& out);
  /// The leadership is about to go to another replica: `out` gets a record of everything that none has yet,
  /// or the successor would deliver it again as if for the first time.
  void hand_over(ConsumerOutput& out);
  /// The last output: a 409 for each waiting pull, and as `confirmations` the acknowledgements that no record
  /// has: nobody confirms these. Destroy the leader afterwards.
  void end(ConsumerEnd why, ConsumerOutput& out);

  ConsumerFigures figures() const;
  /// Removals at or above this sequence matter here (StreamMachine::watch_removals).
  StreamSeq watch_from() const;
  const ConsumerState& live() const { return s_; }

 private:
  ConsumerLeader(const ConsumerState& committed, ConsumerLeaderOptions options);

  // consumer_leader.cc
  void read_config(Now now);
  Status count_pending(store::MessageStore& store);
  bool commits_first() const;
  bool waits_for_commit() const { return proposed_ > committed_; }
  void flush_progress(Now now, ConsumerOutput& out);
  void propose_progress(ConsumerOutput& out);
  void confirm(ConsumerOutput& out);
  void tidy_progress();
  void coalesce(std::vector<SeqRange>& ranges) const;
  Mono next_deadline() const;
  void check_inactive(const StepInput& in, ConsumerOutput& out);

  // consumer_requests.cc
  std::string refusal(const PullRequest& r) const;
  void serve_waiting(const StepInput& in, ConsumerOutput& out);
  bool drop_if_over(PullRequest& r, const StepInput& in, ConsumerOutput& out);
  PullRequest* next_pull(const StepInput& in, std::uint64_t size, ConsumerOutput& out);
  void served(PullRequest& pull, std::uint64_t size, Now now, ConsumerOutput& out);
  void end_no_wait_pulls(ConsumerOutput& out);
  std::string heartbeat_headers() const;

  // consumer_acks.cc
  void ack_one(StreamSeq seq, Now now);
  void ack_upto(StreamSeq seq, Now now);
  void nak(const AckMessage& ack, Now now);
  void in_progress(StreamSeq seq, Now now);
  void terminate(StreamSeq seq, std::string_view reason, bool report);
  void sample_ack(const PendingEntry& e, Now now);
  void changed(bool urgent);
  Nanos wait_of(std::uint64_t deliveries) const;
  std::size_t timer_class(std::uint64_t deliveries) const;
  void arm(StreamSeq seq, std::uint64_t deliveries, Now now);
  void rearm_all(Now now, bool from_committed);
  void expire_acks(Now now);
  void queue_redelivery(const PendingEntry& e);
  void drop_gone(const store::StoreState& state);

  // consumer_delivery.cc
  enum class Outcome : std::uint8_t { kSent, kNothing, kBlocked };
  Status deliver_all(const StepInput& in, ConsumerOutput& out);
  bool may_deliver(Now now) const;
  Result<Outcome> deliver_redelivery(const StepInput& in, ConsumerOutput& out);
  Result<Outcome> deliver_new(const StepInput& in, ConsumerOutput& out);
  Status find_new(store::MessageStore& store);
  bool replay_waits(Now now);
  /// Sends `m` to whom it is due; false if nobody takes it now.
  bool send(const store::Message& m, std::uint64_t deliveries, const StepInput& in, ConsumerOutput& out);
  std::uint64_t wire_size(const store::Message& m, std::uint64_t deliveries) const;
  void record_new(StreamSeq seq, Now now);

  ConsumerState s_;  // the live copy; its pending stamps are deadlines
  ConsumerLeaderOptions options_;
  store::Filter filter_;
  store::SubjectMatcher matcher_{store::Filter{}};
  Prng prng_;

  // Fixed by the configuration.
  bool push_ = false;
  bool tracks_ = false;            // pending is kept (any ack policy but none)
  bool timed_ = false;             // unacked messages come again after a while
  std::uint64_t deliver_max_ = 0;  // 0 = unlimited
  std::uint64_t ack_pending_max_ = 0;
  std::uint32_t sample_percent_ = 0;
  std::vector<Nanos> waits_;  // ack_wait, or backoff

  // Volatile.
  std::uint64_t num_pending_ = 0;
  std::size_t skip_at_ = 0;              // index in the skip list of the next one
  std::optional<store::Message> found_;  // next new message, not deliverable yet
  AckTimers timers_;
  RedeliveryQueue again_;  // due for redelivery; their pending stamps are kQueued
  PullQueue pulls_;
  PushFlow flow_;
  bool replaying_ = false;  // replay original, not caught up yet
  Wall replay_last_;        // time of the message delivered last
  Mono replay_at_;          // when that was
  Mono replay_due_;
  Mono store_retry_at_;
  StreamSeq gone_below_;  // nothing pending below: those left the stream
  Mono last_used_;
  std::uint64_t steps_ = 0;
  Bytes deliver_subject_;

  // Output in the making.
  Progress p_;
  bool p_dirty_ = false;   // p_ holds something to propose
  bool p_urgent_ = false;  // and somebody waits for it
  std::optional<Mono> p_since_;
  StreamSeq proposed_scanned_;
  std::uint64_t proposed_ = 0, committed_ = 0;
  std::vector<StatusMessage> early_;  // statuses of refused pulls
  std::vector<ConsumerAdvisory> advisories_;
  std::vector<Bytes> confirm_now_;
  std::vector<Bytes> confirm_committed_;
  bool dirty_ = true;
};

}  // namespace weir::jetstream
