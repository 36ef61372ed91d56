// Verbs that move what exists: streams between nodes and back, everything off a node, an account's streams
// out of the way. All but STREAM.CANCEL_MOVE are for the system account. Answers were compared with
// nats-server 2.15.1.
#include <memory>
#include <optional>

#include "broker/server/api_server.h"
#include "broker/server/cluster_side.h"
#include "broker/server/group_view.h"

namespace weir::server {

using api::ErrCode;
using api::ReplyType;
using jetstream::MetaOutcome;
using jetstream::MetaStream;

namespace {
/// Of an account: what was proposed is answered when all of it is decided.
struct Purge {
  ApiRequest request;
  std::size_t left;
  std::optional<api::ApiError> error;  // the first one
};
}  // namespace

void ApiServer::stream_cancel_move(ApiRequest& r) {
  cancel_move(r, r.account->name, r.tokens[2]);
}

void ApiServer::account_cancel_move(ApiRequest& r) {
  const Account* account = js_.find_account(r.tokens[3]);
  if (!account) return fail(r, ReplyType::kStreamCancelMove, ErrCode::kNoAccount);
  cancel_move(r, account->name, r.tokens[4]);
}

void ApiServer::cancel_move(const ApiRequest& r, const std::string& account, std::string_view name) {
  constexpr auto kType = ReplyType::kStreamCancelMove;
  if (!js_.context().cluster) return fail(r, kType, ErrCode::kClusterRequired);
  const MetaStream* s = js_.meta().state().find(account, name);
  if (!s) return fail(r, kType, ErrCode::kStreamNotFound);
  js_.cancel_move(*s, [this, r](const MetaOutcome& o) {
    if (!o.ok()) return fail(r, kType, o.error);
    answer_when_applied(r, o.stream, "cancelled");
  });
}

void ApiServer::account_stream_move(ApiRequest& r) {
  constexpr auto kType = ReplyType::kStreamUpdate;
  if (!js_.context().cluster) return fail(r, kType, ErrCode::kClusterRequired);
  auto decoded = api::decode_stream_move(r.body, strictness());
  if (auto* e = std::get_if<api::ApiError>(&decoded)) return fail(r, kType, *e);
  const auto& q = std::get<api::StreamMoveRequest>(decoded);
  const auto& state = js_.meta().state();
  const Account* account = js_.find_account(r.tokens[3]);
  if (!account) return fail(r, kType, ErrCode::kNoAccount);
  const MetaStream* s = state.find(account->name, r.tokens[4]);
  if (!s) return fail(r, kType, ErrCode::kStreamNotFound);
  JetStream::MoveWish wish;
  wish.tags = q.tags;
  if (!q.server.empty()) {
    const auto* node = state.find_node(q.server);
    bool there = node && !node->removed && (q.cluster.empty() || q.cluster == node->cluster) &&
                 (q.domain.empty() || q.domain == node->domain);
    if (!there) return fail(r, kType, ErrCode::kClusterServerNotMember);
    if (s->replica_on(node->id).v == 0) return fail(r, kType, ErrCode::kClusterPeerNotMember);
    wish.off = node->id;
  }
  js_.move_stream(*s, wish, [this, r](const MetaOutcome& o) {
    if (!o.ok()) return fail(r, kType, o.error);
    answer_when_applied(r, o.stream, "updated");
  });
}

// The node stays a member, as with nats-server: SERVER.REMOVE is the next step.
void ApiServer::server_evacuate(ApiRequest& r) {
  constexpr auto kType = ReplyType::kMetaServerEvacuate;
  if (!js_.context().cluster) return fail(r, kType, ErrCode::kClusterRequired);
  auto decoded = api::decode_server_remove(r.body, strictness());
  if (auto* e = std::get_if<api::ApiError>(&decoded)) return fail(r, kType, *e);
  const auto& q = std::get<api::ServerRemoveRequest>(decoded);
  const auto* node = find_peer(js_.meta().state(), q.peer_id.empty() ? q.peer : q.peer_id);
  if (!node || node->removed) return fail(r, kType, ErrCode::kClusterServerNotMember);
  js_.evacuate(node->id);
  reply(r, api::encode_success(kType));
}

void ApiServer::account_purge(ApiRequest& r) {
  constexpr auto kType = ReplyType::kAccountPurge;
  std::string account(r.tokens[2]);
  if (account.find_first_of("\\/") != std::string::npos) {
    return fail(r, kType,
                api::make_error(ErrCode::kStreamGeneral, "account name can not contain path separators"));
  }
  std::vector<std::string> names;
  js_.meta().state().for_each(account, [&](const MetaStream& s) {
    names.push_back(s.config.name);
    return true;
  });
  env_.log.info("account " + account + " is purged: " + std::to_string(names.size()) + " streams");
  if (names.empty()) return reply(r, api::encode_account_purge(true));
  auto purge = std::make_shared<Purge>(Purge{r, names.size(), std::nullopt});
  for (const std::string& name : names) {
    js_.meta().remove(account, name, [this, purge](const MetaOutcome& o) {
      bool gone = o.ok() || o.error.err_code == ErrCode::kStreamNotFound;
      if (!gone && !purge->error) purge->error = o.error;
      if (--purge->left > 0) return;
      if (purge->error) return fail(purge->request, kType, *purge->error);
      reply(purge->request, api::encode_account_purge(true));
    });
  }
}

}  // namespace weir::server
