// Commands of the meta group, to and from bytes: docs/formats/entry.md, 64 to 71.
#include <string>

#include "broker/base/varint.h"
#include "broker/jetstream/command.h"

namespace weir::jetstream {
namespace {

constexpr std::uint8_t kJetStream = 1;
constexpr std::uint8_t kRejoin = 2;

Error malformed(const char* what) {
  return {Code::kInvalid, std::string("log entry: malformed ") + what + " command"};
}

void append_nodes(BytesBuilder& b, const std::vector<NodeId>& nodes, NodeId preferred) {
  b.append_varint(nodes.size());
  for (NodeId node : nodes) b.append_u64(node.v);
  if (!nodes.empty()) b.append_u64(preferred.v);
}

void read_nodes(Reader& r, std::vector<NodeId>& nodes, NodeId& preferred) {
  std::uint64_t n = r.varint();
  if (n > kPeersMax) return r.fail();
  for (std::uint64_t i = 0; i < n && r.ok(); ++i) nodes.push_back(NodeId(r.u64()));
  if (n > 0) preferred = NodeId(r.u64());
}

GroupId read_group(Reader& r) {
  std::uint64_t group = r.varint();
  if (group > UINT32_MAX) r.fail();
  return GroupId(static_cast<std::uint32_t>(group));
}

bool is_node(NodeId id) {
  return id.v != 0 && node_of(id) == id;
}

}  // namespace

void EntryBuilder::put_meta(CommandType type, const MetaStreamCommand& c) {
  BytesBuilder b;
  b.append_string(c.account);
  b.append_string(c.name);
  if (type == CommandType::kMetaCreateStream) {
    b.append_varint(zigzag(c.created.ns));
    b.append_varint(c.max_streams);
  }
  append_nodes(b, c.nodes, c.preferred);
  b.append_string(c.config_json);
  put(type, b);
}

void EntryBuilder::meta_create_stream(const MetaStreamCommand& c) {
  put_meta(CommandType::kMetaCreateStream, c);
}

void EntryBuilder::meta_update_stream(const MetaStreamCommand& c) {
  put_meta(CommandType::kMetaUpdateStream, c);
}

void EntryBuilder::meta_delete_stream(std::string_view account, std::string_view name) {
  BytesBuilder b;
  b.append_string(account);
  b.append_string(name);
  put(CommandType::kMetaDeleteStream, b);
}

void EntryBuilder::meta_register_node(const MetaNodeCommand& c) {
  BytesBuilder b;
  b.append_u64(c.id.v);
  b.append_u64(c.replaces.v);
  b.append_u8(static_cast<std::uint8_t>((c.jetstream ? kJetStream : 0) | (c.rejoin ? kRejoin : 0)));
  b.append_string(c.name);
  b.append_string(c.cluster);
  b.append_string(c.domain);
  b.append_varint(c.tags.size());
  for (std::string_view tag : c.tags) b.append_string(tag);
  put(CommandType::kMetaRegisterNode, b);
}

void EntryBuilder::meta_remove_node(NodeId node) {
  BytesBuilder b;
  b.append_u64(node.v);
  put(CommandType::kMetaRemoveNode, b);
}

void EntryBuilder::put_peers(CommandType type, const MetaPeersCommand& c) {
  BytesBuilder b;
  b.append_varint(c.group.v);
  b.append_varint(c.expected);
  append_nodes(b, c.nodes, c.preferred);
  put(type, b);
}

void EntryBuilder::meta_set_peers(const MetaPeersCommand& c) {
  put_peers(CommandType::kMetaSetPeers, c);
}

void EntryBuilder::meta_reset_stream(const MetaPeersCommand& c) {
  put_peers(CommandType::kMetaResetStream, c);
}

void EntryBuilder::meta_release_peers(const MetaPeersCommand& c) {
  put_peers(CommandType::kMetaReleasePeers, {c.group, c.expected, {}, NodeId(0)});
}

void EntryBuilder::meta_renew_replicas(const MetaRenewCommand& c) {
  BytesBuilder b;
  b.append_varint(c.group.v);
  b.append_u64(c.replica.v);
  b.append_varint(c.boot);
  b.append_varint(c.expected);
  put(CommandType::kMetaRenewReplicas, b);
}

Result<MetaStreamCommand> decode_meta_stream(const Command& c) {
  Reader r(c.body);
  MetaStreamCommand m;
  m.account = r.string();
  m.name = r.string();
  if (c.type == CommandType::kMetaCreateStream) {
    m.created = Wall{unzigzag(r.varint())};
    m.max_streams = r.varint();
  }
  if (c.type != CommandType::kMetaDeleteStream) {
    read_nodes(r, m.nodes, m.preferred);
    m.config_json = r.string();
  }
  if (!r.done() || m.account.empty() || m.name.empty()) return malformed("meta stream");
  return m;
}

Result<MetaNodeCommand> decode_meta_register(const Command& c) {
  Reader r(c.body);
  MetaNodeCommand m;
  m.id = NodeId(r.u64());
  m.replaces = NodeId(r.u64());
  std::uint8_t flags = r.u8();
  m.jetstream = (flags & kJetStream) != 0;
  m.rejoin = (flags & kRejoin) != 0;
  m.name = r.string();
  m.cluster = r.string();
  m.domain = r.string();
  std::uint64_t tags = r.varint();
  if (tags > kTagsMax) r.fail();
  for (std::uint64_t i = 0; i < tags && r.ok(); ++i) m.tags.push_back(r.string());
  if (!r.done() || flags > (kJetStream | kRejoin) || !is_node(m.id) || m.name.empty())
    return malformed("register node");
  return m;
}

Result<NodeId> decode_meta_remove_node(const Command& c) {
  Reader r(c.body);
  NodeId node(r.u64());
  if (!r.done() || !is_node(node)) return malformed("remove node");
  return node;
}

Result<MetaPeersCommand> decode_meta_peers(const Command& c) {
  Reader r(c.body);
  MetaPeersCommand m;
  m.group = read_group(r);
  m.expected = r.varint();
  read_nodes(r, m.nodes, m.preferred);
  bool needs_nodes = c.type == CommandType::kMetaSetPeers;
  bool no_nodes = c.type == CommandType::kMetaReleasePeers;
  if (!r.done() || m.group.v == 0 || (needs_nodes && m.nodes.empty()) || (no_nodes && !m.nodes.empty()))
    return malformed("set peers");
  return m;
}

Result<MetaRenewCommand> decode_meta_renew(const Command& c) {
  Reader r(c.body);
  MetaRenewCommand m;
  m.group = read_group(r);
  m.replica = NodeId(r.u64());
  m.boot = r.varint();
  m.expected = r.varint();
  bool whole = m.group.v == 0;
  if (!r.done() || node_of(m.replica).v == 0 || (whole && !is_node(m.replica)))
    return malformed("renew replicas");
  return m;
}

}  // namespace weir::jetstream
