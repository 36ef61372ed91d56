// tests/sim/workload.h - clients that use the whole JetStream API at random, and remember what they saw.
//
// Each client does one thing at a time, then waits a little. Answers go to the histories (checkers/),
// which decide what is wrong. pause() stops new work; idle() tells when nothing is in flight.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "tests/sim/checkers/consumer_history.h"
#include "tests/sim/checkers/stream_history.h"
#include "tests/sim/sim_client.h"
#include "tests/sim/world.h"

namespace weir::api {
class JsonValue;
}

namespace weir::sim {

/// A JetStream answer: `err_code` of its error, or 0.
struct ApiReply {
  int code = 0, err_code = 0;
  std::string type;
  std::shared_ptr<const api::JsonValue> body;
  std::uint64_t number(std::initializer_list<const char*> path) const;
  std::string text(std::initializer_list<const char*> path) const;
  bool flag(const char* name) const;
};
/// Malformed answers fail the verdict and give nullopt. 503 without a body (no responders) has code 503.
std::optional<ApiReply> parse_reply(const Delivered& m, Verdict& verdict);
/// The message of a MSG.GET or DIRECT.GET answer.
std::optional<SeenMessage> message_of(const ApiReply& r);
std::optional<SeenMessage> message_of_direct(const Delivered& m);

struct WorkloadOptions {
  std::uint64_t seed = 0;
  unsigned clients = 3;
  unsigned streams = 3;
  unsigned subjects = 5;
  std::size_t payload_max = 800;
  Nanos think_max = 40 * kMillisecond;
  unsigned burst_max = 8;
  // A cluster.
  bool cluster = false;
  unsigned nodes = 1;
  std::vector<int> replicas = {1};  // what streams may have
  bool memory = true;               // memory streams too
  Nanos ping = 0;                   // of clients
  Nanos clock_slack = 0;
  bool clocks_jump = false;
};

/// What the workload asks the world.
struct WorkloadHooks {
  /// Another number when what a leader only remembers may be gone: ack floors not yet committed.
  std::function<unsigned()> epoch;
};

class Workload {
 public:
  Workload(env::testing::SimTime& time, SimNet& net, const std::vector<env::Endpoint>& servers,
           WorkloadOptions options, WorkloadHooks hooks, Verdict& verdict, EventLog& events);
  ~Workload();

  void begin();
  void pause() { paused_ = true; }
  void resume() { paused_ = false; }
  /// From now on every delivery is acknowledged at once: consumers run dry.
  void acknowledge_all() { acknowledge_all_ = true; }
  bool idle() const { return in_flight_ == 0; }
  bool all_connected() const;
  /// A node lost its memory: memory streams on it begin anew. "" = the only node.
  void node_started(const std::string& name = "");
  /// A plain publish to see whether the stream takes writes: `done` is told whether it said yes, or no for a
  /// reason of its own, within `timeout`.
  void probe(SimClient& c, StreamHistory& s, Nanos timeout, std::function<void(bool)> done);
  /// The node's disk is lost or rotten: so is what only it had. `only_there` tells for a stream.
  void disk_lost(const std::function<bool(const StreamHistory&)>& only_there);
  /// An operator removes the node from the cluster, until rested().
  void node_removed(const std::string& name);
  /// A node ended: replicated streams in memory of which `forgot` says so may begin anew.
  void memory_lost(const std::function<bool(const StreamHistory&)>& forgot);
  /// The world is at rest: streams are where the nodes say they are.
  void rested();
  /// Replicas stay where they are until false again.
  void hold_replicas(bool hold) { hold_replicas_ = hold; }

  SimClient& client(std::size_t i) { return *clients_[i]; }
  std::size_t client_count() const { return clients_.size(); }
  std::vector<StreamHistory>& streams() { return streams_; }
  std::map<std::string, ConsumerHistory>& consumers() { return consumers_; }
  std::map<std::uint64_t, Attempt>& attempts() { return attempts_; }
  struct Counts {
    std::uint64_t operations = 0, publishes = 0, acked = 0, deliveries = 0, unknown = 0;
  };
  Counts counts;

  /// One pull of `batch` messages, each acknowledged with confirmation; `done` when it ended.
  void pull(SimClient& c, const std::string& consumer, unsigned batch, Nanos expires, bool ack_all,
            std::function<void()> done);
  void delivered(SimClient& c, const std::string& consumer, const Delivered& m, Mono asked, bool ack_all);

  Mono now() const { return time_.now(); }

 private:
  using Done = std::function<void(const ApiReply*)>;  // null: no answer

  void next(SimClient& c);
  void act(SimClient& c);
  void call(SimClient& c, const std::string& subject, const std::string& body, Done done);
  void create_stream(SimClient& c, StreamHistory& s);
  void delete_stream(SimClient& c, StreamHistory& s);
  void update_stream(SimClient& c, StreamHistory& s);
  void step_down(SimClient& c, StreamHistory& s);
  void replicate_elsewhere(StreamSettings& to);
  void remove_peer(SimClient& c, StreamHistory& s);
  void cancel_move(SimClient& c, StreamHistory& s);
  void retire(StreamHistory& s, bool clean);
  StreamSettings random_settings(const std::string& name);
  void publish_some(SimClient& c, StreamHistory& s);
  void publish_new(SimClient& c, StreamHistory& s);
  void send(SimClient& c, std::uint64_t attempt);
  void published(StreamHistory& s, std::uint64_t attempt, std::uint64_t floor, Answer answer,
                 const Delivered& m);
  void read(SimClient& c, StreamHistory& s);
  void delete_message(SimClient& c, StreamHistory& s);
  void purge(SimClient& c, StreamHistory& s);
  void create_consumer(SimClient& c, StreamHistory& s);
  void use_consumer(SimClient& c, StreamHistory& s);
  void drop_consumers(const std::string& stream);
  void acknowledge(SimClient& c, const std::string& consumer, std::uint64_t seq, const std::string& reply,
                   const char* word, bool confirm);
  StreamHistory* stream_named(const std::string& name);
  std::string subject_of(const StreamHistory& s);

  env::testing::SimTime& time_;
  WorkloadOptions options_;
  WorkloadHooks hooks_;
  Verdict& verdict_;
  EventLog& events_;
  Prng prng_;
  std::vector<std::unique_ptr<SimClient>> clients_;
  std::vector<StreamHistory> streams_;
  std::map<std::string, ConsumerHistory> consumers_;  // "stream/name"
  std::map<std::uint64_t, Attempt> attempts_;
  std::vector<std::uint64_t> retry_;
  std::uint64_t next_attempt_ = 1;
  unsigned next_consumer_ = 1;
  unsigned in_flight_ = 0;
  bool paused_ = true;
  bool acknowledge_all_ = false;
  bool hold_replicas_ = false;
  std::map<std::string, std::string> homes_;  // memory streams with one replica, of a cluster
  std::string removed_;                       // the node, or ""
  unsigned next_life_ = 1;
};

}  // namespace weir::sim
