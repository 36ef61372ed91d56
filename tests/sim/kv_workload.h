// tests/sim/kv_workload.h - clients that use a stream as registers: read, compare and set, put, delete.
//
// One operation at a time per client. The last message of a key's subject is what the key holds; writes name
// the last sequence that they expect. Reads are MSG.GET, which the leader answers. check() asks
// checkers/register_history.h whether each key was linearizable.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "tests/sim/checkers/register_history.h"
#include "tests/sim/workload.h"

namespace weir::sim {

struct KvOptions {
  std::uint64_t seed = 0;
  unsigned clients = 3;
  unsigned first_number = 0;  // of the clients
  unsigned keys = 3;
  std::vector<int> replicas = {1};
  Nanos think_max = 40 * kMillisecond;
  Nanos ping = 0;
};

class KvWorkload {
 public:
  KvWorkload(env::testing::SimTime& time, SimNet& net, const std::vector<env::Endpoint>& servers,
             KvOptions options, Verdict& verdict, EventLog& events);

  void begin();
  void pause() { paused_ = true; }
  void resume() { paused_ = false; }
  bool idle() const { return in_flight_ == 0; }
  /// Created, and not lost with the only node that had it.
  bool live() const { return created_ && !lost_; }
  const StreamSettings& settings() const { return settings_; }
  bool moved() const { return moved_; }
  void rested() { moved_ = false; }
  void lose() { lost_ = true; }
  void hold_replicas(bool hold) { hold_replicas_ = hold; }
  /// Reads all keys once and judges. Call with nothing in flight.
  void check();
  /// Sets the key of client `c` without conditions; `done` is told whether the stream took it in time.
  void probe(SimClient& c, Nanos timeout, std::function<void(bool)> done);

  struct Counts {
    std::uint64_t reads = 0, writes = 0, refused = 0, unknown = 0, undecided = 0;
  };
  Counts counts;
  std::vector<std::unique_ptr<SimClient>>& clients() { return clients_; }

 private:
  struct Known {
    std::uint64_t seq = 0, id = 0;
  };
  struct Key {
    RegisterHistory history;
    std::map<unsigned, Known> known;  // what each client saw last
  };
  void next(SimClient& c);
  void act(SimClient& c);
  void create(SimClient& c);
  void scale(SimClient& c);
  void read(SimClient& c, unsigned key);
  void write(SimClient& c, unsigned key, bool conditional);
  void send(SimClient& c, unsigned key, std::uint64_t from, std::uint64_t expected, Nanos timeout,
            std::function<void(bool)> done);
  void learn(unsigned key, std::uint64_t seq, std::uint64_t id);
  std::string subject(unsigned key) const { return "KV.k" + std::to_string(key); }

  env::testing::SimTime& time_;
  KvOptions options_;
  Verdict& verdict_;
  EventLog& events_;
  Prng prng_;
  StreamSettings settings_;
  std::vector<std::unique_ptr<SimClient>> clients_;
  std::map<unsigned, Key> keys_;
  std::map<std::uint64_t, std::uint64_t> at_;  // sequence -> id
  std::uint64_t next_id_ = 1;
  unsigned in_flight_ = 0;
  bool created_ = false, creating_ = false, lost_ = false, moved_ = false, scaling_ = false;
  bool hold_replicas_ = false;
  bool paused_ = true;
};

}  // namespace weir::sim
