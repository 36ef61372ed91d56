// broker/store/journal_impl.h - the writing half of the journal: queue, frames, syncs, roll-over.
//
// Room:     private to journal*.cc. Recovery is journal_reader, files ahead of need are journal_pool,
//           who needs which file is journal_ledger, bytes are journal_format.
// State:    at most one frame write is under way (writing_); in relaxed mode also one sync of an
//           older range, through a second handle of the file, so that writes do not wait for it.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "broker/base/limits.h"
#include "broker/store/journal.h"
#include "broker/store/journal_fetch.h"
#include "broker/store/journal_format.h"
#include "broker/store/journal_ledger.h"
#include "broker/store/journal_pool.h"
#include "broker/store/journal_reader.h"

namespace weir::store {

class JournalImpl final : public Journal {
 public:
  JournalImpl(env::Env& env, std::string dir, JournalOptions options, JournalLedger ledger,
              JournalFound found);
  ~JournalImpl() override;

  void append(JournalRecord record, env::DiskDone done) override;
  void flush() override { start(); }
  void release(GroupId group, RaftIndex upto) override;
  void read(GroupId group, RaftIndex from, RaftIndex upto, std::size_t bytes_max, ReadDone done) override;
  GroupId laggard() const override;
  bool pressed() const override { return live_files() * 2 >= options_.files_max; }
  bool full() const override { return live_files() >= options_.files_max || pool_.starved(); }
  bool failed() const override { return error_.has_value(); }
  const JournalStats& stats() const override;
  void drain(env::DiskDone done) override;

 private:
  struct Queued {
    JournalRecord record;
    env::DiskDone done;
  };
  /// A file that frames are (or were) written to and whose last frames may not be synced.
  struct Active {
    JournalFileReady at;
    std::uint64_t pos = kJournalBlock;
    std::uint64_t last_frame = 0;  // write completed
    std::unique_ptr<env::File> syncer;
  };
  struct Plan {
    std::vector<JournalRecord> records;  // that the journal writes by itself: the tail, hard states
    std::size_t queued = 0;              // taken from the front of the queue
    std::uint64_t bytes = kFrameHeaderBytes;
  };
  struct Frame {
    std::uint64_t number = 0;
    env::Sync sync = env::Sync::kNone;
    std::vector<env::DiskDone> dones;
    std::uint64_t appended = 0;  // records of append() up to here are in this frame or before
    Mono begun;
  };
  struct Covered {
    std::uint64_t frame;
    std::uint64_t appended;
  };
  struct Drain {
    std::uint64_t appended;
    env::DiskDone done;
  };

  struct Reading {
    std::unique_ptr<JournalFetch> fetch;
    ReadDone done;
  };

  std::size_t live_files() const { return ledger_.files().size(); }
  void start();
  Plan plan();
  bool room(std::uint64_t bytes);
  void roll();
  void prepare_next();
  void write_frame(Plan plan, env::Sync sync);
  std::vector<Bytes> encode(const std::vector<JournalRecord>& records, std::size_t again,
                            std::uint64_t number);
  std::uint8_t doubts(const JournalRecord& record, bool again);
  void frame_done(Status status);
  void sync_now();
  void sync_done(std::uint64_t frame, Status status);
  void on_synced(std::uint64_t frame);
  void reap();
  void read_done(std::uint64_t id, Result<std::vector<JournalRecord>> result);
  void arm_sync_timer();
  void arm_promise_timer();
  bool promise_is_due() const;
  void write_promise();
  void fail(Error error);
  void close_later(Active active);

  env::Env env_;
  JournalOptions options_;
  mutable JournalLedger ledger_;  // laggard() drops out-of-date notes
  JournalPool pool_;
  std::optional<Active> current_;
  std::deque<Active> dirty_;  // rolled over, not synced (relaxed mode only)

  std::deque<Queued> queue_;
  std::uint64_t appended_ = 0;  // records queued so far
  std::uint64_t durable_ = 0;   // of them, durable
  std::deque<Covered> covered_;
  std::vector<Drain> drains_;
  std::optional<Frame> writing_;
  std::optional<std::uint64_t> syncing_;  // frame that the sync under way covers
  std::optional<Error> error_;
  bool sync_again_ = false;
  bool closing_ = false;

  std::uint64_t next_frame_;
  std::uint64_t first_needed_;
  std::uint64_t synced_through_;
  std::uint64_t last_promise_;     // in the last frame written
  std::uint64_t last_data_frame_;  // with records
  std::uint64_t void_from_, void_to_;
  std::unordered_map<GroupId, std::uint8_t> doubts_;  // faults that the owner did not answer yet
  std::vector<JournalRecord> tail_;  // recovered beyond the promise; first frame of this start
  /// A start: first the recovered tail in one frame, then a frame that proves it (its promise and
  /// first_needed free the files of before). Nothing recovered counts as durable until both are.
  enum class Start : unsigned char { kTail, kSettle, kDone } start_state_ = Start::kDone;
  bool carry_ = false;  // the oldest file waits for its hard states to be written again
  std::uint64_t carry_frame_ = 0;

  std::map<std::uint64_t, Reading> reads_;
  std::vector<std::unique_ptr<JournalFetch>> read_before_;  // closed in a later turn
  std::uint64_t last_read_ = 0;

  env::TimerId sync_timer_ = 0;
  env::TimerId promise_timer_ = 0;
  Bytes zeros_;
  mutable JournalStats stats_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace weir::store
