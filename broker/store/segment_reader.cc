#include "broker/store/segment_reader.h"

#include "broker/base/crc32c.h"

namespace weir::store {
namespace {

// Parts of a segment in the cache.
constexpr std::uint64_t kFooterPart = 0;
constexpr std::uint64_t index_part(std::size_t i) {
  return 1 + 3 * std::uint64_t{i};
}
constexpr std::uint64_t block_part(std::size_t i) {
  return 2 + 3 * std::uint64_t{i};
}
constexpr std::uint64_t page_part(std::size_t i) {
  return 3 + 3 * std::uint64_t{i};
}

// A small part still occupies nodes and headers.
constexpr std::size_t kPartOverhead = 160;

}  // namespace

std::string segment_file_name(std::uint64_t number) {
  std::string name(16, '0');
  for (std::size_t i = 16; i-- > 0; number >>= 4) name[i] = "0123456789abcdef"[number & 15];
  return name + ".seg";
}

Error SegmentReader::at(const Error& e, const Segment& s, std::uint64_t offset) const {
  if (e.code == Code::kCorrupt && damaged_) *damaged_ = true;
  return e.within(path(s) + " at byte " + std::to_string(offset));
}

Result<std::string> SegmentReader::read(const Segment& s, std::uint64_t offset, std::size_t size) const {
  auto file = disk_->open(path(s), env::Open::kRead);
  if (!file) {
    Error e = file.error();
    if (e.code == Code::kNotFound) e.code = Code::kCorrupt;  // the catalog says that it exists
    return at(e, s, offset);
  }
  std::string out(size, '\0');
  auto n = (*file)->read(offset, {reinterpret_cast<std::uint8_t*>(out.data()), out.size()});
  if (!n) {
    if (damaged_) *damaged_ = true;
    return at(n.error(), s, offset);
  }
  if (*n != size) return at({Code::kCorrupt, "file ends early"}, s, offset);
  return out;
}

Result<std::shared_ptr<const SegmentFooter>> SegmentReader::footer(const Segment& s) const {
  BlockCache::Key key{s.cache_id, kFooterPart};
  if (auto f = cache_->find<SegmentFooter>(key)) return f;
  ASSIGN_OR_RETURN(std::string bytes, read(s, s.footer.offset, s.footer.bytes));
  if (footer_hash(as_span(bytes)) != s.footer.hash) {
    return at({Code::kCorrupt, "footer is not the one that the catalog names"}, s, s.footer.offset);
  }
  auto decoded = decode_footer(as_span(bytes));
  if (!decoded) return at(decoded.error(), s, s.footer.offset);
  if (decoded->group != group_ || decoded->base != s.base || decoded->last != s.last ||
      decoded->messages != s.messages) {
    return at({Code::kCorrupt, "footer contradicts the catalog"}, s, s.footer.offset);
  }
  auto f = std::make_shared<const SegmentFooter>(std::move(*decoded));
  cache_->put(key, f, f->memory() + kPartOverhead);
  return f;
}

Result<std::shared_ptr<const BlockIndex>> SegmentReader::index(const Segment& s, std::size_t i) const {
  if (auto b = cache_->find<Block>({s.cache_id, block_part(i)}, false)) {
    return std::shared_ptr<const BlockIndex>(b, &b->index);
  }
  BlockCache::Key key{s.cache_id, index_part(i)};
  if (auto x = cache_->find<BlockIndex>(key)) return x;
  ASSIGN_OR_RETURN(auto f, footer(s));
  const BlockInfo& info = f->blocks[i];
  ASSIGN_OR_RETURN(std::string bytes, read(s, info.offset, kBlockHeaderBytes + info.index_bytes));
  auto decoded = decode_block_index(group_, info, as_span(bytes));
  if (!decoded) return at(decoded.error(), s, info.offset);
  auto x = std::make_shared<const BlockIndex>(std::move(*decoded));
  cache_->put(key, x, x->memory() + kPartOverhead);
  return x;
}

Result<std::shared_ptr<const Block>> SegmentReader::block(const Segment& s, std::size_t i) const {
  BlockCache::Key key{s.cache_id, block_part(i)};
  if (auto b = cache_->find<Block>(key)) return b;
  ASSIGN_OR_RETURN(auto f, footer(s));
  const BlockInfo& info = f->blocks[i];
  std::size_t size = kBlockHeaderBytes + std::size_t{info.index_bytes} + info.data_bytes;
  ASSIGN_OR_RETURN(std::string bytes, read(s, info.offset, size));
  auto decoded = decode_block(group_, info, as_span(bytes));
  if (!decoded) return at(decoded.error(), s, info.offset);
  auto b = std::make_shared<const Block>(std::move(*decoded));
  cache_->drop({s.cache_id, index_part(i)});
  cache_->put(key, b, b->memory() + kPartOverhead);
  return b;
}

Result<std::shared_ptr<const std::string>> SegmentReader::page(const Segment& s, const SegmentFooter& f,
                                                               std::size_t i) const {
  BlockCache::Key key{s.cache_id, page_part(i)};
  if (auto p = cache_->find<std::string>(key)) return p;
  const DictPageInfo& info = f.pages[i];
  ASSIGN_OR_RETURN(std::string bytes, read(s, info.offset, info.bytes));
  if (crc32c(as_span(bytes)) != info.crc) {
    return at({Code::kCorrupt, "dictionary page fails its checksum"}, s, info.offset);
  }
  auto p = std::make_shared<const std::string>(std::move(bytes));
  cache_->put(key, p, p->size() + kPartOverhead);
  return p;
}

Status SegmentReader::visit_subjects(const Segment& s, const SubjectMatcher& matcher,
                                     const std::function<bool(const DictEntry&)>& visit) const {
  ASSIGN_OR_RETURN(auto f, footer(s));
  bool go = true;
  auto visit_range = [&](std::string_view prefix, auto&& wanted) -> Status {
    auto [from, to] = f->pages_of(prefix);
    bool more = true;
    for (std::size_t i = from; i < to && go && more; ++i) {
      ASSIGN_OR_RETURN(auto p, page(s, *f, i));
      auto read_page = visit_dict_page(as_span(*p), s.span(), [&](const DictEntry& e) {
        if (!e.subject.starts_with(prefix)) return more = e.subject < prefix;
        if (wanted(e.subject)) go = visit(e);
        return go;
      });
      if (!read_page) return at(read_page.error(), s, f->pages[i].offset);
    }
    return ok();
  };
  if (matcher.all()) return visit_range("", [](std::string_view) { return true; });
  const auto& patterns = matcher.patterns();
  for (std::size_t k = 0; k < patterns.size() && go; ++k) {
    // A subject that an earlier pattern matched was visited with that one.
    RETURN_IF_ERROR(visit_range(literal_prefix(patterns[k]), [&](std::string_view subject) {
      if (!subject::matches(patterns[k], subject)) return false;
      for (std::size_t j = 0; j < k; ++j) {
        if (subject::matches(patterns[j], subject)) return false;
      }
      return true;
    }));
  }
  return ok();
}

void SegmentReader::forget(const Segment& s) const {
  if (auto f = cache_->find<SegmentFooter>({s.cache_id, kFooterPart}, false)) {
    for (std::size_t i = 0; i < f->blocks.size(); ++i) {
      cache_->drop({s.cache_id, index_part(i)});
      cache_->drop({s.cache_id, block_part(i)});
    }
    for (std::size_t i = 0; i < f->pages.size(); ++i) cache_->drop({s.cache_id, page_part(i)});
  }
  cache_->drop({s.cache_id, kFooterPart});
}

}  // namespace weir::store
