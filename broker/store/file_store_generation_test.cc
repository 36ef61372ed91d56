// Two generations of one group: they share nothing, and a switch between them happens whole or not at all.
#include <gtest/gtest.h>

#include "broker/store/file_store.h"
#include "broker/store/store_keys.h"
#include "broker/store/testing/store_world.h"

namespace weir::store {
namespace {

using env::testing::Survivors;

constexpr char kReal[] = "g/7/m/real";

int keys_below(StoreWorld& w, const std::string& prefix) {
  int n = 0;
  w.catalog->scan(prefix, [&](const std::string&, const std::string&) { return ++n != 0; });
  return n;
}

int segments_in(StoreWorld& w, const std::string& dir) {
  int n = 0;
  for (const auto& f : w.env.disk.files()) n += f.starts_with(dir + "/") && f.ends_with(".seg") ? 1 : 0;
  return n;
}

/// Runs a checkpoint to its end; false if the disk stopped or it failed.
bool checkpoint(StoreWorld& w, FileStore& store, std::vector<CatalogEdit> edits = {}) {
  std::optional<bool> good;
  store.checkpoint(std::move(edits), [&](const Status& s) { good = s.has_value(); });
  w.env.loop.run_until([&] { return good.has_value() || w.env.disk.frozen(); });
  return good.value_or(false);
}

bool discard(StoreWorld& w, std::uint32_t generation) {
  std::optional<bool> good;
  FileStore::discard(w.env.disk, *w.catalog, w.env.log, w.options(generation),
                     [&](const Status& s) { good = s.has_value(); });
  w.env.loop.run_until([&] { return good.has_value() || w.env.disk.frozen(); });
  w.env.loop.run_until([&] { return !w.catalog->busy() || w.env.disk.frozen(); });
  return good.value_or(false);
}

TEST(StoreKeys, OfGenerations) {
  StoreKeys zero(GroupId(7)), two(GroupId(7), 2);
  EXPECT_EQ(zero.state, "g/7/s/state");
  EXPECT_EQ(zero.destroyed, "x/7");
  EXPECT_EQ(two.state, "g/7/s2/state");
  EXPECT_EQ(two.destroyed, "x/7.2");
  EXPECT_EQ(two.file(255), "g/7/s2/f00000000000000ff");
  EXPECT_EQ(two.parse(two.dead(3)), (std::pair<char, std::uint64_t>{'d', 3}));
  EXPECT_EQ(two.parse(zero.dead(3)).first, 0);
  EXPECT_EQ(zero.parse(two.dead(3)).first, 0);
}

TEST(FileStoreGenerations, ShareNothing) {
  StoreWorld w(1);
  ASSERT_TRUE(w.open());
  auto one = std::move(w.open_store(1)).value();
  StoreModel second;
  for (int i = 0; i < 1500; ++i) {
    w.step();
    model_step(*one, second, w.prng);
    if (!w.store->checkpointing() && w.prng.chance(1, 50)) w.start_checkpoint();
    if (!one->checkpointing() && w.prng.chance(1, 50))
      one->checkpoint({}, [](const Status& s) { EXPECT_TRUE(s); });
    if (w.prng.chance(1, 4)) w.env.loop.run_for(100 * kMicrosecond);
  }
  w.env.loop.run_until([&] { return !w.store->checkpointing() && !one->checkpointing(); });
  w.checkpoint();
  ASSERT_TRUE(checkpoint(w, *one));
  one.reset();
  w.close();
  ASSERT_TRUE(w.open());
  one = std::move(w.open_store(1)).value();
  w.verify(20);
  expect_state(*one, second);
  for (int i = 0; i < 20; ++i) expect_answers(*one, second, w.prng);
  EXPECT_FALSE(w.env.log.contains("lost+found"));

  w.catalog->commit({{kReal, "1"}, {"g/7/m/other", "x"}}, [](const Status&) {});
  bool destroyed = false;
  w.store->destroy({{"g/7/m/other", std::nullopt}}, [&](const Status& s) { destroyed = s.has_value(); });
  w.store.reset();
  w.env.loop.run_until([&] { return destroyed && !w.catalog->busy(); });
  EXPECT_EQ(keys_below(w, "g/7/s/"), 0);
  EXPECT_EQ(keys_below(w, "x/"), 0);
  EXPECT_EQ(keys_below(w, "g/7/m/"), 1);
  EXPECT_EQ(segments_in(w, "groups/7"), 0);
  expect_state(*one, second);
  for (int i = 0; i < 20; ++i) expect_answers(*one, second, w.prng);
  for (int i = 0; i < 100; ++i) model_step(*one, second, w.prng);
  ASSERT_TRUE(checkpoint(w, *one));
  one.reset();
  w.close();
  ASSERT_TRUE(w.open_catalog());
  one = std::move(w.open_store(1)).value();
  expect_state(*one, second);
}

bool inherit(StoreWorld& w) {
  std::optional<bool> good;
  FileStore::inherit(w.env.disk, *w.catalog, w.options(0), w.options(1),
                     [&](const Status& s) { good = s.has_value(); });
  w.env.loop.run_until([&] { return good.has_value() || w.env.disk.frozen(); });
  return good.value_or(false);
}

// And from then on they have nothing to do with each other: merges, removals and the end of one.
TEST(FileStoreGenerations, OneBeginsWithTheSegmentsOfAnother) {
  StoreWorld w(4);
  ASSERT_TRUE(w.open());
  EXPECT_FALSE(inherit(w)) << "there was no checkpoint";
  for (int i = 0; i < 1000; ++i) w.step();
  w.checkpoint();
  StoreModel second = w.model;
  for (int i = 0; i < 30; ++i) w.step();  // these are in memory only
  std::uint64_t written = w.env.disk.counts().written_bytes;
  ASSERT_TRUE(inherit(w));
  EXPECT_LT(w.env.disk.counts().written_bytes - written, 20'000u) << "messages were copied";
  auto one = std::move(w.open_store(1)).value();
  expect_state(*one, second);
  for (int i = 0; i < 800; ++i) {
    w.step();
    model_step(*one, second, w.prng);
    if (!w.store->checkpointing() && w.prng.chance(1, 50)) w.start_checkpoint();
    if (!one->checkpointing() && w.prng.chance(1, 50))
      one->checkpoint({}, [](const Status& s) { EXPECT_TRUE(s); });
    if (w.prng.chance(1, 4)) w.env.loop.run_for(100 * kMicrosecond);
  }
  w.env.loop.run_until([&] { return !w.store->checkpointing() && !one->checkpointing(); });
  w.verify(20);
  w.store->destroy([](const Status& s) { EXPECT_TRUE(s); });
  w.store.reset();
  ASSERT_TRUE(checkpoint(w, *one));
  w.env.loop.run_until([&] { return !w.catalog->busy(); });
  EXPECT_EQ(segments_in(w, "groups/7"), 0);
  one.reset();
  w.close();
  ASSERT_TRUE(w.open_catalog());
  one = std::move(w.open_store(1)).value();
  expect_state(*one, second);
  for (int i = 0; i < 20; ++i) expect_answers(*one, second, w.prng);
}

// Power goes at each operation of it: what is left is nothing, all of it, or goes with discard().
TEST(FileStoreGenerations, AnInheritanceIsWholeOrNotThere) {
  bool done = false;
  for (std::uint64_t at = 1; !done; ++at) {
    StoreWorld w(5);
    ASSERT_TRUE(w.open());
    for (int i = 0; i < 400; ++i) w.step();
    w.checkpoint();
    StoreModel then = w.model;
    w.env.disk.crash_at(at);
    done = inherit(w);
    w.env.disk.crash_at(0);
    w.close();
    Prng prng(at);
    w.env.disk.crash(prng);
    ASSERT_TRUE(w.open());
    w.verify();
    if (keys_below(w, "g/7/s1/") != 0) {
      auto one = w.open_store(1);
      ASSERT_TRUE(one) << one.error().to_string();
      expect_state(**one, then);
    } else {
      EXPECT_FALSE(done);
    }
    ASSERT_TRUE(discard(w, 1));
    EXPECT_EQ(segments_in(w, "groups/7.1"), 0);
    EXPECT_EQ(keys_below(w, "g/7/s1/"), 0);
    w.verify();
    ASSERT_LT(at, 1000u);
  }
}

TEST(FileStoreGenerations, DiscardOfNothingChangesNothing) {
  StoreWorld w(2);
  ASSERT_TRUE(w.open());
  for (int i = 0; i < 200; ++i) w.step();
  w.checkpoint();
  int keys = keys_below(w, "");
  EXPECT_TRUE(discard(w, 1));
  EXPECT_TRUE(discard(w, 1));
  EXPECT_EQ(keys_below(w, ""), keys);
  w.verify();
}

TEST(FileStoreGenerations, DiscardTakesFilesThatNoKeyNames) {
  StoreWorld w(3);
  ASSERT_TRUE(w.open());
  w.env.disk.put("groups/7.4/0000000000000001.seg", "written, never named");
  w.env.disk.put("groups/7.4/notes.txt", "not ours");
  EXPECT_TRUE(discard(w, 4));
  EXPECT_EQ(segments_in(w, "groups/7.4"), 0);
  EXPECT_TRUE(w.env.disk.content("groups/7.4/notes.txt"));
  EXPECT_EQ(keys_below(w, ""), 0);
}

/// A replica that has a state and gets another one, until the disk stops.
struct Switch {
  explicit Switch(StoreWorld& world) : w(world) {}
  void prepare() {
    ASSERT_TRUE(w.open());
    for (int i = 0; i < 250; ++i) w.step();
    w.start_checkpoint();
    w.env.loop.run_until([&] { return !w.store->checkpointing(); });
    w.catalog->commit({{kReal, "0"}}, [](const Status&) {});
    w.env.loop.run_until([&] { return !w.catalog->busy(); });
  }
  void run() {
    auto opened = w.open_store(1);
    if (!opened) return;
    fresh = std::move(*opened);
    for (int round = 0; round < 4; ++round) {
      for (int i = 0; i < 80 && !w.env.disk.frozen(); ++i) model_step(*fresh, target, w.prng);
      if (!checkpoint(w, *fresh)) return;
    }
    for (int i = 0; i < 40 && !w.env.disk.frozen(); ++i) model_step(*fresh, target, w.prng);
    if (!checkpoint(w, *fresh, {{kReal, "1"}})) return;
    switched = true;
    w.store->destroy([](const Status&) {});
    w.env.loop.run_until([&] { return w.env.disk.frozen() || !w.catalog->busy(); });
  }
  StoreWorld& w;
  std::unique_ptr<FileStore> fresh;
  StoreModel target;
  bool switched = false;
};

TEST(FileStoreGenerations, CrashAtEveryOperation) {
  int old_ones = 0, new_ones = 0;
  for (std::uint64_t operation = 1;; ++operation) {
    SCOPED_TRACE("operation " + std::to_string(operation));
    StoreWorld w(31);
    Switch s(w);
    s.prepare();
    w.env.disk.crash_at(operation);
    s.run();
    bool finished = !w.env.disk.frozen();
    auto restart = [&] {
      w.env.disk.crash(w.prng, Survivors::kAny);
      s.fresh.reset();
      w.close();
      w.env.loop.forget_all();
      ASSERT_TRUE(w.open_catalog());
      FileStore::sweep_destroyed(w.env.disk, *w.catalog, w.env.log);
    };
    restart();
    // Dropping the other generation is cut as well, at an operation that moves with the first.
    for (int attempt = 0; attempt < 2; ++attempt) {
      bool is_new = w.catalog->get(kReal) == "1";
      EXPECT_TRUE(is_new || !s.switched);
      if (attempt == 0) w.env.disk.crash_at(1 + operation % 9);
      discard(w, is_new ? 0 : 1);
      if (w.env.disk.frozen() || attempt == 0) restart();
    }
    bool is_new = w.catalog->get(kReal) == "1";
    EXPECT_TRUE(discard(w, is_new ? 0 : 1));
    w.env.loop.run_until([&] { return !w.catalog->busy(); });
    auto opened = w.open_store(is_new ? 1 : 0);
    ASSERT_TRUE(opened) << opened.error().to_string();
    w.store = std::move(*opened);
    if (is_new) w.model = s.target;
    w.verify(4);
    EXPECT_EQ(segments_in(w, is_new ? "groups/7" : "groups/7.1"), 0);
    EXPECT_EQ(keys_below(w, is_new ? "g/7/s/" : "g/7/s1/"), 0);
    EXPECT_EQ(keys_below(w, "x/"), 0);
    ++(is_new ? new_ones : old_ones);
    // And the dropped generation can be filled again.
    if (!is_new && operation % 3 == 0) {
      Switch again(w);
      again.run();
      EXPECT_TRUE(again.switched);
      expect_state(*again.fresh, again.target);
    }
    if (testing::Test::HasFailure()) return;
    if (finished) break;
  }
  EXPECT_GT(old_ones, 20);
  EXPECT_GT(new_ones, 3);
}

}  // namespace
}  // namespace weir::store
