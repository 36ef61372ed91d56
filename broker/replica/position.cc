#include "broker/replica/position.h"

#include "broker/base/varint.h"
#include "broker/raft/confchange.h"

namespace weir::replica {

namespace {
constexpr std::uint8_t kVersion = 1;

void put(std::string& out, std::uint64_t v) {
  std::uint8_t tmp[kVarintMax];
  out.append(reinterpret_cast<const char*>(tmp), put_varint(tmp, v));
}
}  // namespace

std::string position_key(GroupId group) {
  return "r/" + std::to_string(group.v);
}

std::string encode_position(const Position& p) {
  std::string out(1, static_cast<char>(kVersion));
  put(out, p.self.v);
  put(out, p.generation);
  put(out, p.at.index.v);
  put(out, p.at.term.v);
  put(out, p.installed ? 1 : 0);
  Bytes conf = raft::encode_conf(p.conf);
  out.append(conf.text());
  return out;
}

Result<Position> decode_position(std::string_view bytes) {
  Reader r(bytes);
  std::uint8_t version = r.u8();
  if (r.ok() && version != kVersion) {
    return {Code::kUnsupported, "replica position: version " + std::to_string(version)};
  }
  Position p;
  p.self = NodeId(r.varint());
  std::uint64_t generation = r.varint();
  p.generation = static_cast<std::uint32_t>(generation);
  p.at.index = RaftIndex(r.varint());
  p.at.term = Term(r.varint());
  std::uint64_t installed = r.varint();
  p.installed = installed == 1;
  if (!r.ok() || installed > 1 || generation > UINT32_MAX || p.self.v == 0 || !raft::can_be(p.at)) {
    return {Code::kCorrupt, "replica position: malformed"};
  }
  auto conf = raft::decode_conf(as_span(r.bytes(r.left())));
  if (!conf) return {Code::kCorrupt, "replica position: " + conf.error().detail};
  p.conf = std::move(*conf);
  return p;
}

}  // namespace weir::replica
