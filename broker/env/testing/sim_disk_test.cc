#include "broker/env/testing/sim_disk.h"

#include <gtest/gtest.h>

namespace weir::env::testing {
namespace {

std::vector<Bytes> slices(std::string_view a, std::string_view b = "") {
  return {Bytes::copy_of(a), Bytes::copy_of(b)};
}

class SimDiskTest : public ::testing::Test {
 protected:
  std::unique_ptr<File> create(const std::string& path) {
    auto f = disk.open(path, Open::kCreate);
    EXPECT_TRUE(f.has_value());
    return std::move(f).value();
  }
  Status write(File& f, std::uint64_t at, std::vector<Bytes> data, Sync sync) {
    std::optional<Status> got;
    f.write(at, std::move(data), sync, [&](Status s) { got = std::move(s); });
    EXPECT_FALSE(got.has_value());
    world.loop.run_until_idle();
    EXPECT_TRUE(got.has_value());
    return got ? *got : Status(Code::kIo, "no completion");
  }
  SimEnv world{7};
  SimDisk& disk = world.disk;
  Prng prng{1};
};

TEST_F(SimDiskTest, GathersSlicesAndReadsBack) {
  auto f = create("a");
  ASSERT_TRUE(write(*f, 3, slices("hel", "lo"), Sync::kNone));
  std::uint8_t buf[16];
  EXPECT_EQ(f->read(0, buf).value(), 8u);
  EXPECT_EQ(f->read(5, buf).value(), 3u);
  EXPECT_EQ(f->read(99, buf).value(), 0u);
  EXPECT_EQ(*disk.content("a"), std::string("\0\0\0hello", 8));
  EXPECT_EQ(f->size().value(), 8u);
  EXPECT_FALSE(disk.open("a", Open::kCreate).has_value());
  EXPECT_EQ(disk.open("b", Open::kRead).error().code, Code::kNotFound);
}

TEST_F(SimDiskTest, UnsyncedBytesAndNamesGoWithThePower) {
  auto f = create("kept");
  ASSERT_TRUE(disk.sync_dir(""));
  ASSERT_TRUE(write(*f, 0, slices("synced"), Sync::kData));
  ASSERT_TRUE(write(*f, 0, slices("UNSYNC"), Sync::kNone));
  auto g = create("gone");
  ASSERT_TRUE(write(*g, 0, slices("x"), Sync::kData));  // data durable, entry not
  disk.crash(prng, Survivors::kNone);
  EXPECT_EQ(disk.files(), std::vector<std::string>{"kept"});
  EXPECT_EQ(*disk.content("kept"), "synced");
  std::uint8_t b[1];
  EXPECT_EQ(f->read(0, b).error().code, Code::kIo);  // opened before
}

TEST_F(SimDiskTest, KillKeepsThePageCache) {
  auto f = create("a");
  ASSERT_TRUE(write(*f, 0, slices("cached"), Sync::kNone));
  disk.kill(prng);
  EXPECT_EQ(*disk.content("a"), "cached");
  disk.crash(prng, Survivors::kNone);
  EXPECT_TRUE(disk.files().empty());
}

TEST_F(SimDiskTest, TornWritesMixSectors) {
  std::set<std::string> seen;
  for (int round = 0; round < 64; ++round) {
    std::string path = "f" + std::to_string(round);
    disk.put(path, std::string(4 * kSectorBytes, 'o'));
    auto f = std::move(disk.open(path, Open::kWrite)).value();
    f->write(0, {Bytes::copy_of(std::string(4 * kSectorBytes, 'n'))}, Sync::kData, nullptr);
    disk.crash(prng, Survivors::kRandom);
    std::string shape;
    for (std::size_t i = 0; i < 4; ++i) {
      std::string sector = disk.content(path)->substr(i * kSectorBytes, kSectorBytes);
      EXPECT_EQ(sector, std::string(kSectorBytes, sector[0]));
      shape += sector[0];
    }
    seen.insert(shape);
  }
  EXPECT_GT(seen.size(), 10u);
}

TEST_F(SimDiskTest, AFailedSyncIsFinalAndThePageCacheLies) {
  auto f = create("a");
  ASSERT_TRUE(disk.sync_dir(""));
  disk.fail_next_sync("a");
  std::string data(8 * kSectorBytes, 'd');
  EXPECT_FALSE(write(*f, 0, slices(data), Sync::kData));
  EXPECT_FALSE(write(*f, 0, slices("again"), Sync::kData));
  EXPECT_EQ(*disk.content("a"), data);
  f.reset();
  auto g = std::move(disk.open("a", Open::kWrite)).value();
  EXPECT_TRUE(write(*g, data.size(), slices("tail"), Sync::kData));  // does not bring the rest back
  disk.crash(prng, Survivors::kAll);
  EXPECT_NE(*disk.content("a"), data + "tail");
}

TEST_F(SimDiskTest, DirectoryChangesRevertUntilSynced) {
  disk.put("d/old", "1");
  ASSERT_TRUE(disk.rename("d/old", "d/new"));
  EXPECT_EQ(disk.files(), std::vector<std::string>{"d/new"});
  disk.crash(prng, Survivors::kNone);
  EXPECT_EQ(disk.files(), std::vector<std::string>{"d/old"});
  ASSERT_TRUE(disk.rename("d/old", "d/new"));
  ASSERT_TRUE(disk.sync_dir("d"));
  ASSERT_TRUE(disk.remove("d/new"));
  EXPECT_TRUE(disk.files().empty());
  disk.crash(prng, Survivors::kNone);
  EXPECT_EQ(disk.files(), std::vector<std::string>{"d/new"});
  EXPECT_EQ(disk.remove("d/none").error().code, Code::kNotFound);
  EXPECT_EQ(disk.rename("d/none", "x").error().code, Code::kNotFound);
}

TEST_F(SimDiskTest, ALinkIsASecondNameOnceItsFolderIsSynced) {
  disk.put("d/one", "1");
  ASSERT_TRUE(disk.mkdirs("e"));
  ASSERT_TRUE(disk.link("d/one", "e/two"));
  disk.crash(prng, Survivors::kNone);
  EXPECT_EQ(disk.files(), std::vector<std::string>{"d/one"});
  ASSERT_TRUE(disk.link("d/one", "e/two"));
  ASSERT_TRUE(disk.sync_dir("e"));
  ASSERT_TRUE(disk.remove("d/one"));
  ASSERT_TRUE(disk.sync_dir("d"));
  disk.crash(prng, Survivors::kNone);
  EXPECT_EQ(disk.files(), std::vector<std::string>{"e/two"});
  EXPECT_EQ(*disk.content("e/two"), "1");
  disk.put("d/three", "3");
  EXPECT_EQ(disk.link("d/three", "e/two").error().code, Code::kExists);
  EXPECT_EQ(disk.link("d/none", "e/x").error().code, Code::kNotFound);
}

TEST_F(SimDiskTest, CreateZeroedIsDurableAtCompletion) {
  std::optional<Status> got;
  disk.create_zeroed("z", 10'000, [&](Status s) { got = std::move(s); });
  EXPECT_TRUE(disk.files().empty());
  world.loop.run_until_idle();
  ASSERT_TRUE(got && got->has_value());
  disk.crash(prng, Survivors::kNone);
  EXPECT_EQ(*disk.content("z"), std::string(10'000, '\0'));
  disk.create_zeroed("z", 1, [&](Status s) { got = std::move(s); });
  world.loop.run_until_idle();
  EXPECT_EQ(got->error().code, Code::kExists);
}

TEST_F(SimDiskTest, FullDisk) {
  disk.set_capacity(1000);
  auto f = create("a");
  EXPECT_EQ(write(*f, 0, slices(std::string(1001, 'x')), Sync::kData).error().code, Code::kNoSpace);
  std::optional<Status> got;
  disk.create_zeroed("z", 2000, [&](Status s) { got = std::move(s); });
  world.loop.run_until_idle();
  EXPECT_EQ(got->error().code, Code::kNoSpace);
  EXPECT_EQ(disk.space()->free_bytes, 1000u);
}

TEST_F(SimDiskTest, ReadFaultsAndFlips) {
  disk.put("a", "abcdef");
  disk.put("b", std::string(2 * kSectorBytes, 'b'));
  disk.fail_reads("b", kSectorBytes + 2, 1);
  auto b = std::move(disk.open("b", Open::kRead)).value();
  std::uint8_t two[2];
  EXPECT_TRUE(b->read(kSectorBytes - 2, two).has_value());
  EXPECT_FALSE(b->read(kSectorBytes - 1, two).has_value());
  EXPECT_FALSE(b->read(2 * kSectorBytes - 1, two).has_value());
  disk.clear_faults();
  EXPECT_TRUE(b->read(kSectorBytes - 1, two).has_value());
  auto f = std::move(disk.open("a", Open::kRead)).value();
  ASSERT_TRUE(disk.flip_bit("a", 1, 0));
  EXPECT_FALSE(disk.flip_bit("a", 6, 0));
  EXPECT_EQ(*disk.content("a"), "accdef");
  std::string got;
  f->read_async(4, 10, [&](Result<std::string> r) { got = std::move(r).value(); });
  world.loop.run_until_idle();
  EXPECT_EQ(got, "ef");
}

TEST_F(SimDiskTest, FreezesAtTheNamedOperation) {
  auto f = create("a");
  ASSERT_TRUE(disk.sync_dir(""));
  bool told = false;
  bool completed = false;
  disk.on_frozen([&] { told = true; });
  disk.crash_at(3);  // 1 write, 2 sync, 3 completion
  f->write(0, slices("x"), Sync::kData, [&](Status) { completed = true; });
  EXPECT_FALSE(disk.frozen());
  world.loop.run_until_idle();
  EXPECT_TRUE(disk.frozen());
  EXPECT_TRUE(told);
  EXPECT_FALSE(completed);
  EXPECT_FALSE(disk.sync_dir("").has_value());
  disk.crash(prng, Survivors::kAll);
  EXPECT_FALSE(disk.frozen());
  EXPECT_EQ(*disk.content("a"), "x");
}

TEST_F(SimDiskTest, ClosingFinishesTheWorkAndForgetsTheCompletion) {
  auto f = create("a");
  ASSERT_TRUE(disk.sync_dir(""));
  bool completed = false;
  f->write(0, slices("x"), Sync::kData, [&](Status) { completed = true; });
  f.reset();
  world.loop.run_until_idle();
  EXPECT_FALSE(completed);
  disk.crash(prng, Survivors::kNone);
  EXPECT_EQ(*disk.content("a"), "x");
}

TEST_F(SimDiskTest, ListsFilesAndFolders) {
  ASSERT_TRUE(disk.mkdirs("a/b"));
  disk.put("a/x", "12");
  auto l = disk.list("a").value();
  ASSERT_EQ(l.size(), 2u);
  EXPECT_TRUE(l[0].name == "b" && l[0].is_dir);
  EXPECT_TRUE(l[1].name == "x" && l[1].size == 2);
  EXPECT_EQ(disk.list("none").error().code, Code::kNotFound);
  EXPECT_FALSE(disk.open("none/f", Open::kCreate).has_value());
}

TEST_F(SimDiskTest, AWipedDiskIsEmpty) {
  ASSERT_TRUE(disk.mkdirs("x"));
  auto f = create("x/a");
  ASSERT_TRUE(write(*f, 0, slices("data"), Sync::kData));
  disk.kill(prng);
  disk.wipe();
  EXPECT_TRUE(disk.files().empty());
  EXPECT_FALSE(disk.list("x").has_value());
  EXPECT_FALSE(disk.open("x/a", Open::kRead).has_value());
  disk.crash(prng);  // nor comes anything back
  EXPECT_TRUE(disk.files().empty());
  EXPECT_TRUE(disk.open("b", Open::kCreate).has_value());
}

TEST(SimDisk, TheSameSeedGivesTheSameWorld) {
  auto run = [] {
    SimEnv world(42);
    Prng prng(5);
    std::string out;
    for (int i = 0; i < 20; ++i) {
      auto f = std::move(world.disk.open("f" + std::to_string(i), Open::kCreate)).value();
      f->write(0, {Bytes::copy_of(std::string(3000, 'a'))}, Sync::kNone,
               [&](Status) { out += std::to_string(world.loop.now().ns) + " "; });
      world.loop.run_until_idle();
      if (i == 10) world.disk.crash(prng);
    }
    for (const auto& p : world.disk.files()) out += p + *world.disk.content(p);
    return out;
  };
  EXPECT_EQ(run(), run());
}

}  // namespace
}  // namespace weir::env::testing
