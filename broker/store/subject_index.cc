#include "broker/store/subject_index.h"

#include <algorithm>
#include <string>
#include <utility>

#include "broker/base/check.h"

namespace weir::store {

SubjectState SubjectIndex::get(const Leaf& leaf) const {
  std::uint64_t v = std::uint64_t{leaf.high} << 32 | leaf.low;
  if (leaf.wide != 0) return wide_[v];
  if (v == 0) return {};
  return {1, StreamSeq(v), StreamSeq(v)};
}

void SubjectIndex::free_wide(const Leaf& leaf) {
  if (leaf.wide == 0) return;
  std::uint64_t v = std::uint64_t{leaf.high} << 32 | leaf.low;
  wide_[v].last = StreamSeq(free_);
  free_ = v + 1;
}

void SubjectIndex::put(Leaf& leaf, const SubjectState& state) {
  std::uint64_t v = state.last.v;
  if (state.count == 1 && v >> 48 == 0) {
    free_wide(leaf);
    leaf.wide = 0;
  } else if (leaf.wide != 0) {
    wide_[std::uint64_t{leaf.high} << 32 | leaf.low] = state;
    return;
  } else {
    if (free_ == 0) {
      wide_.push_back({});
      free_ = wide_.size();
      wide_.back().last = StreamSeq();
    }
    v = free_ - 1;
    free_ = wide_[v].last.v;
    wide_[v] = state;
    leaf.wide = 1;
  }
  leaf.low = static_cast<std::uint32_t>(v);
  leaf.high = static_cast<std::uint16_t>(v >> 32);
}

SubjectState SubjectIndex::add(std::string_view subject, StreamSeq seq) {
  Leaf* leaf = tree_.find_or_insert(subject, Leaf());
  CHECK(leaf != nullptr, "subject index is full");
  SubjectState before = get(*leaf);
  SubjectState after = before;
  if (after.count++ == 0) after.first = seq;
  after.last = seq;
  put(*leaf, after);
  return before;
}

std::optional<SubjectState> SubjectIndex::find(std::string_view subject) const {
  const Leaf* leaf = tree_.find(subject);
  return leaf != nullptr ? std::optional(get(*leaf)) : std::nullopt;
}

void SubjectIndex::set(std::string_view subject, const SubjectState& state) {
  if (state.count != 0) {
    Leaf* leaf = tree_.find_or_insert(subject, Leaf());
    CHECK(leaf != nullptr, "subject index is full");
    return put(*leaf, state);
  }
  if (const Leaf* leaf = tree_.find(subject)) {
    free_wide(*leaf);
    tree_.erase(subject);
  }
}

void SubjectIndex::clear() {
  tree_.clear();
  wide_ = {};
  free_ = 0;
}

bool SubjectIndex::visit_pattern(std::string_view pattern, const Visit& visit) const {
  // The tree's walk hands out values that may be changed; this one does not.
  return const_cast<Tree&>(tree_).visit(
      pattern, [&](std::string_view subject, const Leaf& leaf) { return visit(subject, get(leaf)); });
}

bool SubjectIndex::visit(const SubjectMatcher& matcher, const Visit& visit) const {
  if (matcher.all()) {
    return const_cast<Tree&>(tree_).for_each(
        [&](std::string_view subject, const Leaf& leaf) { return visit(subject, get(leaf)); });
  }
  const auto& patterns = matcher.patterns();
  for (std::size_t k = 0; k < patterns.size(); ++k) {
    if (matcher.only_literals()) {
      auto s = find(patterns[k]);
      if (s && !visit(patterns[k], *s)) return false;
      continue;
    }
    bool more = visit_pattern(patterns[k], [&](std::string_view subject, const SubjectState& s) {
      // An earlier pattern that matches has shown it.
      for (std::size_t j = 0; j < k; ++j) {
        if (subject::matches(patterns[j], subject)) return true;
      }
      return visit(subject, s);
    });
    if (!more) return false;
  }
  return true;
}

bool SubjectIndex::visit_in_order(const SubjectMatcher& matcher, const Visit& visit) const {
  if (matcher.patterns().size() <= 1 || matcher.only_literals()) return this->visit(matcher, visit);
  std::vector<std::pair<std::string, SubjectState>> found;
  (void)this->visit(matcher, [&](std::string_view subject, const SubjectState& s) {
    found.emplace_back(subject, s);
    return true;
  });
  std::sort(found.begin(), found.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  return std::all_of(found.begin(), found.end(), [&](const auto& x) { return visit(x.first, x.second); });
}

}  // namespace weir::store
