// broker/store/journal_rig.h - test rig: a journal in a simulated world beside a model of its content.
//
// Room:     tests only. The model is the list of all appended records; what recovery hands out must
//           be the state after some prefix of it that includes every acknowledged record.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "broker/env/testing/sim_disk.h"
#include "broker/store/journal.h"

namespace weir::store::testing {

using env::testing::SimEnv;
using env::testing::Survivors;

/// What a list of records means: per group its entries and its last hard state.
struct GroupImage {
  std::map<std::uint64_t, std::pair<std::uint64_t, std::string>> entries;  // index -> term, payload
  std::optional<std::string> state;
  bool operator==(const GroupImage&) const = default;
};

class Image {
 public:
  void apply(const JournalRecord& r) {
    GroupImage& g = groups[r.group.v];
    if (r.kind == RecordKind::kRemoved) g = {};
    if (r.kind == RecordKind::kHardState) {
      g.state =
          std::to_string(r.term.v) + "/" + std::to_string(r.index.v) + "/" + std::string(r.payload.text());
    }
    if (r.kind == RecordKind::kCut || is_entry(r.kind)) {
      g.entries.erase(g.entries.lower_bound(r.index.v), g.entries.end());
    }
    if (r.kind == RecordKind::kReset) g.entries.clear();
    if (is_entry(r.kind)) g.entries[r.index.v] = {r.term.v, content(r)};
    if (is_repair(r.kind)) {
      auto it = g.entries.find(r.index.v);
      if (it != g.entries.end() && it->second.first == r.term.v) it->second.second = content(r);
    }
  }
  static std::string content(const JournalRecord& r) {
    RecordKind k = repaired_kind(r.kind);
    std::string type = k == RecordKind::kNoop ? "noop " : k == RecordKind::kConfig ? "config " : "";
    return type + std::string(r.payload.text());
  }
  /// Without entries that were released and groups that hold nothing.
  Image without(const std::map<std::uint32_t, std::uint64_t>& released) const {
    Image out;
    for (auto [id, g] : groups) {
      auto it = released.find(id);
      if (it != released.end()) g.entries.erase(g.entries.begin(), g.entries.upper_bound(it->second));
      if (!(g == GroupImage{})) out.groups[id] = g;
    }
    return out;
  }
  bool operator==(const Image&) const = default;
  std::map<std::uint32_t, GroupImage> groups;
};

class JournalRig {
 public:
  explicit JournalRig(std::uint64_t seed, JournalOptions o = small()) : world(seed), options(o), prng(seed) {}

  static JournalOptions small() {
    JournalOptions o;
    o.file_bytes = 16 * 1024;
    o.files_max = 8;
    return o;
  }

  Status open() {
    image = {};
    faults.clear();
    story.clear();
    visited = 0;
    auto e = world.env();
    auto j = Journal::open(
        e, "j", options,
        [this](const JournalRecord& r) {
          ++visited;
          image.apply(r);
          story += std::to_string(r.group.v) + ":" + std::to_string(static_cast<unsigned>(r.kind)) + "@" +
                   std::to_string(r.index.v) + " ";
        },
        [this](const JournalFault& f) {
          faults.push_back(f);
          story += std::to_string(f.group.v) + ":lost " + std::to_string(f.from.v) + "-" +
                   std::to_string(f.to.v) + " ";
        });
    if (!j) return j.error();
    journal = std::move(j).value();
    return ok();
  }

  void append(GroupId g, RecordKind kind, std::uint64_t term, std::uint64_t index, std::string payload) {
    JournalRecord r{g, kind, Term(term), RaftIndex(index), Bytes::copy_of(payload)};
    history.push_back(r);
    std::size_t mine = history.size();
    journal->append(std::move(r), [this, mine](Status s) {
      if (s) {
        EXPECT_EQ(mine, acked + 1) << "out of order";
        acked = mine;
      } else {
        ++errors;
      }
    });
  }
  void entry(std::uint32_t g, std::uint64_t index, std::string payload = "") {
    append(GroupId(g), RecordKind::kEntry, 1, index, payload.empty() ? "e" + std::to_string(index) : payload);
  }
  void release(std::uint32_t g, std::uint64_t upto) {
    auto& r = released_[{g, life(g, history.size())}];
    r = std::max(r, upto);
    journal->release(GroupId(g), RaftIndex(upto));
  }
  std::uint64_t released(std::uint32_t g) const {
    auto it = released_.find({g, life(g, history.size())});
    return it == released_.end() ? 0 : it->second;
  }
  /// Flushes and runs until everything acknowledged, or nothing more happens within a second.
  void settle() {
    journal->flush();
    (void)world.loop.run_until([&] { return acked == history.size() || journal->failed(); }, kSecond);
  }
  bool drained() {
    std::optional<bool> good;
    journal->drain([&](Status s) { good = s.has_value(); });
    (void)world.loop.run_until([&] { return good.has_value(); }, kSecond);
    return good.value_or(false);
  }

  /// Loss of power, or death of the process when `survivors` is nullopt.
  void die(std::optional<Survivors> survivors) {
    world.loop.forget_all();
    if (survivors) {
      world.disk.crash(prng, *survivors);
    } else {
      world.disk.kill(prng);
    }
    journal.reset();
  }

  /// The recovered image is that of a prefix of history with at least `least` records. On success
  /// history is cut to it. Releases do not survive; they only say what may be missing.
  bool recovered_prefix(std::size_t least) {
    for (std::size_t k = history.size() + 1; k-- > least;) {
      Image model;
      for (std::size_t i = 0; i < k; ++i) model.apply(history[i]);
      std::map<std::uint32_t, std::uint64_t> gone;
      for (const auto& [of, upto] : released_) {
        if (of.second == life(of.first, k)) gone[of.first] = upto;
      }
      if (model.without(gone) == image.without(gone)) {
        history.resize(k);
        std::erase_if(released_, [&](const auto& r) { return r.first.second > life(r.first.first, k); });
        acked = k;
        return true;
      }
    }
    return false;
  }

  SimEnv world;
  JournalOptions options;
  Prng prng;
  std::unique_ptr<Journal> journal;
  std::vector<JournalRecord> history;
  std::size_t acked = 0;
  std::size_t errors = 0;
  Image image;
  std::vector<JournalFault> faults;
  std::string story;  // records and faults in the order of recovery: "group:kind@index group:lost from-to "
  std::size_t visited = 0;

 private:
  /// How often group `g` was removed in the first `k` records: a release is for one life of it.
  std::uint64_t life(std::uint32_t g, std::size_t k) const {
    std::uint64_t n = 0;
    for (std::size_t i = 0; i < k; ++i) {
      if (history[i].group.v == g && history[i].kind == RecordKind::kRemoved) ++n;
    }
    return n;
  }
  std::map<std::pair<std::uint32_t, std::uint64_t>, std::uint64_t> released_;
};

}  // namespace weir::store::testing
