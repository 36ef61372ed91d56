#include "broker/store/catalog_format.h"

#include <gtest/gtest.h>

namespace weir::store {
namespace {

std::string hex(std::string_view bytes) {
  std::string s;
  for (char c : bytes) {
    auto b = static_cast<unsigned char>(c);
    s += "0123456789abcdef"[b >> 4];
    s += "0123456789abcdef"[b & 15];
  }
  return s;
}

/// Put "a" = "1", remove "b", as batch 3 of file 9.
std::string batch(BatchKind kind = BatchKind::kLive, std::uint64_t number = 3, std::uint64_t synced = 2) {
  BytesBuilder body;
  std::string one = "1";
  append_edit(body, "a", &one);
  append_edit(body, "b", nullptr);
  CatalogBatch b;
  b.kind = kind;
  b.file = 9;
  b.number = number;
  b.synced_through = synced;
  b.count = 2;
  b.body = body.text();
  BytesBuilder out;
  append_batch(out, b);
  return std::string(out.text());
}

// Golden bytes: if one of these changes, the format version must change with it.
TEST(CatalogFormat, GoldenFileHeader) {
  EXPECT_EQ(hex(encode_catalog_header(9, 8, 0x40000).text()),
            "574549524341540a0100000000000400090000000000000008000000000000000000000000000000"
            "00000000000000000000000000000000000000005e7b50b7");
}

TEST(CatalogFormat, GoldenBatch) {
  std::string bytes = batch();
  EXPECT_EQ(hex(bytes),
            "5743420a040000000900000000000000030000000000000002000000000000000800000002000000"
            "e39329a3c40ab48501016101310201620000000000000000");
  std::size_t size = 0;
  auto b = decode_batch(bytes, 9, size);
  ASSERT_TRUE(b);
  EXPECT_EQ(size, 64u);
  EXPECT_EQ(b->kind, BatchKind::kLive);
  EXPECT_EQ(b->number, 3u);
  EXPECT_EQ(b->synced_through, 2u);
  std::string seen;
  EXPECT_TRUE(decode_edits(b->body, b->count, [&](std::string_view k, std::optional<std::string_view> v) {
    seen += std::string(k) + (v ? "=" + std::string(*v) : "-") + " ";
  }));
  EXPECT_EQ(seen, "a=1 b- ");
}

TEST(CatalogFormat, BatchesThatAreNotWholeAreRefused) {
  std::string bytes = batch();
  std::size_t size = 0;
  EXPECT_FALSE(decode_batch(bytes, 8, size));  // of another file
  for (std::size_t n = 0; n < kCatalogBatchHeader + 8; ++n)
    EXPECT_FALSE(decode_batch(bytes.substr(0, n), 9, size)) << n;
  EXPECT_TRUE(decode_batch(bytes.substr(0, kCatalogBatchHeader + 8), 9, size));  // padding may be missing
  for (std::size_t i = 0; i < (kCatalogBatchHeader + 8) * 8; ++i) {
    bytes[i / 8] = static_cast<char>(bytes[i / 8] ^ (1 << (i % 8)));
    EXPECT_FALSE(decode_batch(bytes, 9, size)) << i;
    bytes[i / 8] = static_cast<char>(bytes[i / 8] ^ (1 << (i % 8)));
  }
  EXPECT_FALSE(decode_batch(batch(BatchKind::kLive, 0, 0), 9, size));
  EXPECT_FALSE(decode_batch(batch(BatchKind::kLive, 3, 3), 9, size));
  EXPECT_FALSE(decode_batch(batch(static_cast<BatchKind>(5)), 9, size));
  EXPECT_FALSE(decode_batch(batch(static_cast<BatchKind>(0)), 9, size));
}

TEST(CatalogFormat, EditsMustFillTheBodyExactly) {
  BytesBuilder body;
  std::string v = "value";
  append_edit(body, "key", &v);
  std::string text(body.text());
  EXPECT_TRUE(decode_edits(text, 1, nullptr));
  EXPECT_FALSE(decode_edits(text, 0, nullptr));
  EXPECT_FALSE(decode_edits(text, 2, nullptr));
  for (std::size_t n = 0; n < text.size(); ++n)
    EXPECT_FALSE(decode_edits(text.substr(0, n), 1, nullptr)) << n;
  text[0] = 3;
  EXPECT_FALSE(decode_edits(text, 1, nullptr));
}

TEST(CatalogFormat, AScanTellsTornFromDamaged) {
  std::string file(encode_catalog_header(9, 8, 0).text());
  file += batch(BatchKind::kCopy, 1, 0) + batch(BatchKind::kEnd, 2, 1) + batch(BatchKind::kLive, 3, 2);
  auto whole = scan_catalog(file, 9);
  EXPECT_TRUE(whole.has_header && whole.complete && !whole.damaged);
  EXPECT_EQ(whole.before, 8u);
  EXPECT_EQ(whole.batches.size(), 3u);
  auto broken = [&](std::size_t at) {
    std::string f = file;
    f[at] = static_cast<char>(f[at] ^ 1);
    return scan_catalog(f, 9);
  };
  auto torn = broken(3 * 64 + 50);  // nothing promises batch 3
  EXPECT_TRUE(torn.complete && !torn.damaged);
  EXPECT_EQ(torn.batches.size(), 2u);
  EXPECT_TRUE(broken(2 * 64 + 50).damaged);
  EXPECT_TRUE(broken(1 * 64 + 50).damaged);
  EXPECT_TRUE(broken(3).damaged);  // the file header
  auto aborted = scan_catalog(std::string_view(file).substr(0, 128), 9);
  EXPECT_TRUE(!aborted.complete && !aborted.damaged);
  EXPECT_FALSE(scan_catalog("", 9).has_header);
  EXPECT_FALSE(scan_catalog(file, 10).has_header);
}

}  // namespace
}  // namespace weir::store
