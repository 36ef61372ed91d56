// Publish: checks in the order in which nats-server 2.15 makes them, so that a message that breaks
// several rules gets the same answer: sealed, size, batch, counter, expected stream, TTL, expected
// sequences (subject before stream), schedule, reserved header, duplicate, last message id, rollup,
// and last the limits of a stream that discards new messages.
#include <algorithm>
#include <limits>

#include "broker/base/text.h"
#include "broker/jetstream/stream_machine.h"
#include "broker/subject/subject.h"

namespace weir::jetstream {
namespace {

using api::ErrCode;

constexpr std::size_t kHeaderBytesMax = 65535;  // 10097

bool refuse(Outcome& out, ErrCode code, std::string_view arg = {}) {
  out.error = api::make_error(code, arg);
  return true;
}

/// "5", "90s", "1h", "never". Errors by nullopt: shorter than a second or not a time.
bool valid_ttl(std::string_view text) {
  if (text == "never") return true;
  if (auto seconds = parse_i64(text)) return *seconds >= 1;
  auto d = parse_duration(text);
  return d && *d >= kSecond;
}

bool is_rollup(std::string_view value) {
  return iequals(value, "sub") || iequals(value, "all");
}

}  // namespace

Status StreamMachine::apply_publish(const Command& command, Outcome& out) {
  ASSIGN_OR_RETURN(PublishCommand p, decode_publish(command));
  PublishHeaders h;
  if (!p.headers.empty()) h = parse_publish_headers(p.headers);
  RETURN_IF_ERROR(expire(out));
  dedupe_.expire(now_ - config_.duplicate_window);

  if (refuse_by_form(p, h, out)) return ok();
  RETURN_IF_ERROR(refuse_by_sequence(p, h, out));
  if (!out.ok() || refuse_by_history(h, out)) return ok();
  if (config_.retention == api::Retention::kInterest && !filters_.wants(p.subject)) {
    StreamSeq seq = store_.state().last_seq + 1;
    store_.skip_to(seq, now_);
    out.seq = seq;
    if (!h.rollup.empty()) RETURN_IF_ERROR(roll_up(p.subject, h.rollup, out));
  } else {
    RETURN_IF_ERROR(refuse_by_limits(p, out));
    if (!out.ok()) return ok();
    RETURN_IF_ERROR(store_message(p, h, out));
  }
  last_msg_id_.assign(h.msg_id);
  if (!h.msg_id.empty() && config_.duplicate_window > 0) dedupe_.add(h.msg_id, out.seq, now_);
  return ok();
}

bool StreamMachine::refuse_by_form(const PublishCommand& p, const PublishHeaders& h, Outcome& out) const {
  if (config_.sealed) return refuse(out, ErrCode::kStreamSealed);
  std::size_t size = p.headers.size() + p.payload.size();
  if (config_.max_msg_size >= 0 && size > static_cast<std::size_t>(config_.max_msg_size))
    return refuse(out, ErrCode::kStreamMessageExceedsMaximum);
  if (p.headers.empty()) return false;
  if (p.headers.size() > kHeaderBytesMax) return refuse(out, ErrCode::kStreamHeaderExceedsMaximum);
  // Batches are put together before they get here: a single message cannot be part of one.
  if (!h.batch_id.empty()) return refuse(out, ErrCode::kAtomicPublishDisabled);
  if (!h.incr.empty()) return refuse(out, ErrCode::kMessageIncrDisabled);
  if (!h.expected_stream.empty() && h.expected_stream != config_.name)
    return refuse(out, ErrCode::kStreamNotMatch);
  if (!h.ttl.empty()) {
    if (!config_.allow_msg_ttl) return refuse(out, ErrCode::kMessageTTLDisabled);
    if (!valid_ttl(h.ttl)) return refuse(out, ErrCode::kMessageTTLInvalid);
    // Single messages do not expire yet. Streams may allow it (clients set it on every key-value bucket),
    // a message that asks for it is refused and not kept for ever. "never" asks for nothing.
    if (h.ttl != "never") return refuse(out, ErrCode::kMessageTTLDisabled);
  }
  return false;
}

Status StreamMachine::refuse_by_sequence(const PublishCommand& p, const PublishHeaders& h, Outcome& out) {
  // A number that cannot be read never matches: the writer wanted a condition.
  auto differs = [](std::string_view expected, StreamSeq actual) {
    auto n = parse_u64(expected);
    return !n || *n != actual.v;
  };
  if (!h.expected_subject_seq.empty()) {
    std::string_view of = h.expected_subject_seq_subj.empty() ? p.subject : h.expected_subject_seq_subj;
    StreamSeq last;
    if (!subject::has_wildcards(of)) {
      if (auto s = store_.subject_state(of)) last = s->last;
    } else {
      ASSIGN_OR_RETURN(auto message, store_.last({std::string(of)}, store_.state().last_seq));
      if (message) last = message->seq;
    }
    if (differs(h.expected_subject_seq, last)) {
      refuse(out, ErrCode::kStreamWrongLastSequence, std::to_string(last.v));
      return ok();
    }
  } else if (!h.expected_subject_seq_subj.empty()) {
    refuse(out, ErrCode::kStreamExpectedLastSeqPerSubjectInvalid);
    return ok();
  }
  StreamSeq last = store_.state().last_seq;
  if (!h.expected_last_seq.empty() && differs(h.expected_last_seq, last))
    refuse(out, ErrCode::kStreamWrongLastSequence, std::to_string(last.v));
  return ok();
}

bool StreamMachine::refuse_by_history(const PublishHeaders& h, Outcome& out) {
  if (!h.schedule.empty()) return refuse(out, ErrCode::kMessageSchedulesDisabled);
  if (!h.stream_source.empty()) return refuse(out, ErrCode::kMessageSourceHdrNotAllowed);
  if (!h.msg_id.empty()) {
    if (auto seq = dedupe_.find(h.msg_id)) {
      out.seq = *seq;
      out.duplicate = true;
      return true;
    }
  }
  if (!h.expected_last_msg_id.empty() && h.expected_last_msg_id != last_msg_id_)
    return refuse(out, ErrCode::kStreamWrongLastMsgID, last_msg_id_);
  if (h.rollup.empty()) return false;
  if (!config_.allow_rollup_hdrs || config_.deny_purge)
    return refuse(out, ErrCode::kStreamRollupFailed, "rollup not permitted");
  if (!is_rollup(h.rollup)) {
    std::string text = "rollup value invalid: \"" + to_lower(h.rollup) + "\"";
    return refuse(out, ErrCode::kStreamRollupFailed, text);
  }
  return false;
}

Status StreamMachine::refuse_by_limits(const PublishCommand& p, Outcome& out) {
  if (config_.discard != api::Discard::kNew) return ok();
  const auto& state = store_.state();
  // A message that pushes out the oldest of its subject takes its place under max_msgs.
  StreamSeq replaces;
  if (config_.max_msgs_per_subject > 0) {
    auto s = store_.subject_state(p.subject);
    if (s && s->count >= static_cast<std::uint64_t>(config_.max_msgs_per_subject)) {
      if (config_.discard_new_per_subject) {
        refuse(out, ErrCode::kStreamStoreFailed, "maximum messages per subject exceeded");
        return ok();
      }
      replaces = s->first;
    }
  }
  bool full = config_.max_msgs > 0 && state.messages >= static_cast<std::uint64_t>(config_.max_msgs);
  if (full && replaces.v == 0) {
    refuse(out, ErrCode::kStreamStoreFailed, "maximum messages exceeded");
    return ok();
  }
  std::uint64_t size = store_.stored_size(p.subject.size(), p.headers.size(), p.payload.size());
  if (config_.max_bytes <= 0 || state.bytes + size <= static_cast<std::uint64_t>(config_.max_bytes))
    return ok();
  std::uint64_t freed = 0;
  if (replaces.v != 0) {
    ASSIGN_OR_RETURN(auto old, store_.load(replaces));
    if (!old) return Error{Code::kCorrupt, "store: first message of a subject is missing"};
    freed = store_.stored_size(old->subject_size, old->header_size, old->payload().size());
  }
  if (freed < size) refuse(out, ErrCode::kStreamStoreFailed, "maximum bytes exceeded");
  return ok();
}

Status StreamMachine::store_message(PublishCommand& p, const PublishHeaders& h, Outcome& out) {
  store::Message m;
  m.seq = store_.state().last_seq + 1;
  m.time = now_;
  m.subject_size = static_cast<std::uint32_t>(p.subject.size());
  m.header_size = static_cast<std::uint32_t>(p.headers.size());
  m.record = std::move(p.record);
  out.seq = m.seq;
  out.stored = true;
  if (config_.republish) {
    if (auto s = store_.subject_state(p.subject)) out.previous = s->last;
  }
  store_.append(std::move(m));
  RETURN_IF_ERROR(enforce_subject(p.subject, out));
  RETURN_IF_ERROR(enforce_totals(out));
  if (!h.rollup.empty()) RETURN_IF_ERROR(roll_up(p.subject, h.rollup, out));
  return ok();
}

Status StreamMachine::roll_up(std::string_view subject, std::string_view rollup, Outcome& out) {
  if (iequals(rollup, "all")) {
    RETURN_IF_ERROR(remove_below(out.seq, out));
    return ok();
  }
  if (subject::has_wildcards(subject)) {
    // Key-value clients purge a tree of keys by a marker published on its pattern.
    PurgeCommand below;
    below.filter = subject;
    below.seq = out.seq;
    ASSIGN_OR_RETURN([[maybe_unused]] std::uint64_t removed, purge_filtered(below, out));
    return ok();
  }
  for (auto s = store_.subject_state(subject); s && s->first < out.seq; s = store_.subject_state(subject))
    RETURN_IF_ERROR(remove_one(s->first, out));
  return ok();
}

}  // namespace weir::jetstream
