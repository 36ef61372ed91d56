// tests/sim/checkers/consumer_history.h - what clients saw of one consumer, and the rules.
//
//   filter      only messages that match the filter are delivered
//   double ack  a message whose ack or term was confirmed is not in the answer to a later request
//   attempts    a message is not delivered more often than max_deliver, nor counted downwards
//   floor       the ack floor never goes back while the node lives
//   complete    after draining, every message that is stored was delivered at least once
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>

#include "broker/base/time.h"
#include "tests/sim/world.h"

namespace weir::sim {

struct ConsumerSettings {
  std::string stream, name;
  std::string filter;  // empty = all
  bool durable = true;
  bool push = false;
  std::string deliver_subject;
  Nanos ack_wait = kSecond;
  std::int64_t max_deliver = -1;
  std::int64_t max_ack_pending = 1000;
  /// Body of CONSUMER.CREATE.
  std::string json() const;
};

class ConsumerHistory {
 public:
  ConsumerHistory(ConsumerSettings s, Verdict& verdict) : settings(std::move(s)), verdict_(verdict) {}

  /// `asked` is when the pull that this answers was sent, or now for push.
  void delivered(std::uint64_t seq, const std::string& subject, std::uint64_t deliveries, Mono asked);
  void ack_confirmed(std::uint64_t seq, Mono now);
  /// An ack floor was shown by the leadership `led`; `before` is floor() when it was asked for, 0 if that was
  /// of another one: what a leader shows may not be committed yet.
  void info(std::uint64_t before, std::uint64_t ack_floor, unsigned life, const std::string& led);
  const std::string& floor_led() const { return floor_led_; }
  /// Highest ack floor seen in this life of the node.
  std::uint64_t floor(unsigned life) const { return life == floor_life_ ? floor_ : 0; }
  /// Every sequence of `stored` that matches was delivered.
  void drained(const std::map<std::uint64_t, std::string>& stored) const;
  bool matches(const std::string& subject) const {
    return settings.filter.empty() || settings.filter == subject;
  }

  ConsumerSettings settings;
  bool ready = false;  // its creation was confirmed
  unsigned owner = 0;  // client that reads a push consumer
  std::uint64_t subscription = 0;

 private:
  void fail(const std::string& what) const;
  Verdict& verdict_;
  std::map<std::uint64_t, Mono> confirmed_;  // seq -> when
  std::map<std::uint64_t, std::uint64_t> deliveries_;
  std::uint64_t floor_ = 0;
  unsigned floor_life_ = 0;
  std::string floor_led_;
};

}  // namespace weir::sim
