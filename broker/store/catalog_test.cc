#include "broker/store/catalog.h"

#include <gtest/gtest.h>

#include <map>

#include "broker/base/crc32c.h"
#include "broker/env/testing/sim_disk.h"
#include "broker/store/catalog_format.h"

namespace weir::store {
namespace {

using env::testing::SimEnv;
using env::testing::Survivors;
using Content = std::map<std::string, std::string>;

class Rig {
 public:
  explicit Rig(std::uint64_t seed) : world(seed), prng(seed) {
    options.roll_bytes_min = 1500, options.grow_bytes = 1024;
  }

  Status open() {
    auto c = Catalog::open(world.disk, world.log, "c", options);
    if (!c) return c.error();
    catalog = std::move(c).value();
    return ok();
  }
  void commit(std::vector<CatalogEdit> edits) {
    history.push_back(edits);
    std::size_t mine = history.size();
    catalog->commit(std::move(edits), [this, mine](Status s) {
      if (!s) return void(++errors);
      EXPECT_EQ(mine, durable + 1) << "out of order";
      durable = mine;
    });
  }
  void put(const std::string& k, const std::string& v) { commit({{k, v}}); }
  bool settle() {
    std::optional<bool> good;
    catalog->commit({}, [&](Status s) { good = s.has_value(); });
    (void)world.loop.run_until([&] { return good.has_value(); }, kSecond);
    return good.value_or(false);
  }
  void die(std::optional<Survivors> survivors) {
    world.loop.forget_all();
    if (survivors) {
      world.disk.crash(prng, *survivors);
    } else {
      world.disk.kill(prng);
    }
    catalog.reset();
  }
  Content content() const {
    Content out;
    catalog->scan("", [&](const std::string& k, const std::string& v) { return out.emplace(k, v).second; });
    return out;
  }
  static Content model(const std::vector<std::vector<CatalogEdit>>& h, std::size_t n) {
    Content m;
    for (std::size_t i = 0; i < n; ++i) {
      for (const auto& e : h[i]) {
        if (e.value) {
          m[e.key] = *e.value;
        } else {
          m.erase(e.key);
        }
      }
    }
    return m;
  }
  /// The content is that of the first k commits, k >= least: none is there by half.
  bool is_prefix(std::size_t least) {
    Content now = content();
    for (std::size_t k = history.size() + 1; k-- > least;) {
      if (model(history, k) == now) {
        history.resize(k);
        durable = k;
        return true;
      }
    }
    return false;
  }

