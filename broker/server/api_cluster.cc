// The JetStream API over several nodes: a request is answered by who can, and goes there by itself.
//
// A request for a stream goes to the stream's leader, one that changes streams to the leader of the meta
// group. While there is none it waits here: a fail-over shows as a slower answer, not as an error.
#include <algorithm>

#include "broker/api/pub_ack.h"
#include "broker/base/text.h"
#include "broker/base/varint.h"
#include "broker/proto/headers.h"
#include "broker/server/api_server.h"
#include "broker/server/cluster_side.h"
#include "broker/server/stream_host.h"

namespace weir::server {

using api::ErrCode;
using api::ReplyType;
using jetstream::MetaStream;

namespace {
constexpr Nanos kHoldFor = 3 * kSecond;  // longer than a fail-over, shorter than clients wait
constexpr Nanos kRetry = 20 * kMillisecond;
constexpr std::size_t kHeldMax = 10'000;
constexpr Nanos kInfoTimeout = 2 * kSecond;
}  // namespace

bool ApiServer::send_on(NodeId to, const ApiRequest& r) {
  std::string both = r.headers + r.body;
  Forwarded f{r.internal ? ForwardKind::kInternal : ForwardKind::kApi,
              r.hops,
              GroupId(),
              r.account->name,
              r.subject,
              r.reply,
              r.headers.size(),
              both};
  return js_.context().cluster->forward(to, f, nullptr);
}

void ApiServer::forwarded(Account& account, const Forwarded& f) {
  session::Inbound m{f.subject, f.reply, f.body, f.header_size, nullptr, nullptr};
  if (f.kind == ForwardKind::kAck) return on_ack(account, m, f.hops);
  ApiRequest r;
  r.account = &account;
  r.subject = f.subject;
  r.reply = f.reply;
  r.headers = m.headers();
  r.body = m.payload();
  r.hops = f.hops;
  r.internal = f.kind == ForwardKind::kInternal;
  if (queue_.size() < limits::kApiRequestsQueued) queue_.push_back(std::move(r));
  env_.loop.post([] {});
}

bool ApiServer::pass_ack(Account& account, std::string_view stream, const session::Inbound& m,
                         std::uint8_t hops) {
  ClusterSide* cluster = js_.context().cluster;
  if (!cluster) return false;
  const MetaStream* s = js_.meta().state().find(account.name, stream);
  NodeId leader = s ? cluster->leader_of(s->group) : NodeId();
  if (leader.v == 0 || leader == js_.self()) return false;
  // An ack that is lost is an ack that comes too late: the message is delivered again.
  return cluster->forward(
      leader, {ForwardKind::kAck, hops, s->group, account.name, m.subject, m.reply, m.header_size, m.body},
      m.shared);
}

// A direct get or a pull is answered with messages: it is refused as one that nobody serves.
void ApiServer::refuse(const ApiRequest& r, const Route& route) {
  bool messages = route.scope == Scope::kReplica || route.handler == &ApiServer::next;
  if (!messages) return fail(r, route.type, ErrCode::kClusterNotAvail);
  std::string block = proto::HeaderBuilder(503).take();
  if (!r.reply.empty()) router_.send(*r.account, r.reply, {}, block, block.size());
}

// What this node knows is of the time when it was a member.
void ApiServer::ask_a_member(const ApiRequest& r, const Route& route) {
  std::vector<cluster::NodeInfo> peers = js_.context().cluster->mesh().peers();
  std::erase_if(peers, [](const auto& p) { return !p.jetstream || p.lame_duck || p.cluster_id.empty(); });
  bool sent = !peers.empty() && r.hops < kForwardsMax && send_on(peers[asked_++ % peers.size()].id, r);
  if (!sent) refuse(r, route);
}

bool ApiServer::pass_on(ApiRequest& r, const Route& route) {
  ClusterSide* cluster = js_.context().cluster;
  if (route.scope == Scope::kHere) return false;
  if (!cluster) return wait_for_start(r, route);
  NodeId to = js_.meta_leader();
  bool here = js_.meta().leading();
  if (route.scope == Scope::kStream || route.scope == Scope::kReplica) {
    const MetaStream* s = js_.meta().state().find(r.account->name, r.tokens[route.stream]);
    StreamHost* host = s ? js_.find(s->group) : nullptr;
    if (s) {
      here = host && host->group().leading();
      bool replica = route.scope == Scope::kReplica && host && host->may_read();
      if (here || replica || (host && host->group().why_stopped() && host->group().alone())) return false;
      to = cluster->leader_of(s->group);
    } else if (here) {
      return false;  // nobody knows better: it does not exist
    }
  }
  if (here) return false;
  bool reached = to.v != 0 && to != js_.self() && cluster->connected(to);
  if (route.scope == Scope::kMetaOrHere && !reached && js_.refusal().empty()) return false;
  if (reached) {
    if (r.hops >= kForwardsMax || !send_on(to, r)) refuse(r, route);
    return true;
  }
  if (!js_.refusal().empty()) return ask_a_member(r, route), true;
  if (r.since.ns == 0) r.since = env_.clock.now();
  if (env_.clock.now() - r.since > kHoldFor || held_.size() >= kHeldMax) {
    refuse(r, route);
  } else {
    hold(std::move(r));
  }
  return true;
}

// A group of one leads a moment after the start; its consumers are there from then on.
bool ApiServer::wait_for_start(ApiRequest& r, const Route& route) {
  if (route.scope != Scope::kStream && route.scope != Scope::kMeta) return false;
  StreamHost* host = route.scope == Scope::kStream ? js_.find(*r.account, r.tokens[route.stream]) : nullptr;
  const replica::Group* group = host ? &host->group() : nullptr;
  // What the meta group's log still holds may change what exists.
  if (route.scope == Scope::kMeta) group = &js_.meta().group();
  if (!group || group->leading() || group->why_stopped()) return false;
  if (r.since.ns != 0 && env_.clock.now() - r.since > kHoldFor) return false;
  hold(std::move(r));
  return true;
}

void ApiServer::hold(ApiRequest r) {
  if (r.since.ns == 0) r.since = env_.clock.now();
  held_.push_back(std::move(r));
  if (retry_timer_ == 0) {
    retry_timer_ = env_.loop.at(env_.clock.now() + kRetry, [this] {
      retry_timer_ = 0;
      retry_ = true;
    });
  }
}

void ApiServer::place_later(const ApiRequest& r, ReplyType type, const api::ApiError& error) {
  bool waited = r.since.ns != 0 && env_.clock.now() - r.since > kHoldFor;
  if (error.err_code != ErrCode::kClusterNoPeers || waited || held_.size() >= kHeldMax || !js_.forming())
    return fail(r, type, error);
  hold(r);
}

void ApiServer::retry_held() {
  for (ApiRequest& r : std::exchange(held_, {})) handle(r);
}

// ---- changes of streams ----------------------------------------------------------------------

void ApiServer::answer_when_applied(const ApiRequest& r, const MetaStream& stream, std::string_view verb) {
  ApiRequest second = r;
  second.internal = true;
  second.since = Mono();
  second.hops = 0;
  second.subject = stream.config.name;
  second.headers.clear();
  second.body =
      std::string(verb) + " " + std::to_string(stream.group.v) + " " + std::to_string(stream.revision);
  handle(second);
}

// "created|existing|updated|cancelled <group> <revision>" for the stream in `subject`.
void ApiServer::stream_applied(ApiRequest& r) {
  std::vector<std::string> words;
  for (std::size_t at = 0; at <= r.body.size();) {
    std::size_t end = std::min(r.body.find(' ', at), r.body.size());
    words.push_back(r.body.substr(at, end - at));
    at = end + 1;
  }
  bool update = words[0] == "updated", cancel = words[0] == "cancelled";
  ReplyType type = update   ? ReplyType::kStreamUpdate
                   : cancel ? ReplyType::kStreamCancelMove
                            : ReplyType::kStreamCreate;
  auto group = words.size() == 3 ? parse_u64(words[1]) : std::nullopt;
  auto revision = words.size() == 3 ? parse_u64(words[2]) : std::nullopt;
  if (!group || !revision) return;
  GroupId id(static_cast<std::uint32_t>(*group));
  StreamHost* host = js_.find(id);
  if (host && host->group().why_stopped() && !host->group().needs_new_id()) {
    // The meta group has the change, and the stream takes it when it runs again: not said to have failed.
    api::ApiError later = api::make_error(ErrCode::kStreamOfflineReason, host->offline_reason());
    later.http_code = 503;
    return fail(r, type, later);
  }
  if (host && host->group().leading() && host->machine().config_revision() >= *revision) {
    if (update || cancel) return reply(r, api::encode_stream_update(shown(*host), type));
    return reply(r, api::encode_stream_create(shown(*host), words[0] == "created"));
  }
  if (auto why = js_.offline_reason(r.account->name, r.subject)) {
    return fail(r, type, api::make_error(ErrCode::kStreamGeneral, *why));
  }
  // Deleted meanwhile, by the log that this node had not applied yet when it looked.
  if (js_.meta().leading() && !js_.meta().state().find(id)) {
    // Begun anew meanwhile, perhaps with this change: whoever asks again hears.
    bool anew = js_.meta().state().find(r.account->name, r.subject) != nullptr;
    return fail(r, type, anew ? ErrCode::kClusterNotAvail : ErrCode::kStreamNotFound);
  }
  ClusterSide* cluster = js_.context().cluster;
  NodeId leader = cluster ? cluster->leader_of(id) : NodeId();
  if (leader.v != 0 && leader != js_.self() && r.hops < kForwardsMax && send_on(leader, r)) return;
  if (r.since.ns != 0 && env_.clock.now() - r.since > kHoldFor)
    return fail(r, type, ErrCode::kClusterNotAvail);
  hold(std::move(r));
}

// ---- STREAM.LIST over nodes --------------------------------------------------------------------

namespace {
struct Gathering {
  ApiRequest request;
  api::StreamListParts parts;
  std::map<std::string, std::string> infos;  // by name
  std::size_t open = 0;
};
}  // namespace

void ApiServer::gather_list(const ApiRequest& r, const std::vector<std::string>& names, api::Paging paging) {
  ClusterSide& cluster = *js_.context().cluster;
  auto g = std::make_shared<Gathering>();
  g->request = r;
  g->parts.paging = paging;
  std::map<NodeId, std::vector<std::string>> from;
  for (const std::string& name : names) {
    const MetaStream* s = js_.meta().state().find(r.account->name, name);
    NodeId leader = s ? cluster.leader_of(s->group) : NodeId();
    StreamHost* host = s ? js_.find(s->group) : nullptr;
    if (host && (host->group().leading() || host->group().alone())) {
      g->infos[name] = api::encode_stream_info_object(shown(*host));
    } else if (leader.v != 0 && leader != js_.self()) {
      from[leader].push_back(name);
    }
  }
  auto finish = [this, g, names] {
    for (const std::string& name : names) {
      auto it = g->infos.find(name);
      if (it == g->infos.end()) {
        g->parts.missing.push_back(name);
      } else {
        g->parts.streams.push_back(std::move(it->second));
      }
    }
    reply(g->request, api::encode_stream_list(g->parts));
  };
  g->open = from.size();
  if (from.empty()) return finish();
  for (const auto& [node, asked] : from) {
    BytesBuilder q;
    q.append_string(r.account->name);
    q.append_varint(asked.size());
    for (const std::string& name : asked) q.append_string(name);
    Bytes body = q.freeze();
    cluster.mesh().ask(node, cluster::Method::kStreamInfo, std::move(body), kInfoTimeout,
                       [g, finish](Result<Bytes> answer) {
                         if (answer) {
                           Reader in(answer->span());
                           for (std::uint64_t n = in.varint(); n > 0 && in.ok(); --n) {
                             std::string name(in.string());
                             g->infos[name] = std::string(in.string());
                           }
                         }
                         if (--g->open == 0) finish();
                       });
  }
}

void ApiServer::serve_infos(const Bytes& body, cluster::Mesh::Reply answer) {
  Reader in(body.span());
  std::string account(in.string());
  BytesBuilder out;
  std::vector<std::pair<std::string, std::string>> found;
  for (std::uint64_t n = in.varint(); n > 0 && in.ok(); --n) {
    std::string name(in.string());
    const MetaStream* s = js_.meta().state().find(account, name);
    StreamHost* host = s ? js_.find(s->group) : nullptr;
    if (host && host->group().leading())
      found.emplace_back(name, api::encode_stream_info_object(shown(*host)));
  }
  out.append_varint(found.size());
  for (const auto& [name, info] : found) {
    out.append_string(name);
    out.append_string(info);
  }
  answer(out.freeze());
}

void ApiServer::join_cluster(cluster::Mesh& mesh) {
  mesh.handle(cluster::Method::kStreamInfo, [this](NodeId, const Bytes& body, cluster::Mesh::Reply answer) {
    serve_infos(body, std::move(answer));
  });
}

}  // namespace weir::server
