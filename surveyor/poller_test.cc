#include "surveyor/poller.h"

#include <gtest/gtest.h>

#include "surveyor/inflate.h"

namespace weir::surveyor {
namespace {

std::string statsz_body(const std::string& name, int active = 0, bool jetstream = true) {
  return R"({"server":{"id":"ID)" + name + R"(","name":")" + name + R"(","jetstream":)" +
         (jetstream ? "true" : "false") + R"(},"statsz":{"active_servers":)" + std::to_string(active) + "}}";
}
std::string jsz_body(const std::string& name, int total, const std::string& account = "a") {
  return R"({"server":{"id":"ID)" + name + R"(","name":")" + name + R"("},"data":{"total":)" +
         std::to_string(total) + R"(,"account_details":[{"name":")" + account +
         R"(","stream_detail":[{"name":"S"}]}]}})";
}

class PollerTest : public ::testing::Test {
 protected:
  PollerTest() {
    options_.accounts_per_page = 2;
    poller_.emplace(options_, 1);
  }
  std::vector<Ask> due() { return poller_->due(now_, wall_); }
  void reply(const std::string& token, std::string data) {
    poller_->arrive({Arrival::Kind::kReply, token, std::move(data), false, false}, now_, wall_);
  }
  /// Connects; the PING of round 1 is out.
  void connect() {
    poller_->connection(true, now_);
    auto asks = due();
    ASSERT_EQ(asks.size(), 1u);
    EXPECT_EQ(asks[0].subject, "$SYS.REQ.SERVER.PING");
    EXPECT_EQ(asks[0].token, "1.P");
  }
  std::uint64_t errors(const std::string& request, const std::string& reason) {
    auto it = poller_->stats().errors.find({request, reason});
    return it == poller_->stats().errors.end() ? 0 : it->second;
  }

