#include "broker/store/sealer.h"

#include "broker/base/check.h"

namespace weir::store {
namespace {

// Dictionary bytes encoded in one turn.
constexpr std::size_t kPagesPerTurn = 512 * 1024;

}  // namespace

Status Sealer::start(std::vector<Source> sources) {
  sources_ = std::move(sources);
  return step();
}

// Every completion comes here; done_ may destroy this, so nothing follows it.
void Sealer::go_on(const Status& last) {
  Status status = last.has_value() ? step() : last;
  if (status) return;
  auto done = std::move(done_);
  done(status);
}

// Does what can be done without waiting; returns when one read or write is under way or all is over.
Status Sealer::step() {
  for (;;) {
    if (closing_ != Closing::kNo) {
      close_segment();
      if (closing_ != Closing::kNo) return ok();
    }
    if (source_ == sources_.size()) return finish();
    if (!fetch()) {
      bool reading = false;
      RETURN_IF_ERROR(open_block(reading));
      if (reading) return ok();
      if (fetch()) continue;
      ++source_;
      input_ = block_ = row_ = message_ = 0;
      if (writer_ != nullptr) closing_ = Closing::kPages;
      continue;
    }
    if (writer_ == nullptr) RETURN_IF_ERROR(begin_segment());
    if (writer_->file_bytes() >= limits_.segment_bytes || !writer_->accepts(at_hand_->seq)) {
      closing_ = Closing::kPages;
      continue;
    }
    writer_->add(*at_hand_);
    at_hand_.reset();
    if (writer_->block_bytes() >= limits_.block_bytes) {
      write(writer_->take_block(), env::Sync::kNone);
      return ok();
    }
  }
}

// Makes at_hand_ the next message. False: a block must be read, or the source is at its end.
bool Sealer::fetch() {
  if (at_hand_) return true;
  Source& source = sources_[source_];
  if (loaded_) {
    const Input& in = source.inputs[input_];
    while (row_ < loaded_->index.rows.size()) {
      const auto& row = loaded_->index.rows[row_++];
      if (in.dead.contains(in.segment->offset_of(loaded_->index.base + row.seq_offset))) continue;
      at_hand_ = loaded_->message(row);
      return true;
    }
    loaded_.reset();
    ++block_;
    row_ = 0;
  }
  if (input_ < source.inputs.size() || message_ == source.messages.size()) return false;
  at_hand_ = std::move(source.messages[message_]);
  source.messages[message_++] = Message();
  return true;
}

// Starts reading the next input block that holds a live message, if there is one.
Status Sealer::open_block(bool& reading) {
  Source& source = sources_[source_];
  for (; input_ < source.inputs.size(); ++input_, block_ = 0, input_file_.reset()) {
    const Input& in = source.inputs[input_];
    bad_input_ = in.segment.get();
    ASSIGN_OR_RETURN(auto footer, reader_.footer(*in.segment));
    for (; block_ < footer->blocks.size(); ++block_) {
      const BlockInfo& b = footer->blocks[block_];
      if (!in.dead.next_absent(in.segment->offset_of(b.base), in.segment->offset_of(b.last))) continue;
      if (!input_file_) {
        ASSIGN_OR_RETURN(input_file_, reader_.disk().open(reader_.path(*in.segment), env::Open::kRead));
      }
      std::size_t size = kBlockHeaderBytes + std::size_t{b.index_bytes} + b.data_bytes;
      input_file_->read_async(b.offset, size,
                              [this, b](Result<std::string> bytes) { on_block(b, std::move(bytes)); });
      reading = true;
      return ok();
    }
  }
  bad_input_ = nullptr;
  return ok();
}

void Sealer::on_block(const BlockInfo& info, Result<std::string> bytes) {
  auto where = [&](const Error& e) {
    return e.within(reader_.path(*bad_input_) + " at byte " + std::to_string(info.offset));
  };
  if (!bytes) return go_on(where(bytes.error()));
  auto block = decode_block(reader_.group(), info, as_span(*bytes));
  if (!block) return go_on(where(block.error()));
  loaded_ = std::move(*block);
  bad_input_ = nullptr;
  go_on(ok());
}

Status Sealer::begin_segment() {
  std::uint64_t number = next_file_++;
  std::string path = reader_.dir() + "/" + segment_file_name(number);
  ASSIGN_OR_RETURN(file_, reader_.disk().open(path, env::Open::kCreate));
  paths_.push_back(std::move(path));
  writer_ = std::make_unique<SegmentWriter>(reader_.group(), number);
  return ok();
}

// One write of the end of a segment; kNo when it is complete.
void Sealer::close_segment() {
  if (!writer_->block_empty()) return write(writer_->take_block(), env::Sync::kNone);
  if (closing_ == Closing::kPages) {
    if (Bytes pages = writer_->take_pages(kPagesPerTurn); !pages.empty()) {
      return write(std::move(pages), env::Sync::kNone);
    }
    closing_ = Closing::kFooter;
    return write(writer_->finish(), env::Sync::kData);
  }
  closing_ = Closing::kNo;
  outputs_.push_back({writer_->segment(), std::move(writer_->rows())});
  writer_.reset();
  file_.reset();
}

void Sealer::write(Bytes bytes, env::Sync sync) {
  std::uint64_t offset = writer_->file_bytes() - bytes.size();
  std::vector<Bytes> slices;
  slices.push_back(std::move(bytes));
  file_->write(offset, std::move(slices), sync, [this](Status s) { go_on(s); });
}

Status Sealer::finish() {
  RETURN_IF_ERROR(reader_.disk().sync_dir(reader_.dir()));
  auto done = std::move(done_);
  done(ok());
  return ok();
}

void Sealer::discard() {
  file_.reset();
  writer_.reset();
  for (const auto& path : paths_) (void)reader_.disk().remove(path);
}

}  // namespace weir::store
