#include "broker/jetstream/dedupe.h"

#include <map>
#include <string>

#include <gtest/gtest.h>

#include "broker/base/prng.h"

namespace weir::jetstream {
namespace {

TEST(Dedupe, FindsUntilExpired) {
  DedupeTable t;
  t.add("a", StreamSeq(1), Wall{10});
  t.add("b", StreamSeq(2), Wall{20});
  EXPECT_EQ(t.find("a"), StreamSeq(1));
  EXPECT_EQ(t.find("c"), std::nullopt);
  t.expire(Wall{9});
  EXPECT_EQ(t.size(), 2u);
  t.expire(Wall{10});
  EXPECT_EQ(t.find("a"), std::nullopt);
  EXPECT_EQ(t.find("b"), StreamSeq(2));
  t.add("a", StreamSeq(3), Wall{20});
  EXPECT_EQ(t.find("a"), StreamSeq(3));
  EXPECT_EQ(t.first_number(), 1u);
  EXPECT_EQ(t.next_number(), 3u);
}

TEST(Dedupe, PagesComeBack) {
  DedupeTable t;
  for (unsigned i = 0; i < 3000; ++i)
    t.add("some rather long id " + std::to_string(i), StreamSeq(i + 1), Wall{i});
  std::map<std::uint64_t, std::string> pages;
  for (std::uint64_t page = 0; page < 3; ++page) t.encode_page(page, pages[page]);
  t.expire(Wall{1500});  // after the pages were written
  DedupeTable back;
  back.restore_begin(t.first_number(), t.next_number());
  for (const auto& [page, bytes] : pages) ASSERT_TRUE(back.restore_page(page, bytes).has_value());
  EXPECT_EQ(back.first_number(), t.first_number());
  EXPECT_EQ(back.next_number(), t.next_number());
  EXPECT_EQ(back.hash(), t.hash()) << "however it came to be";
  EXPECT_EQ(back.find("some rather long id 1500"), std::nullopt);
  EXPECT_EQ(back.find("some rather long id 1501"), StreamSeq(1502));
  EXPECT_EQ(back.find("some rather long id 2999"), StreamSeq(3000));
}

TEST(Dedupe, DamagedPagesAreRefused) {
  DedupeTable t;
  t.add("a", StreamSeq(1), Wall{10});
  t.add("b", StreamSeq(2), Wall{20});
  std::string page;
  t.encode_page(0, page);
  for (std::size_t n = 0; n < page.size(); ++n) {
    DedupeTable back;
    back.restore_begin(0, 0);
    EXPECT_FALSE(back.restore_page(0, page.substr(0, n)).has_value()) << n;
  }
  auto refused = [&](std::uint64_t number, const std::string& bytes) {
    DedupeTable back;
    back.restore_begin(0, 0);
    return !back.restore_page(number, bytes).has_value();
  };
  EXPECT_FALSE(refused(0, page));
  EXPECT_TRUE(refused(1, page)) << "of another page";
  EXPECT_TRUE(refused(0, page + "x"));
  std::string twice = page;
  twice[twice.find('b')] = 'a';
  EXPECT_TRUE(refused(0, twice)) << "the same id twice";
}

TEST(Dedupe, AgreesWithAModel) {
  Prng prng(7);
  DedupeTable t;
  std::map<std::string, std::pair<std::uint64_t, std::int64_t>> model;
  std::int64_t now = 0;
  for (std::uint64_t seq = 1; seq < 20000; ++seq) {
    now += static_cast<std::int64_t>(prng.below(3));
    t.expire(Wall{now - 200});
    std::erase_if(model, [&](const auto& row) { return row.second.second <= now - 200; });
    std::string id = std::to_string(prng.below(500));
    auto found = t.find(id);
    auto want = model.find(id);
    ASSERT_EQ(found.has_value(), want != model.end());
    if (found) {
      ASSERT_EQ(found->v, want->second.first);
      continue;
    }
    t.add(id, StreamSeq(seq), Wall{now});
    model[id] = {seq, now};
    ASSERT_EQ(t.size(), model.size());
  }
}

}  // namespace
}  // namespace weir::jetstream
