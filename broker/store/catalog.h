// broker/store/catalog.h - the one truth about what the store holds: a small durable map.
//
// Room:     shell over env::Disk. Format: docs/formats/catalog.md.
// Content:  key -> value, both bytes. Owners choose keys below their prefix: "g/<group>/..." for a
//           group's checkpoint, consumers, dedupe pages, segments and delete bitmaps; "n/..." node.
// Thread:   the shard's loop.
// Files:    append-only log of checksummed edit batches, rolled into a new file that begins with a
//           full copy when it outgrows the live data, and at each start; the newest complete file wins
//           (name carries a number; new file + sync + sync_dir before the old one goes). Copies are
//           written in chunks while commits go on; memory holds all keys and values.
// Errors:   open: kCorrupt with file and offset (a bad batch that a later one promises, or a file that lost
//           its end or that of its copy, is never cut; a tail that was never synced is), kUnsupported
//           (a later format version), kIo.
//           commit: an error is final for this catalog; every later commit fails too. A full disk is
//           none: commits wait until retry() finds room for a new file. A roll that fails (no space
//           for a second copy) is given up and tried again later: no error.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "broker/base/log.h"
#include "broker/base/result.h"
#include "broker/env/disk.h"

namespace weir::store {

struct CatalogEdit {
  std::string key;
  std::optional<std::string> value;  // nullopt removes the key
};

class Catalog {
 public:
  struct Options {
    std::uint64_t roll_bytes_min = 16u << 20;  // never roll a smaller log
    unsigned roll_ratio = 3;                   // roll when the log exceeds this many times the live bytes
    std::uint32_t grow_bytes = 256u << 10;     // a file grows by that much at a time
  };

  virtual ~Catalog() = default;

  /// Opens or creates the catalog in `dir`. Inline: reads it whole. The content counts as durable
  /// when it was copied into a fresh file (a page cache may show what the disk lost): that runs on the
  /// loop; a commit, also of no edits, completes after it.
  static Result<std::unique_ptr<Catalog>> open(env::Disk& disk, Log& log, std::string dir, Options options);

  /// Applies all edits or none; they are visible to get/scan at once and durable when `done` runs
  /// with success. Batches become durable in the order of the calls; several may share one sync.
  virtual void commit(std::vector<CatalogEdit> edits, env::DiskDone done) = 0;

  virtual std::optional<std::string> get(const std::string& key) const = 0;
  /// Keys that start with `prefix`, in byte order, until `visit` returns false.
  virtual void scan(
      const std::string& prefix,
      const std::function<bool(const std::string& key, const std::string& value)>& visit) const = 0;
  /// True while a commit, or the copy of the start, is not durable yet.
  virtual bool busy() const = 0;
  /// Commits wait for room on the disk.
  virtual bool waits_for_space() const = 0;
  /// There may be room again. Cheap if nothing waits.
  virtual void retry() = 0;
};

}  // namespace weir::store
