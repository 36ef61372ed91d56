// Whole nodes in virtual time: crashes, full and failing disks, damaged files, vanished accounts.
#include "broker/server/test_world.h"

namespace weir::server {
namespace {

using testing::Survivors;
using testing::TestClient;
using testing::TestWorld;
using testing::text_at;

void make_stream(TestClient& c, const std::string& name, const std::string& more = "") {
  auto v = c.request("$JS.API.STREAM.CREATE." + name,
                     "{\"name\":\"" + name + "\",\"subjects\":[\"" + name + ".>\"]" + more + "}");
  EXPECT_EQ(c.error_of(v), "") << text_at(v, "error.description");
}
void make_consumer(TestClient& c, const std::string& stream, const std::string& name,
                   const std::string& more = "") {
  auto v = c.request("$JS.API.CONSUMER.CREATE." + stream + "." + name,
                     "{\"stream_name\":\"" + stream + "\",\"action\":\"\",\"config\":{\"name\":\"" + name +
                         "\",\"durable_name\":\"" + name + "\",\"ack_policy\":\"explicit\"" + more + "}}");
  EXPECT_EQ(c.error_of(v), "") << text_at(v, "error.description");
}
std::string info(TestClient& c, const std::string& stream, const std::string& path) {
  return text_at(c.request("$JS.API.STREAM.INFO." + stream), path);
}
std::string cinfo(TestClient& c, const std::string& stream, const std::string& name,
                  const std::string& path) {
  return text_at(c.request("$JS.API.CONSUMER.INFO." + stream + "." + name), path);
}
/// Pulls up to `n` messages and acknowledges them with confirmation; returns how many were confirmed.
int consume(TestClient& c, const std::string& stream, const std::string& name, int n) {
  c.sub("pull.box", "pull");
  c.pub("$JS.API.CONSUMER.MSG.NEXT." + stream + "." + name,
        "{\"batch\":" + std::to_string(n) + ",\"no_wait\":true}", "pull.box");
  c.run(20 * kMillisecond);
  int confirmed = 0;
  for (auto& m : c.take("pull")) {
    if (m.reply.starts_with("$JS.ACK.")) confirmed += c.ask(m.reply, "+ACK").has_value();
  }
  return confirmed;
}

TestWorld& tiny(TestWorld& w) {
  // Files roll, fill and are checkpointed within a few hundred messages.
  w.tuning.journal_file_bytes = 16 * 1024;
  w.tuning.journal_files_max = 8;
  w.tuning.tail_bytes_max = 8 * 1024;
  w.tuning.block_bytes = 4096;
  w.tuning.segment_bytes = 32 * 1024;
  w.tuning.catalog_roll_bytes = 16 * 1024;
  w.tuning.meta_checkpoint_entries = 4;
  return w;
}

TEST(NodeFaults, EverythingIsThereAfterPowerLoss) {
  TestWorld w;
  w.start();
  {
    TestClient c(w);
    ASSERT_TRUE(c.connect());
    make_stream(c, "S");
    make_stream(c, "M", ",\"storage\":\"memory\"");
    make_consumer(c, "S", "c");
    for (int i = 0; i < 10; ++i) EXPECT_EQ(c.publish("S.a", "m" + std::to_string(i)), i + 1);
    EXPECT_EQ(c.publish("M.a"), 1);
    EXPECT_EQ(consume(c, "S", "c", 4), 4);
  }
  for (Survivors how : {Survivors::kNone, Survivors::kRandom, Survivors::kAll}) {
    w.restart(how);
    TestClient c(w);
    ASSERT_TRUE(c.connect());
    EXPECT_EQ(info(c, "S", "state.messages"), "10");
    EXPECT_EQ(cinfo(c, "S", "c", "ack_floor.stream_seq"), "4");
    EXPECT_EQ(cinfo(c, "S", "c", "num_pending"), "6");
    // A memory stream comes back empty.
    EXPECT_EQ(info(c, "M", "state.messages"), "0");
    EXPECT_EQ(c.publish("M.a"), 1);
  }
  TestClient c(w);
  ASSERT_TRUE(c.connect());
  EXPECT_EQ(consume(c, "S", "c", 10), 6);
  EXPECT_EQ(w.log.count(Level::kError), 0u);
}

TEST(NodeFaults, OrderlyStopAndStart) {
  TestWorld w;
  tiny(w).start();
  for (int life = 0; life < 4; ++life) {
    TestClient c(w);
    ASSERT_TRUE(c.connect());
    if (life == 0) make_stream(c, "S");
    EXPECT_EQ(info(c, "S", "state.last_seq"), std::to_string(life * 50));
    for (int i = 0; i < 50; ++i) EXPECT_EQ(c.publish("S.a", std::string(200, 'x')), life * 50 + i + 1);
    w.stop();
    w.start();
  }
  EXPECT_EQ(w.log.count(Level::kError), 0u);
}

// Power fails at the n-th disk operation of a scenario with streams, consumers, deletions and
// checkpoints, for many n: acknowledged is kept, double-acked is never delivered again, deleted stays so.
TEST(NodeFaults, PowerLossAtManyOperations) {
  bool done = false;
  std::size_t rounds = 0;
  for (std::uint64_t n = 1; !done && n < 4000; n += 1 + n / 8) {
    ++rounds;
    TestWorld w(n);
    tiny(w);
    w.disk.crash_at(n);
    std::int64_t acked = 0;
    int confirmed = 0;
    bool created = false, deleted = false, consumer = false;
    if (w.try_start() && !w.disk.frozen()) {
      w.loop.run_for(20 * kMillisecond);
      TestClient c(w);
      if (c.connect()) {
        auto ok = [&](const std::string& subject, const std::string& body) {
          auto m = c.ask(subject, body, "", kSecond);
          return m && !testing::at(m->json(), "error");
        };
        created = ok("$JS.API.STREAM.CREATE.S", "{\"name\":\"S\",\"subjects\":[\"S.>\"]}");
        bool doomed = ok("$JS.API.STREAM.CREATE.D", "{\"name\":\"D\",\"subjects\":[\"D.>\"]}");
        consumer = created && ok("$JS.API.CONSUMER.CREATE.S.c",
                                 "{\"stream_name\":\"S\",\"config\":{\"name\":\"c\",\"durable_name\":\"c\","
                                 "\"ack_policy\":\"explicit\"}}");
        for (int i = 0; i < 120 && !w.disk.frozen(); ++i) {
          std::int64_t seq = 0;
          auto m = c.ask("S.a", std::to_string(i) + std::string(300, 'x'), "", kSecond);
          if (m && !m->body.empty() && !testing::at(m->json(), "error")) {
            seq = static_cast<std::int64_t>(parse_u64(text_at(m->json(), "seq")).value_or(0));
          }
          if (seq) {
            EXPECT_EQ(seq, acked + 1);
            acked = seq;
          }
          if (doomed && i == 60) deleted = ok("$JS.API.STREAM.DELETE.D", "");
          if (doomed && i < 60) c.pub("D.x", std::string(300, 'y'));
          if (consumer && i % 10 == 9 && !w.disk.frozen()) confirmed += consume(c, "S", "c", 5);
        }
      }
      done = !w.disk.frozen();
    }
    w.crash(Survivors::kAny);
    ASSERT_NO_FATAL_FAILURE(w.start()) << "operation " << n;
    TestClient c(w);
    ASSERT_TRUE(c.connect());
    if (created) {
      auto last = parse_u64(info(c, "S", "state.last_seq"));
      ASSERT_TRUE(last) << "operation " << n;
      EXPECT_GE(static_cast<std::int64_t>(*last), acked) << "operation " << n;
      for (std::uint64_t s = 1; s <= *last; s += 7) {
        auto m = c.request("$JS.API.STREAM.MSG.GET.S", "{\"seq\":" + std::to_string(s) + "}");
        EXPECT_EQ(text_at(m, "message.seq"), std::to_string(s)) << "operation " << n;
      }
    }
    if (consumer) {
      auto floor = parse_u64(cinfo(c, "S", "c", "ack_floor.stream_seq"));
      ASSERT_TRUE(floor);
      EXPECT_GE(static_cast<int>(*floor), confirmed) << "operation " << n;
    }
    if (deleted) {
      EXPECT_EQ(c.error_of(c.request("$JS.API.STREAM.INFO.D")), "10059") << "operation " << n;
    }
    EXPECT_EQ(text_at(w.page("/healthz"), "status"), "ok") << "operation " << n;
    // And it goes on: enough to use every journal file again.
    if (created) {
      for (int i = 0; i < 60; ++i) {
        std::int64_t seq = c.publish("S.b", std::string(300, 'z'));
        if (seq < 0) {  // full for a moment
          w.loop.run_for(2 * kSecond);
          seq = c.publish("S.b", std::string(300, 'z'));
        }
        ASSERT_GT(seq, 0) << "operation " << n << ", " << i
                          << (w.log.lines().empty() ? "" : w.log.lines().back().text);
      }
    }
  }
  EXPECT_TRUE(done);
  EXPECT_GT(rounds, 10u);
}

// After kill -9 the page cache shows what the disk may not have: what is shown to clients must not be
// taken back by a power loss soon after.
TEST(NodeFaults, WhatWasShownAfterAKillSurvivesPowerLoss) {
  int shown_more = 0;
  for (std::uint64_t n = 1; n < 40; ++n) {
    TestWorld w(n);
    w.start();
    TestClient c(w);
    ASSERT_TRUE(c.connect());
    make_stream(c, "S");
    ASSERT_EQ(c.publish("S.a"), 1);
    for (int i = 0; i < 20; ++i) c.pub("S.a", "x");
    w.disk.crash_at(n);
    c.run(20 * kMillisecond);
    w.node.reset();
    w.loop.forget_all();
    w.disk.kill(w.prng);
    env::testing::SimDiskOptions slow;
    slow.sync_ns_min = slow.sync_ns_max = 30 * kMillisecond;
    w.disk.set_options(slow);  // a client comes before the first sync is over
    Status s = w.try_start();
    ASSERT_TRUE(s);
    TestClient d(w);
    d.connect();
    auto last = parse_u64(info(d, "S", "state.last_seq"));
    ASSERT_TRUE(last);
    shown_more += *last > 1;
    w.restart(Survivors::kNone);
    TestClient e(w);
    ASSERT_TRUE(e.connect());
    auto after = parse_u64(info(e, "S", "state.last_seq"));
    ASSERT_TRUE(after);
    EXPECT_GE(*after, *last) << "operation " << n;
  }
  EXPECT_GT(shown_more, 0);
}

// ---- disks -----------------------------------------------------------------------------------

TEST(NodeFaults, AFullDiskRefusesPublishesAndLetsTheRestGoOn) {
  TestWorld w;
  w.start();
  TestClient c(w);
  ASSERT_TRUE(c.connect());
  make_stream(c, "S");
  make_stream(c, "M", ",\"storage\":\"memory\"");
  make_consumer(c, "S", "c");
  for (int i = 0; i < 10; ++i) c.publish("S.a");
  w.disk.set_capacity(w.disk.used_bytes() + 1000);
  w.loop.run_for(2 * kSecond);
  EXPECT_EQ(c.publish("S.a"), -10023);
  EXPECT_GT(c.publish("M.a"), 0);
  EXPECT_EQ(consume(c, "S", "c", 3), 3);
  EXPECT_EQ(text_at(c.request("$JS.API.STREAM.MSG.DELETE.S", "{\"seq\":5}"), "success"), "true");
  EXPECT_EQ(text_at(c.request("$JS.API.STREAM.PURGE.S", "{\"seq\":4}"), "purged"), "3");
  EXPECT_EQ(info(c, "S", "state.messages"), "6");
  w.disk.set_capacity(1ull << 40);
  w.loop.run_for(2 * kSecond);
  EXPECT_EQ(c.publish("S.a"), 11);
  EXPECT_TRUE(w.fatal.empty());
}

TEST(NodeFaults, AFailedSyncEndsAcknowledgements) {
  TestWorld w;
  w.start();
  TestClient c(w);
  ASSERT_TRUE(c.connect());
  make_stream(c, "S");
  make_consumer(c, "S", "c");
  for (int i = 0; i < 3; ++i) ASSERT_EQ(c.publish("S.a"), i + 1);
  w.disk.fail_next_sync("journal/");
  std::int64_t seq = c.publish("S.a");
  EXPECT_LE(seq, 0);
  EXPECT_FALSE(w.fatal.empty());
  for (int i = 0; i < 5; ++i) EXPECT_LE(c.publish("S.a"), 0);
  EXPECT_NE(c.error_of(c.request("$JS.API.STREAM.CREATE.T", "{\"name\":\"T\",\"subjects\":[\"t\"]}")), "");
  EXPECT_NE(text_at(w.page("/healthz"), "status"), "ok");
  // The next life has what was acknowledged.
  w.restart(Survivors::kNone);
  TestClient d(w);
  ASSERT_TRUE(d.connect());
  EXPECT_GE(parse_u64(info(d, "S", "state.last_seq")).value_or(0), 3u);
}

// A checkpoint that fails must not lose what it was told: consumers, dedupe pages.
TEST(NodeFaults, AFailedCheckpointIsMadeGoodByTheNext) {
  for (int round = 0; round < 6; ++round) {
    TestWorld w(static_cast<std::uint64_t>(round) + 1);
    tiny(w);
    w.tuning.journal_files_max = 256;  // more than what is published until the next try
    w.start();
    TestClient c(w);
    ASSERT_TRUE(c.connect());
    make_stream(c, "S");
    make_consumer(c, "S", "early", ",\"metadata\":{\"k\":\"v\"}");
    ASSERT_EQ(c.publish("S.a", "x", "Nats-Msg-Id: first"), 1);
    for (int i = 0; i < round; ++i) w.disk.fail_next_write("groups/", Code::kNoSpace);
    w.disk.fail_next_write("groups/", Code::kNoSpace);
    std::int64_t last = 1;
    for (int i = 0; i < 400; ++i) {
      last = c.publish("S.b", std::string(200, 'x'));
      ASSERT_EQ(last, i + 2);
      if (i % 50 == 0) w.loop.run_for(2 * kSecond);
    }
    EXPECT_TRUE(w.log.contains("checkpoint"));
    w.loop.run_for(5 * kSecond);
    w.restart(Survivors::kNone);
    TestClient d(w);
    ASSERT_TRUE(d.connect());
    EXPECT_EQ(info(d, "S", "state.last_seq"), std::to_string(last));
    EXPECT_EQ(cinfo(d, "S", "early", "config.metadata.k"), "v");
    EXPECT_EQ(cinfo(d, "S", "early", "num_pending"), std::to_string(last));
    auto again = d.ask("S.a", "x", "Nats-Msg-Id: first");
    ASSERT_TRUE(again);
    EXPECT_EQ(text_at(again->json(), "duplicate"), "true");
    EXPECT_EQ(text_at(again->json(), "seq"), "1");
  }
}

TEST(NodeFaults, ADamagedStreamIsOfflineAndOthersGoOn) {
  TestWorld w;
  w.start();
  {
    TestClient c(w);
    ASSERT_TRUE(c.connect());
    make_stream(c, "BAD");
    make_stream(c, "GOOD");
    ASSERT_EQ(c.publish("BAD.x", "the-bytes-that-rot"), 1);
    for (int i = 0; i < 3; ++i) c.publish("BAD.x");
    for (int i = 0; i < 3; ++i) c.publish("GOOD.x");
  }
  w.crash(Survivors::kAll);
  bool flipped = false;
  for (const std::string& path : w.disk.files()) {
    auto at = w.disk.content(path)->find("the-bytes-that-rot");
    if (at != std::string::npos) flipped |= w.disk.flip_bit(path, at + 2, 1);
  }
  ASSERT_TRUE(flipped);
  w.start();
  TestClient c(w);
  ASSERT_TRUE(c.connect());
  EXPECT_EQ(c.publish("GOOD.x"), 4);
  EXPECT_EQ(c.error_of(c.request("$JS.API.STREAM.INFO.BAD")), "10194");
  EXPECT_LE(c.publish("BAD.x"), 0);
  auto health = w.page("/healthz");
  EXPECT_EQ(text_at(health, "status"), "unavailable");
  EXPECT_NE(text_at(health, "error").find("BAD"), std::string::npos);
  auto list = c.request("$JS.API.STREAM.LIST");
  EXPECT_NE(testing::at(list, "offline"), nullptr);
  // It can be deleted, and made anew.
  EXPECT_EQ(text_at(c.request("$JS.API.STREAM.DELETE.BAD"), "success"), "true");
  make_stream(c, "BAD");
  EXPECT_EQ(c.publish("BAD.x"), 1);
  EXPECT_EQ(text_at(w.page("/healthz"), "status"), "ok");
  w.restart();
  EXPECT_EQ(text_at(w.page("/healthz"), "status"), "ok");
}

// ---- configuration -----------------------------------------------------------------------------

TEST(NodeFaults, AStreamWhoseAccountVanishedWaitsForIt) {
  config::AccountConfig a, b;
  config::UserConfig u;
  u.password = "p";
  u.name = "a";
  a.name = "A";
  a.users = {u};
  a.jetstream.emplace().enabled = true;
  u.name = "b";
  b.name = "B";
  b.users = {u};
  b.jetstream.emplace().enabled = true;
  TestWorld w;
  tiny(w);
  w.options.accounts = {a, b};
  w.start();
  {
    TestClient c(w);
    ASSERT_TRUE(c.connect("\"user\":\"a\",\"pass\":\"p\""));
    make_stream(c, "S");
    for (int i = 0; i < 20; ++i) c.publish("S.x", std::string(300, 'x'));
    TestClient d(w);
    ASSERT_TRUE(d.connect("\"user\":\"b\",\"pass\":\"p\""));
    make_stream(d, "T");
  }
  w.options.accounts = {b};
  w.restart();
  {
    TestClient d(w);
    ASSERT_TRUE(d.connect("\"user\":\"b\",\"pass\":\"p\""));
    // Its records do not keep the journal from being used again.
    for (int i = 0; i < 1500; ++i) ASSERT_EQ(d.publish("T.x", std::string(300, 'x')), i + 1);
    EXPECT_EQ(d.error_of(d.request("$JS.API.STREAM.INFO.S")), "10059");
  }
  w.options.accounts = {a, b};
  w.restart();
  TestClient c(w);
  ASSERT_TRUE(c.connect("\"user\":\"a\",\"pass\":\"p\""));
  EXPECT_EQ(info(c, "S", "state.messages"), "20");
  EXPECT_EQ(c.publish("S.x"), 21);
}

TEST(NodeFaults, TheJournalIsUsedAgainAndAgain) {
  TestWorld w;
  tiny(w).start();
  TestClient c(w);
  ASSERT_TRUE(c.connect());
  // One busy stream, idle ones whose few records would hold the oldest file, and deleted ones.
  make_stream(c, "BUSY", ",\"max_msgs\":100");
  for (int i = 0; i < 5; ++i) {
    make_stream(c, "IDLE" + std::to_string(i));
    c.publish("IDLE" + std::to_string(i) + ".x", "kept");
    make_stream(c, "GONE" + std::to_string(i));
    c.publish("GONE" + std::to_string(i) + ".x", "gone");
    (void)c.request("$JS.API.STREAM.DELETE.GONE" + std::to_string(i));
  }
  for (int i = 0; i < 2000; ++i) ASSERT_EQ(c.publish("BUSY.x", std::string(300, 'x')), i + 1);
  w.restart(Survivors::kAny);
  TestClient d(w);
  ASSERT_TRUE(d.connect());
  for (int i = 0; i < 5; ++i) EXPECT_EQ(info(d, "IDLE" + std::to_string(i), "state.messages"), "1");
  EXPECT_EQ(info(d, "BUSY", "state.last_seq"), "2000");
  EXPECT_EQ(info(d, "BUSY", "state.messages"), "100");
}

// The deletion is committed, the note in the journal that voids the stream's records is not.
TEST(NodeFaults, ADeletionCutShortDoesNotHoldTheJournal) {
  int cut_short = 0;
  for (std::uint64_t n = 1; n < 24; ++n) {
    TestWorld w(n);
    tiny(w).start();
    TestClient c(w);
    ASSERT_TRUE(c.connect());
    make_stream(c, "KEPT");
    make_stream(c, "GONE");
    for (int i = 0; i < 3; ++i) c.publish("GONE.x");
    w.disk.crash_at(n);
    c.pub("$JS.API.STREAM.DELETE.GONE", "");
    c.run(50 * kMillisecond);
    bool frozen = w.disk.frozen();
    w.restart(Survivors::kNone);
    TestClient d(w);
    ASSERT_TRUE(d.connect());
    bool gone = d.error_of(d.request("$JS.API.STREAM.INFO.GONE")) == "10059";
    cut_short += frozen && gone;
    for (int i = 0; i < 200; ++i) ASSERT_EQ(d.publish("KEPT.x"), i + 1) << "operation " << n;
    if (!gone) continue;
    make_stream(d, "GONE");
    EXPECT_EQ(d.publish("GONE.x"), 1);
  }
  EXPECT_GT(cut_short, 0);
}

void lose_journal(TestWorld& w) {
  for (const auto& path : w.disk.files()) {
    if (!path.starts_with("journal/")) continue;
    ASSERT_TRUE(w.disk.remove(path));
  }
  ASSERT_TRUE(w.disk.sync_dir("journal"));
}

// A journal that is gone is not one that never was: nothing begins anew, or from an old checkpoint, by
// itself.
TEST(NodeFaults, WithoutItsJournalAServerOfItsOwnStopsItsStreams) {
  TestWorld w;
  tiny(w).start();
  {
    TestClient c(w);
    ASSERT_TRUE(c.connect());
    make_stream(c, "S");
    for (int i = 0; i < 40; ++i) EXPECT_EQ(c.publish("S.a", std::string(500, 'x')), i + 1);
  }
  w.stop();
  ASSERT_NO_FATAL_FAILURE(lose_journal(w));
  for (int life = 0; life < 2; ++life) {
    w.log.clear();
    w.start();
    EXPECT_TRUE(w.log.contains("frames were written here, and all of them are gone")) << life;
    EXPECT_TRUE(w.log.contains("meta group stopped: group 1: the journal may have lost entries")) << life;
    EXPECT_TRUE(w.log.contains("stream $G/S (group ")) << life;
    TestClient c(w);
    ASSERT_TRUE(c.connect());
    EXPECT_LE(c.publish("S.a", "x"), 0) << life;
    EXPECT_NE(c.error_of(c.request("$JS.API.STREAM.CREATE.T", "{\"name\":\"T\",\"subjects\":[\"T\"]}")), "");
    w.stop();
  }
  // Somebody decided to go on with what the checkpoints have.
  ASSERT_TRUE(w.disk.remove("journal/lost"));
  ASSERT_TRUE(w.disk.sync_dir("journal"));
  w.start();
  TestClient c(w);
  ASSERT_TRUE(c.connect());
  std::int64_t last = static_cast<std::int64_t>(parse_u64(info(c, "S", "state.last_seq")).value_or(0));
  EXPECT_EQ(c.publish("S.a", "x"), last + 1);
}

// Stores from before the note get it at the first start that finds frames; a start that is cut short before
// there is a frame notes nothing.
TEST(NodeFaults, AFirstStartThatIsCutShortLosesNothing) {
  for (std::uint64_t n = 1; n < 60; ++n) {
    TestWorld w(n);
    tiny(w).disk.crash_at(n);
    if (w.try_start()) w.loop.run_for(20 * kMillisecond);
    w.crash(Survivors::kAny);
    w.log.clear();
    ASSERT_NO_FATAL_FAILURE(w.start()) << n;
    EXPECT_EQ(w.log.count(Level::kError), 0u) << n;
    TestClient c(w);
    ASSERT_TRUE(c.connect());
    make_stream(c, "S");
    EXPECT_EQ(c.publish("S.a", "x"), 1);
  }
}

}  // namespace
}  // namespace weir::server
