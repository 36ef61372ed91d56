#include "broker/server/api_server.h"

#include "broker/base/limits.h"
#include "broker/base/text.h"
#include "broker/jetstream/ack_message.h"
#include "broker/proto/ack_subject.h"
#include "broker/proto/headers.h"
#include "broker/server/consumer_host.h"
#include "broker/server/version.h"
#include "broker/subject/subject.h"

namespace weir::server {

using api::ErrCode;
using api::ReplyType;

namespace {
constexpr std::string_view kPrefix = "$JS.API.";
constexpr std::size_t kRequestsPerTurn = 256;

bool route_matches(std::string_view pattern, const std::vector<std::string_view>& tokens) {
  std::size_t i = 0;
  for (subject::Tokens t(pattern); t.next(); ++i) {
    if (t.token() == ">") return i < tokens.size();
    if (i >= tokens.size() || tokens[i].empty()) return false;
    if (t.token() != "*" && t.token() != tokens[i]) return false;
  }
  return i == tokens.size();
}
}  // namespace

/// Takes API requests of one account.
struct ApiServer::Gate final : session::Listener {
  Gate(ApiServer& s, Account& a) : server(s), account(a) {}
  void on_message(const session::Inbound& m) override { server.enqueue(account, m); }
  ApiServer& server;
  Account& account;
  std::vector<std::unique_ptr<session::Subscription>> subscriptions;
};

struct ApiServer::Acks final : session::Listener {
  Acks(ApiServer& s, Account& a) : server(s), account(a) {}
  void on_message(const session::Inbound& m) override { server.on_ack(account, m); }
  ApiServer& server;
  Account& account;
};

ApiServer::ApiServer(env::Env& env, const config::Options& options, Router& router, JetStream& js)
    : env_(env),
      options_(options),
      router_(router),
      js_(js),
      batches_(env, options, router, js),
      prng_(env.random.next()) {}

ApiServer::~ApiServer() {
  env_.loop.cancel(retry_timer_);
  for (auto& gate : gates_) {
    for (auto& sub : gate->subscriptions) router_.remove(gate->account, *sub);
  }
}

const std::vector<ApiServer::Route>& ApiServer::routes() {
  using S = ApiServer;
  static const std::vector<Route> kRoutes = {
      {"CONSUMER.MSG.NEXT.*.*", ReplyType::kSystem, &S::next, Scope::kStream,
       3},  // first: the one that is asked most
      {"INFO", ReplyType::kAccountInfo, &S::info},
      {"STREAM.CREATE.*", ReplyType::kStreamCreate, &S::stream_create, Scope::kMeta},
      {"STREAM.UPDATE.*", ReplyType::kStreamUpdate, &S::stream_update, Scope::kMeta},
      {"STREAM.NAMES", ReplyType::kStreamNames, &S::stream_names, Scope::kMetaOrHere},
      {"STREAM.LIST", ReplyType::kStreamList, &S::stream_list, Scope::kMetaOrHere},
      {"STREAM.INFO.*", ReplyType::kStreamInfo, &S::stream_info, Scope::kStream, 2},
      {"STREAM.DELETE.*", ReplyType::kStreamDelete, &S::stream_delete, Scope::kMeta},
      {"STREAM.PURGE.*", ReplyType::kStreamPurge, &S::stream_purge, Scope::kStream, 2},
      {"STREAM.MSG.GET.*", ReplyType::kStreamMsgGet, &S::msg_get, Scope::kStream, 3},
      {"STREAM.MSG.DELETE.*", ReplyType::kStreamMsgDelete, &S::msg_delete, Scope::kStream, 3},
      {"STREAM.SNAPSHOT.*", ReplyType::kStreamSnapshot, &S::stream_snapshot},
      {"STREAM.RESTORE.*", ReplyType::kStreamRestore, &S::stream_restore},
      {"STREAM.LEADER.STEPDOWN.*", ReplyType::kStreamLeaderStepDown, &S::stream_step_down, Scope::kStream, 3},
      {"STREAM.PEER.REMOVE.*", ReplyType::kStreamRemovePeer, &S::stream_remove_peer, Scope::kMeta},
      {"STREAM.PEER.EVACUATE.*", ReplyType::kStreamEvacuatePeer, &S::stream_remove_peer, Scope::kMeta},
      {"STREAM.CANCEL_MOVE.*", ReplyType::kStreamCancelMove, &S::stream_cancel_move, Scope::kMeta},
      {"CONSUMER.PEER.EVACUATE.*.*", ReplyType::kConsumerEvacuatePeer, &S::consumer_evacuate, Scope::kStream,
       3},
      {"META.LEADER.STEPDOWN", ReplyType::kMetaLeaderStepDown, &S::meta_step_down, Scope::kMeta, 0, true},
      {"SERVER.REMOVE", ReplyType::kMetaServerRemove, &S::server_remove, Scope::kMeta, 0, true},
      {"SERVER.EVACUATE", ReplyType::kMetaServerEvacuate, &S::server_evacuate, Scope::kMeta, 0, true},
      {"ACCOUNT.PURGE.*", ReplyType::kAccountPurge, &S::account_purge, Scope::kMeta, 0, true},
      {"ACCOUNT.STREAM.MOVE.*.*", ReplyType::kStreamUpdate, &S::account_stream_move, Scope::kMeta, 0, true},
      {"ACCOUNT.STREAM.CANCEL_MOVE.*.*", ReplyType::kStreamCancelMove, &S::account_cancel_move, Scope::kMeta,
       0, true},
      {"DIRECT.GET.*", ReplyType::kStreamMsgGet, &S::direct_get, Scope::kReplica, 2},
      {"DIRECT.GET.*.>", ReplyType::kStreamMsgGet, &S::direct_get_last, Scope::kReplica, 2},
      {"CONSUMER.CREATE.*", ReplyType::kConsumerCreate, &S::consumer_create, Scope::kStream, 2},
      {"CONSUMER.CREATE.*.>", ReplyType::kConsumerCreate, &S::consumer_create, Scope::kStream, 2},
      {"CONSUMER.DURABLE.CREATE.*.*", ReplyType::kConsumerCreate, &S::consumer_create, Scope::kStream, 3},
      {"CONSUMER.NAMES.*", ReplyType::kConsumerNames, &S::consumer_names, Scope::kStream, 2},
      {"CONSUMER.LIST.*", ReplyType::kConsumerList, &S::consumer_list, Scope::kStream, 2},
      {"CONSUMER.INFO.*.*", ReplyType::kConsumerInfo, &S::consumer_info, Scope::kStream, 2},
      {"CONSUMER.DELETE.*.*", ReplyType::kConsumerDelete, &S::consumer_delete, Scope::kStream, 2},
      {"CONSUMER.LEADER.STEPDOWN.*.*", ReplyType::kConsumerLeaderStepDown, &S::consumer_step_down,
       Scope::kStream, 3},
  };
  return kRoutes;
}

void ApiServer::attach(Account& account) {
  auto gate = std::make_unique<Gate>(*this, account);
  std::vector<std::string> subjects = {std::string(kPrefix) + ">"};
  const std::string& domain = options_.jetstream.domain;
  if (!domain.empty()) subjects.push_back("$JS." + domain + ".API.>");
  for (auto& s : subjects) {
    auto sub = std::make_unique<session::Subscription>();
    sub->subject = s;
    sub->listener = gate.get();
    sub->everywhere = true;
    router_.add(account, *sub);
    gate->subscriptions.push_back(std::move(sub));
  }
  gates_.push_back(std::move(gate));
}

session::Listener& ApiServer::acks(Account& account) {
  ack_listeners_.push_back(std::make_unique<Acks>(*this, account));
  return *ack_listeners_.back();
}

void ApiServer::enqueue(Account& account, const session::Inbound& m) {
  if (queue_.size() >= limits::kApiRequestsQueued) {
    // The oldest has waited longest and its client is likely gone.
    queue_.pop_front();
    if (dropped_++ % 1000 == 0) env_.log.warn("JetStream API queue is full, requests are dropped");
  }
  ApiRequest r;
  r.account = &account;
  std::size_t api = m.subject.find(".API.");
  r.subject = std::string(kPrefix) + std::string(m.subject.substr(api + 5));
  r.reply = m.reply;
  r.headers = m.headers();
  r.body = m.payload();
  queue_.push_back(std::move(r));
}

bool ApiServer::run() {
  if (std::exchange(retry_, false)) retry_held();
  for (std::size_t n = 0; n < kRequestsPerTurn && !queue_.empty(); ++n) {
    ApiRequest r = std::move(queue_.front());
    queue_.pop_front();
    handle(r);
  }
  bool more = batches_.run();
  return more || !queue_.empty();
}

std::string_view ApiRequest::rest(std::size_t token) const {
  if (token >= tokens.size()) return {};
  auto from = static_cast<std::size_t>(tokens[token].data() - subject.data());
  return std::string_view(subject).substr(from);
}

void ApiServer::handle(ApiRequest& r) {
  r.tokens.clear();
  if (r.internal) return stream_applied(r);
  for (subject::Tokens t(std::string_view(r.subject).substr(kPrefix.size())); t.next();)
    r.tokens.push_back(t.token());
  if (r.since.ns == 0 && r.hops == 0) {
    ++js_.api.total;
    ++r.account->api_total;
  }
  for (const Route& route : routes()) {
    if (!route_matches(route.pattern, r.tokens)) continue;
    if (route.admin && !r.account->is_system) break;
    if (!r.account->jetstream && !route.admin) return fail(r, route.type, ErrCode::kNotEnabledForAccount);
    auto level = proto::HeaderView(r.headers).find("Nats-Required-Api-Level");
    if (level && parse_u64(*level).value_or(0) > static_cast<std::uint64_t>(kApiLevel)) {
      return fail(r, route.type, ErrCode::kRequiredApiLevel);
    }
    if (pass_on(r, route)) return;
    return (this->*route.handler)(r);
  }
  fail(r, ReplyType::kSystem, r.account->jetstream ? ErrCode::kBadRequest : ErrCode::kNotEnabledForAccount);
}

void ApiServer::reply(const ApiRequest& r, std::string_view body) {
  if (!r.reply.empty()) router_.send(*r.account, r.reply, {}, body);
}

void ApiServer::fail(const ApiRequest& r, ReplyType type, const api::ApiError& error) {
  ++js_.api.errors;
  ++r.account->api_errors;
  reply(r, api::encode_error(type, error));
}

void ApiServer::fail(const ApiRequest& r, ReplyType type, ErrCode code) {
  fail(r, type, api::make_error(code));
}

void ApiServer::status(const ApiRequest& r, int code, std::string_view text) {
  if (r.reply.empty()) return;
  std::string block = proto::HeaderBuilder(code, text).take();
  router_.send(*r.account, r.reply, {}, block, block.size());
}

StreamHost* ApiServer::stream_or_fail(const ApiRequest& r, ReplyType type, std::size_t at) {
  StreamHost* s = js_.find(*r.account, r.tokens[at]);
  if (!s) {
    if (auto why = js_.offline_reason(r.account->name, r.tokens[at])) {
      fail(r, type, api::make_error(ErrCode::kStreamOfflineReason, *why));
      return nullptr;
    }
    fail(r, type, ErrCode::kStreamNotFound);
    return nullptr;
  }
  if (std::string why = s->offline_reason(); !why.empty()) {
    fail(r, type, api::make_error(ErrCode::kStreamOfflineReason, why));
    return nullptr;
  }
  return s;
}

ConsumerHost* ApiServer::consumer_or_fail(const ApiRequest& r, ReplyType type) {
  StreamHost* s = stream_or_fail(r, type, r.tokens.size() - 2);
  if (!s) return nullptr;
  ConsumerHost* c = s->consumer(r.tokens.back());
  if (!c) fail(r, type, ErrCode::kConsumerNotFound);
  return c;
}

api::Strictness ApiServer::strictness() const {
  return options_.jetstream.strict ? api::Strictness::kStrict : api::Strictness::kLenient;
}

std::string ApiServer::random_name() {
  return make_nuid(prng_).substr(0, 8);
}

void ApiServer::on_ack(Account& account, const session::Inbound& m, std::uint8_t hops) {
  auto subject = proto::parse_ack_subject(m.subject);
  StreamHost* stream = subject ? js_.find(account, subject->stream) : nullptr;
  if (subject && (!stream || !stream->group().leading()) && pass_ack(account, subject->stream, m, hops))
    return;
  ConsumerHost* consumer =
      stream && stream->group().leading() ? stream->consumer(subject->consumer) : nullptr;
  if (!consumer) {  // who asks for a confirmation hears that nobody is there
    if (!m.reply.empty()) js_.context().unserved.emplace_back(&account, m.reply);
    return;
  }
  auto body = api::decode_ack_body(m.payload());
  if (!body) return;
  jetstream::AckMessage ack;
  ack.kind = body->kind;
  ack.sseq = subject->stream_seq;
  ack.cseq = subject->consumer_seq;
  ack.deliveries = subject->deliveries;
  ack.delay = body->delay;
  ack.reason = body->reason;
  if (!m.reply.empty()) ack.reply = Bytes::copy_of(m.reply);
  if (body->kind != api::AckKind::kNext) return consumer->ack(ack, nullptr);
  auto request = api::decode_next(body->request);
  if (!request) return consumer->ack(ack, nullptr);
  jetstream::PullRequest pull;
  pull.reply = ack.reply;
  pull.batch = static_cast<std::uint64_t>(std::max<std::int64_t>(request->batch, 1));
  pull.expires = request->expires;
  pull.max_bytes = static_cast<std::uint64_t>(std::max<std::int64_t>(request->max_bytes, 0));
  pull.no_wait = request->no_wait;
  pull.heartbeat = request->idle_heartbeat;
  consumer->ack(ack, &pull);
}

}  // namespace weir::server
