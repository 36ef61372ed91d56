// Bytes of interest and message frames: what goes in comes out, and nothing else is taken.
#include "broker/server/interest_frames.h"

#include <gtest/gtest.h>

#include "broker/base/prng.h"

namespace weir::server {
namespace {

std::string hex(std::string_view s) {
  std::string out;
  for (char c : s) {
    constexpr char kDigits[] = "0123456789abcdef";
    out += kDigits[static_cast<unsigned char>(c) >> 4];
    out += kDigits[static_cast<unsigned char>(c) & 15];
  }
  return out;
}

Bytes interest_frame() {
  InterestWriter w;
  w.add({"A", "foo.*", "", 1});
  w.add({"A", "bar", "workers", 300});
  w.add({"B", "foo.>", "", 0});
  w.add({"B", "x", "q", 0});
  return w.finish(true, false);
}

std::string message_bytes(const MessageFrame& m) {
  BytesBuilder b;
  encode_message_head(b, m);
  b.append(m.body);
  return std::string(b.text());
}

MessageFrame full_message() {
  MessageFrame m;
  m.account = "A";
  m.target = "deliver";
  m.subject = "orders.eu";
  m.reply = "r";
  m.plain = true;
  m.queues = {"q1", "q2"};
  m.body = "NATS/1.0\r\n\r\nhi";
  m.header_size = 12;
  return m;
}

TEST(InterestFrames, RoundTrip) {
  Bytes frame = interest_frame();
  auto f = decode_interest(frame.span());
  ASSERT_TRUE(f) << f.error().to_string();
  EXPECT_TRUE(f->begin);
  EXPECT_FALSE(f->end);
  ASSERT_EQ(f->changes.size(), 4u);
  EXPECT_EQ(f->changes[0].account, "A");
  EXPECT_EQ(f->changes[0].subject, "foo.*");
  EXPECT_EQ(f->changes[0].weight, 1u);
  EXPECT_EQ(f->changes[1].queue, "workers");
  EXPECT_EQ(f->changes[1].weight, 300u);
  EXPECT_EQ(f->changes[2].account, "B");
  EXPECT_EQ(f->changes[2].weight, 0u);
  EXPECT_EQ(f->changes[3].queue, "q");
}

TEST(InterestFrames, Golden) {
  EXPECT_EQ(hex(interest_frame().text()),
            "0101"
            "010141"
            "0205666f6f2e2a"
            "0403626172"
            "07776f726b657273"
            "ac02"
            "010142"
            "0305666f6f2e3e"
            "040178"
            "0171"
            "00");
  EXPECT_EQ(hex(message_bytes(full_message())),
            "011f"
            "0141"
            "0764656c69766572"
            "096f72646572732e6575"
            "0172"
            "02027131027132"
            "0c"
            "4e4154532f312e300d0a0d0a6869");
  MessageFrame plain;
  plain.account = "A";
  plain.target = plain.subject = "s";
  plain.plain = true;
  plain.body = "x";
  EXPECT_EQ(hex(message_bytes(plain)), "01010141017378");
}

TEST(InterestFrames, EmptyWholeIsAFrame) {
  InterestWriter w;
  EXPECT_TRUE(w.empty());
  auto f = decode_interest(w.finish(true, true).span());
  ASSERT_TRUE(f);
  EXPECT_TRUE(f->begin && f->end && f->changes.empty());
  w.add({"A", "s", "", 1});
  EXPECT_FALSE(w.empty());
  Bytes second = w.finish();
  EXPECT_TRUE(w.empty());
  auto g = decode_interest(second.span());
  ASSERT_TRUE(g);
  EXPECT_EQ(g->changes[0].account, "A") << "each frame names its accounts";
}

TEST(InterestFrames, MessageRoundTrip) {
  std::string bytes = message_bytes(full_message());
  auto m = decode_message(as_span(bytes));
  ASSERT_TRUE(m) << m.error().to_string();
  EXPECT_EQ(m->account, "A");
  EXPECT_EQ(m->target, "deliver");
  EXPECT_EQ(m->subject, "orders.eu");
  EXPECT_EQ(m->reply, "r");
  EXPECT_TRUE(m->plain);
  EXPECT_EQ(m->queues, (std::vector<std::string_view>{"q1", "q2"}));
  EXPECT_EQ(m->header_size, 12u);
  EXPECT_EQ(m->body, "NATS/1.0\r\n\r\nhi");
}

TEST(InterestFrames, CutShortIsRefused) {
  std::string interest(interest_frame().text());
  for (std::size_t n = 0; n < interest.size(); ++n) {
    auto f = decode_interest(as_span(std::string_view(interest).substr(0, n)));
    // A cut between two changes cannot be seen.
    EXPECT_TRUE(!f || f->changes.size() < 4) << n;
  }
  MessageFrame m = full_message();
  m.body = {};
  m.header_size = 0;
  std::string head = message_bytes(m);
  for (std::size_t n = 0; n < head.size(); ++n) {
    EXPECT_FALSE(decode_message(as_span(std::string_view(head).substr(0, n)))) << n;
  }
}

TEST(InterestFrames, WhatCannotBeIsRefused) {
  auto interest = [](std::string s) { return decode_interest(as_span(s)).has_value(); };
  using namespace std::string_literals;
  EXPECT_TRUE(interest("\x01\x00"s));
  EXPECT_FALSE(interest("\x02\x00"s)) << "another format";
  EXPECT_FALSE(interest("\x01\x04"s)) << "unknown flag";
  EXPECT_FALSE(interest("\x01\x00\x02\x01s"s)) << "no account";
  EXPECT_FALSE(interest("\x01\x00\x01\x00"s)) << "account without a name";
  EXPECT_FALSE(
      interest("\x01\x00\x01\x01"
               "A\x05\x01s"s))
      << "unknown operation";
  EXPECT_FALSE(
      interest("\x01\x00\x01\x01"
               "A\x02\x03"
               "a b"s))
      << "blank in subject";
  EXPECT_FALSE(
      interest("\x01\x00\x01\x01"
               "A\x02\x04"
               "a..b"s))
      << "no pattern";
  EXPECT_FALSE(
      interest("\x01\x00\x01\x01"
               "A\x02\x03>.a"s))
      << "no pattern";
  EXPECT_FALSE(
      interest("\x01\x00\x01\x01"
               "A\x04\x01s\x00\x01"s))
      << "queue without a name";
  EXPECT_FALSE(
      interest("\x01\x00\x01\x01"
               "A\x04\x01s\x01q\xff\xff\xff\xff\x7f"s))
      << "weight";
  EXPECT_FALSE(
      interest("\x01\x00\x01\x01"
               "A\x02\xff\xff\xff\xff\xff\xff\xff\xff\x01s"s))
      << "length";

  auto message = [](auto change) {
    MessageFrame m = full_message();
    change(m);
    std::string bytes = message_bytes(m);
    return decode_message(as_span(bytes)).has_value();
  };
  EXPECT_TRUE(message([](MessageFrame&) {}));
  EXPECT_TRUE(message([](MessageFrame& m) { m.target = "odd..subject*"; })) << "clients may";
  EXPECT_FALSE(message([](MessageFrame& m) { m.target = "a b"; }));
  EXPECT_FALSE(message([](MessageFrame& m) { m.subject = "a\r\nPING"; }));
  EXPECT_FALSE(message([](MessageFrame& m) { m.target = ""; }));
  EXPECT_FALSE(message([](MessageFrame& m) { m.reply = "a\tb"; }));
  EXPECT_FALSE(message([](MessageFrame& m) { m.queues = {"a b"}; }));
  EXPECT_FALSE(message([](MessageFrame& m) { m.queues = {""}; }));
  EXPECT_FALSE(message([](MessageFrame& m) { m.header_size = 15; })) << "longer than the body";
  EXPECT_FALSE(message([](MessageFrame& m) { m.body = "NATS/2.0\r\n\r\nhi"; }));
}

TEST(InterestFrames, AnyBytesAreSafe) {
  Prng prng(5);
  std::string seeds[] = {std::string(interest_frame().text()), message_bytes(full_message())};
  for (int i = 0; i < 20'000; ++i) {
    std::string s = seeds[prng.below(2)];
    for (std::uint64_t n = 1 + prng.below(4); n > 0; --n) {
      s[static_cast<std::size_t>(prng.below(s.size()))] = static_cast<char>(prng.next());
    }
    s.resize(static_cast<std::size_t>(prng.below(s.size() + 1)));
    if (auto f = decode_interest(as_span(s))) {
      for (const auto& c : f->changes) EXPECT_FALSE(c.account.empty() || c.subject.empty());
    }
    auto m = decode_message(as_span(s));
    EXPECT_TRUE(!m || m->header_size <= m->body.size());
  }
}

}  // namespace
}  // namespace weir::server
