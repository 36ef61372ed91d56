#include "broker/subject/transform.h"

#include <gtest/gtest.h>

#include <algorithm>

#include <string>

#include "broker/subject/subject.h"

namespace weir::subject {
namespace {

struct Case {
  std::string_view source, destination, subject, result;
};

/// Answers of nats-server 2.15.1 to the same mappings.
constexpr Case kCases[] = {
    {"e2.lit", "z.{{partition(100000)}}", "e2.lit", "z.36261"},
    {"g.*", "z.{{partition(100000)}}", "g.x", "z.21632"},
    {"h.>", "z.{{partition(100000)}}.>", "h.x.y", "z.75876.x.y"},
    {"a.*.*", "x.{{wildcard(2)}}.$1", "a.b.c", "x.c.b"},
    {"b.>", "y.>", "b.1.2", "y.1.2"},
    {"c.*", "z.{{partition(10,1)}}.$1", "c.foo", "z.3.foo"},
    {"c.*", "z.{{partition(10,1)}}.$1", "c.bar", "z.2.bar"},
    {"d.*.*", "z.{{partition(7,1,2)}}", "d.foo.bar", "z.0"},
    {"d.*.*", "z.{{partition(7,1,2)}}", "d.a.b", "z.2"},
    {"e.*", "z.{{partition(5)}}", "e.foo", "z.1"},
    {"e.*", "z.{{partition(5)}}", "e.bar", "z.4"},
    {"e.*", "z.{{partition(5)}}", "e.hello", "z.4"},
    {"e2.lit", "z.{{partition(5)}}", "e2.lit", "z.1"},
    {"f.*", "f2.{{split(1,-)}}", "f.-abc-def--ghij-", "f2.abc.def.ghij"},
    {"f.*", "f2.{{split(1,-)}}", "f.abc", "f2.abc"},
    {"g.*", "g2.{{splitFromLeft(1,3)}}", "g.1234567890", "g2.123.4567890"},
    {"g.*", "g2.{{splitFromLeft(1,3)}}", "g.12", "g2.12"},
    {"g.*", "g2.{{splitFromLeft(1,3)}}", "g.123", "g2.123"},
    {"h.*", "h2.{{SplitFromRight(1,3)}}", "h.1234567890", "h2.1234567.890"},
    {"h.*", "h2.{{SplitFromRight(1,3)}}", "h.12", "h2.12"},
    {"h.*", "h2.{{SplitFromRight(1,3)}}", "h.123", "h2.123"},
    {"i.*", "i2.{{SliceFromLeft(1,3)}}", "i.1234567890", "i2.123.456.789.0"},
    {"i.*", "i2.{{SliceFromLeft(1,3)}}", "i.12", "i2.12"},
    {"i.*", "i2.{{SliceFromLeft(1,3)}}", "i.123", "i2.123"},
    {"i.*", "i2.{{SliceFromLeft(1,3)}}", "i.123456", "i2.123.456"},
    {"j.*", "j2.{{sliceFromRight(1,3)}}", "j.1234567890", "j2.1.234.567.890"},
    {"j.*", "j2.{{sliceFromRight(1,3)}}", "j.12", "j2.12"},
    {"j.*", "j2.{{sliceFromRight(1,3)}}", "j.123", "j2.123"},
    {"j.*", "j2.{{sliceFromRight(1,3)}}", "j.123456", "j2.123.456"},
    {"k.*", "k2.{{left(1,3)}}", "k.1234567890", "k2.123"},
    {"k.*", "k2.{{left(1,3)}}", "k.12", "k2.12"},
    {"k.*", "k2.{{left(1,3)}}", "k.123", "k2.123"},
    {"l.*", "l2.{{right(1,3)}}", "l.1234567890", "l2.890"},
    {"l.*", "l2.{{right(1,3)}}", "l.12", "l2.12"},
    {"m.*", "m2.{{random(1)}}", "m.x", "m2.0"},
    {"n.*.>", "n2.$1.>", "n.a.b.c", "n2.a.b.c"},
    {"o.*", "o2.$0.$1", "o.x", "o2.o.x"},
    {"p.*", "p2.$x.{{ wildcard( 1 ) }}", "p.x", "p2.$x.x"},
    {"q.*", "q2.pre{{wildcard(1)}}", "q.x", "q2.pre{{wildcard(1)}}"},
    {"r.*", "r2.$1x", "r.x", "r2.$1x"},
    {"s.*.*", "s2.$1", "s.a.b", "s2.a"},
    {"u.*", "u2.{{left(1,0)}}", "u.abc", "u2.abc"},
    {"v", "v2.{{random(1)}}", "v", "v2.0"},
    {"w.*", "w2.{{split(1,ab)}}", "w.1ab2abab3", "w2.1.2.3"},
    {"aa.*", "aa2.{{partition(0,1)}}", "aa.x", "aa2.0"},
    {"aj.*", "aj2.{{splitFromLeft(1,0)}}", "aj.abc", "aj2.abc"},
    {"an.*", "an2.{{random(0)}}", "an.x", "an2.0"},
    {"ao.*", "ao2.$", "ao.x", "ao2.$"},
    {"ax.*", "ax2.{{left(1,-1)}}", "ax.abc", "ax2.abc"},
};

TEST(Transform, AgreesWithNatsServer) {
  Prng prng(1);
  for (const Case& c : kCases) {
    auto t = Transform::parse(c.source, c.destination);
    ASSERT_TRUE(t) << c.destination << " " << t.error().detail;
    std::string out;
    ASSERT_TRUE(t->apply(c.subject, prng, out)) << c.subject;
    EXPECT_EQ(out, c.result) << c.source << " " << c.destination << " " << c.subject;
  }
}

TEST(Transform, LeavesOtherSubjectsAlone) {
  Prng prng(1);
  auto t = Transform::parse("c.*", "z.$1");
  ASSERT_TRUE(t);
  std::string out = "untouched";
  for (std::string_view s : {"c.baz.q", "c", "d.x", "", "c.", "c..x"}) {
    EXPECT_FALSE(t->apply(s, prng, out)) << s;
    EXPECT_FALSE(t->matches(s));
  }
  EXPECT_EQ(out, "untouched");
}

TEST(Transform, OutputMayBeTheInput) {
  Prng prng(1);
  std::string s = "a.b.c";
  auto t = Transform::parse("a.*.*", "$2.$1.a");
  ASSERT_TRUE(t);
  EXPECT_TRUE(t->apply(s, prng, s));
  EXPECT_EQ(s, "c.b.a");
}

TEST(Transform, EmptySourceIsEverything) {
  Prng prng(1);
  auto t = Transform::parse("", "copy.>");
  ASSERT_TRUE(t);
  std::string out;
  EXPECT_TRUE(t->apply("x.y", prng, out));
  EXPECT_EQ(out, "copy.x.y");
  EXPECT_EQ(t->source(), ">");
  EXPECT_FALSE(t->is_constant());
  EXPECT_TRUE(Transform::parse("a", "b")->is_constant());
}

TEST(Transform, NeverMakesAnEmptyToken) {
  Prng prng(1);
  auto t = Transform::parse("f.*", "f2.{{split(1,-)}}");
  ASSERT_TRUE(t);
  std::string out;
  for (std::string_view s : {"f.-", "f.--", "f.-a-", "f.a"}) {
    ASSERT_TRUE(t->apply(s, prng, out));
    EXPECT_TRUE(is_valid_literal(out)) << out;
  }
}

TEST(Transform, RandomStaysBelowItsBound) {
  Prng prng(5);
  auto t = Transform::parse("a", "b.{{random(3)}}");
  ASSERT_TRUE(t);
  std::string out, seen;
  for (int i = 0; i < 200; ++i) {
    ASSERT_TRUE(t->apply("a", prng, out));
    if (seen.find(out.back()) == std::string::npos) seen += out.back();
  }
  std::sort(seen.begin(), seen.end());
  EXPECT_EQ(seen, "012");
}

TEST(Transform, RefusesWhatNatsServerRefuses) {
  const std::pair<std::string_view, std::string_view> cases[] = {
      {"a.*", "b.{{wildcard(2)}}"},
      {"a.*", "b.{{wildcard(0)}}"},
      {"a.*", "b.*"},
      {"a.>", "b"},
      {"a", "b.$1"},
      {"a", "b.>"},
      {"a.*", "b.{{foo(1)}}"},
      {"a.*", "b.{{}}"},
      {"a.*", "b.{{wildcard}}"},
      {"a.*", "b.{{split(1)}}"},
      {"a.*", "b.{{wildcard(1,2)}}"},
      {"a.*", "b.{{partition(3,2)}}"},
      {"a.*", "b.{{wildcard()}}"},
      {"a.*", "b.{{left(1)}}"},
      {"a.*", "b..x"},
      {"a.>", "b.{{wildcard(1)}}.>"},
      {"a.*", "b.{{left(1,x)}}"},
      {"a.*", "b.{{split(1,a b)}}"},
      {"a.*", "b.{{split(1,)}}"},
      {"a.*", "b.{{partition(4294967295,1)}}"},
      {"a.*", "b.{{partition(x,1)}}"},
      {"a.*", "b.{{partition(-1,1)}}"},
      {"a.*", "b.{{left(99999999999999999999,1)}}"},
      {"a.*", "b.$99999"},
      {"a..b", "b"},
      {"a.>.b", "b.>"},
      {"a", ""},
      {"a", "b c"},
      {"a", "b.>.c"},
  };
  for (const auto& [source, destination] : cases) {
    auto t = Transform::parse(source, destination);
    EXPECT_FALSE(t) << source << " " << destination;
    EXPECT_EQ(t ? Code::kIo : t.error().code, Code::kInvalid);
  }
}

TEST(Transform, StrictIsForImports) {
  EXPECT_TRUE(Transform::parse("a.*.*", "b.$2.{{wildcard(1)}}", true));
  EXPECT_TRUE(Transform::parse("a.>", "b.>", true));
  EXPECT_FALSE(Transform::parse("a.*.*", "b.$2", true));
  EXPECT_FALSE(Transform::parse("a.*", "b.{{partition(3,1)}}", true));
  EXPECT_FALSE(Transform::parse("a.*", "b.{{left(1,2)}}", true));
}

}  // namespace
}  // namespace weir::subject
