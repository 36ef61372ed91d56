#include "broker/base/fifo.h"

#include <gtest/gtest.h>

#include <deque>

#include "broker/base/prng.h"

namespace weir {
namespace {

TEST(Fifo, AgainstADeque) {
  Prng prng(5);
  Fifo<int> fifo;
  std::deque<int> model;
  for (int i = 0; i < 50000; ++i) {
    bool grow = (i / 500) % 2 == 0;
    if (model.empty() || prng.chance(grow ? 3 : 1, 4)) {
      fifo.push_back(i);
      model.push_back(i);
    } else if (prng.chance(1, 8)) {
      std::size_t at = static_cast<std::size_t>(prng.below(model.size()));
      fifo.erase(at);
      model.erase(model.begin() + static_cast<std::ptrdiff_t>(at));
    } else if (prng.chance(1, 200)) {
      auto odd = [](int n) { return n % 2 != 0; };
      fifo.erase_if(odd);
      std::erase_if(model, odd);
    } else if (prng.chance(1, 200)) {
      Fifo<int> moved = std::move(fifo);
      ASSERT_TRUE(fifo.empty());
      fifo = std::move(moved);
    } else if (prng.chance(1, 4)) {
      fifo.pop_back();
      model.pop_back();
    } else {
      fifo.pop_front();
      model.pop_front();
    }
    ASSERT_EQ(fifo.size(), model.size());
    ASSERT_EQ(fifo.empty(), model.empty());
    if (model.empty()) continue;
    std::size_t at = static_cast<std::size_t>(prng.below(model.size()));
    ASSERT_EQ(fifo[at], model[at]);
    ASSERT_EQ(fifo.front(), model.front());
    ASSERT_EQ(fifo.back(), model.back());
    ASSERT_EQ(fifo.end() - fifo.begin(), static_cast<std::ptrdiff_t>(model.size()));
  }
  fifo.clear();
  EXPECT_TRUE(fifo.empty());
}

}  // namespace
}  // namespace weir
