// Verbs of the cluster: who leads, and which nodes hold what. Those of the meta group are for the system
// account only.
#include <algorithm>

#include "broker/base/text.h"
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
bool fits(const jetstream::MetaNode* node, const api::Placement& wanted) {
  if (!node || (!wanted.cluster.empty() && node->cluster != wanted.cluster)) return false;
  return std::all_of(wanted.tags.begin(), wanted.tags.end(), [&](const std::string& tag) {
    return std::any_of(node->tags.begin(), node->tags.end(),
                       [&](const std::string& has) { return to_lower(has) == to_lower(tag); });
  });
}

/// The member that takes over: of those that fit, the one that has most of the log. 0: nobody.
NodeId heir(const replica::Group& group, const jetstream::MetaState& state, const api::Placement& wanted) {
  NodeId best;
  RaftIndex match;
  for (const auto& peer : group.core()->peers()) {
    if (!peer.voter || !peer.active) continue;
    const auto* node = state.find_node(node_of(peer.id));
    bool any = wanted.cluster.empty() && wanted.tags.empty();
    if (!any && !fits(node, wanted)) continue;
    if (!wanted.preferred.empty() && (!node || node->name != wanted.preferred)) continue;
    if (best.v == 0 || peer.match > match) {
      best = peer.id;
      match = peer.match;
    }
  }
  return best;
}

api::ApiError no_peer(std::string_view why) {
  return api::make_error(ErrCode::kClusterNoPeers, why);
}
}  // namespace

void ApiServer::step_down(ApiRequest& r, ReplyType type, replica::Group& group) {
  api::StepDownRequest q;
  if (r.body.starts_with('{') || r.body.starts_with('[')) {  // any other body is none, as for nats-server
    auto decoded = api::decode_step_down(r.body, strictness());
    if (auto* e = std::get_if<api::ApiError>(&decoded)) return fail(r, type, *e);
    q = std::move(std::get<api::StepDownRequest>(decoded));
  }
  if (group.alone()) return reply(r, api::encode_success(type));  // it leads again at once
  const jetstream::MetaState& state = js_.meta().state();
  api::Placement wanted = q.placement.value_or(api::Placement());
  if (!wanted.preferred.empty()) {
    std::string quoted = "preferred server \"" + wanted.preferred + "\"";
    const auto* node = find_peer(state, wanted.preferred);
    if (!node) return fail(r, type, no_peer(quoted + " not known"));
    if (node->id == js_.self()) return fail(r, type, no_peer(quoted + " is already leader"));
    wanted.preferred = node->name;
  }
  NodeId to = heir(group, state, wanted);
  if (to.v == 0 || !group.transfer_leadership(to))
    return fail(r, type, no_peer("no replacement peer connected"));
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

// Removing and evacuating are one: the replica leaves when another one has taken its place.
void ApiServer::stream_remove_peer(ApiRequest& r) {
  const auto kType = r.tokens[2] == "REMOVE" ? ReplyType::kStreamRemovePeer : ReplyType::kStreamEvacuatePeer;
  if (!js_.context().cluster) return fail(r, kType, ErrCode::kClusterRequired);
  auto decoded = api::decode_peer_remove(r.body, strictness());
  if (auto* e = std::get_if<api::ApiError>(&decoded)) return fail(r, kType, *e);
  const auto& q = std::get<api::PeerRemoveRequest>(decoded);
  const MetaStream* s = js_.meta().state().find(r.account->name, r.tokens[3]);
  if (!s) return fail(r, kType, ErrCode::kStreamNotFound);
  const auto* node = find_peer(js_.meta().state(), q.peer);
  if (!node || s->replica_on(node->id).v == 0) return fail(r, kType, ErrCode::kClusterPeerNotMember);
  js_.remove_peer(*s, node->id, [this, r, kType](const MetaOutcome& o) {
    if (!o.ok()) return fail(r, kType, o.error);
    reply(r, api::encode_success(kType));
  });
}

// A consumer is where its stream is (ADR 1).
void ApiServer::consumer_evacuate(ApiRequest& r) {
  constexpr auto kType = ReplyType::kConsumerEvacuatePeer;
  if (!js_.context().cluster) return fail(r, kType, ErrCode::kClusterRequired);
  StreamHost* stream = stream_or_fail(r, kType, 3);
  if (!stream) return;
  bool known = stream->consumer(r.tokens[4]) != nullptr;
  fail(r, kType, known ? ErrCode::kPeerRemap : ErrCode::kConsumerNotFound);
}

}  // namespace weir::server
