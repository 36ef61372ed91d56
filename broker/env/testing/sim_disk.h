// broker/env/testing/sim_disk.h - a deterministic disk in memory that loses, tears and rots on demand.
//
// Room:     test world: unit tests of store/ and the whole-broker simulator.
// Keeps:    for each file what is durable, what the page cache shows, and the writes between the two;
//           for each folder the durable entries and the changes since its last sync_dir.
// Crash:    crash() is loss of power: every unsynced write survives as the Survivors choice says, in
//           sectors of 512 bytes; unsynced creations, renames and removals revert independently.
//           kill() is death of the process: the page cache survives. After either, files opened before
//           are dead (kIo), completions under way never run, and the disk can be opened anew.
// Counting: every change is an operation: the begin of a write, sync or create_zeroed and its
//           completion each count one, as do open(kCreate), rename, link, remove, sync_dir, mkdirs.
//           crash_at(n) freezes the disk at operation n (1-based): it and all later ones do nothing
//           and no completion runs; the harness then drops its objects and calls crash().
// Thread:   that of the loop.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "broker/base/prng.h"
#include "broker/env/env.h"
#include "broker/env/testing/sim_loop.h"

namespace weir::env::testing {

constexpr std::size_t kSectorBytes = 512;

/// Bytes of a file; pages never written are zero and cost nothing.
class SparseBytes {
 public:
  std::uint64_t size() const { return size_; }
  void resize(std::uint64_t size);
  /// Grows as needed.
  void write(std::uint64_t offset, ByteSpan bytes);
  /// Bytes read, short at the end.
  std::size_t read(std::uint64_t offset, std::span<std::uint8_t> out) const;
  SparseBytes clone() const;

 private:
  static constexpr std::size_t kPage = 4096;
  using Page = std::array<std::uint8_t, kPage>;
  std::uint64_t size_ = 0;
  std::vector<std::unique_ptr<Page>> pages_;
};

/// Which unsynced writes outlive a loss of power.
enum class Survivors : unsigned char {
  kNone,    // what was synced, and nothing else
  kAll,     // everything written or under way
  kPrefix,  // a random number of whole writes, oldest first
  kTorn,    // as prefix, and a random prefix of the sectors of the next write
  kRandom,  // each sector of each write by itself
  kAny,     // one of the above for each file
};

struct SimDiskOptions {
  Nanos write_ns_min = 20 * kMicrosecond;
  Nanos write_ns_max = 60 * kMicrosecond;
  Nanos sync_ns_min = 100 * kMicrosecond;
  Nanos sync_ns_max = 400 * kMicrosecond;
  Nanos create_ns_min = 500 * kMicrosecond;  // create_zeroed
  Nanos create_ns_max = 2 * kMillisecond;
  std::uint64_t capacity_bytes = 1ull << 40;
};

struct SimDiskCounts {
  std::uint64_t operations = 0;  // see crash_at
  std::uint64_t writes = 0, syncs = 0, reads = 0, creates = 0, renames = 0, removes = 0, dir_syncs = 0;
  std::uint64_t written_bytes = 0;
};

class SimDisk final : public Disk {
 public:
  SimDisk(Loop& loop, Clock& clock, std::uint64_t seed, SimDiskOptions options = {});
  ~SimDisk() override;

  Result<std::unique_ptr<File>> open(const std::string& path, Open mode) override;
  void create_zeroed(const std::string& path, std::uint64_t size, DiskDone done) override;
  Status mkdirs(const std::string& path) override;
  Result<std::vector<DirEntry>> list(const std::string& path) override;
  Status rename(const std::string& from, const std::string& to) override;
  Status link(const std::string& from, const std::string& to) override;
  Status remove(const std::string& path) override;
  Status sync_dir(const std::string& path) override;
  Result<DiskSpace> space() override;

  // Death and rebirth.
  void crash(Prng& prng, Survivors survivors = Survivors::kAny);
  void kill(Prng& prng);
  /// Everything is gone: another, empty disk is in its place. After crash() or kill().
  void wipe();
  /// 0 turns it off. Counted from now: 1 is the next operation.
  void crash_at(std::uint64_t operation);
  /// The disk froze at the operation that crash_at named.
  bool frozen() const { return frozen_; }
  /// Called once, inside the operation that froze the disk.
  void on_frozen(std::function<void()> f) { on_frozen_ = std::move(f); }

