// broker/server/interest_frames.h - bytes of the frames kInterest and kMessage. docs/formats/interest.md
//
// Room:    pure. What is decoded are views into the frame; nothing in a frame is believed before it was
//          checked: lengths, subjects that end up in protocol lines, sizes of header blocks.
// Limits:  kInterestFrameBytes per interest frame that we write; what is read is bounded by its frame.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "broker/base/bytes.h"
#include "broker/base/result.h"

namespace weir::server {

constexpr std::uint8_t kInterestFormat = 1;
constexpr std::uint8_t kMessageFormat = 1;
constexpr std::size_t kInterestFrameBytes = 64u << 10;  // a frame is closed once it is that long

/// What a node has of one (account, subject, queue) from now on.
struct InterestChange {
  std::string_view account, subject;
  std::string_view queue;    // "" = plain
  std::uint32_t weight = 0;  // 0 = nothing; plain: 1; queue: number of members
};

/// Collects changes of one frame. Those of one account in a row cost its name once.
class InterestWriter {
 public:
  void add(const InterestChange& change);
  bool empty() const { return changes_ == 0; }
  bool full() const { return out_.size() >= kInterestFrameBytes; }
  /// `begin` and `end` mark the first and last frame of the whole interest. Empty afterwards.
  Bytes finish(bool begin = false, bool end = false);

 private:
  BytesBuilder out_;
  std::string account_;
  std::size_t changes_ = 0;
};

struct InterestFrame {
  bool begin = false, end = false;
  std::vector<InterestChange> changes;
};
/// kInvalid: says what cannot be. kUnsupported: another format.
Result<InterestFrame> decode_interest(ByteSpan frame);

struct MessageFrame {
  std::string_view account;
  std::string_view target;   // what subscriptions are matched with
  std::string_view subject;  // what they see; mostly the same
  std::string_view reply;
  bool plain = false;                    // for all plain subscriptions
  std::vector<std::string_view> queues;  // and one member of each of these
  std::size_t header_size = 0;
  std::string_view body;  // header block, then payload
};
/// The frame up to the body; the body's bytes follow it.
void encode_message_head(BytesBuilder& out, const MessageFrame& m);
/// Errors as decode_interest().
Result<MessageFrame> decode_message(ByteSpan frame);

}  // namespace weir::server
