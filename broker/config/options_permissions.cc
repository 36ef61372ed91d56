// Permissions: publish and subscribe subjects, and the right to answer.
#include "broker/base/text.h"
#include "broker/config/options_builder.h"
#include "broker/subject/subject.h"

namespace weir::config {
namespace {

/// "subject" or "subject queue" (the queue may have wildcards too).
bool is_queue_filter(std::string_view entry) {
  auto blank = entry.find_first_of(" \t");
  if (blank == std::string_view::npos) return subject::is_valid_pattern(entry);
  auto queue = entry.find_first_not_of(" \t", blank);
  if (queue == std::string_view::npos) return false;
  return subject::is_valid_pattern(entry.substr(0, blank)) && subject::is_valid_pattern(entry.substr(queue));
}

using Filter = bool (*)(std::string_view);

bool subjects(Builder& b, const Member& m, Filter valid, std::vector<std::string>& out) {
  if (!b.text_list(m, out)) return false;
  for (std::size_t i = 0; i < out.size(); ++i) {
    if (valid(out[i])) continue;
    const Position& at = m.value.is(Value::Kind::kArray) ? m.value.items[i].at : m.value.at;
    b.error(at, "subject \"" + out[i] + "\" is not a valid subject");
    return false;
  }
  return true;
}

void lists(Builder& b, const Member& m, Filter valid, SubjectLists& out) {
  if (!m.value.is(Value::Kind::kMap)) {
    std::vector<std::string> allow;
    if (subjects(b, m, valid, allow)) out.allow = std::move(allow);
    return;
  }
  for (const Member& side : m.value.members) {
    std::string key = to_lower(side.key);
    if (key == "allow") {
      std::vector<std::string> allow;
      if (subjects(b, side, valid, allow)) out.allow = std::move(allow);
    } else if (key == "deny") {
      subjects(b, side, valid, out.deny);
    } else if (!side.used_as_variable) {
      b.error(side.at, "unknown field \"" + side.key + "\" in permissions, only allow and deny can be used");
    }
  }
}

void responses_max(Builder& b, const Member& m, AllowResponses& out) {
  std::int64_t max = 0;
  if (b.integer(m, max, -kInt32Max, kInt32Max) && max != 0) out.max = static_cast<int>(max);
}

void responses_expires(Builder& b, const Member& m, AllowResponses& out) {
  if (!b.want(m, Value::Kind::kString)) return;
  auto parsed = parse_duration(m.value.text);
  if (!parsed) {
    b.error(m.value.at, "error parsing expires: invalid duration \"" + m.value.text + "\"");
  } else if (*parsed != 0) {
    out.expires = *parsed;
  }
}

constexpr Key<AllowResponses> kResponseKeys[] = {
    {"max|max_msgs|max_messages|max_responses", responses_max},
    {"expires|expiration|ttl", responses_expires},
};

void publish(Builder& b, const Member& m, PermissionsConfig& p) {
  lists(b, m, subject::is_valid_pattern, p.publish);
}
void subscribe(Builder& b, const Member& m, PermissionsConfig& p) {
  lists(b, m, is_queue_filter, p.subscribe);
}

void responses(Builder& b, const Member& m, PermissionsConfig& p) {
  if (m.value.is(Value::Kind::kBool)) {
    if (m.value.boolean) p.allow_responses = AllowResponses{};
    return;
  }
  if (!m.value.is(Value::Kind::kMap)) {
    b.wrong_type(m, "a boolean or a map");
    return;
  }
  AllowResponses allow;
  b.block<AllowResponses>(m, kResponseKeys, allow);
  p.allow_responses = allow;
}

constexpr Key<PermissionsConfig> kPermissionKeys[] = {
    {"publish|pub|import", publish},
    {"subscribe|sub|export", subscribe},
    {"allow_responses|publish_allow_responses", responses},
};

}  // namespace

bool read_permissions(Builder& b, const Member& m, std::optional<PermissionsConfig>& out) {
  if (!b.want(m, Value::Kind::kMap)) return false;
  PermissionsConfig p;
  b.enter_list();
  b.block<PermissionsConfig>(m, kPermissionKeys, p);
  b.leave_list();
  // Who may answer and has no list of its own may publish answers only.
  if (p.allow_responses && !p.publish.allow) p.publish.allow.emplace();
  out = std::move(p);
  return true;
}

}  // namespace weir::config
