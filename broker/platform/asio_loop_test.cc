#include "broker/platform/asio_loop.h"

#include <gtest/gtest.h>

#include <thread>

#include "broker/base/prng.h"
#include "broker/platform/loop_harness.h"
#include "broker/platform/timer_heap.h"

namespace weir::platform {
namespace {

TEST(TimerHeap, LeavesInOrderOfTimeThenOfAdding) {
  TimerHeap heap;
  std::vector<int> ran;
  for (int i = 0; i < 4; ++i) heap.add(Mono{10}, [&ran, i] { ran.push_back(i); });
  heap.add(Mono{5}, [&ran] { ran.push_back(9); });
  env::Task task;
  while (heap.pop_due(Mono{10}, heap.next_order(), &task)) task();
  EXPECT_EQ(ran, (std::vector<int>{9, 0, 1, 2, 3}));
  EXPECT_TRUE(heap.empty());
}

TEST(TimerHeap, MatchesAModelUnderRandomAddAndCancel) {
  Prng prng(7);
  TimerHeap heap;
  std::map<std::pair<std::int64_t, std::uint64_t>, env::TimerId> model;
  std::uint64_t order = 0, ran = 0;
  for (int step = 0; step < 20'000; ++step) {
    std::uint64_t dice = prng.below(10);
    if (dice < 6) {
      auto when = static_cast<std::int64_t>(prng.below(1000));
      model[{when, order++}] = heap.add(Mono{when}, [&ran] { ++ran; });
    } else if (dice < 8 && !model.empty()) {
      auto it = model.begin();
      std::advance(it, static_cast<std::ptrdiff_t>(prng.below(std::min<std::size_t>(model.size(), 20))));
      heap.cancel(it->second);
      heap.cancel(it->second);  // twice is no error
      model.erase(it);
    } else if (!model.empty()) {
      ASSERT_EQ(heap.next().ns, model.begin()->first.first);
      env::Task task;
      ASSERT_TRUE(heap.pop_due(heap.next(), heap.next_order(), &task));
      heap.cancel(model.begin()->second);  // has run: ignored
      model.erase(model.begin());
    }
    ASSERT_EQ(heap.empty(), model.empty());
  }
}

TEST(TimerHeap, IgnoresUnknownIds) {
  TimerHeap heap;
  heap.cancel(0);
  heap.cancel(12345);
  auto id = heap.add(Mono{1}, [] {});
  EXPECT_NE(id, 0u);
  heap.cancel(id + (1ull << 32));
  EXPECT_FALSE(heap.empty());
}

TEST(AsioLoop, RunsPostedTasksInOrderAndInALaterTurn) {
  AsioLoop loop;
  std::vector<int> ran;
  loop.post([&] {
    ran.push_back(1);
    loop.post([&] {
      ran.push_back(3);
      loop.stop();
    });
    ran.push_back(2);
  });
  loop.run();
  EXPECT_EQ(ran, (std::vector<int>{1, 2, 3}));
}

TEST(AsioLoop, EndOfTurnFollowsEveryTurnThatRanSomething) {
  AsioLoop loop;
  std::vector<char> trace;
  loop.set_end_of_turn([&] { trace.push_back('e'); });
  loop.post([&] { trace.push_back('a'); });
  loop.post([&] {
    trace.push_back('b');
    loop.at(monotonic_now() + kMillisecond, [&] {
      trace.push_back('t');
      loop.stop();
    });
  });
  loop.run();
  EXPECT_EQ(std::string(trace.begin(), trace.end()), "abete");
}

TEST(AsioLoop, EndOfTurnMayPostAndReplaceItself) {
  AsioLoop loop;
  std::string trace;
  loop.set_end_of_turn([&] {
    trace += '1';
    loop.post([&] { trace += 'p'; });
    loop.set_end_of_turn([&] {
      trace += '2';
      loop.stop();
    });
  });
  loop.post([&] { trace += 'a'; });
  loop.run();
  EXPECT_EQ(trace, "a1p2");
}

TEST(AsioLoop, TimersRunInOrderAndCancelledOnesDoNot) {
  AsioLoop loop;
  std::string trace;
  Mono base = monotonic_now();
  loop.at(base + 3 * kMillisecond, [&] {
    trace += 'c';
    loop.stop();
  });
  loop.at(base + kMillisecond, [&] { trace += 'a'; });
  auto gone = loop.at(base + 2 * kMillisecond, [&] { trace += 'x'; });
  loop.at(base + 2 * kMillisecond, [&] { trace += 'b'; });
  loop.cancel(gone);
  loop.run();
  EXPECT_EQ(trace, "abc");
}

TEST(AsioLoop, AnEarlierTimerSetLaterMovesTheAlarm) {
  AsioLoop loop;
  bool late = false, early = false;
  auto far = loop.at(monotonic_now() + kHour, [&] { late = true; });
  loop.at(monotonic_now() + kMillisecond, [&] {
    loop.at(monotonic_now() + kMillisecond, [&] {
      early = true;
      loop.stop();
    });
  });
  loop.run();
  EXPECT_TRUE(early);
  EXPECT_FALSE(late);
  loop.cancel(far);
}

TEST(AsioLoop, ATimerThatSetsItselfForThePastDoesNotStarveTheLoop) {
  AsioLoop loop;
  int count = 0;
  std::function<void()> again = [&] {
    ++count;
    loop.at(Mono{0}, [&] { again(); });
  };
  again();
  int turns = 0;
  loop.set_end_of_turn([&] {
    if (++turns == 50) loop.stop();
  });
  loop.run();
  EXPECT_LE(count, 52);
}

TEST(AsioLoop, TakesTasksFromOtherThreads) {
  AsioLoop loop;
  constexpr int kEach = 5000;
  int ran = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < 3; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < kEach;) {
        if (loop.post_external([&ran] { ++ran; })) ++i;
      }
    });
  }
  run_until(loop, [&] { return ran == 3 * kEach; });
  for (auto& t : threads) t.join();
}

