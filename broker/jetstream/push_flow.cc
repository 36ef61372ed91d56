#include "broker/jetstream/push_flow.h"

#include <algorithm>
#include <utility>

#include "broker/base/text.h"
#include "broker/jetstream/consumer_output.h"

namespace weir::jetstream {

namespace {

/// How much of the rate may go at once after a pause.
constexpr Nanos kBurst = 100 * kMillisecond;

Nanos time_on_wire(std::uint64_t bytes, std::uint64_t bits_per_second) {
  auto ns = static_cast<unsigned __int128>(bytes) * 8 * static_cast<unsigned>(kSecond) / bits_per_second;
  constexpr unsigned __int128 kMax = 24 * static_cast<unsigned __int128>(kHour);
  return static_cast<Nanos>(std::min(ns, kMax));
}

}  // namespace

void PushFlow::configure(PushFlowConfig config, Mono now) {
  config_ = std::move(config);
  heartbeat_at_ = now + config_.heartbeat;
  if (!config_.flow_control) {
    window_ = unanswered_ = requested_ = 0;
    fc_subject_.clear();
  } else if (window_ == 0) {
    window_ = kWindowStart;
  }
}

void PushFlow::set_active(bool active, Mono now) {
  if (active && !active_) {
    // Whoever listens now owes nothing for what went to its predecessor.
    unanswered_ = requested_ = 0;
    fc_subject_.clear();
    heartbeat_at_ = now + config_.heartbeat;
  }
  active_ = active;
}

bool PushFlow::stalled() const {
  return window_ > 0 && unanswered_ > window_;
}

bool PushFlow::open(Mono now) const {
  return active_ && !stalled() && (config_.rate_bps == 0 || rate_free_at_ <= now);
}

bool PushFlow::sent(std::uint64_t size, Mono now) {
  heartbeat_at_ = now + config_.heartbeat;
  if (config_.rate_bps > 0)
    rate_free_at_ = std::max(rate_free_at_, now - kBurst) + time_on_wire(size, config_.rate_bps);
  if (window_ == 0) return false;
  unanswered_ += size;
  if (fc_subject_.empty()) return unanswered_ > window_ / 2;
  // A request that stays open for more than a window answers for what follows it too.
  if (unanswered_ - requested_ >= window_) requested_ += size;
  return false;
}

const std::string& PushFlow::request(StreamSeq upto) {
  fc_subject_ = config_.fc_prefix;
  append_u64_text(fc_subject_, ++fc_count_);
  fc_upto_ = upto;
  requested_ = unanswered_;
  return fc_subject_;
}

bool PushFlow::answered(std::string_view subject, StreamSeq& upto) {
  if (fc_subject_.empty() || subject != fc_subject_) return false;
  upto = fc_upto_;
  window_ = std::min(window_ * 2, kWindowMax);
  unanswered_ -= std::min(unanswered_, requested_);
  requested_ = 0;
  fc_subject_.clear();
  return true;
}

bool PushFlow::heartbeat_due(Mono now) {
  if (!active_ || config_.heartbeat == 0 || now < heartbeat_at_) return false;
  heartbeat_at_ = now + config_.heartbeat;
  return true;
}

Mono PushFlow::next_deadline(bool has_messages) const {
  Mono at = kNoDeadline;
  if (!active_) return at;
  if (config_.heartbeat > 0) at = heartbeat_at_;
  if (has_messages && config_.rate_bps > 0 && !stalled()) at = std::min(at, rate_free_at_);
  return at;
}

}  // namespace weir::jetstream
