#include "broker/store/store_core.h"

#include <algorithm>

#include "broker/base/check.h"

namespace weir::store {

std::uint64_t StoreCore::stored_size(std::size_t subject, std::size_t headers, std::size_t payload) const {
  if (sizes_ == Sizes::kMemory) return 16 + subject + headers + payload;
  return file_stored_size(subject, headers, payload);
}

std::uint64_t StoreCore::size_of(const Message& m) const {
  return stored_size(m.subject_size, m.header_size, m.record.size() - m.subject_size - m.header_size);
}

void StoreCore::append(Message m) {
  CHECK(m.seq > state_.last_seq, "sequences must rise");
  StreamSeq previous = subjects_.add(m.subject(), m.seq).last;
  if (state_.messages++ == 0) {
    state_.first_seq = m.seq;
    state_.first_time = m.time;
  }
  state_.bytes += size_of(m);
  state_.live.add(m.seq.v);
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

Status StoreCore::restore(SegmentSet sealed, StreamSeq last_seq, Wall last_time) {
  sealed_ = std::move(sealed);
  SubjectMatcher everything{Filter()};
  for (const auto& ref : sealed_.segments()) {
    const Segment& s = *ref;
    Status bad;
    RETURN_IF_ERROR(sealed_.reader().visit_subjects(s, everything, [&](const DictEntry& e) {
      std::uint64_t count = e.count;
      StreamSeq first = s.base + e.first;
      StreamSeq last = s.base + e.last;
      if (s.live != s.messages) {
        count = 0;
        bad = e.postings([&](std::uint32_t offset) {
          if (s.dead.contains(offset)) return true;
          if (count++ == 0) first = s.base + offset;
          last = s.base + offset;
          return true;
        });
      }
      if (bad.has_value() && count != 0) {
        SubjectState x = subjects_.find(e.subject).value_or(SubjectState());
        if (x.count == 0) x.first = first;
        x.last = last;
        x.count += count;
        subjects_.set(e.subject, x);
      }
      return bad.has_value();
    }));
    if (!bad) return bad.error().within(sealed_.reader().path(s));
    state_.messages += s.live;
    state_.bytes += s.live_bytes;
  }
  state_.last_seq = last_seq;
  state_.last_time = last_time;
  if (state_.messages != 0) {
    state_.first_seq = next_live(StreamSeq(1));
    ASSIGN_OR_RETURN(state_.first_time, time_of(state_.first_seq));
  }
  state_.live = sealed_sums(StreamSeq(1), last_seq + 1);
  settle();
  return ok();
}

StreamSeq StoreCore::next_live(StreamSeq from) const {
  if (is_sealed(from)) {
    if (StreamSeq n = sealed_.next_live(from); n.v != 0) return n;
  }
  return tail_.next_live(from);
}

StreamSeq StoreCore::prev_live(StreamSeq upto) const {
  if (StreamSeq n = tail_.prev_live(upto); n.v != 0) return n;
  return sealed_.prev_live(upto);
}

// The tail may go on where the last segment ends.
StreamSeq StoreCore::next_gap(StreamSeq from) const {
  if (is_sealed(from)) from = sealed_.next_gap(from);
  return is_sealed(from) ? from : tail_.next_gap(from);
}

SeqSums StoreCore::sealed_sums(StreamSeq from, StreamSeq end) const {
  SeqSums sums;
  for (StreamSeq at = sealed_.next_live(from); at.v != 0 && at < end;) {
    StreamSeq gap = std::min(sealed_.next_gap(at, end), end);
    sums.add(at.v, gap.v - 1);
    at = sealed_.next_live(gap);
  }
  return sums;
}

std::vector<LiveRange> StoreCore::live_ranges(StreamSeq from, std::size_t limit) const {
  std::vector<LiveRange> out;
  for (StreamSeq at = next_live(from); at.v != 0 && out.size() < limit;) {
    StreamSeq end = next_gap(at);
    out.push_back({at, end - 1});
    at = next_live(end);
  }
  return out;
}

Result<Wall> StoreCore::time_of(StreamSeq seq) const {
  if (tail_.contains(seq)) return tail_.time(seq);
  return sealed_.time(seq);
}

Result<std::optional<Message>> StoreCore::load(StreamSeq seq) {
  if (tail_.contains(seq)) return std::optional<Message>(tail_.get(seq));
  if (!sealed_.contains(seq)) return std::optional<Message>();
  ASSIGN_OR_RETURN(Message m, sealed_.load(seq));
  return std::optional<Message>(std::move(m));
}

Result<std::optional<Message>> StoreCore::next(const Filter& filter, StreamSeq from) {
  MaybeSeq seq;
  if (filter.empty()) {
    if (StreamSeq n = next_live(from); n.v != 0) seq = n;
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
  ASSIGN_OR_RETURN(MaybeSeq sealed, sealed_.seq_at(t));
  if (sealed) return *sealed;
  StreamSeq seq = tail_.seq_at(t);
  return seq.v != 0 ? seq : state_.last_seq + 1;
}

std::optional<SubjectState> StoreCore::subject_state(std::string_view literal) const {
  return subjects_.find(literal);
}

void StoreCore::for_each_subject(const Filter& filter, const SubjectIndex::Visit& visit) const {
  subjects_.visit_in_order(SubjectMatcher(filter), visit);
}

// First and last sequence of `subject` once `seq` is gone; zero if nothing is left.
Result<StoreCore::Neighbours> StoreCore::without(StreamSeq seq, std::string_view subject,
                                                 const SubjectState& s) const {
  Neighbours n{s.first, s.last};
  if (s.count == 1) return Neighbours{};
  if (s.count == 2) {
    StreamSeq other = seq == s.first ? s.last : s.first;
    if (seq == s.first || seq == s.last) return Neighbours{other, other};
  }
  if (seq == s.first) {
    ASSIGN_OR_RETURN(MaybeSeq next, literal_next(subject, s, seq + 1));
    if (!next) return Error{Code::kCorrupt, "no next message of subject " + std::string(subject)};
    n.first = *next;
  }
  if (seq == s.last) {
    ASSIGN_OR_RETURN(MaybeSeq previous, literal_last(subject, s, seq - 1));
    if (!previous) return Error{Code::kCorrupt, "no previous message of subject " + std::string(subject)};
    n.last = *previous;
  }
  return n;
}

Result<Removed> StoreCore::remove(StreamSeq seq) {
  bool in_tail = tail_.contains(seq);
  if (!in_tail && !sealed_.contains(seq)) return Removed{};
  // Reads come first: after the first change nothing may fail.
  SegmentSet::Entry entry;
  if (in_tail) {
    Message m = tail_.get(seq);
    entry = {std::string(m.subject()), m.time, size_of(m)};
  } else {
    ASSIGN_OR_RETURN(entry, sealed_.entry(seq));
  }
  auto s = subjects_.find(entry.subject);
  if (!s) return Error{Code::kCorrupt, "message " + std::to_string(seq.v) + " of no known subject"};
  ASSIGN_OR_RETURN(Neighbours left, without(seq, entry.subject, *s));
  StreamSeq first = state_.first_seq;
  Wall first_time = state_.first_time;
  if (seq == first && state_.messages > 1) {
    first = next_live(seq + 1);
    ASSIGN_OR_RETURN(first_time, time_of(first));
  }

  subjects_.set(entry.subject, {s->count - 1, left.first, left.last});
  if (in_tail) {
    tail_.erase(seq);
  } else {
    sealed_.remove(seq, entry.size);
  }
  --state_.messages;
  state_.live.remove(seq.v);
  state_.bytes -= entry.size;
  state_.first_seq = first;
  state_.first_time = first_time;
  settle();
  return Removed{1, entry.size};
}

Result<Removed> StoreCore::compact(StreamSeq first_keep) {
  if (first_keep > state_.last_seq) {
    Removed all{state_.messages, state_.bytes};
    sealed_.clear();
    tail_.clear();
    subjects_.clear();
    state_.messages = state_.bytes = 0;
    state_.live = {};
    if (first_keep.v > state_.last_seq.v + 1) state_.last_seq = first_keep - 1;
    settle();
    return all;
  }
  if (first_keep <= state_.first_seq) return Removed{};
  StreamSeq first = next_live(first_keep);
  Wall first_time;
  if (first.v != 0) {
    ASSIGN_OR_RETURN(first_time, time_of(first));
  }
  Removed removed;
  RETURN_IF_ERROR(compact_sealed(first_keep, removed));
  Removed more = compact_tail(first_keep);
  removed.messages += more.messages;
  removed.bytes += more.bytes;
  state_.messages -= removed.messages;
  state_.bytes -= removed.bytes;
  state_.first_seq = first;
  state_.first_time = first_time;
  settle();
  return removed;
}

Status StoreCore::compact_sealed(StreamSeq first_keep, Removed& removed) {
  if (sealed_.empty()) return ok();
  ASSIGN_OR_RETURN(SegmentSet::Below below, sealed_.below(first_keep));
  std::vector<SubjectState> left;
  left.reserve(below.subjects.size());
  for (const auto& [subject, count] : below.subjects) {
    auto s = subjects_.find(subject);
    if (!s || s->count < count) {
      return {Code::kCorrupt, "dictionaries contradict the index at subject " + subject};
    }
    MaybeSeq first = s->last;
    if (s->count > count + 1) {
      ASSIGN_OR_RETURN(first, literal_next(subject, *s, first_keep));
    }
    // None left above: the tail's turn removes the rest.
    left.push_back({s->count - count, first.value_or(s->last), s->last});
  }
  auto state = left.begin();
  for (const auto& [subject, count] : below.subjects) subjects_.set(subject, *state++);
  state_.live.remove(sealed_sums(state_.first_seq, first_keep));
  sealed_.drop_below(first_keep, below.cut_bytes);
  removed.messages += below.messages;
  removed.bytes += below.bytes;
  return ok();
}

Removed StoreCore::compact_tail(StreamSeq first_keep) {
  Removed removed;
  for (StreamSeq q = tail_.next_live(StreamSeq(1)); q.v != 0 && q < first_keep; q = tail_.next_live(q)) {
    removed.bytes += size_of(tail_.get(q));
    ++removed.messages;
    state_.live.remove(q.v);
    std::string_view subject = tail_.subject(q);
    auto s = subjects_.find(subject);
    CHECK(s && s->count != 0, "a live message without its subject");
    subjects_.set(subject, {s->count - 1, std::max(s->first, tail_.next_same(q)), s->last});
    tail_.erase(q);
  }
  return removed;
}

std::vector<StreamSeq> StoreCore::deleted(std::size_t limit) const {
  std::vector<StreamSeq> out;
  if (state_.deleted == 0) return out;
  StreamSeq q = state_.first_seq;
  while (out.size() < limit) {
    q = is_sealed(q) ? sealed_.next_gap(q) : tail_.next_gap(q);
    if (q > state_.last_seq) break;
    StreamSeq live = next_live(q);
    if (live == q) continue;  // the segments end here, the tail goes on
    StreamSeq end = live.v != 0 ? live : state_.last_seq + 1;
    for (; q < end && out.size() < limit; ++q) out.push_back(q);
  }
  return out;
}

}  // namespace weir::store
