#include "broker/jetstream/filter_index.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>

#include "broker/base/prng.h"
#include "broker/subject/subject.h"

namespace weir::jetstream {
namespace {

using Ids = std::vector<std::uint32_t>;

TEST(FilterIndex, NothingInIt) {
  FilterIndex index;
  EXPECT_EQ(index.match("a"), Ids{});
  EXPECT_FALSE(index.wants("a"));
  EXPECT_FALSE(index.remove(1));
  EXPECT_EQ(index.size(), 0u);
}

TEST(FilterIndex, IdsInOrderEachOnce) {
  FilterIndex index;
  index.set(9, {});
  index.set(7, {"a.*", "*.b"});
  index.set(3, {"a.b"});
  index.set(5, {"z"});
  index.set(1, {});
  EXPECT_EQ(index.match("a.b"), (Ids{1, 3, 7, 9})) << "two filters of 7 match";
  EXPECT_EQ(index.match("a.c"), (Ids{1, 7, 9}));
  EXPECT_EQ(index.match("q"), (Ids{1, 9}));
  EXPECT_EQ(index.unfiltered(), (Ids{1, 9}));
  EXPECT_EQ(index.size(), 5u);
}

TEST(FilterIndex, SetReplaces) {
  FilterIndex index;
  index.set(1, {"a"});
  index.set(1, {"b", "c"});
  EXPECT_FALSE(index.wants("a"));
  EXPECT_EQ(index.match("c"), Ids{1});
  index.set(1, {});
  EXPECT_EQ(index.match("a"), Ids{1});
  index.set(1, {"a"});
  EXPECT_FALSE(index.wants("b"));
  EXPECT_EQ(index.size(), 1u);
}

TEST(FilterIndex, RemoveAndClear) {
  FilterIndex index;
  index.set(1, {"a.>"});
  index.set(2, {"a.>"});
  index.set(3, {});
  EXPECT_TRUE(index.remove(1));
  EXPECT_FALSE(index.remove(1));
  EXPECT_EQ(index.match("a.x"), (Ids{2, 3}));
  EXPECT_TRUE(index.remove(3));
  EXPECT_TRUE(index.remove(2));
  EXPECT_FALSE(index.wants("a.x"));
  index.set(4, {"a"});
  index.set(5, {});
  index.clear();
  EXPECT_EQ(index.size(), 0u);
  EXPECT_EQ(index.match("a"), Ids{});
  EXPECT_FALSE(index.remove(4));
}

TEST(FilterIndex, WhatIsNoPatternStandsForNothing) {
  FilterIndex index;
  index.set(1, {"a..b"});
  EXPECT_FALSE(index.wants("a..b"));
  EXPECT_EQ(index.size(), 1u);
  EXPECT_TRUE(index.remove(1));
  index.set(2, {"a", "a"});
  EXPECT_EQ(index.match("a"), Ids{2});
  EXPECT_FALSE(index.wants("")) << "not a subject";
}

// Against the plain definition, over random changes.
TEST(FilterIndex, AgreesWithAWalkOverAll) {
  static const std::vector<std::string> kFilters = {"a", "a.b", "a.*", "*.b", "a.>", ">", "*", "b.c", "b.*"};
  static const std::vector<std::string> kSubjects = {"a", "a.b", "a.c", "b.b", "b.c", "c", "a.b.c", "b"};
  Prng prng(11);
  FilterIndex index;
  std::map<std::uint32_t, std::vector<std::string>> model;
  for (int i = 0; i < 4000; ++i) {
    auto id = static_cast<std::uint32_t>(prng.between(1, 12));
    if (prng.chance(1, 3)) {
      EXPECT_EQ(index.remove(id), model.erase(id) > 0);
    } else {
      std::vector<std::string> filters;
      for (std::uint64_t n = prng.below(4); n > 0; --n)
        filters.push_back(kFilters[prng.below(kFilters.size())]);
      index.set(id, filters);
      model[id] = filters;
    }
    const std::string& s = kSubjects[prng.below(kSubjects.size())];
    Ids expected;
    for (const auto& [who, filters] : model) {
      if (filters.empty() || std::any_of(filters.begin(), filters.end(),
                                         [&](const std::string& f) { return subject::matches(f, s); }))
        expected.push_back(who);
    }
    ASSERT_EQ(index.match(s), expected) << s << " at step " << i;
    ASSERT_EQ(index.wants(s), !expected.empty());
    ASSERT_EQ(index.size(), model.size());
  }
}

}  // namespace
}  // namespace weir::jetstream
