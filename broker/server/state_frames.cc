#include "broker/server/state_frames.h"

#include "broker/base/varint.h"

namespace weir::server {

namespace {
constexpr std::uint8_t kFormat = 1;
}

Bytes encode_state_frame(const StateFrame& frame) {
  BytesBuilder out;
  out.append_u8(kFormat);
  out.append_u8(static_cast<std::uint8_t>(frame.said));
  out.append_varint(frame.scheme);
  out.append_varint(frame.items.size());
  for (const StateItem& item : frame.items) {
    out.append_varint(item.group.v);
    out.append_varint(item.index.v);
    if (frame.said == StateSaid::kAsk) continue;
    out.append_u64(item.replica.v);
    out.append_u64(item.hash);
  }
  return out.freeze();
}

Result<StateFrame> decode_state_frame(ByteSpan bytes) {
  Reader r(bytes);
  std::uint8_t format = r.u8();
  if (r.ok() && format != kFormat) return {Code::kUnsupported, "format " + std::to_string(format)};
  StateFrame frame;
  std::uint8_t said = r.u8();
  if (said < 1 || said > 3) return {Code::kInvalid, "kind of state frame"};
  frame.said = static_cast<StateSaid>(said);
  frame.scheme = r.varint();
  std::uint64_t count = r.varint();
  if (!r.ok() || count > kStateItemsMax) return {Code::kInvalid, "count of groups"};
  frame.items.reserve(std::min<std::size_t>(count, r.left() / 2));
  for (std::uint64_t i = 0; i < count && r.ok(); ++i) {
    StateItem item;
    std::uint64_t group = r.varint();
    item.index = RaftIndex(r.varint());
    if (frame.said != StateSaid::kAsk) {
      item.replica = NodeId(r.u64());
      item.hash = r.u64();
    }
    if (!r.ok() || group == 0 || group > UINT32_MAX || item.index.v == 0)
      return {Code::kInvalid, "state that cannot be"};
    item.group = GroupId(static_cast<std::uint32_t>(group));
    frame.items.push_back(item);
  }
  if (!r.done()) return {Code::kInvalid, "bytes after the groups"};
  return frame;
}

}  // namespace weir::server
