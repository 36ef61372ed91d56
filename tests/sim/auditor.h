// tests/sim/auditor.h - reads back everything that is stored, with nothing else in flight.
//
// Synchronous: a call drives the world until its answer is there. An answer that does not come within
// kAnswerLimit is a failure of liveness.
#pragma once

#include <functional>
#include <map>
#include <string>

#include "tests/sim/workload.h"

namespace weir::sim {

class Auditor {
 public:
  /// Runs the world until `stop` holds; false when `limit` passed.
  using RunUntil = std::function<bool(const std::function<bool()>& stop, Nanos limit)>;

  Auditor(env::testing::SimTime& time, SimNet& net, const std::vector<env::Endpoint>& servers,
          unsigned number, Verdict& verdict, EventLog& events, RunUntil run_until);

  struct Picture {
    StreamState state;
    std::map<std::uint64_t, SeenMessage> messages;
  };
  /// Reads every live stream and applies its history's rules.
  std::map<std::string, Picture> audit(Workload& w);
  /// Makes every consumer deliver all it has, then checks that all was delivered.
  void drain(Workload& w, const std::map<std::string, Picture>& before);
  bool connect();

 private:
  std::optional<ApiReply> call(const std::string& subject, const std::string& body);
  std::optional<StreamState> state_of(const std::string& stream);
  std::optional<Picture> read(const std::string& stream);
  void drain_one(Workload& w, const std::string& key);
  std::optional<ApiReply> consumer_info(const ConsumerSettings& k);

  env::testing::SimTime& time_;
  Verdict& verdict_;
  EventLog& events_;
  RunUntil run_until_;
  SimClient client_;
};

}  // namespace weir::sim
