#include "broker/store/mem_store.h"

#include "broker/store/testing/store_model.h"

namespace weir::store {
namespace {

TEST(Filter, Matching) {
  EXPECT_TRUE(subject::matches("a.*.c", "a.b.c"));
  EXPECT_FALSE(subject::matches("a.*.c", "a.b.c.d"));
  EXPECT_FALSE(subject::matches("a.*", "a"));
  EXPECT_TRUE(subject::matches("a.>", "a.b.c"));
  EXPECT_FALSE(subject::matches("a.>", "a"));
  EXPECT_TRUE(subject::matches(">", "a"));
  EXPECT_FALSE(subject::matches("a.b", "a"));
  EXPECT_FALSE(subject::matches("a", "a.b"));
}

TEST(Filter, Prefix) {
  EXPECT_EQ(SubjectMatcher({"a.b.*", "a.c"}).prefix(), "a.");
  EXPECT_EQ(SubjectMatcher({"a.b"}).only_literal(), "a.b");
  EXPECT_EQ(SubjectMatcher({"a.b", "a.b"}).only_literal(), "a.b");
  EXPECT_EQ(SubjectMatcher({"a.*"}).only_literal(), "");
  EXPECT_TRUE(SubjectMatcher({"a", ">"}).all());
  EXPECT_TRUE(SubjectMatcher({}).all());
  EXPECT_EQ(SubjectMatcher({"a.*", "a.b"}).patterns().size(), 1u);
}

TEST(MemStore, EmptyAndSkipped) {
  MemStore s;
  EXPECT_EQ(s.state().first_seq.v, 0u);
  EXPECT_EQ(s.seq_at(Wall{5})->v, 1u);
  s.skip_to(StreamSeq(9), Wall{7});
  EXPECT_EQ(s.state().first_seq.v, 10u);
  EXPECT_EQ(s.state().last_seq.v, 9u);
  s.append(make_message(12, 8, "a", "", "x"));
  EXPECT_EQ(s.state().first_seq.v, 12u);
  EXPECT_EQ(s.state().deleted, 0u);
  EXPECT_EQ(s.state().bytes, 16u + 2);
  s.skip_to(StreamSeq(14), Wall{9});
  EXPECT_EQ(s.state().deleted, 2u);
  EXPECT_EQ(s.remove(StreamSeq(12))->messages, 1u);
  EXPECT_EQ(s.remove(StreamSeq(12))->messages, 0u);
  EXPECT_EQ(s.state().first_seq.v, 15u);
  EXPECT_EQ(s.state().last_time.ns, 9);
}

TEST(MemStore, HugeGapsCostNothing) {
  MemStore s;
  for (std::uint64_t q = 1; q < 1'000'000'000'000; q = q * 10 + 3) s.append(make_message(q, 1, "a", "", "x"));
  EXPECT_EQ(*s.count({"a"}, StreamSeq(2)), 11u);
  EXPECT_EQ(s.compact(StreamSeq(1'000'000'000))->messages, 9u);
  EXPECT_EQ(s.state().messages, 3u);
}

TEST(MemStore, LiveRangesLookAtNoMessages) {
  MemStore s;
  EXPECT_TRUE(s.live_ranges(StreamSeq(0), 10).empty());
  for (std::uint64_t q = 1; q <= 1000; ++q) {
    if (q != 65 && q != 700) s.append(make_message(q, 1, "a", "", "x"));
  }
  using Ranges = std::vector<LiveRange>;
  auto range = [](std::uint64_t from, std::uint64_t to) { return LiveRange{StreamSeq(from), StreamSeq(to)}; };
  EXPECT_EQ(s.live_ranges(StreamSeq(0), 10), (Ranges{range(1, 64), range(66, 699), range(701, 1000)}));
  EXPECT_EQ(s.live_ranges(StreamSeq(65), 1), (Ranges{range(66, 699)}));
  EXPECT_EQ(s.live_ranges(StreamSeq(300), 2), (Ranges{range(300, 699), range(701, 1000)}));
  EXPECT_TRUE(s.live_ranges(StreamSeq(1), 0).empty());
  EXPECT_TRUE(s.live_ranges(StreamSeq(1001), 10).empty());
}

TEST(MemStore, AgainstModel) {
  for (std::uint64_t seed = 1; seed <= 12; ++seed) {
    Prng prng(seed);
    MemStore store;
    StoreModel model;
    for (int i = 0; i < 4000; ++i) {
      std::string what = model_step(store, model, prng);
      SCOPED_TRACE("seed " + std::to_string(seed) + " step " + std::to_string(i) + " " + what);
      if (i % 97 == 0) expect_state(store, model);
      if (i % 7 == 0) expect_answers(store, model, prng);
      if (testing::Test::HasFailure()) return;
    }
  }
}

}  // namespace
}  // namespace weir::store
