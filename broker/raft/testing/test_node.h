// broker/raft/testing/test_node.h - a host of one core for tests: a disk that forgets what was not
// synced, a state machine that hashes what it is given, and messages handed to the test.
#pragma once

#include <algorithm>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "broker/base/check.h"
#include "broker/base/prng.h"
#include "broker/raft/core.h"
#include "broker/raft/invariants.h"

namespace weir::raft::testing {

inline std::uint64_t mix(std::uint64_t h, std::uint64_t v) {
  h ^= v + 0x9e3779b97f4a7c15u + (h << 6) + (h >> 2);
  return h * 0xff51afd7ed558ccdu;
}

inline std::uint64_t hash_of(const Entry& e) {
  std::uint64_t h = mix(mix(mix(1, e.index.v), e.term.v), static_cast<std::uint64_t>(e.type));
  for (std::uint8_t c : e.payload.span()) h = mix(h, c);
  return h;
}

/// State of the state machine: a chain of hashes over what was applied.
struct State {
  EntryId at;
  ConfState conf;
  std::uint64_t hash = 0;
};

/// What survives a crash.
struct Disk {
  HardState hard;
  EntryId base;
  State checkpoint;
  std::map<RaftIndex, Entry> log;  // (base, last]
  std::map<RaftIndex, bool> faulty;
  bool head_unknown = false;
};

/// One Ready's part for the disk, in order.
struct Write {
  std::uint64_t number = 0;
  std::optional<HardState> hard;
  std::optional<EntryId> reset;
  std::optional<RaftIndex> cut;
  std::vector<Entry> repaired, entries;
  std::uint64_t due = 0;  // for the test's clock
};

class TestNode {
 public:
  TestNode(Config config, Disk disk) : config_(config), disk_(std::move(disk)) {}

  Disk& disk() { return disk_; }
  Config& config() { return config_; }
  bool up() const { return core_ != nullptr; }
  Core& core() { return *core_; }
  NodeId id() const { return config_.id; }
  const State& state() const { return state_; }
  std::deque<Write>& writes() { return writes_; }

  // Outputs, taken by the test.
  std::vector<Message> out;
  std::vector<Entry> applied;
  std::vector<ReadState> reads;
  std::vector<LoadRequest> loads;
  std::optional<InstallRequest> install;
  bool auto_apply = true;

  void start(std::uint64_t seed) {
    config_.seed = seed;
    // Duty of a host: a log that does not contain the state's own entry is older than the state.
    EntryId at = disk_.checkpoint.at;
    auto own = disk_.log.find(at.index);
    bool fits = at == disk_.base || (own != disk_.log.end() && own->second.term == at.term);
    if (!fits) reset_disk(at);
    StartState s;
    s.hard = disk_.hard;
    s.base = disk_.base;
    s.conf = disk_.checkpoint.conf;
    s.applied = disk_.checkpoint.at.index;
    for (auto& [index, e] : disk_.log) {
      if (index <= s.applied) {
        s.older.push_back({index, e.term});
        continue;
      }
      s.entries.push_back(e);
      if (disk_.faulty.count(index) > 0) s.entries.back().payload = Bytes();
      if (disk_.faulty.count(index) > 0 && e.type == EntryType::kConfig)
        s.entries.back().type = EntryType::kNormal;
    }
    if (s.entries.empty() && !s.older.empty()) {  // the core needs the end of the log
      const Entry& last = disk_.log.rbegin()->second;
      s.older.pop_back();
      s.entries.push_back(last);
    }
    for (auto& [index, conf] : disk_.faulty) s.faults.push_back({{index, disk_.log.at(index).term}, conf});
    s.head_unknown = disk_.head_unknown;
    state_ = disk_.checkpoint;
    core_ = std::make_unique<Core>(config_, std::move(s));
    invariants_.restarted(disk_.hard);
    checked();
  }

  /// Takes everything the core has to say.
  void pump() {
    while (core_ && core_->has_ready()) take(core_->take_ready());
    checked();
  }

  void take(Ready r) {
    Write w{r.write, r.hard_state, r.log_reset, r.cut_from, std::move(r.repaired), std::move(r.entries), 0};
    if (w.number != 0 || w.hard) writes_.push_back(std::move(w));
    for (Message& m : r.messages) out.push_back(std::move(m));
    if (!r.after_durable.empty()) held_.push_back({r.wait_for, std::move(r.after_durable)});
    for (Entry& e : r.committed) to_apply_.push_back(std::move(e));
    if (r.install) install = r.install;
    for (auto& l : r.loads) loads.push_back(l);
    for (auto& s : r.reads) reads.push_back(s);
    if (r.soft && !r.soft->head_unknown) disk_.head_unknown = false;
    if (auto_apply) apply_all();
  }

