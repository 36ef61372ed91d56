// broker/store/catalog_format.h - bytes of catalog files and the reading of one.
//
// Room:     pure. docs/formats/catalog.md in words; catalog_format_test.cc has golden bytes.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "broker/base/bytes.h"
#include "broker/base/result.h"
#include "broker/store/catalog.h"

namespace weir::store {

constexpr std::uint8_t kCatalogVersion = 1;
constexpr std::size_t kCatalogAlign = 64;        // file header; alignment of batches
constexpr std::size_t kCatalogBatchHeader = 48;  // bytes

enum class BatchKind : std::uint8_t {
  kCopy = 1,    // part of the full copy that a file begins with
  kMirror = 2,  // a commit made while the copy was under way
  kEnd = 3,     // the copy is complete: from here on this file is the catalog
  kLive = 4,    // a commit
};

struct CatalogBatch {
  BatchKind kind = BatchKind::kLive;
  std::uint64_t file = 0;            // number in the file's name
  std::uint64_t number = 0;          // from 1, consecutive within the file
  std::uint64_t synced_through = 0;  // batches up to this one had been synced
  std::uint32_t count = 0;           // edits
  std::string_view body;
};

/// Header of file `number`; `before` is the number of the file it was copied from, 0 for none. The file grows
/// by `step` bytes at a time, zeros that are synced before anything is written there; 0: by what is written.
Bytes encode_catalog_header(std::uint64_t number, std::uint64_t before, std::uint32_t step);

/// Edits one after the other; appended to a body.
void append_edit(BytesBuilder& body, const std::string& key, const std::string* value);
/// False if the body does not hold exactly `count` edits. `visit` gets value == nullopt for a removal.
using EditVisit = std::function<void(std::string_view key, std::optional<std::string_view> value)>;
bool decode_edits(std::string_view body, std::uint32_t count, const EditVisit& visit);

/// Appends header, body and padding to `out`. batch.body is the encoded edits.
void append_batch(BytesBuilder& out, const CatalogBatch& batch);
/// The batch that begins at `bytes`, if a whole valid one of file `file` does. `size` gets its length
/// with padding (the padding of the last one may be missing).
std::optional<CatalogBatch> decode_batch(std::string_view bytes, std::uint64_t file, std::size_t& size);

/// What one file says.
struct CatalogScan {
  bool has_header = false;
  std::uint8_t version = 0;
  std::uint64_t before = 0;
  std::uint32_t step = 0;
  std::vector<CatalogBatch> batches;  // the valid ones from the beginning; bodies point into the bytes
  bool complete = false;              // kEnd is among them
  bool damaged = false;               // bytes that had been synced are not valid, or not there
  std::uint64_t bad_offset = 0;       // where reading stopped
};
CatalogScan scan_catalog(std::string_view bytes, std::uint64_t file);

}  // namespace weir::store
