// Nodes of the cluster, and the lives of their replicas (ADR 4).
//
// A node counts its lives in one number for all groups: a number that was given once never comes back,
// in no group, also when the node left it and returns. 0 is the life in which a group begins.
//
// Removal of a node only marks it. The leader then moves the streams one by one (kMetaSetPeers): an
// entry that placed thousands at once would be as large as the state, and a new leader finds what is left
// to be moved in the state.
#include <algorithm>

#include "broker/base/check.h"
#include "broker/jetstream/meta_state.h"

namespace weir::jetstream {

using api::ErrCode;

NodeId MetaStream::replica_on(NodeId node) const {
  for (NodeId peer : peers)
    if (node_of(peer) == node) return peer;
  return NodeId(0);
}

NodeId MetaStream::hosted_on(NodeId node) const {
  NodeId wanted = replica_on(node);
  if (wanted.v != 0) return wanted;
  for (NodeId peer : leaving)
    if (node_of(peer) == node) return peer;
  return NodeId(0);
}

const MetaNode* MetaState::find_node(NodeId id) const {
  auto it = nodes_.find(node_of(id));
  return it == nodes_.end() ? nullptr : &it->second;
}

const MetaNode* MetaState::find_node(std::string_view name) const {
  for (const auto& [id, node] : nodes_)
    if (node.name == name) return &node;
  return nullptr;
}

MetaLoad MetaState::load(NodeId node) const {
  auto it = loads_.find(node_of(node));
  return it == loads_.end() ? MetaLoad() : it->second;
}

Status MetaState::apply_node(const Command& command, MetaOutcome& out) {
  switch (command.type) {
    case CommandType::kMetaRegisterNode: {
      ASSIGN_OR_RETURN(auto c, decode_meta_register(command));
      register_node(c, out);
      return ok();
    }
    case CommandType::kMetaRemoveNode: {
      ASSIGN_OR_RETURN(auto id, decode_meta_remove_node(command));
      remove_node(id, out);
      return ok();
    }
    case CommandType::kMetaSetPeers: {
      ASSIGN_OR_RETURN(auto c, decode_meta_peers(command));
      set_peers(c, out);
      return ok();
    }
    case CommandType::kMetaRenewReplicas: {
      ASSIGN_OR_RETURN(auto c, decode_meta_renew(command));
      renew(c, out);
      return ok();
    }
    case CommandType::kMetaResetStream: {
      ASSIGN_OR_RETURN(auto c, decode_meta_peers(command));
      reset(c, out);
      return ok();
    }
    case CommandType::kMetaReleasePeers: {
      ASSIGN_OR_RETURN(auto c, decode_meta_peers(command));
      release_peers(c, out);
      return ok();
    }
    default:
      return Error{Code::kUnsupported,
                   "unknown command type " + std::to_string(static_cast<unsigned>(command.type))};
  }
}

void MetaState::register_node(const MetaNodeCommand& c, MetaOutcome& out) {
  const MetaNode* known = find_node(c.id);
  const MetaNode* named = find_node(c.name);
  NodeId replaced = named != nullptr && named->id != c.id ? named->id : NodeId(0);
  if (replaced != c.replaces) {
    // Somebody else took the name since the leader looked.
    out.error = api::make_error(ErrCode::kClusterServerMemberChangeInflight);
    return;
  }
  if (known != nullptr && known->removed && !c.rejoin) {
    out.error = api::make_error(ErrCode::kClusterServerNotMember);
    return;
  }
  bool full = known == nullptr && replaced.v == 0 && nodes_.size() >= kMetaNodesMax;
  // A life may be needed: for the meta group, or for what is taken over.
  bool worn_out = known != nullptr && known->lives >= kIncarnationMask;
  if (full || worn_out) {
    out.error = api::make_error(ErrCode::kInsufficientResources);
    return;
  }
  MetaNode node = known != nullptr ? *known : MetaNode();
  if (known == nullptr) node.id = node.meta_replica = c.id;
  node.name = c.name;
  node.cluster = c.cluster;
  node.domain = c.domain;
  node.tags.assign(c.tags.begin(), c.tags.end());
  node.jetstream = c.jetstream;
  node.removed = false;
  if (known != nullptr && node == *known && replaced.v == 0) {
    out.change = MetaChange::kExisting;
    out.node = node;
    return;
  }
  node.revision = ++revision_;
  if (replaced.v != 0) replace_node(replaced, node, out);
  out.change = MetaChange::kNodeChanged;
  out.node = node;
  nodes_[node.id] = std::move(node);
}

void MetaState::replace_node(NodeId old, MetaNode& fresh, MetaOutcome& out) {
  out.replaced = old;
  out.groups.push_back(kMetaGroup);
  std::uint64_t life = ++fresh.lives;
  each_stream_on(old, [&](MetaStream& stream, std::size_t at) {
    // A stream that has a replica there as well cannot have two on one node.
    bool twice = stream.replica_on(fresh.id).v != 0;
    if (stream.preferred == old) stream.preferred = fresh.id;
    count_load(stream, false);
    if (twice) stream.peers.erase(stream.peers.begin() + static_cast<std::ptrdiff_t>(at));
    if (!twice) stream.peers[at] = replica_id(fresh.id, life);
    stream.peers_revision = revision_;
    count_load(stream, true);
    out.groups.push_back(stream.group);
  });
  each_leaving_on(old, [&](MetaStream& stream) {
    forget_leaving(stream, old);
    out.groups.push_back(stream.group);
  });
  for (GroupId group : parting_) {
    auto& nodes = by_group_.find(group)->second->origin.nodes;
    if (std::find(nodes.begin(), nodes.end(), fresh.id) == nodes.end())
      std::replace(nodes.begin(), nodes.end(), old, fresh.id);
  }
  nodes_.erase(old);
}

void MetaState::remove_node(NodeId id, MetaOutcome& out) {
  auto it = nodes_.find(id);
  if (it == nodes_.end()) {
    out.error = api::make_error(ErrCode::kClusterServerNotMember);
    return;
  }
  out.change = MetaChange::kExisting;
  if (!it->second.removed) {
    it->second.removed = true;
    it->second.revision = ++revision_;
    out.change = MetaChange::kNodeChanged;
  }
  each_stream_on(id, [&](MetaStream& stream, std::size_t) { out.groups.push_back(stream.group); });
  out.node = it->second;
}

void MetaState::set_peers(const MetaPeersCommand& c, MetaOutcome& out) {
  auto it = by_group_.find(c.group);
  if (it == by_group_.end()) {
    out.error = api::make_error(ErrCode::kStreamNotFound);
    return;
  }
  MetaStream& stream = *it->second;
  if (stream.peers_revision != c.expected) {
    out.error = api::make_error(ErrCode::kClusterServerMemberChangeInflight);
    return;
  }
  if (!check_nodes(c.nodes, &stream, out)) return;
  ++revision_;
  count_load(stream, false);
  note_origin(stream);
  assign_peers(stream, c.nodes, c.preferred);
  count_load(stream, true);
  out.change = MetaChange::kPeersChanged;
  out.groups = {stream.group};
  out.stream = stream;
}

void MetaState::renew(const MetaRenewCommand& c, MetaOutcome& out) {
  auto node = nodes_.find(node_of(c.replica));
  if (node == nodes_.end() || node->second.removed) {
    out.error = api::make_error(ErrCode::kClusterServerNotMember);
    return;
  }
  if (node->second.lives >= kIncarnationMask) {
    out.error = api::make_error(ErrCode::kInsufficientResources);
    return;
  }
  if (c.group.v == 0) return renew_memory(c, out);
  if (c.group == kMetaGroup) {
    if (node->second.meta_replica != c.replica) return;
    node->second.revision = ++revision_;
    node->second.meta_replica = replica_id(node->first, ++node->second.lives);
  } else {
    auto stream = by_group_.find(c.group);
    if (stream == by_group_.end()) return;
    if (c.expected != 0 && c.expected != stream->second->peers_revision) {
      out.error = api::make_error(ErrCode::kClusterServerMemberChangeInflight);
      return;
    }
    auto& peers = stream->second->peers;
    auto at = std::find(peers.begin(), peers.end(), c.replica);
    auto& leaving = stream->second->leaving;
    bool leaves = std::find(leaving.begin(), leaving.end(), c.replica) != leaving.end();
    if (at == peers.end() && !leaves) return;  // given up already
    stream->second->peers_revision = ++revision_;
    if (leaves) {
      forget_leaving(*stream->second, node->first);
    } else {
      *at = replica_id(node->first, ++node->second.lives);
    }
    out.stream = *stream->second;
  }
  out.change = MetaChange::kPeersChanged;
  out.groups = {c.group};
  out.node = node->second;
}

void MetaState::renew_memory(const MetaRenewCommand& c, MetaOutcome& out) {
  MetaNode& node = nodes_.find(c.replica)->second;
  if (c.boot <= node.boot) return;  // asked twice
  node.boot = c.boot;
  node.revision = ++revision_;
  std::uint64_t life = node.lives + 1;
  each_stream_on(node.id, [&](MetaStream& stream, std::size_t at) {
    // A group of one has nobody whom it could mislead.
    bool alone = stream.peers.size() + stream.leaving.size() < 2;
    if (stream.config.storage != api::Storage::kMemory || alone) return;
    stream.peers[at] = replica_id(node.id, life);
    stream.peers_revision = revision_;
    out.groups.push_back(stream.group);
  });
  if (!out.groups.empty()) node.lives = life;
  each_leaving_on(node.id, [&](MetaStream& stream) {
    if (stream.config.storage != api::Storage::kMemory) return;
    forget_leaving(stream, node.id);
    stream.peers_revision = revision_;
    out.groups.push_back(stream.group);
  });
  out.change = out.groups.empty() ? MetaChange::kNodeChanged : MetaChange::kPeersChanged;
  out.node = node;
}

void MetaState::release_peers(const MetaPeersCommand& c, MetaOutcome& out) {
  auto it = by_group_.find(c.group);
  if (it == by_group_.end() || it->second->peers_revision != c.expected) {
    out.error = api::make_error(ErrCode::kClusterServerMemberChangeInflight);
    return;
  }
  if (!parting_.erase(c.group)) return;
  ++revision_;
  it->second->leaving.clear();
  it->second->origin = MetaOrigin();
  out.change = MetaChange::kPeersChanged;
  out.groups = {c.group};
  out.stream = *it->second;
}

void MetaState::reset(const MetaPeersCommand& c, MetaOutcome& out) {
  auto it = by_group_.find(c.group);
  if (it == by_group_.end()) {
    out.error = api::make_error(ErrCode::kStreamNotFound);
    return;
  }
  MetaStream& stream = *it->second;
  if (stream.peers_revision != c.expected) {
    out.error = api::make_error(ErrCode::kClusterServerMemberChangeInflight);
    return;
  }
  std::vector<NodeId> nodes = c.nodes;
  if (nodes.empty())
    for (NodeId peer : stream.peers) nodes.push_back(node_of(peer));
  if (!check_nodes(nodes, nullptr, out)) return;
  out.groups = {stream.group};
  by_group_.erase(it);
  parting_.erase(stream.group);
  stream.leaving.clear();
  stream.origin = MetaOrigin();
  count_load(stream, false);
  stream.group = next_group_;
  ++next_group_;
  stream.revision = stream.peers_revision = ++revision_;
  stream.peers = stream.founders = std::move(nodes);
  if (stream.replica_on(stream.preferred).v == 0) stream.preferred = NodeId(0);
  by_group_.emplace(stream.group, &stream);
  count_load(stream, true);
  out.change = MetaChange::kReset;
  out.stream = stream;
}

namespace {
std::size_t left_out(const std::vector<NodeId>& replicas, const std::vector<NodeId>& nodes) {
  return static_cast<std::size_t>(std::count_if(replicas.begin(), replicas.end(), [&](NodeId replica) {
    return std::find(nodes.begin(), nodes.end(), node_of(replica)) == nodes.end();
  }));
}
}  // namespace

bool MetaState::check_nodes(const std::vector<NodeId>& nodes, const MetaStream* stream,
                            MetaOutcome& out) const {
  if (stream != nullptr && left_out(stream->peers, nodes) + left_out(stream->leaving, nodes) > kPeersMax) {
    out.error = api::make_error(ErrCode::kClusterServerMemberChangeInflight);
    return false;
  }
  if (nodes.empty()) {
    out.error = api::make_error(ErrCode::kClusterNoPeers, "no suitable peers for placement");
    return false;
  }
  for (std::size_t i = 0; i < nodes.size(); ++i) {
    NodeId node = nodes[i];
    auto here = nodes.begin() + static_cast<std::ptrdiff_t>(i);
    if (node.v == 0 || node_of(node) != node || std::find(nodes.begin(), here, node) != here) {
      out.error = api::make_error(ErrCode::kPeerRemap);
      return false;
    }
    if (stream != nullptr && stream->replica_on(node).v != 0) continue;
    bool anywhere = nodes_.empty() && stream == nullptr;
    const MetaNode* known = find_node(node);
    if (!anywhere && (known == nullptr || known->removed || known->lives >= kIncarnationMask)) {
      out.error = api::make_error(ErrCode::kClusterServerMemberChangeInflight);
      return false;
    }
  }
  return true;
}

void MetaState::assign_peers(MetaStream& stream, const std::vector<NodeId>& nodes, NodeId preferred) {
  std::vector<NodeId> peers, leaving = stream.leaving;
  for (NodeId replica : stream.peers) leaving.push_back(replica);
  for (NodeId node : nodes) {
    NodeId replica = stream.hosted_on(node);
    std::erase(leaving, replica);
    if (replica.v == 0) {
      auto it = nodes_.find(node);
      CHECK(it != nodes_.end(), "peers were not checked");
      replica = replica_id(node, ++it->second.lives);
    }
    peers.push_back(replica);
  }
  stream.peers = std::move(peers);
  stream.leaving = std::move(leaving);
  keep_parting(stream);
  stream.preferred = node_of(stream.replica_on(preferred));
  stream.peers_revision = revision_;
}

// A stream whose place is not one that it could go back to has none: it misses a replica, or is on a node
// that was removed. Of several changes in a row the first one counts.
void MetaState::note_origin(MetaStream& stream) const {
  if (!stream.origin.nodes.empty() || !stream.leaving.empty()) return;
  MetaOrigin origin;
  for (NodeId peer : stream.peers) {
    const MetaNode* node = find_node(peer);
    if (node == nullptr || node->removed) return;
    origin.nodes.push_back(node->id);
  }
  origin.replicas = stream.config.num_replicas;
  origin.placement = stream.config.placement;
  if (origin.nodes.size() == static_cast<std::size_t>(std::max(origin.replicas, 1)))
    stream.origin = std::move(origin);
}

void MetaState::keep_parting(const MetaStream& stream) {
  bool parts = !stream.leaving.empty() || !stream.origin.nodes.empty();
  if (parts) parting_.insert(stream.group);
  if (!parts) parting_.erase(stream.group);
}

void MetaState::count_load(const MetaStream& stream, bool add) {
  auto change = [add](auto& sum, auto by) { sum = add ? sum + by : sum - by; };
  std::uint64_t bytes = stream.config.max_bytes > 0 ? static_cast<std::uint64_t>(stream.config.max_bytes) : 0;
  bool memory = stream.config.storage == api::Storage::kMemory;
  for (NodeId peer : stream.peers) {
    MetaLoad& load = loads_[node_of(peer)];
    change(load.streams, std::size_t{1});
    change(load.replicated, std::size_t{stream.peers.size() > 1 ? 1u : 0u});
    change(memory ? load.reserved_memory : load.reserved_file, bytes);
    if (load.streams == 0) loads_.erase(node_of(peer));
  }
}

void MetaState::forget_leaving(MetaStream& stream, NodeId node) {
  std::erase_if(stream.leaving, [&](NodeId replica) { return node_of(replica) == node; });
  keep_parting(stream);
}

template <class Visit>
void MetaState::each_leaving_on(NodeId node, Visit visit) {
  for (GroupId group : std::set<GroupId>(parting_)) {
    MetaStream& stream = *by_group_.find(group)->second;
    bool here = std::any_of(stream.leaving.begin(), stream.leaving.end(),
                            [&](NodeId replica) { return node_of(replica) == node; });
    if (here) visit(stream);
  }
}

template <class Visit>
void MetaState::each_stream_on(NodeId node, Visit visit) {
  // In order of groups: outcomes are part of the hash.
  for (auto& [group, stream] : by_group_) {
    for (std::size_t at = 0; at < stream->peers.size(); ++at) {
      if (node_of(stream->peers[at]) != node) continue;
      visit(*stream, at);
      break;
    }
  }
}

}  // namespace weir::jetstream
