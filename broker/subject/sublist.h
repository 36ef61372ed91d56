// broker/subject/sublist.h - who is interested in a subject: the hot path of every publish.
//
// Literal patterns sit in one hash table, patterns with wildcards in a trie of tokens. Where both or
// several patterns match, the merged answer is kept in a bounded cache.
//
// Room:    pure. T is a small copyable value (handle, pointer, struct of them).
// Thread:  owned by one shard.
// Cost:    match(): without wildcard patterns one hash look-up; else one cache look-up when cached.
//          Insert and remove: O(tokens). They drop from the cache only what they may change: a
//          literal pattern its own subject, a wildcard pattern the subjects that share its first
//          token (all, when that is a wildcard).
// Limits:  limits::kMatchCacheEntries subjects, kCachedMembersMax members each. A subject is cached
//          when asked for twice within some thousand other misses, so subjects used once (inboxes)
//          push nothing out.
// Order:   a function of the calls so far only; never of hashes or addresses.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "broker/base/ids.h"
#include "broker/base/limits.h"
#include "broker/base/result.h"
#include "broker/subject/match_cache.h"
#include "broker/subject/subject.h"
#include "broker/subject/subject_hash.h"

namespace weir::subject {

/// Names one entry of a Sublist; reused after its removal. kNoEntry names none.
using EntryId = Id<struct SublistEntryTag, std::uint32_t>;
constexpr EntryId kNoEntry{0xffff'ffffu};

template <class T>
class Sublist {
 public:
  struct Group {
    std::string name;        // of the queue
    std::vector<T> members;  // one of them is to get the message
  };
  struct Match {
    std::vector<T> plain;  // all of them get the message
    std::vector<Group> groups;
    bool empty() const { return plain.empty() && groups.empty(); }
  };

  /// `seed` of the hash tables: pass a random one where clients choose subjects.
  explicit Sublist(std::uint64_t seed = 0x5eed) : seed_(seed), cache_(limits::kMatchCacheEntries) {}
  Sublist(const Sublist&) = delete;
  Sublist& operator=(const Sublist&) = delete;

  /// Adds one entry; equal entries may be added several times. `queue` "" = plain.
  /// kInvalid: not a pattern. kLimit: too many tokens or entries.
  Result<EntryId> insert(std::string_view pattern, std::string_view queue, T value);
  /// `id` must come from insert() and not have been removed. Members behind it may change order.
  void remove(EntryId id);

  const T& value(EntryId id) const { return slot_value(slots_[id.v]); }
  void set_value(EntryId id, T value);
  std::string_view pattern(EntryId id) const { return slots_[id.v].leaf->pattern; }
  std::string_view queue(EntryId id) const {
    const Slot& s = slots_[id.v];
    return s.group == kPlain ? std::string_view() : s.leaf->found.groups[s.group].name;
  }

  /// All entries for a published subject. Valid until the next call that is not const. A subject that
  /// is not well-formed has no entries; "*" in it is text.
  const Match& match(std::string_view literal);
  /// The same, copied, and past the cache: for nested use and for tests.
  void match_uncached(std::string_view literal, Match& out) const;
  bool has_interest(std::string_view literal) const;

  /// f(pattern, queue, value) for every entry, by pattern in byte order.
  template <class F>
  void for_each(F&& f) const {
    visit([](const std::string&) { return true; }, f);
  }
  /// The same for the entries whose pattern has a subject in common with `pattern`.
  template <class F>
  void for_each_overlapping(std::string_view pattern, F&& f) const {
    visit([&](const std::string& p) { return overlaps(p, pattern); }, f);
  }

  std::size_t size() const { return size_; }                              // entries
  std::size_t patterns() const { return literals_.size() + wildcards_; }  // different ones
  std::size_t cached() const { return cache_.size(); }
  const MatchCacheStats& cache_stats() const { return cache_.stats(); }

 private:
  static constexpr std::uint32_t kPlain = 0xffff'ffffu;
  static constexpr std::size_t kCachedMembersMax = 512;  // larger answers cost more to send than to merge

  struct Node;
  struct Leaf {
    std::string pattern;
    std::uint64_t hash = 0;
    Node* node = nullptr;  // where it hangs in the trie; null for a literal
    Match found;
    std::vector<EntryId> plain_ids;               // beside found.plain
    std::vector<std::vector<EntryId>> group_ids;  // beside found.groups[i].members
    std::string_view key() const { return pattern; }
  };
  struct Node {
    std::string token;
    std::uint64_t hash = 0;
    Node* parent = nullptr;
    std::unique_ptr<NamedTable<Node>> children;  // literal tokens
    std::unique_ptr<Node> star, tail;
    std::unique_ptr<Leaf> leaf;
    std::string_view key() const { return token; }
    ~Node() {
      if (children) children->for_each([](Node* n) { delete n; });
    }
  };
  struct Slot {
    Leaf* leaf = nullptr;  // null when free
    std::uint32_t group = kPlain;
    std::uint32_t at = 0;  // place in the list; next free slot when free
  };
  struct Literals {
    NamedTable<Leaf> table;
    ~Literals() {
      table.for_each([](Leaf* l) { delete l; });
    }
    std::size_t size() const { return table.size(); }
  };

  Leaf& leaf_of(std::string_view pattern);
  Leaf& literal_leaf(std::string_view pattern);
  Node* child_of(Node& node, std::string_view token);
  void drop_if_empty(Leaf& leaf);
  void drop_node_if_empty(Node* node);
  void invalidate(const Leaf& leaf);
  const T& slot_value(const Slot& s) const {
    return s.group == kPlain ? s.leaf->found.plain[s.at] : s.leaf->found.groups[s.group].members[s.at];
  }
  EntryId take_slot(Leaf& leaf, std::uint32_t group, std::uint32_t at);
  static std::uint32_t group_index(Leaf& leaf, std::string_view queue);
  void remove_group(Leaf& leaf, std::uint32_t group);

  /// f(leaf) for every wildcard leaf that matches; false from f ends the walk.
  template <class F>
  bool walk(const Node& node, std::string_view rest, F& f) const;
  template <class F>
  bool walk_wildcards(std::string_view literal, F&& f) const {
    return wildcards_ == 0 || !is_well_formed_tokens(literal) || walk(root_, literal, f);
  }
  static bool is_well_formed_tokens(std::string_view literal);
  static void merge(const Match& from, Match& into);
  static std::size_t members(const Match& m);
  template <class Filter, class F>
  void visit(Filter&& filter, F&& f) const;
  template <class F>
  static void leaves_below(const Node& node, F& f);

  std::uint64_t seed_;
  Literals literals_;
  Node root_;
  std::size_t wildcards_ = 0;  // leaves in the trie
  std::size_t size_ = 0;
  std::vector<Slot> slots_;
  std::uint32_t free_ = 0xffff'ffffu;  // first free slot
  MatchCache<Match> cache_;
  Match scratch_;
  const Match none_{};
};

}  // namespace weir::subject

#include "broker/subject/sublist_impl.h"
