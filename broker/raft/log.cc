#include "broker/raft/log.h"

#include <algorithm>
#include <utility>

#include "broker/base/check.h"

namespace weir::raft {

Log::Log(EntryId base, const std::vector<TermRun>& older, std::vector<Entry> entries)
    : base_(base), last_(base.index), commit_(base.index), applying_(base.index), applied_(base.index) {
  runs_.push_back({base.index, base.term});
  for (const TermRun& run : older) {
    CHECK(run.first > base.index && run.first >= runs_.back().first && run.term >= runs_.back().term,
          "runs of terms out of order");
    if (run.term > runs_.back().term) runs_.push_back(run);
  }
  if (!entries.empty()) last_ = entries.front().index - 1;
  for (Entry& e : entries) append(std::move(e));
  stable_ = handed_ = last_;
}

std::optional<Term> Log::term_at(RaftIndex index) const {
  if (index < base_.index || index > last_) return std::nullopt;
  auto it = std::upper_bound(runs_.begin(), runs_.end(), index,
                             [](RaftIndex i, const TermRun& run) { return i < run.first; });
  return std::prev(it)->term;
}

EntryId Log::last_not_after(RaftIndex index, Term term) const {
  index = std::min(index, last_);
  for (std::size_t i = runs_.size(); i-- > 0;) {
    if (runs_[i].first > index) continue;
    if (runs_[i].term <= term) return {index, runs_[i].term};
    index = runs_[i].first - 1;
    if (i == 0 || index < base_.index) break;
  }
  return base_;
}

const Entry& Log::at(RaftIndex index) const {
  CHECK(index >= memory_first() && index <= last_, "entry not in memory");
  return tail_[static_cast<std::size_t>(index - memory_first())];
}

std::vector<Entry> Log::slice(RaftIndex from, RaftIndex upto, std::size_t bytes_max) const {
  std::vector<Entry> out;
  std::size_t bytes = 0;
  for (RaftIndex i = from; i <= upto; ++i) {
    const Entry& e = at(i);
    bytes += e.payload.size();
    if (!out.empty() && (bytes > bytes_max || out.size() == kMessageEntriesMax)) break;
    out.push_back(e);
  }
  return out;
}

void Log::append(Entry entry) {
  CHECK(entry.index == last_ + 1, "entry out of order");
  CHECK(entry.term >= runs_.back().term, "term goes back");
  if (entry.term > runs_.back().term) runs_.push_back({entry.index, entry.term});
  memory_bytes_ += entry.payload.size();
  tail_.push_back(std::move(entry));
  ++last_;
}

void Log::repair(const Entry& entry) {
  CHECK(matches({entry.index, entry.term}) && entry.index >= memory_first());
  Entry& slot = tail_[static_cast<std::size_t>(entry.index - memory_first())];
  memory_bytes_ -= slot.payload.size();
  memory_bytes_ += entry.payload.size();
  slot = entry;
}

void Log::truncate(RaftIndex from) {
  CHECK(from > commit_, "truncation of committed entries");
  CHECK(from > base_.index && from <= last_ + 1);
  while (last_ >= from) {
    if (!tail_.empty()) {
      memory_bytes_ -= tail_.back().payload.size();
      tail_.pop_back();
    }
    last_ = last_ - 1;
  }
  while (runs_.size() > 1 && runs_.back().first > last_) runs_.pop_back();
  stable_ = std::min(stable_, last_);
  handed_ = std::min(handed_, last_);
  for (Write& w : writes_) w.last = std::min(w.last, last_);
}

void Log::compact(RaftIndex upto) {
  if (upto <= base_.index) return;
  CHECK(upto <= applied_, "compaction of entries not applied");
  base_ = {upto, *term_at(upto)};
  while (memory_first() <= upto && !tail_.empty()) {
    memory_bytes_ -= tail_.front().payload.size();
    tail_.pop_front();
  }
  while (runs_.size() > 1 && runs_[1].first <= upto) runs_.erase(runs_.begin());
  runs_.front().first = std::min(runs_.front().first, upto);
}

void Log::trim_memory(std::size_t bytes_max) {
  while (memory_bytes_ > bytes_max && !tail_.empty() && tail_.front().index <= std::min(stable_, applied_)) {
    memory_bytes_ -= tail_.front().payload.size();
    tail_.pop_front();
  }
}

void Log::restore(EntryId id) {
  CHECK(id.index >= commit_, "snapshot behind the commit index");
  base_ = id;
  runs_.assign(1, TermRun{id.index, id.term});
  tail_.clear();
  memory_bytes_ = 0;
  last_ = commit_ = applying_ = applied_ = handed_ = stable_ = id.index;
  for (Write& w : writes_) w.last = id.index;
}

void Log::commit_to(RaftIndex index) {
  CHECK(index <= last_, "commit beyond the log");
  commit_ = std::max(commit_, index);
}

void Log::apply_to(RaftIndex index) {
  CHECK(index <= applying_, "applied what was not handed out");
  applied_ = std::max(applied_, index);
}

void Log::start_at(RaftIndex applied, RaftIndex commit) {
  CHECK(applied >= base_.index && applied <= last_ && commit <= last_);
  applied_ = applying_ = applied;
  commit_ = std::max(applied, commit);
}

std::vector<Entry> Log::take_unstable() {
  std::vector<Entry> out;
  out.reserve(static_cast<std::size_t>(last_ - handed_));
  for (RaftIndex i = handed_ + 1; i <= last_; ++i) out.push_back(at(i));
  handed_ = last_;
  return out;
}

void Log::write_done(std::uint64_t number) {
  while (!writes_.empty() && writes_.front().number <= number) {
    stable_ = std::max(stable_, writes_.front().last);
    writes_.pop_front();
  }
}

}  // namespace weir::raft
