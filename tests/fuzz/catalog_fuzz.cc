// tests/fuzz/catalog_fuzz.cc - one catalog file, with checksums that fit or do not.
//
// The first byte picks a form: the bytes as they are; or a file made of them whose checksums are right:
// pieces of the input become headers' numbers and batches' edits. Whatever it is: reading ends; what is read
// lies within the file, in order; a file is complete only with a header and an end; damage has a place.
#include <algorithm>

#include "broker/store/catalog_format.h"
#include "tests/fuzz/fuzz.h"

namespace {

using namespace weir;         // NOLINT: a program of one file
using namespace weir::store;  // NOLINT
using fuzz::require;

constexpr std::uint64_t kFile = 7;

void scan(std::string_view bytes) {
  CatalogScan s = scan_catalog(bytes, kFile);
  std::uint64_t number = 0;
  bool ended = false;
  for (const CatalogBatch& b : s.batches) {
    require(b.number == ++number && b.file == kFile, "batches are this file's, one after the other");
    require(b.synced_through < b.number, "a batch promises earlier ones only");
    require(b.body.empty() || (b.body.data() >= bytes.data() &&
                               b.body.data() + b.body.size() <= bytes.data() + bytes.size()),
            "a body lies within the file");
    std::uint32_t edits = 0;
    require(decode_edits(b.body, b.count, [&](auto, auto) { ++edits; }) && edits == b.count,
            "edits are whole");
    ended = ended || b.kind == BatchKind::kEnd;
  }
  require(s.complete == ended, "complete with its end");
  require(!s.complete || s.has_header || s.damaged, "a complete file has its header, or is damaged");
  require(s.bad_offset <= std::max(bytes.size(), kCatalogAlign), "reading stopped within the file");
}

/// A file with right checksums out of `in`: each two bytes pick a batch's kind, promise and body.
std::string made_of(ByteSpan in) {
  auto at = [&](std::size_t i) { return i < in.size() ? in[i] : std::uint8_t{0}; };
  std::uint64_t before = at(0) % 2u * 6u;
  std::string file(encode_catalog_header(kFile, before, at(1) % 3u * 64u).text());
  BytesBuilder out;
  std::uint64_t number = 0;
  for (std::size_t i = 2; i + 2 <= in.size() && number < 12; i += 2) {
    CatalogBatch b;
    b.kind = static_cast<BatchKind>(1 + at(i) % 4);
    b.file = kFile;
    number += at(i) & 0x40 ? 2u : 1u;
    b.number = number;
    b.synced_through = std::min<std::uint64_t>(at(i) >> 4, number - 1);
    std::size_t length = std::min<std::size_t>(at(i + 1) % 80, in.size() - i - 2);
    std::string_view body(reinterpret_cast<const char*>(in.data()) + i + 2, length);
    BytesBuilder edit;
    std::string key(body.substr(0, 5)), value(body);
    append_edit(edit, key, at(i + 1) & 0x80 ? nullptr : &value);
    Bytes whole = edit.freeze();
    b.count = 1;
    b.body = at(i) & 0x80 ? body : whole.text();
    append_batch(out, b);
    i += length;
  }
  Bytes batches = out.freeze();
  file += batches.text();
  if (at(0) & 0x10) file.resize(file.size() - std::min<std::size_t>(file.size(), at(1)));
  if (at(0) & 0x20) file.resize(file.size() + at(1), '\0');
  return file;
}

}  // namespace

std::vector<std::string> fuzz::fuzz_seeds() {
  std::vector<std::string> out;
  std::string batches;
  for (int kind : {0x00, 0x12, 0x23, 0x33})
    batches += {static_cast<char>(kind), 8, 'k', 'e', 'y', '1', 'v', 'a', 'l', 'u'};
  for (char form : {char(0), char(0x10), char(0x20)}) out.push_back(std::string{1, form, 1} + batches);
  std::string in = std::string{1, 1} + batches;
  out.push_back(std::string(1, '\0') + made_of(as_span(in)));
  return out;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  ByteSpan rest{data + 1, size - 1};
  if (data[0] % 2 == 0) {
    scan({reinterpret_cast<const char*>(rest.data()), rest.size()});
  } else {
    scan(made_of(rest));
  }
  return 0;
}
