#include "broker/platform/posix_disk.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>

#include "broker/platform/loop_harness.h"

namespace weir::platform {
namespace {

namespace fs = std::filesystem;

std::vector<Bytes> one(std::string_view text) {
  std::vector<Bytes> out;
  out.push_back(Bytes::copy_of(text));
  return out;
}

class PosixDisk : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string name = (fs::temp_directory_path() / "weir-disk-XXXXXX").string();
    ASSERT_NE(::mkdtemp(name.data()), nullptr);
    top = name;
    root = name + "/store";
    auto opened = open_posix_disk(loop, root);
    ASSERT_TRUE(opened) << opened.error().detail;
    disk = std::move(*opened);
  }
  void TearDown() override {
    disk.reset();
    fs::remove_all(top);
  }
  std::unique_ptr<env::File> create(const std::string& path) {
    auto f = disk->open(path, env::Open::kCreate);
    EXPECT_TRUE(f) << f.error().detail;
    return f ? std::move(*f) : nullptr;
  }
  Status write(env::File& f, std::uint64_t at, std::string_view text, env::Sync sync) {
    std::optional<Status> result;
    f.write(at, one(text), sync, [&](Status s) { result = std::move(s); });
    EXPECT_FALSE(result) << "completed inside the call";
    run_until(loop, [&] { return result.has_value(); });
    return *result;
  }
  std::string slurp(env::File& f, std::size_t size = 1 << 20) {
    std::string out(size, '\0');
    auto n = f.read(0, {reinterpret_cast<std::uint8_t*>(out.data()), size});
    EXPECT_TRUE(n);
    out.resize(n ? *n : 0);
    return out;
  }

  AsioLoop loop;
  std::string top, root;
  std::unique_ptr<env::Disk> disk;
};

TEST_F(PosixDisk, WritesSyncsReadsAndMeasures) {
  auto f = create("a");
  EXPECT_TRUE(write(*f, 0, "hello world", env::Sync::kNone));
  EXPECT_TRUE(write(*f, 6, "there", env::Sync::kData));
  EXPECT_EQ(slurp(*f), "hello there");
  EXPECT_EQ(f->size().value(), 11u);
  std::uint8_t two[2];
  EXPECT_EQ(f->read(10, two).value(), 1u);
  EXPECT_EQ(f->read(100, two).value(), 0u);
}

TEST_F(PosixDisk, KeepsTheOrderOfWritesOfOneFile) {
  auto f = create("a");
  int done = 0;
  for (int i = 0; i < 1000; ++i) {
    auto sync = i % 3 == 0 ? env::Sync::kData : env::Sync::kNone;
    f->write(0, one(std::to_string(1000 + i)), sync, [&done, i](Status s) {
      EXPECT_TRUE(s);
      EXPECT_EQ(done, i);
      ++done;
    });
  }
  run_until(loop, [&] { return done == 1000; });
  EXPECT_EQ(slurp(*f), "1999");
}

TEST_F(PosixDisk, GathersManySlices) {
  auto f = create("a");
  std::vector<Bytes> slices;
  std::string all;
  for (int i = 0; i < 3000; ++i) {
    std::string part(static_cast<std::size_t>(i % 17), static_cast<char>('a' + i % 26));
    all += part;
    slices.push_back(Bytes::copy_of(part));
  }
  bool done = false;
  f->write(3, std::move(slices), env::Sync::kData, [&](Status s) { done = s.has_value(); });
  run_until(loop, [&] { return done; });
  EXPECT_EQ(slurp(*f).substr(3), all);
}

TEST_F(PosixDisk, ReadsOnWorkers) {
  auto f = create("a");
  ASSERT_TRUE(write(*f, 0, "0123456789", env::Sync::kNone));
  std::string got, tail;
  int done = 0;
  f->read_async(2, 3, [&](Result<std::string> r) { got = *r, ++done; });
  f->read_async(8, 30, [&](Result<std::string> r) { tail = *r, ++done; });
  run_until(loop, [&] { return done == 2; });
  EXPECT_EQ(got, "234");
  EXPECT_EQ(tail, "89");
}

TEST_F(PosixDisk, ClosingFinishesTheWorkAndForgetsTheCompletions) {
  auto f = create("a");
  bool told = false;
  for (int i = 0; i < 50; ++i) {
    f->write(static_cast<std::uint64_t>(i), one("x"), env::Sync::kData, [&](Status) { told = true; });
  }
  f->read_async(0, 10, [&](Result<std::string>) { told = true; });
  f.reset();
  auto again = disk->open("a", env::Open::kRead);
  ASSERT_TRUE(again);
  EXPECT_EQ((*again)->size().value(), 50u);
  run_until(loop, [] { return true; });
  EXPECT_FALSE(told);
}

