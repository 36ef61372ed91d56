// Verbs of the cluster: who leads, and which nodes hold what. Those of the meta group are for the system
// account only.
#include "broker/server/advisories.h"
#include "broker/server/api_server.h"
#include "broker/server/cluster_side.h"
#include "broker/server/group_view.h"
#include "broker/server/stream_host.h"

namespace weir::server {

using api::ErrCode;
using api::ReplyType;
using jetstream::MetaOutcome;
using jetstream::MetaStream;

namespace {
/// The member that takes over: the preferred one, else the one that has most of the log.
NodeId heir(const replica::Group& group, NodeId preferred) {
  NodeId best;
  RaftIndex match;
  for (const auto& peer : group.core()->peers()) {
    if (!peer.voter || !peer.active) continue;
    if (preferred.v != 0 && node_of(peer.id) == preferred) return peer.id;
    if (best.v == 0 || peer.match > match) {
      best = peer.id;
      match = peer.match;
    }
  }
  return preferred.v == 0 ? best : NodeId();
}
}  // namespace

void ApiServer::step_down(ApiRequest& r, ReplyType type, replica::Group& group) {
  auto decoded = api::decode_step_down(r.body, strictness());
  if (auto* e = std::get_if<api::ApiError>(&decoded)) return fail(r, type, *e);
  const auto& q = std::get<api::StepDownRequest>(decoded);
  NodeId preferred;
  if (q.placement && !q.placement->preferred.empty()) {
    const auto* node = find_peer(js_.meta().state(), q.placement->preferred);
    if (!node) return fail(r, type, ErrCode::kClusterNoPeers);
    if (node->id == js_.self())
      return fail(r, type, api::make_error(ErrCode::kClusterNoPeers, "preferred server is already leader"));
    preferred = node->id;
  }
  NodeId to = heir(group, preferred);
  if (to.v == 0 || !group.transfer_leadership(to)) return fail(r, type, ErrCode::kClusterNoPeers);
  reply(r, api::encode_success(type));
}

void ApiServer::meta_step_down(ApiRequest& r) {
  constexpr auto kType = ReplyType::kMetaLeaderStepDown;
  if (!js_.context().cluster) return fail(r, kType, ErrCode::kClusterRequired);
  step_down(r, kType, js_.meta().group());
}

void ApiServer::server_remove(ApiRequest& r) {
  constexpr auto kType = ReplyType::kMetaServerRemove;
  if (!js_.context().cluster) return fail(r, kType, ErrCode::kClusterRequired);
  auto decoded = api::decode_server_remove(r.body, strictness());
  if (auto* e = std::get_if<api::ApiError>(&decoded)) return fail(r, kType, *e);
  const auto& q = std::get<api::ServerRemoveRequest>(decoded);
  const auto* node = find_peer(js_.meta().state(), q.peer_id.empty() ? q.peer : q.peer_id);
  if (!node || node->removed) return fail(r, kType, ErrCode::kClusterServerNotMember);
  // Without it the streams go on with those that are left; new homes are found one by one (rehome.h).
  js_.meta().propose(
      [id = node->id](jetstream::EntryBuilder& b) { b.meta_remove_node(id); },
      [this, r, name = node->name, id = node->id](const MetaOutcome& o) {
        if (!o.ok()) return fail(r, kType, o.error);
        reply(r, api::encode_success(kType));
        if (o.change != jetstream::MetaChange::kNodeChanged) return;
        js_.context().advisories.server_removed({name, peer_text(id), {}, js_.context().cluster_name});
      });
}

void ApiServer::stream_remove_peer(ApiRequest& r) {
  constexpr auto kType = ReplyType::kStreamRemovePeer;
  if (!js_.context().cluster) return fail(r, kType, ErrCode::kClusterRequired);
  auto decoded = api::decode_peer_remove(r.body, strictness());
  if (auto* e = std::get_if<api::ApiError>(&decoded)) return fail(r, kType, *e);
  const auto& q = std::get<api::PeerRemoveRequest>(decoded);
  const MetaStream* s = js_.meta().state().find(r.account->name, r.tokens[3]);
  if (!s) return fail(r, kType, ErrCode::kStreamNotFound);
  const auto* node = find_peer(js_.meta().state(), q.peer);
  if (!node || s->replica_on(node->id).v == 0) return fail(r, kType, ErrCode::kClusterPeerNotMember);
  js_.remove_peer(*s, node->id, [this, r](const MetaOutcome& o) {
    if (!o.ok()) return fail(r, kType, o.error);
    reply(r, api::encode_success(kType));
  });
}

}  // namespace weir::server
