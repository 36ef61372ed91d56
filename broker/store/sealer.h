// broker/store/sealer.h - writes messages of memory and of old segments into new segment files.
//
// Room:     shell over env::Disk. Thread: the shard's loop. Owner: FileStore, one per checkpoint.
// Pace:     one block is read or written at a time and asynchronously, so a loop turn encodes about
//           one block.
// Durable:  when done runs with success every output is synced, and the folder too. Nothing names the
//           files yet; that is the catalog's part.
// Errors:   kNoSpace, kIo; kCorrupt and kIo of an input also in bad_input(). After an error call
//           discard() and drop the object.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "broker/store/segment_set.h"
#include "broker/store/segment_writer.h"

namespace weir::store {

class Sealer {
 public:
  struct Limits {
    std::size_t block_bytes = 0;
    std::size_t segment_bytes = 0;
  };
  struct Input {
    SegmentSet::Ref segment;
    SeqSet dead;  // as of the checkpoint's beginning
  };
  /// One run of messages in order of sequence: those of the inputs, then those of memory.
  struct Source {
    std::vector<Input> inputs;
    std::vector<Message> messages;
  };
  struct Output {
    SegmentSet::Ref segment;
    std::vector<SegmentWriter::Row> rows;
  };

  /// `reader` outlives this. `next_file` counts up.
  Sealer(const SegmentReader& reader, Limits limits, std::uint64_t& next_file, env::DiskDone done)
      : reader_(reader), limits_(limits), next_file_(next_file), done_(std::move(done)) {}

  /// Call once, with at least one message. An error here means that done does not run.
  Status start(std::vector<Source> sources);
  std::vector<Output>& outputs() { return outputs_; }
  /// The segment whose bytes could not be read.
  Segment* bad_input() const { return bad_input_; }
  /// Unlinks what was written. Only before the catalog was told.
  void discard();

 private:
  Status step();
  void go_on(const Status& last);
  bool fetch();
  Status open_block(bool& reading);
  void on_block(const BlockInfo& info, Result<std::string> bytes);
  Status begin_segment();
  void close_segment();
  void write(Bytes bytes, env::Sync sync);
  Status finish();

  const SegmentReader& reader_;
  Limits limits_;
  std::uint64_t& next_file_;
  env::DiskDone done_;
  std::vector<Source> sources_;
  std::vector<Output> outputs_;
  std::vector<std::string> paths_;

  // Where reading stands.
  std::size_t source_ = 0, input_ = 0, block_ = 0, row_ = 0, message_ = 0;
  std::unique_ptr<env::File> input_file_;
  std::optional<Block> loaded_;
  std::optional<Message> at_hand_;
  Segment* bad_input_ = nullptr;

  // Where writing stands.
  enum class Closing : unsigned char { kNo, kPages, kFooter };
  std::unique_ptr<SegmentWriter> writer_;
  std::unique_ptr<env::File> file_;
  Closing closing_ = Closing::kNo;
};

}  // namespace weir::store
