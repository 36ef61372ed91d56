// broker/store/subject_index.h - live subjects of one stream with count, first and last sequence.
//
// Room:     pure. Thread: one shard. Owner: StoreCore.
// Memory:   a subject with one message costs its place in the tree (22 to 52 bytes for the usual
//           shapes); one with more, 24 bytes besides. Empty: nothing.
// Limits:   those of subject::SubjectTree; subjects are at most limits::kSubjectBytesMax long.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string_view>
#include <vector>

#include "broker/store/filter.h"
#include "broker/store/message_store.h"
#include "broker/subject/subject_tree.h"

namespace weir::store {

class SubjectIndex {
 public:
  using Visit = std::function<bool(std::string_view, const SubjectState&)>;

  /// Counts a message at `seq`, above every earlier one. Returns the state before (count 0: new).
  SubjectState add(std::string_view subject, StreamSeq seq);
  std::optional<SubjectState> find(std::string_view subject) const;
  /// Replaces the state; count 0 removes the subject.
  void set(std::string_view subject, const SubjectState& state);
  void clear();
  std::size_t size() const { return tree_.size(); }
  std::size_t memory_bytes() const { return tree_.memory_bytes() + wide_.capacity() * sizeof(wide_[0]); }

  /// Matching subjects, each once, until `visit` returns false; false then. `visit` must not change
  /// the index. Several wildcard patterns are walked one after the other: no order across them.
  bool visit(const SubjectMatcher& matcher, const Visit& visit) const;
  /// The same in byte order.
  bool visit_in_order(const SubjectMatcher& matcher, const Visit& visit) const;

 private:
  // One message: its sequence, if it fits 48 bits. Otherwise the number of an entry in wide_.
  struct Leaf {
    std::uint32_t low = 0;
    std::uint16_t high = 0;
    std::uint16_t wide = 0;
  };
  using Tree = subject::SubjectTree<Leaf>;

  SubjectState get(const Leaf& leaf) const;
  void put(Leaf& leaf, const SubjectState& state);
  void free_wide(const Leaf& leaf);
  bool visit_pattern(std::string_view pattern, const Visit& visit) const;

  Tree tree_;
  std::vector<SubjectState> wide_;  // free entries are chained through `last`
  std::uint64_t free_ = 0;          // number + 1; 0: none
};

}  // namespace weir::store
