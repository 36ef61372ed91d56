// broker/server/state_frames.h - what nodes say to each other about the hashes of their replicas' states.
//
// Room:    pure. Format: docs/formats/state-check.md. One frame has one kind of items, of many groups.
// Limits:  kStateItemsMax items in a frame; who has more sends more frames.
#pragma once

#include <cstdint>
#include <vector>

#include "broker/base/bytes.h"
#include "broker/base/ids.h"
#include "broker/base/result.h"

namespace weir::server {

constexpr std::size_t kStateItemsMax = 20'000;

enum class StateSaid : std::uint8_t {
  kAsk = 1,   // a leader: what is your hash as of this entry?
  kTold = 2,  // a member: this is what mine was
  kOdd = 3,   // a leader: yours is not what a majority has
};

struct StateItem {
  GroupId group;
  RaftIndex index;
  NodeId replica;          // kTold: whose; kOdd: who is meant; kAsk: 0
  std::uint64_t hash = 0;  // kTold, kOdd: that replica's
  bool operator==(const StateItem&) const = default;
};

struct StateFrame {
  StateSaid said = StateSaid::kAsk;
  std::uint64_t scheme = 0;  // base/state_hash.h; hashes of another one mean nothing
  std::vector<StateItem> items;
};

Bytes encode_state_frame(const StateFrame& frame);
/// Errors: kInvalid, kUnsupported (another format).
Result<StateFrame> decode_state_frame(ByteSpan bytes);

}  // namespace weir::server