TEST_F(PosixDisk, AFailureIsFinalForTheFile) {
  // A file size limit of this process makes the kernel refuse; SIGXFSZ would end it otherwise.
  std::signal(SIGXFSZ, SIG_IGN);
  auto f = create("a");
  auto other = create("b");
  ASSERT_TRUE(write(*f, 0, "start", env::Sync::kData));
  rlimit old{};
  getrlimit(RLIMIT_FSIZE, &old);
  rlimit small{1000, old.rlim_max};
  setrlimit(RLIMIT_FSIZE, &small);
  std::vector<bool> results;
  auto note = [&](Status s) { results.push_back(s.has_value()); };
  f->write(0, one("fine"), env::Sync::kNone, note);
  f->write(5000, one("too far"), env::Sync::kData, note);
  f->write(0, one("refused"), env::Sync::kNone, note);
  run_until(loop, [&] { return results.size() == 3; });
  setrlimit(RLIMIT_FSIZE, &old);
  EXPECT_EQ(results, (std::vector<bool>{true, false, false}));
  Status later = write(*f, 0, "still refused", env::Sync::kData);
  ASSERT_FALSE(later);
  EXPECT_EQ(later.error().code, Code::kIo);
  EXPECT_TRUE(write(*other, 0, "others live", env::Sync::kData));
  EXPECT_EQ(slurp(*f), "finet");
}

TEST_F(PosixDisk, AWriteToAFileOpenedForReadingFails) {
  create("a").reset();
  auto f = disk->open("a", env::Open::kRead);
  ASSERT_TRUE(f);
  EXPECT_FALSE(write(**f, 0, "x", env::Sync::kNone));
}

TEST_F(PosixDisk, OpenModes) {
  EXPECT_EQ(disk->open("a", env::Open::kRead).error().code, Code::kNotFound);
  EXPECT_EQ(disk->open("a", env::Open::kWrite).error().code, Code::kNotFound);
  auto f = create("a");
  ASSERT_TRUE(write(*f, 0, "kept", env::Sync::kNone));
  EXPECT_EQ(disk->open("a", env::Open::kCreate).error().code, Code::kExists);
  auto g = disk->open("a", env::Open::kWrite);
  ASSERT_TRUE(g);
  EXPECT_EQ(slurp(**g), "kept");
  EXPECT_FALSE(disk->open("missing/a", env::Open::kCreate));
}

TEST_F(PosixDisk, CreateZeroedWritesRealBlocks) {
  ASSERT_TRUE(disk->mkdirs("j"));
  constexpr std::uint64_t kSize = (3u << 20) + 4096 + 5;
  std::optional<Status> result;
  disk->create_zeroed("j/0001", kSize, [&](Status s) { result = std::move(s); });
  run_until(loop, [&] { return result.has_value(); });
  ASSERT_TRUE(*result);
  struct stat st {};
  ASSERT_EQ(::stat((root + "/j/0001").c_str(), &st), 0);
  EXPECT_EQ(static_cast<std::uint64_t>(st.st_size), kSize);
  EXPECT_GE(static_cast<std::uint64_t>(st.st_blocks) * 512, kSize - 4096);
  auto f = disk->open("j/0001", env::Open::kRead);
  EXPECT_EQ(slurp(**f, kSize + 1), std::string(kSize, '\0'));
  result.reset();
  disk->create_zeroed("j/0001", 10, [&](Status s) { result = std::move(s); });
  run_until(loop, [&] { return result.has_value(); });
  EXPECT_EQ(result->error().code, Code::kExists);
  result.reset();
  disk->create_zeroed("nowhere/0001", 10, [&](Status s) { result = std::move(s); });
  EXPECT_FALSE(result);
  run_until(loop, [&] { return result.has_value(); });
  EXPECT_EQ(result->error().code, Code::kNotFound);
}

