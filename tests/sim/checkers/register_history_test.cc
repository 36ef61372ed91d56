#include "tests/sim/checkers/register_history.h"

#include <gtest/gtest.h>

#include "broker/base/prng.h"

namespace weir::sim {
namespace {

using Answer = RegisterHistory::Answer;
using Fate = RegisterHistory::Fate;
constexpr std::uint64_t kAny = RegisterHistory::kAny;

struct RegisterHistoryTest : ::testing::Test {
  void wrote(Nanos from, Nanos to, std::uint64_t expected, std::uint64_t id) {
    h.settle(h.write(Mono{from}, expected, id), Fate::kDone, Mono{to});
  }
  void refused(Nanos from, Nanos to, std::uint64_t expected, std::uint64_t held = kAny) {
    h.settle(h.write(Mono{from}, expected, 99), Fate::kRefused, Mono{to}, held);
  }
  RegisterHistory h;
};

TEST_F(RegisterHistoryTest, OneAfterTheOther) {
  h.read(Mono{0}, Mono{1}, 0);
  wrote(2, 3, 0, 1);
  h.read(Mono{4}, Mono{5}, 1);
  wrote(6, 7, kAny, 2);
  refused(8, 9, 1);
  refused(10, 11, 1, 2);
  h.read(Mono{12}, Mono{13}, 2);
  EXPECT_EQ(h.check(), Answer::kLinearizable);
}

TEST_F(RegisterHistoryTest, AStaleReadIsNot) {
  wrote(0, 1, 0, 1);
  wrote(2, 3, 1, 2);
  h.read(Mono{4}, Mono{5}, 1);
  EXPECT_EQ(h.check(), Answer::kNot);
}

TEST_F(RegisterHistoryTest, ALostWriteIsNot) {
  wrote(0, 1, 0, 1);
  wrote(2, 3, 0, 2);
  EXPECT_EQ(h.check(), Answer::kNot);
}

TEST_F(RegisterHistoryTest, TwoWinnersAreNot) {
  wrote(0, 1, 0, 1);
  wrote(2, 5, 1, 2);
  wrote(2, 5, 1, 3);
  EXPECT_EQ(h.check(), Answer::kNot);
}

TEST_F(RegisterHistoryTest, AWrongRefusalIsNot) {
  wrote(0, 1, 0, 1);
  refused(2, 3, 1);
  EXPECT_EQ(h.check(), Answer::kNot);
}

TEST_F(RegisterHistoryTest, ARefusalThatNamesAnotherHolderIsNot) {
  wrote(0, 1, 0, 1);
  wrote(2, 3, 1, 2);
  refused(4, 5, 0, 1);
  EXPECT_EQ(h.check(), Answer::kNot);
}

TEST_F(RegisterHistoryTest, ConcurrentOnesMayComeInAnyOrder) {
  wrote(0, 10, 1, 2);
  wrote(0, 10, 0, 1);
  h.read(Mono{0}, Mono{10}, 1);
  h.read(Mono{11}, Mono{12}, 2);
  EXPECT_EQ(h.check(), Answer::kLinearizable);
}

TEST_F(RegisterHistoryTest, WhatIsUnknownMayHappenLateOrNever) {
  (void)h.write(Mono{0}, 0, 1);
  h.read(Mono{5}, Mono{6}, 0);
  h.read(Mono{7}, Mono{8}, 1);
  (void)h.write(Mono{9}, 1, 2);
  h.read(Mono{20}, Mono{21}, 1);
  EXPECT_EQ(h.check(), Answer::kLinearizable);
  h.read(Mono{22}, Mono{23}, 0);
  EXPECT_EQ(h.check(), Answer::kNot);
}

TEST_F(RegisterHistoryTest, WhatIsUnknownDoesNotHappenTwiceOrTooEarly) {
  h.read(Mono{0}, Mono{1}, 1);
  (void)h.write(Mono{2}, 0, 1);
  EXPECT_EQ(h.check(), Answer::kNot);
}

// A real register under many clients, some of whose answers got lost, is always found linearizable; with one
// read replaced by an older value it is not.
TEST(RegisterHistory, FindsTheOrderOfARealRegister) {
  for (std::uint64_t seed = 1; seed <= 200; ++seed) {
    Prng prng(seed);
    RegisterHistory h, broken;
    std::uint64_t value = 0, before = 0, next = 1;
    Nanos at = 0;
    for (int i = 0; i < 60; ++i, at += 10) {
      // Takes effect at `at`; seen from outside as a longer interval.
      Mono invoked{at - static_cast<Nanos>(prng.below(25))},
          returned{at + 1 + static_cast<Nanos>(prng.below(25))};
      if (prng.chance(1, 3)) {
        h.read(invoked, returned, value);
        broken.read(invoked, returned, value);
        continue;
      }
      std::uint64_t from = prng.chance(1, 4) ? kAny : prng.chance(1, 3) ? before : value, id = next++;
      bool works = from == kAny || from == value;
      bool lost = prng.chance(1, 6), happens = !lost || prng.chance(1, 2);
      for (RegisterHistory* x : {&h, &broken}) {
        std::size_t op = x->write(invoked, from, id);
        if (!lost) x->settle(op, works ? Fate::kDone : Fate::kRefused, returned);
      }
      if (!works || !happens) continue;
      before = value;
      value = id;
    }
    ASSERT_EQ(h.check(), Answer::kLinearizable) << seed << "\n" << h.to_string();
    broken.read(Mono{at + 100}, Mono{at + 101}, value);
    broken.read(Mono{at + 200}, Mono{at + 201}, before);
    ASSERT_EQ(broken.check(), Answer::kNot) << seed << "\n" << broken.to_string();
  }
}

}  // namespace
}  // namespace weir::sim
