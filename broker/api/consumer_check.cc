#include "broker/api/consumer_check.h"

#include <algorithm>
#include <limits>

#include "broker/api/api_level.h"
#include "broker/api/requests.h"
#include "broker/api/stream_check.h"
#include "broker/api/unsupported.h"
#include "broker/base/text.h"
#include "broker/subject/pattern_lists.h"
#include "broker/subject/subject.h"

namespace weir::api {
namespace {

using Failure = std::optional<ApiError>;

Failure bad(std::string_view text) {
  return make_error(ErrCode::kStreamInvalidConfig, text);
}
Failure fail(ErrCode code, std::string_view arg = {}) {
  return make_error(code, arg);
}
Failure pedantic(std::string_view text) {
  return make_error(ErrCode::kPedantic, text);
}

struct Rule {
  bool broken;
  ErrCode code;
};
/// The first broken rule of a list.
Failure first_broken(std::initializer_list<Rule> rules) {
  for (const auto& r : rules) {
    if (r.broken) return fail(r.code);
  }
  return std::nullopt;
}

/// Negative values that mean nothing become `fallback`.
template <class T>
Failure default_negative(T& v, std::string_view name, const ConsumerRules& rules) {
  if (v >= 0) return std::nullopt;
  if (rules.pedantic) return pedantic(std::string(name) + " must not be negative");
  v = 0;
  return std::nullopt;
}

Failure default_negatives(ConsumerConfig& c, const ConsumerRules& rules) {
  if (c.max_deliver < -1 && rules.pedantic) return pedantic("max_deliver must be set to -1");
  if (c.max_deliver == 0 || c.max_deliver < -1) c.max_deliver = -1;
  if (auto e = default_negative(c.max_waiting, "max_waiting", rules)) return e;
  if (c.max_ack_pending < -1) {
    if (rules.pedantic) return pedantic("max_ack_pending must be set to -1");
    c.max_ack_pending = -1;
  }
  if (auto e = default_negative(c.max_batch, "max_batch", rules)) return e;
  if (auto e = default_negative(c.max_expires, "max_expires", rules)) return e;
  if (auto e = default_negative(c.max_bytes, "max_bytes", rules)) return e;
  if (auto e = default_negative(c.idle_heartbeat, "idle_heartbeat", rules)) return e;
  if (auto e = default_negative(c.inactive_threshold, "inactive_threshold", rules)) return e;
  return default_negative(c.priority_timeout, "priority_timeout", rules);
}

Failure default_acks(ConsumerConfig& c, const StreamConfig& stream, const ConsumerRules& rules) {
  const bool waits = c.ack_policy == AckPolicy::kExplicit || c.ack_policy == AckPolicy::kAll;
  if (c.ack_wait == 0 && waits) c.ack_wait = kAckWaitDefault;
  if (!c.backoff.empty()) {
    if (rules.pedantic && c.ack_wait != c.backoff.front()) {
      return pedantic("first backoff value has to equal batch AckWait");
    }
    c.ack_wait = c.backoff.front();
  }
  if (c.max_ack_pending == 0) {
    if (rules.pedantic && stream.consumer_limits.max_ack_pending > 0) {
      return pedantic("max_ack_pending must be set if it's configured in stream limits");
    }
    c.max_ack_pending = stream.consumer_limits.max_ack_pending;
  }
  if (c.max_ack_pending == 0 && c.ack_policy != AckPolicy::kNone) {
    c.max_ack_pending = kMaxAckPendingDefault;
    if (rules.max_ack_pending > 0) c.max_ack_pending = std::min(c.max_ack_pending, rules.max_ack_pending);
  }
  return std::nullopt;
}

Failure set_defaults(ConsumerConfig& c, const StreamConfig& stream, const ConsumerRules& rules) {
  if (auto e = default_negatives(c, rules)) return e;
  if (!c.is_push() && c.max_waiting == 0) c.max_waiting = kMaxWaitingDefault;
  if (auto e = default_acks(c, stream, rules)) return e;
  if (c.inactive_threshold == 0) {
    if (rules.pedantic && stream.consumer_limits.inactive_threshold > 0) {
      return pedantic("inactive_threshold must be set if it's configured in stream limits");
    }
    c.inactive_threshold = stream.consumer_limits.inactive_threshold;
  }
  if (!c.is_push() && c.max_batch == 0 && rules.max_request_batch > 0) {
    if (rules.pedantic) return pedantic("max_request_batch must be set if it's JetStream limits are set");
    c.max_batch = rules.max_request_batch;
  }
  if (c.priority_policy == PriorityPolicy::kPinnedClient && c.priority_timeout == 0) {
    c.priority_timeout = kPinnedTtlDefault;
  }
  if (c.ack_policy == AckPolicy::kFlowControl && !rules.pedantic) {
    c.flow_control = true;
    c.idle_heartbeat = kSecond;
  }
  return std::nullopt;
}

Failure check_names(const ConsumerConfig& c) {
  if (!c.name.empty() && !asset_name_valid(c.name)) {
    return bad("consumer name can not contain '.', '*', '>', '\\', '/'");
  }
  if (!c.durable_name.empty() && !asset_name_valid(c.durable_name)) {
    return bad("consumer durable name can not contain '.', '*', '>', '\\', '/'");
  }
  if (c.chosen_name().size() > kNameBytesMax || c.name.size() > kNameBytesMax) {
    return fail(ErrCode::kConsumerNameTooLong, std::to_string(kNameBytesMax));
  }
  return std::nullopt;
}

Failure check_replicas(const ConsumerConfig& c, const StreamConfig& stream) {
  const bool must_match = stream.retention != Retention::kLimits;
  return first_broken({
      {c.num_replicas > 0 && c.num_replicas > stream.num_replicas, ErrCode::kConsumerReplicasExceedsStream},
      {c.num_replicas < 0, ErrCode::kReplicasCountCannotBeNegative},
      {must_match && c.num_replicas != 0 && c.num_replicas != stream.num_replicas,
       ErrCode::kConsumerReplicasShouldMatchStream},
  });
}

Failure check_flow_control_policy(const ConsumerConfig& c) {
  if (c.ack_policy != AckPolicy::kFlowControl) return std::nullopt;
  if (!c.is_push()) return fail(ErrCode::kConsumerAckFCRequiresPush);
  if (!c.flow_control) return fail(ErrCode::kConsumerAckFCRequiresFC);
  if (c.idle_heartbeat != kSecond) return bad("flow control ack policy heartbeat needs to be 1s");
  return first_broken({
      {c.max_ack_pending <= 0, ErrCode::kConsumerAckFCRequiresMaxAckPending},
      {c.ack_wait != 0 || !c.backoff.empty(), ErrCode::kConsumerAckFCRequiresNoAckWait},
      {c.max_deliver > 0, ErrCode::kConsumerAckFCRequiresNoMaxDeliver},
  });
}

bool backoff_too_long(const ConsumerConfig& c) {
  return !c.backoff.empty() && c.max_deliver != -1 &&
         static_cast<std::int64_t>(c.backoff.size()) > c.max_deliver;
}

Failure check_acks(const ConsumerConfig& c) {
  for (const Nanos delay : c.backoff) {
    if (delay < 0) return fail(ErrCode::kConsumerBackOffNegative);
  }
  if (c.ack_wait < 0) return fail(ErrCode::kConsumerAckWaitNegative);
  if (auto e = check_flow_control_policy(c)) return e;
  if (backoff_too_long(c)) return fail(ErrCode::kConsumerMaxDeliverBackoff);
  return std::nullopt;
}

Failure check_push(const ConsumerConfig& c, const StreamConfig& stream) {
  const auto& to = c.deliver_subject;
  const bool cycle = std::any_of(stream.subjects.begin(), stream.subjects.end(),
                                 [&](const auto& s) { return subject::subset(to, s); });
  return first_broken({
      {subject::has_wildcards(to), ErrCode::kConsumerDeliverToWildcards},
      {!subject::is_valid_pattern(to), ErrCode::kConsumerInvalidDeliverSubject},
      {cycle, ErrCode::kConsumerDeliverCycle},
      {c.max_waiting != 0, ErrCode::kConsumerPushMaxWaiting},
      {c.max_ack_pending > 0 && c.ack_policy == AckPolicy::kNone,
       ErrCode::kConsumerMaxPendingAckPolicyRequired},
      {c.idle_heartbeat > 0 && c.idle_heartbeat < 100 * kMillisecond, ErrCode::kConsumerSmallHeartbeat},
  });
}

Failure check_pull(const ConsumerConfig& c, const StreamConfig& stream, const ConsumerRules& rules) {
  auto e = first_broken({
      {c.ack_policy == AckPolicy::kNone && stream.retention == Retention::kWorkQueue,
       ErrCode::kConsumerPullRequiresAck},
      {c.rate_limit_bps > 0, ErrCode::kConsumerPullWithRateLimit},
      {c.idle_heartbeat > 0, ErrCode::kConsumerHBRequiresPush},
      {c.flow_control, ErrCode::kConsumerFCRequiresPush},
      {c.max_expires != 0 && c.max_expires < kMillisecond, ErrCode::kConsumerMaxRequestExpiresTooSmall},
  });
  if (e) return e;
  if (rules.max_request_batch > 0 && c.max_batch > rules.max_request_batch) {
    return fail(ErrCode::kConsumerMaxRequestBatchExceeded, std::to_string(rules.max_request_batch));
  }
  return std::nullopt;
}

Failure check_caps(const ConsumerConfig& c, const StreamConfig& stream, const ConsumerRules& rules) {
  for (const std::int64_t cap : {rules.max_ack_pending, stream.consumer_limits.max_ack_pending}) {
    if (cap > 0 && c.max_ack_pending > cap) {
      return fail(ErrCode::kConsumerMaxPendingAckExcess, std::to_string(cap));
    }
  }
  const Nanos threshold = stream.consumer_limits.inactive_threshold;
  if (threshold > 0 && c.inactive_threshold > threshold) {
    return fail(ErrCode::kConsumerInactiveThresholdExcess, format_duration(threshold));
  }
  return std::nullopt;
}

Failure check_filters(const ConsumerConfig& c) {
  if (!c.filter_subject.empty() && !c.filter_subjects.empty()) {
    return fail(ErrCode::kConsumerDuplicateFilterSubjects);
  }
  if (!c.filter_subject.empty() && !subject::is_valid_pattern(c.filter_subject)) {
    return bad("invalid subject");
  }
  const auto& filters = c.filter_subjects;
  for (const auto& f : filters) {
    if (f.empty()) return fail(ErrCode::kConsumerEmptyFilter);
  }
  if (subject::takes_long(filters)) return bad("too many filters with wildcards at different places");
  const auto part = subject::first_subset(filters);
  for (std::size_t i = 0; i < filters.size(); ++i) {
    if (!subject::is_valid_pattern(filters[i])) return bad("invalid subject");
    if (i == part) return fail(ErrCode::kConsumerOverlappingSubjectFilters);
  }
  return std::nullopt;
}

/// A start belongs to exactly one policy; `name` is how texts call the policy.
Failure check_start(const ConsumerConfig& c) {
  const bool seq = c.opt_start_seq.v > 0;
  const bool time = c.opt_start_time.has_value();
  const auto surplus = [](std::string_view name, std::string_view what) {
    return fail(ErrCode::kConsumerInvalidPolicy, "consumer delivery policy is deliver " + std::string(name) +
                                                     ", but optional start " + std::string(what) +
                                                     " is also set");
  };
  const auto missing = [](std::string_view name, std::string_view what) {
    return fail(ErrCode::kConsumerInvalidPolicy, "consumer delivery policy is deliver " + std::string(name) +
                                                     ", but optional " + std::string(what) + " is not set");
  };
  std::string_view name = "all";
  switch (c.deliver_policy) {
    case DeliverPolicy::kByStartSequence:
      if (!seq) return missing("by start sequence", "start sequence");
      if (time) return surplus("by start sequence", "time");
      return std::nullopt;
    case DeliverPolicy::kByStartTime:
      if (!time) return missing("by start time", "start time");
      if (seq) return surplus("by start time", "start sequence");
      return std::nullopt;
    case DeliverPolicy::kAll: break;
    case DeliverPolicy::kLast: name = "last"; break;
    case DeliverPolicy::kNew: name = "new"; break;
    case DeliverPolicy::kLastPerSubject: name = "last per subject"; break;
  }
  if (seq) return surplus(name, "sequence");
  if (time) return surplus(name, "time");
  const bool filtered = !c.filter_subject.empty() || !c.filter_subjects.empty();
  if (c.deliver_policy == DeliverPolicy::kLastPerSubject && !filtered) {
    return missing(name, "filter subject");
  }
  return std::nullopt;
}

/// [a-zA-Z0-9/_=-]{1,16}
bool group_name_valid(std::string_view name) {
  constexpr std::size_t kMax = 16;
  return name.size() <= kMax && std::all_of(name.begin(), name.end(), [](char ch) {
           const bool letter = (ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z');
           return letter || (ch >= '0' && ch <= '9') || ch == '/' || ch == '_' || ch == '=' || ch == '-';
         });
}

Failure check_priority(const ConsumerConfig& c) {
  if (c.priority_policy == PriorityPolicy::kNone) {
    return first_broken({
        {!c.priority_groups.empty(), ErrCode::kConsumerPriorityGroupWithPolicyNone},
        {c.priority_timeout > 0, ErrCode::kConsumerPinnedTTLWithoutPriorityPolicyNone},
    });
  }
  if (c.is_push()) return fail(ErrCode::kConsumerPushWithPriorityGroup);
  if (c.priority_groups.empty()) return fail(ErrCode::kConsumerPriorityPolicyWithoutGroup);
  for (const auto& group : c.priority_groups) {
    if (group.empty()) return fail(ErrCode::kConsumerEmptyGroupName);
    if (!group_name_valid(group)) return fail(ErrCode::kConsumerInvalidGroupName);
  }
  return std::nullopt;
}

Failure check_rest(const ConsumerConfig& c) {
  if (!c.sample_freq.empty() && !parse_sample_freq(c.sample_freq)) {
    return fail(ErrCode::kConsumerInvalidSampling, "\"" + c.sample_freq + "\" is not a percentage");
  }
  if (c.flow_control && c.idle_heartbeat == 0) return fail(ErrCode::kConsumerWithFlowControlNeedsHeartbeats);
  if (!c.durable_name.empty() && !c.name.empty() && c.name != c.durable_name) {
    return fail(ErrCode::kConsumerCreateDurableAndNameMismatch);
  }
  if (metadata_bytes(c.metadata) > kMetadataBytesMax) {
    return fail(ErrCode::kConsumerMetadataLength, std::to_string(kMetadataBytesMax / 1024) + "KB");
  }
  return check_priority(c);
}

Failure check_rules(const ConsumerConfig& c, const StreamConfig& stream, const ConsumerRules& rules) {
  if (auto e = check_names(c)) return e;
  if (auto e = check_replicas(c, stream)) return e;
  if (auto e = check_acks(c)) return e;
  if (c.description.size() > kDescriptionBytesMax) {
    return fail(ErrCode::kConsumerDescriptionTooLong, std::to_string(kDescriptionBytesMax));
  }
  if (auto e = c.is_push() ? check_push(c, stream) : check_pull(c, stream, rules)) return e;
  if (auto e = check_caps(c, stream, rules)) return e;
  if (c.direct && !c.is_push()) return fail(ErrCode::kConsumerDirectRequiresPush);
  if (c.direct && c.is_durable()) return fail(ErrCode::kConsumerDirectRequiresEphemeral);
  if (auto e = check_filters(c)) return e;
  if (auto e = check_start(c)) return e;
  return check_rest(c);
}

Failure check_work_queue(const ConsumerConfig& c, const StreamConfig& stream) {
  if (stream.retention != Retention::kWorkQueue || c.direct || c.sourcing) return std::nullopt;
  const bool acks = c.ack_policy == AckPolicy::kExplicit || c.ack_policy == AckPolicy::kFlowControl;
  return first_broken({
      {!acks, ErrCode::kConsumerWQRequiresExplicitAck},
      {c.deliver_policy != DeliverPolicy::kAll, ErrCode::kConsumerWQConsumerNotDeliverAll},
  });
}

}  // namespace

std::optional<std::uint32_t> parse_sample_freq(std::string_view text) {
  if (!text.empty() && text.back() == '%') text.remove_suffix(1);
  const auto n = parse_u64(text);
  if (!n || *n > std::numeric_limits<std::uint32_t>::max()) return std::nullopt;
  return static_cast<std::uint32_t>(*n);
}

Decoded<ConsumerConfig> check_consumer_create(ConsumerConfig c, const StreamConfig& stream,
                                              const ConsumerRules& rules) {
  if (!rules.clustered && c.num_replicas > 1) return make_error(ErrCode::kStreamReplicasNotSupported);
  if (auto e = set_defaults(c, stream, rules)) return *e;
  if (auto e = check_rules(c, stream, rules)) return *e;
  if (auto e = check_work_queue(c, stream)) return *e;
  if (auto reason = unsupported_reason(c)) return make_error(ErrCode::kConsumerCreate, *reason);
  if (c.name.empty()) c.name = c.durable_name;
  // A consumer without a durable name lives only while it is used.
  if (!c.is_durable() && c.inactive_threshold == 0) c.inactive_threshold = kInactiveThresholdDefault;
  set_stored_metadata(c);
  return c;
}

std::optional<ApiError> check_consumer_change(const ConsumerConfig& old, const ConsumerConfig& wanted,
                                              bool push_bound) {
  const struct {
    bool changed;
    std::string_view text;
  } kFixed[] = {
      {old.deliver_policy != wanted.deliver_policy, "deliver policy can not be updated"},
      {old.mem_storage != wanted.mem_storage, "storage type can not be updated"},
      {old.direct != wanted.direct, "direct can not be updated"},
      {old.sourcing != wanted.sourcing, "sourcing can not be updated"},
      {old.opt_start_seq != wanted.opt_start_seq, "start sequence can not be updated"},
      {old.opt_start_time != wanted.opt_start_time, "start time can not be updated"},
      {old.ack_policy != wanted.ack_policy, "ack policy can not be updated"},
      {old.replay_policy != wanted.replay_policy, "replay policy can not be updated"},
      {old.idle_heartbeat != wanted.idle_heartbeat, "heart beats can not be updated"},
      {old.flow_control != wanted.flow_control, "flow control can not be updated"},
      {!old.is_push() && wanted.is_push(), "can not update pull consumer to push based"},
      {old.is_push() && !wanted.is_push(), "can not update push consumer to pull based"},
  };
  for (const auto& rule : kFixed) {
    if (rule.changed) return make_error(ErrCode::kConsumerCreate, rule.text);
  }
  if (old.deliver_subject != wanted.deliver_subject && push_bound) {
    return make_error(ErrCode::kConsumerNameExist);
  }
  if (old.max_waiting != wanted.max_waiting) {
    return make_error(ErrCode::kConsumerCreate, "max waiting can not be updated");
  }
  if (backoff_too_long(wanted)) return make_error(ErrCode::kConsumerMaxDeliverBackoff);
  return std::nullopt;
}

std::optional<ApiError> check_consumer_subject(const ConsumerCreateSubject& subject,
                                               ConsumerCreateRequest& request) {
  auto& config = request.config;
  if (subject.stream != request.stream_name) return make_error(ErrCode::kStreamMismatch);
  const bool unnamed = subject.form == ConsumerCreateForm::kUnnamed;
  const std::string_view name = unnamed ? std::string_view(config.name) : subject.consumer;
  if (name.find_first_of("\\/") != std::string_view::npos) {
    return make_error(ErrCode::kConsumerNameContainsPathSeparators);
  }
  if (subject.form == ConsumerCreateForm::kDurable) {
    if (name.empty()) return make_error(ErrCode::kConsumerDurableNameNotInSubject);
    if (!config.is_durable()) return make_error(ErrCode::kConsumerDurableNameNotSet);
  }
  if (!unnamed) {
    if (config.is_durable() && config.durable_name != name) {
      return make_error(ErrCode::kConsumerDurableNameNotMatchSubject);
    }
    config.name = std::string(name);
  } else if (config.is_durable()) {
    return make_error(ErrCode::kConsumerEphemeralWithDurableName);
  }
  if (subject.filter.empty()) return std::nullopt;
  if (!config.filter_subjects.empty()) return make_error(ErrCode::kConsumerMultipleFiltersNotAllowed);
  if (config.filter_subject != subject.filter) {
    return make_error(ErrCode::kConsumerCreateFilterSubjectMismatch);
  }
  return std::nullopt;
}

}  // namespace weir::api
