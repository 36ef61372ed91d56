#include "broker/jetstream/interest_set.h"

#include <gtest/gtest.h>

namespace weir::jetstream {
namespace {

TEST(InterestSet, CountsEachFilter) {
  InterestSet s;
  EXPECT_FALSE(s.wants("a"));
  s.add({"a", "b.*"});
  s.add({"a"});
  EXPECT_TRUE(s.wants("a"));
  EXPECT_TRUE(s.wants("b.1"));
  EXPECT_FALSE(s.wants("b"));
  s.remove({"a"});
  EXPECT_TRUE(s.wants("a"));
  s.remove({"a", "b.*"});
  EXPECT_FALSE(s.wants("a"));
  EXPECT_FALSE(s.wants("b.1"));
}

TEST(InterestSet, NoFilterWantsEverything) {
  InterestSet s;
  s.add({});
  s.add({});
  s.remove({});
  EXPECT_TRUE(s.wants("anything"));
  s.remove({});
  EXPECT_FALSE(s.wants("anything"));
  s.add({});
  s.clear();
  EXPECT_FALSE(s.wants("anything"));
}

}  // namespace
}  // namespace weir::jetstream
