// Filtered questions of StoreCore: which live messages match.
#include <algorithm>

#include "broker/base/check.h"
#include "broker/store/store_core.h"

namespace weir::store {
namespace {

// First round of the race between scanning messages and asking the subject index.
constexpr std::size_t kRaceStart = 128;
// So many subjects that straddle a bound are looked up one by one; beyond, messages or dictionaries
// are walked.
constexpr std::size_t kStraddlersMax = 32;

struct Straddler {
  std::string subject;
  SubjectState state;
};

}  // namespace

// Looks at the next messages; without a match `from` says where to go on, 0 when nothing is left.
Result<StoreCore::MaybeSeq> StoreCore::scan_next(const SubjectMatcher& matcher, StreamSeq& from,
                                                 std::size_t limit) const {
  if (is_sealed(from)) return sealed_.scan_next(matcher, from);
  for (std::size_t i = 0; i < limit; ++i) {
    from = tail_.next_live(from);
    if (from.v == 0) return MaybeSeq();
    if (matcher.matches(tail_.subject(from))) return MaybeSeq(from);
    ++from;
  }
  return MaybeSeq();
}

Result<StoreCore::MaybeSeq> StoreCore::scan_last(const SubjectMatcher& matcher, StreamSeq& upto,
                                                 std::size_t limit) const {
  for (std::size_t i = 0; i < limit; ++i) {
    StreamSeq at = tail_.prev_live(upto);
    if (at.v == 0) {
      if (!is_sealed(upto)) upto = sealed_.last();
      return sealed_.scan_last(matcher, upto);
    }
    if (matcher.matches(tail_.subject(at))) return MaybeSeq(at);
    upto = at - 1;
  }
  return MaybeSeq();
}

Result<StoreCore::MaybeSeq> StoreCore::find_next(const SubjectMatcher& matcher, StreamSeq from) const {
  if (matcher.all()) {
    StreamSeq n = next_live(from);
    return n.v != 0 ? MaybeSeq(n) : MaybeSeq();
  }
  if (auto literal = matcher.only_literal(); !literal.empty()) {
    auto s = subjects_.find(literal);
    return s ? literal_next(literal, *s, from) : MaybeSeq();
  }
  for (std::size_t round = kRaceStart;; round *= 4) {
    ASSIGN_OR_RETURN(MaybeSeq near, scan_next(matcher, from, round));
    if (near || from.v == 0) return near;
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
    if (whole) {
      for (const auto& x : straddlers) {
        ASSIGN_OR_RETURN(MaybeSeq n, literal_next(x.subject, x.state, from));
        if (n && (!best || *n < *best)) best = n;
      }
      return best;
    }
    if (is_sealed(from)) {
      ASSIGN_OR_RETURN(MaybeSeq far, sealed_.next_match(matcher, from));
      if (far) return far;
      from = sealed_.last() + 1;
    }
  }
}

Result<StoreCore::MaybeSeq> StoreCore::find_last(const SubjectMatcher& matcher, StreamSeq upto) const {
  if (matcher.all()) {
    StreamSeq n = prev_live(upto);
    return n.v != 0 ? MaybeSeq(n) : MaybeSeq();
  }
  if (auto literal = matcher.only_literal(); !literal.empty()) {
    auto s = subjects_.find(literal);
    return s ? literal_last(literal, *s, upto) : MaybeSeq();
  }
  for (std::size_t round = kRaceStart;; round *= 4) {
    ASSIGN_OR_RETURN(MaybeSeq near, scan_last(matcher, upto, round));
    if (near || upto.v == 0) return near;
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
    if (whole) {
      for (const auto& x : straddlers) {
        ASSIGN_OR_RETURN(MaybeSeq n, literal_last(x.subject, x.state, upto));
        if (n && (!best || *n > *best)) best = n;
      }
      return best;
    }
    if (tail_.prev_live(upto).v == 0) return sealed_.last_match(matcher, upto);
  }
}

// A scan from `from`, a walk of the chain from its front and one from its back go in step; the first
// to know wins. At least one is short unless the subject is both common and very unevenly spread.
// Requires s.last to be in the tail and >= from, and no match between the segments and `from`.
StreamSeq StoreCore::tail_next(std::string_view subject, const SubjectState& s, StreamSeq from) const {
  StreamSeq front = tail_.contains(s.first) ? s.first : StreamSeq();
  StreamSeq back = s.last;
  for (StreamSeq scan = tail_.next_live(from);; scan = tail_.next_live(scan + 1)) {
    if (tail_.subject(scan) == subject) return scan;
    if (front.v != 0) {
      front = tail_.next_same(front);
      if (front >= from) return front;
    }
    StreamSeq before = tail_.prev_same(back);
    if (before < from) return back;
    back = before;
  }
}

// The same backwards; requires s.last to be in the tail and > upto. 0 if the tail has none.
StreamSeq StoreCore::tail_last(std::string_view subject, const SubjectState& s, StreamSeq upto) const {
  StreamSeq front = tail_.contains(s.first) ? s.first : StreamSeq();
  if (front > upto) return {};
  StreamSeq back = s.last;
  for (StreamSeq scan = tail_.prev_live(upto); scan.v != 0; scan = tail_.prev_live(scan - 1)) {
    if (tail_.subject(scan) == subject) return scan;
    back = tail_.prev_same(back);
    if (back <= upto) return back;  // 0 at the chain's end
    if (front.v != 0) {
      StreamSeq after = tail_.next_same(front);
      if (after > upto) return front;
      front = after;
    }
  }
  return {};
}

Result<StoreCore::MaybeSeq> StoreCore::literal_next(std::string_view subject, const SubjectState& s,
                                                    StreamSeq from) const {
  if (from > s.last) return MaybeSeq();
  if (from <= s.first) return MaybeSeq(s.first);
  if (s.count == 2) return MaybeSeq(s.last);
  if (is_sealed(from)) {
    SubjectMatcher literal{Filter{std::string(subject)}};
    ASSIGN_OR_RETURN(MaybeSeq n, sealed_.next_match(literal, from));
    if (n || !tail_.contains(s.last)) return n;
    from = sealed_.last() + 1;
  }
  if (!tail_.contains(s.last)) return Error{Code::kCorrupt, "index names a message that is not there"};
  return MaybeSeq(tail_next(subject, s, from));
}

Result<StoreCore::MaybeSeq> StoreCore::literal_last(std::string_view subject, const SubjectState& s,
                                                    StreamSeq upto) const {
  if (upto < s.first) return MaybeSeq();
  if (upto >= s.last) return MaybeSeq(s.last);
  if (s.count == 2) return MaybeSeq(s.first);
  if (!is_sealed(upto)) {
    if (StreamSeq n = tail_last(subject, s, upto); n.v != 0) return MaybeSeq(n);
    upto = sealed_.last();
  }
  SubjectMatcher literal{Filter{std::string(subject)}};
  return sealed_.last_match(literal, upto);
}

Result<std::uint64_t> StoreCore::literal_count(std::string_view subject, const SubjectState& s,
                                               StreamSeq from) const {
  if (from > s.last) return std::uint64_t{0};
  if (from <= s.first) return s.count;
  std::uint64_t n = 0;
  for (StreamSeq q = s.last; q >= from && tail_.contains(q); q = tail_.prev_same(q)) ++n;
  if (!is_sealed(from)) return n;
  ASSIGN_OR_RETURN(std::uint64_t sealed,
                   sealed_.count_match(SubjectMatcher{Filter{std::string(subject)}}, from));
  return n + sealed;
}

Result<std::uint64_t> StoreCore::count_by_scan(const SubjectMatcher& matcher, StreamSeq from) const {
  ASSIGN_OR_RETURN(std::uint64_t n, sealed_.count_match(matcher, from));
  for (StreamSeq q = tail_.next_live(from); q.v != 0; q = tail_.next_live(q + 1)) {
    if (matcher.matches(tail_.subject(q))) ++n;
  }
  return n;
}

Result<std::uint64_t> StoreCore::count(const Filter& filter, StreamSeq from) {
  if (state_.messages == 0 || from > state_.last_seq) return std::uint64_t{0};
  SubjectMatcher matcher(filter);
  if (matcher.all()) {
    if (from <= state_.first_seq) return state_.messages;
    return sealed_.count_from(from) + tail_.count_from(from);
  }
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
  if (!few || (sealed_.empty() && in_straddlers > tail_.count_from(from))) {
    return count_by_scan(matcher, from);
  }
  for (const auto& x : straddlers) {
    ASSIGN_OR_RETURN(std::uint64_t c, literal_count(x.subject, x.state, from));
    n += c;
  }
  return n;
}

}  // namespace weir::store
