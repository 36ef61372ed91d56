#include "broker/store/journal_ledger.h"

#include <algorithm>

#include "broker/base/check.h"

namespace weir::store {

void JournalLedger::begin_file(std::string name, std::uint64_t bytes, std::uint64_t use,
                               std::uint64_t first_frame) {
  CHECK(files_.empty() || files_.back().use < use);
  FileUse f;
  index_.begin_file(name, first_frame);
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
  index_.place(r, frame);
  if (r.kind == RecordKind::kRemoved) return forget(r.group);
  Group& g = groups_[r.group];
  g.chain = frame;
  if (is_entry(r.kind)) return place_entry(g, r);
  if (is_repair(r.kind)) return place_repair(g, r);
  if (r.kind == RecordKind::kHardState) return place_state(g, r);
  // Files go oldest first, so what makes older records void is never freed before they are.
  if (r.kind == RecordKind::kReset) {
    unpin(g);
    g.released = r.index;
  } else {
    cut(g, r.index);
    trim(g);
  }
}

void JournalLedger::place_state(Group& g, const JournalRecord& r) {
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

// Entries from `from` on are void: files so far are needed below it only.
void JournalLedger::cut(Group& g, RaftIndex from) {
  RaftIndex keep(from.v == 0 ? 0 : from.v - 1);
  for (auto it = g.spans.rbegin(); it != g.spans.rend() && it->max > keep; ++it) it->max = keep;
  for (Span& s : g.repairs) s.max = std::min(s.max, keep);
  g.released = std::min(g.released, keep);
}

void JournalLedger::place_entry(Group& g, const JournalRecord& r) {
  cut(g, r.index);
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

void JournalLedger::place_repair(Group& g, const JournalRecord& r) {
  if (r.index <= g.released) return;
  FileUse& now = files_.back();
  // A span of this file that reaches higher keeps it for as long.
  if (!g.spans.empty() && g.spans.back().use == now.use && g.spans.back().max >= r.index) return;
  if (g.repairs.empty() || g.repairs.back().use != now.use) {
    g.repairs.push_back({now.use, r.index});
    ++now.pins;
    now.groups.push_back(r.group);
  } else {
    g.repairs.back().max = std::max(g.repairs.back().max, r.index);
  }
}

void JournalLedger::trim(Group& g) {
  auto keep = g.spans.begin();
  for (; keep != g.spans.end() && keep->max <= g.released; ++keep) --file(keep->use).pins;
  g.spans.erase(g.spans.begin(), keep);
  if (g.repairs.empty()) return;
  std::erase_if(g.repairs, [&](const Span& s) {
    if (s.max > g.released) return false;
    --file(s.use).pins;
    return true;
  });
}

void JournalLedger::unpin(Group& g) {
  for (const Span& s : g.spans) --file(s.use).pins;
  for (const Span& s : g.repairs) --file(s.use).pins;
  g.spans.clear();
  g.repairs.clear();
}

void JournalLedger::forget(GroupId id) {
  auto it = groups_.find(id);
  if (it == groups_.end()) return;
  unpin(it->second);
  if (it->second.state_use != 0) --file(it->second.state_use).hard_states;
  groups_.erase(it);
}

std::uint64_t JournalLedger::chain(GroupId group) const {
  auto it = groups_.find(group);
  return it == groups_.end() ? 0 : it->second.chain;
}

void JournalLedger::release(GroupId group, RaftIndex upto) {
  index_.release(group, upto);
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
  index_.drop_oldest_file();
  return f;
}

GroupId JournalLedger::laggard() {
  if (files_.empty()) return GroupId(0);
  FileUse& oldest = files_.front();
  while (!oldest.groups.empty()) {
    auto it = groups_.find(oldest.groups.back());
    auto holds = [&](const std::vector<Span>& v) { return !v.empty() && v.front().use == oldest.use; };
    if (it != groups_.end() && (holds(it->second.spans) || holds(it->second.repairs))) return it->first;
    oldest.groups.pop_back();
  }
  return GroupId(0);
}

}  // namespace weir::store
