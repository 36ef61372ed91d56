// broker/jetstream/consumer_output.h - what one step of a ConsumerLeader wants done.
//
// Order:   `progress` is proposed first. Then, when commit number `send_after` is reached (0 = at
//          once), advisories, and deliveries and statuses in their order: statuses[i] goes after the
//          first statuses[i].after deliveries. A later output may not overtake an earlier one that
//          still waits (the numbers never fall while anything waits).
// Life:    vectors are reused from step to step; take what must be kept.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "broker/base/bytes.h"
#include "broker/base/ids.h"
#include "broker/base/time.h"
#include "broker/store/message.h"

namespace weir::jetstream {

constexpr Mono kNoDeadline{std::numeric_limits<Nanos>::max()};

/// A message on its way. With headers_only the sender drops the payload and adds Nats-Msg-Size.
struct Delivery {
  Bytes target;  // subject to send to: the pull's reply or the deliver subject
  store::Message message;
  ConsumerSeq cseq;
  std::uint64_t deliveries = 1;
  std::uint64_t num_pending = 0;  // for the ack subject
};

/// A message without payload: "NATS/1.0 408 Request Timeout\r\n...\r\n\r\n".
struct StatusMessage {
  Bytes target;
  std::string headers;
  std::string reply;      // flow control requests: $JS.FC...; otherwise empty
  std::size_t after = 0;  // goes after this many deliveries of the same output
};

/// An empty message to the reply of an acknowledgement, once progress number `after` is committed. Of
/// ConsumerLeader::end(): one that is not confirmed.
struct AckConfirmation {
  Bytes reply;
  std::uint64_t after = 0;  // 0 = at once
};

enum class ConsumerAdvisoryKind : std::uint8_t {
  kMaxDeliver,  // ...MAX_DELIVERIES
  kTerminated,  // ...MSG_TERMINATED
  kNak,         // ...MSG_NAKED
  kAckSample,   // $JS.EVENT.METRIC.CONSUMER.ACK
};

struct ConsumerAdvisory {
  ConsumerAdvisoryKind kind = ConsumerAdvisoryKind::kNak;
  StreamSeq sseq;
  ConsumerSeq cseq;  // not of kMaxDeliver
  std::uint64_t deliveries = 0;
  std::string reason;  // kTerminated; may be empty
  Nanos ack_time = 0;  // kAckSample: delivery to ack
};

struct ConsumerOutput {
  std::vector<Delivery> deliveries;
  std::vector<StatusMessage> statuses;
  std::vector<ConsumerAdvisory> advisories;
  std::uint64_t send_after = 0;
  bool headers_only = false;
  bool push = false;  // deliveries go to a deliver subject: by queue group if there is one

  std::vector<AckConfirmation> confirmations;

  std::string progress;               // record to propose; empty = none
  std::uint64_t progress_number = 0;  // of `progress`: 1, 2, ... for this leader

  bool more = false;                 // the budget ended the step: call again soon
  bool delete_me = false;            // unused for inactive_threshold: propose the deletion
  Mono next_deadline = kNoDeadline;  // call step at this time at the latest

  void clear();
};

}  // namespace weir::jetstream
