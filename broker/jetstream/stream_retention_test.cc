// Expected answers were recorded from nats-server 2.15.1.
#include "broker/jetstream/stream_harness.h"

namespace weir::jetstream {
namespace {

const std::string kMaxMsgs = "10077 maximum messages exceeded";
const std::string kMaxBytes = "10077 maximum bytes exceeded";
const std::string kMaxPer = "10077 maximum messages per subject exceeded";

TEST(Limits, DiscardOldByCountBytesAndSubject) {
  api::StreamConfig c;
  c.max_msgs = 2;
  Harness h(c);
  for (int i = 0; i < 3; ++i) h.pub("a");
  EXPECT_EQ(h.live(), "2 3 | 3");
  c = {};
  c.max_bytes = 60;  // a message here is 16 + 1 + payload
  Harness bytes(c);
  bytes.pub("a", {}, std::string(10, 'x'));
  bytes.pub("a", {}, std::string(10, 'x'));
  bytes.pub("a", {}, std::string(20, 'x'));
  EXPECT_EQ(bytes.live(), "3 | 3") << "27 + 37 is one too many";
  EXPECT_EQ(bytes.pub("a", {}, std::string(200, 'x')), "4") << "it is taken, and gone at once";
  EXPECT_EQ(bytes.live(), "| 4");
  c = {};
  c.max_msgs_per_subject = 2;
  Harness per(c);
  for (int i = 0; i < 5; ++i) per.pub(i == 1 ? "b" : "a");
  EXPECT_EQ(per.live(), "2 4 5 | 5");
}

TEST(Limits, DiscardNew) {
  api::StreamConfig c;
  c.discard = api::Discard::kNew;
  c.max_msgs = 2;
  c.max_msgs_per_subject = 1;
  Harness h(c);
  EXPECT_EQ(h.pub("1"), "1");
  EXPECT_EQ(h.pub("2"), "2");
  EXPECT_EQ(h.pub("1"), "3") << "takes the place of the oldest of its subject";
  EXPECT_EQ(h.pub("3"), kMaxMsgs);
  EXPECT_EQ(h.live(), "2 3 | 3");
  EXPECT_EQ(h.pub("3", {{"Nats-Msg-Id", "q"}}), kMaxMsgs);
  EXPECT_EQ(h.pub("3", {{"Nats-Msg-Id", "q"}}), kMaxMsgs) << "a refused id is not remembered";
}

TEST(Limits, DiscardNewPerSubject) {
  api::StreamConfig c;
  c.discard = api::Discard::kNew;
  c.discard_new_per_subject = true;
  c.max_msgs = 3;
  c.max_msgs_per_subject = 1;
  Harness h(c);
  EXPECT_EQ(h.pub("1"), "1");
  EXPECT_EQ(h.pub("1"), kMaxPer);
  EXPECT_EQ(h.pub("2"), "2");
  EXPECT_EQ(h.pub("3"), "3");
  EXPECT_EQ(h.pub("4"), kMaxMsgs);
  EXPECT_EQ(h.pub("1"), kMaxPer);
}

TEST(Limits, DiscardNewBytes) {
  api::StreamConfig c;
  c.discard = api::Discard::kNew;
  c.max_bytes = 83;
  Harness h(c);
  EXPECT_EQ(h.pub("a", {}, std::string(200, 'x')), kMaxBytes);
  EXPECT_EQ(h.pub("a", {}, std::string(10, 'x')), "1");
  EXPECT_EQ(h.pub("a", {}, std::string(10, 'x')), "2");
  EXPECT_EQ(h.pub("a", {}, std::string(13, 'x')), kMaxBytes);
  EXPECT_EQ(h.pub("a", {}, std::string(12, 'x')), "3") << "exactly full";
  c.max_msgs_per_subject = 1;
  c.max_bytes = 60;
  Harness per(c);
  EXPECT_EQ(per.pub("a", {}, std::string(20, 'x')), "1");
  EXPECT_EQ(per.pub("a", {}, std::string(20, 'x')), "2") << "as large as what it replaces";
  EXPECT_EQ(per.pub("a", {}, std::string(30, 'x')), kMaxBytes);
  EXPECT_EQ(per.pub("b", {}, std::string(20, 'x')), kMaxBytes);
  EXPECT_EQ(per.live(), "2 | 2");
}

TEST(Limits, RollupDoesNotMakeRoom) {
  api::StreamConfig c;
  c.discard = api::Discard::kNew;
  c.max_msgs = 1;
  c.allow_rollup_hdrs = true;
  Harness h(c);
  h.pub("a");
  EXPECT_EQ(h.pub("a", {{"Nats-Rollup", "sub"}}), kMaxMsgs);
}

TEST(Limits, MaxAgeByLogTime) {
  api::StreamConfig c;
  c.max_age = 10 * kSecond;
  Harness h(c);
  EXPECT_EQ(h.machine->next_due(), std::nullopt);
  h.pub("a");
  h.now += kSecond;
  h.pub("a");
  ASSERT_TRUE(h.machine->next_due().has_value());
  EXPECT_EQ(h.machine->next_due()->ns, h.now + 9 * kSecond);
  h.now += 9 * kSecond - 1;
  EXPECT_EQ(h.tick(), "1 2 | 2");
  h.now += 1;
  EXPECT_EQ(h.tick(), "2 | 2");
  h.now += kSecond;
  EXPECT_EQ(h.pub("b"), "3") << "a publish does what a tick does";
  EXPECT_EQ(h.live(), "3 | 3");
}

TEST(Delete, Answers) {
  Harness h;
  for (int i = 0; i < 3; ++i) h.pub("a");
  EXPECT_EQ(h.erase(2), "ok");
  EXPECT_EQ(h.out.removed_count, 1u);
  EXPECT_EQ(h.erase(2), "10043 sequence 2 not found");
  EXPECT_EQ(h.erase(99), "10043 sequence 99 not found");
  EXPECT_EQ(h.erase(0), "10057 no message found");
  EXPECT_EQ(h.live(), "1 3 | 3");
  api::StreamConfig c;
  c.deny_delete = true;
  c.deny_purge = true;
  Harness denied(c);
  denied.pub("a");
  EXPECT_EQ(denied.erase(1), "10057 message delete not permitted");
  EXPECT_EQ(denied.purge(0, 0, ""), "10110 stream purge not permitted");
}

TEST(Purge, Forms) {
  Harness h;
  for (int i = 0; i < 10; ++i) h.pub("p." + std::to_string(i % 3));
  h.erase(5);
  EXPECT_EQ(h.purge(3, 2, ""), "10003 bad request");
  EXPECT_EQ(h.purge(5, 0, "p.0"), "2: 2 3 6 7 8 9 10 | 10");
  EXPECT_EQ(h.purge(0, 1, "p.1"), "1: 3 6 7 8 9 10 | 10");
  EXPECT_EQ(h.purge(0, 3, ""), "3: 8 9 10 | 10");
  EXPECT_EQ(h.purge(0, 0, "q.1"), "0: 8 9 10 | 10");
  EXPECT_EQ(h.purge(9, 0, ">"), "1: 9 10 | 10");
  EXPECT_EQ(h.purge(1, 0, ""), "0: 9 10 | 10");
  EXPECT_EQ(h.purge(1, 0, "p.*"), "0: 9 10 | 10");
  EXPECT_EQ(h.purge(0, 2, ""), "0: 9 10 | 10");
  EXPECT_EQ(h.purge(50, 0, ""), "2: | 49");
  EXPECT_EQ(h.pub("p.1"), "50");
  EXPECT_EQ(h.purge(0, 0, "p.*"), "1: | 50");
  EXPECT_EQ(h.purge(0, 0, ""), "0: | 50");
  EXPECT_EQ(h.purge(UINT64_MAX, 0, ""), "10003 bad request") << "no sequences would be left";
  EXPECT_EQ(h.pub("p.1"), "51");
}

TEST(Update, LimitsTakeEffectAtOnce) {
  Harness h;
  for (int i = 0; i < 10; ++i) h.pub("u." + std::to_string(i % 3));
  api::StreamConfig c = h.machine->config();
  c.max_msgs_per_subject = 2;
  c.discard = api::Discard::kNew;
  EXPECT_EQ(h.update(c, 1), "5 6 7 8 9 10 | 10");
  c.max_msgs = 4;
  EXPECT_EQ(h.update(c, 2), "5 6 7 8 9 10 | 10") << "discard new keeps what there is";
  c.discard = api::Discard::kOld;
  EXPECT_EQ(h.update(c, 2), "5 6 7 8 9 10 | 10") << "a revision counts once";
  EXPECT_FALSE(h.out.config_changed);
  EXPECT_EQ(h.update(c, 3), "7 8 9 10 | 10");
  EXPECT_TRUE(h.out.config_changed);
  c.max_age = kSecond;
  h.now += 2 * kSecond;
  EXPECT_EQ(h.update(c, 4), "| 10");
}

TEST(Update, BadTextChangesNothing) {
  Harness h;
  EntryBuilder b;
  b.update_stream({1, "{"});
  h.run(b);
  EXPECT_EQ(static_cast<int>(h.out.error.err_code), 10025);
  EXPECT_EQ(h.machine->config().name, "S");
  EXPECT_EQ(h.machine->config_revision(), 0u);
}

TEST(Watch, RemovalsAreReportedWhateverTheirCause) {
  api::StreamConfig c;
  c.max_msgs = 4;
  c.allow_rollup_hdrs = true;
  Harness h(c);
  h.machine->watch_removals(StreamSeq(2));
  for (int i = 0; i < 5; ++i) h.pub("a." + std::to_string(i));
  EXPECT_TRUE(h.out.removed.empty()) << "1 is below the line";
  h.pub("a.5");
  ASSERT_EQ(h.out.removed.size(), 1u);
  EXPECT_EQ(h.out.removed[0].seq, StreamSeq(2));
  EXPECT_EQ(h.out.removed[0].subject, "a.1");
  h.purge(5, 0, "");
  EXPECT_EQ(h.out.removed.size(), 2u);
  h.erase(6);
  EXPECT_EQ(h.out.removed.size(), 1u);
  h.pub("b", {{"Nats-Rollup", "all"}});
  EXPECT_EQ(h.out.removed.size(), 1u);
  EXPECT_FALSE(h.out.removed_many);
}

TEST(Watch, ManyRemovalsAreCountedAgain) {
  Harness h;
  h.machine->watch_removals(StreamSeq(1));
  for (int i = 0; i < 3000; ++i) h.pub("a");
  h.purge(0, 0, "");
  EXPECT_TRUE(h.out.removed_many);
}

}  // namespace
}  // namespace weir::jetstream
