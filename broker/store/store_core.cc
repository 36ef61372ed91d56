#include "broker/store/store_core.h"

#include <algorithm>

#include "broker/base/check.h"

namespace weir::store {
namespace {

// First round of the race between scanning messages and asking the subject index.
constexpr std::size_t kRaceStart = 128;
// So many subjects that straddle a bound are looked up one by one; beyond, messages are scanned.
constexpr std::size_t kStraddlersMax = 32;

struct Straddler {
  std::string subject;
  SubjectState state;
};

}  // namespace

std::uint64_t StoreCore::stored_size(std::size_t subject, std::size_t headers, std::size_t payload) const {
  if (sizes_ == Sizes::kMemory) return 16 + subject + headers + payload;
  return 30 + subject + (headers != 0 ? 4 + headers : 0) + payload;
}

std::uint64_t StoreCore::size_of(const Message& m) const {
  return stored_size(m.subject_size, m.header_size, m.record.size() - m.subject_size - m.header_size);
}

void StoreCore::append(Message m) {
  CHECK(m.seq > state_.last_seq, "sequences must rise");
  SubjectState& s = subjects_.upsert(m.subject());
  StreamSeq previous = s.count != 0 ? s.last : StreamSeq();
  if (s.count++ == 0) s.first = m.seq;
  s.last = m.seq;
  if (state_.messages++ == 0) {
    state_.first_seq = m.seq;
    state_.first_time = m.time;
  }
  state_.bytes += size_of(m);
  state_.last_seq = m.seq;
  state_.last_time = m.time;
  state_.subjects = subjects_.size();
  state_.deleted = state_.last_seq - state_.first_seq + 1 - state_.messages;
  tail_.append(std::move(m), previous);
}

void StoreCore::skip_to(StreamSeq seq, Wall time) {
  CHECK(seq >= state_.last_seq, "a stream's last sequence never falls");
  state_.last_seq = seq;
  state_.last_time = time;
  settle();
}

// Brings the figures that follow from the others up to date.
void StoreCore::settle() {
  if (state_.messages == 0) {
    state_.first_seq = state_.last_seq.v == 0 ? StreamSeq() : state_.last_seq + 1;
    state_.first_time = Wall();
    state_.deleted = 0;
  } else {
    state_.deleted = state_.last_seq - state_.first_seq + 1 - state_.messages;
  }
  state_.subjects = subjects_.size();
}

Result<std::optional<Message>> StoreCore::load(StreamSeq seq) {
  if (!tail_.contains(seq)) return std::optional<Message>();
  return std::optional<Message>(tail_.get(seq));
}

Result<std::optional<Message>> StoreCore::next(const Filter& filter, StreamSeq from) {
  MaybeSeq seq;
  if (filter.empty()) {
    StreamSeq n = tail_.next_live(from);
    if (n.v != 0) seq = n;
  } else {
    ASSIGN_OR_RETURN(seq, find_next(SubjectMatcher(filter), from));
  }
  if (!seq) return std::optional<Message>();
  return load(*seq);
}

Result<std::optional<Message>> StoreCore::last(const Filter& filter, StreamSeq upto) {
  ASSIGN_OR_RETURN(MaybeSeq seq, find_last(SubjectMatcher(filter), upto));
  if (!seq) return std::optional<Message>();
  return load(*seq);
}

Result<StreamSeq> StoreCore::seq_at(Wall t) {
  StreamSeq seq = tail_.seq_at(t);
  return seq.v != 0 ? seq : state_.last_seq + 1;
}

Result<StoreCore::MaybeSeq> StoreCore::find_next(const SubjectMatcher& matcher, StreamSeq from) {
  if (matcher.all()) {
    StreamSeq n = tail_.next_live(from);
    return n.v != 0 ? MaybeSeq(n) : MaybeSeq();
  }
  if (auto literal = matcher.only_literal(); !literal.empty()) {
    const SubjectState* s = subjects_.find(literal);
    if (s == nullptr) return MaybeSeq();
    return literal_next(literal, *s, from);
  }
  for (std::size_t round = kRaceStart;; round *= 4) {
    for (std::size_t i = 0; i < round; ++i) {
      from = tail_.next_live(from);
      if (from.v == 0) return MaybeSeq();
      if (matcher.matches(tail_.subject(from))) return MaybeSeq(from);
      ++from;
    }
    MaybeSeq best;
    std::size_t seen = 0;
    std::vector<Straddler> straddlers;
    bool whole = subjects_.visit(matcher, [&](std::string_view subject, const SubjectState& s) {
      if (s.first >= from) {
        if (!best || s.first < *best) best = s.first;
      } else if (s.last >= from) {
        straddlers.push_back({std::string(subject), s});
      }
      return ++seen <= round && straddlers.size() <= kStraddlersMax;
    });
    if (!whole) continue;
    for (const auto& x : straddlers) {
      ASSIGN_OR_RETURN(MaybeSeq n, literal_next(x.subject, x.state, from));
      if (n && (!best || *n < *best)) best = n;
    }
    return best;
  }
}

Result<StoreCore::MaybeSeq> StoreCore::find_last(const SubjectMatcher& matcher, StreamSeq upto) {
  if (matcher.all()) {
    StreamSeq n = tail_.prev_live(upto);
    return n.v != 0 ? MaybeSeq(n) : MaybeSeq();
  }
  if (auto literal = matcher.only_literal(); !literal.empty()) {
    const SubjectState* s = subjects_.find(literal);
    if (s == nullptr) return MaybeSeq();
    return literal_last(literal, *s, upto);
  }
  for (std::size_t round = kRaceStart;; round *= 4) {
    for (std::size_t i = 0; i < round; ++i) {
      upto = tail_.prev_live(upto);
      if (upto.v == 0) return MaybeSeq();
      if (matcher.matches(tail_.subject(upto))) return MaybeSeq(upto);
      upto = upto - 1;
    }
    MaybeSeq best;
    std::size_t seen = 0;
    std::vector<Straddler> straddlers;
    bool whole = subjects_.visit(matcher, [&](std::string_view subject, const SubjectState& s) {
      if (s.last <= upto) {
        if (!best || s.last > *best) best = s.last;
      } else if (s.first <= upto) {
        straddlers.push_back({std::string(subject), s});
      }
      return ++seen <= round && straddlers.size() <= kStraddlersMax;
    });
    if (!whole) continue;
    for (const auto& x : straddlers) {
      ASSIGN_OR_RETURN(MaybeSeq n, literal_last(x.subject, x.state, upto));
      if (n && (!best || *n > *best)) best = n;
    }
    return best;
  }
}

// A scan from `from`, a walk of the chain from its front and one from its back go in step; the first
// to know wins. At least one is short unless the subject is both common and very unevenly spread.
Result<StoreCore::MaybeSeq> StoreCore::literal_next(std::string_view subject, const SubjectState& s,
                                                    StreamSeq from) {
  if (from > s.last) return MaybeSeq();
  if (from <= s.first) return MaybeSeq(s.first);
  StreamSeq front = s.first;
  StreamSeq back = s.last;
  for (StreamSeq scan = tail_.next_live(from);; scan = tail_.next_live(scan + 1)) {
    if (tail_.subject(scan) == subject) return MaybeSeq(scan);
    front = tail_.next_same(front);
    if (front >= from) return MaybeSeq(front);
    StreamSeq before = tail_.prev_same(back);
    if (before < from) return MaybeSeq(back);
    back = before;
  }
}

Result<StoreCore::MaybeSeq> StoreCore::literal_last(std::string_view subject, const SubjectState& s,
                                                    StreamSeq upto) {
  if (upto < s.first) return MaybeSeq();
  if (upto >= s.last) return MaybeSeq(s.last);
  StreamSeq front = s.first;
  StreamSeq back = s.last;
  for (StreamSeq scan = tail_.prev_live(upto);; scan = tail_.prev_live(scan - 1)) {
    if (tail_.subject(scan) == subject) return MaybeSeq(scan);
    back = tail_.prev_same(back);
    if (back <= upto) return MaybeSeq(back);
    StreamSeq after = tail_.next_same(front);
    if (after > upto) return MaybeSeq(front);
    front = after;
  }
}

Result<std::uint64_t> StoreCore::literal_count(std::string_view subject, const SubjectState& s,
                                               StreamSeq from) {
  if (from > s.last) return std::uint64_t{0};
  if (from <= s.first) return s.count;
  ASSIGN_OR_RETURN(MaybeSeq seq, literal_next(subject, s, from));
  std::uint64_t n = 0;
  for (StreamSeq q = *seq; q.v != 0; q = tail_.next_same(q)) ++n;
  return n;
}

Result<std::uint64_t> StoreCore::count_by_scan(const SubjectMatcher& matcher, StreamSeq from) {
  std::uint64_t n = 0;
  for (StreamSeq q = tail_.next_live(from); q.v != 0; q = tail_.next_live(q + 1)) {
    if (matcher.matches(tail_.subject(q))) ++n;
  }
  return n;
}

Result<std::uint64_t> StoreCore::count(const Filter& filter, StreamSeq from) {
  if (state_.messages == 0 || from > state_.last_seq) return std::uint64_t{0};
  SubjectMatcher matcher(filter);
  if (matcher.all()) return from <= state_.first_seq ? state_.messages : tail_.count_from(from);
  // Subjects on one side of `from` are answered by the index; the others are few or many.
  std::uint64_t n = 0;
  std::uint64_t in_straddlers = 0;
  std::vector<Straddler> straddlers;
  bool few = subjects_.visit(matcher, [&](std::string_view subject, const SubjectState& s) {
    if (s.first >= from) {
      n += s.count;
    } else if (s.last >= from) {
      straddlers.push_back({std::string(subject), s});
      in_straddlers += s.count;
    }
    return straddlers.size() <= kStraddlersMax;
  });
  if (!few || in_straddlers > tail_.count_from(from)) return count_by_scan(matcher, from);
  for (const auto& x : straddlers) {
    ASSIGN_OR_RETURN(std::uint64_t c, literal_count(x.subject, x.state, from));
    n += c;
  }
  return n;
}

std::optional<SubjectState> StoreCore::subject_state(std::string_view literal) const {
  const SubjectState* s = subjects_.find(literal);
  return s != nullptr ? std::optional<SubjectState>(*s) : std::nullopt;
}

void StoreCore::for_each_subject(const Filter& filter, const SubjectIndex::Visit& visit) const {
  subjects_.visit(SubjectMatcher(filter), visit);
}

void StoreCore::removed_from_tail(StreamSeq seq) {
  std::string_view subject = tail_.subject(seq);
  SubjectState* s = subjects_.find(subject);
  CHECK(s != nullptr && s->count != 0, "a live message without its subject");
  if (--s->count == 0) {
    subjects_.erase(subject);
  } else {
    if (s->first == seq) s->first = tail_.next_same(seq);
    if (s->last == seq) s->last = tail_.prev_same(seq);
  }
  tail_.erase(seq);
}

Result<Removed> StoreCore::remove(StreamSeq seq) {
  if (!tail_.contains(seq)) return Removed{};
  Removed removed{1, size_of(tail_.get(seq))};
  removed_from_tail(seq);
  --state_.messages;
  state_.bytes -= removed.bytes;
  if (seq == state_.first_seq && state_.messages != 0) {
    state_.first_seq = tail_.next_live(seq);
    state_.first_time = tail_.time(state_.first_seq);
  }
  settle();
  return removed;
}

Result<Removed> StoreCore::compact(StreamSeq first_keep) {
  Removed removed;
  if (first_keep > state_.last_seq) {
    removed = {state_.messages, state_.bytes};
    tail_.clear();
    subjects_.clear();
    if (first_keep.v > state_.last_seq.v + 1) state_.last_seq = first_keep - 1;
  } else {
    for (StreamSeq q = tail_.next_live(StreamSeq(1)); q.v != 0 && q < first_keep; q = tail_.next_live(q)) {
      removed.bytes += size_of(tail_.get(q));
      ++removed.messages;
      removed_from_tail(q);
    }
  }
  state_.messages -= removed.messages;
  state_.bytes -= removed.bytes;
  if (state_.messages != 0) {
    state_.first_seq = tail_.next_live(StreamSeq(1));
    state_.first_time = tail_.time(state_.first_seq);
  }
  settle();
  return removed;
}

std::vector<StreamSeq> StoreCore::deleted(std::size_t limit) const {
  std::vector<StreamSeq> out;
  if (state_.deleted == 0) return out;
  for (StreamSeq q = state_.first_seq; q <= state_.last_seq && out.size() < limit; ++q) {
    StreamSeq live = tail_.next_live(q);
    StreamSeq end = live.v != 0 ? live : state_.last_seq + 1;
    for (; q < end && out.size() < limit; ++q) out.push_back(q);
  }
  return out;
}

}  // namespace weir::store
