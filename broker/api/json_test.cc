#include <gtest/gtest.h>

#include "broker/api/json_reader.h"
#include "broker/api/json_value.h"
#include "broker/api/json_writer.h"
#include "broker/base/prng.h"

namespace weir::api {
namespace {

std::string error_of(std::string_view text) {
  auto parsed = parse_json(text);
  const auto* e = std::get_if<JsonError>(&parsed);
  return e ? e->text : "";
}

TEST(JsonValue, AllKinds) {
  auto parsed = parse_json(R"( {"a":[1,-2,3.5,true,null,"x"],"b":{"c":18446744073709551615}} )");
  const auto& v = std::get<JsonValue>(parsed);
  const auto& a = *v.find("a")->array();
  ASSERT_EQ(a.size(), 6u);
  EXPECT_EQ(*a[0].unsigned_(), 1u);
  EXPECT_EQ(*a[1].negative(), -2);
  EXPECT_EQ(*a[2].real(), 3.5);
  EXPECT_EQ(*a[3].boolean(), true);
  EXPECT_TRUE(a[4].is_null());
  EXPECT_EQ(*a[5].string(), "x");
  EXPECT_EQ(*v.find("b")->find("c")->unsigned_(), 18446744073709551615u);
  EXPECT_EQ(v.find("none"), nullptr);
}

TEST(JsonValue, RefusesWhatIsNoJson) {
  for (const char* text : {"", "  ", "{", "}", "{\"a\"", "{\"a\":}", "[1,]", "{\"a\":1}x", "nul", "'a'",
                           "{a:1}", "\"\xff\"", "01", "1e", "\"\\x\"", "[1 2]"}) {
    EXPECT_NE(error_of(text), "") << text;
  }
}

TEST(JsonValue, CutAnywhereItIsAnErrorOrAValue) {
  const std::string text = R"({"name":"S","subjects":["a.>","b"],"max_msgs":-1,"m":{"k":"\u00e9"}})";
  EXPECT_EQ(error_of(text), "");
  for (std::size_t n = 0; n < text.size(); ++n) EXPECT_NE(error_of(text.substr(0, n)), "") << n;
}

TEST(JsonValue, DepthSizeAndCountAreBounded) {
  const auto nested = [](std::size_t n) { return std::string(n, '[') + std::string(n, ']'); };
  EXPECT_EQ(error_of(nested(kJsonDepthMax)), "");
  EXPECT_EQ(error_of(nested(kJsonDepthMax + 1)), "exceeded max depth");
  EXPECT_NE(error_of(std::string(1'000'000, '[')), "");
  EXPECT_NE(error_of(std::string(1'000'000, '{')), "");
  std::string deep;
  for (int i = 0; i < 100'000; ++i) deep += "{\"a\":";
  EXPECT_EQ(error_of(deep), "exceeded max depth");
  EXPECT_EQ(error_of(std::string(kJsonBytesMax + 1, ' ')), "text too long");
  std::string many = "[0";
  for (std::size_t i = 0; i < kJsonValuesMax; ++i) many += ",0";
  EXPECT_EQ(error_of(many + "]"), "too many values");
}

TEST(JsonValue, RandomDamageNeverHarms) {
  const std::string good = R"({"a":[1,-2,3.5e10,true,null,"x\n\u0041"],"b":{"c":{"d":[[[]]]}}})";
  Prng prng(7);
  for (int i = 0; i < 20'000; ++i) {
    auto text = good;
    for (int k = 0; k < 3; ++k) text[prng.next() % text.size()] = static_cast<char>(prng.next());
    auto parsed = parse_json(text);
    if (const auto* e = std::get_if<JsonError>(&parsed)) {
      EXPECT_FALSE(e->text.empty());
    }
  }
}

struct Fields {
  std::string text;
  bool flag = false;
  std::int64_t number = 5;
  std::uint64_t count = 0;
  std::int32_t small = 0;
  std::vector<std::string> list;
  std::optional<Wall> time;
};

Decoded<Fields> read(std::string_view json, Strictness s = Strictness::kStrict) {
  return decode_object<Fields>(json, s, [](ObjectReader& r, Fields& f) {
    r.field("text", f.text);
    r.field("flag", f.flag);
    r.field("number", f.number);
    r.field("count", f.count);
    r.field("small", f.small);
    r.field("list", f.list);
    r.field("time", f.time);
  });
}

std::string read_error(std::string_view json, Strictness s = Strictness::kStrict) {
  auto decoded = read(json, s);
  const auto* e = std::get_if<ApiError>(&decoded);
  if (!e) return "";
  EXPECT_EQ(e->err_code, ErrCode::kInvalidJSON);
  return e->description;
}

TEST(ObjectReader, ReadsAndKeepsDefaults) {
  auto f = std::get<Fields>(read(R"({"TEXT":"a","text":"b","flag":true,"list":["x",null],"number":null})"));
  EXPECT_EQ(f.text, "b");
  EXPECT_TRUE(f.flag);
  EXPECT_EQ(f.number, 5);
  EXPECT_EQ(f.list, (std::vector<std::string>{"x", ""}));
  EXPECT_EQ(std::get<Fields>(read("null")).number, 5);
  EXPECT_FALSE(std::get<Fields>(read(R"({"time":"0001-01-01T00:00:00Z"})")).time);
  EXPECT_EQ(std::get<Fields>(read(R"({"time":"1970-01-01T00:00:01Z"})")).time->ns, kSecond);
}

TEST(ObjectReader, RefusesWrongTypes) {
  EXPECT_EQ(read_error(R"({"text":5})"),
            "invalid JSON: json: cannot unmarshal number into field text of type string");
  for (const char* json :
       {R"({"flag":1})", R"({"flag":"true"})", R"({"number":"1"})", R"({"number":1.0})", R"({"number":1e3})",
        R"({"number":9223372036854775808})", R"({"count":-1})", R"({"small":2147483648})",
        R"({"small":-2147483649})", R"({"list":"a"})", R"({"list":[1]})", R"({"time":5})",
        R"({"time":"yesterday"})", R"([])", R"("x")", R"(5)", R"({"text":{}})"}) {
    EXPECT_NE(read_error(json), "") << json;
  }
}

TEST(ObjectReader, UnknownFields) {
  EXPECT_EQ(read_error(R"({"bogus":1})"), "invalid JSON: json: unknown field \"bogus\"");
  EXPECT_EQ(read_error(R"({"bogus":1})", Strictness::kLenient), "");
  const std::string longest(1000, 'x');
  EXPECT_LT(read_error("{\"" + longest + "\":1}").size(), 150u);
}

std::string json_text(std::string_view s) {
  std::string out;
  append_json_string(out, s);
  return out;
}

TEST(JsonWriter, EscapesAndRepairs) {
  EXPECT_EQ(json_text("a\"b\\c\n\r\t\x01"), R"("a\"b\\c\n\r\t\u0001")");
  EXPECT_EQ(json_text("é€😀"), "\"é€😀\"");
  EXPECT_EQ(json_text("a\xff\xc3"), R"("a\ufffd\ufffd")");
  EXPECT_EQ(json_text("\xc0\x80"), R"("\ufffd\ufffd")");            // overlong
  EXPECT_EQ(json_text("\xed\xa0\x80"), R"("\ufffd\ufffd\ufffd")");  // surrogate
  EXPECT_EQ(json_text("\xf4\x90\x80\x80"), R"("\ufffd\ufffd\ufffd\ufffd")");
}

TEST(JsonWriter, AnyBytesGiveValidJson) {
  Prng prng(3);
  for (int i = 0; i < 5'000; ++i) {
    std::string bytes;
    for (int k = 0; k < 12; ++k) bytes += static_cast<char>(prng.next());
    EXPECT_EQ(error_of(json_text(bytes)), "");
  }
}

TEST(JsonWriter, Shapes) {
  std::string out;
  JsonWriter w(out);
  w.begin_object();
  w.field("a", std::int64_t{-1});
  w.field_if("no", "");
  w.field_if("no", false);
  w.field_if("no", std::uint64_t{0});
  w.begin_array("b");
  w.begin_object();
  w.end_object();
  w.value(true);
  w.null();
  w.end_array();
  w.field("t", Wall{kSecond});
  w.field("d", 0.5);
  w.field("z", Wall{});
  w.end_object();
  EXPECT_EQ(out,
            R"({"a":-1,"b":[{},true,null],"t":"1970-01-01T00:00:01Z","d":0.5,"z":"0001-01-01T00:00:00Z"})");
}

}  // namespace
}  // namespace weir::api
