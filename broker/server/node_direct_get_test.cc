// Whole nodes in virtual time: direct gets that are answered with many messages.
#include <algorithm>
#include <iterator>

#include "broker/base/limits.h"
#include "broker/server/cluster_world.h"
#include "broker/server/test_world.h"

namespace weir::server {
namespace {

using env::testing::SimDiskOptions;
using testing::TestClient;
using testing::TestMessage;
using testing::TestWorld;
using testing::text_at;

/// Value of a header; "" if absent.
std::string header(const TestMessage& m, const std::string& name) {
  std::size_t at = m.headers.find("\r\n" + name + ": ");
  if (at == std::string::npos) return "";
  at += name.size() + 4;
  return m.headers.substr(at, m.headers.find("\r\n", at) - at);
}

/// No time passes on the disk: commits come between the turns of a batch.
SimDiskOptions no_time() {
  SimDiskOptions o;
  o.write_ns_min = o.write_ns_max = o.sync_ns_min = o.sync_ns_max = 0;
  o.create_ns_min = o.create_ns_max = 0;
  return o;
}

struct Batch {
  explicit Batch(SimDiskOptions disk = {}) : w(1, disk), c(w) {}

  /// Stream S of `messages` with subjects s.0, s.1, ...
  void start(int messages, const std::string& body = "x", const std::string& more = "") {
    w.start();
    ASSERT_TRUE(c.connect());
    auto v = c.request("$JS.API.STREAM.CREATE.S",
                       "{\"name\":\"S\",\"subjects\":[\"s.*\"],\"allow_direct\":true" + more + "}");
    ASSERT_EQ(c.error_of(v), "");
    for (int i = 0; i < messages; ++i) {
      c.pub("s." + std::to_string(i), body);
      if (body.size() > 10'000) c.run();
    }
    ASSERT_EQ(c.publish("s.end"), messages + 1);
    c.sub("box", "get");
  }
  void ask(const std::string& body) { c.pub("$JS.API.DIRECT.GET.S", body, "box"); }
  /// Turns until the batch ended; its messages, the last one with a status.
  std::vector<TestMessage> all() {
    std::vector<TestMessage> out;
    for (int turns = 0; turns < 10'000 && (out.empty() || out.back().status().empty()); ++turns) {
      w.loop.time().turn();
      auto some = c.take("get");
      most_per_turn = std::max(most_per_turn, some.size());
      std::move(some.begin(), some.end(), std::back_inserter(out));
    }
    return out;
  }
  /// Turns until the first messages came.
  void first_part() {
    for (int turns = 0; turns < 10'000; ++turns) {
      w.loop.time().turn();
      if (!c.take("get").empty()) return;
    }
    FAIL() << "no message came";
  }
  std::string waiting() { return text_at(w.page("/ipqueuesz", "all=1"), "JetStream API queue.pending"); }

  TestWorld w;
  TestClient c;
  std::size_t most_per_turn = 0;
};

TEST(NodeDirectGet, ALongBatchTakesManyTurnsAndKeepsItsOrder) {
  Batch b;
  b.start(1999);
  b.ask("{\"seq\":1,\"batch\":1000000000}");
  auto got = b.all();
  ASSERT_EQ(got.size(), 2001u);
  for (std::size_t i = 0; i < 2000; ++i) {
    EXPECT_EQ(header(got[i], "Nats-Sequence"), std::to_string(i + 1));
    EXPECT_EQ(header(got[i], "Nats-Num-Pending"), std::to_string(1999 - i));
    EXPECT_EQ(header(got[i], "Nats-Last-Sequence"), std::to_string(i));
  }
  EXPECT_EQ(got.back().headers,
            "NATS/1.0 204 EOB\r\nNats-Num-Pending: 0\r\nNats-Last-Sequence: 2000\r\n\r\n");
  EXPECT_LE(b.most_per_turn, limits::kDirectMessagesPerTurn + 1);
}

TEST(NodeDirectGet, BatchesOfTwoClientsGoOnTogether) {
  Batch b;
  b.start(1999);
  TestClient other(b.w);
  ASSERT_TRUE(other.connect());
  other.sub("other", "get");
  b.ask("{\"seq\":1,\"batch\":2000}");
  other.pub("$JS.API.DIRECT.GET.S", "{\"seq\":1,\"batch\":20}", "other");
  b.first_part();
  for (int i = 0; i < 3; ++i) b.w.loop.time().turn();
  EXPECT_EQ(other.take("get").size(), 21u) << "a short one does not wait for a long one";
  EXPECT_EQ(b.all().back().status(), "204");
}

TEST(NodeDirectGet, BytesPerTurnAreBounded) {
  Batch b;
  b.start(40, std::string(100'000, 'x'));
  b.ask("{\"seq\":1,\"batch\":100}");
  auto got = b.all();
  ASSERT_EQ(got.size(), 42u);
  EXPECT_EQ(got.back().status(), "204");
  EXPECT_LE(b.most_per_turn, 12u);
}

// As nats-server: max_pending is the limit of a batch that names none. It alone closes no client.
TEST(NodeDirectGet, WithoutMaxBytesABatchFitsIntoMaxPending) {
  Batch b;
  b.w.options.max_pending = 100'000;
  b.start(300, std::string(1000, 'x'));
  b.c.stall(true);
  b.ask("{\"seq\":1,\"batch\":1000}");
  b.c.run(100 * kMillisecond);
  EXPECT_FALSE(b.c.closed());
  b.c.stall(false);
  auto got = b.c.take("get");
  ASSERT_GT(got.size(), 50u);
  EXPECT_LT(got.size(), 100u);
  EXPECT_EQ(got.back().status(), "204");
  EXPECT_EQ(header(got.back(), "Nats-Num-Pending"), std::to_string(302 - got.size()));
  EXPECT_EQ(header(got.back(), "Nats-Last-Sequence"), std::to_string(got.size() - 1));
}

TEST(NodeDirectGet, MaxBytesCountsWhatIsStored) {
  Batch b;
  b.start(10, std::string(1000, 'x'));
  b.ask("{\"seq\":1,\"batch\":10,\"max_bytes\":2500}");
  auto got = b.all();
  ASSERT_EQ(got.size(), 3u);
  EXPECT_EQ(header(got.back(), "Nats-Num-Pending"), "9");
  b.ask("{\"seq\":1,\"batch\":10,\"max_bytes\":1}");
  EXPECT_EQ(b.all().size(), 2u) << "one message always";
}

TEST(NodeDirectGet, ABatchEndsWithItsClient) {
  Batch b;
  b.start(9'999);
  b.ask("{\"seq\":1,\"batch\":1000000000}");
  b.first_part();
  EXPECT_EQ(b.waiting(), "1");
  b.c.send("UNSUB get\r\n");
  for (int i = 0; i < 5; ++i) b.w.loop.time().turn();
  EXPECT_EQ(b.waiting(), "0");
}

TEST(NodeDirectGet, ABatchOfADeletedStreamEndsWithAnError) {
  Batch b(no_time());
  b.start(9'999);
  b.ask("{\"seq\":1,\"batch\":1000000000}");
  b.first_part();
  b.c.pub("$JS.API.STREAM.DELETE.S", "");
  auto got = b.all();
  EXPECT_LT(got.size(), 9'000u);
  EXPECT_EQ(got.back().status(), "500");
  b.ask("{\"seq\":1,\"batch\":1}");
  EXPECT_EQ(b.all().back().status(), "503");
}

TEST(NodeDirectGet, TheLastOfManySubjects) {
  Batch b;
  b.start(999);
  b.ask("{\"multi_last\":[\"s.*\"]}");
  auto got = b.all();
  ASSERT_EQ(got.size(), 1001u);
  for (std::size_t i = 0; i < 1000; ++i) EXPECT_EQ(header(got[i], "Nats-Sequence"), std::to_string(i + 1));
  EXPECT_EQ(got.back().headers,
            "NATS/1.0 204 EOB\r\nNats-Num-Pending: 0\r\nNats-Last-Sequence: 1000\r\nNats-UpTo-Sequence: "
            "1000\r\n\r\n");
  EXPECT_LE(b.most_per_turn, limits::kDirectMessagesPerTurn + 1);
  ASSERT_EQ(b.c.publish("s.3", "new"), 1001);
  b.ask("{\"multi_last\":[\"s.3\",\"s.7\",\"s.none\"],\"up_to_seq\":1000}");
  got = b.all();
  ASSERT_EQ(got.size(), 3u);
  EXPECT_EQ(header(got[0], "Nats-Sequence"), "4");
  EXPECT_EQ(header(got[1], "Nats-Sequence"), "8");
  b.ask("{\"multi_last\":[\"s.*\"],\"batch\":2}");
  got = b.all();
  ASSERT_EQ(got.size(), 3u);
  EXPECT_EQ(header(got.back(), "Nats-Num-Pending"), "998");
  b.ask("{\"multi_last\":[\"s.none\"]}");
  EXPECT_EQ(b.all().back().status(), "404");
}

TEST(NodeDirectGet, TooManySubjects) {
  Batch b;
  b.start(1024);
  b.ask("{\"multi_last\":[\"s.*\"]}");
  EXPECT_EQ(b.all().back().status(), "413");
}

TEST(NodeDirectGet, ALongBatchReachesAClientOfAnotherNode) {
  testing::ClusterWorld w;
  testing::ClusterClient c(w, 0);
  ASSERT_NO_FATAL_FAILURE(w.start());
  ASSERT_TRUE(c.login());
  ASSERT_EQ(c.create_stream("S", 1, ",\"allow_direct\":true"), "");
  for (int i = 1; i <= 600; ++i) ASSERT_EQ(c.publish("S.a"), i);
  for (std::size_t node = 0; node < w.size(); ++node) {
    testing::ClusterClient asker(w, node);
    ASSERT_TRUE(asker.login());
    asker.sub("box", "get");
    asker.pub("$JS.API.DIRECT.GET.S", "{\"seq\":1,\"batch\":1000000000}", "box");
    w.run(kSecond);
    auto got = asker.take("get");
    ASSERT_EQ(got.size(), 601u) << node;
    for (std::size_t i = 0; i < 600; ++i)
      ASSERT_EQ(header(got[i], "Nats-Sequence"), std::to_string(i + 1)) << node;
    EXPECT_EQ(got.back().status(), "204");
  }
}

}  // namespace
}  // namespace weir::server
