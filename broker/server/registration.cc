#include "broker/server/registration.h"

#include "broker/base/varint.h"
#include "broker/jetstream/command.h"

namespace weir::server {

Bytes encode_registration(const Registration& r) {
  BytesBuilder out;
  out.append_u8(1);
  out.append_varint(r.id.v);
  out.append_string(r.name);
  out.append_string(r.cluster);
  out.append_string(r.domain);
  out.append_varint(r.boot);
  out.append_varint(r.tags.size());
  for (const std::string& t : r.tags) out.append_string(t);
  return out.freeze();
}

Result<Registration> decode_registration(ByteSpan bytes) {
  Reader in(bytes);
  std::uint8_t version = in.u8();
  if (in.ok() && version != 1)
    return {Code::kUnsupported, "registration: version " + std::to_string(version)};
  Registration r;
  r.id = NodeId(in.varint());
  r.name = in.string();
  r.cluster = in.string();
  r.domain = in.string();
  r.boot = in.varint();
  std::uint64_t tags = in.varint();
  for (std::uint64_t i = 0; i < tags && in.ok() && i < jetstream::kTagsMax; ++i)
    r.tags.emplace_back(in.string());
  if (!in.done() || r.id.v == 0 || node_of(r.id) != r.id || r.name.empty())
    return {Code::kInvalid, "registration: malformed"};
  return r;
}

}  // namespace weir::server
