#include "broker/server/cluster.h"

#include "broker/base/varint.h"
#include "broker/raft/codec.h"
#include "broker/server/stream_host.h"

namespace weir::server {

using cluster::FrameKind;
using cluster::Lane;

Cluster::Cluster(NodeState& node) : node_(node), watch_(node) {}
Cluster::~Cluster() = default;

void Cluster::make(cluster::NodeInfo self) {
  node_.mesh = cluster::make_mesh(node_.env, node_.options, std::move(self), *this);
  node_.interest = std::make_unique<Interest>(node_.env.log, node_.router, node_.accounts, *node_.mesh);
}

void Cluster::update_self(const std::function<void(cluster::NodeInfo&)>& change) {
  cluster::NodeInfo self = node_.mesh->self();
  change(self);
  node_.mesh->update_self(std::move(self));
}

void Cluster::going() {
  if (node_.mesh) node_.mesh->stop();
}

void Cluster::flush() {
  if (!news_.empty()) {
    Bytes frame = encode_hints(std::exchange(news_, {}));
    for (const auto& peer : node_.mesh->peers())
      node_.mesh->send(peer.id, Lane::kInterest, FrameKind::kHints, frame);
  }
  node_.interest->flush();
  node_.mesh->flush();
}

// ---- links -----------------------------------------------------------------------------------

void Cluster::peer_up(const cluster::NodeInfo& peer) {
  gone_.erase(peer.id);
  node_.interest->peer_up(peer);
  if (node_.connect_urls.peer_up(peer)) info_changed_ = true;
  std::vector<LeaderHint> all;
  for (const auto& [group, term] : led_) all.push_back({group, term, true});
  if (!all.empty()) node_.mesh->send(peer.id, Lane::kInterest, FrameKind::kHints, encode_hints(all));
  if (node_.jetstream) node_.jetstream->peer_up(peer);
}

void Cluster::peer_changed(const cluster::NodeInfo& peer) {
  if (node_.connect_urls.peer_changed(peer)) info_changed_ = true;
}

void Cluster::peer_down(NodeId peer) {
  gone_[peer] = node_.env.clock.now();
  forget_hints();
  node_.interest->peer_down(peer);
  if (node_.connect_urls.peer_down(peer)) info_changed_ = true;
  if (node_.jetstream) node_.jetstream->peer_down(peer);
}

void Cluster::peer_alive(NodeId peer, bool alive) {
  if (node_.jetstream) node_.jetstream->peer_alive(peer, alive);
}

void Cluster::frame(NodeId from, FrameKind kind, const Bytes& payload) {
  switch (kind) {
    case FrameKind::kRaft: return on_raft(from, payload);
    case FrameKind::kInterest:
    case FrameKind::kMessage: return node_.interest->frame(from, kind, payload);
    case FrameKind::kToGroup: return on_forwarded(from, payload);
    case FrameKind::kHints: return on_hints(from, payload);
    case FrameKind::kFounding:
      if (node_.jetstream) node_.jetstream->founding_frame(from, payload);
      return;
    case FrameKind::kState:
      if (!node_.jetstream) return;
      if (Status s = node_.jetstream->state_frame(from, payload); !s) bad_frame(from, "state", s.error());
      return;
  }
  bad_frame(from, "frame", Error(Code::kUnsupported, "kind " + std::to_string(static_cast<unsigned>(kind))));
}

void Cluster::bad_frame(NodeId from, const char* kind, const Error& why) {
  if (bad_frames_++ % 1000 != 0) return;
  node_.env.log.warn(std::string(kind) + " from " + name_of(from) + " is not used: " + why.detail);
}

// ---- Raft ------------------------------------------------------------------------------------

void Cluster::send(NodeId to, GroupId group, raft::Message message) {
  BytesBuilder head;
  head.append_varint(group.v);
  std::vector<Bytes> payloads;
  raft::encode_message(message, head, payloads);
  payloads.insert(payloads.begin(), head.freeze());
  std::size_t bytes = 0;
  for (const Bytes& part : payloads) bytes += part.size();
  watch_.sent(group, message, bytes);
  node_.mesh->send(to, Lane::kRaft, FrameKind::kRaft, std::move(payloads));
}

void Cluster::on_raft(NodeId from, const Bytes& payload) {
  if (!node_.jetstream) return;
  Reader r(payload.span());
  std::uint64_t group = r.varint();
  if (!r.ok() || group > UINT32_MAX) return bad_frame(from, "raft message", Error(Code::kInvalid, "group"));
  std::size_t at = payload.size() - r.left();
  auto message = raft::decode_message(payload.sub(at, payload.size() - at));
  if (!message) return bad_frame(from, "raft message", message.error());
  node_.jetstream->raft_message(from, GroupId(static_cast<std::uint32_t>(group)), std::move(*message));
}

// ---- who leads -------------------------------------------------------------------------------

void Cluster::leads(GroupId group, Term term, bool now) {
  if (now) {
    led_[group] = term;
    hints_.erase(group);
  } else if (led_.erase(group) == 0) {
    return;
  }
  news_.push_back({group, term, now});
}

void Cluster::on_hints(NodeId from, const Bytes& payload) {
  auto hints = decode_hints(payload.span());
  if (!hints) return bad_frame(from, "hints", hints.error());
  for (const LeaderHint& h : *hints) {
    auto it = hints_.find(h.group);
    if (!h.leads) {
      if (it != hints_.end() && it->second.node == from && it->second.term <= h.term) hints_.erase(it);
    } else if (it == hints_.end() || it->second.term <= h.term) {
      hints_[h.group] = {from, h.term};
    }
  }
  if (node_.api) node_.api->leaders_changed();
}

// Leaders whose link ended did not say that their groups are gone. A group that the meta group has not
// numbered yet is one that this node is about to hear of.
void Cluster::forget_hints() {
  if (!node_.jetstream) return hints_.clear();  // nobody asks for leaders here
  const auto& meta = node_.jetstream->meta().state();
  std::erase_if(hints_, [&meta](const auto& hint) {
    GroupId group = hint.first;
    return group != jetstream::kMetaGroup && group < meta.next_group() && !meta.find(group);
  });
}

NodeId Cluster::leader_of(GroupId group) const {
  if (led_.contains(group)) return node_.mesh->self().id;
  auto it = hints_.find(group);
  return it != hints_.end() && connected(it->second.node) ? it->second.node : NodeId();
}

bool Cluster::connected(NodeId node) const {
  return node_.mesh->peer(node_of(node)) != nullptr;
}

bool Cluster::alive(NodeId node) const {
  return node_of(node) == node_.mesh->self().id || node_.mesh->alive(node_of(node));
}

bool Cluster::stays(NodeId node) const {
  if (node_of(node) == node_.mesh->self().id) return !node_.lame_duck && !node_.stopping;
  const auto* peer = node_.mesh->peer(node_of(node));
  return peer && !peer->lame_duck && alive(node);
}

Nanos Cluster::silence(NodeId node) const {
  auto heard = node_.mesh->last_heard(node_of(node));
  if (auto it = gone_.find(node_of(node)); !heard && it != gone_.end()) heard = it->second;
  return heard ? node_.env.clock.now() - *heard : 0;
}

std::string Cluster::name_of(NodeId node) const {
  node = node_of(node);
  if (node == node_.mesh->self().id) return node_.name;
  if (const auto* peer = node_.mesh->peer(node)) return peer->name;
  if (node_.jetstream) {
    if (const auto* known = node_.jetstream->meta().state().find_node(node)) return known->name;
  }
  return "node-" + std::to_string(node.v >> kIncarnationBits);
}

// ---- requests for groups -----------------------------------------------------------------------

bool Cluster::forward(NodeId to, const Forwarded& f, const Bytes* shared) {
  if (f.hops >= kForwardsMax) return false;
  Forwarded next = f;
  ++next.hops;
  if (f.kind == ForwardKind::kPublish) watch_.publish_handed_on(f.group, to, f.body.size());
  bool sent = node_.mesh->send(to, Lane::kMessages, FrameKind::kToGroup, encode_forwarded(next, shared));
  if (f.kind == ForwardKind::kPublish && node_.interest->crowded(to)) node_.router.crowd();
  return sent;
}

void Cluster::on_forwarded(NodeId from, const Bytes& payload) {
  auto f = decode_forwarded(payload.span());
  if (!f) return bad_frame(from, "request", f.error());
  Account* account = node_.find_account(f->account);
  if (!account || !node_.jetstream) return;
  if (f->kind == ForwardKind::kPublish) return node_.jetstream->forwarded_publish(*account, *f, payload);
  node_.api->forwarded(*account, *f);
}

}  // namespace weir::server
