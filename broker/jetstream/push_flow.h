// broker/jetstream/push_flow.h - when a push consumer may send: interest, window, rate, heartbeats.
//
// Room:    pure, volatile.
// Source:  observed behaviour of existing servers: the window begins at a sixteenth of 32 MiB and
//          doubles with each answer; a request goes out when half the window is used.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "broker/base/ids.h"
#include "broker/base/time.h"

namespace weir::jetstream {

struct PushFlowConfig {
  bool flow_control = false;
  Nanos heartbeat = 0;         // 0 = none
  std::uint64_t rate_bps = 0;  // bits per second; 0 = no limit
  std::string fc_prefix;       // "$JS.FC.<stream>.<consumer>."
};

class PushFlow {
 public:
  static constexpr std::uint64_t kWindowMax = 32u << 20;
  static constexpr std::uint64_t kWindowStart = kWindowMax / 16;

  void configure(PushFlowConfig config, Mono now);
  void set_active(bool active, Mono now);
  bool active() const { return active_; }

  /// Interest, window and rate allow a message now.
  bool open(Mono now) const;
  /// Accounts for a message. True: send a flow control request after it (see request()).
  bool sent(std::uint64_t size, Mono now);
  /// Begins a request; call when sent() said so.
  /// `upto` is the last stream sequence sent. Returns its reply subject.
  const std::string& request(StreamSeq upto);
  /// The outstanding request's subject; empty = none.
  const std::string& outstanding() const { return fc_subject_; }
  /// An answer. False: not to the outstanding request. Otherwise `upto` is what request() was given.
  bool answered(std::string_view subject, StreamSeq& upto);
  /// The window is used up.
  bool stalled() const;

  /// True when a heartbeat is due; the next one is then due one interval later.
  bool heartbeat_due(Mono now);
  /// Heartbeat or rate, whichever is next; kNoDeadline = none.
  Mono next_deadline(bool has_messages) const;

 private:
  PushFlowConfig config_;
  bool active_ = false;
  std::uint64_t window_ = 0;  // 0 = no flow control
  std::uint64_t unanswered_ = 0;
  std::uint64_t requested_ = 0;  // part of unanswered_ that the outstanding request answers for
  std::string fc_subject_;
  StreamSeq fc_upto_;
  std::uint64_t fc_count_ = 0;
  Mono rate_free_at_;  // with a rate: nothing goes before
  Mono heartbeat_at_;
};

}  // namespace weir::jetstream
