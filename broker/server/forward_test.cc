#include "broker/server/forward.h"

#include <gtest/gtest.h>

namespace weir::server {
namespace {

std::string frame_of(const Forwarded& f, const Bytes* shared = nullptr) {
  std::string all;
  for (const Bytes& b : encode_forwarded(f, shared)) all += b.text();
  return all;
}

Forwarded publish() {
  return {ForwardKind::kPublish, 1, GroupId(300), "A", "s.x", "r", 12, "NATS/1.0\r\n\r\nbody"};
}

TEST(Forward, GoldenBytes) {
  Forwarded f{ForwardKind::kAck, 2, GroupId(300), "A", "s", "", 0, "+ACK"};
  EXPECT_EQ(frame_of(f), std::string("\x01\x02\x02\xac\x02\x01"
                                     "A\x01s\0\0+ACK",
                                     15));
}

TEST(Forward, ComesBackWithAndWithoutASharedBody) {
  Forwarded f = publish();
  std::string frame = frame_of(f);
  auto back = decode_forwarded(as_span(frame));
  ASSERT_TRUE(back);
  EXPECT_EQ(back->group, GroupId(300));
  EXPECT_EQ(back->subject, "s.x");
  EXPECT_EQ(back->reply, "r");
  EXPECT_EQ(back->header_size, 12u);
  EXPECT_EQ(back->body, f.body);
  Bytes shared = Bytes::copy_of(f.body);
  EXPECT_EQ(frame_of(f, &shared), frame);
}

TEST(Forward, RefusesWhatCannotBe) {
  std::string frame = frame_of(publish());
  for (std::size_t n = 0; n < frame.size() - publish().body.size() + 12; ++n)
    EXPECT_FALSE(decode_forwarded(as_span(std::string_view(frame).substr(0, n))).has_value()) << n;
  auto refused = [&](auto change) {
    Forwarded f = publish();
    change(f);
    return !decode_forwarded(as_span(frame_of(f))).has_value();
  };
  EXPECT_TRUE(refused([](Forwarded& f) { f.kind = static_cast<ForwardKind>(0); }));
  EXPECT_TRUE(refused([](Forwarded& f) { f.kind = static_cast<ForwardKind>(5); }));
  EXPECT_TRUE(refused([](Forwarded& f) { f.hops = kForwardsMax + 1; }));
  EXPECT_TRUE(refused([](Forwarded& f) { f.subject = ""; }));
  EXPECT_TRUE(refused([](Forwarded& f) { f.header_size = f.body.size() + 1; }));
  frame[0] = 2;
  EXPECT_EQ(decode_forwarded(as_span(frame)).error().code, Code::kUnsupported);
}

TEST(Hints, ComeBackAndDamageIsRefused) {
  Bytes bytes = encode_hints({{GroupId(1), Term(5), true}, {GroupId(70000), Term(300), false}});
  auto back = decode_hints(bytes.span());
  ASSERT_TRUE(back);
  ASSERT_EQ(back->size(), 2u);
  EXPECT_EQ((*back)[1].group, GroupId(70000));
  EXPECT_EQ((*back)[1].term, Term(300));
  EXPECT_FALSE((*back)[1].leads);
  for (std::size_t n = 0; n < bytes.size(); ++n)
    EXPECT_FALSE(decode_hints(bytes.span().first(n)).has_value()) << n;
  EXPECT_EQ(decode_hints(encode_hints({}).span())->size(), 0u);
}

// Room is made for no more hints than the frame can hold: a long frame must not cost many times its size.
TEST(Hints, ACountThatTheFrameCannotHoldIsRefused) {
  std::string frame("\x01\x04\0\0\0\0\0\0", 8);  // four hints in six bytes
  EXPECT_FALSE(decode_hints(as_span(frame)).has_value());
  frame[1] = 2;
  EXPECT_EQ(decode_hints(as_span(frame))->size(), 2u);
}

}  // namespace
}  // namespace weir::server
