#include "broker/subject/subject.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "broker/base/prng.h"

namespace weir::subject {
namespace {

std::vector<std::string> split(const std::string& s) {
  std::vector<std::string> out(1);
  for (char c : s) {
    if (c == '.') {
      out.emplace_back();
    } else {
      out.back() += c;
    }
  }
  return out;
}

bool naive_matches(const std::vector<std::string>& p, const std::vector<std::string>& l, std::size_t i = 0) {
  if (i == p.size()) return i == l.size();
  if (i >= l.size()) return false;
  if (p[i] == ">") return true;
  return (p[i] == "*" || p[i] == l[i]) && naive_matches(p, l, i + 1);
}

std::string random_subject(Prng& prng, bool wildcards) {
  std::string s;
  for (auto n = prng.between(1, 4); n > 0; --n) {
    if (!s.empty()) s += '.';
    if (wildcards && prng.chance(1, 4)) {
      s += '*';
    } else if (wildcards && n == 1 && prng.chance(1, 4)) {
      s += '>';
    } else {
      s += static_cast<char>('a' + prng.below(3));
    }
  }
  return s;
}

TEST(Subject, Validity) {
  for (std::string_view good :
       {"a", "a.b", "$JS.API.>x", "a*.b", "*a", "a>", "\xc3\xa4.b", "a.b.c.d.e.f.g.h"}) {
    EXPECT_TRUE(is_valid_literal(good)) << good;
    EXPECT_TRUE(is_valid_pattern(good)) << good;
    EXPECT_FALSE(has_wildcards(good)) << good;
  }
  for (std::string_view wild : {"*", ">", "a.*", "*.a", "a.*.b", "a.>", "*.>", "*.*.*"}) {
    EXPECT_FALSE(is_valid_literal(wild)) << wild;
    EXPECT_TRUE(is_valid_pattern(wild)) << wild;
    EXPECT_TRUE(has_wildcards(wild)) << wild;
  }
  for (std::string_view bad :
       {"", ".", "a.", ".a", "a..b", "a b", "a\tb", "a\r", "a\n", " a", "..", "a.b..", "\f"}) {
    EXPECT_FALSE(is_valid_literal(bad)) << bad;
    EXPECT_FALSE(is_valid_pattern(bad)) << bad;
    EXPECT_FALSE(is_well_formed(bad)) << bad;
  }
  for (std::string_view bad : {">.a", "a.>.b", ">.>", "a.>.>", "*..a", "a. .b"}) {
    EXPECT_FALSE(is_valid_pattern(bad)) << bad;
  }
}

TEST(Subject, Tokens) {
  EXPECT_EQ(token_count(""), 0u);
  EXPECT_EQ(token_count("a"), 1u);
  EXPECT_EQ(token_count("a.b.c"), 3u);
  EXPECT_EQ(token_at("a.b.c", 0), "a");
  EXPECT_EQ(token_at("a.b.c", 2), "c");
  EXPECT_EQ(token_at("a.b.c", 3), "");
  EXPECT_EQ(token_at("", 0), "");
  std::vector<std::string> seen;
  Tokens t("a..b.");
  while (t.next()) seen.emplace_back(t.token());
  EXPECT_EQ(seen, (std::vector<std::string>{"a", "", "b", ""}));
}

TEST(Subject, Matches) {
  EXPECT_TRUE(matches("a.b", "a.b"));
  EXPECT_TRUE(matches("a.*", "a.b"));
  EXPECT_TRUE(matches("a.>", "a.b"));
  EXPECT_TRUE(matches("a.>", "a.b.c"));
  EXPECT_TRUE(matches(">", "a"));
  EXPECT_TRUE(matches("*", "*"));
  EXPECT_FALSE(matches("a", "*"));
  EXPECT_FALSE(matches("a.>", "a"));
  EXPECT_FALSE(matches("a.*", "a"));
  EXPECT_FALSE(matches("a.*", "a.b.c"));
  EXPECT_FALSE(matches("a.b", "a.b.c"));
  EXPECT_FALSE(matches("a.b.c", "a.b"));
  EXPECT_FALSE(matches("a*", "ab"));
  for (std::string_view bad : {"", "a..b", "a.", ".a", "."}) {
    EXPECT_FALSE(matches(">", bad)) << bad;
    EXPECT_FALSE(matches("*", bad)) << bad;
    EXPECT_FALSE(matches("a.>", bad)) << bad;
    EXPECT_FALSE(matches("*.*", bad)) << bad;
  }
}

TEST(Subject, RelationsAgreeWithEnumeration) {
  std::vector<std::string> literals;
  for (char a : {'a', 'b', 'c', 'd'}) {
    std::string one(1, a);
    literals.push_back(one);
    for (char b : {'a', 'b', 'c', 'd'}) {
      std::string two = one + "." + b;
      literals.push_back(two);
      for (char c : {'a', 'b', 'c', 'd'}) {
        std::string three = two + "." + c;
        literals.push_back(three);
        for (char d : {'a', 'b', 'c', 'd'}) {
          literals.push_back(three + "." + d);
          literals.push_back(three + "." + d + ".a");
          literals.push_back(three + "." + d + ".d");
        }
      }
    }
  }
  Prng prng(11);
  for (int round = 0; round < 1500; ++round) {
    std::string a = random_subject(prng, true), b = random_subject(prng, true);
    auto ta = split(a), tb = split(b);
    bool over = false, sub = true;
    for (const auto& l : literals) {
      auto tl = split(l);
      bool in_a = naive_matches(ta, tl), in_b = naive_matches(tb, tl);
      ASSERT_EQ(matches(a, l), in_a) << a << " " << l;
      over |= in_a && in_b;
      sub &= !in_a || in_b;
    }
    EXPECT_EQ(overlaps(a, b), over) << a << " " << b;
    EXPECT_EQ(subset(a, b), sub) << a << " " << b;
  }
  EXPECT_FALSE(subset("a..b", ">"));
  EXPECT_FALSE(overlaps("a", ""));
}

}  // namespace
}  // namespace weir::subject
