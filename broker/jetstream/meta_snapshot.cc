// The whole meta state as bytes: docs/formats/meta-state.md.
#include <algorithm>

#include "broker/base/varint.h"
#include "broker/jetstream/coding.h"
#include "broker/jetstream/meta_state.h"

namespace weir::jetstream {
namespace {

constexpr std::uint8_t kVersion = 4;  // 1 had names of nodes instead of ids, 2 no replicas that leave
constexpr std::uint8_t kNoOrigins = 3;
constexpr std::uint8_t kJetStream = 1;
constexpr std::uint8_t kRemoved = 2;

void put_ids(std::string& out, const std::vector<NodeId>& ids) {
  put_varint(out, ids.size());
  for (NodeId id : ids) put_fixed64(out, id.v);
}

/// Replica ids of one stream: at most one for each node.
std::vector<NodeId> read_ids(Reader& r) {
  std::vector<NodeId> ids;
  std::uint64_t n = r.varint();
  if (n > kPeersMax) r.fail();
  for (std::uint64_t i = 0; i < n && r.ok(); ++i) {
    NodeId id(r.u64());
    bool twice = std::any_of(ids.begin(), ids.end(), [&](NodeId o) { return node_of(o) == node_of(id); });
    if (node_of(id).v == 0 || twice) r.fail();
    ids.push_back(id);
  }
  return ids;
}

void put_node(std::string& out, const MetaNode& n) {
  put_fixed64(out, n.id.v);
  put_string(out, n.name);
  put_string(out, n.cluster);
  put_string(out, n.domain);
  out.push_back(static_cast<char>((n.jetstream ? kJetStream : 0) | (n.removed ? kRemoved : 0)));
  put_fixed64(out, n.meta_replica.v);
  put_varint(out, n.lives);
  put_varint(out, n.boot);
  put_varint(out, n.revision);
  put_varint(out, n.tags.size());
  for (const std::string& tag : n.tags) put_string(out, tag);
}

MetaNode read_node(Reader& r) {
  MetaNode n;
  n.id = NodeId(r.u64());
  n.name = r.string();
  n.cluster = r.string();
  n.domain = r.string();
  std::uint8_t flags = r.u8();
  n.jetstream = (flags & kJetStream) != 0;
  n.removed = (flags & kRemoved) != 0;
  n.meta_replica = NodeId(r.u64());
  n.lives = r.varint();
  n.boot = r.varint();
  n.revision = r.varint();
  std::uint64_t tags = r.varint();
  if (tags > kTagsMax) r.fail();
  for (std::uint64_t i = 0; i < tags && r.ok(); ++i) n.tags.emplace_back(r.string());
  bool good = n.id.v != 0 && node_of(n.id) == n.id && node_of(n.meta_replica) == n.id && !n.name.empty() &&
              n.lives <= kIncarnationMask && incarnation_of(n.meta_replica) <= n.lives &&
              flags <= (kJetStream | kRemoved);
  if (!good) r.fail();
  return n;
}

void put_origin(std::string& out, const MetaOrigin& o) {
  put_ids(out, o.nodes);
  if (o.nodes.empty()) return;
  put_varint(out, static_cast<std::uint64_t>(o.replicas));
  out.push_back(o.placement ? 1 : 0);
  if (!o.placement) return;
  put_string(out, o.placement->cluster);
  put_string(out, o.placement->preferred);
  put_varint(out, o.placement->tags.size());
  for (const std::string& tag : o.placement->tags) put_string(out, tag);
}

MetaOrigin read_origin(Reader& r) {
  MetaOrigin o;
  o.nodes = read_ids(r);
  if (o.nodes.empty()) return o;
  for (NodeId node : o.nodes)
    if (node_of(node) != node) r.fail();
  std::uint64_t replicas = r.varint();
  if (replicas > kPeersMax) r.fail();
  o.replicas = static_cast<std::int32_t>(replicas);
  std::uint8_t placed = r.u8();
  if (placed > 1) r.fail();
  if (placed != 1) return o;
  auto& placement = o.placement.emplace();
  placement.cluster = r.string();
  placement.preferred = r.string();
  std::uint64_t tags = r.varint();
  if (tags > kTagsMax) r.fail();
  for (std::uint64_t i = 0; i < tags && r.ok(); ++i) placement.tags.emplace_back(r.string());
  return o;
}

void put_stream(std::string& out, const MetaStream& s) {
  put_string(out, s.account);
  put_string(out, s.config.name);
  put_varint(out, s.group.v);
  put_signed(out, s.created.ns);
  put_varint(out, s.revision);
  put_varint(out, s.peers_revision);
  put_ids(out, s.peers);
  put_ids(out, s.leaving);
  put_origin(out, s.origin);
  put_ids(out, s.founders);
  put_fixed64(out, s.preferred.v);
  put_string(out, api::encode_stream_config_json(s.config));
}

MetaStream read_stream(Reader& r, std::uint8_t version) {
  MetaStream s;
  s.account = r.string();
  std::string_view name = r.string();
  std::uint64_t group = r.varint();
  if (group <= kMetaGroup.v || group > UINT32_MAX) r.fail();
  s.group = GroupId(static_cast<std::uint32_t>(group));
  s.created = Wall{unzigzag(r.varint())};
  s.revision = r.varint();
  s.peers_revision = r.varint();
  s.peers = read_ids(r);
  s.leaving = read_ids(r);
  for (NodeId replica : s.leaving)
    if (s.replica_on(node_of(replica)).v != 0) r.fail();
  if (version > kNoOrigins) s.origin = read_origin(r);
  s.founders = read_ids(r);
  s.preferred = NodeId(r.u64());
  auto config = api::decode_stream_config(r.string(), api::Strictness::kLenient);
  auto* value = std::get_if<api::StreamConfig>(&config);
  bool led = s.preferred.v == 0 || s.replica_on(s.preferred).v != 0;
  if (value == nullptr || value->name != name || s.peers.empty() || !led) {
    r.fail();
    return s;
  }
  s.config = std::move(*value);
  return s;
}

}  // namespace

void MetaState::encode(std::string& out) const {
  out.push_back(static_cast<char>(kVersion));
  put_varint(out, revision_);
  put_varint(out, next_group_.v);
  put_fixed64(out, hash_);
  put_varint(out, nodes_.size());
  for (const auto& [id, node] : nodes_) put_node(out, node);
  put_varint(out, by_group_.size());
  for_each([&](const MetaStream& s) {
    put_stream(out, s);
    return true;
  });
}

Status MetaState::restore(std::string_view bytes) {
  Reader r(bytes);
  std::uint8_t version = r.u8();
  if (r.ok() && version != kVersion && version != kNoOrigins)
    return Error{Code::kUnsupported, "meta state: version " + std::to_string(version)};
  MetaState fresh;
  fresh.revision_ = r.varint();
  std::uint64_t next_group = r.varint();
  if (next_group < 2 || next_group > UINT32_MAX) r.fail();
  fresh.next_group_ = GroupId(static_cast<std::uint32_t>(next_group));
  fresh.hash_ = r.u64();
  std::uint64_t nodes = r.varint();
  if (nodes > kMetaNodesMax) r.fail();
  for (std::uint64_t i = 0; r.ok() && i < nodes; ++i) {
    MetaNode node = read_node(r);
    bool sorted = fresh.nodes_.empty() || fresh.nodes_.rbegin()->first < node.id;
    if (!r.ok() || !sorted || fresh.find_node(node.name) != nullptr) r.fail();
    if (r.ok()) fresh.nodes_.emplace(node.id, std::move(node));
  }
  std::uint64_t streams = r.varint();
  std::pair<std::string, std::string> previous;
  for (std::uint64_t i = 0; r.ok() && i < streams; ++i) {
    MetaStream s = read_stream(r, version);
    std::pair<std::string, std::string> key(s.account, s.config.name);
    if (!r.ok() || s.group >= fresh.next_group_ || !(previous < key) || fresh.find(s.group) != nullptr)
      r.fail();
    if (r.ok()) fresh.insert(std::move(s));
    previous = std::move(key);
  }
  if (!r.done()) return Error{Code::kCorrupt, "meta state: malformed"};
  *this = std::move(fresh);
  return ok();
}

}  // namespace weir::jetstream
