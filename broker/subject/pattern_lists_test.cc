#include "broker/subject/pattern_lists.h"

#include <gtest/gtest.h>

#include <chrono>
#include <string>
#include <vector>

#include "broker/base/prng.h"
#include "broker/subject/subject.h"

namespace weir::subject {
namespace {

using List = std::vector<std::string>;
using Pair = std::pair<std::size_t, std::size_t>;

std::optional<Pair> naive_overlap(const List& l) {
  for (std::size_t i = 0; i < l.size(); ++i) {
    for (std::size_t j = i + 1; j < l.size(); ++j) {
      if (overlaps(l[i], l[j])) return Pair(i, j);
    }
  }
  return std::nullopt;
}

std::optional<std::size_t> naive_subset(const List& l) {
  for (std::size_t i = 0; i < l.size(); ++i) {
    for (std::size_t j = 0; j < l.size(); ++j) {
      if (i != j && subset(l[i], l[j])) return i;
    }
  }
  return std::nullopt;
}

bool naive_any(const List& a, const List& b) {
  for (const auto& x : a) {
    for (const auto& y : b) {
      if (overlaps(x, y)) return true;
    }
  }
  return false;
}

/// Mostly valid patterns of few tokens; `letters` decides how often they meet.
std::string random_pattern(Prng& prng, std::uint64_t letters) {
  if (prng.chance(1, 20)) return prng.chance(1, 2) ? "a..b" : "";
  if (prng.chance(1, 20)) return prng.chance(1, 2) ? "a.>.b" : "a b";
  std::string s;
  for (auto n = prng.between(1, 4); n > 0; --n) {
    if (!s.empty()) s += '.';
    if (prng.chance(1, 5)) {
      s += '*';
    } else if (n == 1 && prng.chance(1, 6)) {
      s += '>';
    } else {
      s += static_cast<char>('a' + prng.below(letters));
      if (prng.chance(1, 8)) s += prng.chance(1, 2) ? '*' : '>';  // plain text
    }
  }
  return s;
}

List random_list(Prng& prng, std::uint64_t letters, std::uint64_t most) {
  List l;
  for (auto n = prng.below(most + 1); n > 0; --n) l.push_back(random_pattern(prng, letters));
  return l;
}

std::string shown(const List& l) {
  std::string out;
  for (const auto& p : l) out += "[" + p + "] ";
  return out;
}

TEST(PatternLists, SameAsEveryPair) {
  Prng prng(7);
  int some = 0, none = 0;
  for (int round = 0; round < 20'000; ++round) {
    const std::uint64_t letters = prng.chance(1, 2) ? 4 : 20;
    const List a = random_list(prng, letters, 12), b = random_list(prng, letters, 30);
    ASSERT_EQ(first_overlap(a), naive_overlap(a)) << shown(a);
    ASSERT_EQ(first_subset(a), naive_subset(a)) << shown(a);
    const bool any = naive_any(a, b);
    ASSERT_EQ(any_overlap(a, b), any) << shown(a) << " and " << shown(b);
    ASSERT_EQ(any_overlap(b, a), any) << shown(a) << " and " << shown(b);
    ASSERT_FALSE(takes_long(b));
    ++(any ? some : none);
  }
  EXPECT_GT(some, 1000);
  EXPECT_GT(none, 1000);
}

TEST(PatternLists, NamesTheFirstPair) {
  EXPECT_EQ(first_overlap(List{"x", "a.*", "b", "a.c", "a.b"}), Pair(1, 3));
  EXPECT_EQ(first_overlap(List{"a.b", "x", "y", "x", "*.b"}), Pair(0, 4));
  EXPECT_EQ(first_overlap(List{"a.b", "a.c", "a", "a.b.c"}), std::nullopt);
  EXPECT_EQ(first_overlap(List{"a.*", "*.b"}), Pair(0, 1));
  EXPECT_EQ(first_overlap(List{"a.>", "a"}), std::nullopt);
  EXPECT_EQ(first_subset(List{"a.*", "*.b"}), std::nullopt) << "they overlap, none holds the other";
  EXPECT_EQ(first_subset(List{"a.*", "b", "a.b"}), 2u);
  EXPECT_EQ(first_subset(List{"x", "b", "b"}), 1u);
  EXPECT_EQ(first_subset(List{}), std::nullopt);
}

template <class F>
double seconds(F&& f) {
  auto began = std::chrono::steady_clock::now();
  f();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
}

// Every pair would be minutes. The bound leaves room for sanitizers and a busy machine.
TEST(PatternLists, LongListsAreQuick) {
  constexpr std::size_t kMany = 100'000;
  List plain, stars, mixed;
  for (std::size_t i = 0; i < kMany; ++i) {
    const std::string n = std::to_string(i);
    plain.push_back("f" + n);
    stars.push_back("*.*." + n);
    mixed.push_back(i % 3 == 0 ? n + ".*.x" : i % 3 == 1 ? "*." + n + ".y" : "a.b." + n + ".>");
  }
  for (const List* l : {&plain, &stars, &mixed}) {
    EXPECT_LT(seconds([&] {
                EXPECT_FALSE(takes_long(*l));
                EXPECT_EQ(first_overlap(*l), std::nullopt);
                EXPECT_EQ(first_subset(*l), std::nullopt);
              }),
              5.0)
        << l->front();
  }
  EXPECT_LT(seconds([&] { EXPECT_FALSE(any_overlap(plain, stars)); }), 5.0);
  EXPECT_LT(seconds([&] { EXPECT_FALSE(any_overlap(stars, mixed)); }), 5.0);
}

// Nothing is known that would be quick for these.
TEST(PatternLists, ManyShapesTakeLong) {
  List l;
  for (std::size_t i = 0; i < 20'000; ++i) {
    std::string p = std::to_string(i);
    for (unsigned bit = 0; bit < 15; ++bit) p += (i >> bit & 1) ? ".*" : ".a";
    l.push_back(p);
  }
  EXPECT_TRUE(takes_long(l));
  l.resize(1000);
  EXPECT_FALSE(takes_long(l));
}

}  // namespace
}  // namespace weir::subject
