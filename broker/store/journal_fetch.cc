#include "broker/store/journal_fetch.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "broker/base/limits.h"

namespace weir::store {
namespace {

// Payloads closer together than this are read in one go.
constexpr std::uint64_t kGapMax = 16 * 1024;
// A longer table is damage.
constexpr std::uint64_t kTableMax = 64u << 20;

}  // namespace

Status JournalFetch::start(Done done) {
  RETURN_IF_ERROR(open_file());
  done_ = std::move(done);
  begin_piece();
  return ok();
}

void JournalFetch::read(std::uint64_t offset, std::uint64_t size, Read then) {
  files_.back()->read_async(offset, static_cast<std::size_t>(size), [this, then](Result<std::string> r) {
    if (!r) return finish(file_name_ + ": " + r.error().to_string());
    (this->*then)(std::move(r).value());
  });
}

Status JournalFetch::open_file() {
  if (file_name_ == piece().file) return ok();
  ASSIGN_OR_RETURN(auto file, disk_.open(dir_ + "/" + piece().file, env::Open::kRead));
  files_.push_back(std::move(file));
  file_name_ = piece().file;
  return ok();
}

void JournalFetch::begin_piece() {
  rows_.clear();
  row_ = 0;
  short_ = false;
  read(piece().offset, kJournalBlock, &JournalFetch::got_head);
}

void JournalFetch::got_head(std::string bytes) {
  table_ = std::move(bytes);
  if (table_.size() < kFrameHeaderBytes + kTableEntryBytes) return finish(file_name_ + ": too short");
  const auto* p = reinterpret_cast<const std::uint8_t*>(table_.data());
  // The first payload begins where the table ends; this does not need a header that holds.
  std::uint64_t end = decode_table_entry(p + kFrameHeaderBytes).offset;
  if (auto h = decode_frame_header(as_span(table_), ~std::uint64_t{0}); h && h->number == piece().frame) {
    end = kFrameHeaderBytes + std::uint64_t{h->count} * kTableEntryBytes;
  }
  if (end < kFrameHeaderBytes + kTableEntryBytes || end > kTableMax) return finish(file_name_ + ": no table");
  if (end <= table_.size()) {
    table_.resize(static_cast<std::size_t>(end));
    return scan_table();
  }
  read(piece().offset + table_.size(), end - table_.size(), &JournalFetch::got_table);
}

void JournalFetch::got_table(std::string bytes) {
  table_ += bytes;
  scan_table();
}

void JournalFetch::scan_table() {
  const auto* p = reinterpret_cast<const std::uint8_t*>(table_.data());
  std::vector<std::optional<Row>> found(static_cast<std::size_t>(piece().count));
  for (std::size_t at = kFrameHeaderBytes; at + kTableEntryBytes <= table_.size(); at += kTableEntryBytes) {
    Row row;
    row.entry = decode_table_entry(p + at);
    std::memcpy(row.raw, p + at, kTableEntryBytes);
    const JournalTableEntry& e = row.entry;
    bool wanted = piece().repair ? is_repair(e.kind) : is_entry(e.kind);
    if (e.group != group_ || !wanted || e.index < piece().first) continue;
    if (e.index - piece().first >= piece().count) continue;
    if (e.length > limits::kRecordBytesMax) continue;
    found[static_cast<std::size_t>(e.index - piece().first)] = row;  // of several the last one counts
  }
  for (auto& row : found) {
    short_ = !row.has_value();
    if (short_) break;
    rows_.push_back(*row);
  }
  next_batch();
}

// The next rows whose payloads are near to each other, as many as may be handed out.
void JournalFetch::next_batch() {
  batch_ = 0;
  std::uint64_t begin = 0, end = 0;
  for (std::size_t i = row_; i < rows_.size(); ++i) {
    const JournalTableEntry& e = rows_[i].entry;
    bool first = records_.empty() && batch_ == 0;
    if (!first && e.length > bytes_left_) break;
    if (batch_ != 0 && (e.offset < end || e.offset - end > kGapMax)) break;
    if (batch_ == 0) begin = e.offset;
    end = std::uint64_t{e.offset} + e.length;
    bytes_left_ -= std::min<std::size_t>(bytes_left_, e.length);
    ++batch_;
  }
  if (batch_ != 0) return read(piece().offset + begin, end - begin, &JournalFetch::got_batch);
  if (row_ < rows_.size()) return finish("");  // bytes_max
  if (short_) return finish(file_name_ + ": frame " + std::to_string(piece().frame) + " lacks an entry");
  if (++at_ == pieces_.size()) return finish("");
  if (auto opened = open_file(); !opened) return finish(piece().file + ": " + opened.error().to_string());
  begin_piece();
}

void JournalFetch::got_batch(std::string bytes) {
  Bytes all = Bytes::copy_of(bytes);
  std::uint32_t seed = frame_seed(piece().salt, piece().frame);
  std::uint64_t begin = rows_[row_].entry.offset;
  for (; batch_ > 0; --batch_, ++row_) {
    const JournalTableEntry& e = rows_[row_].entry;
    std::size_t at = static_cast<std::size_t>(e.offset - begin);
    bool there = at + e.length <= all.size();
    Bytes payload = there ? all.sub(at, e.length) : Bytes();
    if (!there || !entry_crc_holds(rows_[row_].raw, seed, payload.span())) {
      return finish(file_name_ + ": frame " + std::to_string(piece().frame) +
                    ": an entry fails its checksum");
    }
    records_.push_back({group_, repaired_kind(e.kind), e.term, e.index, std::move(payload)});
  }
  next_batch();
}

void JournalFetch::finish(std::string trouble) {
  trouble_ = std::move(trouble);
  Done done = std::move(done_);
  if (records_.empty()) return done(Error(Code::kNotFound, trouble_));
  done(std::move(records_));
}

}  // namespace weir::store
