// broker/jetstream/consumer_state.h - what is replicated about one consumer.
//
// Room:      pure. The committed copy is changed by apply only (create, set_config, apply_progress,
//            reset), identically on each replica; ConsumerLeader starts its live copy from it.
// Thread:    the shard's.
// Owner:     StreamMachine (committed), ConsumerLeader (live).
// Format:    docs/formats/consumer.md, version kConsumerStateVersion.
// Invariant: delivered, scanned and the ack floor never go back, except by reset(). The ack floor is
//            derived: just below the first pending message, or everything looked at.
//            Checked by consumer_property_test.cc.
#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "broker/api/consumer_config.h"
#include "broker/base/ids.h"
#include "broker/base/result.h"
#include "broker/base/time.h"
#include "broker/base/varint.h"
#include "broker/jetstream/consumer_start.h"
#include "broker/jetstream/pending_set.h"
#include "broker/jetstream/progress.h"

namespace weir::jetstream {

constexpr std::uint8_t kConsumerStateVersion = 1;

struct SeqPair {
  ConsumerSeq consumer;
  StreamSeq stream;
  bool operator==(const SeqPair&) const = default;
};

class ConsumerState {
 public:
  ConsumerState() = default;
  /// A new consumer. `config` is complete (defaults filled in); `start` was chosen by apply.
  ConsumerState(std::uint32_t id, std::string name, api::ConsumerConfig config, Wall created,
                ConsumerStart start);

  /// Of this consumer within its stream's log (ConsumerProgressCommand).
  std::uint32_t id() const { return id_; }
  const std::string& name() const { return name_; }
  const api::ConsumerConfig& config() const { return *config_; }
  Wall created() const { return created_; }

  /// The position stays; api/ has checked that only updatable fields differ.
  void set_config(api::ConsumerConfig config);
  std::uint32_t epoch() const { return epoch_; }
  /// Starts over so that `next` is looked at next: nothing pending, consumer sequences from 1.
  void reset(StreamSeq next);

  /// Last sequences delivered. The stream part begins at the start position minus one.
  SeqPair delivered() const { return delivered_; }
  SeqPair ack_floor() const;
  /// Every message up to here was delivered or does not match.
  StreamSeq scanned() const { return scanned_; }
  /// Log time of the last delivery and the last finished message; zero = never.
  Wall last_delivered() const { return last_delivered_; }
  Wall last_acked() const { return last_acked_; }
  std::uint64_t naks() const { return naks_; }

  const PendingSet& pending() const { return pending_; }
  /// Messages that reached max_deliver without an ack, with their delivery counts.
  const std::map<StreamSeq, std::uint64_t>& exceeded() const { return exceeded_; }
  std::uint64_t num_ack_pending() const { return pending_.size(); }
  std::uint64_t num_redelivered() const { return pending_.redelivered() + exceeded_.size(); }

  /// last_per_subject: the sequences that were last of their subjects at creation, ascending;
  /// empty once they are all delivered. Messages above skip_end() are delivered as usual.
  const std::vector<StreamSeq>& skip_list() const { return skip_list_; }
  StreamSeq skip_end() const { return skip_end_; }

  /// For interest and work-queue retention, for a subject that matches the filter: the message is
  /// not delivered yet, pending, or exceeded.
  bool needs(StreamSeq seq) const;
  /// No sequence below is one that it needs().
  StreamSeq first_needed() const;
  /// Every matching sequence above is one that it needs().
  StreamSeq looked_at() const { return std::max(scanned_, skip_end_); }

  /// Applies one record; `finished` gets the stream sequences that this consumer no longer needs
  /// (acked, terminated; delivered for ack none), each once, in no particular order.
  /// Sequences that are not pending are ignored: a purge may have come between.
  /// Errors: kInvalid, and nothing is changed.
  Status apply_progress(std::string_view body, Wall log_time, std::vector<SeqRange>& finished);

  /// Hash of all that is replicated except the configuration and the members of exceeded(). O(1).
  std::uint64_t hash() const;

  /// Canonical: equal states give equal bytes.
  void encode(std::string& out) const;  // appends
  /// Errors: kCorrupt, kUnsupported (newer version).
  static Result<ConsumerState> decode(std::string_view bytes);

 private:
  friend class ConsumerLeader;
  bool tracks_pending() const;
  void drop_skip_list_when_done();
  Status check_progress(const Progress& p) const;
  void apply_deliveries(const Progress& p, std::uint64_t stamp, std::vector<SeqRange>& finished);
  void exceed(const std::vector<SeqRange>& ranges);
  /// True if there was one.
  bool finish(const std::vector<SeqRange>& ranges, std::vector<SeqRange>& finished);
  Status decode_lists(Reader& in);

  std::uint32_t id_ = 0;
  std::string name_;
  std::shared_ptr<const api::ConsumerConfig> config_ = std::make_shared<const api::ConsumerConfig>();
  Wall created_;
  SeqPair delivered_;
  StreamSeq scanned_;
  std::uint32_t epoch_ = 0;  // number of resets: records made before one are ignored
  Wall last_delivered_;
  Wall last_acked_;
  std::uint64_t naks_ = 0;
  PendingSet pending_;
  std::map<StreamSeq, std::uint64_t> exceeded_;
  std::vector<StreamSeq> skip_list_;
  StreamSeq skip_end_;
};

}  // namespace weir::jetstream
