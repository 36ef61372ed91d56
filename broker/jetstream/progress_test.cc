#include "broker/jetstream/progress.h"

#include <gtest/gtest.h>

#include <string>

#include "broker/base/prng.h"

namespace weir::jetstream {
namespace {

SeqRange range(std::uint64_t a, std::uint64_t b) {
  return {StreamSeq(a), StreamSeq(b)};
}

Progress sample() {
  Progress p;
  p.epoch = 2;
  p.delivered_cseq = ConsumerSeq(1005);
  p.delivered_sseq = StreamSeq(2010);
  p.scanned = StreamSeq(2020);
  p.delivered = {{ConsumerSeq(1), StreamSeq(1), 1000}, {ConsumerSeq(1003), StreamSeq(2008), 3}};
  p.redelivered = {{StreamSeq(4), 1}, {StreamSeq(5), 3}};
  p.touched = {range(6, 6)};
  p.exceeded = {range(7, 8)};
  p.acked = {range(9, 900), range(902, 1000)};
  p.termed = {range(901, 901)};
  p.naks = 4;
  return p;
}

std::string hex(const std::string& s) {
  std::string out;
  for (char c : s) {
    const char* digits = "0123456789abcdef";
    auto b = static_cast<unsigned char>(c);
    out += digits[b >> 4];
    out += digits[b & 15];
  }
  return out;
}

TEST(Progress, Golden) {
  std::string body;
  encode_progress(sample(), body);
  EXPECT_EQ(hex(body),
            "017f02ed07da0f0a"    // version, all sections, epoch, positions
            "020101e70702ef0702"  // delivered: 1000 from (1,1), 3 from (1003,2008)
            "0204010003"          // redelivered
            "010600"              // touched
            "010701"              // exceeded
            "0209fb060162"        // acked
            "01850700"            // terminated
            "04");                // naks
}

TEST(Progress, RoundTrip) {
  std::string body;
  encode_progress(sample(), body);
  Progress back;
  ASSERT_TRUE(decode_progress(body, back));
  EXPECT_EQ(back, sample());
}

TEST(Progress, LongRunsAreSmall) {
  Progress p;
  p.delivered_cseq = ConsumerSeq(1'000'000);
  p.delivered_sseq = p.scanned = StreamSeq(1'000'000);
  p.delivered = {{ConsumerSeq(1), StreamSeq(1), 1'000'000}};
  p.acked = {range(1, 1'000'000)};
  std::string body;
  encode_progress(p, body);
  EXPECT_LT(body.size(), 32u);
}

TEST(Progress, EveryCutIsRefused) {
  std::string body;
  encode_progress(sample(), body);
  Progress back;
  for (std::size_t n = 0; n < body.size(); ++n)
    EXPECT_FALSE(decode_progress(std::string_view(body).substr(0, n), back)) << n;
  EXPECT_FALSE(decode_progress(body + '\0', back));
}

TEST(Progress, UnknownVersionAndSectionAreRefused) {
  std::string body;
  encode_progress(sample(), body);
  Progress back;
  std::string bad = body;
  bad[0] = 2;
  EXPECT_FALSE(decode_progress(bad, back));
  bad = body;
  bad[1] = static_cast<char>(0xff);
  EXPECT_FALSE(decode_progress(bad, back));
}

TEST(Progress, WrappingSumsAreRefused) {
  const std::string huge = "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01";
  std::string head("\x01\x10\x00\x00\x00\x00", 6);  // acked only
  Progress back;
  EXPECT_FALSE(decode_progress(head + "\x01" + huge + std::string(1, '\0'), back));
  EXPECT_FALSE(decode_progress(head + "\x01\x01" + huge, back));
  std::string delivered("\x01\x01\x00\x00\x00\x00", 6);
  EXPECT_FALSE(decode_progress(delivered + "\x01\x01\x01" + huge, back));
  EXPECT_FALSE(decode_progress(head + huge, back));  // a count beyond the body
}

TEST(Progress, RandomBytesDoNoHarm) {
  Prng prng(3);
  std::string good;
  encode_progress(sample(), good);
  Progress back;
  for (int i = 0; i < 20000; ++i) {
    std::string bad = good;
    for (std::uint64_t n = prng.between(1, 3); n > 0; --n)
      bad[prng.below(bad.size())] = static_cast<char>(prng.below(256));
    if (!decode_progress(bad, back)) continue;
    for (std::size_t k = 1; k < back.acked.size(); ++k)
      EXPECT_GT(back.acked[k].first, back.acked[k - 1].last);
  }
}

TEST(Progress, AppendSeqJoins) {
  std::vector<SeqRange> r;
  for (std::uint64_t s : {3u, 4u, 5u, 8u}) append_seq(r, StreamSeq(s));
  EXPECT_EQ(r, (std::vector<SeqRange>{range(3, 5), range(8, 8)}));
}

}  // namespace
}  // namespace weir::jetstream
