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
  auto it = subjects_.find(m.subject());
  if (it == subjects_.end()) it = subjects_.emplace(m.subject(), std::vector<std::uint32_t>()).first;
  it->second.push_back(offset);
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

Bytes SegmentWriter::take_pages(std::size_t limit) {
  BytesBuilder out;
  DictPageBuilder page;
  while (!subjects_.empty() && out.size() < limit) {
    auto it = subjects_.begin();
    page.add(it->first, it->second);
    subjects_.erase(it);
    if (page.size() < kDictPageBytes && !subjects_.empty()) continue;
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
  CHECK(block_.empty() && subjects_.empty() && !rows_.empty(), "segment is not complete");
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
