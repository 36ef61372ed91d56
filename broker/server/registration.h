// broker/server/registration.h - what a node asks the meta leader to write down about it (Method::kJoin).
//
// Room:    pure coding. docs/formats/registration.md.
// Trust:   comes from another machine: decode checks form and limits, the leader that the sender is meant.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "broker/base/bytes.h"
#include "broker/base/ids.h"
#include "broker/base/result.h"

namespace weir::server {

struct Registration {
  NodeId id;
  std::string name, cluster, domain;
  std::vector<std::string> tags;
  std::uint64_t boot = 0;
};
Bytes encode_registration(const Registration& r);
/// Errors: kInvalid, kUnsupported (another version).
Result<Registration> decode_registration(ByteSpan bytes);

}  // namespace weir::server
