#include "broker/store/journal_reader.h"

#include <algorithm>
#include <cstdio>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include "broker/base/crc32c.h"
#include "broker/store/journal_scan.h"

namespace weir::store {
namespace {

struct Interval {
  std::uint64_t from, to;  // end exclusive
};

/// Parts of [from, to) that no interval of `holes` covers.
std::vector<Interval> subtract(Interval x, const std::vector<Interval>& covers) {
  std::vector<Interval> out;
  while (x.from < x.to) {
    std::uint64_t end = x.to;
    bool covered = false;
    for (const Interval& c : covers) {
      if (c.from <= x.from && x.from < c.to) {
        x.from = c.to;
        covered = true;
      } else if (c.from > x.from) {
        end = std::min(end, c.from);
      }
    }
    if (covered) continue;
    out.push_back({x.from, end});
    x.from = end;
  }
  return out;
}

bool within(std::uint64_t n, const std::vector<Interval>& v) {
  return std::any_of(v.begin(), v.end(), [n](const Interval& i) { return i.from <= n && n < i.to; });
}

// A number that no frame has: what is lost came after everything that was found.
constexpr Interval kUnknownEnd{kJournalNumberMax + 1, kJournalNumberMax + 2};

std::string frames_text(Interval i) {
  std::string s = "frame " + std::to_string(i.from);
  return i.to - i.from > 1 ? s + " to " + std::to_string(i.to - 1) : s;
}

class Recovery {
 public:
  Recovery(std::vector<ScannedFile> files, Log& log, JournalSink& sink)
      : files_(std::move(files)), log_(log), sink_(sink) {}
  JournalFound run();

 private:
  struct Frame {
    std::size_t file;
    FrameAt at;
  };
  struct Last {
    std::uint64_t frame = 0;
    std::uint64_t index = 0;  // of its last entry
    std::uint8_t doubts = 0;
    std::string why;  // there are doubts
  };
  enum class Step { kGoOn, kCut };
  struct Place {
    std::size_t file;
    std::uint64_t offset;
  };
  static constexpr Place kNowhere{~std::size_t{0}, 0};

  void order_frames();
  void collect_bounds();
  void classify_files();
  Bytes load(const Frame& f);
  bool whole(const Frame& f);
  Step gap(std::size_t i, Interval missing);
  Step frame(const Frame& f);
  void salvage(const Frame& f, const Bytes& bytes);
  void salvage_by_table(const Frame& f, const Bytes& bytes);
  /// Of a frame that is not whole: its records in order; without payload those that cannot be read.
  struct Row {
    JournalTableEntry entry;
    Bytes payload;
    bool good;
  };
  struct Rows {
    std::uint64_t number = 0;
    std::uint64_t offset = 0;
    std::vector<Row> found;
    bool all = false;
    std::uint64_t kept() const {
      auto n = std::count_if(found.begin(), found.end(), [](const Row& r) { return r.good; });
      return static_cast<std::uint64_t>(n);
    }
  };
  struct Loss {
    std::string detail;
    Interval frames{0, 0};
    bool before = false;   // something is lost before the rows
    bool behind = false;   // or behind them
    bool nothing = false;  // all records are there
  };
  Rows read_blind(std::size_t file, std::uint64_t offset, std::uint64_t number);
  void hand_out(const Rows& rows, const Loss& loss);
  void cannot_read(std::string detail, Interval frames, bool nothing_lost);
  void lost_entry(const JournalTableEntry& e, const std::string& detail);
  void tell_lost();
  void tell_doubts();
  void visit(const JournalTableEntry& e, Bytes payload, std::uint64_t frame);
  void follow_chain(const JournalTableEntry& e);
  void enter_file(std::size_t file);
  void leave_behind(std::size_t upto_file);
  void tell_cut(std::size_t first) const;
  Place unreadable_next();
  bool unreadable_end();
  std::string where(std::size_t file, std::uint64_t offset) const {
    return files_[file].name + " offset " + std::to_string(offset);
  }

