#include "broker/base/state_hash.h"

#include <gtest/gtest.h>

#include <map>
#include <set>

#include "broker/base/prng.h"

namespace weir {
namespace {

TEST(SeqSums, ARangeIsTheSumOfItsMembers) {
  for (std::uint64_t first : {1u, 2u, 3u, 4u, 5u, 6u, 7u, 100u, 4'000'000'007u}) {
    SeqSums one;
    for (std::uint64_t n = 0; n < 40; ++n) {
      one.add(first + n);
      SeqSums range;
      range.add(first, first + n);
      EXPECT_EQ(range, one) << first << "+" << n;
    }
  }
  // Products far beyond 64 bits.
  std::uint64_t high = (std::uint64_t{1} << 62) + 12345;
  SeqSums one, range;
  for (std::uint64_t n = 0; n < 1000; ++n) one.add(high + n);
  range.add(high, high + 999);
  EXPECT_EQ(range, one);
  range.remove(high + 10, high + 999);
  for (std::uint64_t n = 0; n < 10; ++n) range.remove(high + n);
  EXPECT_EQ(range, SeqSums());
}

TEST(SeqSums, OrderDoesNotMatterAndMembersDo) {
  Prng prng(7);
  std::set<std::uint64_t> there;
  SeqSums running;
  for (int i = 0; i < 5000; ++i) {
    std::uint64_t seq = 1 + prng.below(500);
    if (there.insert(seq).second) {
      running.add(seq);
    } else {
      there.erase(seq);
      running.remove(seq);
    }
  }
  SeqSums again;
  for (std::uint64_t seq : there) again.add(seq);
  EXPECT_EQ(running, again);
  SeqSums a, b;  // as many, as much
  for (std::uint64_t s : {10u, 20u, 30u}) a.add(s);
  for (std::uint64_t s : {11u, 19u, 30u}) b.add(s);
  EXPECT_NE(a, b);
}

TEST(StateHash, TheNumbersTravel) {
  StateHash h;
  h.add(1);
  h.add("stream");
  // Another number here means another kStateHashScheme: replicas of both versions work side by side.
  EXPECT_EQ(kStateHashScheme, 1u);
  EXPECT_EQ(h.value(), 0xdc525b480b61f774u);
}

TEST(StateHash, EverythingCountsAndItsOrder) {
  auto of = [](std::initializer_list<std::uint64_t> values) {
    StateHash h;
    for (std::uint64_t v : values) h.add(v);
    return h.value();
  };
  std::set<std::uint64_t> seen{of({}),     of({0}),    of({0, 0}), of({1}),
                               of({0, 1}), of({1, 0}), of({2, 1}), of({1, 2})};
  EXPECT_EQ(seen.size(), 8u);
  StateHash a, b;
  a.add("ab");
  a.add("c");
  b.add("a");
  b.add("bc");
  EXPECT_NE(a.value(), b.value());
}

}  // namespace
}  // namespace weir
