#include "broker/server/forward.h"

#include "broker/base/varint.h"

namespace weir::server {

namespace {
constexpr std::uint8_t kFormat = 1;

}  // namespace

std::vector<Bytes> encode_forwarded(const Forwarded& f, const Bytes* shared) {
  bool share = shared != nullptr && !shared->empty();
  BytesBuilder head(64 + f.account.size() + f.subject.size() + f.reply.size() + (share ? 0 : f.body.size()));
  head.append_u8(kFormat);
  head.append_u8(static_cast<std::uint8_t>(f.kind));
  head.append_u8(f.hops);
  head.append_varint(f.group.v);
  head.append_string(f.account);
  head.append_string(f.subject);
  head.append_string(f.reply);
  head.append_varint(f.header_size);
  if (!share) head.append(f.body);
  std::vector<Bytes> out;
  out.push_back(head.freeze());
  if (share) out.push_back(*shared);
  return out;
}

Result<Forwarded> decode_forwarded(ByteSpan frame) {
  Reader r(frame);
  std::uint8_t format = r.u8();
  if (r.ok() && format != kFormat) return {Code::kUnsupported, "format " + std::to_string(format)};
  Forwarded f;
  std::uint8_t kind = r.u8();
  f.kind = static_cast<ForwardKind>(kind);
  f.hops = r.u8();
  std::uint64_t group = r.varint();
  f.group = GroupId(static_cast<std::uint32_t>(group));
  f.account = r.string();
  f.subject = r.string();
  f.reply = r.string();
  f.header_size = r.varint();
  f.body = r.bytes(r.left());
  if (!r.ok()) return {Code::kInvalid, "cut short"};
  if (kind < 1 || kind > static_cast<std::uint8_t>(ForwardKind::kInternal)) {
    return {Code::kInvalid, "kind " + std::to_string(kind)};
  }
  if (group > UINT32_MAX || f.hops > kForwardsMax || f.subject.empty() || f.header_size > f.body.size()) {
    return {Code::kInvalid, "group, hops, subject or header size cannot be"};
  }
  return f;
}

Bytes encode_hints(const std::vector<LeaderHint>& hints) {
  BytesBuilder out;
  out.append_u8(kFormat);
  out.append_varint(hints.size());
  for (const LeaderHint& h : hints) {
    out.append_varint(h.group.v);
    out.append_varint(h.term.v);
    out.append_varint(h.leads ? 1 : 0);
  }
  return out.freeze();
}

Result<std::vector<LeaderHint>> decode_hints(ByteSpan frame) {
  Reader r(frame);
  std::uint8_t format = r.u8();
  if (r.ok() && format != kFormat) return {Code::kUnsupported, "format " + std::to_string(format)};
  std::uint64_t count = r.varint();
  if (!r.ok() || count > r.left() / 3) return {Code::kInvalid, "count of hints"};  // three bytes at least
  std::vector<LeaderHint> out;
  out.reserve(count);
  for (std::uint64_t i = 0; i < count; ++i) {
    std::uint64_t group = r.varint();
    Term term(r.varint());
    std::uint64_t leads = r.varint();
    if (!r.ok() || group > UINT32_MAX || leads > 1) return {Code::kInvalid, "hint cannot be"};
    out.push_back({GroupId(static_cast<std::uint32_t>(group)), term, leads == 1});
  }
  if (!r.done()) return {Code::kInvalid, "bytes after the hints"};
  return out;
}

}  // namespace weir::server
