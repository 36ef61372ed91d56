#include "tests/sim/checkers/consumer_history.h"

#include <algorithm>

namespace weir::sim {

std::string ConsumerSettings::json() const {
  std::string j = "{\"stream_name\":\"" + stream + "\",\"config\":{\"name\":\"" + name + "\"";
  if (durable)
    j += ",\"durable_name\":\"" + name + "\"";
  else
    j += ",\"inactive_threshold\":5000000000";
  j += ",\"deliver_policy\":\"all\",\"ack_policy\":\"explicit\",\"replay_policy\":\"instant\"";
  j += ",\"ack_wait\":" + std::to_string(ack_wait) + ",\"max_deliver\":" + std::to_string(max_deliver);
  j += ",\"max_ack_pending\":" + std::to_string(max_ack_pending);
  if (!filter.empty()) j += ",\"filter_subject\":\"" + filter + "\"";
  if (push) j += ",\"deliver_subject\":\"" + deliver_subject + "\"";
  return j + "}}";
}

void ConsumerHistory::fail(const std::string& what) const {
  verdict_.fail("consumer " + settings.stream + "/" + settings.name + ": " + what);
}

void ConsumerHistory::delivered(std::uint64_t seq, const std::string& subject, std::uint64_t deliveries,
                                Mono asked) {
  std::string what = "sequence " + std::to_string(seq);
  if (!matches(subject)) return fail(what + " does not match the filter: " + subject);
  auto it = confirmed_.find(seq);
  if (it != confirmed_.end() && it->second < asked)
    return fail(what + " was delivered again (" + std::to_string(deliveries) + ", " +
                (settings.push ? "push"
                               : "asked for " + std::to_string((asked - it->second) / kMicrosecond) + " us") +
                " after its acknowledgement was confirmed)");
  if (deliveries == 0) return fail(what + " delivered zero times");
  if (settings.max_deliver > 0 && deliveries > static_cast<std::uint64_t>(settings.max_deliver))
    return fail(what + " delivered " + std::to_string(deliveries) + " times");
  auto& most = deliveries_[seq];
  most = std::max(most, deliveries);
}

void ConsumerHistory::ack_confirmed(std::uint64_t seq, Mono now) {
  confirmed_.emplace(seq, now);
}

void ConsumerHistory::info(std::uint64_t before, std::uint64_t ack_floor, unsigned life,
                           const std::string& led) {
  if (ack_floor < before)
    return fail("ack floor went from " + std::to_string(before) + " back to " + std::to_string(ack_floor));
  floor_ = led == floor_led_ ? std::max(floor(life), ack_floor) : ack_floor;
  floor_led_ = led;
  floor_life_ = life;
}

void ConsumerHistory::drained(const std::map<std::uint64_t, std::string>& stored) const {
  for (const auto& [seq, subject] : stored) {
    if (!matches(subject) || deliveries_.count(seq)) continue;
    return fail("sequence " + std::to_string(seq) + " was never delivered");
  }
}

}  // namespace weir::sim
