// Removal: by limits, age, delete and purge. Everything that leaves the stream leaves through
// remove_one() or remove_below(), so that watched removals are reported whatever their cause.
#include <algorithm>

#include "broker/jetstream/stream_machine.h"

namespace weir::jetstream {
namespace {

using api::ErrCode;
constexpr std::uint64_t kReportedMax = 1024;  // above, Outcome::removed_many

/// Caps of the configuration: 0 and below mean none.
std::uint64_t cap(std::int64_t configured) {
  return configured > 0 ? static_cast<std::uint64_t>(configured) : UINT64_MAX;
}

}  // namespace

Result<store::Removed> StreamMachine::remove_one(StreamSeq seq, Outcome& out) {
  if (seq >= watch_from_ && !out.removed_many) {
    ASSIGN_OR_RETURN(auto message, store_.load(seq));
    if (message && out.removed.size() < kReportedMax)
      out.removed.push_back({seq, std::string(message->subject())});
    else if (message)
      out.removed_many = true;
  }
  ASSIGN_OR_RETURN(store::Removed removed, store_.remove(seq));
  return removed;
}

Result<store::Removed> StreamMachine::remove_below(StreamSeq first_keep, Outcome& out) {
  RETURN_IF_ERROR(report_range(store_.state().first_seq, first_keep, out));
  return store_.compact(first_keep);
}

Status StreamMachine::report_range(StreamSeq first, StreamSeq end, Outcome& out) {
  StreamSeq at = std::max(first, watch_from_);
  while (at < end && !out.removed_many) {
    ASSIGN_OR_RETURN(auto message, store_.next({}, at));
    if (!message || message->seq >= end) break;
    if (out.removed.size() >= kReportedMax) {
      out.removed_many = true;
      break;
    }
    out.removed.push_back({message->seq, std::string(message->subject())});
    at = message->seq + 1;
  }
  return ok();
}

Status StreamMachine::expire(Outcome& out) {
  const auto& state = store_.state();
  if (config_.max_age <= 0 || state.messages == 0) return ok();
  Wall newest_gone = now_ - config_.max_age;
  if (state.first_time > newest_gone) return ok();
  ASSIGN_OR_RETURN(StreamSeq first_keep, store_.seq_at(newest_gone + 1));
  RETURN_IF_ERROR(remove_below(first_keep, out));
  return ok();
}

Status StreamMachine::enforce_totals(Outcome& out) {
  // A stream that discards new messages never grows over these; one that was just given lower
  // limits keeps what it has.
  if (config_.discard != api::Discard::kOld) return ok();
  const auto& state = store_.state();
  std::uint64_t messages = cap(config_.max_msgs);
  std::uint64_t bytes = cap(config_.max_bytes);
  while (state.messages > 0 && (state.messages > messages || state.bytes > bytes))
    RETURN_IF_ERROR(remove_one(state.first_seq, out));
  return ok();
}

Status StreamMachine::enforce_subject(std::string_view subject, Outcome& out) {
  if (config_.max_msgs_per_subject <= 0) return ok();
  std::uint64_t most = cap(config_.max_msgs_per_subject);
  for (auto s = store_.subject_state(subject); s && s->count > most; s = store_.subject_state(subject))
    RETURN_IF_ERROR(remove_one(s->first, out));
  return ok();
}

Status StreamMachine::enforce_all_subjects(Outcome& out) {
  if (config_.max_msgs_per_subject <= 0) return ok();
  std::uint64_t most = cap(config_.max_msgs_per_subject);
  std::vector<std::string> over;  // collected first: removal changes what is being walked
  store_.for_each_subject({}, [&](std::string_view subject, const store::SubjectState& s) {
    if (s.count > most) over.emplace_back(subject);
    return true;
  });
  for (const std::string& subject : over) RETURN_IF_ERROR(enforce_subject(subject, out));
  return ok();
}

Status StreamMachine::apply_delete(const Command& command, Outcome& out) {
  ASSIGN_OR_RETURN(DeleteMsgCommand d, decode_delete_msg(command));
  if (config_.sealed) {
    out.error = api::make_error(ErrCode::kStreamSealed);
  } else if (config_.deny_delete) {
    out.error = api::make_error(ErrCode::kStreamMsgDeleteFailed, "message delete not permitted");
  } else if (d.seq.v == 0) {
    out.error = api::make_error(ErrCode::kStreamMsgDeleteFailed, "no message found");
  } else {
    ASSIGN_OR_RETURN(store::Removed removed, remove_one(d.seq, out));
    out.removed_count = removed.messages;
    if (removed.messages == 0)
      out.error = api::make_error(ErrCode::kSequenceNotFound, std::to_string(d.seq.v));
  }
  return ok();
}

Status StreamMachine::apply_purge(const Command& command, Outcome& out) {
  ASSIGN_OR_RETURN(PurgeCommand p, decode_purge(command));
  if (config_.sealed) {
    out.error = api::make_error(ErrCode::kStreamSealed);
    return ok();
  }
  if (config_.deny_purge) {
    out.error = api::make_error(ErrCode::kStreamPurgeFailed, "stream purge not permitted");
    return ok();
  }
  if ((p.seq.v > 0 && p.keep > 0) || p.seq > kPurgeSeqMax) {
    out.error = api::make_error(ErrCode::kBadRequest);
    return ok();
  }
  bool all = p.filter.empty() || p.filter == ">";
  ASSIGN_OR_RETURN(out.removed_count, all ? purge_all(p.seq, p.keep, out) : purge_filtered(p, out));
  return ok();
}

Result<std::uint64_t> StreamMachine::purge_all(StreamSeq below, std::uint64_t keep, Outcome& out) {
  StreamSeq first_keep = store_.state().last_seq + 1;
  if (below.v > 0) {
    first_keep = below;
  } else if (keep > 0) {
    if (keep >= store_.state().messages) return std::uint64_t{0};
    // Walks back over the kept ones only.
    for (std::uint64_t i = 0; i < keep; ++i) {
      ASSIGN_OR_RETURN(auto message, store_.last({}, first_keep - 1));
      if (!message) return Error{Code::kCorrupt, "store: fewer messages than it counts"};
      first_keep = message->seq;
    }
  }
  ASSIGN_OR_RETURN(store::Removed removed, remove_below(first_keep, out));
  return removed.messages;
}

Result<std::uint64_t> StreamMachine::purge_filtered(const PurgeCommand& p, Outcome& out) {
  store::Filter filter{std::string(p.filter)};
  std::uint64_t most = UINT64_MAX;
  if (p.keep > 0) {
    ASSIGN_OR_RETURN(std::uint64_t matching, store_.count(filter, StreamSeq(1)));
    if (p.keep >= matching) return std::uint64_t{0};
    most = matching - p.keep;
  }
  StreamSeq end = p.seq.v > 0 ? p.seq : store_.state().last_seq + 1;
  std::uint64_t removed = 0;
  for (StreamSeq at(1); removed < most;) {
    ASSIGN_OR_RETURN(auto message, store_.next(filter, at));
    if (!message || message->seq >= end) break;
    at = message->seq + 1;
    ASSIGN_OR_RETURN(store::Removed one, remove_one(message->seq, out));
    removed += one.messages;
  }
  return removed;
}

}  // namespace weir::jetstream
