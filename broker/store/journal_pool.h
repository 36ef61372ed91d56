// broker/store/journal_pool.h - journal files ahead of need: created, recycled, stamped, removed.
//
// Room:     shell over env::Disk; part of the journal.
// Order:    one file is prepared at a time. Its header (new salt and use) is durable before the file
//           is handed out, so that frames of its former life can never be taken for live ones.
// Errors:   no space: starved() until a file is given back or a retry each second works. Any other
//           error is final and goes to on_failed.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "broker/env/env.h"

namespace weir::store {

struct JournalFileReady {
  std::string name;
  std::uint64_t bytes = 0;
  std::uint64_t use = 0;
  std::uint64_t salt = 0;
  std::unique_ptr<env::File> file;
};

class JournalPool {
 public:
  struct Start {
    std::string dir;
    std::uint64_t file_bytes = 0;
    std::uint64_t next_use = 1;
    std::uint64_t next_file = 1;
  };
  JournalPool(env::Env& env, Start start, std::function<void()> on_ready,
              std::function<void(Error)> on_failed);
  ~JournalPool();
  JournalPool(const JournalPool&) = delete;
  JournalPool& operator=(const JournalPool&) = delete;

  /// Sees to it that a file with at least `bytes` will be ready; on_ready follows in a later turn
  /// unless one is ready already. `first_needed` goes into its header.
  void prepare(std::uint64_t bytes, std::uint64_t first_needed);
  bool ready(std::uint64_t bytes) const { return ready_ && ready_->bytes >= bytes; }
  JournalFileReady take();

  /// A file whose frames are not needed any more. The usual size is kept for a new use (a few of
  /// them); others are removed once `next_frame`, the first that carries the proof that they
  /// are void, is synced.
  void give_back(std::string name, std::uint64_t bytes, std::uint64_t next_frame, std::uint64_t first_needed);
  void synced(std::uint64_t frame);

  /// Closes a file in a later turn: this may be inside one of its completions.
  void retire(std::unique_ptr<env::File> file);
  std::string path(const std::string& name) const { return at_.dir + "/" + name; }
  const std::string& dir() const { return at_.dir; }
  bool starved() const { return starved_ && !ready_; }
  /// Files that hold no frames: ready, being prepared, free or about to be removed.
  unsigned count() const;

 private:
  void begin();
  void stamp(std::string name, std::uint64_t bytes);
  void failed(Error error);

  static constexpr std::size_t kFreeMax = 4;
  struct Doomed {
    std::string name;
    std::uint64_t gate;
  };
  struct FreeFile {
    std::string name;
    std::uint64_t bytes;
  };
  env::Env& env_;
  Start at_;
  std::function<void()> on_ready_;
  std::function<void(Error)> on_failed_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
  std::optional<JournalFileReady> ready_;
  std::optional<JournalFileReady> stamping_;
  bool creating_ = false;
  bool starved_ = false;
  std::uint64_t wanted_bytes_ = 0;
  std::uint64_t first_needed_ = 1;
  std::vector<FreeFile> free_;
  std::vector<Doomed> doomed_;
  std::vector<std::unique_ptr<env::File>> retired_;
  env::TimerId retry_ = 0;
};

}  // namespace weir::store
