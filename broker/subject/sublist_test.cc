#include "broker/subject/sublist.h"

#include <gtest/gtest.h>

#include <map>
#include <string>
#include <vector>

#include "broker/base/prng.h"

namespace weir::subject {
namespace {

using List = Sublist<std::uint64_t>;

/// Comparable form: plain values sorted, groups by name with sorted members.
struct Answer {
  std::vector<std::uint64_t> plain;
  std::map<std::string, std::vector<std::uint64_t>> groups;
  bool operator==(const Answer&) const = default;
};

Answer answer(const List::Match& m) {
  Answer a{m.plain, {}};
  std::sort(a.plain.begin(), a.plain.end());
  for (const auto& g : m.groups) {
    EXPECT_FALSE(g.members.empty());
    EXPECT_FALSE(a.groups.contains(g.name)) << "a group comes once";
    auto members = g.members;
    std::sort(members.begin(), members.end());
    a.groups[g.name] = members;
  }
  return a;
}

EntryId add(List& list, std::string_view pattern, std::uint64_t v, std::string_view queue = {}) {
  auto id = list.insert(pattern, queue, v);
  EXPECT_TRUE(id) << pattern;
  return id ? *id : kNoEntry;
}

TEST(Sublist, LiteralAndWildcardEntries) {
  List list;
  add(list, "a.b", 1);
  EntryId star = add(list, "a.*", 2);
  add(list, "a.>", 3);
  add(list, "a.b", 4, "q");
  add(list, "a.*", 5, "q");
  add(list, "a.*", 6, "r");
  EXPECT_EQ(list.size(), 6u);
  EXPECT_EQ(list.patterns(), 3u);
  for (int i = 0; i < 4; ++i) {  // uncached, admitted, cached
    EXPECT_EQ(answer(list.match("a.b")), (Answer{{1, 2, 3}, {{"q", {4, 5}}, {"r", {6}}}}));
    EXPECT_EQ(answer(list.match("a.c")), (Answer{{2, 3}, {{"q", {5}}, {"r", {6}}}}));
    EXPECT_EQ(answer(list.match("a.b.c")), (Answer{{3}, {}}));
    EXPECT_TRUE(list.match("b").empty());
  }
  EXPECT_GT(list.cache_stats().hits, 0u);
  EXPECT_EQ(list.pattern(star), "a.*");
  EXPECT_EQ(list.queue(star), "");
  EXPECT_EQ(list.value(star), 2u);
  list.set_value(star, 22);
  EXPECT_EQ(answer(list.match("a.c")).plain, (std::vector<std::uint64_t>{3, 22}));
  list.remove(star);
  EXPECT_EQ(answer(list.match("a.c")).plain, (std::vector<std::uint64_t>{3}));
  EXPECT_TRUE(list.has_interest("a.c"));
  EXPECT_FALSE(list.has_interest("b.c"));
}

TEST(Sublist, RefusesWhatIsNoPattern) {
  List list;
  for (std::string_view bad : {"", "a..b", "a.", ".a", "a.>.b", "a b", "a\r\n"}) {
    auto r = list.insert(bad, "", 1);
    ASSERT_FALSE(r) << bad;
    EXPECT_EQ(r.error().code, Code::kInvalid);
  }
  std::string many = "a";
  for (std::size_t i = 1; i < limits::kSubjectTokensMax; ++i) many += ".a";
  EXPECT_TRUE(list.insert(many, "", 1));
  EXPECT_TRUE(list.insert(many.substr(2) + ".*", "", 1));
  EXPECT_EQ(list.insert(many + ".a", "", 1).error().code, Code::kLimit);
  EXPECT_EQ(list.match(many).plain.size(), 2u);
  EXPECT_EQ(list.size(), 2u);
}

TEST(Sublist, InvalidSubjectsMatchNothing) {
  List list;
  add(list, ">", 1);
  add(list, "a.>", 1);
  add(list, "*.*", 1);
  for (std::string_view bad : {"", ".", "a.", ".a", "a..b", "a.b."}) {
    for (int i = 0; i < 3; ++i) EXPECT_TRUE(list.match(bad).empty()) << bad;
    EXPECT_FALSE(list.has_interest(bad)) << bad;
  }
  EXPECT_EQ(list.match("a.*").plain.size(), 3u);  // "*" as text
}

TEST(Sublist, EqualEntriesAreSeparate) {
  List list;
  EntryId x = add(list, "a", 1), y = add(list, "a", 1);
  EXPECT_EQ(list.match("a").plain.size(), 2u);
  list.remove(x);
  EXPECT_EQ(list.match("a").plain.size(), 1u);
  list.remove(y);
  EXPECT_TRUE(list.match("a").empty());
  EXPECT_EQ(list.patterns(), 0u);
}

TEST(Sublist, PropertyAgainstNaive) {
  struct Entry {
    std::string pattern, queue;
    std::uint64_t value;
    EntryId id;
  };
  for (std::uint64_t seed = 1; seed <= 8; ++seed) {
    Prng prng(seed);
    List list(seed);
    std::vector<Entry> entries;
    std::uint64_t next = 1;
    auto subject = [&](bool wild) {
      std::string s;
      for (auto n = prng.between(1, 4); n > 0; --n) {
        if (!s.empty()) s += '.';
        if (wild && prng.chance(1, 5)) {
          s += n == 1 && prng.chance(1, 2) ? '>' : '*';
        } else {
          s += static_cast<char>('a' + prng.below(3));
        }
      }
      return s;
    };
    for (int step = 0; step < 6000; ++step) {
      if (prng.chance(1, 6)) {
        std::string queue = prng.chance(1, 3) ? std::string(1, static_cast<char>('p' + prng.below(3))) : "";
        Entry e{subject(prng.chance(1, 2)), queue, next++, kNoEntry};
        e.id = add(list, e.pattern, e.value, e.queue);
        entries.push_back(e);
      } else if (!entries.empty() && prng.chance(1, entries.size() > 60 ? 4 : 12)) {
        std::size_t i = prng.below(entries.size());
        list.remove(entries[i].id);
        entries.erase(entries.begin() + static_cast<std::ptrdiff_t>(i));
      }
      std::string literal = subject(false);
      Answer want;
      for (const auto& e : entries) {
        if (!matches(e.pattern, literal)) continue;
        (e.queue.empty() ? want.plain : want.groups[e.queue]).push_back(e.value);
      }
      for (auto& [name, members] : want.groups) std::sort(members.begin(), members.end());
      std::sort(want.plain.begin(), want.plain.end());
      ASSERT_EQ(answer(list.match(literal)), want) << literal;
      List::Match copy;
      list.match_uncached(literal, copy);
      ASSERT_EQ(answer(copy), want) << literal;
      ASSERT_EQ(list.has_interest(literal), !copy.empty());
      ASSERT_EQ(list.size(), entries.size());
    }
    EXPECT_GT(list.cache_stats().hits, 1000u);
    for (const auto& e : entries) list.remove(e.id);
    EXPECT_EQ(list.size(), 0u);
    EXPECT_EQ(list.patterns(), 0u);
  }
}

TEST(Sublist, OrderDependsOnCallsOnly) {
  auto build = [](std::uint64_t seed) {
    auto list = std::make_unique<List>(seed);
    for (std::uint64_t i = 0; i < 200; ++i) {
      add(*list, "s." + std::to_string(i % 7), i, i % 3 ? "" : "q" + std::to_string(i % 5));
      add(*list, i % 2 ? "s.*" : ">", 1000 + i);
    }
    return list;
  };
  auto a = build(1), b = build(999);
  List::Match ma, mb;
  a->match_uncached("s.3", ma);
  b->match_uncached("s.3", mb);
  EXPECT_EQ(ma.plain, mb.plain);
  EXPECT_EQ(a->match("s.3").plain, mb.plain);
  std::vector<std::string> la, lb;
  auto note = [](std::vector<std::string>& out) {
    return [&out](std::string_view p, std::string_view q, std::uint64_t v) {
      out.push_back(std::string(p) + " " + std::string(q) + " " + std::to_string(v));
    };
  };
  a->for_each(note(la));
  b->for_each(note(lb));
  EXPECT_EQ(la.size(), 400u);
  EXPECT_EQ(la, lb);
}

TEST(Sublist, OverlappingPatterns) {
  List list;
  std::uint64_t v = 0;
  for (std::string_view p : {"orders.new", "orders.*", "orders.>", "orders.new.eu", "x.*.z", ">", "other"}) {
    add(list, p, ++v);
  }
  std::vector<std::string> seen;
  list.for_each_overlapping(
      "orders.*", [&](std::string_view p, std::string_view, std::uint64_t) { seen.emplace_back(p); });
  EXPECT_EQ(seen, (std::vector<std::string>{">", "orders.*", "orders.>", "orders.new"}));
}

TEST(Sublist, UniqueSubjectsDoNotPushOthersOut) {
  List list;
  add(list, "hot.>", 1);
  add(list, "hot.*", 2);
  add(list, "_INBOX.abc.*", 3);
  auto touch_hot = [&] {
    for (int i = 0; i < 200; ++i) list.match("hot." + std::to_string(i));
  };
  touch_hot();
  touch_hot();
  touch_hot();
  auto before = list.cache_stats();
  for (int i = 0; i < 100'000; ++i) list.match("_INBOX.abc." + std::to_string(i));
  touch_hot();
  auto after = list.cache_stats();
  EXPECT_GE(after.hits - before.hits, 190u);
  EXPECT_LE(list.cached(), 1000u);
}

TEST(Sublist, ChangesInvalidateOnlyWhatTheyTouch) {
  List list;
  add(list, "a.>", 1);
  add(list, "b.>", 2);
  for (int i = 0; i < 3; ++i) {
    list.match("a.x");
    list.match("b.x");
  }
  auto hits = [&](std::string_view s) {
    auto h = list.cache_stats().hits;
    list.match(s);
    return list.cache_stats().hits - h;
  };
  EXPECT_EQ(hits("a.x"), 1u);
  add(list, "a.y", 3);  // another literal
  EXPECT_EQ(hits("a.x"), 1u);
  EntryId lit = add(list, "a.x", 4);
  EXPECT_EQ(hits("a.x"), 0u);
  EXPECT_EQ(hits("b.x"), 1u);
  EXPECT_EQ(list.match("a.x").plain.size(), 2u);
  list.remove(lit);
  EXPECT_EQ(list.match("a.x").plain.size(), 1u);
  add(list, "a.*", 5);
  EXPECT_EQ(list.match("a.x").plain.size(), 2u);
  EXPECT_EQ(hits("b.x"), 1u);
  add(list, "*.x", 6);
  EXPECT_EQ(hits("b.x"), 0u);
  EXPECT_EQ(list.match("b.x").plain.size(), 2u);
}

TEST(Sublist, LargeAnswersAreNotCached) {
  List list;
  for (std::uint64_t i = 0; i < 600; ++i) add(list, i % 2 ? "a.*" : "a.b", i);
  for (int i = 0; i < 5; ++i) EXPECT_EQ(list.match("a.b").plain.size(), 600u);
  EXPECT_EQ(list.cached(), 0u);
  for (int i = 0; i < 5; ++i) EXPECT_EQ(list.match("a.c").plain.size(), 300u);  // one pattern: no copy
  EXPECT_EQ(list.cached(), 1u);
}

TEST(Sublist, CacheIsBounded) {
  List list;
  add(list, "s.>", 1);
  add(list, "s.*", 2);
  for (int round = 0; round < 3; ++round) {
    for (int i = 0; i < 20'000; ++i) {
      std::string s = "s." + std::to_string(i);
      list.match(s);
      EXPECT_EQ(list.match(s).plain.size(), 2u);
    }
  }
  EXPECT_LE(list.cached(), limits::kMatchCacheEntries);
  EXPECT_GT(list.cached(), limits::kMatchCacheEntries / 2);
}

}  // namespace
}  // namespace weir::subject