  PollerOptions options_;
  std::optional<Poller> poller_;
  Mono now_{1000 * kSecond};
  Wall wall_{1'700'000'000 * kSecond};
};

TEST_F(PollerTest, ARoundWithPaging) {
  connect();
  reply("1.P", statsz_body("n1", 2));
  EXPECT_TRUE(due().empty()) << "the servers say that there are two";
  reply("1.P", statsz_body("n2", 2));
  auto asks = due();
  ASSERT_EQ(asks.size(), 2u);
  EXPECT_EQ(asks[0].subject, "$SYS.REQ.SERVER.IDn1.JSZ");
  EXPECT_EQ(asks[0].body,
            R"({"accounts":true,"streams":true,"consumer":true,"config":true,"limit":2,"offset":0})");
  reply(asks[0].token, jsz_body("n1", 3));
  auto second = due();
  ASSERT_EQ(second.size(), 1u) << "three accounts, two per page";
  EXPECT_NE(second[0].body.find("\"offset\":2"), std::string::npos);
  reply(asks[1].token, jsz_body("n2", 1));
  EXPECT_FALSE(poller_->take_finished());
  reply(second[0].token, jsz_body("n1", 3, "b"));
  due();
  auto round = poller_->take_finished();
  ASSERT_TRUE(round);
  EXPECT_EQ(round->servers.size(), 2u);
  EXPECT_EQ(round->streams.size(), 2u) << "accounts a and b";
  EXPECT_TRUE(round->servers.at("IDn1").jsz_complete);
  EXPECT_FALSE(poller_->take_finished());
  EXPECT_GT(poller_->deadline(), now_);
  EXPECT_EQ(poller_->stats().requests.at("JSZ").last_success, wall_);
}

TEST_F(PollerTest, SilenceEndsDiscovery) {
  connect();
  reply("1.P", statsz_body("old-server"));
  EXPECT_TRUE(due().empty());
  EXPECT_EQ(poller_->deadline(), now_ + options_.discovery);
  now_ = now_ + options_.discovery;
  EXPECT_EQ(due().size(), 1u);
}

TEST_F(PollerTest, CountWaitsForAllOrTheTimeout) {
  options_.expected = 3;
  poller_.emplace(options_, 1);
  connect();
  reply("1.P", statsz_body("n1", 1));
  now_ = now_ + 2 * options_.discovery;
  EXPECT_TRUE(due().empty());
  now_ = now_ + options_.timeout;
  EXPECT_EQ(due().size(), 1u);
  EXPECT_EQ(poller_->stats().no_replies, 2u);
}

TEST_F(PollerTest, ARoundWithoutAnyAnswerCountsTheKnownServers) {
  connect();
  reply("1.P", statsz_body("n1", 2));
  reply("1.P", statsz_body("n2", 2));
  for (auto& ask : due()) reply(ask.token, jsz_body("n1", 1));
  now_ = now_ + 2 * options_.timeout;
  due();
  EXPECT_EQ(poller_->stats().no_replies, 0u);
  now_ = now_ + 2 * options_.interval;
  due();
  now_ = now_ + options_.timeout;
  due();
  EXPECT_EQ(poller_->stats().no_replies, 2u);
}

TEST_F(PollerTest, ASlowServerDoesNotHoldTheRound) {
  connect();
  reply("1.P", statsz_body("n1", 2));
  reply("1.P", statsz_body("n2", 2));
  auto asks = due();
  reply(asks[0].token, jsz_body("n1", 1));
  due();
  EXPECT_EQ(poller_->deadline(), now_ + options_.timeout);
  now_ = now_ + options_.timeout;
  due();
  auto round = poller_->take_finished();
  ASSERT_TRUE(round);
  EXPECT_TRUE(round->servers.at("IDn1").jsz_complete);
  EXPECT_FALSE(round->servers.at("IDn2").jsz_complete);
  EXPECT_TRUE(round->servers.at("IDn2").pinged);
  EXPECT_EQ(errors("JSZ", "timeout"), 1u);
  reply(asks[1].token, jsz_body("n2", 1));
  EXPECT_EQ(poller_->stats().late_replies, 1u);
}

TEST_F(PollerTest, UnusableAnswersEndOnlyTheirServer) {
  const std::pair<std::string, const char*> kCases[] = {
      {"junk", "decode"},
      {R"({"server":{"id":"IDelse"},"data":{}})", "foreign_reply"},
      {R"({"server":{"id":"IDn1"},"error":{"code":400,"description":"no"}})", "refused"},
      {R"({"server":{"id":"IDn1"},"data":{"disabled":true}})", "disabled"}};
  std::uint64_t number = 0;
  for (const auto& [body, reason] : kCases) {
    poller_->connection(true, now_);
    ASSERT_EQ(due().size(), 1u);
    reply(std::to_string(++number) + ".P", statsz_body("n1", 1));
    auto asks = due();
    ASSERT_EQ(asks.size(), 1u);
    reply(asks[0].token, body);
    due();
    auto round = poller_->take_finished();
    ASSERT_TRUE(round);
    EXPECT_FALSE(round->servers.at("IDn1").jsz_complete) << reason;
    EXPECT_EQ(errors("JSZ", reason), 1u) << reason;
    EXPECT_FALSE(round->servers.contains("IDelse"));
  }
}

TEST_F(PollerTest, StrayTokensAreCountedAndIgnored) {
  connect();
  for (const char* token : {"", ".", "1", "1.", "1.Q", "1.J", "1.J.", "1.J.0", "1.J.0.0", "1.J.9.0",
                            "1.J.x.y", "2.P", "0.P", "99999999999999999999.P", "1.P.P"}) {
    reply(token, statsz_body("evil"));
  }
  EXPECT_EQ(poller_->stats().late_replies, 15u);
  reply("1.P", "not json");
  EXPECT_EQ(errors("PING", "decode"), 1u);
  reply("1.P", statsz_body("n1", 1));
  reply("1.P", statsz_body("n1", 1));
  auto asks = due();
  EXPECT_EQ(asks.size(), 1u) << "a server that answers twice is one";
  reply(asks[0].token, jsz_body("n1", 1));
  reply(asks[0].token, jsz_body("n1", 1));
  due();
  auto round = poller_->take_finished();
  ASSERT_TRUE(round);
  EXPECT_EQ(round->servers.size(), 1u);
  EXPECT_EQ(round->streams.size(), 1u);
}

TEST_F(PollerTest, PushedServersAreAskedToo) {
  poller_->arrive({Arrival::Kind::kStatsz, "", statsz_body("pushed"), false, false}, now_, wall_);
  connect();
  reply("1.P", statsz_body("n1", 1));
  EXPECT_EQ(due().size(), 2u);
  EXPECT_EQ(poller_->stats().events.at("statsz"), 1u);
}

TEST_F(PollerTest, GoodbyeEndsTheQuestion) {
  connect();
  reply("1.P", statsz_body("n1", 1));
  ASSERT_EQ(due().size(), 1u);
  poller_->arrive({Arrival::Kind::kGoodbye, "", R"({"server":{"id":"IDn1","name":"n1"}})", false, false},
                  now_, wall_);
  due();
  auto round = poller_->take_finished();
  ASSERT_TRUE(round);
  EXPECT_TRUE(round->servers.at("IDn1").down_announced);
  EXPECT_EQ(errors("JSZ", "shutdown"), 1u);
}

TEST_F(PollerTest, ServersWithoutJetStreamAreNotAsked) {
  connect();
  reply("1.P", statsz_body("n1", 1, false));
  EXPECT_TRUE(due().empty());
  auto round = poller_->take_finished();
  ASSERT_TRUE(round);
  EXPECT_FALSE(round->servers.at("IDn1").jsz_complete);
}

TEST_F(PollerTest, WithoutConnectionRoundsAreEmpty) {
  EXPECT_TRUE(due().empty());
  ASSERT_TRUE(poller_->take_finished());
  EXPECT_EQ(poller_->stats().failed_rounds, 1u);
  EXPECT_GT(poller_->deadline(), now_) << "and they keep their interval";
  now_ = now_ + kSecond;
  poller_->connection(true, now_);
  EXPECT_EQ(due().size(), 1u) << "a new connection asks at once";
}

TEST_F(PollerTest, DisconnectEndsTheRoundAtOnce) {
  connect();
  reply("1.P", statsz_body("n1", 1));
  ASSERT_EQ(due().size(), 1u);
  poller_->connection(false, now_);
  EXPECT_TRUE(due().empty());
  EXPECT_TRUE(poller_->take_finished());
  EXPECT_EQ(errors("JSZ", "disconnected"), 1u);
}

TEST_F(PollerTest, NoRespondersAndBombs) {
  connect();
  poller_->arrive({Arrival::Kind::kReply, "1.P", "", false, true}, now_, wall_);
  EXPECT_EQ(errors("PING", "no_responders"), 1u);
  poller_->arrive({Arrival::Kind::kReply, "1.P", "no gzip", true, false}, now_, wall_);
  EXPECT_EQ(errors("PING", "compression"), 1u);
  poller_->arrive({Arrival::Kind::kReply, "1.P", gzip(statsz_body("n1", 1)), true, false}, now_, wall_);
  EXPECT_EQ(due().size(), 1u);
}

TEST_F(PollerTest, ManyServersAreAskedAFewAtATime) {
  connect();
  for (int i = 0; i < 40; ++i) reply("1.P", statsz_body("n" + std::to_string(100 + i), 40));
  auto asks = due();
  EXPECT_EQ(asks.size(), kAsksInFlight);
  reply(asks[0].token, jsz_body("n100", 1));
  EXPECT_EQ(due().size(), 1u);
}

}  // namespace
}  // namespace weir::surveyor
