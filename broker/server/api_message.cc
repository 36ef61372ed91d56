// Reading and deleting single messages: MSG.GET, MSG.DELETE, DIRECT.GET.
#include "broker/base/text.h"
#include "broker/proto/headers.h"
#include "broker/server/api_server.h"
#include "broker/subject/subject.h"

namespace weir::server {

using api::ApiError;
using api::ErrCode;
using api::ReplyType;
using store::Message;

namespace {
constexpr StreamSeq kLastSeq{~std::uint64_t{0}};
constexpr std::size_t kMultiLastMax = 1024;
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

void ApiServer::send_direct(const ApiRequest& r, StreamHost& s, const Message& m, std::string_view extra,
                            bool no_hdr) {
  proto::HeaderBuilder h;
  h.add("Nats-Stream", s.name());
  h.add("Nats-Subject", m.subject());
  h.add("Nats-Sequence", m.seq.v);
  h.add("Nats-Time-Stamp", format_time(m.time));
  if (!extra.empty()) h.add_all(proto::HeaderView(extra));
  if (!no_hdr) h.add_all(proto::HeaderView(m.headers()));
  std::string body = h.take();
  std::size_t header_size = body.size();
  body += m.payload();
  router_.send(*r.account, r.reply, {}, body, header_size);
}

void ApiServer::direct_get(ApiRequest& r) {
  StreamHost* host = js_.find(*r.account, r.tokens[2]);
  if (!host || !host->machine().config().allow_direct || !host->offline_reason().empty())
    return status(r, 503, "");
  auto decoded = api::decode_direct_get(r.body);
  if (decoded.status.code) return status(r, decoded.status.code, decoded.status.text);
  const auto& q = decoded.request;
  if (q.is_multi()) return direct_get_multi(r, *host, q);
  if (q.is_batch()) return direct_get_batch(r, *host, q);
  auto found = find_message(*host, q);
  if (!found) return status(r, 500, found.error().detail);
  if (!*found) return status(r, 404, "Message Not Found");
  send_direct(r, *host, **found, {}, q.no_hdr);
}

void ApiServer::direct_get_last(ApiRequest& r) {
  StreamHost* host = js_.find(*r.account, r.tokens[2]);
  if (!host || !host->machine().config().allow_direct || !host->offline_reason().empty())
    return status(r, 503, "");
  auto found = host->store().last({std::string(r.rest(3))}, kLastSeq);
  if (!found) return status(r, 500, found.error().detail);
  if (!*found) return status(r, 404, "Message Not Found");
  send_direct(r, *host, **found, {}, false);
}

void ApiServer::direct_get_batch(const ApiRequest& r, StreamHost& s, const api::MsgGetRequest& q) {
  store::Filter filter;
  if (!q.next_by_subj.empty()) filter.push_back(q.next_by_subj);
  StreamSeq from = q.seq;
  if (q.start_time) from = s.store().seq_at(*q.start_time).value_or(from);
  auto left = s.store().count(filter, from);
  if (!left) return status(r, 500, left.error().detail);
  if (*left == 0) return status(r, 404, "Message Not Found");
  std::uint64_t pending = *left, last = 0;
  std::int64_t bytes = 0;
  for (std::int64_t n = 0; n < q.batch && pending > 0; ++n) {
    auto found = s.store().next(filter, from);
    if (!found) return status(r, 500, found.error().detail);  // no end: there is more
    if (!*found) break;
    const Message& m = **found;
    bytes += static_cast<std::int64_t>(m.record.size());
    if (n > 0 && q.max_bytes > 0 && bytes > q.max_bytes) break;
    --pending;
    proto::HeaderBuilder h;
    h.add("Nats-Num-Pending", pending);
    h.add("Nats-Last-Sequence", last);
    send_direct(r, s, m, h.take(), q.no_hdr);
    last = m.seq.v;
    from = m.seq + 1;
  }
  proto::HeaderBuilder eob(204, "EOB");
  eob.add("Nats-Num-Pending", pending);
  eob.add("Nats-Last-Sequence", last);
  std::string block = eob.take();
  router_.send(*r.account, r.reply, {}, block, block.size());
}

void ApiServer::direct_get_multi(const ApiRequest& r, StreamHost& s, const api::MsgGetRequest& q) {
  StreamSeq upto = q.up_to_seq.v ? q.up_to_seq : s.store().state().last_seq;
  if (q.up_to_time) {
    auto at = s.store().seq_at(*q.up_to_time);
    if (!at) return status(r, 500, at.error().detail);
    upto = at->v > 0 ? *at - 1 : *at;
  }
  std::vector<std::string> subjects;
  s.store().for_each_subject(q.multi_last, [&](std::string_view subject, const store::SubjectState&) {
    subjects.emplace_back(subject);
    return subjects.size() <= kMultiLastMax;
  });
  if (subjects.size() > kMultiLastMax) return status(r, 413, "Too Many Results");
  std::map<StreamSeq, Message> found;
  for (const auto& subject : subjects) {
    auto m = s.store().last({subject}, upto);
    if (!m) return status(r, 500, m.error().detail);
    if (*m) found.emplace((**m).seq, std::move(**m));
  }
  if (found.empty()) return status(r, 404, "No Results");
  std::uint64_t pending = found.size(), last = 0;
  auto budget = q.batch > 0 ? static_cast<std::uint64_t>(q.batch) : pending;
  for (const auto& [seq, m] : found) {
    if (budget-- == 0) break;
    --pending;
    proto::HeaderBuilder h;
    h.add("Nats-Num-Pending", pending);
    h.add("Nats-Last-Sequence", last);
    send_direct(r, s, m, h.take(), q.no_hdr);
    last = seq.v;
  }
  proto::HeaderBuilder eob(204, "EOB");
  eob.add("Nats-Num-Pending", pending);
  eob.add("Nats-Last-Sequence", last);
  eob.add("Nats-UpTo-Sequence", upto.v);
  std::string block = eob.take();
  router_.send(*r.account, r.reply, {}, block, block.size());
}

}  // namespace weir::server
