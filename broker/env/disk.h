// broker/env/disk.h - files, with the durability of each call stated.
//
// Thread:   calls and completions on the shard's loop. Work that may block for long runs on disk
//           workers behind the interface.
// Errors:   kNoSpace, kNotFound, kExists, kIo. After a failed write or sync of a File every later
//           write or sync of it fails too: a failed sync is final (docs/ARCHITECTURE.md "Disk").
// Paths:    relative to the node's store folder, '/' between parts, no "..".
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "broker/base/bytes.h"
#include "broker/base/result.h"
#include "broker/base/unique_function.h"

namespace weir::env {

enum class Sync : unsigned char {
  kNone,  // completion means: handed to the operating system
  kData,  // completion means: the bytes written to this file so far survive power loss (fdatasync)
};

using DiskDone = UniqueFunction<void(Status)>;
using DiskRead = UniqueFunction<void(Result<std::string>)>;

class File {
 public:
  /// Closing forgets completions that have not run; the work itself is finished first.
  virtual ~File() = default;

  /// Writes the slices one after the other at `offset`, then syncs if asked. Writes of one file are
  /// done in the order of the calls. The slices are held until completion.
  virtual void write(std::uint64_t offset, std::vector<Bytes> slices, Sync sync, DiskDone done) = 0;

  /// Inline read (page cache expected): fills `out` from `offset`, returns bytes read, short at the
  /// end of the file. Does not see writes whose completion has not run.
  virtual Result<std::size_t> read(std::uint64_t offset, std::span<std::uint8_t> out) = 0;

  /// As read, on a worker: for bytes that are probably not in the page cache.
  virtual void read_async(std::uint64_t offset, std::size_t size, DiskRead done) = 0;

  /// Size in bytes, without writes under way.
  virtual Result<std::uint64_t> size() = 0;
};

enum class Open : unsigned char {
  kRead,    // kNotFound if it does not exist
  kWrite,   // read and write; kNotFound if it does not exist
  kCreate,  // read and write, new and empty; kExists if there is one. Not durable before sync_dir.
};

struct DirEntry {
  std::string name;
  bool is_dir = false;
  std::uint64_t size = 0;
};

struct DiskSpace {
  std::uint64_t total_bytes = 0;
  std::uint64_t free_bytes = 0;
};

class Disk {
 public:
  virtual ~Disk() = default;

  /// Inline. May block shortly; used at start, at roll-over and by tests.
  virtual Result<std::unique_ptr<File>> open(const std::string& path, Open mode) = 0;
  /// Creates a file of `size` zero bytes, really written (not holes, not unwritten extents), synced,
  /// with its directory entry synced. On a worker.
  virtual void create_zeroed(const std::string& path, std::uint64_t size, DiskDone done) = 0;
  /// Makes the folder and its parents, synced. An existing one is no error.
  virtual Status mkdirs(const std::string& path) = 0;
  /// Entries in byte order of names; kNotFound if there is no such folder.
  virtual Result<std::vector<DirEntry>> list(const std::string& path) = 0;
  /// Atomic replace. Not durable before sync_dir of the target's folder.
  virtual Status rename(const std::string& from, const std::string& to) = 0;
  /// Another name for the same file; what one name removes the other keeps. Not durable before sync_dir of
  /// the new name's folder. Errors: kNotFound, kExists, kIo (the file system has no such thing, too).
  virtual Status link(const std::string& from, const std::string& to) = 0;
  /// Not durable before sync_dir. kNotFound if it does not exist.
  virtual Status remove(const std::string& path) = 0;
  /// Makes creations, renames and removals in this folder durable. Inline.
  virtual Status sync_dir(const std::string& path) = 0;
  /// Of the file system that holds the store.
  virtual Result<DiskSpace> space() = 0;
};

}  // namespace weir::env