TEST_F(PosixDisk, ListsRenamesAndRemoves) {
  ASSERT_TRUE(disk->mkdirs("d/e"));
  ASSERT_TRUE(disk->mkdirs("d/e"));
  create("d/b");
  ASSERT_TRUE(write(*create("d/a"), 0, "12345", env::Sync::kNone));
  auto listed = disk->list("d");
  ASSERT_TRUE(listed);
  ASSERT_EQ(listed->size(), 3u);
  EXPECT_EQ((*listed)[0].name, "a");
  EXPECT_EQ((*listed)[0].size, 5u);
  EXPECT_EQ((*listed)[1].name, "b");
  EXPECT_TRUE((*listed)[2].is_dir);
  ASSERT_TRUE(disk->rename("d/a", "d/b"));
  ASSERT_TRUE(disk->sync_dir("d"));
  EXPECT_EQ(slurp(**disk->open("d/b", env::Open::kRead)), "12345");
  ASSERT_TRUE(disk->link("d/b", "d/c"));
  EXPECT_EQ(disk->link("d/b", "d/c").error().code, Code::kExists);
  EXPECT_EQ(disk->link("d/x", "d/y").error().code, Code::kNotFound);
  ASSERT_TRUE(disk->remove("d/b"));
  EXPECT_EQ(slurp(**disk->open("d/c", env::Open::kRead)), "12345") << "the other name keeps the file";
  ASSERT_TRUE(disk->remove("d/c"));
  ASSERT_TRUE(disk->remove("d/e"));
  EXPECT_EQ(disk->remove("d/b").error().code, Code::kNotFound);
  EXPECT_EQ(disk->rename("d/x", "d/y").error().code, Code::kNotFound);
  EXPECT_TRUE(disk->list("d")->empty());
  EXPECT_EQ(disk->list("no").error().code, Code::kNotFound);
  auto top_level = disk->list("");
  ASSERT_TRUE(top_level);
  ASSERT_EQ(top_level->size(), 1u) << "the lock file is not listed";
}

TEST_F(PosixDisk, NothingOutsideTheRootCanBeReached) {
  std::ofstream(top + "/secret") << "x";
  fs::create_symlink(top, root + "/link");
  fs::create_symlink(top + "/secret", root + "/file");
  for (const char* path : {"../secret", "/etc/passwd", "a/../../secret", "./a", "", "..", "a//b", "a/"}) {
    auto r = disk->open(path, env::Open::kRead);
    ASSERT_FALSE(r) << path;
    EXPECT_EQ(r.error().code, Code::kInvalid) << path;
    EXPECT_FALSE(disk->remove(path)) << path;
  }
  EXPECT_FALSE(disk->open("link/secret", env::Open::kRead));
  EXPECT_FALSE(disk->open("file", env::Open::kRead));
  EXPECT_FALSE(disk->list("link"));
  EXPECT_FALSE(disk->mkdirs("link/x"));
  EXPECT_FALSE(disk->mkdirs("../x"));
  EXPECT_FALSE(disk->rename("file", "../file"));
  EXPECT_TRUE(fs::exists(top + "/secret"));
}

TEST_F(PosixDisk, TwoBrokersCannotShareARoot) {
  auto second = open_posix_disk(loop, root);
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, Code::kUnavailable);
  EXPECT_NE(second.error().detail.find(std::to_string(::getpid())), std::string::npos)
      << second.error().detail;
  disk.reset();
  EXPECT_TRUE(open_posix_disk(loop, root));
}

TEST_F(PosixDisk, ARootThatIsAFileIsSaidSo) {
  std::ofstream(top + "/file") << "x";
  for (const std::string& path : {top + "/file", top + "/file/jetstream"}) {
    auto r = open_posix_disk(loop, path);
    ASSERT_FALSE(r);
    EXPECT_EQ(r.error().detail, "storage directory is not a directory");
  }
}

TEST_F(PosixDisk, KnowsItsSpace) {
  auto space = disk->space();
  ASSERT_TRUE(space);
  EXPECT_GT(space->total_bytes, 0u);
  EXPECT_LE(space->free_bytes, space->total_bytes);
}

TEST_F(PosixDisk, BulkWorkDoesNotHoldUpWrites) {
  int zeroed = 0;
  for (int i = 0; i < 20; ++i) {
    disk->create_zeroed("z" + std::to_string(i), 1 << 20, [&](Status s) { zeroed += s.has_value(); });
  }
  auto f = create("a");
  ASSERT_TRUE(write(*f, 0, "x", env::Sync::kData));
  run_until(loop, [&] { return zeroed == 20; });
}

TEST(NoDisk, RefusesEverything) {
  AsioLoop loop;
  auto disk = make_no_disk(loop);
  EXPECT_EQ(disk->open("a", env::Open::kRead).error().code, Code::kUnavailable);
  EXPECT_FALSE(disk->mkdirs("a"));
  EXPECT_FALSE(disk->space());
  std::optional<Status> result;
  disk->create_zeroed("a", 1, [&](Status s) { result = std::move(s); });
  EXPECT_FALSE(result);
  run_until(loop, [&] { return result.has_value(); });
  EXPECT_FALSE(*result);
}

}  // namespace
}  // namespace weir::platform
