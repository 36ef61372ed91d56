// Stream verbs that only look: INFO, NAMES, LIST.
#include <algorithm>

#include "broker/api/api_level.h"
#include "broker/server/api_server.h"
#include "broker/subject/subject.h"

namespace weir::server {

using api::ApiError;
using api::ErrCode;
using api::ReplyType;

namespace {

constexpr std::size_t kDeletedDetails = 1'000'000;

/// Names of the account's streams that have a subject in common with `subject` ("" = all), in order.
std::vector<std::string> matching(const JetStream& js, const Account& account, const std::string& subject) {
  std::vector<std::string> names;
  js.meta().state().for_each(account.name, [&](const jetstream::MetaStream& s) {
    bool fits = subject.empty() ||
                std::any_of(s.config.subjects.begin(), s.config.subjects.end(),
                            [&](const std::string& own) { return subject::overlaps(own, subject); });
    if (fits) names.push_back(s.config.name);
    return true;
  });
  return names;
}

/// The page [offset, offset + limit) of `all`.
template <class T>
std::vector<T> page(const std::vector<T>& all, std::int64_t offset, std::int64_t limit, api::Paging& paging) {
  auto total = static_cast<std::int64_t>(all.size());
  std::int64_t from = std::clamp<std::int64_t>(offset, 0, total);
  std::int64_t to = std::min(total, from + limit);
  paging = {total, from, limit};
  return {all.begin() + from, all.begin() + to};
}

}  // namespace

void ApiServer::stream_info(ApiRequest& r) {
  constexpr auto kType = ReplyType::kStreamInfo;
  auto decoded = api::decode_stream_info(r.body, strictness());
  if (auto* e = std::get_if<ApiError>(&decoded)) return fail(r, kType, *e);
  auto q = std::get<api::StreamInfoRequest>(std::move(decoded));
  StreamHost* host = stream_or_fail(r, kType, 2);
  if (!host) return;
  api::StreamInfo info = shown(*host);
  if (!info.cluster) info.cluster = host->cluster_info();
  if (q.deleted_details) {
    for (StreamSeq seq : host->store().deleted(kDeletedDetails)) info.state.deleted.push_back(seq.v);
  }
  if (q.subjects_filter.empty()) return reply(r, api::encode_stream_info(info));
  std::int64_t offset = std::max<std::int64_t>(q.offset, 0), seen = 0;
  host->store().for_each_subject({q.subjects_filter},
                                 [&](std::string_view subject, const store::SubjectState& st) {
                                   auto shown_now = static_cast<std::int64_t>(info.state.subjects.size());
                                   if (seen++ >= offset && shown_now < api::kSubjectDetails)
                                     info.state.subjects.emplace_back(subject, st.count);
                                   return true;
                                 });
  reply(r, api::encode_stream_info(info, api::Paging{seen, offset, api::kSubjectDetails}));
}

void ApiServer::stream_names(ApiRequest& r) {
  constexpr auto kType = ReplyType::kStreamNames;
  auto decoded = api::decode_stream_names(r.body, strictness());
  if (auto* e = std::get_if<ApiError>(&decoded)) return fail(r, kType, *e);
  auto& q = std::get<api::StreamNamesRequest>(decoded);
  std::vector<std::string> names = matching(js_, *r.account, q.subject);
  api::Paging paging;
  auto shown_names = page(names, q.offset, api::kNamesPage, paging);
  reply(r, api::encode_stream_names(shown_names, paging));
}

void ApiServer::stream_list(ApiRequest& r) {
  constexpr auto kType = ReplyType::kStreamList;
  auto decoded = api::decode_stream_names(r.body, strictness());
  if (auto* e = std::get_if<ApiError>(&decoded)) return fail(r, kType, *e);
  auto& q = std::get<api::StreamNamesRequest>(decoded);
  api::Paging paging;
  auto names = page(matching(js_, *r.account, q.subject), q.offset, api::kListPage, paging);
  if (js_.context().cluster) return gather_list(r, names, paging);
  api::StreamList list;
  list.paging = paging;
  for (const std::string& name : names) {
    StreamHost* s = js_.find(*r.account, name);
    std::string why = s ? s->offline_reason() : js_.offline_reason(r.account->name, name).value_or("");
    if (s && why.empty()) {
      list.streams.push_back(shown(*s));
    } else {
      list.offline[name] = why;
    }
  }
  reply(r, api::encode_stream_list(list));
}

void ApiServer::consumer_names(ApiRequest& r) {
  constexpr auto kType = ReplyType::kConsumerNames;
  auto decoded = api::decode_consumers(r.body, strictness());
  if (auto* e = std::get_if<ApiError>(&decoded)) return fail(r, kType, *e);
  StreamHost* host = stream_or_fail(r, kType, 2);
  if (!host) return;
  std::vector<std::string> names;
  for (const auto& [name, c] : host->machine().consumers()) names.push_back(name);
  api::Paging paging;
  auto shown_names = page(names, std::get<api::ConsumersRequest>(decoded).offset, api::kNamesPage, paging);
  reply(r, api::encode_consumer_names(shown_names, paging));
}

}  // namespace weir::server
