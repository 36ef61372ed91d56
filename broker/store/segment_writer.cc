#include "broker/store/segment_writer.h"

#include "broker/base/check.h"
#include "broker/store/segment_set.h"

namespace weir::store {
namespace {

// A wider hole between messages is cheaper as a new segment than as dead bits.
constexpr std::uint64_t kGapMax = 1u << 22;

}  // namespace

bool SegmentWriter::accepts(StreamSeq seq) const {
  return rows_.empty() || (seq - footer_.last <= kGapMax && seq - footer_.base < kSegmentSpanMax);
}

void SegmentWriter::add(const Message& m) {
  CHECK(accepts(m.seq) && place_.bytes == 0);
  if (rows_.empty()) {
    footer_.group = group_;
    footer_.base = m.seq;
    footer_.first_time = m.time;
  }
  footer_.last = m.seq;
  footer_.last_time = m.time;
  ++footer_.messages;
  std::uint64_t size = file_stored_size(m.subject_size, m.header_size, m.payload().size());
  footer_.bytes += size;
  auto offset = static_cast<std::uint32_t>(m.seq - footer_.base);
  rows_.push_back({offset, static_cast<std::uint32_t>(size)});
  auto fresh = static_cast<std::uint32_t>(subjects_.size());
  const std::uint32_t* number = numbers_.find_or_insert(m.subject(), fresh);
  CHECK(number != nullptr, "dictionary is full");
  if (*number == fresh) {
    subjects_.push_back({names_.size(), m.subject_size, 0, 0});
    names_ += m.subject();
  }
  ++subjects_[*number].count;
  row_subjects_.push_back(*number);
  block_.add(m);
}

Bytes SegmentWriter::take_block() {
  BlockInfo info;
  Bytes block = block_.finish(group_, info);
  if (offset_ != 0) {
    info.offset = offset_;
    offset_ += block.size();
    footer_.blocks.push_back(info);
    return block;
  }
  BytesBuilder out(kSegmentHeaderBytes + block.size());
  out.append(encode_segment_header(group_).text());
  out.append(block.text());
  info.offset = kSegmentHeaderBytes;
  offset_ = out.size();
  footer_.blocks.push_back(info);
  return out.freeze();
}

// Order of subjects from the tree; sequences of each by counting.
void SegmentWriter::sort_dictionary() {
  sorted_ = true;
  order_.reserve(subjects_.size());
  numbers_.for_each([&](std::string_view, std::uint32_t number) {
    order_.push_back(number);
    return true;
  });
  numbers_.clear();
  std::size_t at = 0;
  for (auto& s : subjects_) {
    s.first = at;
    at += s.count;
    s.count = 0;
  }
  offsets_.resize(rows_.size());
  for (std::size_t i = 0; i < rows_.size(); ++i) {
    Subject& s = subjects_[row_subjects_[i]];
    offsets_[s.first + s.count++] = rows_[i].offset;
  }
}

Bytes SegmentWriter::take_pages(std::size_t limit) {
  if (!sorted_) sort_dictionary();
  BytesBuilder out;
  DictPageBuilder page;
  while (written_ < order_.size() && out.size() < limit) {
    const Subject& s = subjects_[order_[written_++]];
    page.add(std::string_view(names_).substr(s.name_at, s.name_bytes), {offsets_.data() + s.first, s.count});
    if (page.size() < kDictPageBytes && written_ < order_.size()) continue;
    DictPageInfo info;
    Bytes bytes = page.finish(info);
    info.offset = offset_ + out.size();
    footer_.pages.push_back(std::move(info));
    out.append(bytes.text());
  }
  offset_ += out.size();
  return out.freeze();
}

Bytes SegmentWriter::finish() {
  CHECK(block_.empty() && sorted_ && written_ == order_.size() && !rows_.empty(), "segment is not complete");
  Bytes footer = encode_footer(footer_);
  place_ = {offset_, static_cast<std::uint32_t>(footer.size()), footer_hash(footer.span())};
  BytesBuilder out(footer.size() + kSegmentTrailerBytes);
  out.append(footer.text());
  out.append(encode_trailer(footer_, offset_, footer.span()).text());
  offset_ += out.size();
  return out.freeze();
}

std::shared_ptr<Segment> SegmentWriter::segment() const {
  auto s = std::make_shared<Segment>();
  s->file = file_;
  s->base = footer_.base;
  s->last = footer_.last;
  s->messages = s->live = footer_.messages;
  s->bytes = s->live_bytes = footer_.bytes;
  s->first_time = footer_.first_time;
  s->last_time = footer_.last_time;
  s->file_bytes = offset_;
  s->footer = place_;
  std::uint32_t next = 0;
  for (const Row& row : rows_) {
    if (row.offset > next) s->dead.add_range(next, row.offset - 1);
    next = row.offset + 1;
  }
  return s;
}

}  // namespace weir::store
