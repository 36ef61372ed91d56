#include "broker/store/journal_ledger.h"

#include <algorithm>

#include "broker/base/check.h"

namespace weir::store {

void JournalLedger::begin_file(std::string name, std::uint64_t bytes, std::uint64_t use,
                               std::uint64_t first_frame) {
  CHECK(files_.empty() || files_.back().use < use);
  FileUse f;
  f.name = std::move(name);
  f.bytes = bytes;
  f.use = use;
  f.first_frame = first_frame;
  files_.push_back(std::move(f));
}

JournalLedger::FileUse& JournalLedger::file(std::uint64_t use) {
  auto it = std::lower_bound(files_.begin(), files_.end(), use,
                             [](const FileUse& f, std::uint64_t u) { return f.use < u; });
  CHECK(it != files_.end() && it->use == use);
  return *it;
}

void JournalLedger::place(const JournalRecord& r, std::uint64_t frame) {
  if (r.kind == RecordKind::kRemoved) return forget(r.group);
  Group& g = groups_[r.group];
  g.chain = frame;
  if (r.kind == RecordKind::kEntry) return place_entry(g, r);
  FileUse& now = files_.back();
  if (g.state_use != now.use) {
    if (g.state_use != 0) --file(g.state_use).hard_states;
    ++now.hard_states;
    now.holders.push_back(r.group);
    g.state_use = now.use;
  }
  g.state_term = r.term;
  g.state_index = r.index;
  g.state = Bytes::copy_of(r.payload.span());  // small; the slice would keep a whole frame alive
}

void JournalLedger::place_entry(Group& g, const JournalRecord& r) {
  // The entry replaces the suffix from its index on: earlier files are needed below it only.
  for (auto it = g.spans.rbegin(); it != g.spans.rend() && it->max >= r.index; ++it) {
    it->max = RaftIndex(r.index.v == 0 ? 0 : r.index.v - 1);
  }
  g.released = std::min(g.released, RaftIndex(r.index.v == 0 ? 0 : r.index.v - 1));
  FileUse& now = files_.back();
  if (g.spans.empty() || g.spans.back().use != now.use) {
    g.spans.push_back({now.use, r.index});
    ++now.pins;
    now.groups.push_back(r.group);
  } else {
    g.spans.back().max = r.index;
  }
  trim(g);
}

void JournalLedger::trim(Group& g) {
  auto keep = g.spans.begin();
  for (; keep != g.spans.end() && keep->max <= g.released; ++keep) --file(keep->use).pins;
  g.spans.erase(g.spans.begin(), keep);
}

void JournalLedger::forget(GroupId id) {
  auto it = groups_.find(id);
  if (it == groups_.end()) return;
  for (const Span& s : it->second.spans) --file(s.use).pins;
  if (it->second.state_use != 0) --file(it->second.state_use).hard_states;
  groups_.erase(it);
}

std::uint64_t JournalLedger::chain(GroupId group) const {
  auto it = groups_.find(group);
  return it == groups_.end() ? 0 : it->second.chain;
}

void JournalLedger::release(GroupId group, RaftIndex upto) {
  auto it = groups_.find(group);
  if (it == groups_.end()) return;
  it->second.released = std::max(it->second.released, upto);
  trim(it->second);
}

std::vector<JournalRecord> JournalLedger::hard_states_of_oldest(std::size_t bytes_max) {
  std::vector<JournalRecord> out;
  if (files_.empty()) return out;
  FileUse& oldest = files_.front();
  auto& holders = oldest.holders;
  std::erase_if(holders, [&](GroupId id) {
    auto it = groups_.find(id);
    return it == groups_.end() || it->second.state_use != oldest.use;
  });
  std::size_t bytes = 0;
  for (GroupId id : holders) {
    const Group& g = groups_.at(id);
    bytes += g.state.size() + 64;
    if (!out.empty() && bytes > bytes_max) break;
    out.push_back({id, RecordKind::kHardState, g.state_term, g.state_index, g.state});
  }
  return out;
}

JournalLedger::FileUse JournalLedger::pop_oldest() {
  CHECK(oldest_idle());
  FileUse f = std::move(files_.front());
  files_.pop_front();
  return f;
}

GroupId JournalLedger::laggard() {
  if (files_.empty()) return GroupId(0);
  FileUse& oldest = files_.front();
  while (!oldest.groups.empty()) {
    auto it = groups_.find(oldest.groups.back());
    if (it != groups_.end() && !it->second.spans.empty() && it->second.spans.front().use == oldest.use) {
      return it->first;
    }
    oldest.groups.pop_back();
  }
  return GroupId(0);
}

}  // namespace weir::store
