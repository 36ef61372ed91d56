// broker/subject/match_cache.h - bounded cache subject -> answer of a Sublist.
//
// Four-way sets, second-chance replacement, and an admission filter: a subject gets a place when it
// misses for the second time while its mark in the filter is still there. Entries carry the
// generation of their first token's class, so that dropping a class is one increment.
//
// Room:   pure. Owner: Sublist.
// Limits: at most `max_entries` (a power of two); starts with 64 and doubles when it evicts.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "broker/base/check.h"
#include "broker/subject/subject_hash.h"

namespace weir::subject {

struct MatchCacheStats {
  std::uint64_t hits = 0, misses = 0;
  std::uint64_t admitted = 0, evicted = 0;
};

template <class Answer>
class MatchCache {
 public:
  explicit MatchCache(std::size_t max_entries) : max_entries_(max_entries) {
    CHECK(max_entries >= kFirstEntries && (max_entries & (max_entries - 1)) == 0, "a power of two");
  }

  /// The answer kept for `subject`, or null. `hash` is that of the subject.
  const Answer* find(std::string_view subject, std::uint64_t hash) {
    if (!sets_.empty()) {
      Set& set = set_of(hash);
      for (std::size_t w = 0; w < kWays; ++w) {
        Entry* e = set.hash[w] == hash ? set.entry[w].get() : nullptr;
        if (!e || e->subject != subject) continue;
        if (e->generation != generation(e->token_class)) break;
        e->used = true;
        ++stats_.hits;
        return e->answer;
      }
    }
    ++stats_.misses;
    return nullptr;
  }

  /// True when a missed subject deserves a place; remembers it otherwise.
  bool admit(std::uint64_t hash) {
    if (filter_.empty()) filter_.resize(kFilterMarks);
    auto mark = static_cast<std::uint16_t>(hash >> 48 | 1);
    std::uint16_t& kept = filter_[(hash >> 20) & (kFilterMarks - 1)];
    if (kept == mark) return true;
    kept = mark;
    return false;
  }

  /// Keeps `owned`, or the address of an answer that lives elsewhere when `owned` is null.
  void put(std::string_view subject, std::uint64_t hash, const Answer* elsewhere,
           std::unique_ptr<Answer> owned) {
    auto e = std::make_unique<Entry>();
    e->subject = subject;
    e->token_class = token_class(subject);
    e->generation = generation(e->token_class);
    e->owned = std::move(owned);
    e->answer = e->owned ? e->owned.get() : elsewhere;
    if (sets_.empty()) sets_.resize(kFirstEntries / kWays);
    ++stats_.admitted;
    if (!place(hash, e, false)) {
      if (sets_.size() * kWays < max_entries_) grow();
      place(hash, e, true);
    }
  }

  /// Forgets one subject.
  void drop(std::string_view subject, std::uint64_t hash) {
    if (sets_.empty()) return;
    Set& set = set_of(hash);
    for (std::size_t w = 0; w < kWays; ++w) {
      if (set.entry[w] && set.hash[w] == hash && set.entry[w]->subject == subject) forget(set, w);
    }
  }
  /// Forgets every subject that starts with this token.
  void drop_first_token(std::string_view token) { ++class_generation_[class_of(token)]; }
  /// Forgets everything.
  void drop_all() { ++all_generation_; }

  /// Entries in place, stale ones included.
  std::size_t size() const { return size_; }
  const MatchCacheStats& stats() const { return stats_; }

 private:
  static constexpr std::size_t kWays = 4, kFirstEntries = 64, kFilterMarks = 4096, kClasses = 256;

  struct Entry {
    std::string subject;
    std::uint64_t generation = 0;
    std::uint8_t token_class = 0;
    bool used = false;  // since the replacement hand last passed
    const Answer* answer = nullptr;
    std::unique_ptr<Answer> owned;
  };
  struct Set {
    std::array<std::uint64_t, kWays> hash{};
    std::array<std::unique_ptr<Entry>, kWays> entry;
    std::uint8_t hand = 0;
  };

  static std::uint8_t class_of(std::string_view token) {
    return static_cast<std::uint8_t>(hash_subject(token, 1) >> 56);
  }
  static std::uint8_t token_class(std::string_view subject) {
    return class_of(subject.substr(0, subject.find('.')));
  }
  /// Both parts only grow, so their sum never comes back to an old value.
  std::uint64_t generation(std::uint8_t token_class) const {
    return all_generation_ + class_generation_[token_class];
  }
  Set& set_of(std::uint64_t hash) { return sets_[hash & (sets_.size() - 1)]; }

  void forget(Set& set, std::size_t way) {
    set.entry[way].reset();
    set.hash[way] = 0;
    --size_;
  }

  bool place(std::uint64_t hash, std::unique_ptr<Entry>& e, bool may_evict) {
    Set& set = set_of(hash);
    std::size_t way = kWays;
    for (std::size_t w = 0; w < kWays; ++w) {
      Entry* old = set.entry[w].get();
      bool stale = old && (old->generation != generation(old->token_class) ||
                           (set.hash[w] == hash && old->subject == e->subject));
      if (stale) forget(set, w);
      if (!set.entry[w]) way = w;
    }
    if (way == kWays) {
      if (!may_evict) return false;
      while (set.entry[set.hand]->used) {
        set.entry[set.hand]->used = false;
        set.hand = static_cast<std::uint8_t>((set.hand + 1) % kWays);
      }
      way = set.hand;
      set.hand = static_cast<std::uint8_t>((set.hand + 1) % kWays);
      forget(set, way);
      ++stats_.evicted;
    }
    set.hash[way] = hash;
    set.entry[way] = std::move(e);
    ++size_;
    return true;
  }

  void grow() {
    std::vector<Set> old(sets_.size() * 2);
    old.swap(sets_);
    size_ = 0;
    for (auto& set : old) {
      for (std::size_t w = 0; w < kWays; ++w) {
        if (set.entry[w]) place(set.hash[w], set.entry[w], true);
      }
    }
  }

  std::size_t max_entries_;
  std::vector<Set> sets_;  // size 0 or a power of two
  std::vector<std::uint16_t> filter_;
  std::array<std::uint64_t, kClasses> class_generation_{};
  std::uint64_t all_generation_ = 0;
  std::size_t size_ = 0;
  MatchCacheStats stats_;
};

}  // namespace weir::subject
