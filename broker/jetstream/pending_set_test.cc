#include "broker/jetstream/pending_set.h"

#include <gtest/gtest.h>

#include <map>
#include <vector>

#include "broker/base/prng.h"

namespace weir::jetstream {
namespace {

PendingEntry entry(std::uint64_t sseq, std::uint64_t cseq, std::uint64_t stamp = 7, std::uint64_t n = 1) {
  return {StreamSeq(sseq), ConsumerSeq(cseq), stamp, n};
}

void expect_same(const PendingSet& set, const std::map<std::uint64_t, PendingEntry>& model) {
  ASSERT_EQ(set.size(), model.size());
  auto it = model.begin();
  std::uint64_t redelivered = 0;
  set.for_each([&](const PendingEntry& e) {
    EXPECT_EQ(e.sseq.v, it->first);
    EXPECT_EQ(e.cseq, it->second.cseq);
    EXPECT_EQ(e.stamp, it->second.stamp);
    EXPECT_EQ(e.deliveries, it->second.deliveries);
    if (e.deliveries > 1) ++redelivered;
    ++it;
    return true;
  });
  EXPECT_EQ(set.redelivered(), redelivered);
}

TEST(PendingSet, EmptyHasNothing) {
  PendingSet set;
  EXPECT_TRUE(set.empty());
  EXPECT_FALSE(set.find(StreamSeq(1)));
  EXPECT_FALSE(set.at_or_after(StreamSeq(0)));
  EXPECT_FALSE(set.erase(StreamSeq(1)));
  EXPECT_FALSE(set.update(StreamSeq(1), 1, 1));
}

TEST(PendingSet, LooksUpAcrossGaps) {
  PendingSet set;
  for (std::uint64_t i = 1; i <= 1000; ++i) set.append(entry(i * 10, i));
  EXPECT_EQ(set.find(StreamSeq(5000))->cseq, ConsumerSeq(500));
  EXPECT_FALSE(set.find(StreamSeq(5001)));
  EXPECT_EQ(set.at_or_after(StreamSeq(5001))->sseq, StreamSeq(5010));
  EXPECT_EQ(set.at_or_after(StreamSeq(0))->sseq, StreamSeq(10));
  EXPECT_FALSE(set.at_or_after(StreamSeq(10001)));
}

TEST(PendingSet, HoldsFarApartSequences) {
  PendingSet set;
  set.append(entry(1, 1));
  set.append(entry(std::uint64_t{1} << 40, 2));
  set.append(entry((std::uint64_t{1} << 40) + 1, std::uint64_t{1} << 35));
  EXPECT_EQ(set.find(StreamSeq(std::uint64_t{1} << 40))->cseq, ConsumerSeq(2));
  EXPECT_EQ(set.back().cseq.v, std::uint64_t{1} << 35);
}

TEST(PendingSet, SaturatesInsteadOfWrapping) {
  PendingSet set;
  set.append(entry(1, 1, ~std::uint64_t{0}, ~std::uint64_t{0}));
  EXPECT_EQ(set.front().stamp, PendingSet::kStampMax);
  EXPECT_EQ(set.front().deliveries, PendingSet::kDeliveriesMax);
}

TEST(PendingSet, CopiesAreApart) {
  PendingSet a;
  for (std::uint64_t i = 1; i <= 300; ++i) a.append(entry(i, i));
  for (std::uint64_t i = 1; i <= 150; ++i) a.erase(StreamSeq(i));
  PendingSet b = a;
  b.append(entry(301, 301));
  a.erase(StreamSeq(300));
  EXPECT_EQ(a.size(), 149u);
  EXPECT_EQ(b.size(), 151u);
  EXPECT_TRUE(b.find(StreamSeq(300)));
}

TEST(PendingSet, AgreesWithAMap) {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    Prng prng(seed);
    PendingSet set;
    std::map<std::uint64_t, PendingEntry> model;
    std::uint64_t sseq = 0, cseq = 0;
    for (int i = 0; i < 5000; ++i) {
      std::uint64_t pick = prng.between(1, sseq + 2);
      switch (prng.below(5)) {
        case 0:
        case 1: {
          sseq += prng.between(1, 3);
          cseq += prng.between(1, 2);
          auto e = entry(sseq, cseq, prng.below(1000), prng.between(1, 3));
          set.append(e);
          model[sseq] = e;
          break;
        }
        case 2: EXPECT_EQ(set.erase(StreamSeq(pick)), model.erase(pick) == 1); break;
        case 3: {
          auto it = model.find(pick);
          EXPECT_EQ(set.update(StreamSeq(pick), 5, 2), it != model.end());
          if (it != model.end()) it->second.stamp = 5, it->second.deliveries = 2;
          break;
        }
        default: {
          auto it = model.lower_bound(pick);
          auto e = set.at_or_after(StreamSeq(pick));
          ASSERT_EQ(e.has_value(), it != model.end());
          if (e) {
            EXPECT_EQ(e->sseq.v, it->first);
          }
        }
      }
    }
    expect_same(set, model);
    PendingSet moved = std::move(set);
    expect_same(moved, model);
  }
}

}  // namespace
}  // namespace weir::jetstream
