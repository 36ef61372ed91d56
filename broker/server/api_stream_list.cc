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

/// Streams of the account that have a subject in common with `subject` ("" = all), by name.
std::vector<StreamHost*> matching(const JetStream& js, const Account& account, const std::string& subject) {
  std::vector<StreamHost*> all = js.streams(account);
  if (subject.empty()) return all;
  std::erase_if(all, [&](StreamHost* s) {
    const auto& subjects = s->machine().config().subjects;
    return std::none_of(subjects.begin(), subjects.end(),
                        [&](const std::string& own) { return subject::overlaps(own, subject); });
  });
  return all;
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
  info.cluster = host->cluster_info();
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
  std::vector<std::string> names;
  for (StreamHost* s : matching(js_, *r.account, q.subject)) names.push_back(s->name());
  api::Paging paging;
  auto shown_names = page(names, q.offset, api::kNamesPage, paging);
  reply(r, api::encode_stream_names(shown_names, paging));
}

void ApiServer::stream_list(ApiRequest& r) {
  constexpr auto kType = ReplyType::kStreamList;
  auto decoded = api::decode_stream_names(r.body, strictness());
  if (auto* e = std::get_if<ApiError>(&decoded)) return fail(r, kType, *e);
  auto& q = std::get<api::StreamNamesRequest>(decoded);
  api::StreamList list;
  for (StreamHost* s : page(matching(js_, *r.account, q.subject), q.offset, api::kListPage, list.paging)) {
    if (std::string why = s->offline_reason(); !why.empty()) {
      list.offline[s->name()] = why;
    } else {
      list.streams.push_back(shown(*s));
    }
  }
  for (const auto& s : js_.offline_streams()) {
    if (s.account == r.account->name) list.offline[s.name] = s.why;
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
