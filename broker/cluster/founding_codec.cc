// Bytes of the founding: docs/formats/founding.md.
#include "broker/base/varint.h"
#include "broker/cluster/founding.h"

namespace weir::cluster {
namespace {

constexpr std::uint8_t kVersion = 1;
constexpr std::size_t kSeedsMax = 1024;
constexpr std::uint64_t kRoundMax = std::uint64_t{1} << 48;  // never wraps, whatever a peer says

bool is_node(NodeId id) {
  return id.v != 0 && node_of(id) == id;
}

void put(BytesBuilder& b, const Ballot& ballot) {
  b.append_varint(ballot.round);
  b.append_u64(ballot.node.v);
}

Ballot get_ballot(Reader& r) {
  Ballot ballot;
  ballot.round = r.varint();
  ballot.node = NodeId(r.u64());
  bool none = ballot.round == 0 && ballot.node.v == 0;
  bool some = ballot.round > 0 && ballot.round < kRoundMax && is_node(ballot.node);
  if (!none && !some) r.fail();
  return ballot;
}

void put(BytesBuilder& b, const std::optional<FoundingRecord>& record) {
  b.append_u8(record ? 1 : 0);
  if (!record) return;
  b.append_string(record->cluster_id);
  b.append_varint(record->members.size());
  for (const Founder& f : record->members) {
    b.append_u64(f.id.v);
    b.append_string(f.name);
  }
}

std::optional<FoundingRecord> get_record(Reader& r) {
  std::uint8_t there = r.u8();
  if (there > 1) r.fail();
  if (there == 0) return std::nullopt;
  FoundingRecord record;
  record.cluster_id = r.string();
  std::uint64_t n = r.varint();
  if (record.cluster_id.empty() || n == 0 || n > kFoundersMax) r.fail();
  for (std::uint64_t i = 0; i < n && r.ok(); ++i) {
    NodeId id(r.u64());
    bool sorted = record.members.empty() || record.members.back().id < id;
    if (!is_node(id) || !sorted) r.fail();
    record.members.push_back({id, std::string(r.string())});
  }
  return record;
}

}  // namespace

std::string encode_founding_state(const FoundingState& state) {
  BytesBuilder b;
  b.append_u8(kVersion);
  put(b, state.promised);
  put(b, state.accepted);
  put(b, state.value);
  put(b, state.born);
  return std::string(b.text());
}

Result<FoundingState> decode_founding_state(std::string_view bytes) {
  Reader r(bytes);
  std::uint8_t version = r.u8();
  if (r.ok() && version != kVersion)
    return Error{Code::kUnsupported, "founding state: version " + std::to_string(version)};
  FoundingState state;
  state.promised = get_ballot(r);
  state.accepted = get_ballot(r);
  state.value = get_record(r);
  state.born = get_record(r);
  bool together = state.value.has_value() == (state.accepted.round > 0);
  if (!r.done() || !together || state.promised < state.accepted)
    return Error{Code::kCorrupt, "founding state: malformed"};
  return state;
}

Bytes encode_founding(const FoundingMessage& m) {
  BytesBuilder b;
  b.append_u8(kVersion);
  b.append_u8(static_cast<std::uint8_t>(m.type));
  put(b, m.ballot);
  put(b, m.accepted);
  b.append_string(m.name);
  b.append_varint(m.seeds.known.size());
  for (NodeId id : m.seeds.known) b.append_u64(id.v);
  b.append_varint(m.seeds.unresolved);
  put(b, m.value);
  return b.freeze();
}

Result<FoundingMessage> decode_founding(ByteSpan bytes) {
  Reader r(bytes);
  FoundingMessage m;
  std::uint8_t version = r.u8();
  std::uint8_t type = r.u8();
  m.type = static_cast<FoundingType>(type);
  m.ballot = get_ballot(r);
  m.accepted = get_ballot(r);
  m.name = r.string();
  std::uint64_t n = r.varint();
  if (n > kSeedsMax) r.fail();
  for (std::uint64_t i = 0; i < n && r.ok(); ++i) {
    NodeId id(r.u64());
    bool sorted = m.seeds.known.empty() || m.seeds.known.back() < id;
    if (!is_node(id) || !sorted) r.fail();
    m.seeds.known.push_back(id);
  }
  m.seeds.unresolved = r.varint();
  m.value = get_record(r);
  bool known = version == kVersion && type >= 1 && type <= static_cast<std::uint8_t>(FoundingType::kLearn);
  if (!r.done() || !known) return Error{Code::kInvalid, "founding message: malformed"};
  return m;
}

}  // namespace weir::cluster
