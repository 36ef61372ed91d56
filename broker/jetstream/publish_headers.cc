#include "broker/jetstream/publish_headers.h"

#include <array>
#include <utility>

namespace weir::jetstream {
namespace {

using Field = std::string_view PublishHeaders::*;
// Names without the common "Nats-".
constexpr std::array<std::pair<std::string_view, Field>, 12> kFields{{
    {"Msg-Id", &PublishHeaders::msg_id},
    {"Expected-Stream", &PublishHeaders::expected_stream},
    {"Expected-Last-Sequence", &PublishHeaders::expected_last_seq},
    {"Expected-Last-Msg-Id", &PublishHeaders::expected_last_msg_id},
    {"Expected-Last-Subject-Sequence", &PublishHeaders::expected_subject_seq},
    {"Expected-Last-Subject-Sequence-Subject", &PublishHeaders::expected_subject_seq_subj},
    {"Rollup", &PublishHeaders::rollup},
    {"TTL", &PublishHeaders::ttl},
    {"Incr", &PublishHeaders::incr},
    {"Batch-Id", &PublishHeaders::batch_id},
    {"Schedule", &PublishHeaders::schedule},
    {"Stream-Source", &PublishHeaders::stream_source},
}};
constexpr std::string_view kPrefix = "Nats-";

void take_line(std::string_view line, PublishHeaders& out) {
  if (!line.starts_with(kPrefix)) return;
  std::size_t colon = line.find(':');
  if (colon == std::string_view::npos) return;
  std::string_view name = line.substr(kPrefix.size(), colon - kPrefix.size());
  for (const auto& [known, field] : kFields) {
    if (name != known) continue;
    std::string_view value = line.substr(colon + 1);
    std::size_t start = value.find_first_not_of(' ');
    if (start != std::string_view::npos && (out.*field).empty()) out.*field = value.substr(start);
    return;
  }
}

}  // namespace

PublishHeaders parse_publish_headers(std::string_view block) {
  PublishHeaders out;
  std::size_t at = block.find("\r\n");
  while (at != std::string_view::npos) {
    at += 2;
    std::size_t end = block.find("\r\n", at);
    take_line(block.substr(at, end == std::string_view::npos ? end : end - at), out);
    at = end;
  }
  return out;
}

}  // namespace weir::jetstream
