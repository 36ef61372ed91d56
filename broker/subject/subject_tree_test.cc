#include "broker/subject/subject_tree.h"

#include <gtest/gtest.h>

#include <cstdio>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "broker/base/prng.h"
#include "broker/subject/subject.h"

namespace weir::subject {
namespace {

/// The compact shape: 48-bit sequence and 16-bit count.
struct Compact {
  std::uint32_t low = 0;
  std::uint16_t high = 0, count = 0;
};
static_assert(sizeof(Compact) == 8 && alignof(Compact) == 4);
using Tree = SubjectTree<std::uint64_t>;

std::vector<std::pair<std::string, std::uint64_t>> all(Tree& tree, std::string_view pattern) {
  std::vector<std::pair<std::string, std::uint64_t>> out;
  tree.visit(pattern, [&](std::string_view s, std::uint64_t& v) {
    out.emplace_back(s, v);
    return true;
  });
  return out;
}

TEST(SubjectTree, InsertFindErase) {
  Tree tree;
  EXPECT_EQ(tree.find("a"), nullptr);
  EXPECT_FALSE(tree.erase("a"));
  *tree.find_or_insert("a.b", 1) += 10;
  EXPECT_EQ(*tree.find_or_insert("a.b", 1), 11u);
  tree.find_or_insert("a", 2);      // a prefix of the other
  tree.find_or_insert("a.b.c", 3);  // beyond it
  tree.find_or_insert("a.bb", 4);
  EXPECT_EQ(tree.size(), 4u);
  EXPECT_EQ(*tree.find("a"), 2u);
  EXPECT_EQ(*tree.find("a.b"), 11u);
  EXPECT_EQ(*tree.find("a.b.c"), 3u);
  EXPECT_EQ(*tree.find("a.bb"), 4u);
  for (std::string_view absent : {"", "a.", "b", "a.b.", "a.b.c.d", "a.bbb"})
    EXPECT_EQ(tree.find(absent), nullptr);
  EXPECT_TRUE(tree.erase("a.b"));
  EXPECT_FALSE(tree.erase("a.b"));
  EXPECT_EQ(*tree.find("a.b.c"), 3u);
  EXPECT_TRUE(tree.erase("a"));
  EXPECT_TRUE(tree.erase("a.bb"));
  EXPECT_TRUE(tree.erase("a.b.c"));
  EXPECT_TRUE(tree.empty());
  EXPECT_EQ(tree.memory_bytes(), 0u);
}

TEST(SubjectTree, RefusesKeysBeyondItsLimit) {
  Tree tree;
  std::string longest(Tree::kKeyBytesMax, 'x');
  EXPECT_NE(tree.find_or_insert(longest, 1), nullptr);
  EXPECT_EQ(tree.find_or_insert(longest + "x", 1), nullptr);
  EXPECT_EQ(tree.size(), 1u);
}

TEST(SubjectTree, VisitsInOrderAndStops) {
  Tree tree;
  for (std::string_view s : {"b.z", "a", "a.b", "b.a", "c.d.e", "b.a.c"}) tree.find_or_insert(s, s.size());
  std::string seen;
  EXPECT_TRUE(
      tree.for_each([&](std::string_view s, std::uint64_t&) { return seen += std::string(s) + " ", true; }));
  EXPECT_EQ(seen, "a a.b b.a b.a.c b.z c.d.e ");
  seen.clear();
  EXPECT_FALSE(tree.visit("*.*", [&](std::string_view s, std::uint64_t& v) {
    v = 99;
    seen += s;
    return seen.size() < 6;
  }));
  EXPECT_EQ(seen, "a.bb.a");
  EXPECT_EQ(*tree.find("b.a"), 99u);
  EXPECT_EQ(all(tree, "c.>").size(), 1u);
  EXPECT_EQ(all(tree, "c.d").size(), 0u);
  EXPECT_EQ(all(tree, "b.a").size(), 1u);
  EXPECT_EQ(all(tree, "").size(), 0u);
  EXPECT_EQ(all(tree, ">").size(), 6u);
  EXPECT_EQ(all(tree, "*").size(), 1u);
}

TEST(SubjectTree, EveryByteAndEveryNodeSize) {
  Tree tree;
  for (int c = 255; c >= 0; --c) {
    for (int d = 0; d < 256; d += 51) {
      std::string key{'k', static_cast<char>(c), static_cast<char>(d)};
      tree.find_or_insert(key, static_cast<std::uint64_t>(c * 256 + d));
    }
  }
  EXPECT_EQ(tree.size(), 256u * 6u);
  std::uint64_t last = 0;
  bool first = true;
  tree.for_each([&](std::string_view, std::uint64_t& v) {
    EXPECT_TRUE(first || v > last);
    first = false;
    last = v;
    return true;
  });
  for (int c = 0; c < 256; ++c) {
    for (int d = 0; d < 256; d += 51) {
      std::string key{'k', static_cast<char>(c), static_cast<char>(d)};
      ASSERT_TRUE(tree.erase(key));
      ASSERT_EQ(tree.find(key), nullptr);
    }
  }
  EXPECT_EQ(tree.memory_bytes(), 0u);
}

TEST(SubjectTree, DeepKeysNeedNoStack) {
  Tree tree;
  std::string key;
  for (int i = 0; i < 8'000; ++i) {
    key += 'x';
    ASSERT_NE(tree.find_or_insert(key, 1), nullptr);
  }
  std::size_t n = 0;
  tree.for_each([&](std::string_view, std::uint64_t&) { return ++n, true; });
  EXPECT_EQ(n, 8'000u);
}

std::string random_key(Prng& prng, std::uint64_t letters) {
  std::string s;
  for (auto n = prng.between(1, 4); n > 0; --n) {
    if (!s.empty()) s += '.';
    for (auto m = prng.between(1, 3); m > 0; --m) s += static_cast<char>('a' + prng.below(letters));
  }
  return s;
}

TEST(SubjectTree, PropertyAgainstMap) {
  for (std::uint64_t seed = 1; seed <= 6; ++seed) {
    Prng prng(seed);
    Tree tree;
    std::map<std::string, std::uint64_t> map;
    std::uint64_t letters = seed % 2 ? 2 : 26;
    for (int step = 0; step < 20'000; ++step) {
      std::string key = random_key(prng, letters);
      bool growing = step % 8000 < 5000;
      if (prng.chance(growing ? 3 : 1, 5)) {
        auto* v = tree.find_or_insert(key, 0);
        ASSERT_NE(v, nullptr);
        EXPECT_EQ(*v, map[key]);
        *v = map[key] = static_cast<std::uint64_t>(step);
      } else {
        if (!map.empty() && prng.chance(1, 2)) {
          auto it = map.lower_bound(key);
          if (it != map.end()) key = it->first;
        }
        ASSERT_EQ(tree.erase(key), map.erase(key) == 1) << key;
      }
      ASSERT_EQ(tree.size(), map.size());
      std::string probe = random_key(prng, letters);
      auto it = map.find(probe);
      auto* v = tree.find(probe);
      ASSERT_EQ(v != nullptr, it != map.end());
      if (v) {
        ASSERT_EQ(*v, it->second);
      }
      if (step % 500 != 0) continue;
      for (std::string_view p :
           {">", "*", "*.*", "a.>", "*.a.*", "*.*.>", "a.*.b", "ab.*.*.a", "*.b", "aa.b"}) {
        std::vector<std::pair<std::string, std::uint64_t>> want;
        for (const auto& [k, value] : map) {
          if (matches(p, k)) want.emplace_back(k, value);
        }
        ASSERT_EQ(all(tree, p), want) << p;
      }
    }
    std::vector<std::pair<std::string, std::uint64_t>> order;
    tree.for_each(
        [&](std::string_view s, std::uint64_t& value) { return order.emplace_back(s, value), true; });
    EXPECT_EQ(order, (std::vector<std::pair<std::string, std::uint64_t>>(map.begin(), map.end())));
    while (!map.empty()) {
      ASSERT_TRUE(tree.erase(map.begin()->first));
      map.erase(map.begin());
    }
    EXPECT_EQ(tree.memory_bytes(), 0u);
  }
}

TEST(SubjectTree, MemoryPerSubject) {
  constexpr int kSubjects = 300'000;
  Prng prng(3);
  auto hex = [&](std::size_t n, std::string_view digits) {
    std::string s;
    while (s.size() < n) s += digits[prng.below(digits.size())];
    return s;
  };
  auto pad = [](int i) {
    std::string s = std::to_string(i);
    return std::string(8 - s.size(), '0') + s;
  };
  const std::string_view kHex = "0123456789abcdef";
  const std::string_view k62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
  struct Shape {
    const char* name;
    std::size_t goal;
    std::function<std::string(int)> key;
  };
  const Shape shapes[] = {
      {"$KV.users.<8 digits>", 26, [&](int i) { return "$KV.users." + pad(i); }},
      {"$KV.sess.<32 hex>", 56, [&](int) { return "$KV.sess." + hex(32, kHex); }},
      {"orders.r.c.status", 40,
       [&](int i) {
         return "orders.eu" + std::to_string(i % 9) + ".cust" + std::to_string(i / 27) + "." +
                std::array{"new", "paid", "sent"}[static_cast<std::size_t>(i / 9 % 3)];
       }},
      {"events.<22 base62>", 52, [&](int) { return "events." + hex(22, k62); }},
  };
  for (const auto& shape : shapes) {
    SubjectTree<Compact> tree;
    for (int i = 0; i < kSubjects; ++i)
      tree.find_or_insert(shape.key(i), {static_cast<std::uint32_t>(i), 0, 1});
    std::size_t per = tree.used_bytes() / tree.size();
    std::printf("%-24s %zu subjects: %zu B each, with spare %zu B\n", shape.name, tree.size(), per,
                tree.memory_bytes() / tree.size());
    EXPECT_LE(per, shape.goal) << shape.name;
  }
  SubjectTree<Compact> few;
  for (int i = 0; i < 5; ++i) few.find_or_insert("orders." + std::to_string(i), {});
  EXPECT_LE(few.memory_bytes(), 512u);
}

}  // namespace
}  // namespace weir::subject
