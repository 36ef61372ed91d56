#include "broker/store/journal_scan.h"

#include <algorithm>
#include <charconv>
#include <optional>

#include "broker/store/journal_reader.h"

namespace weir::store {
namespace {

constexpr std::size_t kScanChunk = 256 * 1024;
constexpr char kSuffix[] = ".jnl";

std::optional<std::uint64_t> number_of(const std::string& name) {
  if (name.size() != 12 || name.compare(8, 4, kSuffix) != 0) return std::nullopt;
  std::uint64_t n = 0;
  auto [end, ec] = std::from_chars(name.data(), name.data() + 8, n, 16);
  if (ec != std::errc() || end != name.data() + 8 || n == 0 || name != journal_file_name(n))
    return std::nullopt;
  return n;
}

bool all_zero(ByteSpan s) {
  return std::all_of(s.begin(), s.end(), [](std::uint8_t b) { return b == 0; });
}

/// Reads blocks one after the other, by large chunks.
class BlockWalk {
 public:
  explicit BlockWalk(ScannedFile& file) : file_(file) {}
  /// The block at `offset`, short at the end of the file.
  ByteSpan block(std::uint64_t offset) {
    if (offset < from_ || offset >= from_ + buffer_.size()) {
      // A hop over a frame reads one block; a walk from block to block reads ahead.
      std::size_t want = offset == last_ + kJournalBlock ? kScanChunk : kJournalBlock;
      buffer_.resize(std::min<std::uint64_t>(want, file_.bytes - std::min(offset, file_.bytes)));
      from_ = offset;
      buffer_.resize(file_.read(offset, buffer_));
    }
    last_ = offset;
    if (offset >= from_ + buffer_.size()) return {};
    std::size_t at = static_cast<std::size_t>(offset - from_);
    return ByteSpan(buffer_).subspan(at, std::min(kJournalBlock, buffer_.size() - at));
  }

 private:
  ScannedFile& file_;
  std::uint64_t from_ = 0;
  std::uint64_t last_ = 0;
  std::vector<std::uint8_t> buffer_;
};

// The header of the file is damaged: the newest use that any whole frame header speaks of is its use.
void adopt_frames_use(ScannedFile& f) {
  BlockWalk walk(f);
  for (std::uint64_t at = kJournalBlock; at < f.bytes; at += kJournalBlock) {
    auto h = decode_frame_header(walk.block(at), f.bytes - at);
    if (h && h->use > f.header.use) {
      f.header.use = h->use;
      f.header.salt = h->salt;
    }
  }
}

// A file in use has its first frame there.
bool nothing_behind_header(ScannedFile& f) {
  BlockWalk walk(f);
  for (std::uint64_t at = kJournalBlock; at < f.bytes; at += kJournalBlock) {
    if (!all_zero(walk.block(at))) return false;
  }
  return f.bytes > kJournalBlock && !f.bad_within(kJournalBlock, f.bytes);
}

void find_frames(ScannedFile& f) {
  BlockWalk walk(f);
  std::uint64_t last = 0;
  for (std::uint64_t at = kJournalBlock; at < f.bytes;) {
    auto h = decode_frame_header(walk.block(at), f.bytes - at);
    if (!h || h->salt != f.header.salt || h->use != f.header.use || h->number <= last) {
      at += kJournalBlock;
      continue;
    }
    last = h->number;
    f.frames.push_back({at, *h});
    at += round_to_block(h->length);
  }
}

Status scan_file(ScannedFile& f, Log& log) {
  std::vector<std::uint8_t> block(kJournalBlock);
  block.resize(f.read(0, block));
  f.is_zero = all_zero(block) && !f.bad_within(0, kJournalBlock);
  if (f.is_zero && f.bytes <= kJournalBlock) return ok();
  if (auto h = decode_file_header(block)) {
    f.has_header = true;
    f.header = *h;
    if (h->version != kJournalVersion) {
      return Error(Code::kUnsupported, f.name + ": journal format version " + std::to_string(h->version) +
                                           ", this build reads " + std::to_string(kJournalVersion));
    }
  } else {
    adopt_frames_use(f);
    f.is_spare = f.header.use == 0 && !f.is_zero && nothing_behind_header(f);
    if (f.header.use != 0)
      log.warn("journal: " + f.name + ": file header is damaged, frames are read without it");
  }
  if (f.header.use != 0) find_frames(f);
  return ok();
}

}  // namespace

std::size_t ScannedFile::read(std::uint64_t offset, std::span<std::uint8_t> out) {
  auto whole = file->read(offset, out);
  if (whole) return *whole;
  std::size_t done = 0;
  while (done < out.size() && offset + done < bytes) {
    std::uint64_t at = offset + done;
    std::size_t n = static_cast<std::size_t>(
        std::min<std::uint64_t>({kJournalBlock - at % kJournalBlock, out.size() - done, bytes - at}));
    auto part = out.subspan(done, n);
    auto got = file->read(at, part);
    if (!got) {
      std::fill(part.begin(), part.end(), std::uint8_t{0});
      bad_blocks.insert(at / kJournalBlock * kJournalBlock);
    } else if (*got < n) {
      return done + *got;
    }
    done += n;
  }
  return done;
}

bool ScannedFile::bad_within(std::uint64_t from, std::uint64_t to) const {
  auto it = bad_blocks.lower_bound(from / kJournalBlock * kJournalBlock);
  return it != bad_blocks.end() && *it < to;
}

Result<std::vector<ScannedFile>> scan_journal(env::Disk& disk, Log& log, const std::string& dir) {
  ASSIGN_OR_RETURN(auto entries, disk.list(dir));
  std::vector<ScannedFile> files;
  for (const auto& entry : entries) {
    if (entry.name == kJournalLostName || entry.name.find(kJournalAside) != std::string::npos) continue;
    auto number = entry.is_dir ? std::nullopt : number_of(entry.name);
    if (!number) {
      log.warn("journal: " + dir + "/" + entry.name + ": not a journal file, left alone");
      continue;
    }
    ScannedFile f;
    f.name = entry.name;
    f.number = *number;
    ASSIGN_OR_RETURN(f.file, disk.open(dir + "/" + entry.name, env::Open::kRead));
    ASSIGN_OR_RETURN(f.bytes, f.file->size());
    RETURN_IF_ERROR(scan_file(f, log));
    files.push_back(std::move(f));
  }
  std::stable_sort(files.begin(), files.end(),
                   [](const ScannedFile& a, const ScannedFile& b) { return a.header.use < b.header.use; });
  for (std::size_t i = files.size(); i-- > 1;) {
    if (files[i].header.use == 0 || files[i].header.use != files[i - 1].header.use) continue;
    // A copy of a file, put there by someone: one of them is not ours, and we keep the first.
    log.error("journal: " + files[i].name + ": same use as " + files[i - 1].name + ", ignored");
    files[i].has_header = false;
    files[i].header = {};
    files[i].frames.clear();
  }
  return files;
}

}  // namespace weir::store
