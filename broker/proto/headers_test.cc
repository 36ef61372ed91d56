#include "broker/proto/headers.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "broker/proto/ack_subject.h"
#include "broker/proto/client_writer.h"

namespace weir::proto {
namespace {

TEST(HeaderView, ReadsFieldsInOrder) {
  HeaderView h("NATS/1.0\r\nA: 1\r\na:2\r\nA:   3  \r\nEmpty:\r\nTime: 12:30\r\n\r\n");
  EXPECT_TRUE(h.well_formed());
  EXPECT_EQ(h.status(), 0);
  EXPECT_EQ(h.status_text(), "");
  EXPECT_EQ(h.find("A"), "1");
  EXPECT_EQ(h.find("a"), "2");
  EXPECT_EQ(h.find("Empty"), "");
  EXPECT_EQ(h.find("Time"), "12:30");
  EXPECT_FALSE(h.has("b"));
  std::vector<std::string> all;
  h.for_each([&](const HeaderField& f) { all.push_back(std::string(f.key) + "=" + std::string(f.value)); });
  EXPECT_EQ(all, (std::vector<std::string>{"A=1", "a=2", "A=3", "Empty=", "Time=12:30"}));
}

TEST(HeaderView, Status) {
  EXPECT_EQ(HeaderView("NATS/1.0 503\r\n\r\n").status(), 503);
  EXPECT_EQ(HeaderView("NATS/1.0 503\r\n\r\n").status_text(), "");
  EXPECT_EQ(HeaderView("NATS/1.0 100 Idle Heartbeat\r\n\r\n").status(), 100);
  EXPECT_EQ(HeaderView("NATS/1.0 100 Idle Heartbeat\r\n\r\n").status_text(), "Idle Heartbeat");
  EXPECT_EQ(HeaderView("NATS/1.0   404   No Messages\r\n\r\n").status_text(), "No Messages");
  for (std::string_view bad : {"NATS/1.0 abc\r\n\r\n", "NATS/1.0 -1\r\n\r\n", "NATS/1.0 5x\r\n\r\n",
                               "NATS/1.0 503", "NATS/1.0 99999999999\r\n\r\n", "HTTP/1.1 200\r\n\r\n", ""}) {
    EXPECT_EQ(HeaderView(bad).status(), 0) << bad;
    EXPECT_EQ(HeaderView(bad).status_text(), "") << bad;
  }
}

TEST(HeaderView, MalformedBlocks) {
  for (std::string_view bad : {"", "NATS", "NATS/1.0", "NATS/1.0\r\n", "NATS/1.0\r\nA: 1\r\n",
                               "NATS/1.0\r\nA: 1", "NATS/1.0\r\nA\r\n\r\n", "NATS/1.0\r\n: v\r\n\r\n",
                               "NATS/1.0\r\nA: 1\r\n\r\nmore", "XATS/1.0\r\nA: 1\r\n\r\n", "NATS/1.0\n\n"}) {
    HeaderView h(bad);
    EXPECT_FALSE(h.well_formed()) << bad;
    EXPECT_FALSE(h.has("B"));
  }
  EXPECT_TRUE(HeaderView("NATS/1.0\r\n\r\n").well_formed());
  EXPECT_EQ(HeaderView("NATS/1.0\r\nA: 1\r\nbroken\r\nB: 2\r\n\r\n").find("A"), "1");
  EXPECT_FALSE(HeaderView("NATS/1.0\r\nA: 1\r\nbroken\r\nB: 2\r\n\r\n").has("B"));
}

TEST(HeaderView, EveryPrefixIsSafe) {
  std::string block = "NATS/1.0 503 No Responders\r\nNats-Subject: a.b\r\nX: y\r\n\r\n";
  for (std::size_t n = 0; n < block.size(); ++n) {
    std::string part = block.substr(0, n);  // own memory, so that ASan sees a read past the end
    HeaderView h(part);
    EXPECT_FALSE(h.well_formed());
    (void)h.status();
    (void)h.status_text();
    (void)h.find("X");
  }
  EXPECT_TRUE(HeaderView(block).well_formed());
}

TEST(HeaderBuilder, RoundTrip) {
  EXPECT_EQ(HeaderBuilder(503).take(), "NATS/1.0 503\r\n\r\n");
  EXPECT_EQ(HeaderBuilder(404, "No Messages").take(), "NATS/1.0 404 No Messages\r\n\r\n");
  HeaderBuilder b;
  EXPECT_FALSE(b.has_fields());
  b.add("Nats-Sequence", std::uint64_t{42}).add("K", "v").add("K", "");
  EXPECT_TRUE(b.has_fields());
  std::string block = b.take();
  EXPECT_EQ(block, "NATS/1.0\r\nNats-Sequence: 42\r\nK: v\r\nK: \r\n\r\n");
  EXPECT_EQ(HeaderBuilder().add_all(HeaderView(block), "K").add("L", "w").take(),
            "NATS/1.0\r\nNats-Sequence: 42\r\nL: w\r\n\r\n");
  EXPECT_EQ(b.add("again", "1").take(), "NATS/1.0\r\nagain: 1\r\n\r\n");
  EXPECT_EQ(b.take(), "NATS/1.0\r\n\r\n");
}

TEST(HeaderBuilder, CannotBeInjected) {
  std::string block = HeaderBuilder(400, "Bad\r\nX: 1")
                          .add("A\r\nEvil", "v\r\nOther: 2")
                          .add("", "x")
                          .add("a:b c", "y")
                          .take();
  HeaderView h(block);
  EXPECT_TRUE(h.well_formed());
  int fields = 0;
  h.for_each([&](const HeaderField&) { ++fields; });
  EXPECT_EQ(fields, 3);
  EXPECT_FALSE(h.has("Other"));
  EXPECT_FALSE(h.has("X"));
}

TEST(ClientWriter, Decimal) {
  for (std::uint64_t v : {0ull, 1ull, 9ull, 10ull, 99ull, 100ull, 101ull, 999ull, 1000ull, 65535ull,
                          1234567890ull, 18446744073709551615ull}) {
    EXPECT_EQ(Decimal(v).text(), std::to_string(v));
  }
  for (std::uint64_t v = 1; v != 0; v <<= 1) {
    EXPECT_EQ(Decimal(v - 1).text(), std::to_string(v - 1));
  }
}

TEST(ClientWriter, Lines) {
  BytesBuilder out;
  append_info(out, "{}");
  append_message(out, {.subject = "a.b", .sid = "12", .total_bytes = 2}, "hi");
  append_message(out, {.subject = "a", .sid = "1", .reply = "r", .total_bytes = 0}, "");
  append_message(out, {.subject = "a", .sid = "1", .reply = "r", .header_bytes = 12, .total_bytes = 14},
                 "NATS/1.0\r\n\r\nhi");
  append_message(out, {.subject = "a", .sid = "1", .header_bytes = 12, .total_bytes = 12},
                 "NATS/1.0\r\n\r\n");
  append_ok(out);
  append_ping(out);
  append_pong(out);
  append_err(out, "Permissions Violation for Publish to \"a\r\n\"");
  EXPECT_EQ(out.text(),
            "INFO {}\r\nMSG a.b 12 2\r\nhi\r\nMSG a 1 r 0\r\n\r\nHMSG a 1 r 12 14\r\nNATS/1.0\r\n\r\nhi\r\n"
            "HMSG a 1 12 12\r\nNATS/1.0\r\n\r\n\r\n+OK\r\nPING\r\nPONG\r\n"
            "-ERR 'Permissions Violation for Publish to \"a  \"'\r\n");
}

TEST(AckSubject, RoundTripV1) {
  AckSubject a{.stream = "S",
               .consumer = "C",
               .deliveries = 3,
               .stream_seq = StreamSeq(100),
               .consumer_seq = ConsumerSeq(7),
               .time = Wall{1700000000123456789},
               .pending = 5};
  std::string text = format_ack_subject(a);
  EXPECT_EQ(text, "$JS.ACK.S.C.3.100.7.1700000000123456789.5");
  auto b = parse_ack_subject(text);
  ASSERT_TRUE(b);
  EXPECT_EQ(b->stream, "S");
  EXPECT_EQ(b->consumer, "C");
  EXPECT_EQ(b->domain, "");
  EXPECT_EQ(b->account_hash, "");
  EXPECT_EQ(b->deliveries, 3u);
  EXPECT_EQ(b->stream_seq, StreamSeq(100));
  EXPECT_EQ(b->consumer_seq, ConsumerSeq(7));
  EXPECT_EQ(b->time, Wall{1700000000123456789});
  EXPECT_EQ(b->pending, 5u);
}

TEST(AckSubject, V2WithAndWithoutDomainAndRandomToken) {
  auto a = parse_ack_subject("$JS.ACK._.HASH.S.C.1.2.3.4.5");
  ASSERT_TRUE(a);
  EXPECT_EQ(a->domain, "");
  EXPECT_EQ(a->account_hash, "HASH");
  EXPECT_EQ(a->stream, "S");
  EXPECT_EQ(a->pending, 5u);
  EXPECT_EQ(format_ack_subject(*a), "$JS.ACK._.HASH.S.C.1.2.3.4.5");
  a = parse_ack_subject("$JS.ACK.hub.HASH.S.C.1.2.3.4.5.rnd");
  ASSERT_TRUE(a);
  EXPECT_EQ(a->domain, "hub");
  EXPECT_EQ(a->consumer, "C");
  EXPECT_TRUE(parse_ack_subject("$JS.ACK.hub.HASH.S.C.1.2.3.4.5.rnd.more.and.more"));
  EXPECT_EQ(parse_ack_subject("$JS.ACK.S.C.1.2.3.-5.0")->time, Wall{-5});
  EXPECT_EQ(format_ack_subject(*parse_ack_subject("$JS.ACK.S.C.1.2.3.-5.0")), "$JS.ACK.S.C.1.2.3.-5.0");
}

TEST(AckSubject, RefusesEverythingElse) {
  for (std::string_view bad :
       {"", "$JS.ACK", "$JS.ACK.", "$JS.ACK.S.C.1.2.3.4", "$JS.ACK.S.C.1.2.3.4.5.6", "$JS.ACK.S.C.x.2.3.4.5",
        "$JS.ACK.S.C.1.2.3.4.-5", "$JS.ACK.S.C.1.2.3.4.", "$JS.ACK..C.1.2.3.4.5", "$JS.ACX.S.C.1.2.3.4.5",
        "$JS.ACK.S.C.1.99999999999999999999.3.4.5", "$js.ack.S.C.1.2.3.4.5", "$JS.ACK.S.C.1.2.3.4.5 "}) {
    EXPECT_FALSE(parse_ack_subject(bad)) << bad;
  }
  std::string many = "$JS.ACK._.H.S.C.1.2.3.4.5";
  for (int i = 0; i < 100; ++i) many += ".x";
  EXPECT_FALSE(parse_ack_subject(many));
}

}  // namespace
}  // namespace weir::proto
