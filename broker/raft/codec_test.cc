#include "broker/raft/codec.h"

#include <gtest/gtest.h>

#include <string>

#include "broker/base/prng.h"
#include "broker/raft/confchange.h"

namespace weir::raft {
namespace {

/// As it goes over a link: head first, then the payloads.
Bytes bytes_of(const Message& m) {
  BytesBuilder head;
  std::vector<Bytes> payloads;
  encode_message(m, head, payloads);
  BytesBuilder all;
  all.append(head.text());
  for (const Bytes& p : payloads) all.append(p.span());
  return all.freeze();
}

std::uint64_t any_number(Prng& prng) {
  return prng.next() >> prng.below(64);
}

Message any_message(Prng& prng) {
  Message m;
  m.type = static_cast<MessageType>(1 + prng.below(kMessageTypeMax));
  m.from = NodeId(prng.next());
  m.to = NodeId(prng.next());
  m.term = Term(any_number(prng));
  m.index = RaftIndex(any_number(prng));
  m.log_term = Term(any_number(prng));
  m.commit = RaftIndex(any_number(prng));
  if (prng.chance(1, 3)) m.hint = {RaftIndex(any_number(prng)), Term(any_number(prng))};
  m.context = any_number(prng);
  m.reject = prng.chance(1, 2);
  m.force = prng.chance(1, 2);
  m.asleep = prng.chance(1, 2);
  m.answer = static_cast<FetchAnswer>(prng.below(4));
  std::uint64_t first = 1 + (any_number(prng) >> 1);
  for (std::uint64_t i = 0, n = prng.below(6); i < n; ++i) {
    auto type = static_cast<EntryType>(prng.below(3));
    std::string payload(prng.chance(1, 4) ? 0 : prng.below(300), static_cast<char>(prng.next()));
    m.entries.push_back({RaftIndex(first + i), Term(any_number(prng)), type, Bytes::copy_of(payload)});
  }
  if (prng.chance(1, 4)) {
    ConfState conf;
    conf.voters = {NodeId(1), NodeId(7)};
    if (prng.chance(1, 2)) conf.learners = {NodeId(9)};
    m.snapshot = SnapshotMeta{RaftIndex(any_number(prng)), Term(any_number(prng)), conf};
  }
  return m;
}

void expect_same(const Message& a, const Message& b) {
  EXPECT_EQ(a.type, b.type);
  EXPECT_EQ(a.from, b.from);
  EXPECT_EQ(a.to, b.to);
  EXPECT_EQ(a.term, b.term);
  EXPECT_EQ(a.index, b.index);
  EXPECT_EQ(a.log_term, b.log_term);
  EXPECT_EQ(a.commit, b.commit);
  EXPECT_EQ(a.hint, b.hint);
  EXPECT_EQ(a.context, b.context);
  EXPECT_EQ(a.reject, b.reject);
  EXPECT_EQ(a.force, b.force);
  EXPECT_EQ(a.asleep, b.asleep);
  EXPECT_EQ(a.answer, b.answer);
  EXPECT_EQ(a.snapshot, b.snapshot);
  ASSERT_EQ(a.entries.size(), b.entries.size());
  for (std::size_t i = 0; i < a.entries.size(); ++i) {
    EXPECT_EQ(a.entries[i].index, b.entries[i].index);
    EXPECT_EQ(a.entries[i].term, b.entries[i].term);
    EXPECT_EQ(a.entries[i].type, b.entries[i].type);
    EXPECT_EQ(a.entries[i].payload.text(), b.entries[i].payload.text());
  }
}

Message sample() {
  Message m;
  m.type = MessageType::kAppend;
  m.from = NodeId(0x0102000000);
  m.to = NodeId(0x0304000001);
  m.term = Term(300);
  m.index = RaftIndex(9);
  m.log_term = Term(2);
  m.commit = RaftIndex(8);
  m.entries = {{RaftIndex(10), Term(300), EntryType::kNoop, {}},
               {RaftIndex(11), Term(300), EntryType::kNormal, Bytes::copy_of("payload")}};
  return m;
}

TEST(RaftCodec, GoldenBytes) {
  std::string out;
  Bytes all = bytes_of(sample());
  for (std::uint8_t c : all.span()) {
    out += "0123456789abcdef"[c >> 4];
    out += "0123456789abcdef"[c & 15];
  }
  EXPECT_EQ(out,
            "012300000005000000000002010000000100000403000000ac0209020800020aac020100ac0200077061796c6f6164");
}

TEST(RaftCodec, RandomRoundTrip) {
  Prng prng(1);
  for (int i = 0; i < 20'000; ++i) {
    Message m = any_message(prng);
    auto back = decode_message(bytes_of(m));
    ASSERT_TRUE(back) << back.error().detail;
    expect_same(m, *back);
    if (HasFailure()) return;
  }
}

TEST(RaftCodec, PayloadsAreNotCopied) {
  Message m = sample();
  BytesBuilder head;
  head.append_varint(5);  // the group stands before it
  std::vector<Bytes> payloads;
  encode_message(m, head, payloads);
  ASSERT_EQ(payloads.size(), 1u) << "empty payloads are left out";
  EXPECT_EQ(payloads[0].data(), m.entries[1].payload.data());
  Bytes frame = bytes_of(m);
  auto back = decode_message(frame);
  ASSERT_TRUE(back);
  EXPECT_EQ(back->entries[1].payload.data(), frame.data() + frame.size() - 7);
}

TEST(RaftCodec, EveryTruncationIsRefused) {
  Prng prng(2);
  for (int i = 0; i < 200; ++i) {
    Bytes all = bytes_of(any_message(prng));
    for (std::size_t n = 0; n < all.size(); ++n) {
      ASSERT_FALSE(decode_message(all.sub(0, n))) << n << " of " << all.size();
    }
    ASSERT_FALSE(decode_message(Bytes::copy_of(std::string(all.text()) + "x")));
  }
}

TEST(RaftCodec, DamageNeverCrashesAndWhatDecodesIsWellFormed) {
  Prng prng(3);
  for (int i = 0; i < 300; ++i) {
    std::string good(bytes_of(any_message(prng)).text());
    for (std::size_t bit = 0; bit < good.size() * 8; ++bit) {
      std::string bad = good;
      bad[bit / 8] = static_cast<char>(bad[bit / 8] ^ (1 << (bit % 8)));
      auto m = decode_message(Bytes::copy_of(bad));
      if (!m) continue;
      EXPECT_LE(static_cast<unsigned>(m->type), kMessageTypeMax);
      EXPECT_LE(static_cast<unsigned>(m->answer), 3u);
      for (std::size_t k = 0; k < m->entries.size(); ++k) {
        EXPECT_EQ(m->entries[k].index.v, m->entries[0].index.v + k);
        EXPECT_GE(m->entries[k].index.v, 1u);
      }
      if (m->snapshot) {
        EXPECT_TRUE(check_conf(m->snapshot->conf));
      }
    }
  }
}

TEST(RaftCodec, WhatIsLeftOfTheHeadIsOfALaterVersion) {
  Bytes all = bytes_of(sample());
  std::string with(all.text());
  std::size_t head = static_cast<unsigned char>(with[1]);
  with[1] = static_cast<char>(head + 3);
  with.insert(5 + head, "new");
  auto back = decode_message(Bytes::copy_of(with));
  ASSERT_TRUE(back) << back.error().detail;
  expect_same(sample(), *back);
}

TEST(RaftCodec, RefusesWhatCannotBe) {
  std::string good(bytes_of(sample()).text());
  auto with = [&](std::size_t at, int value) {
    std::string s = good;
    s[at] = static_cast<char>(value);
    auto m = decode_message(Bytes::copy_of(s));
    return m ? std::string("accepted") : m.error().detail;
  };
  EXPECT_EQ(with(0, 2), "raft message: unknown version");
  EXPECT_EQ(with(5, 0), "raft message: unknown type");
  EXPECT_EQ(with(5, kMessageTypeMax + 1), "raft message: unknown type");
  EXPECT_EQ(with(7, 4), "raft message: unknown answer");
  Message m;
  m.type = MessageType::kAppend;
  std::string none(bytes_of(m).text());
  none.pop_back();  // the count of entries
  auto entries = [&](std::initializer_list<std::uint64_t> numbers) {
    BytesBuilder b;
    for (std::uint64_t n : numbers) b.append_varint(n);
    std::string s = none + std::string(b.text());
    s[1] = static_cast<char>(s.size() - 5);
    auto r = decode_message(Bytes::copy_of(s));
    return r ? std::string("accepted") : r.error().detail;
  };
  EXPECT_EQ(entries({0}), "accepted");
  EXPECT_EQ(entries({1, 1, 1, 0, 0}), "accepted");
  EXPECT_EQ(entries({kMessageEntriesMax + 1, 1, 1, 0, 0}), "raft message: too many entries");
  EXPECT_EQ(entries({60'000, 1, 1, 0, 0}), "raft message: fewer entries than it says");
  EXPECT_EQ(entries({1, 0, 1, 0, 0}), "raft message: entries of an impossible index");
  EXPECT_EQ(entries({2, ~std::uint64_t{0} - 1, 1, 0, 0, 1, 0, 0}),
            "raft message: entries of an impossible index");
  EXPECT_EQ(entries({1, 1, 1, 3, 0}), "raft message: entry of an unknown type");
  EXPECT_EQ(entries({1, 1, 1, 0, 1}), "raft message: payload of an entry is cut short");
}

}  // namespace
}  // namespace weir::raft
