#include "broker/store/catalog_format.h"

#include <algorithm>
#include <cstring>

#include "broker/base/crc32c.h"
#include "broker/base/varint.h"

namespace weir::store {
namespace {

constexpr char kFileMagic[8] = {'W', 'E', 'I', 'R', 'C', 'A', 'T', '\n'};
constexpr char kBatchMagic[4] = {'W', 'C', 'B', '\n'};
constexpr std::uint8_t kPut = 1;
constexpr std::uint8_t kRemove = 2;

const std::uint8_t* raw(std::string_view s) {
  return reinterpret_cast<const std::uint8_t*>(s.data());
}
std::size_t aligned(std::size_t n) {
  return (n + kCatalogAlign - 1) / kCatalogAlign * kCatalogAlign;
}

}  // namespace

Bytes encode_catalog_header(std::uint64_t number, std::uint64_t before, std::uint32_t step) {
  BytesBuilder b(kCatalogAlign);
  std::uint8_t* p = b.grow(kCatalogAlign);
  std::memset(p, 0, kCatalogAlign);
  std::memcpy(p, kFileMagic, 8);
  p[8] = kCatalogVersion;
  put_u32(p + 12, step);
  put_u64(p + 16, number);
  put_u64(p + 24, before);
  put_u32(p + 60, crc32c({p, 60}));
  return b.freeze();
}

void append_edit(BytesBuilder& body, const std::string& key, const std::string* value) {
  body.append_u8(value ? kPut : kRemove);
  body.append_string(key);
  if (value) body.append_string(*value);
}

bool decode_edits(std::string_view body, std::uint32_t count, const EditVisit& visit) {
  Reader r(body);
  for (std::uint32_t i = 0; i < count; ++i) {
    std::uint8_t op = r.u8();
    std::string_view key = r.string();
    std::optional<std::string_view> value;
    if (op == kPut) value = r.string();
    if (!r.ok() || (op != kPut && op != kRemove)) return false;
    if (visit) visit(key, value);
  }
  return r.done();
}

void append_batch(BytesBuilder& out, const CatalogBatch& batch) {
  CHECK(batch.body.size() <= 0xffff'ffffu - kCatalogAlign, "catalog batch over 4 GiB");
  std::size_t size = aligned(kCatalogBatchHeader + batch.body.size());
  std::uint8_t* p = out.grow(size);
  std::memset(p, 0, kCatalogBatchHeader);
  std::memcpy(p, kBatchMagic, 4);
  p[4] = static_cast<std::uint8_t>(batch.kind);
  put_u64(p + 8, batch.file);
  put_u64(p + 16, batch.number);
  put_u64(p + 24, batch.synced_through);
  put_u32(p + 32, static_cast<std::uint32_t>(batch.body.size()));
  put_u32(p + 36, batch.count);
  put_u32(p + 40, crc32c(as_span(batch.body), crc32c({p, 40})));
  put_u32(p + 44, crc32c({p, 44}));
  if (!batch.body.empty()) std::memcpy(p + kCatalogBatchHeader, batch.body.data(), batch.body.size());
  std::size_t used = kCatalogBatchHeader + batch.body.size();
  std::memset(p + used, 0, size - used);
}

namespace {

/// Header only: what it promises holds whether or not the body does.
std::optional<CatalogBatch> decode_batch_header(std::string_view bytes, std::uint64_t file,
                                                std::uint32_t& length) {
  if (bytes.size() < kCatalogBatchHeader || std::memcmp(bytes.data(), kBatchMagic, 4) != 0)
    return std::nullopt;
  const std::uint8_t* p = raw(bytes);
  if (get_u32(p + 44) != crc32c({p, 44})) return std::nullopt;
  CatalogBatch b;
  b.kind = static_cast<BatchKind>(p[4]);
  b.file = get_u64(p + 8);
  b.number = get_u64(p + 16);
  b.synced_through = get_u64(p + 24);
  length = get_u32(p + 32);
  b.count = get_u32(p + 36);
  bool possible = p[4] >= 1 && p[4] <= 4 && b.file == file && b.number != 0 && b.synced_through < b.number;
  return possible ? std::optional(b) : std::nullopt;
}

}  // namespace

std::optional<CatalogBatch> decode_batch(std::string_view bytes, std::uint64_t file, std::size_t& size) {
  std::uint32_t length = 0;
  auto b = decode_batch_header(bytes, file, length);
  if (!b || length > bytes.size() - kCatalogBatchHeader) return std::nullopt;
  b->body = bytes.substr(kCatalogBatchHeader, length);
  const std::uint8_t* p = raw(bytes);
  if (get_u32(p + 40) != crc32c(as_span(b->body), crc32c({p, 40}))) return std::nullopt;
  if (!decode_edits(b->body, b->count, nullptr)) return std::nullopt;
  size = std::min(aligned(kCatalogBatchHeader + length), bytes.size());
  return b;
}

namespace {

/// What a power loss leaves of a step that was being added is zeros.
bool cut_short(std::string_view bytes, std::uint32_t step) {
  if (step == 0) return false;
  std::string_view part = bytes.substr(bytes.size() - bytes.size() % step);
  return std::any_of(part.begin(), part.end(), [](char c) { return c != 0; });
}

}  // namespace

CatalogScan scan_catalog(std::string_view bytes, std::uint64_t file) {
  CatalogScan s;
  if (bytes.size() >= kCatalogAlign && std::memcmp(bytes.data(), kFileMagic, 8) == 0) {
    const std::uint8_t* p = raw(bytes);
    s.has_header = get_u32(p + 60) == crc32c({p, 60}) && get_u64(p + 16) == file;
    s.version = p[8];
    s.before = get_u64(p + 24);
    s.step = s.has_header ? get_u32(p + 12) : 0;
  }
  std::size_t at = std::min(kCatalogAlign, bytes.size());
  std::size_t size = 0;
  while (at < bytes.size()) {
    auto b = decode_batch(bytes.substr(at), file, size);
    if (!b || b->number != s.batches.size() + 1) break;
    s.complete = s.complete || b->kind == BatchKind::kEnd;
    s.batches.push_back(*b);
    at += size;
  }
  s.bad_offset = at;
  // A batch further on that promises the missing one tells damage from a torn tail.
  std::uint64_t missing = s.batches.size() + 1;
  for (at += kCatalogAlign; at + kCatalogBatchHeader <= bytes.size(); at += kCatalogAlign) {
    std::uint32_t length = 0;
    auto b = decode_batch_header(bytes.substr(at), file, length);
    if (b && b->synced_through >= missing) s.damaged = true;
  }
  if (s.complete && cut_short(bytes, s.step)) s.damaged = true;
  // The header is written and synced with the copy.
  if (s.complete && !s.has_header) s.damaged = true;
  return s;
}

}  // namespace weir::store