  // Faults. `prefix` selects files by the beginning of their path.
  /// The next sync of a matching file fails and is final for that open file: a random part of its
  /// unsynced bytes is durable, the rest is shown by the page cache but never reaches the disk.
  void fail_next_sync(std::string prefix) { fail_sync_ = std::move(prefix); }
  /// The next write of a matching file fails with `code`, nothing of it written.
  void fail_next_write(std::string prefix, Code code) { fail_write_ = {std::move(prefix), code}; }
  /// Reads that touch a sector of [offset, offset + size) of `path` fail with kIo until clear_faults().
  void fail_reads(const std::string& path, std::uint64_t offset, std::uint64_t size);
  void clear_faults() {
    bad_reads_.clear();
    fail_sync_.reset();
    fail_write_.reset();
  }
  /// Flips one bit of the durable bytes and of the page cache. False if there is no such byte.
  bool flip_bit(const std::string& path, std::uint64_t offset, unsigned bit);
  void set_capacity(std::uint64_t bytes) { options_.capacity_bytes = bytes; }
  /// Latencies from now on.
  void set_options(const SimDiskOptions& options) { options_ = options; }

  // A look from outside, without counting.
  const SimDiskCounts& counts() const { return counts_; }
  /// Whole content as the page cache shows it; nullopt if there is no such file.
  std::optional<std::string> content(const std::string& path) const;
  /// Puts a durable file there, replacing what is. Its folder is made.
  void put(const std::string& path, std::string_view bytes);
  /// All paths of files, in byte order.
  std::vector<std::string> files() const;
  std::uint64_t used_bytes() const;

 private:
  friend class SimFile;
  struct Write {
    std::uint64_t offset;
    std::vector<Bytes> slices;
  };
  struct InFlight {
    Write write;
    Sync sync = Sync::kNone;
    DiskDone done;
    TimerId timer = 0;
  };
  struct Inode {
    SparseBytes durable, cached;
    std::vector<Write> unsynced;  // in cached, not in durable
  };
  using InodeRef = std::shared_ptr<Inode>;
  struct Handle;  // an open file: its inode, its writes under way, whether it failed
  struct DirChange {
    std::string from;  // entry that goes; empty: none
    std::string to;    // entry that comes; empty: none
    InodeRef inode;
  };
  struct Creating {
    std::uint64_t size;
    DiskDone done;
  };

  /// Counts an operation; false: the disk is frozen and the operation must do nothing.
  bool operation();
  bool alive(const Handle& h) const;
  Nanos between(Nanos lo, Nanos hi) {
    return lo + static_cast<Nanos>(prng_.below(std::uint64_t(hi - lo + 1)));
  }
  void begin_write(const std::shared_ptr<Handle>& h, InFlight w);
  void finish_write(const std::shared_ptr<Handle>& h);
  Status perform(Handle& h, InFlight& w);
  void finish_create(const std::string& path);
  static void apply(SparseBytes& to, const Write& w);
  static void make_durable(Inode& inode);
  static void survive(Inode& inode, std::vector<Write> writes, Prng& prng, Survivors s);
  static void apply_sectors(SparseBytes& to, const Write& w, const std::function<bool()>& lives);
  void apply_change(std::map<std::string, InodeRef>& names, const DirChange& c);
  void close(Handle& h);
  void drop_process();

  Loop& loop_;
  Clock& clock_;
  Prng prng_;
  SimDiskOptions options_;
  SimDiskCounts counts_;
  std::map<std::string, InodeRef> names_;          // what list and open see
  std::map<std::string, InodeRef> durable_names_;  // what a crash leaves for certain
  std::vector<DirChange> changes_;                 // in names_, not in durable_names_, in order
  std::set<std::string> dirs_{""};
  std::map<std::string, Creating> creating_;
  std::set<TimerId> timers_;
  std::vector<std::weak_ptr<Handle>> handles_;
  std::uint64_t generation_ = 1;  // handles of an older one are dead
  std::uint64_t crash_at_ = 0;
  bool frozen_ = false;
  std::function<void()> on_frozen_;
  std::optional<std::string> fail_sync_;
  std::optional<std::pair<std::string, Code>> fail_write_;
  struct BadRead {
    std::uint64_t offset, size;
  };
  std::multimap<std::string, BadRead> bad_reads_;
};

/// One node's whole world for unit tests: loop, disk, chance, log and an Env over them.
struct SimEnv {
  explicit SimEnv(std::uint64_t seed, SimDiskOptions options = {})
      : disk(loop, loop, seed, options), random(seed ^ 0x5eed), transport(loop) {}
  ~SimEnv() { loop.forget_all(); }  // pending tasks may hold files of the disk
  SimLoop loop;
  SimDisk disk;
  SimRandom random;
  SimProcess process;
  NoTransport transport;
  LogSink log;
  Env env() { return Env{loop, loop, disk, transport, random, process, log}; }
};

}  // namespace weir::env::testing