  void apply_all() {
    while (!to_apply_.empty()) {
      Entry e = std::move(to_apply_.front());
      to_apply_.pop_front();
      if (e.index <= state_.at.index) continue;  // a snapshot overtook it
      CHECK(e.index == state_.at.index + 1, "gap in what is applied");
      state_.at = {e.index, e.term};
      state_.hash = mix(state_.hash, hash_of(e));
      if (e.type == EntryType::kConfig) state_.conf = *decode_conf(e.payload.span());
      applied.push_back(e);
      core_->applied(e.index);
    }
  }

  /// The oldest pending write reaches the disk.
  void finish_write() {
    std::uint64_t number = write_front();
    if (number == 0) return;
    core_->durable(number);
    while (!held_.empty() && held_.front().wait_for <= number) {
      for (Message& m : held_.front().messages) out.push_back(std::move(m));
      held_.pop_front();
    }
    checked();
  }

  /// Power is cut: the first `survivors` pending writes had reached the disk without anybody knowing.
  void crash(std::size_t survivors) {
    for (std::size_t i = 0; i < survivors && !writes_.empty(); ++i) write_front();
    core_.reset();
    writes_.clear();
    held_.clear();
    to_apply_.clear();
    loads.clear();
    install.reset();
    out.clear();
    reads.clear();
  }

  /// The state machine's state becomes durable, and the log is cut below `keep` entries of it.
  void checkpoint(std::uint64_t keep) {
    if (state_.at.index > core_->log().stable()) return;  // duty of a host: not ahead of the log
    disk_.checkpoint = state_;
    if (state_.at.index.v <= keep) return;
    compact(RaftIndex{state_.at.index.v - keep});
  }
  void compact(RaftIndex upto) {
    if (upto <= core_->log().base().index) return;
    core_->compact(upto);
    EntryId base = core_->log().base();
    if (base.index <= disk_.base.index) return;
    if (last_on_disk() < base.index) return;  // its entries are not written yet; the next start finds it
    disk_.base = base;
    while (!disk_.log.empty() && disk_.log.begin()->first <= base.index) disk_.log.erase(disk_.log.begin());
    while (!disk_.faulty.empty() && disk_.faulty.begin()->first <= base.index)
      disk_.faulty.erase(disk_.faulty.begin());
  }

  void installed(const State& state) {
    install.reset();
    if (state.at.index <= state_.at.index) {
      core_->snapshot_failed();
      return;
    }
    state_ = disk_.checkpoint = state;
    if (last_on_disk() < state.at.index) reset_disk(state.at);  // as a real host: log starts at the state
    core_->snapshot_installed({state.at.index, state.at.term, state.conf});
    checked();
  }

  /// Entries as the disk has them.
  std::vector<Entry> read(RaftIndex from, RaftIndex upto) const {
    std::vector<Entry> out_entries;
    for (RaftIndex i = from; i <= upto; ++i) {
      auto it = disk_.log.find(i);
      if (it == disk_.log.end() || disk_.faulty.count(i) > 0) break;
      out_entries.push_back(it->second);
    }
    return out_entries;
  }
  RaftIndex last_on_disk() const { return disk_.log.empty() ? disk_.base.index : disk_.log.rbegin()->first; }

  std::string trouble;  // first broken invariant

 private:
  struct Held {
    std::uint64_t wait_for;
    std::vector<Message> messages;
  };

  void checked() {
    if (!core_ || !trouble.empty()) return;
    if (Status s = invariants_.check(core_->view()); !s) trouble = s.error().detail;
  }

  void reset_disk(EntryId id) {
    disk_.log.clear();
    disk_.faulty.clear();
    disk_.base = id;
  }

  std::uint64_t write_front() {
    Write w = std::move(writes_.front());
    writes_.pop_front();
    if (w.hard) disk_.hard = *w.hard;
    if (w.reset) reset_disk(*w.reset);
    if (w.cut) cut(*w.cut);
    for (Entry& e : w.repaired) {
      if (e.index <= disk_.base.index) continue;
      disk_.log[e.index] = e;
      disk_.faulty.erase(e.index);
    }
    for (Entry& e : w.entries) {
      if (e.index <= disk_.base.index) continue;
      cut(e.index);
      disk_.log[e.index] = e;
    }
    return w.number;
  }
  void cut(RaftIndex from) {
    disk_.log.erase(disk_.log.lower_bound(from), disk_.log.end());
    disk_.faulty.erase(disk_.faulty.lower_bound(from), disk_.faulty.end());
  }

  Config config_;
  Disk disk_;
  std::unique_ptr<Core> core_;
  State state_;
  std::deque<Write> writes_;
  std::deque<Held> held_;
  std::deque<Entry> to_apply_;
  Invariants invariants_;
};

}  // namespace weir::raft::testing
