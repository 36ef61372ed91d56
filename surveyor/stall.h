// surveyor/stall.h - does a consumer make progress? Decided over a window of rounds, as Burrow does.
//
// Room:    pure. One sample per round; a verdict needs kSamplesMin of them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <string_view>

namespace weir::surveyor {

/// The numbers are the values of nats_jetstream_consumer_state and must not change.
enum class ConsumerStatus : std::uint8_t {
  kOk = 0,
  kWarning = 1,  // moves, but the work grows
  kStalled = 2,  // somebody is there, the position does not move
  kStopped = 3,  // nobody is there, the position does not move
  kRewind = 4,   // the position went back and is not yet where it was
  kPaused = 5,
  kNoLeader = 6,
  kSaturated = 7,  // max_ack_pending reached in every sample
};
constexpr std::size_t kStatusCount = 8;
std::string_view status_text(ConsumerStatus s);

struct StallSample {
  std::uint64_t position = 0;  // ack floor in the stream; without acknowledgements what was delivered
  std::uint64_t work = 0;      // pending + ack pending
  std::uint64_t ack_pending = 0;
  std::uint64_t delivered_consumer = 0, delivered_stream = 0;
  bool client_present = false;  // a pull waits, or the push subject has interest
  bool saturated = false;
};

class StallWindow {
 public:
  static constexpr std::size_t kSamples = 10;
  static constexpr std::size_t kSamplesMin = 3;

  void add(const StallSample& s);
  void clear() { samples_.clear(); }
  /// nullopt while there are too few samples. Paused and no_leader are decided by the caller, who knows.
  std::optional<ConsumerStatus> evaluate() const;

 private:
  std::deque<StallSample> samples_;
};

}  // namespace weir::surveyor
