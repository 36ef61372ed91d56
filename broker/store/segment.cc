#include "broker/store/segment.h"

#include <xxhash.h>

#include <algorithm>

#include "broker/base/check.h"
#include "broker/base/crc32c.h"

namespace weir::store {
namespace {

constexpr std::string_view kHeaderMagic = "WSEG";
constexpr std::string_view kTrailerMagic = "WSEGEND1";
constexpr std::uint8_t kVersion = 1;

Error corrupt(const char* what) {
  return {Code::kCorrupt, what};
}

void append_time(BytesBuilder& out, Wall t) {
  out.append_varint(zigzag(t.ns));
}
Wall read_time(Reader& r) {
  return Wall{unzigzag(r.varint())};
}

void append_block(BytesBuilder& out, const BlockInfo& b, StreamSeq before) {
  out.append_varint(b.base - before);
  out.append_varint(b.last - b.base);
  out.append_varint(b.count);
  out.append_varint(b.offset);
  out.append_varint(b.index_bytes);
  out.append_varint(b.data_bytes);
  append_time(out, b.first_time);
  append_time(out, b.last_time);
  out.append_u32(b.index_crc);
  out.append_u64(b.data_hash);
}

// True if the block follows `before` and lies within the segment.
bool read_block(Reader& r, const SegmentFooter& f, const BlockInfo* before, BlockInfo& b) {
  std::uint64_t step = r.varint();
  StreamSeq from = before != nullptr ? before->base : f.base;
  std::uint64_t span = r.varint();
  std::uint64_t count = r.varint();
  b.offset = r.varint();
  std::uint64_t index_bytes = r.varint();
  std::uint64_t data_bytes = r.varint();
  b.first_time = read_time(r);
  b.last_time = read_time(r);
  b.index_crc = r.u32();
  b.data_hash = r.u64();
  if (!r.ok() || step > f.last - from) return false;
  b.base = from + step;
  if (before != nullptr ? b.base <= before->last : step != 0) return false;
  if (span > f.last - b.base || count == 0 || count - 1 > span) return false;
  if (index_bytes > 0xffff'ffffu || data_bytes > 0xffff'ffffu) return false;
  b.last = b.base + span;
  b.count = static_cast<std::uint32_t>(count);
  b.index_bytes = static_cast<std::uint32_t>(index_bytes);
  b.data_bytes = static_cast<std::uint32_t>(data_bytes);
  return true;
}

}  // namespace

std::size_t SegmentFooter::block_of(StreamSeq seq) const {
  auto it =
      std::partition_point(blocks.begin(), blocks.end(), [&](const BlockInfo& b) { return b.base <= seq; });
  return it == blocks.begin() ? blocks.size() : static_cast<std::size_t>(it - blocks.begin()) - 1;
}

std::pair<std::size_t, std::size_t> SegmentFooter::pages_of(std::string_view prefix) const {
  // A page that begins after the prefix may still follow one that ends with it.
  auto from = std::partition_point(pages.begin(), pages.end(),
                                   [&](const DictPageInfo& p) { return p.first_subject <= prefix; });
  if (from != pages.begin()) --from;
  auto to = std::partition_point(from, pages.end(), [&](const DictPageInfo& p) {
    return std::string_view(p.first_subject).substr(0, prefix.size()) <= prefix;
  });
  return {static_cast<std::size_t>(from - pages.begin()), static_cast<std::size_t>(to - pages.begin())};
}

std::size_t SegmentFooter::memory() const {
  std::size_t n = sizeof(*this) + blocks.size() * sizeof(BlockInfo) + pages.size() * sizeof(DictPageInfo);
  for (const auto& p : pages) n += p.first_subject.capacity();
  return n;
}

Bytes encode_segment_header(GroupId group) {
  BytesBuilder out(kSegmentHeaderBytes);
  out.append(kHeaderMagic);
  out.append_u32(kVersion);  // and three zero bytes
  out.append_u32(group.v);
  out.append_u32(crc32c(as_span(out.text())));
  return out.freeze();
}

Bytes encode_footer(const SegmentFooter& f) {
  BytesBuilder out;
  out.append_u8(kVersion);
  out.append_varint(f.group.v);
  out.append_varint(f.base.v);
  out.append_varint(f.last.v);
  out.append_varint(f.messages);
  out.append_varint(f.bytes);
  append_time(out, f.first_time);
  append_time(out, f.last_time);
  out.append_varint(f.blocks.size());
  StreamSeq before = f.base;
  for (const auto& b : f.blocks) {
    append_block(out, b, before);
    before = b.base;
  }
  out.append_varint(f.pages.size());
  for (const auto& p : f.pages) {
    out.append_varint(p.offset);
    out.append_varint(p.bytes);
    out.append_u32(p.crc);
    out.append_string(p.first_subject);
  }
  out.append_u32(crc32c(as_span(out.text())));
  return out.freeze();
}

Result<SegmentFooter> decode_footer(ByteSpan bytes) {
  if (bytes.size() < 5) return corrupt("footer is too short");
  std::size_t size = bytes.size() - 4;
  if (get_u32(bytes.data() + size) != crc32c(bytes.first(size))) return corrupt("footer fails its checksum");
  Reader r(bytes.first(size));
  if (std::uint8_t version = r.u8(); version != kVersion) {
    return {Code::kUnsupported, "segment version " + std::to_string(version)};
  }
  SegmentFooter f;
  std::uint64_t group = r.varint();
  f.group = GroupId(static_cast<std::uint32_t>(group));
  f.base = StreamSeq(r.varint());
  f.last = StreamSeq(r.varint());
  f.messages = r.varint();
  f.bytes = r.varint();
  f.first_time = read_time(r);
  f.last_time = read_time(r);
  std::uint64_t blocks = r.varint();
  if (!r.ok() || group > 0xffff'ffffu || f.last < f.base || f.last - f.base >= kSegmentSpanMax ||
      blocks == 0 || blocks > r.left() / 20) {
    return corrupt("footer breaks its rules");
  }
  std::uint64_t messages = 0;
  f.blocks.reserve(blocks);
  for (std::uint64_t i = 0; i < blocks; ++i) {
    BlockInfo b;
    if (!read_block(r, f, f.blocks.empty() ? nullptr : &f.blocks.back(), b)) {
      return corrupt("footer has a bad block entry");
    }
    messages += b.count;
    f.blocks.push_back(b);
  }
  std::uint64_t pages = r.varint();
  if (!r.ok() || messages != f.messages || pages > r.left() / 7 || f.blocks.back().last != f.last) {
    return corrupt("footer contradicts its blocks");
  }
  f.pages.reserve(pages);
  for (std::uint64_t i = 0; i < pages; ++i) {
    DictPageInfo p;
    p.offset = r.varint();
    std::uint64_t n = r.varint();
    p.bytes = static_cast<std::uint32_t>(n);
    p.crc = r.u32();
    p.first_subject = r.string();
    if (!r.ok() || n > 0xffff'ffffu || (i != 0 && p.first_subject <= f.pages.back().first_subject)) {
      return corrupt("footer has a bad page entry");
    }
    f.pages.push_back(std::move(p));
  }
  if (!r.done()) return corrupt("footer is too long");
  return f;
}

std::uint64_t footer_hash(ByteSpan bytes) {
  return XXH3_64bits(bytes.data(), bytes.size());
}

Bytes encode_trailer(const SegmentFooter& f, std::uint64_t footer_offset, ByteSpan footer_bytes) {
  BytesBuilder out(kSegmentTrailerBytes);
  out.append(kTrailerMagic);
  out.append_u64(footer_offset);
  out.append_u64(footer_hash(footer_bytes));
  out.append_u64(f.base.v);
  out.append_u64(f.last.v);
  out.append_u32(static_cast<std::uint32_t>(footer_bytes.size()));
  out.append_u32(f.group.v);
  std::memset(out.grow(12), 0, 12);
  out.append_u32(crc32c(as_span(out.text())));
  return out.freeze();
}

Result<FooterPlace> decode_trailer(ByteSpan bytes, std::uint64_t file_bytes) {
  if (bytes.size() != kSegmentTrailerBytes || file_bytes < kSegmentHeaderBytes + kSegmentTrailerBytes) {
    return corrupt("segment is too short");
  }
  const std::uint8_t* p = bytes.data();
  if (as_text(bytes.first(8)) != kTrailerMagic) return corrupt("segment has no trailer");
  if (get_u32(p + 60) != crc32c(bytes.first(60))) return corrupt("trailer fails its checksum");
  FooterPlace place{get_u64(p + 8), get_u32(p + 40), get_u64(p + 16)};
  std::uint64_t end = file_bytes - kSegmentTrailerBytes;
  if (place.offset < kSegmentHeaderBytes || place.offset > end || place.bytes != end - place.offset) {
    return corrupt("trailer points outside");
  }
  return place;
}

void DictPageBuilder::add(std::string_view subject, std::span<const std::uint32_t> offsets) {
  CHECK(!offsets.empty());
  if (empty()) {
    first_ = subject;
    previous_.clear();
  }
  auto shared = std::mismatch(subject.begin(), subject.end(), previous_.begin(), previous_.end()).first;
  auto n = static_cast<std::size_t>(shared - subject.begin());
  out_.append_varint(n);
  out_.append_string(subject.substr(n));
  out_.append_varint(offsets.size());
  out_.append_varint(offsets.front());
  if (offsets.size() > 1) out_.append_varint(offsets.back() - offsets.front());
  if (offsets.size() > 2) {
    BytesBuilder middle(offsets.size());
    for (std::size_t i = 1; i + 1 < offsets.size(); ++i) middle.append_varint(offsets[i] - offsets[i - 1]);
    out_.append_string(middle.text());
  }
  previous_ = subject;
}

Bytes DictPageBuilder::finish(DictPageInfo& info) {
  info.bytes = static_cast<std::uint32_t>(out_.size());
  info.crc = crc32c(as_span(out_.text()));
  info.first_subject = first_;
  return out_.freeze();
}

Status visit_dict_page(ByteSpan page, std::uint64_t span,
                       const std::function<bool(const DictEntry&)>& visit) {
  Reader r(page);
  std::string subject;
  while (r.left() != 0) {
    std::uint64_t shared = r.varint();
    std::string_view rest = r.string();
    DictEntry e;
    e.count = r.varint();
    std::uint64_t first = r.varint();
    std::uint64_t width = e.count > 1 ? r.varint() : 0;
    if (e.count > 2) e.middle = r.string();
    if (!r.ok() || shared > subject.size() || e.count == 0 || first > span || width > span - first ||
        e.count - 1 > width) {
      return corrupt("dictionary entry breaks its rules");
    }
    subject.resize(shared);
    subject += rest;
    e.subject = subject;
    e.first = static_cast<std::uint32_t>(first);
    e.last = static_cast<std::uint32_t>(first + width);
    if (!visit(e)) return ok();
  }
  return ok();
}

}  // namespace weir::store
