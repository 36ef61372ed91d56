#include "broker/api/requests.h"

#include <algorithm>

#include "broker/api/config_json.h"
#include "broker/base/text.h"

namespace weir::api {
namespace {

constexpr EnumText<ConsumerAction> kActions[] = {
    {"", ConsumerAction::kCreateOrUpdate},
    {"create", ConsumerAction::kCreate},
    {"update", ConsumerAction::kUpdate},
};

std::string_view trim(std::string_view s) {
  constexpr std::string_view kBlanks = " \t\r\n\v\f";
  auto first = s.find_first_not_of(kBlanks);
  if (first == std::string_view::npos) return {};
  return s.substr(first, s.find_last_not_of(kBlanks) - first + 1);
}

template <class T, class F>
Decoded<T> decode_optional(std::string_view body, Strictness s, F&& read) {
  if (is_empty_request(body)) return T{};
  return decode_object<T>(body, s, read);
}

template <class T, class F>
Decoded<T> decode_required(std::string_view body, Strictness s, F&& read) {
  if (is_empty_request(body)) return make_error(ErrCode::kBadRequest);
  return decode_object<T>(body, s, read);
}

void read_offset(ObjectReader& r, std::int64_t& offset) {
  r.field("offset", offset);
  offset = std::max<std::int64_t>(offset, 0);
}

void read_msg_get(ObjectReader& r, MsgGetRequest& q) {
  r.field("seq", q.seq);
  r.field("last_by_subj", q.last_by_subj);
  r.field("next_by_subj", q.next_by_subj);
  r.field("batch", q.batch);
  r.field("max_bytes", q.max_bytes);
  r.field("start_time", q.start_time);
  r.field("multi_last", q.multi_last);
  r.field("up_to_seq", q.up_to_seq);
  r.field("up_to_time", q.up_to_time);
  r.field("no_hdr", q.no_hdr);
}

/// seq, last_by_subj and start_time exclude each other; next_by_subj goes with seq or start_time.
bool single_get_conflicts(const MsgGetRequest& q) {
  const bool seq = q.seq.v > 0;
  const bool last = !q.last_by_subj.empty();
  const bool next = !q.next_by_subj.empty();
  const bool time = q.start_time.has_value();
  if (!seq && !last && !next && !time) return true;
  return (seq && last) || (seq && time) || (time && last) || (last && next);
}

std::int64_t clamp_or(std::int64_t v, std::int64_t fallback, std::int64_t min, std::int64_t max) {
  return v == 0 ? fallback : std::clamp(v, min, max);
}

bool starts(std::string_view s, std::string_view prefix) {
  return s.substr(0, prefix.size()) == prefix;
}

/// The delay after "-NAK": a Go duration, nanoseconds are not accepted bare, or {"delay":ns}.
Nanos nak_delay(std::string_view text) {
  text = trim(text);
  if (text.empty()) return 0;
  Nanos delay = 0;
  if (text.front() == '{') {
    auto parsed = parse_json(text);
    if (const auto* v = std::get_if<JsonValue>(&parsed)) {
      DecodeErrors errors;
      ObjectReader r(*v, errors, Strictness::kLenient);
      r.field("delay", delay);
    }
  } else {
    delay = parse_duration(text).value_or(0);
  }
  return std::max<Nanos>(delay, 0);
}

}  // namespace

bool is_empty_request(std::string_view body) {
  if (body.empty() || body == "{}") return true;
  constexpr std::size_t kLookAt = 64;  // an empty object that is longer than this is a joke
  if (body.size() > kLookAt) return false;
  auto parsed = parse_json(body);
  const auto* v = std::get_if<JsonValue>(&parsed);
  return v && v->object() && v->object()->empty();
}

Decoded<StreamNamesRequest> decode_stream_names(std::string_view body, Strictness s) {
  return decode_optional<StreamNamesRequest>(body, s, [](ObjectReader& r, StreamNamesRequest& q) {
    read_offset(r, q.offset);
    r.field("subject", q.subject);
  });
}

Decoded<ConsumersRequest> decode_consumers(std::string_view body, Strictness s) {
  return decode_optional<ConsumersRequest>(
      body, s, [](ObjectReader& r, ConsumersRequest& q) { read_offset(r, q.offset); });
}

Decoded<StreamInfoRequest> decode_stream_info(std::string_view body, Strictness s) {
  return decode_optional<StreamInfoRequest>(body, s, [](ObjectReader& r, StreamInfoRequest& q) {
    read_offset(r, q.offset);
    r.field("deleted_details", q.deleted_details);
    r.field("subjects_filter", q.subjects_filter);
  });
}

Decoded<PurgeRequest> decode_purge(std::string_view body, Strictness s) {
  auto decoded = decode_optional<PurgeRequest>(body, s, [](ObjectReader& r, PurgeRequest& q) {
    r.field("seq", q.seq);
    r.field("filter", q.filter);
    r.field("keep", q.keep);
  });
  if (const auto* q = std::get_if<PurgeRequest>(&decoded); q && q->seq.v > 0 && q->keep > 0) {
    return make_error(ErrCode::kBadRequest);
  }
  return decoded;
}

Decoded<MsgGetRequest> decode_msg_get(std::string_view body, Strictness s) {
  auto decoded = decode_required<MsgGetRequest>(body, s, read_msg_get);
  if (const auto* q = std::get_if<MsgGetRequest>(&decoded)) {
    const bool direct_only = q->batch > 0 || q->max_bytes > 0 || q->is_multi();
    if (direct_only || single_get_conflicts(*q)) return make_error(ErrCode::kBadRequest);
  }
  return decoded;
}

Decoded<MsgDeleteRequest> decode_msg_delete(std::string_view body, Strictness s) {
  return decode_required<MsgDeleteRequest>(body, s, [](ObjectReader& r, MsgDeleteRequest& q) {
    r.field("seq", q.seq);
    r.field("no_erase", q.no_erase);
  });
}

Decoded<SnapshotRequest> decode_snapshot(std::string_view body, Strictness s) {
  constexpr std::int64_t kKiB = 1024;
  return decode_required<SnapshotRequest>(body, s, [](ObjectReader& r, SnapshotRequest& q) {
    r.field("deliver_subject", q.deliver_subject);
    r.field("no_consumers", q.no_consumers);
    r.field("chunk_size", q.chunk_size);
    r.field("window_size", q.window_size);
    r.field("jsck", q.check_msgs);
    q.chunk_size = clamp_or(q.chunk_size, 128 * kKiB, kKiB, 1024 * kKiB);
    q.window_size = clamp_or(q.window_size, 8 * 1024 * kKiB, kKiB, 32 * 1024 * kKiB);
  });
}

Decoded<ConsumerCreateRequest> decode_consumer_create(std::string_view body, Strictness s) {
  return decode_object<ConsumerCreateRequest>(body, s, [](ObjectReader& r, ConsumerCreateRequest& q) {
    r.field("stream_name", q.stream_name);
    r.object("config", q.config, read_consumer_config);
    r.field("action", q.action, kActions);
    r.field("pedantic", q.pedantic);
  });
}

Decoded<ConsumerPauseRequest> decode_consumer_pause(std::string_view body, Strictness s) {
  return decode_optional<ConsumerPauseRequest>(
      body, s, [](ObjectReader& r, ConsumerPauseRequest& q) { r.field("pause_until", q.pause_until); });
}

Decoded<ConsumerUnpinRequest> decode_consumer_unpin(std::string_view body, Strictness s) {
  auto decoded = decode_object<ConsumerUnpinRequest>(
      body, s, [](ObjectReader& r, ConsumerUnpinRequest& q) { r.field("group", q.group); });
  if (const auto* q = std::get_if<ConsumerUnpinRequest>(&decoded); q && q->group.empty()) {
    return make_error(ErrCode::kInvalidJSON, "consumer group not specified");
  }
  return decoded;
}

Decoded<ConsumerResetRequest> decode_consumer_reset(std::string_view body, Strictness s) {
  return decode_optional<ConsumerResetRequest>(
      body, s, [](ObjectReader& r, ConsumerResetRequest& q) { r.field("seq", q.seq); });
}

Decoded<StepDownRequest> decode_step_down(std::string_view body, Strictness s) {
  return decode_optional<StepDownRequest>(body, s, [](ObjectReader& r, StepDownRequest& q) {
    r.object("placement", q.placement, read_placement);
  });
}

Decoded<PeerRemoveRequest> decode_peer_remove(std::string_view body, Strictness s) {
  auto decoded = decode_required<PeerRemoveRequest>(
      body, s, [](ObjectReader& r, PeerRemoveRequest& q) { r.field("peer", q.peer); });
  if (const auto* q = std::get_if<PeerRemoveRequest>(&decoded); q && q->peer.empty()) {
    return make_error(ErrCode::kBadRequest);
  }
  return decoded;
}

Decoded<ServerRemoveRequest> decode_server_remove(std::string_view body, Strictness s) {
  return decode_required<ServerRemoveRequest>(body, s, [](ObjectReader& r, ServerRemoveRequest& q) {
    r.field("peer", q.peer);
    r.field("peer_id", q.peer_id);
  });
}

Decoded<StreamMoveRequest> decode_stream_move(std::string_view body, Strictness s) {
  return decode_optional<StreamMoveRequest>(body, s, [](ObjectReader& r, StreamMoveRequest& q) {
    r.field("server", q.server);
    r.field("cluster", q.cluster);
    r.field("domain", q.domain);
    r.field("tags", q.tags);
  });
}

DirectGetDecoded decode_direct_get(std::string_view body) {
  DirectGetDecoded out;
  if (body.empty()) {
    out.status = {408, "Empty Request"};
    return out;
  }
  auto decoded = decode_object<MsgGetRequest>(body, Strictness::kLenient, read_msg_get);
  if (std::holds_alternative<ApiError>(decoded)) {
    out.status = {408, "Malformed Request"};
    return out;
  }
  out.request = std::get<MsgGetRequest>(std::move(decoded));
  const auto& q = out.request;
  const bool seq = q.seq.v > 0;
  const bool last = !q.last_by_subj.empty();
  const bool next = !q.next_by_subj.empty();
  const bool time = q.start_time.has_value();
  if (!seq && !last && !next && !time && !q.is_multi()) {
    out.status = {408, "Empty Request"};
    return out;
  }
  // last_by_subj stands alone; next_by_subj and multi_last exclude each other; one starting point.
  const bool bad = (last && (seq || time || next || q.batch > 0 || q.is_multi())) || (seq && time) ||
                   (next && q.is_multi()) || (q.up_to_seq.v > 0 && q.up_to_time.has_value());
  if (bad) out.status = {408, "Bad Request"};
  return out;
}

Result<NextRequest> decode_next(std::string_view body) {
  NextRequest q;
  const auto text = trim(body);
  if (text.empty()) return q;
  if (text.front() != '{') {
    if (auto n = parse_i64(text)) q.batch = std::max<std::int64_t>(*n, 1);
    return q;
  }
  auto parsed = parse_json(text);
  if (const auto* e = std::get_if<JsonError>(&parsed)) return Error{Code::kInvalid, e->text};
  DecodeErrors errors;
  ObjectReader r(std::get<JsonValue>(parsed), errors, Strictness::kLenient);
  q.batch = 0;
  r.field("expires", q.expires);
  r.field("batch", q.batch);
  r.field("max_bytes", q.max_bytes);
  r.field("no_wait", q.no_wait);
  r.field("idle_heartbeat", q.idle_heartbeat);
  r.field("group", q.group);
  r.field("min_pending", q.min_pending);
  r.field("min_ack_pending", q.min_ack_pending);
  r.field("id", q.id);
  r.field("priority", q.priority);
  if (!errors.ok()) return Error{Code::kInvalid, "json: " + errors.text};
  if (q.idle_heartbeat > 0 && q.idle_heartbeat > q.expires / 2) {
    return Error{Code::kInvalid, "heartbeat value too large"};
  }
  q.batch = std::max<std::int64_t>(q.batch, 1);
  return q;
}

std::optional<AckBody> decode_ack_body(std::string_view body) {
  AckBody a;
  if (body.empty() || body == "+ACK" || body == "+OK") return a;
  if (body == "+WPI") {
    a.kind = AckKind::kProgress;
  } else if (starts(body, "+NXT")) {
    a.kind = AckKind::kNext;
    a.request = trim(body.substr(4));
  } else if (starts(body, "-NAK")) {
    a.kind = AckKind::kNak;
    a.delay = nak_delay(body.substr(4));
  } else if (starts(body, "+TERM")) {
    a.kind = AckKind::kTerm;
    a.reason = trim(body.substr(5));
  } else {
    return std::nullopt;
  }
  return a;
}

}  // namespace weir::api
