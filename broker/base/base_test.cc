#include <gtest/gtest.h>

#include <memory>

#include "broker/base/bytes.h"
#include "broker/base/crc32c.h"
#include "broker/base/ids.h"
#include "broker/base/prng.h"
#include "broker/base/result.h"
#include "broker/base/text.h"
#include "broker/base/unique_function.h"
#include "broker/base/varint.h"

namespace weir {
namespace {

Result<int> half(int v) {
  if (v % 2) return {Code::kInvalid, "odd"};
  return v / 2;
}
Result<int> quarter(int v) {
  ASSIGN_OR_RETURN(int h, half(v));
  return half(h);
}

TEST(Result, PropagatesErrors) {
  EXPECT_EQ(*quarter(8), 2);
  EXPECT_EQ(quarter(6).error().detail, "odd");
  EXPECT_EQ(quarter(5).error().to_string(), "invalid: odd");
  EXPECT_EQ(half(3).value_or(-1), -1);
  EXPECT_TRUE(ok().has_value());
}

TEST(Bytes, SlicesShareTheirBlock) {
  BytesBuilder b;
  b.append("hello ");
  b.append_string("world");
  Bytes all = b.freeze();
  EXPECT_TRUE(b.empty());
  EXPECT_EQ(all.size(), 12u);
  Bytes world = all.sub(7, 5);
  EXPECT_EQ(world.data(), all.data() + 7);
  all = Bytes();
  EXPECT_EQ(world.text(), "world");
  EXPECT_EQ(world.sub_of(world.text().substr(1, 2)).text(), "or");
  EXPECT_TRUE(Bytes::copy_of("").empty());
}

TEST(Bytes, BuilderGrowsAndKeepsContent) {
  BytesBuilder b;
  std::string want;
  for (int i = 0; i < 1000; ++i) {
    b.append_varint(static_cast<std::uint64_t>(i) * 977);
    b.append_u8(7);
  }
  Bytes all = b.freeze();
  Reader r(all.span());
  for (int i = 0; i < 1000; ++i) {
    EXPECT_EQ(r.varint(), static_cast<std::uint64_t>(i) * 977);
    EXPECT_EQ(r.u8(), 7);
  }
  EXPECT_TRUE(r.done());
}

TEST(Reader, StopsAtTheEnd) {
  Reader r(
      std::string_view("\x05"
                       "abc"));
  EXPECT_EQ(r.string(), "");
  EXPECT_FALSE(r.ok());
  EXPECT_EQ(r.u64(), 0u);
  std::string eleven(11, '\xff');
  Reader too_long{std::string_view(eleven)};
  too_long.varint();
  EXPECT_FALSE(too_long.ok());
}

TEST(Varint, RoundTrip) {
  for (std::uint64_t v : {0ull, 1ull, 127ull, 128ull, 1ull << 32, ~0ull, ~0ull >> 1}) {
    std::uint8_t tmp[kVarintMax];
    std::size_t n = put_varint(tmp, v);
    Reader r(ByteSpan(tmp, n));
    EXPECT_EQ(r.varint(), v);
    EXPECT_TRUE(r.done());
    auto s = static_cast<std::int64_t>(v);
    EXPECT_EQ(unzigzag(zigzag(s)), s);
  }
}

TEST(Crc32c, KnownVectorsAndAgreement) {
  EXPECT_EQ(crc32c(as_span("123456789")), 0xe3069283u);
  EXPECT_EQ(crc32c(as_span(std::string(32, '\0'))), 0x8a9136aau);
  Prng prng(1);
  std::string s;
  for (int i = 0; i < 300; ++i) {
    EXPECT_EQ(crc32c(as_span(s)), crc32c_portable(as_span(s)));
    s += static_cast<char>(prng.next());
  }
  EXPECT_EQ(crc32c(as_span("456789"), crc32c(as_span("123"))), crc32c(as_span("123456789")));
}

TEST(UniqueFunction, MovesSmallAndLarge) {
  auto p = std::make_unique<int>(5);
  UniqueFunction<int(int)> f = [q = std::move(p)](int v) { return *q + v; };
  UniqueFunction<int(int)> g = std::move(f);
  EXPECT_FALSE(f);
  EXPECT_EQ(g(2), 7);
  std::string big[4] = {"a", "b", "c", "d"};
  UniqueFunction<int(int)> h = [big](int v) { return static_cast<int>(big[3].size()) + v; };
  g = std::move(h);
  EXPECT_EQ(g(1), 2);
}

TEST(Text, Durations) {
  EXPECT_EQ(parse_duration("1h2m3s"), kHour + 2 * kMinute + 3 * kSecond);
  EXPECT_EQ(parse_duration("250ms"), 250 * kMillisecond);
  EXPECT_EQ(parse_duration("1.5s"), 1500 * kMillisecond);
  EXPECT_EQ(parse_duration("-2m"), -2 * kMinute);
  EXPECT_EQ(parse_duration("0"), 0);
  for (auto bad : {"", "5", "s", "1x", "1.s.", "h", "99999999999h"}) EXPECT_FALSE(parse_duration(bad)) << bad;
  EXPECT_EQ(format_duration(kHour + kSecond), "1h0m1s");
  EXPECT_EQ(format_duration(1500 * kMicrosecond), "1.5ms");
  EXPECT_EQ(format_duration(30 * kSecond), "30s");
  EXPECT_EQ(format_uptime(90061 * kSecond), "1d1h1m1s");
}

TEST(Text, Times) {
  EXPECT_EQ(format_time(Wall{0}), "0001-01-01T00:00:00Z");
  EXPECT_EQ(format_time(Wall{1'700'000'000'120'000'000}), "2023-11-14T22:13:20.12Z");
  EXPECT_EQ(parse_time("2023-11-14T22:13:20.12Z")->ns, 1'700'000'000'120'000'000);
  EXPECT_EQ(parse_time("2023-11-14T23:13:20.12+01:00")->ns, 1'700'000'000'120'000'000);
  EXPECT_EQ(parse_time("0001-01-01T00:00:00Z")->ns, 0);
  for (auto bad : {"", "2023", "2023-13-14T22:13:20Z", "2023-11-14T22:13:20", "2023-11-14T22:13:20.Z"}) {
    EXPECT_FALSE(parse_time(bad)) << bad;
  }
}

TEST(Text, Base64) {
  for (std::string s : {"", "f", "fo", "foo", "foob", "\xff\xfe\xfd"})
    EXPECT_EQ(base64_decode(base64_encode(s)), s);
  EXPECT_EQ(base64_encode("foob"), "Zm9vYg==");
  for (auto bad : {"a", "a===", "ab=c", "ab!="}) EXPECT_FALSE(base64_decode(bad)) << bad;
}

TEST(Ids, KindsDoNotMix) {
  StreamSeq a(5);
  EXPECT_EQ((a + 2).v, 7u);
  EXPECT_EQ(a - StreamSeq(2), 3u);
  static_assert(!std::is_convertible_v<StreamSeq, RaftIndex>);
  Prng p(3);
  EXPECT_EQ(make_nuid(p).size(), 22u);
  EXPECT_EQ(make_id(p, 'N').substr(0, 1), "N");
}

}  // namespace
}  // namespace weir