  std::vector<ScannedFile> files_;
  Log& log_;
  JournalSink& sink_;
  JournalFound found_;
  std::vector<Frame> frames_;
  std::vector<Interval> voids_;
  std::vector<Interval> unknown_;  // unreadable frames whose groups are not known
  std::uint64_t doubt_upto_ = 0;   // the last of these
  std::map<GroupId, Last> last_;
  std::optional<JournalFault> lost_;  // a run of entries, not told yet
  std::vector<bool> live_;            // by file: holds needed frames, or lies between such files
  std::size_t next_file_ = 0;         // first file not told to the sink
  std::uint64_t expected_ = 1;
  const Frame* before_ = nullptr;  // the frame that was accepted last
};

// Numbers decide which frames are current: a file that was cut may go on with old frames whose
// numbers were given again in the next file.
void Recovery::order_frames() {
  std::uint64_t limit = ~std::uint64_t{0};
  for (std::size_t i = files_.size(); i-- > 0;) {
    auto& frames = files_[i].frames;
    while (!frames.empty() && frames.back().header.number >= limit) frames.pop_back();
    if (!frames.empty()) limit = frames.front().header.number;
  }
  for (std::size_t i = 0; i < files_.size(); ++i) {
    for (const FrameAt& at : files_[i].frames) frames_.push_back({i, at});
  }
#ifdef WEIR_DEFECT_DROP_LAST_FRAME
  if (!frames_.empty()) frames_.pop_back();  // seeded defect, docs/testing.md
#endif
}

void Recovery::collect_bounds() {
  for (const auto& f : files_) {
    found_.next_use = std::max(found_.next_use, f.header.use + 1);
    found_.next_file = std::max(found_.next_file, f.number + 1);
    if (f.has_header) found_.first_needed = std::max(found_.first_needed, f.header.first_needed);
  }
  for (const auto& f : frames_) {
    const auto& h = f.at.header;
    found_.synced_through = std::max(found_.synced_through, h.synced_through);
    found_.first_needed = std::max(found_.first_needed, h.first_needed);
    // A replacement counts only if it is whole: else the frames that it replaces still stand.
    if (h.void_from < h.void_to && whole(f)) voids_.push_back({h.void_from, h.void_to});
  }
}

void Recovery::classify_files() {
  live_.assign(files_.size(), false);
  std::size_t first = files_.size(), last = 0;
  for (const auto& f : frames_) {
    if (f.at.header.number < found_.first_needed) continue;
    first = std::min(first, f.file);
    last = std::max(last, f.file);
  }
  // Frames missing before the first one: a file without readable frames may be where they were.
  bool open_front = first < files_.size() && files_[first].frames.front().header.number > found_.first_needed;
  for (std::size_t i = 0; i < files_.size(); ++i) {
    bool between = first <= i && i <= last;
    bool before = open_front && i < first && files_[i].frames.empty();
    if (files_[i].header.use != 0 && (between || before)) {
      live_[i] = true;
      // Files have their size before their first frame: what a shorter one lost may have been promised,
      // with the promise.
      if (files_[i].has_header && files_[i].bytes < files_[i].header.file_bytes) {
        std::string detail = files_[i].name + ": cut short, " + std::to_string(files_[i].bytes) + " of " +
                             std::to_string(files_[i].header.file_bytes) + " bytes are there";
        // If frames follow in a later file, the numbers tell what is missing.
        cannot_read(std::move(detail), i < last ? Interval{0, 0} : kUnknownEnd, i < last);
      }
    } else if (files_[i].has_header || files_[i].is_zero || files_[i].header.use != 0) {
      found_.free.push_back({files_[i].name, files_[i].bytes});
    } else if (files_[i].is_spare) {
      found_.aside.push_back(files_[i].name);
    } else {
      cannot_read(files_[i].name + ": neither header nor frames can be read, left alone", kUnknownEnd, false);
    }
  }
}

Bytes Recovery::load(const Frame& f) {
  BytesBuilder b;
  std::uint32_t n = f.at.header.length;
  std::size_t got = files_[f.file].read(f.at.offset, {b.grow(n), n});
  Bytes all = b.freeze();
  return got == n ? all : Bytes();
}

/// Visits the table of `bytes`, a frame with a valid header: each entry with its payload, or with
/// nullptr when that entry's own checksum fails.
template <class F>
void each_entry(const JournalFrameHeader& h, const Bytes& bytes, F&& f) {
  std::uint32_t seed = frame_seed(h.salt, h.number);
  for (std::uint32_t i = 0; i < h.count; ++i) {
    const std::uint8_t* p = bytes.data() + kFrameHeaderBytes + std::size_t{i} * kTableEntryBytes;
    JournalTableEntry e = decode_table_entry(p);
    bool good =
        entry_is_possible(e, h.length) && entry_crc_holds(p, seed, bytes.span().subspan(e.offset, e.length));
    f(e, good);
  }
}

/// A table whose checksum is right names groups that can be: nothing is said of a group that nobody has.
bool table_holds(const JournalFrameHeader& h, const Bytes& bytes) {
  auto table = bytes.span().subspan(kFrameHeaderBytes, std::size_t{h.count} * kTableEntryBytes);
  if (crc32c(table, frame_seed(h.salt, h.number)) != h.table_crc) return false;
  for (; !table.empty(); table = table.subspan(kTableEntryBytes)) {
    if (decode_table_entry(table.data()).group.v == 0) return false;
  }
  return true;
}

bool Recovery::whole(const Frame& f) {
  Bytes bytes = load(f);
  if (bytes.empty() || !table_holds(f.at.header, bytes)) return false;
  bool all = true;
  each_entry(f.at.header, bytes, [&](const JournalTableEntry&, bool good) { all = all && good; });
  return all;
}

void Recovery::enter_file(std::size_t file) {
  for (; next_file_ <= file; ++next_file_) {
    if (!live_[next_file_]) continue;
    const auto& f = files_[next_file_];
    std::uint64_t first = f.frames.empty() ? expected_ : f.frames.front().header.number;
    sink_.file({f.name, f.bytes, f.header.use, first, f.header.salt});
  }
}

void Recovery::leave_behind(std::size_t upto_file) {
  // Files cut off behind the end hold nothing that was ever synced.
  for (std::size_t i = std::max(next_file_, upto_file); i < files_.size(); ++i) {
    if (live_[i]) found_.free.push_back({files_[i].name, files_[i].bytes});
  }
}

// Frames whose groups are not known. Which groups go on without a loss, the records that follow show.
void Recovery::cannot_read(std::string detail, Interval frames, bool nothing_lost) {
  if (!nothing_lost && frames.from < frames.to) {
    if (!within(frames.from, unknown_)) unknown_.push_back(frames);
    doubt_upto_ = std::max(doubt_upto_, frames.to - 1);
  }
  JournalFault f;
  f.detail = std::move(detail);
  f.vote_lost = f.open_end = !nothing_lost;
  sink_.fault(f);
}

void Recovery::follow_chain(const JournalTableEntry& e) {
  if (e.prev_frame < found_.first_needed || !within(e.prev_frame, unknown_)) return;
  if (e.kind == RecordKind::kRemoved) return;
  Last& last = last_[e.group];
  std::string detail = "frame " + std::to_string(e.prev_frame) + " held records of this group";
  if (is_entry(e.kind) && e.index.v > last.index && e.index.v - last.index > 1) {
    JournalFault f;
    f.group = e.group;
    f.from = RaftIndex(last.index + 1);
    f.to = RaftIndex(e.index.v - 1);
    f.detail = detail;
    sink_.fault(f);
  }
  last.doubts = kVoteInDoubt | kEndInDoubt;
  last.why = detail + ", perhaps a hard state";
}

void Recovery::visit(const JournalTableEntry& e, Bytes payload, std::uint64_t frame) {
  tell_lost();
  follow_chain(e);
  Last& last = last_[e.group];
  last.frame = frame;
  last.doubts = doubts_after(last.doubts, e.kind);
  if (e.doubts != 0) {
    last.doubts |= e.doubts;
    last.why = "frame " + std::to_string(frame) + " was written while a fault was not answered";
  }
  if (is_entry(e.kind) || e.kind == RecordKind::kReset) last.index = e.index.v;
  if (e.kind == RecordKind::kCut)
    last.index = std::min(last.index, std::max<std::uint64_t>(e.index.v, 1) - 1);
  if (e.kind == RecordKind::kRemoved) last = Last{};
  JournalRecord r{e.group, e.kind, e.term, e.index, std::move(payload)};
  sink_.record(r, frame);
  if (frame > found_.synced_through) found_.tail.push_back(std::move(r));
}

// The table says which entry it was; its payload is damaged.
void Recovery::lost_entry(const JournalTableEntry& e, const std::string& detail) {
  Last& last = last_[e.group];
  last.index = e.index.v;
  last.doubts = doubts_after(last.doubts, e.kind);
  if (lost_ && lost_->group == e.group && lost_->term == e.term && lost_->kind == e.kind &&
      lost_->to < e.index && e.index - lost_->to == 1) {
    lost_->to = e.index;
    return;
  }
  tell_lost();
  JournalFault f;
  f.group = e.group;
  f.from = f.to = e.index;
  f.term = e.term;
  f.kind = e.kind;
  f.detail = detail + ": the payload fails its checksum";
  lost_ = std::move(f);
}

void Recovery::tell_lost() {
  if (auto f = std::exchange(lost_, std::nullopt)) sink_.fault(*f);
}

// The table holds, a payload does not.
void Recovery::salvage_by_table(const Frame& f, const Bytes& bytes) {
  const auto& h = f.at.header;
  std::string detail = where(f.file, f.at.offset) + ": frame " + std::to_string(h.number);
  sink_.frame(h.number, f.at.offset);
  each_entry(h, bytes, [&](const JournalTableEntry& e, bool good) {
    bool marker =
        e.kind == RecordKind::kRemoved || e.kind == RecordKind::kCut || e.kind == RecordKind::kReset;
    if (good || marker) return visit(e, good ? bytes.sub(e.offset, e.length) : Bytes(), h.number);
    Last& last = last_[e.group];
    last.frame = h.number;
    if (is_entry(e.kind)) return lost_entry(e, detail);
    // What a lost repair is for was reported as unreadable before, and still is.
    if (e.kind != RecordKind::kHardState) return;
    last.doubts |= kVoteInDoubt;
    last.why = detail + ": a hard state fails its checksum";
  });
  tell_lost();
}

// Rows of a frame that is not whole, or behind frames that are gone. Every loss is told before what was
// written behind it: that may fit by its index alone onto what the lost records replaced.
void Recovery::hand_out(const Rows& rows, const Loss& loss) {
  sink_.frame(rows.number, rows.offset);
  bool lost = loss.before, told = false;
  auto tell = [&] {
    told = true;
    cannot_read(loss.detail, loss.frames, loss.nothing);
  };
  for (const Row& row : rows.found) {
    if (!row.good) {
      lost = true;
      continue;
    }
    if (std::exchange(lost, false)) tell();
    visit(row.entry, row.payload, rows.number);
  }
  if (lost || loss.behind || !told) tell();
}

// The header holds, the rest does not: hand out what has a checksum of its own, name what is lost.
void Recovery::salvage(const Frame& f, const Bytes& bytes) {
  const auto& h = f.at.header;
  if (!bytes.empty() && table_holds(h, bytes)) return salvage_by_table(f, bytes);
  Rows rows;
  rows.number = h.number;
  rows.offset = f.at.offset;
  if (!bytes.empty()) {
    each_entry(h, bytes, [&](const JournalTableEntry& e, bool good) {
      rows.found.push_back({e, good ? bytes.sub(e.offset, e.length) : Bytes(), good});
    });
  }
  Loss loss;
  loss.detail = where(f.file, f.at.offset) + ": frame " + std::to_string(h.number) + ": " +
                std::to_string(h.count - rows.kept()) + " of " + std::to_string(h.count) +
                " records are lost";
  loss.frames = {h.number, h.number + 1};
  hand_out(rows, loss);
}

// No header holds where frame `number` ought to begin; its records may, up to the first that does not. The
// first payload begins where the table ends, which tells how many there are.
Recovery::Rows Recovery::read_blind(std::size_t file, std::uint64_t offset, std::uint64_t number) {
  auto& f = files_[file];
  std::uint32_t seed = frame_seed(f.header.salt, number);
  std::uint64_t room = f.bytes > offset ? f.bytes - offset : 0;
  Rows out;
  out.number = number;
  out.offset = offset;
  std::uint64_t end = room;
  for (std::uint64_t at = kFrameHeaderBytes; at + kTableEntryBytes <= end; at += kTableEntryBytes) {
    std::uint8_t raw[kTableEntryBytes];
    if (f.read(offset + at, raw) != sizeof raw) break;
    JournalTableEntry e = decode_table_entry(raw);
    if (!entry_is_possible(e, room)) break;
    BytesBuilder b;
    if (e.length != 0 && f.read(offset + e.offset, {b.grow(e.length), e.length}) != e.length) break;
    Bytes payload = b.freeze();
    if (!entry_crc_holds(raw, seed, payload.span())) break;
    if (out.found.empty()) end = e.offset;
    out.found.push_back({e, std::move(payload), true});
    out.all = at + kTableEntryBytes == end;
  }
  return out;
}

// After the last record: which groups may have lost something that nothing later made void.
void Recovery::tell_doubts() {
  for (auto& [group, last] : last_) {
    if (last.frame <= doubt_upto_ && last.frame != 0) {
      last.doubts = kVoteInDoubt | kEndInDoubt;
      last.why = "the frame that cannot be read may have held records of this group";
    }
    if (last.doubts == 0) continue;
    JournalFault f;
    f.group = group;
    f.detail = last.why;
    f.vote_lost = (last.doubts & kVoteInDoubt) != 0;
    f.open_end = (last.doubts & kEndInDoubt) != 0;
    sink_.fault(f);
    found_.doubts[group] = last.doubts;
  }
}

/// Frames `missing` are not where they ought to be, before frame i.
Recovery::Step Recovery::gap(std::size_t i, Interval missing) {
  const Frame& next = frames_[i];
  for (Interval part : subtract(missing, voids_)) {
    std::size_t file = before_ ? before_->file : next.file;
    std::uint64_t offset = before_ ? files_[file].end_of(before_->at) : kJournalBlock;
    bool unreadable = files_[file].bad_within(offset, offset + 1);
    if (part.from > found_.synced_through && !unreadable) return Step::kCut;
    enter_file(file);
    bool one = part.to - part.from == 1;
    Loss loss;
    loss.frames = part;
    Rows rows = read_blind(file, offset, part.from);
    loss.behind = !rows.all || !one;
    if (rows.found.empty() && next.file != file) {
      enter_file(next.file);
      rows = read_blind(next.file, kJournalBlock, part.to - 1);
      loss.before = !one;
      loss.behind = !rows.all;
    }
    loss.nothing = rows.all && one;
    loss.detail = where(file, offset) + ": " + frames_text(part) + " cannot be read, " +
                  std::to_string(rows.kept()) + " records salvaged";
    hand_out(rows, loss);
    if (part.from > found_.synced_through) {
      expected_ = part.from + 1;  // leave the hole: the next start reports it again
      return Step::kCut;
    }
  }
  return Step::kGoOn;
}

Recovery::Step Recovery::frame(const Frame& f) {
  const auto& h = f.at.header;
  if (within(h.number, voids_)) return Step::kGoOn;
  Bytes bytes = load(f);
  bool good = !bytes.empty() && table_holds(h, bytes);
  if (good) each_entry(h, bytes, [&](const JournalTableEntry&, bool g) { good = good && g; });
  if (good) {
    sink_.frame(h.number, f.at.offset);
    each_entry(h, bytes,
               [&](const JournalTableEntry& e, bool) { visit(e, bytes.sub(e.offset, e.length), h.number); });
    return Step::kGoOn;
  }
  bool unreadable = files_[f.file].bad_within(f.at.offset, f.at.offset + h.length);
  if (h.number > found_.synced_through && !unreadable) return Step::kCut;
  salvage(f, bytes);
  if (h.number <= found_.synced_through) return Step::kGoOn;
  expected_ = h.number + 1;
  return Step::kCut;
}

// Where the next frame would begin and cannot be read: behind the last one, or at the beginning of a file
// that was stamped after it. kNowhere: all that can be read.
Recovery::Place Recovery::unreadable_next() {
  if (before_) {
    Place behind{before_->file, files_[before_->file].end_of(before_->at)};
    if (files_[behind.file].bad_within(behind.offset, behind.offset + 1)) return behind;
  }
  std::size_t newer = files_.size();
  while (newer > 0 && files_[newer - 1].frames.empty()) --newer;
  for (; newer < files_.size(); ++newer) {
    bool stamped = files_[newer].has_header;
    if (stamped && files_[newer].bad_within(kJournalBlock, kJournalBlock + 1)) return {newer, kJournalBlock};
  }
  return kNowhere;
}

// An unreadable block at the end is not a torn write: something was there. Its file stays, and so does the
// hole.
bool Recovery::unreadable_end() {
  Place at = unreadable_next();
  if (at.file == kNowhere.file) return false;
  std::erase_if(found_.free, [&](const JournalFileFree& f) { return f.name == files_[at.file].name; });
  live_[at.file] = true;
  enter_file(at.file);
  Rows rows = read_blind(at.file, at.offset, expected_);
  Loss loss;
  loss.detail = where(at.file, at.offset) + ": frame " + std::to_string(expected_) +
                " may have been here and cannot be read, " + std::to_string(rows.kept()) +
                " records salvaged";
  loss.frames = {expected_, expected_ + 1};
  loss.nothing = rows.all;
  loss.behind = !rows.all;
  hand_out(rows, loss);
  return true;
}

// Beyond the promise a write that was under way looks like this: no fault, but worth a line.
void Recovery::tell_cut(std::size_t first) const {
  std::uint64_t bytes = 0;
  for (std::size_t i = first; i < frames_.size(); ++i) bytes += frames_[i].at.header.length;
  const Frame& f = frames_[first];
  log_.warn("journal: " + where(f.file, f.at.offset) + ": torn tail: " + std::to_string(bytes) +
            " bytes in " + std::to_string(frames_.size() - first) +
            " frames beyond the last known sync are cut");
}

JournalFound Recovery::run() {
  order_frames();
  found_.empty = frames_.empty();
  collect_bounds();
  classify_files();
  expected_ = found_.first_needed;
  Step step = Step::kGoOn;
  for (std::size_t i = 0; i < frames_.size(); ++i) {
    const Frame& f = frames_[i];
    std::uint64_t number = f.at.header.number;
    if (number < found_.first_needed) continue;
    if (number > expected_) step = gap(i, {expected_, number});
    if (step != Step::kCut) {
      enter_file(f.file);
      step = frame(f);
    }
    if (step == Step::kCut) {
      tell_cut(i);
      break;
    }
    expected_ = number + 1;
    before_ = &f;
  }
  if (step == Step::kGoOn && unreadable_end()) ++expected_;
  found_.ends_in_hole = expected_ > found_.first_needed && expected_ - 1 > found_.synced_through &&
                        (!before_ || before_->at.header.number < expected_ - 1);
  tell_doubts();
  leave_behind(before_ ? before_->file + 1 : 0);
  found_.next_frame = expected_;
  // Whatever was read beyond the promise is to be replaced, empty frames too. A hole that ends it
  // keeps its number and is not voided.
  if (before_ && before_->at.header.number > found_.synced_through) {
    found_.void_from = found_.synced_through + 1;
    found_.void_to = before_->at.header.number + 1;
  }
  return std::move(found_);
}

}  // namespace

std::string journal_file_name(std::uint64_t number) {
  char name[32];
  std::snprintf(name, sizeof name, "%08llx.jnl", static_cast<unsigned long long>(number));
  return name;
}

Result<JournalFound> read_journal(env::Disk& disk, Log& log, const std::string& dir, JournalSink& sink) {
  ASSIGN_OR_RETURN(auto files, scan_journal(disk, log, dir));
  return Recovery(std::move(files), log, sink).run();
}

}  // namespace weir::store
