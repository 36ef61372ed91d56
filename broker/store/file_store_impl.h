// broker/store/file_store_impl.h - FileStore's checkpoints on top of StoreCore.
//
// Room:     shell over env::Disk and Catalog. Thread: the shard's loop.
// Parts:    file_store.cc opens and destroys, file_store_checkpoint.cc plans, runs and installs a checkpoint,
//           Sealer writes segment files.
// Invariant: what a checkpoint makes durable is the state at its call. Later removals change the old
//           segments at once and are repeated on the new ones when these take over.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "broker/store/file_store.h"
#include "broker/store/sealer.h"
#include "broker/store/store_core.h"
#include "broker/store/store_keys.h"

namespace weir::store {

class FileStoreImpl final : public CoreStore<FileStore> {
 public:
  FileStoreImpl(Catalog& catalog, Log& log, const Options& options)
      : CoreStore(StoreCore::Sizes::kFile),
        catalog_(catalog),
        log_(log),
        generation_(options.generation),
        limits_{options.block_bytes, options.segment_bytes} {}

  /// Loads the last checkpoint's state.
  Status recover(SegmentReader reader);

  Result<Removed> remove(StreamSeq seq) override;
  Result<Removed> compact(StreamSeq first_keep) override;
  void checkpoint(std::vector<CatalogEdit> owner_edits, env::DiskDone done) override;
  bool checkpointing() const override { return job_ != nullptr; }
  std::size_t unflushed_bytes() const override;
  bool damaged() const override { return core_.sealed().reader().damaged(); }
  void destroy(std::vector<CatalogEdit> owner_edits, env::DiskDone done) override;

 private:
  /// A segment as the checkpoint found it.
  struct Captured {
    SegmentSet::Ref segment;
    SeqSet dead;
    std::uint64_t live = 0, live_bytes = 0;
    bool dirty = false;
  };
  struct Job {
    FileStoreImpl* store;
    env::DiskDone done;
    std::vector<CatalogEdit> edits;       // what is known at the beginning
    SavedState state;                     // next_file is filled in at the end
    std::vector<Captured> merged;         // replaced by outputs
    std::vector<Message> messages;        // of the tail; kept for a second attempt
    std::vector<SegmentSet::Ref> doomed;  // dead already: their files go when the catalog says so
    std::vector<std::uint64_t> cleared;   // x keys to remove
    std::unique_ptr<Sealer> sealer;       // null: nothing to write
    std::vector<StreamSeq> removed;       // since the beginning
    StreamSeq first_keep;                 // of compactions since the beginning
    bool committed = false;               // the catalog was told
  };
  using JobRef = std::shared_ptr<Job>;

  const SegmentReader& reader() const { return core_.sealed().reader(); }
  StoreKeys keys() const { return StoreKeys(reader().group(), generation_); }
  Status load_segments(const StoreKeys& keys, std::vector<SegmentSet::Ref>& out);
  Status tidy_folder(const std::vector<SegmentSet::Ref>& known);
  void unlink(std::uint64_t file);
  void unlink_free_files();

  std::vector<std::size_t> choose_old(std::size_t end) const;
  std::vector<Sealer::Source> plan(Job& job);
  void capture(Job& job);
  Status start_sealing(Job& job, std::vector<Sealer::Source> sources);
  void on_sealed(const Status& status);
  void retry_without_merges();
  void commit();
  void install();
  void take_over(Sealer::Output& output, const Job& job);
  void finish_job(const Status& status);
  void fail_later(Error error);

  Catalog& catalog_;
  Log& log_;
  std::uint32_t generation_;
  Sealer::Limits limits_;
  std::uint64_t next_file_ = 1;
  std::vector<std::uint64_t> free_files_;  // found at open: x keys whose files may be there
  std::shared_ptr<FileStoreImpl*> alive_;  // for the completion that unlinks them
  std::vector<std::uint64_t> unlinked_;    // their x keys are still in the catalog
  bool folder_made_ = false;
  bool dead_ = false;
  JobRef job_;
};

}  // namespace weir::store