TEST(AsioLoop, BoundsTheMailboxButNotCompletions) {
  AsioLoop loop;
  std::size_t ran = 0;
  for (std::size_t i = 0; i < kMailboxTasksMax; ++i) ASSERT_TRUE(loop.post_external([&ran] { ++ran; }));
  EXPECT_FALSE(loop.post_external([] {}));
  loop.post_completion([&ran] { ++ran; });
  run_until(loop, [&] { return ran == kMailboxTasksMax + 1; });
}

TEST(AsioLoop, StopsFromAnotherThreadAndBeforeRun) {
  AsioLoop loop;
  std::thread stopper([&] { loop.stop(); });
  loop.run();
  stopper.join();
  loop.stop();
  loop.run();
}

TEST(System, GivesPlausibleFigures) {
  SystemProcess process;
  auto u = process.usage();
  EXPECT_GT(u.rss_bytes, 1u << 20);
  EXPECT_GE(u.cores, 1u);
  EXPECT_GE(u.cpu_percent, 0.0);
  SystemRandom random;
  std::set<std::uint64_t> seen;
  for (int i = 0; i < 1000; ++i) seen.insert(random.next());
  EXPECT_EQ(seen.size(), 1000u);
  SystemClock clock;
  Mono a = clock.now();
  EXPECT_GE(clock.now(), a);
  EXPECT_GT(clock.wall().ns, 1'600'000'000 * kSecond);
}

TEST(System, WritesErrorsAsOperatorsOfNatsKnowThem) {
  EXPECT_EQ(errno_text(EADDRINUSE), "address already in use");
  EXPECT_EQ(errno_error(ENOSPC, "write f").code, Code::kNoSpace);
  EXPECT_EQ(errno_error(EDQUOT, "write f").code, Code::kNoSpace);
  EXPECT_EQ(errno_error(ENOENT, "open f").code, Code::kNotFound);
  EXPECT_EQ(errno_error(EEXIST, "open f").code, Code::kExists);
  EXPECT_EQ(errno_error(EIO, "read f").code, Code::kIo);
}

}  // namespace
}  // namespace weir::platform
