#include "broker/env/testing/sim_loop.h"

#include <gtest/gtest.h>

namespace weir::env::testing {
namespace {

TEST(SimLoop, PostsRunInOrderInALaterTurn) {
  SimLoop loop;
  std::string out;
  loop.post([&] {
    out += 'a';
    loop.post([&] { out += 'c'; });
  });
  loop.post([&] { out += 'b'; });
  loop.set_end_of_turn([&] { out += '|'; });
  EXPECT_EQ(out, "");
  EXPECT_EQ(loop.run_until_idle(), 2u);
  EXPECT_EQ(out, "ab|c|");
}

TEST(SimLoop, TimersRunInOrderOfTimeThenOfSetting) {
  SimLoop loop;
  Mono t0 = loop.now();
  std::string out;
  loop.at(t0 + 20, [&] { out += 'c'; });
  loop.at(t0 + 10, [&] { out += 'a'; });
  loop.at(t0 + 10, [&] { out += 'b'; });
  auto id = loop.at(t0 + 15, [&] { out += 'x'; });
  loop.cancel(id);
  loop.cancel(id);
  loop.cancel(0);
  loop.run_for(10);
  EXPECT_EQ(out, "ab");
  EXPECT_EQ(loop.now(), t0 + 10);
  loop.run_for(100);
  EXPECT_EQ(out, "abc");
  EXPECT_EQ(loop.now(), t0 + 110);
}

TEST(SimLoop, TimeOfThePastRunsNow) {
  SimLoop loop;
  bool ran = false;
  Mono t0 = loop.now();
  loop.at(Mono{0}, [&] { ran = true; });
  loop.run_until_idle();
  EXPECT_TRUE(ran);
  EXPECT_EQ(loop.now(), t0);
}

TEST(SimLoop, EndOfTurnMayReplaceItself) {
  SimLoop loop;
  std::string out;
  loop.set_end_of_turn([&] {
    out += '1';
    loop.set_end_of_turn([&] { out += '2'; });
  });
  loop.post([&] { loop.post([] {}); });
  loop.run_until_idle();
  EXPECT_EQ(out, "12");
}

TEST(SimLoop, SharedTimeInterleavesNodes) {
  SimTime time;
  SimLoop a(time), b(time);
  std::string out;
  a.set_end_of_turn([&] { out += '|'; });
  b.set_end_of_turn([&] { out += '/'; });
  b.set_skew(5 * kSecond, -kSecond);
  a.at(time.now() + 2, [&] { out += 'a'; });
  b.at(b.now() + 1, [&] { out += 'b'; });
  EXPECT_EQ(b.now() - a.now(), 5 * kSecond);
  EXPECT_EQ(b.wall() - a.wall(), -kSecond);
  time.run_until_idle();
  EXPECT_EQ(out, "b/a|");
}

TEST(SimLoop, AKilledLoopRunsNothingMore) {
  SimTime time;
  auto a = std::make_unique<SimLoop>(time);
  SimLoop b(time);
  int ran = 0;
  a->set_end_of_turn([&] { ++ran; });
  a->post([&] { ++ran; });
  a->post([&] { a.reset(); });  // dies inside its own turn
  a->post([&] { ++ran; });
  b.at(time.now() + 1, [&] { ++ran; });
  time.run_until_idle();
  EXPECT_EQ(ran, 2);
  EXPECT_TRUE(time.idle());
}

TEST(SimLoop, APausedLoopRunsLaterWhatBecameDueMeanwhile) {
  SimTime time;
  SimLoop a(time), b(time);
  std::string order;
  Mono start = time.now();
  TimerId gone = 0;
  a.at(start + 3 * kSecond, [&] { order += '3'; });
  a.at(start + 1 * kSecond, [&] { order += '1'; });
  gone = a.at(start + 2 * kSecond, [&] { order += '2'; });
  a.at(start + 20 * kSecond, [&] { order += '9'; });
  a.pause(start + 10 * kSecond);
  b.at(start + 5 * kSecond, [&] {
    EXPECT_TRUE(a.paused());
    order += 'b';
    a.cancel(gone);
    a.post([&] { order += 'p'; });  // as bytes that arrive
  });
  EXPECT_TRUE(time.run_until([&] { return order.size() == 4; }));
  EXPECT_EQ(order, "b13p");
  EXPECT_GE(time.now(), start + 10 * kSecond);
  EXPECT_FALSE(a.paused());
  time.run_until_idle();
  EXPECT_EQ(order, "b13p9");
}

TEST(SimLoop, ThePauseEndsWithTheProcessOrWhenAsked) {
  SimTime time;
  SimLoop a(time);
  a.pause(time.now() + kMinute);
  a.forget_all();
  bool ran = false;
  a.post([&] { ran = true; });
  time.run_for(kMillisecond);
  EXPECT_TRUE(ran);
  a.pause(time.now() + kMinute);
  ran = false;
  a.post([&] { ran = true; });
  time.run_for(kMillisecond);
  EXPECT_FALSE(ran);
  a.resume();
  time.run_for(kMillisecond);
  EXPECT_TRUE(ran);
}

TEST(SimLoop, RunUntilStopsAtTheLimit) {
  SimLoop loop;
  int n = 0;
  std::function<void()> again = [&] {
    ++n;
    loop.at(loop.now() + kSecond, [&] { again(); });
  };
  again();
  EXPECT_TRUE(loop.run_until([&] { return n == 5; }));
  EXPECT_FALSE(loop.run_until([&] { return n == 100; }, 10 * kSecond));
  EXPECT_EQ(n, 15);
}

TEST(NoTransport, RefusesLaterNotInside) {
  SimLoop loop;
  NoTransport none(loop);
  bool refused = false;
  none.dial({}, kSecond, [&](auto r) { refused = !r.has_value(); });
  EXPECT_FALSE(refused);
  loop.run_until_idle();
  EXPECT_TRUE(refused);
  EXPECT_FALSE(none.listen({}, nullptr).has_value());
}

TEST(LogSink, KeepsLinesAtOrAboveItsLevel) {
  LogSink log(Level::kWarn);
  log.info("quiet");
  log.error("journal: sync failed");
  EXPECT_TRUE(log.contains("sync failed"));
  EXPECT_FALSE(log.contains("quiet"));
  EXPECT_EQ(log.count(Level::kError), 1u);
}

}  // namespace
}  // namespace weir::env::testing
