#include "broker/api/stream_check.h"

#include <algorithm>
#include <set>

#include "broker/api/api_level.h"
#include "broker/api/unsupported.h"
#include "broker/base/text.h"
#include "broker/subject/pattern_lists.h"
#include "broker/subject/subject.h"
#include "broker/subject/transform.h"

namespace weir::api {
namespace {

using Failure = std::optional<ApiError>;

Failure bad(std::string_view text) {
  return make_error(ErrCode::kStreamInvalidConfig, text);
}

Failure pedantic(std::string_view text) {
  return make_error(ErrCode::kPedantic, text);
}

Failure check_identity(const StreamConfig& c) {
  if (!asset_name_valid(c.name)) {
    return bad("stream name is required and can not contain '.', '*', '>', '\\', '/'");
  }
  if (c.name.size() > kNameBytesMax) {
    return bad("stream name is too long, maximum allowed is " + std::to_string(kNameBytesMax));
  }
  if (c.description.size() > kDescriptionBytesMax) {
    return bad("stream description is too long, maximum allowed is " + std::to_string(kDescriptionBytesMax));
  }
  if (metadata_bytes(c.metadata) > kMetadataBytesMax) {
    return bad("stream metadata exceeds maximum size of " + std::to_string(kMetadataBytesMax) + " bytes");
  }
  return std::nullopt;
}

/// 0 and below -1 become -1, the one way to write "unlimited".
template <class T>
Failure default_limit(T& v, std::string_view name, const StreamRules& rules) {
  if (v < -1 && rules.pedantic) return pedantic(std::string(name) + " must be set to -1");
  if (v == 0 || v < -1) v = -1;
  return std::nullopt;
}

Failure default_limits(StreamConfig& c, const StreamRules& rules) {
  if (c.num_replicas == 0) c.num_replicas = 1;
  if (c.num_replicas > kReplicasMax) return bad("maximum replicas is " + std::to_string(kReplicasMax));
  if (c.num_replicas < 0) return make_error(ErrCode::kReplicasCountCannotBeNegative);
  if (auto e = default_limit(c.max_msgs, "max_msgs", rules)) return e;
  if (auto e = default_limit(c.max_msgs_per_subject, "max_msgs_per_subject", rules)) return e;
  if (auto e = default_limit(c.max_bytes, "max_bytes", rules)) return e;
  if (auto e = default_limit(c.max_msg_size, "max_msg_size", rules)) return e;
  if (auto e = default_limit(c.max_consumers, "max_consumers", rules)) return e;
  if (c.max_age < 0) return bad("max age can not be negative");
  if (c.max_age != 0 && c.max_age < 100 * kMillisecond) return bad("max age needs to be >= 100ms");
  return std::nullopt;
}

/// Two minutes, or less if the server or max_age says so. Streams that copy others have none.
Failure default_duplicate_window(StreamConfig& c, const StreamRules& rules) {
  if (c.duplicate_window != 0 || c.mirror || !c.sources.empty()) return std::nullopt;
  Nanos window = kDuplicateWindowDefault;
  if (rules.max_duplicate_window > 0 && window > rules.max_duplicate_window) {
    if (rules.pedantic) return pedantic("duplicate window limits are higher than current limits");
    window = rules.max_duplicate_window;
  }
  if (c.max_age != 0 && c.max_age < window) {
    if (rules.pedantic) return pedantic("duplicate window cannot be bigger than max age");
    window = c.max_age;
  }
  c.duplicate_window = window;
  return std::nullopt;
}

Failure check_duplicate_window(const StreamConfig& c, const StreamRules& rules) {
  const Nanos window = c.duplicate_window;
  if (window < 0) return bad("duplicates window can not be negative");
  if (c.max_age != 0 && window > c.max_age) return bad("duplicates window can not be larger then max age");
  if (rules.max_duplicate_window > 0 && window > rules.max_duplicate_window) {
    return bad("duplicates window can not be larger then server limit of " +
               format_duration(rules.max_duplicate_window));
  }
  if (window > 0 && window < 100 * kMillisecond) return bad("duplicates window needs to be >= 100ms");
  return std::nullopt;
}

Failure check_counter(const StreamConfig& c) {
  if (!c.allow_msg_counter) return std::nullopt;
  if (c.discard == Discard::kNew) return bad("counter stream cannot use discard new");
  if (c.allow_msg_ttl) return bad("counter stream cannot use message TTLs");
  if (c.allow_msg_schedules) return bad("counter stream cannot use message schedules");
  if (c.retention != Retention::kLimits) return bad("counter stream can only use limits retention");
  return std::nullopt;
}

Failure check_discard_new_per_subject(const StreamConfig& c) {
  if (!c.discard_new_per_subject) return std::nullopt;
  if (c.discard != Discard::kNew) {
    return bad("discard new per subject requires discard new policy to be set");
  }
  if (c.max_msgs_per_subject <= 0) {
    return bad("discard new per subject requires max msgs per subject > 0");
  }
  return std::nullopt;
}

/// Delete markers need per-message TTLs and roll-ups; they bring them along unless pedantic.
Failure check_delete_markers(StreamConfig& c, const StreamRules& rules) {
  const Nanos ttl = c.subject_delete_marker_ttl;
  if (ttl == 0) return std::nullopt;
  if (ttl < 0) return bad("subject delete marker TTL must not be negative");
  if (ttl < kSecond) return bad("subject delete marker TTL must be at least 1 second");
  if (!c.allow_msg_ttl && rules.pedantic) {
    return bad("subject delete marker cannot be set if message TTLs are disabled");
  }
  if (!c.allow_rollup_hdrs && rules.pedantic) {
    return bad("subject delete marker cannot be set if roll-ups are disabled");
  }
  c.allow_msg_ttl = true;
  if (!c.allow_rollup_hdrs) {
    c.allow_rollup_hdrs = true;
    c.deny_purge = false;
  }
  return std::nullopt;
}

Failure check_schedules(StreamConfig& c, const StreamRules& rules) {
  if (!c.allow_msg_schedules) return std::nullopt;
  if (c.discard == Discard::kNew) return bad("message scheduling cannot use discard new");
  if (!c.allow_rollup_hdrs) {
    if (rules.pedantic) return bad("message scheduling cannot be set if roll-ups are disabled");
    c.allow_rollup_hdrs = true;
    c.deny_purge = false;
  }
  return std::nullopt;
}

Failure check_persist_mode(const StreamConfig& c) {
  if (c.persist_mode != PersistMode::kAsync) return std::nullopt;
  if (c.storage != Storage::kFile) return bad("async persist mode is only supported on file storage");
  if (c.num_replicas > 1) return bad("async persist mode is not supported on replicated streams");
  if (c.allow_atomic) return bad("async persist mode is not supported with atomic batch publish");
  return std::nullopt;
}

/// What a mirror may not have, as far as its own configuration shows.
Failure check_mirror(const StreamConfig& c) {
  if (!c.mirror) return std::nullopt;
  const struct {
    bool broken;
    ErrCode code;
  } kRules[] = {
      {c.first_seq.v > 0, ErrCode::kMirrorWithFirstSeq},
      {!c.subjects.empty(), ErrCode::kMirrorWithSubjects},
      {!c.sources.empty(), ErrCode::kMirrorWithSources},
      {c.allow_msg_counter, ErrCode::kMirrorWithCounters},
      {c.allow_atomic, ErrCode::kMirrorWithAtomicPublish},
      {c.allow_batched, ErrCode::kMirrorWithBatchPublish},
      {c.allow_msg_schedules, ErrCode::kMirrorWithMsgSchedules},
      {!c.mirror->filter_subject.empty() && !c.mirror->subject_transforms.empty(),
       ErrCode::kMirrorMultipleFiltersNotAllowed},
      {!c.mirror->external && !asset_name_valid(c.mirror->name), ErrCode::kMirrorInvalidStreamName},
  };
  for (const auto& rule : kRules) {
    if (rule.broken) return make_error(rule.code);
  }
  if (c.subject_delete_marker_ttl > 0) return bad("subject delete markers forbidden on mirrors");
  return std::nullopt;
}

Failure check_sources(const StreamConfig& c) {
  if (c.sources.empty()) return std::nullopt;
  if (c.allow_msg_schedules) return make_error(ErrCode::kSourceWithMsgSchedules);
  for (const auto& s : c.sources) {
    if (!asset_name_valid(s.name)) return make_error(ErrCode::kSourceInvalidStreamName);
    if (std::count(c.sources.begin(), c.sources.end(), s) > 1) {
      return make_error(ErrCode::kSourceDuplicateDetected);
    }
    if (!s.filter_subject.empty() && !s.subject_transforms.empty()) {
      return make_error(ErrCode::kSourceMultipleFiltersNotAllowed);
    }
  }
  return std::nullopt;
}

/// Subjects of the server itself: capturing them makes loops, unless nothing is acknowledged.
Failure check_reserved(const StreamConfig& c, const std::string& wanted) {
  if (c.no_ack) return std::nullopt;
  for (std::string_view space : {"$JS.>", "$JSC.>", "$NRG.>"}) {
    if (subject::overlaps(wanted, space) && !subject::subset(wanted, "$JS.EVENT.>")) {
      return bad("subjects that overlap with jetstream api require no-ack to be true");
    }
  }
  if (subject::overlaps(wanted, "$SYS.>") && !subject::subset(wanted, "$SYS.ACCOUNT.>")) {
    return bad("subjects that overlap with system api require no-ack to be true");
  }
  return std::nullopt;
}

Failure check_subjects(StreamConfig& c) {
  if (c.subjects.empty() && !c.mirror && c.sources.empty()) c.subjects.push_back(c.name);
  if (subject::takes_long(c.subjects)) return bad("too many subjects with wildcards at different places");
  const auto clash = subject::first_overlap(c.subjects);
  for (std::size_t i = 0; i < c.subjects.size(); ++i) {
    const auto& wanted = c.subjects[i];
    if (!subject::is_valid_pattern(wanted)) return bad("invalid subject");
    if (wanted == ">") {
      if (!c.no_ack) return bad("capturing all subjects requires no-ack to be true");
      if (c.num_replicas != 1) return bad("capturing all subjects requires replicas of 1");
    }
    if (auto e = check_reserved(c, wanted)) return e;
    if (clash && clash->first == i) {
      return bad("subject \"" + wanted + "\" overlaps with \"" + c.subjects[clash->second] + "\"");
    }
  }
  return std::nullopt;
}

/// The destination with everything that is filled in later as a wildcard.
std::string pattern_of(std::string_view destination) {
  std::string out;
  while (!destination.empty()) {
    const std::size_t dot = std::min(destination.find('.'), destination.size());
    const std::string_view token = destination.substr(0, dot);
    const bool filled = token.starts_with('$') || token.starts_with("{{");
    if (!out.empty()) out += '.';
    out += filled ? "*" : token;
    destination.remove_prefix(std::min(dot + 1, destination.size()));
  }
  return out;
}

Failure check_republish(StreamConfig& c) {
  if (!c.republish) return std::nullopt;
  if (c.republish->src.empty()) c.republish->src = ">";
  const auto& [src, dest, headers_only] = *c.republish;
  if (dest.empty()) return std::nullopt;
  const std::string republished[] = {pattern_of(dest)};
  if (subject::any_overlap(republished, c.subjects)) {
    return bad("stream configuration for republish destination forms a cycle");
  }
  if (!subject::Transform::parse(src, dest)) {
    return bad("stream configuration for republish with transform from '" + src + "' to '" + dest +
               "' not valid");
  }
  return std::nullopt;
}

Failure check_account(const StreamConfig& c, const StreamRules& rules) {
  if (rules.max_bytes_required && c.max_bytes <= 0) return make_error(ErrCode::kStreamMaxBytesRequired);
  if (rules.max_stream_bytes > 0 && c.max_bytes > rules.max_stream_bytes) {
    return make_error(ErrCode::kStreamMaxStreamBytesExceeded);
  }
  return std::nullopt;
}

/// All rules that create and update share; changes `c` to what will be stored.
Failure check_common(StreamConfig& c, const StreamRules& rules) {
  if (auto e = check_identity(c)) return e;
  if (auto e = default_limits(c, rules)) return e;
  if (auto e = default_duplicate_window(c, rules)) return e;
  if (auto e = check_duplicate_window(c, rules)) return e;
  if (c.deny_purge && c.allow_rollup_hdrs) return bad("roll-ups require the purge permission");
  if (auto e = check_counter(c)) return e;
  if (auto e = check_discard_new_per_subject(c)) return e;
  if (auto e = check_delete_markers(c, rules)) return e;
  if (auto e = check_schedules(c, rules)) return e;
  if (auto e = check_persist_mode(c)) return e;
  if (auto e = check_mirror(c)) return e;
  if (auto e = check_sources(c)) return e;
  if (auto e = check_subjects(c)) return e;
  if (auto e = check_republish(c)) return e;
  if (auto e = check_account(c, rules)) return e;
  if (c.placement && *c.placement == Placement{}) c.placement.reset();
  if (c.placement && !c.placement->preferred.empty()) {
    return bad("preferred server not permitted in placement");
  }
  return std::nullopt;
}

Failure check_last(StreamConfig& c, const StreamRules& rules) {
  if (!rules.clustered && c.num_replicas > 1) return make_error(ErrCode::kStreamReplicasNotSupported);
  if (auto reason = unsupported_reason(c)) return bad(*reason);
  set_stored_metadata(c);
  return std::nullopt;
}

/// One-way switches and settings that are fixed at creation.
Failure check_changes(const StreamConfig& old, const StreamConfig& c) {
  if (c.name != old.name) return bad("stream configuration name must match original");
  if (c.storage != old.storage) return bad("stream configuration update can not change storage type");
  const bool queue = old.retention == Retention::kWorkQueue || c.retention == Retention::kWorkQueue;
  if (c.retention != old.retention && queue) {
    return bad("stream configuration update can not change retention policy to/from workqueue");
  }
  if (!c.sealed && old.sealed) return bad("stream configuration update can not unseal a sealed stream");
  if (!c.deny_delete && old.deny_delete) {
    return bad("stream configuration update can not cancel deny message deletes");
  }
  if (!c.deny_purge && old.deny_purge) {
    return bad("stream configuration update can not cancel deny purge");
  }
  if (c.mirror && c.mirror != old.mirror) return make_error(ErrCode::kStreamMirrorNotUpdatable);
  if (old.allow_msg_ttl && !c.allow_msg_ttl) return bad("message TTL status can not be disabled");
  if (c.allow_msg_counter != old.allow_msg_counter) {
    return bad("stream configuration update can not change message counter setting");
  }
  if (old.allow_msg_schedules && !c.allow_msg_schedules) return bad("message schedules can not be disabled");
  if (old.persist_mode != c.persist_mode) {
    return bad("stream configuration update can not change persist mode");
  }
  return std::nullopt;
}

}  // namespace

bool asset_name_valid(std::string_view name) {
  if (name.empty()) return false;
  for (const char c : name) {
    if (static_cast<unsigned char>(c) <= 0x20 || c == 0x7f) return false;
    if (c == '.' || c == '*' || c == '>' || c == '/' || c == '\\') return false;
  }
  return true;
}

Decoded<StreamConfig> check_stream_create(StreamConfig wanted, const StreamRules& rules) {
  if (auto e = check_common(wanted, rules)) return *e;
  if (wanted.sealed) return *bad("stream configuration for create can not be sealed");
  if (wanted.mirror_direct && !wanted.mirror) {
    return *bad("stream has no mirror but does have mirror direct");
  }
  if (auto e = check_last(wanted, rules)) return *e;
  return wanted;
}

Decoded<StreamConfig> check_stream_update(const StreamConfig& old, StreamConfig wanted,
                                          const StreamRules& rules) {
  if (auto e = check_common(wanted, rules)) return *e;
  if (auto e = check_changes(old, wanted)) return *e;
  if (wanted.sealed) {
    wanted.max_age = 0;
    wanted.discard = Discard::kNew;
    wanted.deny_delete = wanted.deny_purge = true;
    wanted.allow_rollup_hdrs = false;
  }
  if (auto e = check_last(wanted, rules)) return *e;
  return wanted;
}

std::optional<ApiError> check_consumer_limits(const ConsumerLimits& limits,
                                              const std::vector<const ConsumerConfig*>& consumers) {
  const auto beyond = [](auto value, auto limit) { return limit > 0 && value > limit; };
  std::set<std::string> names;
  for (const auto* c : consumers) {
    if (beyond(c->max_ack_pending, limits.max_ack_pending) ||
        beyond(c->inactive_threshold, limits.inactive_threshold)) {
      names.insert(c->chosen_name());
    }
  }
  if (names.empty()) return std::nullopt;
  std::string text = "change to limits violates consumers: ";
  for (const auto& name : names) text += (name == *names.begin() ? "" : ", ") + name;
  return make_error(ErrCode::kStreamUpdate, text);
}

std::optional<ApiError> check_subject_overlap(const StreamConfig& config,
                                              const std::vector<const StreamConfig*>& others) {
  for (const auto* other : others) {
    if (other->name == config.name) continue;
    if (subject::any_overlap(config.subjects, other->subjects)) {
      return make_error(ErrCode::kStreamSubjectOverlap);
    }
  }
  return std::nullopt;
}

std::optional<ApiError> check_stream_name(std::string_view in_subject, std::string_view in_body) {
  if (in_subject != in_body) return make_error(ErrCode::kStreamMismatch);
  if (in_body.find_first_of("\\/") != std::string_view::npos) {
    return make_error(ErrCode::kStreamNameContainsPathSeparators);
  }
  return std::nullopt;
}

}  // namespace weir::api
