// broker/store/segment.h - header, dictionary pages, footer and trailer of a segment file.
//
// Room:     pure; docs/formats/segment.md. Blocks are in block.h.
// Errors:   kCorrupt says which rule the bytes break; kUnsupported an unknown version.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "broker/base/bytes.h"
#include "broker/base/result.h"
#include "broker/base/varint.h"
#include "broker/store/block.h"

namespace weir::store {

constexpr std::size_t kSegmentHeaderBytes = 16;
constexpr std::size_t kSegmentTrailerBytes = 64;
constexpr std::size_t kDictPageBytes = 16 * 1024;
/// last - base of a segment stays below.
constexpr std::uint64_t kSegmentSpanMax = 1u << 30;

struct DictPageInfo {
  std::uint64_t offset = 0;
  std::uint32_t bytes = 0;
  std::uint32_t crc = 0;
  std::string first_subject;
};

struct SegmentFooter {
  GroupId group;
  StreamSeq base, last;
  std::uint64_t messages = 0;
  std::uint64_t bytes = 0;
  Wall first_time, last_time;
  std::vector<BlockInfo> blocks;
  std::vector<DictPageInfo> pages;

  /// Block that may hold `seq`: the last with base <= seq; blocks.size() if none.
  std::size_t block_of(StreamSeq seq) const;
  /// Pages [first, second) that may hold subjects with this prefix.
  std::pair<std::size_t, std::size_t> pages_of(std::string_view prefix) const;
  std::size_t memory() const;
};

Bytes encode_segment_header(GroupId group);
Bytes encode_footer(const SegmentFooter& footer);
Result<SegmentFooter> decode_footer(ByteSpan bytes);
std::uint64_t footer_hash(ByteSpan bytes);
Bytes encode_trailer(const SegmentFooter& footer, std::uint64_t footer_offset, ByteSpan footer_bytes);

/// The place of a footer, from a segment's trailer.
struct FooterPlace {
  std::uint64_t offset = 0;
  std::uint32_t bytes = 0;
  std::uint64_t hash = 0;
};
/// `bytes` are the last kSegmentTrailerBytes of a file of `file_bytes`.
Result<FooterPlace> decode_trailer(ByteSpan bytes, std::uint64_t file_bytes);

/// Writes entries in byte order of subjects; the caller cuts pages.
class DictPageBuilder {
 public:
  /// `offsets` are the subject's sequences minus the segment's base: rising, at least one.
  void add(std::string_view subject, std::span<const std::uint32_t> offsets);
  std::size_t size() const { return out_.size(); }
  bool empty() const { return out_.empty(); }
  /// Fills `info` except offset. The builder is empty afterwards.
  Bytes finish(DictPageInfo& info);

 private:
  BytesBuilder out_;
  std::string first_, previous_;
};

/// One subject of a segment. Valid during the visit.
struct DictEntry {
  std::string_view subject;
  std::uint64_t count = 0;
  std::uint32_t first = 0;  // offsets from the segment's base
  std::uint32_t last = 0;
  std::string_view middle;

  /// Calls visit(offset) for each in order until it returns false. kCorrupt if the postings do not
  /// fit count, first and last.
  template <class F>
  Status postings(F&& visit) const;
};

/// Entries of a page in order until `visit` returns false. `span` is last - base of the segment.
Status visit_dict_page(ByteSpan page, std::uint64_t span, const std::function<bool(const DictEntry&)>& visit);

// Implementation.

template <class F>
Status DictEntry::postings(F&& visit) const {
  if (!visit(first)) return ok();
  if (count == 1) return ok();
  Reader r(middle);
  std::uint64_t at = first;
  for (std::uint64_t i = 2; i < count; ++i) {
    std::uint64_t step = r.varint();
    if (!r.ok() || step == 0 || step >= last - at) return {Code::kCorrupt, "postings break their rules"};
    at += step;
    if (!visit(static_cast<std::uint32_t>(at))) return ok();
  }
  if (!r.done()) return {Code::kCorrupt, "postings are too long"};
  (void)visit(last);
  return ok();
}

}  // namespace weir::store
