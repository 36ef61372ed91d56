#include "broker/store/journal_index.h"

#include <algorithm>

#include "broker/base/check.h"

namespace weir::store {

void JournalIndex::begin_file(std::string name, std::uint64_t first_frame) {
  files_.push_back({std::move(name), 0, first_frame, {}});
}

void JournalIndex::begin_frame(std::uint64_t frame, std::uint64_t offset) {
  auto& frames = files_.back().frames;
  if (frames.empty() || frames.back().number < frame) frames.push_back({frame, offset});
}

void JournalIndex::drop_oldest_file() {
  CHECK(!files_.empty());
  files_.pop_front();
}

void JournalIndex::cut(Group& g, std::uint64_t from) {
  while (g.runs.size() > g.head && g.runs.back().first >= from) g.runs.pop_back();
  if (g.runs.size() > g.head && g.runs.back().end() > from) {
    g.runs.back().count = static_cast<std::uint32_t>(from - g.runs.back().first);
  }
  if (!g.repairs.empty()) std::erase_if(g.repairs, [from](const Repair& r) { return r.index >= from; });
}

void JournalIndex::add(Group& g, std::uint64_t index, std::uint64_t frame) {
  if (g.runs.size() > g.head && g.runs.back().frame == frame && g.runs.back().end() == index) {
    ++g.runs.back().count;
  } else {
    g.runs.push_back({index, frame, 1});
  }
}

void JournalIndex::place(const JournalRecord& r, std::uint64_t frame) {
  if (r.kind == RecordKind::kHardState) return;
  if (r.kind == RecordKind::kRemoved || r.kind == RecordKind::kReset) {
    groups_.erase(r.group);
    return;
  }
  Group& g = groups_[r.group];
  if (is_repair(r.kind)) {
    std::erase_if(g.repairs, [&](const Repair& x) { return x.index == r.index.v; });
    g.repairs.push_back({r.index.v, frame});
    return;
  }
  cut(g, r.index.v);
  if (is_entry(r.kind)) add(g, r.index.v, frame);
  if (g.empty()) groups_.erase(r.group);
}

void JournalIndex::release(GroupId group, RaftIndex upto) {
  upto = std::min(upto, RaftIndex(~std::uint64_t{0} - 1));
  auto it = groups_.find(group);
  if (it == groups_.end()) return;
  Group& g = it->second;
  while (g.head < g.runs.size() && g.runs[g.head].end() <= upto.v + 1) ++g.head;
  if (g.head < g.runs.size() && g.runs[g.head].first <= upto.v) {
    Run& r = g.runs[g.head];
    r.count -= static_cast<std::uint32_t>(upto.v + 1 - r.first);
    r.first = upto.v + 1;
  }
  std::erase_if(g.repairs, [upto](const Repair& r) { return r.index <= upto.v; });
  if (g.empty()) {
    groups_.erase(it);
  } else if (g.head * 2 >= g.runs.size()) {
    std::vector<Run>(g.runs.begin() + static_cast<std::ptrdiff_t>(g.head), g.runs.end()).swap(g.runs);
    g.head = 0;
  }
}

bool JournalIndex::locate(JournalPiece& piece) const {
  auto file = std::upper_bound(files_.begin(), files_.end(), piece.frame,
                               [](std::uint64_t n, const File& f) { return n < f.first_frame; });
  if (file == files_.begin()) return false;
  --file;
  auto at = std::lower_bound(file->frames.begin(), file->frames.end(), piece.frame,
                             [](const FrameAt& f, std::uint64_t n) { return f.number < n; });
  if (at == file->frames.end() || at->number != piece.frame) return false;
  piece.file = file->name;
  piece.salt = file->salt;
  piece.offset = at->offset;
  return true;
}

std::vector<JournalPiece> JournalIndex::find(const Want& want) const {
  std::vector<JournalPiece> out;
  auto it = groups_.find(want.group);
  if (it == groups_.end()) return out;
  const Group& g = it->second;
  auto run = std::upper_bound(g.runs.begin() + static_cast<std::ptrdiff_t>(g.head), g.runs.end(), want.from.v,
                              [](std::uint64_t i, const Run& r) { return i < r.end(); });
  std::uint64_t upto = std::min(want.upto.v, ~std::uint64_t{0} - 1);
  for (std::uint64_t i = want.from.v; i <= upto && out.size() < want.pieces_max;) {
    JournalPiece piece;
    piece.first = RaftIndex(i);
    std::uint64_t end = upto + 1;
    for (const Repair& r : g.repairs) {
      if (r.index == i) {
        piece.repair = true;
        piece.frame = r.frame;
      } else if (r.index > i) {
        end = std::min(end, r.index);
      }
    }
    while (run != g.runs.end() && run->end() <= i) ++run;
    if (piece.repair) {
      end = i + 1;
    } else {
      if (run == g.runs.end() || run->first > i) return out;
      piece.frame = run->frame;
      end = std::min(end, run->end());
    }
    piece.count = end - i;
    if (piece.frame > want.frame_max || !locate(piece)) return out;
    out.push_back(std::move(piece));
    i = end;
  }
  return out;
}

std::size_t JournalIndex::size() const {
  std::size_t n = 0;
  for (const auto& [id, g] : groups_) n += g.runs.size() + g.repairs.size();
  return n;
}

}  // namespace weir::store
