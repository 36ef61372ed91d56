// surveyor/merge.h - the replies of a round and what was known before -> one view of everything.
//
// Room:    pure: same rounds and times in, same snapshots out. Rules in short: README.md..
// Rules:   the leader's row wins and a follower's is never shown in its place; unknown is absent, not 0;
//          a leader that misses a round keeps its values for kRoundsKept rounds, then they go and
//          has_leader, replicas_online and quorum_margin stay until forget_after; a round without any
//          answer is blindness of the surveyor, not death of the streams; counters do not fall because
//          leadership moved.
// Memory:  about 1 KB per stream and 0.6 KB per consumer between rounds.
#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "surveyor/lag_ring.h"
#include "surveyor/round.h"
#include "surveyor/snapshot.h"

namespace weir::surveyor {

constexpr std::uint32_t kRoundsKept = 2;
constexpr std::uint32_t kDriftRounds = 3;
constexpr std::uint64_t kLaggingMessages = 1000;  // roll-up status only; alerts have thresholds of their own
constexpr Nanos kPeerSilent = 10 * kSecond;       // the lost-quorum interval of nats-server

struct MergeOptions {
  std::uint32_t expected = 0;  // servers; 0 = as many as are known
  Nanos forget_after = kHour;
  bool durable_only = false;
};

class Merger {
 public:
  explicit Merger(MergeOptions options) : options_(options) {}

  /// `now` is the surveyor's clock at the end of the round.
  std::shared_ptr<const Snapshot> finish(Round&& round, Wall now);

 private:
  struct KnownServer {
    ServerIdentity identity;
    Wall last_heard;
    std::uint64_t active_servers = 0;
  };
  struct ConsumerMemory {
    StallWindow window;
    std::vector<std::string> reporters;
    std::string leader_server;
    Wall created, last_delivery, last_ack, last_seen;
    std::uint64_t delivered = 0, acked = 0;
    std::uint64_t base_consumer = 0, base_stream = 0;
    double redeliveries = 0;
    std::uint32_t rounds_held = 0, rounds_missing = 0;
    bool known = false;
    std::optional<ConsumerStatus> status;
    std::optional<std::size_t> previous;  // index in the consumers of the stream's previous view
  };
  struct StreamMemory {
    std::vector<std::string> reporters, members;           // names of servers
    std::map<std::string, std::uint64_t> last_seqs, lags;  // by name
    LagRing ring;
    Wall last_seen;
    std::uint64_t idle_last_seq = 0;
    std::uint32_t equal_rounds = 0, rounds_missing = 0;
    std::optional<std::size_t> previous;  // index in previous_->streams
    std::map<std::string, ConsumerMemory> consumers;
  };

  /// Who spoke in this round, as (domain, name): names are what the rows of other servers use.
  struct Presence {
    std::set<std::pair<std::string, std::string>> answered, complete;
  };
  /// One stream of one round on its way into the snapshot.
  struct Job {
    const StreamKey& key;
    StreamEntry* entry;  // null: no server spoke of it
    StreamMemory& memory;
    const Presence& present;
    Wall now;
    StreamView view;
  };

  void servers(Round& round, Wall now, Snapshot& out);
  static Presence presence(const Round& round);
  static void metas(const Round& round, Snapshot& out);
  bool stream(Job& job);
  static void membership(Job& job);
  static void leader_values(Job& job);
  static void replica_lags(Job& job);
  static void origins(Job& job);
  static void drift(Job& job);
  static void classify(StreamView& v);
  const StreamView* previous_of(const StreamMemory& m) const;

  void consumers(Job& job);
  bool consumer(Job& job, ConsumerEntry* e, ConsumerMemory& c, ConsumerView& v);
  static void consumer_values(const Job& job, ConsumerEntry& e, ConsumerMemory& c, ConsumerView& v);
  static void consumer_counters(const ConsumerRow& row, bool moved, ConsumerMemory& c, ConsumerView& v);
  static void consumer_progress(const Job& job, const ConsumerRow& row, ConsumerMemory& c, ConsumerView& v);

  MergeOptions options_;
  std::map<std::string, KnownServer> known_;  // by id
  std::map<StreamKey, StreamMemory> streams_;
  std::shared_ptr<const Snapshot> previous_;
  std::uint32_t blind_rounds_ = 0;
};

/// Adds name="value", escaped for the exposition format, after a comma if `out` has labels already.
void append_label(std::string& out, std::string_view name, std::string_view value);

}  // namespace weir::surveyor
