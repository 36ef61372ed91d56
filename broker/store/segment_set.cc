#include "broker/store/segment_set.h"

#include <algorithm>
#include <utility>

#include "broker/base/check.h"

namespace weir::store {
namespace {

// So many live messages are looked at before a dictionary is asked.
constexpr unsigned kScanRows = 128;

// Remembers per block which of its subjects match; a single literal is just compared.
class RowMatcher {
 public:
  RowMatcher(const SubjectMatcher& matcher, const BlockIndex& index)
      : matcher_(matcher), index_(index), literal_(matcher.only_literal()) {
    if (literal_.empty()) known_.assign(index.subjects.size(), -1);
  }
  bool matches(const BlockIndex::Row& row) {
    if (!literal_.empty()) return index_.subjects[row.subject] == literal_;
    signed char& k = known_[row.subject];
    if (k < 0) k = matcher_.matches(index_.subjects[row.subject]) ? 1 : 0;
    return k != 0;
  }

 private:
  const SubjectMatcher& matcher_;
  const BlockIndex& index_;
  std::string_view literal_;
  std::vector<signed char> known_;
};

}  // namespace

std::uint64_t file_stored_size(std::size_t subject, std::size_t headers, std::size_t payload) {
  return 30 + subject + (headers != 0 ? 4 + headers : 0) + payload;
}

// First segment whose last sequence is not below `seq`.
std::size_t SegmentSet::lower(StreamSeq seq) const {
  auto it =
      std::partition_point(segments_.begin(), segments_.end(), [&](const Ref& s) { return s->last < seq; });
  return static_cast<std::size_t>(it - segments_.begin());
}

Segment* SegmentSet::at(StreamSeq seq) const {
  std::size_t i = lower(seq);
  return i < segments_.size() && segments_[i]->base <= seq ? segments_[i].get() : nullptr;
}

bool SegmentSet::contains(StreamSeq seq) const {
  const Segment* s = at(seq);
  return s != nullptr && s->is_live(seq);
}

StreamSeq SegmentSet::next_live(StreamSeq seq) const {
  for (std::size_t i = lower(seq); i < segments_.size(); ++i) {
    const Segment& s = *segments_[i];
    std::uint32_t from = seq > s.base ? s.offset_of(seq) : 0;
    if (auto offset = s.dead.next_absent(from, s.span())) return s.base + *offset;
  }
  return {};
}

StreamSeq SegmentSet::prev_live(StreamSeq seq) const {
  std::size_t i = lower(seq);
  if (i < segments_.size() && segments_[i]->base <= seq) ++i;
  while (i-- > 0) {
    const Segment& s = *segments_[i];
    std::uint32_t to = seq < s.last ? s.offset_of(seq) : s.span();
    if (auto offset = s.dead.prev_absent(0, to)) return s.base + *offset;
  }
  return {};
}

StreamSeq SegmentSet::next_gap(StreamSeq seq, StreamSeq end) const {
  for (std::size_t i = lower(seq); i < segments_.size(); ++i) {
    const Segment& s = *segments_[i];
    if (seq < s.base || seq >= end) return seq;
    if (auto offset = s.dead.next_member(s.offset_of(seq), s.span())) return s.base + *offset;
    seq = s.last + 1;
  }
  return seq;
}

std::uint64_t SegmentSet::count_from(StreamSeq from) const {
  std::uint64_t n = 0;
  for (std::size_t i = lower(from); i < segments_.size(); ++i) {
    const Segment& s = *segments_[i];
    if (from <= s.base) {
      n += s.live;
    } else {
      n += s.last - from + 1 - s.dead.count(s.offset_of(from), s.span());
    }
  }
  return n;
}

Result<Message> SegmentSet::load(StreamSeq seq) const {
  const Segment* s = at(seq);
  CHECK(s != nullptr, "not sealed");
  // A sequential reader stays in one block: then the footer is not asked.
  if (hint_.cache_id == s->cache_id && seq >= hint_.base && seq <= hint_.last) {
    ASSIGN_OR_RETURN(auto block, reader_.block(*s, hint_.block));
    if (const auto* row = block->index.find(seq)) return block->message(*row);
  }
  ASSIGN_OR_RETURN(auto footer, reader_.footer(*s));
  std::size_t i = footer->block_of(seq);
  if (i < footer->blocks.size()) {
    ASSIGN_OR_RETURN(auto block, reader_.block(*s, i));
    hint_ = {s->cache_id, i, footer->blocks[i].base, footer->blocks[i].last};
    if (const auto* row = block->index.find(seq)) return block->message(*row);
  }
  return {Code::kCorrupt, reader_.path(*s) + ": no message " + std::to_string(seq.v)};
}

Result<SegmentSet::Entry> SegmentSet::entry(StreamSeq seq) const {
  const Segment* s = at(seq);
  CHECK(s != nullptr, "not sealed");
  ASSIGN_OR_RETURN(auto footer, reader_.footer(*s));
  std::size_t i = footer->block_of(seq);
  if (i < footer->blocks.size()) {
    ASSIGN_OR_RETURN(auto index, reader_.index(*s, i));
    if (const auto* row = index->find(seq)) {
      std::string_view subject = index->subjects[row->subject];
      return Entry{std::string(subject), row->time,
                   file_stored_size(subject.size(), row->header_size, row->payload_size)};
    }
  }
  return {Code::kCorrupt, reader_.path(*s) + ": no message " + std::to_string(seq.v)};
}

Result<Wall> SegmentSet::time(StreamSeq seq) const {
  ASSIGN_OR_RETURN(Entry e, entry(seq));
  return e.time;
}

Result<SegmentSet::MaybeSeq> SegmentSet::seq_at(Wall t) const {
  auto it = std::partition_point(segments_.begin(), segments_.end(),
                                 [&](const Ref& s) { return s->last_time < t; });
  if (it == segments_.end()) return MaybeSeq();
  const Segment& s = **it;
  StreamSeq from = s.base;
  if (s.first_time < t) {
    ASSIGN_OR_RETURN(auto footer, reader_.footer(s));
    auto block = std::partition_point(footer->blocks.begin(), footer->blocks.end(),
                                      [&](const BlockInfo& b) { return b.last_time < t; });
    if (block == footer->blocks.end()) return Error{Code::kCorrupt, reader_.path(s) + ": times contradict"};
    ASSIGN_OR_RETURN(auto index, reader_.index(s, static_cast<std::size_t>(block - footer->blocks.begin())));
    auto row = std::partition_point(index->rows.begin(), index->rows.end(),
                                    [&](const BlockIndex::Row& r) { return r.time < t; });
    from = row == index->rows.end() ? block->last + 1 : index->base + row->seq_offset;
  }
  StreamSeq live = next_live(from);
  return live.v != 0 ? MaybeSeq(live) : MaybeSeq();
}

Result<SegmentSet::MaybeSeq> SegmentSet::scan_next(const SubjectMatcher& matcher, StreamSeq& from) const {
  unsigned left = kScanRows;
  while (left != 0) {
    from = next_live(from);
    if (from.v == 0) {
      from = last() + 1;
      return MaybeSeq();
    }
    const Segment& s = *at(from);
    ASSIGN_OR_RETURN(auto footer, reader_.footer(s));
    std::size_t b = footer->block_of(from);
    if (b == footer->blocks.size()) break;
    ASSIGN_OR_RETURN(auto index, reader_.index(s, b));
    RowMatcher rows(matcher, *index);
    std::size_t i = index->lower(from);
    for (; i < index->rows.size() && left != 0; ++i) {
      StreamSeq seq = index->base + index->rows[i].seq_offset;
      if (!s.is_live(seq)) continue;
      if (rows.matches(index->rows[i])) return MaybeSeq(seq);
      --left;
    }
    from = i < index->rows.size() ? index->base + index->rows[i].seq_offset : footer->blocks[b].last + 1;
  }
  return MaybeSeq();
}

Result<SegmentSet::MaybeSeq> SegmentSet::scan_last(const SubjectMatcher& matcher, StreamSeq& upto) const {
  unsigned left = kScanRows;
  while (left != 0) {
    upto = prev_live(upto);
    if (upto.v == 0) return MaybeSeq();
    const Segment& s = *at(upto);
    ASSIGN_OR_RETURN(auto footer, reader_.footer(s));
    std::size_t b = footer->block_of(upto);
    if (b == footer->blocks.size()) break;
    ASSIGN_OR_RETURN(auto index, reader_.index(s, b));
    RowMatcher rows(matcher, *index);
    std::size_t i = index->lower(upto + 1);
    for (; i > 0 && left != 0; --i) {
      StreamSeq seq = index->base + index->rows[i - 1].seq_offset;
      if (!s.is_live(seq)) continue;
      if (rows.matches(index->rows[i - 1])) return MaybeSeq(seq);
      --left;
    }
    upto = i > 0 ? index->base + index->rows[i - 1].seq_offset : index->base - 1;
  }
  return MaybeSeq();
}

Result<SegmentSet::MaybeSeq> SegmentSet::next_match(const SubjectMatcher& matcher, StreamSeq from) const {
  ASSIGN_OR_RETURN(MaybeSeq near, scan_next(matcher, from));
  if (near) return near;
  for (std::size_t i = lower(from); i < segments_.size(); ++i) {
    const Segment& s = *segments_[i];
    std::uint32_t lo = from > s.base ? s.offset_of(from) : 0;
    std::optional<std::uint32_t> best;
    Status bad;
    RETURN_IF_ERROR(reader_.visit_subjects(s, matcher, [&](const DictEntry& e) {
      if (e.last < lo || (best && e.first >= *best)) return true;
      auto read = e.postings([&](std::uint32_t offset) {
        if (best && offset >= *best) return false;
        if (offset < lo || s.dead.contains(offset)) return true;
        best = offset;
        return false;
      });
      if (!read) bad = read;
      return bad.has_value();
    }));
    if (!bad) return bad.error().within(reader_.path(s));
    if (best) return MaybeSeq(s.base + *best);
  }
  return MaybeSeq();
}

Result<SegmentSet::MaybeSeq> SegmentSet::last_match(const SubjectMatcher& matcher, StreamSeq upto) const {
  ASSIGN_OR_RETURN(MaybeSeq near, scan_last(matcher, upto));
  if (near) return near;
  if (upto.v == 0) return MaybeSeq();
  std::size_t i = lower(upto);
  if (i < segments_.size() && segments_[i]->base <= upto) ++i;
  while (i-- > 0) {
    const Segment& s = *segments_[i];
    std::uint32_t hi = upto < s.last ? s.offset_of(upto) : s.span();
    std::optional<std::uint32_t> best;
    Status bad;
    RETURN_IF_ERROR(reader_.visit_subjects(s, matcher, [&](const DictEntry& e) {
      if (e.first > hi || (best && e.last <= *best)) return true;
      auto read = e.postings([&](std::uint32_t offset) {
        if (offset > hi) return false;
        if ((!best || offset > *best) && !s.dead.contains(offset)) best = offset;
        return true;
      });
      if (!read) bad = read;
      return bad.has_value();
    }));
    if (!bad) return bad.error().within(reader_.path(s));
    if (best) return MaybeSeq(s.base + *best);
  }
  return MaybeSeq();
}

Result<std::uint64_t> SegmentSet::count_match(const SubjectMatcher& matcher, StreamSeq from) const {
  std::uint64_t n = 0;
  for (std::size_t i = lower(from); i < segments_.size(); ++i) {
    const Segment& s = *segments_[i];
    std::uint32_t lo = from > s.base ? s.offset_of(from) : 0;
    bool untouched = s.live == s.messages;
    Status bad;
    RETURN_IF_ERROR(reader_.visit_subjects(s, matcher, [&](const DictEntry& e) {
      if (e.last < lo) return true;
      if (untouched && e.first >= lo) {
        n += e.count;
        return true;
      }
      auto read = e.postings([&](std::uint32_t offset) {
        if (offset >= lo && !s.dead.contains(offset)) ++n;
        return true;
      });
      if (!read) bad = read;
      return bad.has_value();
    }));
    if (!bad) return bad.error().within(reader_.path(s));
  }
  return n;
}

Result<SegmentSet::Below> SegmentSet::below(StreamSeq first_keep) const {
  Below out;
  SubjectMatcher everything{Filter()};
  for (const auto& ref : segments_) {
    const Segment& s = *ref;
    if (s.base >= first_keep) break;
    if (s.last < first_keep) {
      Status bad;
      RETURN_IF_ERROR(reader_.visit_subjects(s, everything, [&](const DictEntry& e) {
        std::uint64_t live = s.live == s.messages ? e.count : 0;
        if (live == 0) {
          bad = e.postings([&](std::uint32_t offset) {
            if (!s.dead.contains(offset)) ++live;
            return true;
          });
        }
        if (live != 0) out.subjects[std::string(e.subject)] += live;
        return bad.has_value();
      }));
      if (!bad) return bad.error().within(reader_.path(s));
      out.messages += s.live;
      out.bytes += s.live_bytes;
      continue;
    }
    ASSIGN_OR_RETURN(auto footer, reader_.footer(s));
    for (StreamSeq q = next_live(s.base); q.v != 0 && q < first_keep; q = next_live(q)) {
      std::size_t b = footer->block_of(q);
      if (b == footer->blocks.size()) return Error{Code::kCorrupt, reader_.path(s) + ": blocks contradict"};
      ASSIGN_OR_RETURN(auto index, reader_.index(s, b));
      for (std::size_t i = index->lower(q); i < index->rows.size(); ++i) {
        const auto& row = index->rows[i];
        StreamSeq seq = index->base + row.seq_offset;
        if (seq >= first_keep) break;
        if (!s.is_live(seq)) continue;
        std::string_view subject = index->subjects[row.subject];
        ++out.subjects[std::string(subject)];
        ++out.messages;
        out.cut_bytes += file_stored_size(subject.size(), row.header_size, row.payload_size);
      }
      q = footer->blocks[b].last + 1;
    }
    out.bytes += out.cut_bytes;
  }
  return out;
}

void SegmentSet::remove(StreamSeq seq, std::uint64_t size) {
  std::size_t i = lower(seq);
  CHECK(i < segments_.size() && segments_[i]->is_live(seq), "not sealed");
  Segment& s = *segments_[i];
  s.dead.add(s.offset_of(seq));
  s.dirty = true;
  --s.live;
  s.live_bytes -= size;
  if (s.live == 0) {
    dropped_.push_back(segments_[i]);
    segments_.erase(segments_.begin() + static_cast<std::ptrdiff_t>(i));
  }
}

void SegmentSet::drop_below(StreamSeq first_keep, std::uint64_t cut_bytes) {
  std::size_t whole = lower(first_keep);
  dropped_.insert(dropped_.end(), segments_.begin(), segments_.begin() + static_cast<std::ptrdiff_t>(whole));
  segments_.erase(segments_.begin(), segments_.begin() + static_cast<std::ptrdiff_t>(whole));
  if (segments_.empty() || segments_.front()->base >= first_keep) return;
  Segment& s = *segments_.front();
  s.dead.add_range(0, s.offset_of(first_keep) - 1);
  s.live = s.span() + std::uint64_t{1} - s.dead.size();
  s.live_bytes -= cut_bytes;
  s.dirty = true;
  if (s.live == 0) {
    dropped_.push_back(segments_.front());
    segments_.erase(segments_.begin());
  }
}

void SegmentSet::clear() {
  dropped_.insert(dropped_.end(), segments_.begin(), segments_.end());
  segments_.clear();
}

void SegmentSet::insert(Ref segment) {
  std::size_t i = lower(segment->base);
  CHECK(i == segments_.size() || segments_[i]->base > segment->last, "segments overlap");
  segments_.insert(segments_.begin() + static_cast<std::ptrdiff_t>(i), std::move(segment));
}

void SegmentSet::erase(const Segment* segment) {
  std::erase_if(segments_, [&](const Ref& s) { return s.get() == segment; });
  std::erase_if(dropped_, [&](const Ref& s) { return s.get() == segment; });
}

}  // namespace weir::store
