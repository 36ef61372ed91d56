// Expected answers were recorded from nats-server 2.15.1.
#include "broker/jetstream/stream_harness.h"

namespace weir::jetstream {
namespace {

const std::string kWrongLast = "10071 wrong last sequence: ";

TEST(Publish, SequencesCount) {
  Harness h;
  EXPECT_EQ(h.pub("a"), "1");
  EXPECT_EQ(h.pub("b"), "2");
  auto m = h.store->load(StreamSeq(2));
  ASSERT_TRUE(m && *m);
  EXPECT_EQ((*m)->subject(), "b");
  EXPECT_EQ((*m)->payload(), "x");
  EXPECT_EQ((*m)->time.ns, h.now);
}

TEST(Publish, LogTimeNeverGoesBack) {
  Harness h;
  h.pub("a");
  h.now -= kHour;  // a new leader with a slow clock
  h.pub("a");
  EXPECT_EQ((*h.store->load(StreamSeq(2)))->time.ns, h.now + kHour);
}

TEST(Publish, ExpectedStream) {
  Harness h;
  EXPECT_EQ(h.pub("a", {{"Nats-Expected-Stream", "B"}}), "10060 expected stream does not match");
  EXPECT_EQ(h.pub("a", {{"Nats-Expected-Stream", "S"}}), "1");
  EXPECT_EQ(h.pub("a", {{"nats-expected-stream", "B"}}), "2") << "names are case-sensitive";
  EXPECT_EQ(h.pub("a", {{"Nats-Expected-Stream", ""}}), "3");
}

TEST(Publish, ExpectedLastSequence) {
  Harness h;
  EXPECT_EQ(h.pub("a", {{"Nats-Expected-Last-Sequence", "0"}}), "1");
  for (const char* bad : {"0", "99", "zz", "-1", "1 "})
    EXPECT_EQ(h.pub("a", {{"Nats-Expected-Last-Sequence", bad}}), kWrongLast + "1") << bad;
  EXPECT_EQ(h.pub("a", {{"Nats-Expected-Last-Sequence", "1"}}), "2");
  EXPECT_EQ(h.erase(2), "ok");
  EXPECT_EQ(h.pub("a", {{"Nats-Expected-Last-Sequence", "2"}}), "3") << "removal does not lower it";
}

TEST(Publish, ExpectedLastSubjectSequence) {
  Harness h;
  const std::string k = "Nats-Expected-Last-Subject-Sequence";
  const std::string of = k + "-Subject";
  EXPECT_EQ(h.pub("a.1", {{k, "0"}}), "1");
  EXPECT_EQ(h.pub("a.1", {{k, "0"}}), kWrongLast + "1");
  EXPECT_EQ(h.pub("a.1", {{k, "zz"}}), kWrongLast + "1");
  EXPECT_EQ(h.pub("a.2", {{k, "0"}}), "2");
  EXPECT_EQ(h.pub("a.3", {{k, "5"}}), kWrongLast + "0");
  EXPECT_EQ(h.pub("a.3", {{k, "2"}, {of, "a.*"}}), "3");
  EXPECT_EQ(h.pub("a.3", {{k, "2"}, {of, "a.*"}}), kWrongLast + "3");
  EXPECT_EQ(h.pub("a.3", {{k, "0"}, {of, "zzz.*"}}), "4");
  EXPECT_EQ(h.pub("a.3", {{k, "0"}, {of, "a..b"}}), "5");
  EXPECT_EQ(h.pub("a.3", {{of, "a.1"}}), "10193 missing sequence for expected last sequence per subject");
  EXPECT_EQ(h.erase(1), "ok");
  EXPECT_EQ(h.pub("a.1", {{k, "0"}}), "6") << "nothing of the subject is left";
}

TEST(Publish, DuplicatesWithinTheWindow) {
  api::StreamConfig c;
  c.duplicate_window = kSecond;
  Harness h(c);
  EXPECT_EQ(h.pub("a", {{"Nats-Msg-Id", "m"}}), "1");
  EXPECT_EQ(h.pub("b", {{"Nats-Msg-Id", "m"}}), "1 dup") << "whatever the subject";
  EXPECT_FALSE(h.out.stored);
  h.now += kSecond - 1;
  EXPECT_EQ(h.pub("a", {{"Nats-Msg-Id", "m"}}), "1 dup") << "a duplicate does not renew";
  h.now += 1;
  EXPECT_EQ(h.pub("a", {{"Nats-Msg-Id", "m"}}), "2");
  EXPECT_EQ(h.pub("a", {{"Nats-Msg-Id", ""}}), "3");
  EXPECT_EQ(h.pub("a", {{"Nats-Msg-Id", ""}}), "4");
}

TEST(Publish, ExpectedLastMsgId) {
  Harness h;
  const std::string k = "Nats-Expected-Last-Msg-Id";
  EXPECT_EQ(h.pub("a", {{k, "m1"}}), "10070 wrong last msg ID: ");
  EXPECT_EQ(h.pub("a", {{"Nats-Msg-Id", "m9"}}), "1");
  EXPECT_EQ(h.pub("a", {{k, "m1"}}), "10070 wrong last msg ID: m9");
  EXPECT_EQ(h.pub("a", {{k, "m9"}}), "2");
  EXPECT_EQ(h.pub("a", {{k, "m9"}}), "10070 wrong last msg ID: ") << "the last one had none";
}

TEST(Publish, OrderOfTheChecks) {
  Harness h;
  h.pub("q.1", {{"Nats-Msg-Id", "m"}});
  h.pub("q.2", {{"Nats-Msg-Id", "n"}});
  std::pair<std::string, std::string> id{"Nats-Msg-Id", "m"}, ls{"Nats-Expected-Last-Sequence", "99"},
      ss{"Nats-Expected-Last-Subject-Sequence", "98"}, lm{"Nats-Expected-Last-Msg-Id", "zz"},
      ro{"Nats-Rollup", "sub"}, tt{"Nats-TTL", "1"}, es{"Nats-Expected-Stream", "ZZ"},
      sss{"Nats-Expected-Last-Subject-Sequence-Subject", "q.1"}, in{"Nats-Incr", "1"},
      ba{"Nats-Batch-Id", "b"}, sc{"Nats-Schedule", "@at 2030-01-01T00:00:00Z"},
      sr{"Nats-Stream-Source", "x 1 > >"};
  auto code = [&](Headers headers) {
    h.publish("q.1", headers);
    return h.out.duplicate ? 1 : static_cast<int>(h.out.error.err_code);
  };
  EXPECT_EQ(code({id, ls}), 10071);
  EXPECT_EQ(code({id, ss}), 10071);
  EXPECT_EQ(code({id, lm}), 1);
  EXPECT_EQ(code({id, ro}), 1);
  EXPECT_EQ(code({id, tt}), 10166);
  EXPECT_EQ(code({id, es}), 10060);
  EXPECT_EQ(code({id, sss}), 10193);
  EXPECT_EQ(code({id, in}), 10168);
  EXPECT_EQ(code({id, ba}), 10174);
  EXPECT_EQ(code({id, sc}), 10188);
  EXPECT_EQ(code({id, sr}), 10227);
  EXPECT_EQ(code({ls, ss}), 10071);
  EXPECT_EQ(h.out.error.description, "wrong last sequence: 1") << "the subject's comes first";
  EXPECT_EQ(code({ls, tt}), 10166);
  EXPECT_EQ(code({ls, sss}), 10193);
  EXPECT_EQ(code({ls, sc}), 10071);
  EXPECT_EQ(code({ls, sr}), 10071);
  EXPECT_EQ(code({lm, ro}), 10070);
  EXPECT_EQ(code({lm, sc}), 10188);
  EXPECT_EQ(code({lm, sr}), 10227);
  EXPECT_EQ(code({tt, es}), 10060);
  EXPECT_EQ(code({tt, in}), 10168);
  EXPECT_EQ(code({es, in}), 10168);
  EXPECT_EQ(code({in, ba}), 10174);
  EXPECT_EQ(code({sc, sr}), 10188);
  EXPECT_EQ(h.store->state().last_seq, StreamSeq(2)) << "nothing refused was stored";
}

TEST(Publish, Sizes) {
  api::StreamConfig c;
  c.max_msg_size = 30;
  Harness h(c);
  EXPECT_EQ(h.pub("a", {}, std::string(30, 'x')), "1");
  EXPECT_EQ(h.pub("a", {}, std::string(31, 'x')), "10054 message size exceeds maximum allowed");
  EXPECT_EQ(h.pub("a", {{"A", "0123456789012345"}}, "0123456789"),
            "10054 message size exceeds maximum allowed")
      << "headers count";
  EXPECT_EQ(h.pub("a", {{"Nats-Expected-Stream", "Z"}}, std::string(31, 'x')),
            "10054 message size exceeds maximum allowed");
  Harness wide;
  EXPECT_EQ(wide.pub("a", {{"A", std::string(70000, 'x')}}),
            "10097 header size exceeds maximum allowed of 64k");
}

TEST(Publish, TtlValues) {
  api::StreamConfig c;
  c.allow_msg_ttl = true;
  Harness h(c);
  for (const char* bad : {"0", "-1", "abc", "500ms", "1.5"})
    EXPECT_EQ(h.pub("a", {{"Nats-TTL", bad}}), "10165 invalid per-message TTL") << bad;
  for (const char* later : {"1s", "1h", "99999999999999"})
    EXPECT_EQ(h.pub("a", {{"Nats-TTL", later}}), "10166 per-message TTL is disabled") << later;
  EXPECT_EQ(h.pub("a", {{"Nats-TTL", "never"}}), "1");
  EXPECT_EQ(h.pub("a", {{"Nats-TTL", ""}}), "2");
}

TEST(Publish, Rollup) {
  api::StreamConfig c;
  c.allow_rollup_hdrs = true;
  Harness h(c);
  for (int i = 0; i < 5; ++i) h.pub(i % 2 == 0 ? "r.0" : "r.1");
  EXPECT_EQ(h.pub("r.0", {{"Nats-Rollup", "junk"}}), "10111 rollup value invalid: \"junk\"");
  EXPECT_EQ(h.pub("r.0", {{"Nats-Rollup", "SUB"}}), "6");
  EXPECT_EQ(h.live(), "2 4 6 | 6");
  EXPECT_EQ(h.pub("r.1", {{"Nats-Rollup", "all"}}), "7");
  EXPECT_EQ(h.live(), "7 | 7");
  h.pub("q");
  h.pub("r.2");
  EXPECT_EQ(h.pub("r.*", {{"Nats-Rollup", "sub"}}), "10");  // all that the pattern matches, not the marker
  EXPECT_EQ(h.live(), "8 10 | 10");
  c.deny_purge = true;
  Harness denied(c);
  EXPECT_EQ(denied.pub("a", {{"Nats-Rollup", "sub"}}), "10111 rollup not permitted");
  EXPECT_EQ(Harness().pub("a", {{"Nats-Rollup", "sub"}}), "10111 rollup not permitted");
}

TEST(Publish, Sealed) {
  api::StreamConfig c;
  c.sealed = true;
  Harness h(c);
  EXPECT_EQ(h.pub("a", {{"Nats-Expected-Stream", "Z"}}), "10109 invalid operation on sealed stream");
  EXPECT_EQ(h.erase(1), "10109 invalid operation on sealed stream");
  EXPECT_EQ(h.purge(0, 0, ""), "10109 invalid operation on sealed stream");
}

TEST(Publish, HeaderSyntax) {
  Harness h;
  auto raw = [&](std::string_view block) {
    EntryBuilder b;
    PublishCommand p;
    p.subject = "a";
    p.headers = block;
    b.publish(p);
    h.run(b);
    return std::to_string(h.out.seq.v) + (h.out.duplicate ? " dup" : "");
  };
  EXPECT_EQ(raw("NATS/1.0\r\nNats-Msg-Id:tight\r\n\r\n"), "1");
  EXPECT_EQ(raw("NATS/1.0\r\nNats-Msg-Id:   tight\r\n\r\n"), "1 dup");
  EXPECT_EQ(raw("NATS/1.0\r\nNats-Msg-Id: tight  \r\n\r\n"), "2") << "blanks after it are part of it";
  EXPECT_EQ(raw("NATS/1.0\r\nNats-Msg-Id: one\r\nNats-Msg-Id: two\r\n\r\n"), "3");
  EXPECT_EQ(raw("NATS/1.0\r\nNats-Msg-Id: two\r\n\r\n"), "4");
  EXPECT_EQ(raw("NATS/1.0\r\nX: Nats-Msg-Id: one\r\n\r\n"), "5");
  EXPECT_EQ(raw("NATS/1.0\r\nNats-Msg-Id : one\r\n\r\n"), "6");
  EXPECT_EQ(raw("NATS/1.0 503\r\nNats-Msg-Id: one\r\n\r\n"), "3 dup");
  EXPECT_EQ(raw("NATS/1.0\r\nNats-Msg-Id"), "7");
  EXPECT_EQ(raw("Nats-Msg-Id: one"), "8") << "the first line is never a header";
}

TEST(Publish, FirstSequence) {
  api::StreamConfig c;
  c.first_seq = StreamSeq(100);
  Harness h(c);
  EXPECT_EQ(h.configure(1, h.machine->config()), "ok");
  EXPECT_EQ(h.pub("a", {{"Nats-Expected-Last-Sequence", "0"}}), kWrongLast + "99");
  EXPECT_EQ(h.pub("a", {{"Nats-Expected-Last-Sequence", "99"}}), "100");
}

// A replica that reads the log from its start was given what the meta group knows by now.
TEST(Publish, FirstSequenceIsThatOfTheLogsFirstConfiguration) {
  api::StreamConfig now;
  now.first_seq = StreamSeq(1000);
  Harness h, late(now);
  for (Harness* each : {&h, &late}) {
    api::StreamConfig c = h.machine->config();
    c.first_seq = StreamSeq(100);
    EXPECT_EQ(each->configure(7, c), "ok");
    EXPECT_EQ(each->pub("a"), "100");
    c.first_seq = StreamSeq(1000);
    EXPECT_EQ(each->configure(9, c), "ok");
    EXPECT_EQ(each->pub("a"), "101") << "no effect later on";
  }
  EXPECT_EQ(h.machine->state_hash(), late.machine->state_hash());
}

TEST(Publish, UnknownAndMalformedCommandsStop) {
  Harness h;
  Command c;
  c.type = static_cast<CommandType>(99);
  auto s = h.machine->apply(c, RaftIndex(1), Wall{1}, h.out);
  ASSERT_FALSE(s.has_value());
  EXPECT_EQ(s.error().code, Code::kUnsupported);
  c.type = CommandType::kPublish;
  EXPECT_FALSE(h.machine->apply(c, RaftIndex(1), Wall{1}, h.out).has_value());
}

}  // namespace
}  // namespace weir::jetstream