  SimEnv world;
  Prng prng;
  Catalog::Options options;
  std::unique_ptr<Catalog> catalog;
  std::vector<std::vector<CatalogEdit>> history;
  std::size_t durable = 0;
  std::size_t errors = 0;
};

TEST(Catalog, CommitsAreVisibleAtOnceAndSurvive) {
  Rig rig(1);
  ASSERT_TRUE(rig.open());
  EXPECT_TRUE(rig.catalog->busy());
  rig.commit({{"g/1/a", "1"}, {"g/1/b", "2"}, {"g/2/a", std::string("\0\xff", 2)}, {"n/x", ""}});
  rig.commit({{"g/1/a", std::nullopt}, {"none", std::nullopt}});
  EXPECT_FALSE(rig.catalog->get("g/1/a").has_value());
  EXPECT_EQ(rig.catalog->get("g/1/b"), "2");
  EXPECT_EQ(rig.catalog->get("n/x"), "");
  EXPECT_EQ(rig.durable, 0u);
  ASSERT_TRUE(rig.settle());
  EXPECT_FALSE(rig.catalog->busy());
  EXPECT_EQ(rig.durable, 2u);
  rig.die(Survivors::kNone);
  ASSERT_TRUE(rig.open());
  EXPECT_TRUE(rig.is_prefix(2));
}

TEST(Catalog, ScanGoesInByteOrderWithinThePrefix) {
  Rig rig(2);
  ASSERT_TRUE(rig.open());
  rig.commit({{"a", ""}, {"g/1", "x"}, {"g/10", "y"}, {"g/2", "z"}, {"h", ""}});
  std::string seen;
  rig.catalog->scan("g/", [&](const std::string& k, const std::string& v) {
    seen += k + v + " ";
    return k != "g/10";
  });
  EXPECT_EQ(seen, "g/1x g/10y ");
  seen.clear();
  rig.catalog->scan("i", [&](const std::string& k, const std::string&) {
    seen += k;
    return true;
  });
  EXPECT_EQ(seen, "");
}

TEST(Catalog, CommitsShareSyncs) {
  Rig rig(3);
  ASSERT_TRUE(rig.open());
  ASSERT_TRUE(rig.settle());
  auto before = rig.world.disk.counts().syncs;
  for (int i = 0; i < 100; ++i) rig.put("k" + std::to_string(i % 7), std::to_string(i));
  ASSERT_TRUE(rig.settle());
  EXPECT_EQ(rig.durable, 100u);
  EXPECT_LE(rig.world.disk.counts().syncs - before, 6u);
}

TEST(Catalog, RollsWhenTheLogOutgrowsTheContent) {
  Rig rig(4);
  ASSERT_TRUE(rig.open());
  for (int i = 0; i < 500; ++i) {
    rig.put("key" + std::to_string(i % 5), std::string(50, static_cast<char>('a' + i % 26)));
    ASSERT_TRUE(rig.settle());
  }
  rig.world.loop.run_until_idle();
  auto files = rig.world.disk.files();
  ASSERT_EQ(files.size(), 1u);
  EXPECT_LT(rig.world.disk.content(files[0])->size(), 4000u);
  rig.die(Survivors::kAny);
  ASSERT_TRUE(rig.open());
  EXPECT_TRUE(rig.is_prefix(500));
}

TEST(Catalog, ARollDoesNotHoldCommitsUp) {
  Rig rig(5);
  rig.options.roll_bytes_min = 6 << 20;
  rig.options.grow_bytes = 256 << 10;
  ASSERT_TRUE(rig.open());
  for (int i = 0; i < 2000; ++i) rig.put("big" + std::to_string(i), std::string(1000, 'x'));
  ASSERT_TRUE(rig.settle());
  Nanos longest = 0;
  std::uint64_t writes_max = 0;
  for (int i = 0; i < 8000; ++i) {
    Mono t = rig.world.loop.now();
    auto bytes = rig.world.disk.counts().written_bytes;
    rig.put("big" + std::to_string(i % 2000), std::string(1000, 'y'));
    std::size_t target = rig.history.size();
    ASSERT_TRUE(rig.world.loop.run_until([&] { return rig.durable == target; }, kSecond));
    longest = std::max(longest, rig.world.loop.now() - t);
    writes_max = std::max(writes_max, rig.world.disk.counts().written_bytes - bytes);
  }
  EXPECT_GE(rig.world.disk.counts().creates, 2u);
  EXPECT_LT(longest, 3 * kMillisecond);
  EXPECT_LT(writes_max, 2u << 20);  // the copy of 2 MB goes in pieces between the commits
}

TEST(Catalog, AFailedSyncIsFinal) {
  Rig rig(6);
  ASSERT_TRUE(rig.open());
  rig.put("a", "1");
  ASSERT_TRUE(rig.settle());
  rig.world.disk.fail_next_sync("c/");
  rig.put("b", "2");
  rig.put("c", "3");
  rig.world.loop.run_until_idle();
  EXPECT_EQ(rig.errors, 2u);
  rig.put("d", "4");
  EXPECT_EQ(rig.errors, 2u);  // not inside the call
  rig.world.loop.run_until_idle();
  EXPECT_EQ(rig.errors, 3u);
  EXPECT_EQ(rig.durable, 1u);
  rig.die(std::nullopt);
  ASSERT_TRUE(rig.open());
  ASSERT_TRUE(rig.is_prefix(1));
  std::size_t seen = rig.history.size();
  ASSERT_TRUE(rig.settle());  // what the page cache showed is durable from here on
  rig.die(Survivors::kNone);
  ASSERT_TRUE(rig.open());
  EXPECT_TRUE(rig.is_prefix(seen));
}

TEST(Catalog, NoSpaceForACopyIsNoError) {
  Rig rig(7);
  ASSERT_TRUE(rig.open());
  for (int i = 0; i < 10; ++i) rig.put("k" + std::to_string(i), std::string(300, 'v'));
  ASSERT_TRUE(rig.settle());
  rig.world.loop.run_until_idle();
  rig.world.disk.set_capacity(rig.world.disk.used_bytes() + 8200);
  for (int i = 0; i < 15; ++i) {
    rig.put("k" + std::to_string(i % 10), std::string(300, 'w'));
    ASSERT_TRUE(rig.settle()) << i;
    rig.world.loop.run_until_idle();
  }
  EXPECT_TRUE(rig.world.log.contains("copy given up"));
  rig.world.disk.set_capacity(1 << 30);
  for (int i = 0; i < 40; ++i) {
    rig.put("k" + std::to_string(i % 10), std::string(300, 'z'));
    ASSERT_TRUE(rig.settle());
  }
  rig.world.loop.run_until_idle();
  EXPECT_EQ(rig.world.disk.files().size(), 1u);
  rig.die(Survivors::kNone);
  ASSERT_TRUE(rig.open());
  EXPECT_TRUE(rig.is_prefix(rig.durable));
}

// Commits wait on a full disk, through restarts of the process as well, and go on in order.
TEST(Catalog, CommitsWaitForRoom) {
  for (std::uint64_t seed = 1; seed <= 60; ++seed) {
    Rig rig(seed);
    ASSERT_TRUE(rig.open());
    for (int i = 0; i < 10; ++i) rig.put("k" + std::to_string(i), std::string(100, 'v'));
    ASSERT_TRUE(rig.settle());
    rig.world.loop.run_until_idle();
    auto some = [&] {
      for (std::uint64_t n = rig.prng.between(1, 30); n > 0; --n) {
        rig.commit({{"k" + std::to_string(rig.prng.below(12)), std::string(rig.prng.below(200), 'w')},
                    {"l" + std::to_string(rig.prng.below(12)), std::to_string(n)}});
        if (rig.prng.chance(1, 3)) rig.world.loop.run_until_idle();
      }
    };
    rig.world.disk.set_capacity(rig.world.disk.used_bytes() + rig.prng.below(4000));
    some();
    rig.world.loop.run_until_idle();
    for (int i = 0; i < 5; ++i) {
      rig.catalog->retry();  // there is no room yet
      some();
      rig.world.loop.run_until_idle();
    }
    EXPECT_EQ(rig.errors, 0u);
    if (rig.prng.chance(1, 3)) {
      std::size_t told = rig.durable;
      rig.die(Survivors::kNone);
      rig.world.disk.set_capacity(1 << 30);
      ASSERT_TRUE(rig.open());
      ASSERT_TRUE(rig.is_prefix(told)) << "seed " << seed;
      continue;
    }
    EXPECT_TRUE(rig.catalog->waits_for_space() || rig.durable == rig.history.size());
    rig.world.disk.set_capacity(1 << 30);
    rig.catalog->retry();
    some();
    ASSERT_TRUE(rig.settle()) << "seed " << seed;
    rig.world.loop.run_until_idle();
    EXPECT_EQ(rig.durable, rig.history.size());
    EXPECT_FALSE(rig.catalog->waits_for_space());
    EXPECT_EQ(rig.world.disk.files().size(), 1u);
    rig.die(Survivors::kNone);
    ASSERT_TRUE(rig.open());
    EXPECT_TRUE(rig.is_prefix(rig.durable)) << "seed " << seed;
  }
}

TEST(Catalog, ALaterVersionIsRefusedAndForeignFilesAreLeftAlone) {
  Rig rig(8);
  rig.world.disk.put("c/readme", "mine");
  rig.world.disk.put("c/00000000.cat", "mine");
  ASSERT_TRUE(rig.open());
  rig.put("a", "1");
  ASSERT_TRUE(rig.settle());
  rig.die(Survivors::kNone);
  EXPECT_EQ(*rig.world.disk.content("c/readme"), "mine");
  EXPECT_EQ(*rig.world.disk.content("c/00000000.cat"), "mine");
  std::string bytes = *rig.world.disk.content("c/00000001.cat");
  Bytes golden = encode_catalog_header(1, 0, rig.options.grow_bytes);
  ASSERT_EQ(bytes.substr(0, golden.size()), golden.text());
  bytes[8] = 2;
  std::uint32_t crc = crc32c(as_span(std::string_view(bytes).substr(0, 60)));
  std::memcpy(bytes.data() + 60, &crc, 4);
  rig.world.disk.put("c/00000001.cat", bytes);
  auto s = rig.open();
  ASSERT_FALSE(s);
  EXPECT_EQ(s.error().code, Code::kUnsupported);
}

TEST(Catalog, ALostFileIsNoEmptyCatalog) {
  Rig rig(9);
  ASSERT_TRUE(rig.open());
  rig.put("a", "1");
  ASSERT_TRUE(rig.settle());
  rig.die(Survivors::kNone);
  rig.world.disk.crash_at(6);  // in the copy of the next start
  (void)rig.open();
  rig.world.loop.run_until_idle();
  rig.die(Survivors::kAll);
  ASSERT_TRUE(rig.world.disk.remove("c/00000001.cat"));
  ASSERT_FALSE(rig.world.disk.files().empty());
  auto s = rig.open();
  ASSERT_FALSE(s);
  EXPECT_EQ(s.error().code, Code::kCorrupt);
}

TEST(Catalog, AFileThatLostItsEndIsRefused) {
  Rig base(10);
  base.options.roll_bytes_min = 1 << 20;
  ASSERT_TRUE(base.open());
  ASSERT_TRUE(base.settle());
  for (int i = 0; i < 60; ++i) base.put("k" + std::to_string(i), std::string(50, 'v'));
  ASSERT_TRUE(base.settle());
  base.die(Survivors::kAll);
  std::string bytes = *base.world.disk.content("c/00000001.cat");
  ASSERT_EQ(bytes.size() % base.options.grow_bytes, 0u);
  std::size_t written = bytes.find_last_not_of('\0') + 1;
  ASSERT_GT(written, 4 * base.options.grow_bytes);
  for (std::size_t size = 1; size < bytes.size(); ++size) {
    Rig rig(size);
    rig.history = base.history;
    rig.world.disk.put("c/00000001.cat", bytes.substr(0, size));
    auto s = rig.open();
    // At the end of a step nothing can be told, but by what a later batch promises.
    if (size > base.options.grow_bytes && size < written && size % base.options.grow_bytes > 64) {
      ASSERT_FALSE(s) << size;
      ASSERT_EQ(s.error().code, Code::kCorrupt) << size;
    }
    ASSERT_TRUE(size < written || !s || rig.is_prefix(60)) << size;
  }
}

TEST(Catalog, ReadErrorsAreErrors) {
  Rig rig(10);
  ASSERT_TRUE(rig.open());
  ASSERT_TRUE(rig.settle());
  rig.die(Survivors::kNone);
  rig.world.disk.fail_reads("c/00000001.cat", 0, 1);
  EXPECT_EQ(rig.open().error().code, Code::kIo);
}

// One bit anywhere: an error, or content that is that of a prefix; never less than what a later batch
// promises, never anything else.
TEST(CatalogFlip, AnyBitAnywhere) {
  Rig base(11);
  ASSERT_TRUE(base.open());
  for (int i = 0; i < 8; ++i) {
    base.commit({{"k" + std::to_string(i), "v" + std::to_string(i)}, {"last", std::to_string(i)}});
    ASSERT_TRUE(base.settle());
  }
  base.catalog.reset();  // a clean stop promises the last one
  base.die(Survivors::kAll);
  std::string bytes = *base.world.disk.content("c/00000001.cat");
  std::size_t refused = 0;
  for (std::size_t at = 0; at < bytes.size(); ++at) {
    Rig rig(at);
    rig.history = base.history;
    rig.world.disk.put("c/00000001.cat", bytes);
    ASSERT_TRUE(rig.world.disk.flip_bit("c/00000001.cat", at, static_cast<unsigned>(at % 8)));
    auto s = rig.open();
    refused += s ? 0u : 1u;
    ASSERT_TRUE(!s || rig.is_prefix(8)) << at;
    ASSERT_TRUE(s || s.error().code == Code::kCorrupt) << at;
  }
  EXPECT_GT(refused, bytes.size() / 3);
}

std::uint64_t live(std::uint64_t seed, std::uint64_t crash_at, std::optional<Survivors> survivors) {
  Rig rig(seed);
  Prng prng(seed * 7);
  std::string what = "seed " + std::to_string(seed) + " crash at " + std::to_string(crash_at);
  rig.world.disk.crash_at(crash_at);
  if (rig.open()) {
    for (int i = 0; i < 40 && !rig.world.disk.frozen(); ++i) {
      std::vector<CatalogEdit> edits;
      for (std::uint64_t n = prng.below(5); n > 0; --n) {
        std::string key = "k" + std::to_string(prng.below(12));
        bool remove = prng.chance(1, 4);
        edits.push_back({key, remove ? std::nullopt
                                     : std::optional(std::string(prng.below(200), 'v') + std::to_string(i))});
      }
      rig.commit(std::move(edits));
      if (prng.chance(1, 2)) rig.world.loop.run_for(static_cast<Nanos>(prng.below(kMillisecond)));
    }
    rig.world.loop.run_for(100 * kMillisecond);
  }
  std::uint64_t operations = rig.world.disk.counts().operations;
  std::size_t durable = rig.durable;
  rig.die(survivors);
  rig.world.disk.crash_at(1 + crash_at % 11);  // the copy of the next start is interrupted too
  if (auto s = rig.open()) {
    EXPECT_TRUE(rig.is_prefix(durable)) << what;
    if (rig.settle()) durable = rig.history.size();
    rig.put("again", "1");
    rig.world.loop.run_for(100 * kMillisecond);
    durable = std::max(durable, rig.durable);
  } else {
    EXPECT_TRUE(rig.world.disk.frozen()) << what << s.error().to_string();
  }
  rig.die(survivors);
  auto s = rig.open();
  EXPECT_TRUE(s) << what << s.error().to_string();
  if (!s) return operations;
  EXPECT_TRUE(rig.is_prefix(durable)) << what << " (second)";
  EXPECT_TRUE(rig.settle());
  durable = rig.history.size();
  rig.die(Survivors::kNone);
  EXPECT_TRUE(rig.open());
  EXPECT_TRUE(rig.is_prefix(durable)) << what << " (third)";
  return operations;
}

TEST(CatalogCrash, AtEveryOperation) {
  constexpr Survivors kChoices[] = {Survivors::kNone, Survivors::kAll, Survivors::kPrefix, Survivors::kTorn,
                                    Survivors::kRandom};
  for (std::uint64_t seed = 1; seed <= 10 && !HasFailure(); ++seed) {
    std::uint64_t operations = live(seed, 0, Survivors::kNone);
    for (std::uint64_t at = 1; at <= operations && !HasFailure(); ++at) {
      for (Survivors s : kChoices) live(seed, at, s);
      live(seed, at, std::nullopt);
    }
  }
}

}  // namespace
}  // namespace weir::store
