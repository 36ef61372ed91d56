// broker/store/file_store.h - a stream's messages: tail in memory, the rest in sealed segments.
//
// Room:     shell over env::Disk; formats docs/formats/{block,segment}.md.
// Life:     append and remove touch memory only (the journal holds them durably). checkpoint()
//           writes the unflushed messages into segment blocks, syncs, and commits one catalog batch
//           that names segments, delete bitmaps and the owner's edits as of the same applied index.
//           After that the journal is released up to the index. Recovery is: catalog, then the
//           journal's later entries through apply.
// Generation: a replica that gets a new state builds it in a second store of the same group, beside the
//           one that is served. It becomes the real one by a checkpoint whose owner_edits say so; the
//           other is destroyed then. Stores of two generations share nothing but, after inherit(), the bytes
//           of sealed segments, which never change: each has names of its own for them.
// Memory:   0 bytes per sealed message; <= 52 B per subject; decoded blocks in the shared BlockCache.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "broker/base/log.h"
#include "broker/env/disk.h"
#include "broker/store/catalog.h"
#include "broker/store/message_store.h"

namespace weir::store {

class BlockCache;  // block_cache.h; one per shard

class FileStore : public MessageStore {
 public:
  struct Options {
    GroupId group;
    std::string dir;               // of this generation's segments, and of nothing else
    std::uint32_t generation = 0;  // part of the catalog keys
    std::size_t block_bytes = 256 * 1024;
    std::size_t segment_bytes = 64u << 20;
  };

  /// Creates (no catalog keys of the group) or loads the state of the last checkpoint. Inline.
  /// Files in `dir` that the catalog does not name are moved to "lost+found/", never deleted.
  static Result<std::unique_ptr<FileStore>> open(env::Disk& disk, Catalog& catalog, BlockCache& cache,
                                                 Log& log, Options options);

  /// See "Life". State is captured before the call returns; `done` runs when all of it is durable
  /// (success) or nothing of it counts (error). One at a time: CHECK(!checkpointing()).
  virtual void checkpoint(std::vector<CatalogEdit> owner_edits, env::DiskDone done) = 0;
  virtual bool checkpointing() const = 0;
  /// Bytes of messages that only memory and journal hold.
  virtual std::size_t unflushed_bytes() const = 0;
  /// A part of a segment could not be read, or is not what was written, since this was opened.
  virtual bool damaged() const = 0;
  /// Removes this generation's segments and catalog keys, and applies the owner's edits, in one step (the
  /// stream was deleted, or another generation took over). The object is dead afterwards: only its
  /// destructor may be called. A running checkpoint ends with kUnavailable.
  virtual void destroy(std::vector<CatalogEdit> owner_edits, env::DiskDone done) = 0;
  void destroy(env::DiskDone done) { destroy({}, std::move(done)); }

  /// Unlinks what destroy() left when the process died between its commit and its last unlink. Call at
  /// start. Works on the loop; until it is over open() of such a group fails with kUnavailable.
  static void sweep_destroyed(env::Disk& disk, Catalog& catalog, Log& log);
  /// Removes what a generation that never became the real one left behind, its unnamed files as well, without
  /// reading it. Call at start, after sweep_destroyed(); it may be cut by a crash at any point. Of `options`
  /// group, dir and generation count. Works on the loop; until `done` open() of that generation may fail
  /// with kUnavailable.
  static void discard(env::Disk& disk, Catalog& catalog, Log& log, const Options& options,
                      env::DiskDone done);
  /// A generation `to` without anything begins with what `from` has as of its last checkpoint: segments by
  /// another name, so that nothing is copied. `from` must not be in a checkpoint, nor begin one before
  /// `done`. Inline but for one catalog commit; may be cut by a crash at any point, discard() removes what is
  /// left. Errors: kNotFound (no checkpoint of `from` yet), those of the disk.
  static void inherit(env::Disk& disk, Catalog& catalog, const Options& from, const Options& to,
                      env::DiskDone done);
  /// Those of which the catalog has keys, or the note that their files are going; in order.
  static std::vector<std::uint32_t> generations(const Catalog& catalog, GroupId group);
};

}  // namespace weir::store
