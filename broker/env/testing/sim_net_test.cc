#include "broker/env/testing/sim_net.h"

#include <gtest/gtest.h>

#include <optional>

namespace weir::env::testing {
namespace {

struct Sink final : ConnectionHandler {
  void data(ByteSpan bytes) override { got += as_text(bytes); }
  void drained() override {}
  void closed(const std::string& detail) override { end = detail; }
  std::string got;
  std::optional<std::string> end;
};

struct World {
  World() {
    listener = std::move(b.listen({"", 7}, [this](std::unique_ptr<Connection> c) {
                 accepted = std::move(c);
                 accepted->start(&at_b);
               })).value();
  }
  void dial(Nanos timeout = kSecond) {
    a.dial({"b", 7}, timeout, [this](Result<std::unique_ptr<Connection>> r) {
      if (!r) {
        refused = r.error().detail;
        return;
      }
      dialled = std::move(r).value();
      dialled->start(&at_a);
    });
  }
  void send(Connection& c, std::string_view text) { c.write({Bytes::copy_of(text)}); }

  SimTime time;
  SimLoop loop_a{time}, loop_b{time};
  SimNet net{time, 3, {}};
  SimHost a{net, loop_a, "a"}, b{net, loop_b, "b"};
  Sink at_a, at_b;
  std::unique_ptr<Listener> listener;
  std::unique_ptr<Connection> dialled, accepted;
  std::string refused;
};

TEST(SimNet, CarriesBytesBothWays) {
  World w;
  w.dial();
  w.time.run_for(kSecond);
  ASSERT_TRUE(w.dialled && w.accepted);
  w.send(*w.dialled, "to b");
  w.send(*w.accepted, "to a");
  w.dialled->close();
  w.time.run_for(kSecond);
  EXPECT_EQ(w.at_b.got, "to b");
  EXPECT_EQ(w.at_b.end, "");
}

TEST(SimNet, PartitionOneWayHoldsThatWayOnly) {
  World w;
  w.dial();
  w.time.run_for(kSecond);
  w.net.partition("a", "b", Cut::kFirstToSecond);
  w.send(*w.dialled, "held");
  w.send(*w.accepted, "passes");
  w.time.run_for(kMinute);
  EXPECT_EQ(w.at_b.got, "");
  EXPECT_EQ(w.at_a.got, "passes");
  w.net.heal("b", "a");
  w.time.run_for(kSecond);
  EXPECT_EQ(w.at_b.got, "held");
}

TEST(SimNet, PartitionHoldsBytesEndsAndBackPressure) {
  World w;
  w.dial();
  w.time.run_for(kSecond);
  w.net.partition("b", "a");
  std::string much(1 << 20, 'x');
  w.send(*w.dialled, much);
  w.dialled->close();
  w.time.run_for(kMinute);
  EXPECT_EQ(w.at_b.got, "");
  EXPECT_FALSE(w.at_b.end.has_value());
  EXPECT_GT(w.dialled->queued_bytes(), 900'000u);
  w.net.heal_all();
  w.time.run_for(kMinute);
  EXPECT_EQ(w.dialled->queued_bytes(), 0u);
  EXPECT_TRUE(w.at_b.got == much);
  EXPECT_EQ(w.at_b.end, "");
}

TEST(SimNet, PartitionHoldsAReset) {
  World w;
  w.dial();
  w.time.run_for(kSecond);
  w.net.partition("a", "b", Cut::kFirstToSecond);
  ASSERT_TRUE(w.net.reset_one(w.a));
  w.time.run_for(kMinute);
  EXPECT_TRUE(w.at_a.end.has_value());
  EXPECT_FALSE(w.at_b.end.has_value());
  w.net.heal("a", "b");
  w.time.run_for(kSecond);
  EXPECT_EQ(w.at_b.end, "connection reset by peer");
}

TEST(SimNet, DialAcrossAPartitionTimesOut) {
  for (auto [from, to] : {std::pair{"a", "b"}, std::pair{"b", "a"}}) {
    World w;
    w.net.partition(from, to, Cut::kFirstToSecond);
    w.dial();
    w.time.run_for(999 * kMillisecond);
    EXPECT_EQ(w.refused, "");
    w.time.run_for(2 * kMillisecond);
    EXPECT_EQ(w.refused, "connect: timed out");
    w.net.heal("a", "b");
    w.dial();
    w.time.run_for(kSecond);
    EXPECT_TRUE(w.dialled && w.accepted);
  }
}

TEST(SimNet, ExtraDelayOfOneDirection) {
  World w;
  w.dial();
  w.time.run_for(kSecond);
  w.net.set_extra_delay("a", "b", 300 * kMillisecond);
  w.send(*w.dialled, "late");
  w.send(*w.accepted, "soon");
  w.time.run_for(299 * kMillisecond);
  EXPECT_EQ(w.at_b.got, "");
  EXPECT_EQ(w.at_a.got, "soon");
  w.time.run_for(30 * kMillisecond);
  EXPECT_EQ(w.at_b.got, "late");
  w.net.set_extra_delay("a", "b", 0);
  w.send(*w.dialled, "r");
  w.time.run_for(30 * kMillisecond);
  EXPECT_EQ(w.at_b.got, "later");
}

TEST(SimNet, SkewedClocksDoNotChangeDelays) {
  World w;
  w.loop_a.set_skew(5 * kSecond, 0);
  w.loop_b.set_skew(-5 * kSecond, 0);
  w.dial();
  w.time.run_for(40 * kMillisecond);
  EXPECT_TRUE(w.dialled && w.accepted);
}

}  // namespace
}  // namespace weir::env::testing
