#include "tests/sim/checkers/stream_history.h"

#include <algorithm>

#include "broker/base/text.h"

namespace weir::sim {

namespace {

constexpr Nanos kTickSlack = 3 * kSecond;  // from being due to being removed by age

std::int64_t tighter(std::int64_t a, std::int64_t b) {
  if (a <= 0) return b;
  return b <= 0 ? a : std::min(a, b);
}

std::uint64_t attempt_of(std::string_view payload) {
  if (!payload.starts_with("m")) return 0;
  std::size_t end = payload.find('.');
  if (end == std::string_view::npos) return 0;
  return parse_u64(payload.substr(1, end - 1)).value_or(0);
}

}  // namespace

std::string StreamSettings::json() const {
  std::string j = "{\"name\":\"" + name + "\",\"subjects\":[\"" + name + ".>\"]";
  j += ",\"num_replicas\":" + std::to_string(replicas);
  j += ",\"storage\":\"" + std::string(file ? "file" : "memory") + "\"";
  if (!tag.empty()) j += ",\"placement\":{\"tags\":[\"" + tag + "\"]}";
  j += ",\"retention\":\"" + std::string(work_queue ? "workqueue" : "limits") + "\"";
  j += ",\"discard\":\"" + std::string(discard_new ? "new" : "old") + "\"";
  j += ",\"max_msgs\":" + std::to_string(max_msgs) + ",\"max_bytes\":" + std::to_string(max_bytes);
  j += ",\"max_msgs_per_subject\":" + std::to_string(max_msgs_per_subject) + ",\"max_consumers\":-1";
  j +=
      ",\"max_age\":" + std::to_string(max_age) + ",\"duplicate_window\":" + std::to_string(duplicate_window);
  j += ",\"allow_direct\":" + std::string(allow_direct ? "true" : "false") + "}";
  return j;
}

void StreamHistory::fail(const std::string& what) const {
  verdict_.fail("stream " + settings.name + ": " + what);
}

void StreamHistory::reset(StreamSettings s) {
  ++incarnation;
  lost = moved = false;
  settings = std::move(s);
  tightest_ = settings;
  uncertain_ = false;
  content_.clear();
  acked_.clear();
  acked_max_ = 0;
  may_be_deleted_.clear();
  deleted_.clear();
  may_be_consumed_.clear();
  consumed_.clear();
  purges_.clear();
}

void StreamHistory::forgotten() {
  StreamHistory before = *this;
  reset(settings);
  tightest_ = before.tightest_;
  uncertain_ = before.uncertain_;
  // Requests of before may be held by another node until there is a leader again.
  may_be_deleted_ = before.may_be_deleted_;
  may_be_consumed_ = before.may_be_consumed_;
  purges_ = before.purges_;
}

void StreamHistory::changing(const StreamSettings& to) {
  uncertain_ = true;
  tightest_.max_msgs = tighter(tightest_.max_msgs, to.max_msgs);
  tightest_.max_bytes = tighter(tightest_.max_bytes, to.max_bytes);
  tightest_.max_msgs_per_subject = tighter(tightest_.max_msgs_per_subject, to.max_msgs_per_subject);
  if (to.max_age && (!tightest_.max_age || to.max_age < tightest_.max_age)) tightest_.max_age = to.max_age;
}

void StreamHistory::changed(const StreamSettings& to) {
  settings = to;
  uncertain_ = false;
}

// A send whose answer did not come may arrive at any later time: beyond the window it is another message.
bool StreamHistory::within_window(const Attempt& a, Mono now) const {
  return !a.msg_id.empty() && !clocks_jump && now - a.first_sent + clock_slack < settings.duplicate_window;
}

std::uint64_t StreamHistory::size_of(std::size_t subject, std::size_t headers, std::size_t payload) const {
  // docs/formats: what nats-server counts, for file and for memory.
  if (settings.file) return 30 + subject + (headers ? 4 + headers : 0) + payload;
  return 16 + subject + headers + payload;
}

void StreamHistory::acked(Attempt& a, std::uint64_t seq, bool duplicate, std::uint64_t floor_at_send,
                          Mono now) {
  std::string what = "message " + std::to_string(a.id);
  std::string at = " at sequence " + std::to_string(seq);
  if (a.stream != number_ || a.incarnation != incarnation) return;
  if (seq == 0) return fail(what + " acknowledged" + at);
  if (duplicate && a.msg_id.empty()) return fail(what + " without Msg-Id called a duplicate");
  if (duplicate && a.sends < 2) return fail(what + " called a duplicate of itself when sent once");
  if (!duplicate && seq <= floor_at_send)
    return fail(what + " acknowledged" + at + ", not above " + std::to_string(floor_at_send) +
                " that was acknowledged before it was sent");
  if (a.expected_last && *a.expected_last + 1 != seq)
    return fail(what + " expected last sequence " + std::to_string(*a.expected_last) + " and was stored" +
                at);
  auto [it, fresh] = content_.emplace(seq, a.id);
  if (!fresh && it->second != a.id)
    return fail("sequence " + std::to_string(seq) + " shows message " + std::to_string(it->second) +
                " and was acknowledged for " + what);
  a.seqs.insert(seq);
  if (a.seqs.size() > 1 && within_window(a, now))
    return fail(what + " with one Msg-Id is at " + std::to_string(a.seqs.size()) + " sequences");
  a.acked = true;
  a.acked_at = now;
  acked_.emplace(seq, a.id);
  if (!duplicate) acked_max_ = std::max(acked_max_, seq);
}

void StreamHistory::seen(const std::string& by, const SeenMessage& m,
                         std::map<std::uint64_t, Attempt>& attempts, Mono now) {
  std::string where = by + " sequence " + std::to_string(m.seq);
  auto it = attempts.find(attempt_of(m.payload));
  if (it == attempts.end()) return fail(where + ": content that nobody sent: " + m.payload.substr(0, 60));
  Attempt& a = it->second;
  std::string what = where + " shows message " + std::to_string(a.id);
  if (a.payload != m.payload || a.subject != m.subject) return fail(what + " altered");
  if (a.headers != m.headers) return fail(what + " with other headers");
  if (a.stream != number_) return fail(what + " of another stream");
  // One of several sends may have been acknowledged before the stream was deleted, another stored after.
  if (a.incarnation > incarnation || (a.incarnation < incarnation && a.acked && a.sends < 2))
    return fail(what + " of an earlier life of the stream");
  if (a.refused && a.unknown == 0) return fail(what + " that was refused");
  auto [old, fresh] = content_.emplace(m.seq, a.id);
  if (!fresh && old->second != a.id) return fail(what + ", before it was " + std::to_string(old->second));
  if (a.incarnation != incarnation) return;  // it may be in both lives
  a.seqs.insert(m.seq);
  if (a.seqs.size() > 1 && within_window(a, now))
    return fail(what + ", its Msg-Id is at another sequence too");
  if (a.seqs.size() > a.sends) return fail(what + ", more often than it was sent");
}

bool StreamHistory::of_earlier_life(const SeenMessage& m,
                                    const std::map<std::uint64_t, Attempt>& attempts) const {
  auto it = attempts.find(attempt_of(m.payload));
  return it != attempts.end() && it->second.stream == number_ && it->second.incarnation < incarnation;
}

std::size_t StreamHistory::purge_sent(std::string subject, bool partial, Mono now) {
  Purge p;
  p.subject = std::move(subject);
  p.partial = partial;
  p.sent = now;
  p.ended = now + kHour;
  purges_.push_back(p);
  return purges_.size() - 1;
}

void StreamHistory::purge_ended(std::size_t purge, bool confirmed, Mono now) {
  if (purge >= purges_.size()) return;
  purges_[purge].ended = now;
  purges_[purge].confirmed = confirmed;
}

// ---- audit -----------------------------------------------------------------------------------

void StreamHistory::audit(const StreamState& state, const std::map<std::uint64_t, SeenMessage>& present,
                          const std::map<std::uint64_t, Attempt>& attempts, Mono now) {
  audit_counters(state, present);
  audit_acked(state, present, attempts, now);
  audit_removed(present, attempts, now);
  audit_limits(state, present);
  audit_gaps(state, attempts);
  audit_cas(present, attempts);
}

void StreamHistory::audit_acked(const StreamState& state, const std::map<std::uint64_t, SeenMessage>& present,
                                const std::map<std::uint64_t, Attempt>& attempts, Mono now) const {
  for (const auto& [seq, id] : acked_) {
    if (seq > state.last)
      return fail("acknowledged sequence " + std::to_string(seq) + " is above the last, " +
                  std::to_string(state.last));
    if (present.count(seq)) continue;
    const Attempt& a = attempts.at(id);
    if (why_gone(seq, a, state, attempts, now)) continue;
    return fail("acknowledged message " + std::to_string(id) + " at sequence " + std::to_string(seq) +
                " is lost");
  }
}

std::optional<std::string> StreamHistory::why_gone(std::uint64_t seq, const Attempt& a,
                                                   const StreamState& state,
                                                   const std::map<std::uint64_t, Attempt>& attempts,
                                                   Mono now) const {
  if (may_be_deleted_.count(seq)) return "deleted";
  if (settings.work_queue && may_be_consumed_.count(seq)) return "consumed";
  for (const Purge& p : purges_) {
    if (a.first_sent <= p.ended && (p.subject.empty() || p.subject == a.subject)) return "purged";
  }
  if (tightest_.max_age && (clocks_jump || a.first_sent + tightest_.max_age <= now + clock_slack))
    return "expired";
  if (limits_excuse(seq, a, state, attempts)) return "limits";
  return std::nullopt;
}

bool StreamHistory::limits_excuse(std::uint64_t seq, const Attempt& a, const StreamState& state,
                                  const std::map<std::uint64_t, Attempt>& attempts) const {
  std::uint64_t above = state.last - seq;
  std::uint64_t unknown = above, bytes = 0, same_subject = 0;
  for (auto it = content_.upper_bound(seq); it != content_.end(); ++it) {
    const Attempt& b = attempts.at(it->second);
    --unknown;
    bytes += size_of(b.subject.size(), b.headers.size(), b.payload.size());
    same_subject += b.subject == a.subject;
  }
  if (tightest_.max_msgs_per_subject > 0 &&
      same_subject + unknown >= static_cast<std::uint64_t>(tightest_.max_msgs_per_subject))
    return true;
  if (settings.discard_new) return false;
  if (tightest_.max_msgs > 0 && above >= static_cast<std::uint64_t>(tightest_.max_msgs)) return true;
  bytes += size_of(a.subject.size(), a.headers.size(), a.payload.size());
  return tightest_.max_bytes > 0 && (bytes > static_cast<std::uint64_t>(tightest_.max_bytes) || unknown > 0);
}

void StreamHistory::audit_removed(const std::map<std::uint64_t, SeenMessage>& present,
                                  const std::map<std::uint64_t, Attempt>& attempts, Mono now) const {
  for (const auto& [seq, m] : present) {
    std::string what = "sequence " + std::to_string(seq) + " is there ";
    if (deleted_.count(seq)) return fail(what + "although its deletion was confirmed");
    if (settings.work_queue && consumed_.count(seq)) return fail(what + "although its ack was confirmed");
    auto it = acked_.find(seq);
    if (it == acked_.end()) continue;
    const Attempt& a = attempts.at(it->second);
    for (const Purge& p : purges_) {
      if (!p.confirmed || p.partial || a.acked_at >= p.sent) continue;
      if (p.subject.empty() || p.subject == a.subject) return fail(what + "although it was purged");
    }
    if (settings.max_age && !uncertain_ && !clocks_jump &&
        a.acked_at + settings.max_age + kTickSlack + clock_slack < now)
      return fail(what + "although it expired");
  }
}

void StreamHistory::audit_counters(const StreamState& state,
                                   const std::map<std::uint64_t, SeenMessage>& present) const {
  auto differ = [this](const char* what, std::uint64_t says, std::uint64_t is) {
    if (says != is)
      fail(std::string("state says ") + what + " " + std::to_string(says) + ", found " + std::to_string(is));
  };
  std::uint64_t bytes = 0;
  std::set<std::string_view> subjects;
  for (const auto& [seq, m] : present) {
    bytes += size_of(m.subject.size(), m.headers.size(), m.payload.size());
    subjects.insert(m.subject);
  }
  differ("messages", state.messages, present.size());
  differ("bytes", state.bytes, bytes);
  differ("num_subjects", state.subjects, subjects.size());
  if (present.empty()) return;
  differ("first_seq", state.first, present.begin()->first);
  if (state.last < present.rbegin()->first) differ("last_seq", state.last, present.rbegin()->first);
  differ("num_deleted", state.deleted, state.last - state.first + 1 - present.size());
}

void StreamHistory::audit_limits(const StreamState& state,
                                 const std::map<std::uint64_t, SeenMessage>& present) const {
  if (uncertain_) return;
  auto over = [](std::int64_t limit, std::uint64_t value) {
    return limit > 0 && value > static_cast<std::uint64_t>(limit);
  };
  // A stream that discards new messages keeps what it had when its limits were lowered.
  if (!settings.discard_new && over(settings.max_msgs, state.messages)) fail("more than max_msgs");
  if (!settings.discard_new && over(settings.max_bytes, state.bytes)) fail("more than max_bytes");
  std::map<std::string_view, std::uint64_t> per_subject;
  for (const auto& [seq, m] : present) {
    if (over(settings.max_msgs_per_subject, ++per_subject[m.subject]))
      return fail("more than max_msgs_per_subject of " + m.subject);
  }
}

void StreamHistory::audit_gaps(const StreamState& state,
                               const std::map<std::uint64_t, Attempt>& attempts) const {
  std::uint64_t possible = 0;
  for (const auto& [id, a] : attempts) {
    if (a.stream == number_ && a.incarnation <= incarnation) possible += a.unknown;
  }
  std::uint64_t known = 0;
  for (const auto& [seq, id] : content_) known += seq <= state.last;
  if (state.last - known > possible)
    fail(std::to_string(state.last - known) + " sequences up to " + std::to_string(state.last) +
         " are nobody's, " + std::to_string(possible) + " publishes have an unknown fate");
}

// Only what is still there counts: a removed message does not stand in the way of a comparison.
void StreamHistory::audit_cas(const std::map<std::uint64_t, SeenMessage>& present,
                              const std::map<std::uint64_t, Attempt>& attempts) const {
  std::map<std::string_view, std::set<std::uint64_t>> by_subject;
  for (const auto& [seq, m] : present) by_subject[m.subject].insert(seq);
  for (const auto& [seq, id] : acked_) {
    const Attempt& a = attempts.at(id);
    if (!a.expected_subject_last) continue;
    auto& seqs = by_subject[a.subject];
    auto next = seqs.upper_bound(*a.expected_subject_last);
    if (next != seqs.end() && *next < seq)
      return fail("message " + std::to_string(id) + " expected " + std::to_string(*a.expected_subject_last) +
                  " as last of its subject and is at " + std::to_string(seq) + ", but " +
                  std::to_string(*next) + " is between");
  }
}

}  // namespace weir::sim
