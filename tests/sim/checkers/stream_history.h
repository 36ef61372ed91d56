// tests/sim/checkers/stream_history.h - what clients sent to one stream and saw of it, and the rules.
//
// Rules checked when something is seen:
//   content     a sequence never shows two contents; nothing is seen that was not sent to this stream;
//               a publish that was refused never shows
//   once        one Msg-Id, one sequence (retries stay within the duplicate window)
//   order       an acknowledgement's sequence is above all those received before its publish was sent;
//               a compare-and-set on the last sequence gets the next one
// Rules checked by audit(), with nothing in flight:
//   durable     every acknowledged message is there unless limits, deletes, purges or consumption may
//               have taken it
//   removed     what was removed with a confirmation does not come back
//   gap-free    sequences that nobody can account for are no more than publishes of unknown fate
//   state       counters equal what is there; limits hold; a compare-and-set was not overtaken
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "broker/base/time.h"
#include "tests/sim/world.h"

namespace weir::sim {

struct StreamSettings {
  std::string name;
  bool file = true;
  bool work_queue = false;
  bool discard_new = false;
  bool allow_direct = true;
  int replicas = 1;
  std::string tag;  // of the nodes it is placed on; "" = any
  std::int64_t max_msgs = -1, max_bytes = -1, max_msgs_per_subject = -1;
  Nanos max_age = 0;
  Nanos duplicate_window = 2 * kMinute;
  /// Body of STREAM.CREATE and UPDATE.
  std::string json() const;
};

/// One message that a client wants stored; retries share it.
struct Attempt {
  std::uint64_t id = 0;
  unsigned stream = 0;
  unsigned incarnation = 0;
  std::string subject, headers, payload, msg_id;
  Mono first_sent{}, acked_at{};
  unsigned sends = 0;
  unsigned unknown = 0;  // sends without an answer
  bool acked = false, refused = false;
  std::optional<std::uint64_t> expected_last, expected_subject_last;
  std::set<std::uint64_t> seqs;  // where it was seen
};

struct SeenMessage {
  std::uint64_t seq = 0;
  std::string subject, headers, payload;
};

struct StreamState {
  std::uint64_t messages = 0, bytes = 0, first = 0, last = 0, deleted = 0, subjects = 0;
};

class StreamHistory {
 public:
  enum class Life : unsigned char { kNone, kCreating, kLive, kDeleting };

  StreamHistory(unsigned number, Verdict& verdict) : number_(number), verdict_(verdict) {}

  /// A new life with nothing in it: created or recreated.
  void reset(StreamSettings settings);
  /// The same without what it had: a memory stream after a restart. A change of unknown fate may still be in
  /// force.
  void forgotten();
  /// A new limit was asked for; until it is confirmed both may hold.
  void changing(const StreamSettings& to);
  void changed(const StreamSettings& to);
  /// An update is under way, or nobody knows what became of it.
  bool uncertain() const { return uncertain_; }

  /// Where the floor of acknowledged sequences stands; taken when a publish is sent.
  std::uint64_t floor() const { return acked_max_; }
  void acked(Attempt& a, std::uint64_t seq, bool duplicate, std::uint64_t floor_at_send, Mono now);
  void seen(const std::string& by, const SeenMessage& m, std::map<std::uint64_t, Attempt>& attempts,
            Mono now);

  /// A message of a stream of the same name that was deleted since.
  bool of_earlier_life(const SeenMessage& m, const std::map<std::uint64_t, Attempt>& attempts) const;

  void delete_sent(std::uint64_t seq) { may_be_deleted_.insert(seq); }
  void delete_confirmed(std::uint64_t seq) { deleted_.insert(seq); }
  struct Purge {
    std::string subject;   // empty = all
    Mono sent{}, ended{};  // ended: answered, or when it can no longer act
    bool confirmed = false;
    bool partial = false;  // with keep or seq: never proves a removal
  };
  std::size_t purge_sent(std::string subject, bool partial, Mono now);
  void purge_ended(std::size_t purge, bool confirmed, Mono now);
  /// An acknowledgement on a work queue left a client / was confirmed.
  void consumption_sent(std::uint64_t seq) { may_be_consumed_.insert(seq); }
  void consumption_confirmed(std::uint64_t seq) { consumed_.insert(seq); }

  /// `present` is everything that is stored, read with nothing in flight.
  void audit(const StreamState& state, const std::map<std::uint64_t, SeenMessage>& present,
             const std::map<std::uint64_t, Attempt>& attempts, Mono now);

  /// Clocks of several nodes: they differ by at most this...
  Nanos clock_slack = 0;
  /// ...or jump: duplicates are forgotten, and messages expire, at any time.
  bool clocks_jump = false;

  Life life = Life::kNone;
  /// The only replica lost its disk, or may have: nothing is expected of the stream any more.
  bool lost = false;
  bool unanswered = false;  // a request to create or delete it may still be on its way
  bool moved = false;       // its number of replicas was changed since the world was at rest
  bool file_or_replicated() const { return settings.file || settings.replicas > 1; }
  unsigned incarnation = 0;
  StreamSettings settings;
  /// Sequences of messages known to have been stored, for deletes and reads.
  const std::map<std::uint64_t, std::uint64_t>& content() const { return content_; }

 private:
  void fail(const std::string& what) const;
  std::optional<std::string> why_gone(std::uint64_t seq, const Attempt& a, const StreamState& state,
                                      const std::map<std::uint64_t, Attempt>& attempts, Mono now) const;
  bool limits_excuse(std::uint64_t seq, const Attempt& a, const StreamState& state,
                     const std::map<std::uint64_t, Attempt>& attempts) const;
  void audit_acked(const StreamState& state, const std::map<std::uint64_t, SeenMessage>& present,
                   const std::map<std::uint64_t, Attempt>& attempts, Mono now) const;
  void audit_removed(const std::map<std::uint64_t, SeenMessage>& present,
                     const std::map<std::uint64_t, Attempt>& attempts, Mono now) const;
  void audit_counters(const StreamState& state, const std::map<std::uint64_t, SeenMessage>& present) const;
  void audit_limits(const StreamState& state, const std::map<std::uint64_t, SeenMessage>& present) const;
  void audit_gaps(const StreamState& state, const std::map<std::uint64_t, Attempt>& attempts) const;
  void audit_cas(const std::map<std::uint64_t, SeenMessage>& present,
                 const std::map<std::uint64_t, Attempt>& attempts) const;
  bool within_window(const Attempt& a, Mono now) const;
  std::uint64_t size_of(std::size_t subject, std::size_t headers, std::size_t payload) const;

  const unsigned number_;
  Verdict& verdict_;
  StreamSettings tightest_;                         // lowest limits that may have been in force in this life
  bool uncertain_ = false;                          // an update's fate is not known
  std::map<std::uint64_t, std::uint64_t> content_;  // seq -> attempt
  std::map<std::uint64_t, std::uint64_t> acked_;    // seq -> attempt
  std::uint64_t acked_max_ = 0;
  std::set<std::uint64_t> may_be_deleted_, deleted_, may_be_consumed_, consumed_;
  std::vector<Purge> purges_;
};

}  // namespace weir::sim
