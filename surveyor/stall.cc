#include "surveyor/stall.h"

#include <algorithm>

namespace weir::surveyor {

std::string_view status_text(ConsumerStatus s) {
  switch (s) {
    case ConsumerStatus::kOk: return "ok";
    case ConsumerStatus::kWarning: return "warning";
    case ConsumerStatus::kStalled: return "stalled";
    case ConsumerStatus::kStopped: return "stopped";
    case ConsumerStatus::kRewind: return "rewind";
    case ConsumerStatus::kPaused: return "paused";
    case ConsumerStatus::kNoLeader: return "no_leader";
    case ConsumerStatus::kSaturated: return "saturated";
  }
  return "ok";
}

void StallWindow::add(const StallSample& s) {
  if (samples_.size() == kSamples) samples_.pop_front();
  samples_.push_back(s);
}

namespace {
/// One message that is never acknowledged pins the ack floor while all others come and go. Then new
/// messages were delivered, and fewer than those are pending now.
bool acknowledged_beyond_the_floor(const StallSample& first, const StallSample& last) {
  if (last.delivered_stream <= first.delivered_stream) return last.work < first.work;
  std::uint64_t delivered =
      last.delivered_consumer - std::min(first.delivered_consumer, last.delivered_consumer);
  return last.ack_pending < first.ack_pending + delivered;
}
}  // namespace

std::optional<ConsumerStatus> StallWindow::evaluate() const {
  if (samples_.size() < kSamplesMin) return std::nullopt;
  const StallSample &first = samples_.front(), &last = samples_.back();
  auto all = [&](auto test) { return std::all_of(samples_.begin(), samples_.end(), test); };

  if (!all([](const auto& s) { return s.work > 0; })) return ConsumerStatus::kOk;
  auto highest = std::max_element(samples_.begin(), samples_.end(), [](const auto& a, const auto& b) {
                   return a.position < b.position;
                 })->position;
  if (last.position < highest) return ConsumerStatus::kRewind;
  bool fixed = all([&](const auto& s) { return s.position == first.position; });
  bool delivers = last.delivered_consumer != first.delivered_consumer;
  if (fixed && !delivers && all([](const auto& s) { return !s.client_present; }))
    return ConsumerStatus::kStopped;
  if (fixed && !acknowledged_beyond_the_floor(first, last)) return ConsumerStatus::kStalled;
  if (all([](const auto& s) { return s.saturated; })) return ConsumerStatus::kSaturated;
  auto shrinks = [](const auto& a, const auto& b) { return b.work < a.work; };
  bool never_shrinks = std::adjacent_find(samples_.begin(), samples_.end(), shrinks) == samples_.end();
  if (!fixed && never_shrinks && last.work > first.work) return ConsumerStatus::kWarning;
  return ConsumerStatus::kOk;
}

}  // namespace weir::surveyor
