// broker/jetstream/ack_message.h - the body of an acknowledgement, and one for ConsumerLeader.
//
// Room:    pure. The subject is parsed by proto/ack_subject.h.
// Source:  reference of the wire API, "Ack bodies".
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "broker/base/bytes.h"
#include "broker/base/ids.h"
#include "broker/base/time.h"

namespace weir::jetstream {

enum class AckKind : std::uint8_t { kAck, kNak, kInProgress, kNext, kTerm };

/// What a client said about one message.
struct AckMessage {
  AckKind kind = AckKind::kAck;
  StreamSeq sseq;                // from the ack subject
  ConsumerSeq cseq;              // from the ack subject
  std::uint64_t deliveries = 1;  // from the ack subject
  Nanos delay = 0;               // kNak: 0 = at once
  std::string_view reason;       // kTerm; borrowed until ack() returns
  Bytes reply;                   // where to confirm; empty = not asked for
};

/// A body taken apart. Views point into the given text.
struct AckBody {
  AckKind kind = AckKind::kAck;
  Nanos delay = 0;             // kNak, never negative
  std::string_view reason;     // kTerm
  std::string_view next_text;  // kNext: what follows, a pull request body ("" = one message)
};

/// nullopt: no known body; such a message is ignored. A delay that does not parse counts as none.
std::optional<AckBody> parse_ack_body(std::string_view body);

}  // namespace weir::jetstream
