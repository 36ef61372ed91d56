#include "broker/jetstream/consumer_state.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "broker/base/prng.h"

namespace weir::jetstream {
namespace {

constexpr Wall kTime{1'700'000'000'000'000'000};

api::ConsumerConfig config(api::AckPolicy ack = api::AckPolicy::kExplicit) {
  api::ConsumerConfig c;
  c.durable_name = "c";
  c.ack_policy = ack;
  c.ack_wait = 30 * kSecond;
  c.max_deliver = -1;
  c.max_ack_pending = 1000;
  return c;
}

ConsumerState fresh(api::AckPolicy ack = api::AckPolicy::kExplicit, std::uint64_t first = 1) {
  ConsumerStart start;
  start.first = StreamSeq(first);
  return ConsumerState(7, "c", config(ack), kTime, start);
}

Progress deliver(std::uint64_t cseq, std::uint64_t sseq, std::uint64_t n) {
  Progress p;
  p.delivered = {{ConsumerSeq(cseq), StreamSeq(sseq), n}};
  p.delivered_cseq = ConsumerSeq(cseq + n - 1);
  p.delivered_sseq = p.scanned = StreamSeq(sseq + n - 1);
  return p;
}

std::string coded(const Progress& p) {
  std::string out;
  encode_progress(p, out);
  return out;
}

Status apply(ConsumerState& s, const Progress& p, std::vector<SeqRange>* finished = nullptr) {
  std::vector<SeqRange> mine;
  return s.apply_progress(coded(p), kTime + kSecond, finished ? *finished : mine);
}

/// A record that changes nothing but lists, at the state's own positions.
Progress here(const ConsumerState& s) {
  Progress p;
  p.epoch = s.epoch();
  p.delivered_cseq = s.delivered().consumer;
  p.delivered_sseq = s.delivered().stream;
  p.scanned = s.scanned();
  return p;
}

SeqPair pair(std::uint64_t c, std::uint64_t s) {
  return {ConsumerSeq(c), StreamSeq(s)};
}
std::vector<SeqRange> ranges(std::initializer_list<std::pair<std::uint64_t, std::uint64_t>> list) {
  std::vector<SeqRange> out;
  for (auto [a, b] : list) out.push_back({StreamSeq(a), StreamSeq(b)});
  return out;
}

TEST(ConsumerState, StartsBelowItsFirst) {
  ConsumerState s = fresh(api::AckPolicy::kExplicit, 5);
  EXPECT_EQ(s.delivered(), pair(0, 4));
  EXPECT_EQ(s.ack_floor(), pair(0, 4));
  EXPECT_TRUE(s.needs(StreamSeq(5)));
  EXPECT_FALSE(s.needs(StreamSeq(4)));
}

TEST(ConsumerState, DeliversAndAcks) {
  ConsumerState s = fresh();
  ASSERT_TRUE(apply(s, deliver(1, 1, 10)));
  EXPECT_EQ(s.num_ack_pending(), 10u);
  EXPECT_EQ(s.ack_floor(), pair(0, 0));
  Progress p = here(s);
  p.acked = ranges({{1, 2}, {5, 6}});
  std::vector<SeqRange> finished;
  ASSERT_TRUE(apply(s, p, &finished));
  EXPECT_EQ(finished, ranges({{1, 2}, {5, 6}}));
  EXPECT_EQ(s.ack_floor(), pair(2, 2));
  EXPECT_FALSE(s.needs(StreamSeq(5)));
  EXPECT_TRUE(s.needs(StreamSeq(3)));
  p.acked = ranges({{1, 10}});
  ASSERT_TRUE(apply(s, p, &finished));
  EXPECT_EQ(finished, ranges({{3, 4}, {7, 10}}));
  EXPECT_EQ(s.ack_floor(), pair(10, 10));
  EXPECT_EQ(s.last_acked(), kTime + kSecond);
}

TEST(ConsumerState, AckNoneFinishesOnDelivery) {
  ConsumerState s = fresh(api::AckPolicy::kNone);
  std::vector<SeqRange> finished;
  ASSERT_TRUE(apply(s, deliver(1, 3, 4), &finished));
  EXPECT_EQ(finished, ranges({{3, 6}}));
  EXPECT_EQ(s.ack_floor(), pair(4, 6));
  EXPECT_EQ(s.num_ack_pending(), 0u);
}

TEST(ConsumerState, ExceededStaysNeededUntilAcked) {
  ConsumerState s = fresh();
  ASSERT_TRUE(apply(s, deliver(1, 1, 2)));
  Progress p = here(s);
  p.exceeded = ranges({{1, 1}});
  ASSERT_TRUE(apply(s, p));
  EXPECT_EQ(s.num_ack_pending(), 1u);
  EXPECT_EQ(s.num_redelivered(), 1u);
  EXPECT_TRUE(s.needs(StreamSeq(1)));
  p = here(s);
  p.acked = ranges({{1, 1}});
  std::vector<SeqRange> finished;
  ASSERT_TRUE(apply(s, p, &finished));
  EXPECT_EQ(finished, ranges({{1, 1}}));
  EXPECT_FALSE(s.needs(StreamSeq(1)));
}

TEST(ConsumerState, CountsRedeliveries) {
  ConsumerState s = fresh();
  ASSERT_TRUE(apply(s, deliver(1, 1, 3)));
  Progress p = here(s);
  p.delivered_cseq = ConsumerSeq(6);
  p.redelivered = {{StreamSeq(1), 2}, {StreamSeq(3), 1}, {StreamSeq(99), 1}};
  ASSERT_TRUE(apply(s, p));
  EXPECT_EQ(s.num_redelivered(), 2u);
  EXPECT_EQ(s.pending().find(StreamSeq(1))->deliveries, 3u);
  EXPECT_EQ(s.delivered(), pair(6, 3));
}

TEST(ConsumerState, RefusesWhatGoesBack) {
  ConsumerState s = fresh();
  ASSERT_TRUE(apply(s, deliver(5, 5, 5)));
  std::string before, after;
  s.encode(before);
  EXPECT_FALSE(apply(s, deliver(5, 5, 5)));
  EXPECT_FALSE(apply(s, deliver(10, 9, 1)));
  EXPECT_FALSE(apply(s, deliver(9, 10, 1)));
  Progress p = here(s);
  p.delivered_cseq = ConsumerSeq(3);
  EXPECT_FALSE(apply(s, p));
  p = deliver(10, 10, 5);
  p.delivered_sseq = p.scanned = StreamSeq(11);
  EXPECT_FALSE(apply(s, p));
  s.encode(after);
  EXPECT_EQ(before, after);
}

TEST(ConsumerState, RecordsFromBeforeAResetAreVoid) {
  ConsumerState s = fresh();
  ASSERT_TRUE(apply(s, deliver(1, 1, 5)));
  s.reset(StreamSeq(3));
  EXPECT_EQ(s.delivered(), pair(0, 2));
  ASSERT_TRUE(apply(s, deliver(6, 6, 5)));
  EXPECT_EQ(s.delivered(), pair(0, 2));
  EXPECT_EQ(s.num_ack_pending(), 0u);
}

TEST(ConsumerState, SkipListEndsAtItsEnd) {
  ConsumerStart start;
  start.first = StreamSeq(4);
  start.only = {StreamSeq(4), StreamSeq(9)};
  start.only_upto = StreamSeq(12);
  ConsumerState s(1, "c", config(), kTime, start);
  EXPECT_TRUE(s.needs(StreamSeq(4)));
  EXPECT_FALSE(s.needs(StreamSeq(5)));
  EXPECT_TRUE(s.needs(StreamSeq(13)));
  ASSERT_TRUE(apply(s, deliver(1, 4, 1)));
  EXPECT_EQ(s.skip_list().size(), 2u);
  ASSERT_TRUE(apply(s, deliver(2, 9, 1)));
  EXPECT_TRUE(s.skip_list().empty());
  EXPECT_EQ(s.scanned(), StreamSeq(12));
  EXPECT_EQ(s.delivered(), pair(2, 9));
}

TEST(ConsumerState, SkipListWithoutSubjectsIsOver) {
  ConsumerStart start;
  start.first = StreamSeq(1);
  start.only_upto = StreamSeq(12);
  ConsumerState s(1, "c", config(), kTime, start);
  EXPECT_EQ(s.scanned(), StreamSeq(12));
}

ConsumerState full() {
  ConsumerStart start;
  start.first = StreamSeq(2);
  start.only = {StreamSeq(2), StreamSeq(4), StreamSeq(60), StreamSeq(70)};
  start.only_upto = StreamSeq(80);
  ConsumerState s(3, "c", config(), kTime, start);
  EXPECT_TRUE(apply(s, deliver(1, 2, 1)));
  EXPECT_TRUE(apply(s, deliver(2, 4, 1)));
  Progress p = here(s);
  p.exceeded = ranges({{2, 2}});
  p.naks = 2;
  EXPECT_TRUE(apply(s, p));
  return s;
}

TEST(ConsumerState, RoundTrip) {
  std::string bytes, again;
  full().encode(bytes);
  auto back = ConsumerState::decode(bytes);
  ASSERT_TRUE(back) << back.error().to_string();
  back->encode(again);
  EXPECT_EQ(bytes, again);
  EXPECT_EQ(back->hash(), full().hash());
  EXPECT_EQ(back->config(), full().config());
  EXPECT_EQ(back->skip_list().size(), 2u);
  EXPECT_EQ(back->exceeded().size(), 1u);
}

TEST(ConsumerState, Golden) {
  std::string bytes;
  full().encode(bytes);
  std::string json = api::encode_consumer_config_json(config());
  std::size_t at = bytes.find(json);
  ASSERT_NE(at, std::string::npos);
  std::string rest = bytes.substr(0, 4) + bytes.substr(at + json.size());
  std::string hex;
  for (char c : rest) {
    char buf[3];
    std::snprintf(buf, sizeof buf, "%02x", static_cast<unsigned>(static_cast<unsigned char>(c)));
    hex += buf;
  }
  EXPECT_EQ(hex,
            "01030163"              // version, id, name
            "8080d0e2c6bfce972f"    // created
            "00020400"              // epoch, delivered, scanned
            "80a8a69ccebfce972f00"  // last delivered, last acked
            "02"                    // naks
            "010402d0afabfef96201"  // one pending
            "010201"                // one exceeded
            "50023c0a");            // skip end and list
}

TEST(ConsumerState, EveryCutIsRefused) {
  std::string bytes;
  full().encode(bytes);
  for (std::size_t n = 0; n < bytes.size(); ++n)
    EXPECT_FALSE(ConsumerState::decode(std::string_view(bytes).substr(0, n))) << n;
  EXPECT_FALSE(ConsumerState::decode(bytes + "x"));
  bytes[0] = 2;
  auto newer = ConsumerState::decode(bytes);
  ASSERT_FALSE(newer);
  EXPECT_EQ(newer.error().code, Code::kUnsupported);
}

TEST(ConsumerState, DamagedBytesDoNoHarm) {
  std::string good;
  full().encode(good);
  Prng prng(5);
  for (int i = 0; i < 20000; ++i) {
    std::string bad = good;
    bad[prng.below(bad.size())] = static_cast<char>(prng.below(256));
    auto s = ConsumerState::decode(bad);
    if (s) s->ack_floor();
  }
}

}  // namespace
}  // namespace weir::jetstream
