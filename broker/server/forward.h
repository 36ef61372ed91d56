// broker/server/forward.h - what one node hands to the leader of a group: publishes, acks, API requests.
//
// Room:    pure coding. Frame kToGroup, docs/formats/forward.md. A payload that is shared is not copied.
// Trust:   decode believes nothing before it was checked; views point into the frame.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "broker/base/bytes.h"
#include "broker/base/ids.h"
#include "broker/base/result.h"

namespace weir::server {

enum class ForwardKind : std::uint8_t {
  kPublish = 1,   // a message that the stream listens for
  kAck = 2,       // an acknowledgement; `group` is that of the consumer's stream
  kApi = 3,       // a JetStream API request
  kInternal = 4,  // the second half of an API request; clients cannot ask for it (api_cluster.cc)
};

/// A request goes from node to node at most that often: each knows better who leads, or nobody does.
constexpr std::uint8_t kForwardsMax = 4;

struct Forwarded {
  ForwardKind kind = ForwardKind::kPublish;
  std::uint8_t hops = 0;
  GroupId group;
  std::string_view account, subject, reply;
  std::size_t header_size = 0;
  std::string_view body;
};

/// Slices of the frame's payload. `shared`: the body as a slice, or null.
std::vector<Bytes> encode_forwarded(const Forwarded& f, const Bytes* shared);
/// Errors: kInvalid says what cannot be; kUnsupported: another format.
Result<Forwarded> decode_forwarded(ByteSpan frame);

/// Who leads a group, as its leader says (frame kHints).
struct LeaderHint {
  GroupId group;
  Term term;
  bool leads = true;  // false: not any more
};
Bytes encode_hints(const std::vector<LeaderHint>& hints);
Result<std::vector<LeaderHint>> decode_hints(ByteSpan frame);

}  // namespace weir::server
