#include "broker/config/conf_parser.h"

#include <gtest/gtest.h>

#include "broker/config/conf_lexer.h"
#include "broker/config/testing_source.h"

namespace weir::config {
namespace {

struct Parse : ::testing::Test {
  MapSource source;

  std::string json(std::string_view text) {
    auto tree = parse_text(text, "f.conf", source);
    if (!tree) return tree.error().detail;
    std::string out = canonical_json(tree->root);
    out.pop_back();
    return out;
  }
};

TEST_F(Parse, SeparatorsAndTerminators) {
  EXPECT_EQ(json("a: 1\nb = 2\nc 3"), R"({"a":1,"b":2,"c":3})");
  EXPECT_EQ(json("a: 1; b: 2, c: 3"), R"({"a":1,"b":2,"c":3})");
  EXPECT_EQ(json("a:1"), R"({"a":1})");
  EXPECT_EQ(json("a :    1"), R"({"a":1})");
  EXPECT_EQ(json("'a b': 1\n\"c\": 2"), R"({"a b":1,"c":2})");
  EXPECT_EQ(json("m { x: 1 }"), R"({"m":{"x":1}})");
  EXPECT_EQ(json("m\n{\nx: 1;\n}\n"), R"({"m":{"x":1}})");
  EXPECT_EQ(json("m {\n x:\n\n 1\n}"), R"({"m":{"x":1}})");
  EXPECT_EQ(json("a: 1\r\nb: x\r\n"), R"({"a":1,"b":"x"})");
}

TEST_F(Parse, JsonForm) {
  EXPECT_EQ(json(R"({"jetstream": true, "a": [1, "x", {"b": null_}], })"),
            R"({"a":[1,"x",{"b":"null_"}],"jetstream":true})");
  EXPECT_EQ(json("{\"a\": 1\n, \"b\": 2}"), R"({"a":1,"b":2})");
  EXPECT_EQ(json("{a: 1} b: 2"), R"({"a":1,"b":2})");
}

TEST_F(Parse, ByteOrderMarkAndEmptiness) {
  EXPECT_EQ(json("\xEF\xBB\xBFport: 1"), R"({"port":1})");
  EXPECT_EQ(json(""), "{}");
  EXPECT_EQ(json("# only a comment"), "{}");
  EXPECT_EQ(json("// one\n\n  # two\n"), "{}");
}

TEST_F(Parse, Arrays) {
  EXPECT_EQ(json("a: [x, y,]"), R"({"a":["x","y"]})");
  EXPECT_EQ(json("a: [\n x\n\n y # c\n // d\n z ]"), R"({"a":["x","y","z"]})");
  EXPECT_EQ(json("a: [1,[2],{b: [3]}]"), R"({"a":[1,[2],{"b":[3]}]})");
  EXPECT_EQ(json("a: []"), R"({"a":[]})");
  for (auto bad : {"a: [,]", "a: [x,,y]", "a: [x y]", "a: [x; y]", "a: [x", "a: [\"x\" \"y\"]", "a: [x}y]"}) {
    EXPECT_NE(json(bad).find("Parse error on line 1"), std::string::npos) << bad;
  }
}

TEST_F(Parse, StringsAndEscapes) {
  EXPECT_EQ(json(R"(a: "t\tn\nq\"b\\x\x41")"), R"({"a":"t\tn\nq\"b\\xA"})");
  EXPECT_EQ(json(R"(a: b\x41c)"), R"({"a":"bAc"})");
  EXPECT_EQ(json(R"(a: 'raw\t')"), R"({"a":"raw\\t"})");
  EXPECT_EQ(json("a: \"two\nlines\""), R"({"a":"two\nlines"})");
  EXPECT_EQ(json("a: nats://127.0.0.1:6222"), R"({"a":"nats://127.0.0.1:6222"})");
  EXPECT_EQ(json("a: abc#def"), R"({"a":"abc#def"})");
  EXPECT_EQ(json("a: abc # def"), R"({"a":"abc"})");
  EXPECT_EQ(json("a: A.>"), R"({"a":"A.\u003e"})");
  EXPECT_EQ(json("a: (\nx\n y)\n)\n"), "{\"a\":\"\\nx\\n y)\\n\"}");
  EXPECT_EQ(json("a: (\n)"), "{\"a\":\"\\n\"}");
  EXPECT_EQ(json("a: (x\n )\n)b\n)\nc: 1"), "{\"a\":\"x\\n )\\n)b\\n\",\"c\":1}");
  for (auto bad :
       {R"(a: "\q")", R"(a: x\q)", R"(a: "\x4")", "a: \"x", "a: 'x", "a: (x)", "\"a: 1", "a: x\\"}) {
    EXPECT_NE(json(bad).find("Parse error on line 1"), std::string::npos) << bad;
  }
}

TEST_F(Parse, Booleans) {
  EXPECT_EQ(json("a: true, b: YES, c: On, d: false, e: no, f: OFF, g: 'true', h: truely"),
            R"({"a":true,"b":true,"c":true,"d":false,"e":false,"f":false,"g":"true","h":"truely"})");
}

TEST_F(Parse, NumbersAndSizes) {
  EXPECT_EQ(json("a: 0, b: -5, c: 007"), R"({"a":0,"b":-5,"c":7})");
  EXPECT_EQ(json("a: 1k, b: 1kb, c: 1KiB, d: 1Ki, e: 2m, f: 1G, g: 1GB, h: 1tib, i: 1p, j: 1eb"),
            R"({"a":1000,"b":1024,"c":1024,"d":1024,"e":2000000,"f":1000000000,"g":1073741824,)"
            R"("h":1099511627776,"i":1000000000000000,"j":1152921504606846976})");
  EXPECT_EQ(json("a: 0.5, b: -1.25"), R"({"a":0.5,"b":-1.25})");
  EXPECT_EQ(json("a: 10s, b: 500ms, c: 127.0.0.1:4222, d: 1.2.3, e: 0x10, f: 4kbx, g: 1e5"),
            R"({"a":"10s","b":"500ms","c":"127.0.0.1:4222","d":"1.2.3","e":"0x10","f":"4kbx","g":"1e5"})");
  for (auto bad : {"a: -", "a: -x", "a: 1.", "a: .5", "a: -5a", "a: 99999999999999999999", "a: 99999999eb"}) {
    EXPECT_NE(json(bad).find("Parse error on line 1"), std::string::npos) << bad;
  }
}

TEST_F(Parse, Datetimes) {
  EXPECT_EQ(json("a: 2024-02-29T01:02:03Z"), R"({"a":"2024-02-29T01:02:03Z"})");
  auto v = classify_number("1970-01-02T00:00:00Z");
  ASSERT_TRUE(v.has_value());
  EXPECT_EQ(v->kind, Value::Kind::kTime);
  EXPECT_EQ(v->integer, 86400);
  for (auto bad :
       {"2024-01-01", "2024-01-01T00:00:00", "2024-01-01T00:00:00+01:00", "2024-13-01T00:00:00Z"}) {
    EXPECT_FALSE(classify_number(bad).has_value()) << bad;
  }
}

TEST_F(Parse, NewlineRule) {
  EXPECT_EQ(json("a:\n1"), "f.conf:2:1: Parse error on line 2: 'Expected value but found new line'");
  EXPECT_EQ(json("a\n1"), R"({"a":1})");
}

TEST_F(Parse, SyntaxErrorsCarryTheirPlace) {
  EXPECT_EQ(
      json("a: 1\nb: 2 c: 3").rfind("f.conf:2:6: Parse error on line 2: 'Expected a top-level value", 0), 0u);
  EXPECT_EQ(json("a: 1\n: 2"), "f.conf:2:1: Parse error on line 2: 'Unexpected key separator ':''");
  for (auto bad : {"a", "a: ", "{a: 1", "m {a: 1", "m {a 1 b 2}", "m {a: , b: 1}", "m {a: }", "[x]",
                   "a: b: c", "/ x", ",a: 1", "m {a: 1,, b: 2}", "a: ]"}) {
    EXPECT_NE(json(bad).find("Parse error on line 1"), std::string::npos) << bad << " " << json(bad);
  }
}

TEST_F(Parse, StrayBraceIsAWarning) {
  auto tree = parse_text("a: 1\n}\nb: 2", "f.conf", source);
  ASSERT_TRUE(tree.has_value());
  ASSERT_EQ(tree->warnings.size(), 1u);
  EXPECT_EQ(tree->warnings[0].to_string(), "f.conf:2:1: this '}' closes nothing and is ignored");
}

TEST_F(Parse, DuplicateKeysLastWins) {
  EXPECT_EQ(json("a: 1\nb: 2\na: 3"), R"({"a":3,"b":2})");
}

TEST_F(Parse, Variables) {
  EXPECT_EQ(json("A: 3\nb: $A"), R"({"A":3,"b":3})");
  EXPECT_EQ(json("A: 3\nm {b: $A, A: 4, c: $A}"), R"({"A":3,"m":{"A":4,"b":3,"c":4}})");
  EXPECT_EQ(json("A: {p: [1]}\nb: [$A, $A]"), R"({"A":{"p":[1]},"b":[{"p":[1]},{"p":[1]}]})");
  EXPECT_EQ(json("a: \"$A\"\nb: pre$A\nc: '$A'"), R"({"a":"$A","b":"pre$A","c":"$A"})");
  EXPECT_EQ(json("a: $2a$11$abc"), R"({"a":"$2a$11$abc"})");
  EXPECT_EQ(json("x: 1\nb: $A"), "f.conf:2:4: variable reference for 'A' on line 2 can not be found");
  for (auto bad : {"b: $A\nA: 1", "m {A: 1}\nb: $A", "a: 1\nb: $A", "A: $A", "b: $", "b: $2b$11$x"}) {
    EXPECT_NE(json(bad).find("f.conf:"), std::string::npos) << bad;
  }
}

TEST_F(Parse, UsedVariablesAreMarked) {
  auto tree = parse_text("A: 1\nB: 2\nc: $A", "f.conf", source);
  ASSERT_TRUE(tree.has_value());
  EXPECT_TRUE(tree->root.find("A")->used_as_variable);
  EXPECT_FALSE(tree->root.find("B")->used_as_variable);
}

TEST_F(Parse, EnvironmentIsReparsed) {
  source.variables = {{"N", "42"},        {"B", "true"},    {"L", "[x, 1]"}, {"S", "nats-0"},
                      {"E", ""},          {"I", "$N"},      {"C1", "$C2"},   {"C2", "$C1"},
                      {"W", "two words"}, {"D", "\"10s\""}, {"M", "{a: $N}"}};
  EXPECT_EQ(json("a: $N, b: $B, c: $L, d: $S, e: $E, f: $I, g: $D, h: $M"),
            R"({"a":42,"b":true,"c":["x",1],"d":"nats-0","e":"","f":42,"g":"10s","h":{"a":42}})");
  EXPECT_EQ(json("N: 1\na: $N"), R"({"N":1,"a":1})");
  EXPECT_EQ(json("a: $C1"), "f.conf:1:4: variable reference cycle for 'C1'");
  EXPECT_NE(json("a: $W").find("is not one configuration value"), std::string::npos);
}

TEST_F(Parse, IncludesAreRelativeToTheIncludingFile) {
  source.files = {{"/etc/w/main.conf", "a: 1\ninclude sub/b.conf\nm { include 'c.conf' }\nz: $B"},
                  {"/etc/w/sub/b.conf", "a: 2\nB: 5\ninclude \"d.conf\""},
                  {"/etc/w/sub/d.conf", "d: 4"},
                  {"/etc/w/c.conf", "{c: 3}"}};
  auto tree = parse_file("/etc/w/main.conf", source);
  ASSERT_TRUE(tree.has_value()) << tree.error().detail;
  EXPECT_EQ(canonical_json(tree->root), "{\"B\":5,\"a\":2,\"d\":4,\"m\":{\"c\":3},\"z\":5}\n");
  EXPECT_EQ(tree->root.find("d")->at.to_string(), "/etc/w/sub/d.conf:1:1");
}

TEST_F(Parse, IncludeErrors) {
  EXPECT_EQ(json("a: 1\ninclude no.conf"),
            "f.conf:2:1: error parsing include file 'no.conf', open no.conf: no such file or directory");
  source.files["loop.conf"] = "include loop.conf";
  EXPECT_NE(json("include loop.conf").find("nested too deeply"), std::string::npos);
  source.files["bad.conf"] = "a: 1\nb: [";
  EXPECT_EQ(json("include bad.conf").rfind("bad.conf:2:5: Parse error on line 2", 0), 0u);
  EXPECT_EQ(json("include: x"), R"({"include":"x"})");
  EXPECT_NE(json("include ").find("f.conf:1:"), std::string::npos);
}

TEST_F(Parse, LimitsAreErrors) {
  std::string deep = "a: " + std::string(100'000, '[');
  EXPECT_NE(json(deep).find("nested too deeply"), std::string::npos);
  std::string maps;
  for (int i = 0; i < 1000; ++i) maps += "a {";
  EXPECT_NE(json(maps).find("nested too deeply"), std::string::npos);
  // Variables that double: 2^40 values if they were all made.
  std::string bomb = "a0: [x, x]\n";
  for (int i = 1; i < 40; ++i) {
    std::string p = "$a" + std::to_string(i - 1);
    bomb += "a" + std::to_string(i) + ": [" + p + ", " + p + "]\n";
  }
  EXPECT_NE(json(bomb).find("too many values"), std::string::npos);
  std::string fat = "b0: \"" + std::string(1 << 20, 'x') + "\"\n";
  for (int i = 1; i < 20; ++i) {
    std::string p = "$b" + std::to_string(i - 1);
    fat += "b" + std::to_string(i) + ": [" + p + ", " + p + "]\n";
  }
  EXPECT_NE(json(fat).find("too much text"), std::string::npos);
  ConfLimits small;
  small.file_bytes_max = 3;
  EXPECT_FALSE(parse_text("a: 1", "f", source, small).has_value());
}

TEST_F(Parse, EveryPrefixOfAFileIsAnAnswer) {
  std::string text =
      "port: 4222 # c\njetstream { store_dir: '/d', max_mem: 1G }\n"
      "a: [1, \"x\\n\", (\nblock\n)\n, $P] // e\nlast: 2024-01-01T00:00:00Z\n";
  source.variables["P"] = "1.5";
  EXPECT_EQ(json(text)[0], '{');
  for (std::size_t n = 0; n <= text.size(); ++n) EXPECT_FALSE(json(text.substr(0, n)).empty());
}

TEST_F(Parse, CanonicalJsonLikeGo) {
  EXPECT_EQ(json("a: \"<&>\\x01\\x7f\\xff\""), "{\"a\":\"\\u003c\\u0026\\u003e\\u0001\x7f\\ufffd\"}");
  EXPECT_EQ(json("a: \"\xE2\x80\xA8\xC3\xA9\""), "{\"a\":\"\\u2028\xC3\xA9\"}");
  EXPECT_EQ(json("a: 0.0000001\nb: 1234567.5"), R"({"a":1e-7,"b":1234567.5})");
}

}  // namespace
}  // namespace weir::config
