// broker/jetstream/ack_message.h - one acknowledgement, as ConsumerLeader takes it.
//
// Room:    pure. The subject is parsed by proto/ack_subject.h, the body by api/requests.h.
#pragma once

#include <cstdint>
#include <string_view>

#include "broker/api/requests.h"
#include "broker/base/bytes.h"
#include "broker/base/ids.h"
#include "broker/base/time.h"

namespace weir::jetstream {

/// What a client said about one message.
struct AckMessage {
  api::AckKind kind = api::AckKind::kAck;
  StreamSeq sseq;                // from the ack subject
  ConsumerSeq cseq;              // from the ack subject
  std::uint64_t deliveries = 1;  // from the ack subject
  Nanos delay = 0;               // kNak: 0 = at once
  std::string_view reason;       // kTerm; borrowed until ack() returns
  Bytes reply;                   // where to confirm; empty = not asked for
};

}  // namespace weir::jetstream
