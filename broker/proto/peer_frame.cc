#include "broker/proto/peer_frame.h"

#include <algorithm>

#include "broker/base/crc32c.h"
#include "broker/base/varint.h"

namespace weir::proto {
namespace {

constexpr std::size_t kKindAt = 4, kLaneAt = 5, kCrcAt = 6;
constexpr std::uint8_t kLaneMask = 0x0f;

std::uint32_t header_crc(const PeerHeader& h) {
  return crc32c(ByteSpan(h.data() + kKindAt, kCrcAt - kKindAt));
}

}  // namespace

PeerHeader peer_header(std::uint8_t kind, std::uint8_t lane, const std::vector<Bytes>& payload) {
  CHECK(lane <= kLaneMask);
  std::size_t size = 0;
  for (const Bytes& b : payload) size += b.size();
  CHECK(size <= kPeerPayloadMax, "frame too large");
  PeerHeader h;
  put_u32(h.data(), static_cast<std::uint32_t>(size));
  h[kKindAt] = kind;
  h[kLaneAt] = lane;
  std::uint32_t crc = header_crc(h);
  for (const Bytes& b : payload) crc = crc32c(b.span(), crc);
  put_u32(h.data() + kCrcAt, crc);
  return h;
}

bool PeerFrameParser::feed(ByteSpan bytes, PeerFrameEvents& events) {
  if (!error_.empty()) return false;
  while (true) {
    if (header_size_ < kPeerHeaderBytes) {
      std::size_t n = std::min(bytes.size(), kPeerHeaderBytes - header_size_);
      std::copy_n(bytes.data(), n, header_.data() + header_size_);
      header_size_ += n;
      bytes = bytes.subspan(n);
      if (header_size_ < kPeerHeaderBytes) return true;
      if (!begin_payload()) return false;
    }
    std::size_t n = std::min(bytes.size(), wanted_ - payload_.size());
    ByteSpan part = bytes.first(n);
    payload_.append(part);
    crc_ = crc32c(part, crc_);
    bytes = bytes.subspan(n);
    if (payload_.size() < wanted_) return true;
    if (crc_ != get_u32(header_.data() + kCrcAt)) return fail("checksum of a frame does not match");
    header_size_ = 0;
    auto lane = static_cast<std::uint8_t>(header_[kLaneAt] & kLaneMask);
    if (!events.on_frame({header_[kKindAt], lane, payload_.freeze()})) return true;
    payload_ = {};  // freeze() of an empty one keeps its block
  }
}

bool PeerFrameParser::begin_payload() {
  wanted_ = get_u32(header_.data());
  if (wanted_ > payload_max_) {
    return fail("frame of " + std::to_string(wanted_) + " bytes, at most " + std::to_string(payload_max_) +
                " are allowed");
  }
  payload_ = wanted_ > 0 ? BytesBuilder(wanted_) : BytesBuilder();
  crc_ = header_crc(header_);
  return true;
}

bool PeerFrameParser::fail(std::string why) {
  error_ = std::move(why);
  payload_ = {};
  return false;
}

}  // namespace weir::proto
