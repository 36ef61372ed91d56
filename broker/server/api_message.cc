// Reading and deleting single messages: MSG.GET, MSG.DELETE, DIRECT.GET.
#include "broker/server/api_server.h"
#include "broker/subject/subject.h"

namespace weir::server {

using api::ApiError;
using api::ErrCode;
using api::ReplyType;
using store::Message;

namespace {
constexpr StreamSeq kLastSeq{~std::uint64_t{0}};
}  // namespace

Result<std::optional<Message>> ApiServer::find_message(StreamHost& s, const api::MsgGetRequest& q) {
  store::MessageStore& st = s.store();
  if (!q.last_by_subj.empty()) return st.last({q.last_by_subj}, kLastSeq);
  StreamSeq from = q.seq;
  if (q.start_time) {
    ASSIGN_OR_RETURN(from, st.seq_at(*q.start_time));
  }
  if (!q.next_by_subj.empty()) return st.next({q.next_by_subj}, from);
  if (q.start_time) return st.next({}, from);
  return st.load(q.seq);
}

void ApiServer::msg_get(ApiRequest& r) {
  constexpr auto kType = ReplyType::kStreamMsgGet;
  auto decoded = api::decode_msg_get(r.body, strictness());
  if (auto* e = std::get_if<ApiError>(&decoded)) return fail(r, kType, *e);
  auto q = std::get<api::MsgGetRequest>(std::move(decoded));
  StreamHost* host = stream_or_fail(r, kType, 3);
  if (!host) return;
  // A read of the leader sees everything that was acknowledged before it was asked (P3).
  host->group().read_point([this, r, q, group = host->group_id()](bool current) {
    StreamHost* now = js_.find(group);
    if (!current || !now) return fail(r, kType, ErrCode::kClusterNotAvail);
    answer_msg_get(r, *now, q);
  });
}

void ApiServer::answer_msg_get(const ApiRequest& r, StreamHost& host, const api::MsgGetRequest& q) {
  constexpr auto kType = ReplyType::kStreamMsgGet;
  auto found = find_message(host, q);
  if (!found) return fail(r, kType, api::make_error(ErrCode::kStreamGeneral, found.error().detail));
  if (!*found) return fail(r, kType, ErrCode::kNoMessageFound);
  const Message& m = **found;
  std::string_view headers = q.no_hdr ? std::string_view() : m.headers();
  reply(r, api::encode_msg_get({m.subject(), m.seq, headers, m.payload(), m.time}));
}

void ApiServer::msg_delete(ApiRequest& r) {
  constexpr auto kType = ReplyType::kStreamMsgDelete;
  auto decoded = api::decode_msg_delete(r.body, strictness());
  if (auto* e = std::get_if<ApiError>(&decoded)) return fail(r, kType, *e);
  auto q = std::get<api::MsgDeleteRequest>(decoded);
  StreamHost* host = stream_or_fail(r, kType, 3);
  if (!host) return;
  host->propose(
      [&](jetstream::EntryBuilder& b) {
        b.delete_msg({q.seq, q.no_erase});
      },
      [this, r](const jetstream::Outcome& o) {
        if (!o.ok()) return fail(r, kType, o.error);
        reply(r, api::encode_success(kType));
      });
}

void ApiServer::send_direct(const ApiRequest& r, const StreamHost& s, const Message& m, bool no_hdr) {
  DirectMessage shown = direct_message(s, m, {}, no_hdr);
  router_.send(*r.account, r.reply, {}, shown.bytes, shown.header_size);
}

void ApiServer::direct_get(ApiRequest& r) {
  StreamHost* host = js_.find(*r.account, r.tokens[2]);
  if (!host || !host->machine().config().allow_direct || !host->offline_reason().empty())
    return status(r, 503, "");
  auto decoded = api::decode_direct_get(r.body);
  if (decoded.status.code) return status(r, decoded.status.code, decoded.status.text);
  const auto& q = decoded.request;
  if (q.is_multi() || q.is_batch()) return batches_.add(*r.account, r.reply, host->group_id(), q);
  auto found = find_message(*host, q);
  if (!found) return status(r, 500, found.error().detail);
  if (!*found) return status(r, 404, "Message Not Found");
  send_direct(r, *host, **found, q.no_hdr);
}

void ApiServer::direct_get_last(ApiRequest& r) {
  StreamHost* host = js_.find(*r.account, r.tokens[2]);
  if (!host || !host->machine().config().allow_direct || !host->offline_reason().empty())
    return status(r, 503, "");
  auto found = host->store().last({std::string(r.rest(3))}, kLastSeq);
  if (!found) return status(r, 500, found.error().detail);
  if (!*found) return status(r, 404, "Message Not Found");
  send_direct(r, *host, **found, false);
}

}  // namespace weir::server
