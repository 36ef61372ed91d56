// broker/proto/ack_subject.h - the reply subject of a delivered message, which carries its position.
//
// Format:  v1 $JS.ACK.<stream>.<consumer>.<deliveries>.<stream seq>.<consumer seq>.<time>.<pending>
//          v2 $JS.ACK.<domain|_>.<account hash>.<the seven of v1>[.<random>...]; 11 tokens or more.
//          Time is Unix nanoseconds.
// Room:    pure. Parsed views point into the given subject.
// Errors:  parse gives nullopt for anything else: a client may publish any text there.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "broker/base/ids.h"
#include "broker/base/time.h"

namespace weir::proto {

constexpr std::string_view kAckPrefix = "$JS.ACK.";

struct AckSubject {
  std::string_view domain = {};        // v2 only; "" for v1 and for "_"
  std::string_view account_hash = {};  // v2 only
  std::string_view stream, consumer;
  std::uint64_t deliveries = 0;  // 1 = first delivery
  StreamSeq stream_seq;
  ConsumerSeq consumer_seq;
  Wall time;  // of the stored message
  std::uint64_t pending = 0;
};

/// Appends the v1 form, or v2 when account_hash is not empty (without a random token).
void append_ack_subject(std::string& out, const AckSubject& ack);
std::string format_ack_subject(const AckSubject& ack);

/// v1 or v2; nullopt when the shape or a number is wrong.
std::optional<AckSubject> parse_ack_subject(std::string_view subject);

}  // namespace weir::proto
