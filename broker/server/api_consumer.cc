// Consumer verbs: CREATE in its three forms, INFO, LIST, DELETE, LEADER.STEPDOWN.
#include <algorithm>

#include "broker/api/api_level.h"
#include "broker/api/consumer_check.h"
#include "broker/api/unsupported.h"
#include "broker/server/api_server.h"
#include "broker/server/consumer_host.h"
#include "broker/server/version.h"

namespace weir::server {

using api::ApiError;
using api::ErrCode;
using api::ReplyType;

namespace {

api::ConsumerInfo shown_consumer(const ConsumerHost& c) {
  api::ConsumerInfo info = c.info();
  if (info.config) api::add_reply_metadata(info.config->metadata, kCompatVersion, kApiLevel);
  return info;
}

api::ConsumerCreateSubject subject_of(const ApiRequest& r) {
  api::ConsumerCreateSubject s;
  if (r.tokens[1] == "DURABLE") {
    s.form = api::ConsumerCreateForm::kDurable;
    s.stream = r.tokens[3];
    s.consumer = r.tokens[4];
    return s;
  }
  s.stream = r.tokens[2];
  if (r.tokens.size() == 3) return s;
  s.form = api::ConsumerCreateForm::kNamed;
  s.consumer = r.tokens[3];
  s.filter = r.rest(4);
  return s;
}

std::int64_t lower_limit(std::int64_t a, std::int64_t b) {
  if (a <= 0) return b;
  return b <= 0 ? a : std::min(a, b);
}

jetstream::ConsumerAction action_of(api::ConsumerAction a) {
  switch (a) {
    case api::ConsumerAction::kCreate: return jetstream::ConsumerAction::kCreate;
    case api::ConsumerAction::kUpdate: return jetstream::ConsumerAction::kUpdate;
    case api::ConsumerAction::kCreateOrUpdate: break;
  }
  return jetstream::ConsumerAction::kCreateOrUpdate;
}

}  // namespace

void ApiServer::consumer_create(ApiRequest& r) {
  constexpr auto kType = ReplyType::kConsumerCreate;
  auto decoded = api::decode_consumer_create(r.body, strictness());
  if (auto* e = std::get_if<ApiError>(&decoded)) return fail(r, kType, *e);
  auto request = std::get<api::ConsumerCreateRequest>(std::move(decoded));
  auto subject = subject_of(r);
  if (auto e = api::check_consumer_subject(subject, request)) return fail(r, kType, *e);
  StreamHost* host = stream_or_fail(r, kType, r.tokens[1] == "DURABLE" ? 3 : 2);
  if (!host) return;
  if (auto reason = api::unsupported_reason(request.config)) {
    return fail(r, kType, api::make_error(ErrCode::kConsumerCreate, *reason));
  }
  api::ConsumerRules rules;
  rules.pedantic = request.pedantic;
  rules.clustered = js_.context().cluster != nullptr;
  rules.max_ack_pending =
      lower_limit(options_.jetstream.limits.max_ack_pending, r.account->js_limits.max_ack_pending);
  rules.max_request_batch = options_.jetstream.limits.max_request_batch;
  auto checked = api::check_consumer_create(std::move(request.config), host->machine().config(), rules);
  if (auto* e = std::get_if<ApiError>(&checked)) return fail(r, kType, *e);
  auto config = std::get<api::ConsumerConfig>(std::move(checked));
  if (config.name.empty()) config.name = random_name();
  std::int64_t most = r.account->js_limits.max_consumers;
  bool exists = host->consumer(config.name) != nullptr;
  std::uint64_t used = js_.led_consumers(*r.account) + r.account->js_others_consumers;
  if (!exists && most >= 0 && used >= static_cast<std::uint64_t>(most)) {
    return fail(r, kType, ErrCode::kMaximumConsumersLimit);
  }
  api::set_stored_metadata(config);
  std::string json = api::encode_consumer_config_json(config);
  jetstream::ConsumerAction action = action_of(request.action);
  host->propose(
      [&](jetstream::EntryBuilder& b) {
        b.create_consumer({action, Wall{}, config.name, json});
      },
      [this, r, host, name = config.name](const jetstream::Outcome& o) {
        if (!o.ok()) return fail(r, kType, o.error);
        ConsumerHost* c = host->consumer(name);
        if (!c) return fail(r, kType, ErrCode::kConsumerOffline);
        reply(r, api::encode_consumer_create(shown_consumer(*c)));
      });
}

void ApiServer::consumer_info(ApiRequest& r) {
  constexpr auto kType = ReplyType::kConsumerInfo;
  if (!api::is_empty_request(r.body)) return fail(r, kType, ErrCode::kNotEmptyRequest);
  if (ConsumerHost* c = consumer_or_fail(r, kType)) reply(r, api::encode_consumer_info(shown_consumer(*c)));
}

void ApiServer::consumer_list(ApiRequest& r) {
  constexpr auto kType = ReplyType::kConsumerList;
  auto decoded = api::decode_consumers(r.body, strictness());
  if (auto* e = std::get_if<ApiError>(&decoded)) return fail(r, kType, *e);
  StreamHost* host = stream_or_fail(r, kType, 2);
  if (!host) return;
  api::ConsumerList list;
  auto total = static_cast<std::int64_t>(host->consumers().size());
  std::int64_t offset = std::clamp<std::int64_t>(std::get<api::ConsumersRequest>(decoded).offset, 0, total);
  list.paging = {total, offset, api::kListPage};
  std::int64_t at = 0;
  for (const auto& [name, c] : host->consumers()) {
    if (at >= offset && at < offset + api::kListPage) list.consumers.push_back(shown_consumer(*c));
    ++at;
  }
  reply(r, api::encode_consumer_list(list));
}

void ApiServer::consumer_delete(ApiRequest& r) {
  constexpr auto kType = ReplyType::kConsumerDelete;
  if (!api::is_empty_request(r.body)) return fail(r, kType, ErrCode::kNotEmptyRequest);
  StreamHost* host = stream_or_fail(r, kType, 2);
  if (!host) return;
  if (!host->consumer(r.tokens[3])) return fail(r, kType, ErrCode::kConsumerNotFound);
  host->propose([&](jetstream::EntryBuilder& b) { b.delete_consumer(r.tokens[3]); },
                [this, r](const jetstream::Outcome& o) {
                  if (!o.ok()) return fail(r, kType, o.error);
                  reply(r, api::encode_success(kType));
                });
}

// Consumers live in the stream's group: it is the stream's leadership that moves.
void ApiServer::consumer_step_down(ApiRequest& r) {
  constexpr auto kType = ReplyType::kConsumerLeaderStepDown;
  if (!consumer_or_fail(r, kType)) return;
  if (!js_.context().cluster) return fail(r, kType, ErrCode::kClusterRequired);
  step_down(r, kType, js_.find(*r.account, r.tokens[3])->group());
}

}  // namespace weir::server
