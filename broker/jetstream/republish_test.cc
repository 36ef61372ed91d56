// Expected headers were recorded from nats-server 2.15.1.
#include "broker/jetstream/republish.h"

#include "broker/jetstream/stream_harness.h"

namespace weir::jetstream {
namespace {

store::Message message(std::string_view subject, std::string_view headers, std::string_view payload) {
  store::Message m;
  m.seq = StreamSeq(7);
  m.time = Wall{kSecond};
  m.subject_size = static_cast<std::uint32_t>(subject.size());
  m.header_size = static_cast<std::uint32_t>(headers.size());
  m.record = Bytes::copy_of(std::string(subject) + std::string(headers) + std::string(payload));
  return m;
}

Republisher make(const std::string& src, const std::string& dest, bool headers_only = false) {
  auto r = Republisher::make({src, dest, headers_only}, "S", 1);
  EXPECT_TRUE(r.has_value()) << src << " " << dest;
  return std::move(*r);
}

TEST(Republish, HeadersOfTheStream) {
  auto r = make("a.>", "rp.>");
  Republished out;
  ASSERT_TRUE(r.apply(message("a.1", "", "hello"), StreamSeq(3), out));
  EXPECT_EQ(out.subject, "rp.1");
  EXPECT_EQ(out.headers,
            "NATS/1.0\r\nNats-Stream: S\r\nNats-Subject: a.1\r\nNats-Sequence: 7\r\n"
            "Nats-Time-Stamp: 1970-01-01T00:00:01Z\r\nNats-Last-Sequence: 3\r\n\r\n");
  EXPECT_TRUE(out.with_body);
}

TEST(Republish, OwnHeadersStayAndBodiesMayBeLeftOut) {
  auto r = make("", "rp.>", true);
  Republished out;
  ASSERT_TRUE(r.apply(message("a.1", "NATS/1.0\r\nX: y\r\n\r\n", "hello"), StreamSeq(), out));
  EXPECT_EQ(out.subject, "rp.a.1");
  EXPECT_TRUE(out.headers.starts_with("NATS/1.0\r\nX: y\r\nNats-Stream: S\r\n")) << out.headers;
  EXPECT_TRUE(out.headers.ends_with("Nats-Last-Sequence: 0\r\nNats-Msg-Size: 5\r\n\r\n")) << out.headers;
  EXPECT_FALSE(out.with_body);
}

TEST(Republish, OtherSubjectsAreLeftAlone) {
  Republished out;
  out.subject = "as it was";
  EXPECT_FALSE(make("b.>", "rp.>").apply(message("a.1", "", "x"), StreamSeq(), out));
  EXPECT_FALSE(make("a.>", "").apply(message("a.1", "", "x"), StreamSeq(), out)) << "to nowhere";
  EXPECT_EQ(out.subject, "as it was");
  EXPECT_FALSE(Republisher::make({"a.>", "rp.$2", false}, "S", 1));
}

TEST(Republish, ApplyTellsThePreviousOfTheSubject) {
  api::StreamConfig c;
  c.max_msgs_per_subject = 1;
  Harness h(c);
  h.pub("a");
  EXPECT_EQ(h.out.previous, StreamSeq());
  h.pub("a");
  EXPECT_EQ(h.out.previous, StreamSeq()) << "asked for by republish only";
  c = h.machine->config();
  c.republish = api::Republish{"a", "b", false};
  h.update(c, 1);
  h.pub("x");
  EXPECT_EQ(h.out.previous, StreamSeq());
  h.pub("a");
  EXPECT_EQ(h.out.previous, StreamSeq(2));
  h.pub("a");
  EXPECT_EQ(h.out.previous, StreamSeq(4));
}

}  // namespace
}  // namespace weir::jetstream
