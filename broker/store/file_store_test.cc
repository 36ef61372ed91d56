#include "broker/store/file_store.h"

#include <set>

#include "broker/store/testing/store_world.h"

namespace weir::store {
namespace {

using env::testing::Survivors;

std::vector<std::string> segment_files(StoreWorld& w) {
  std::vector<std::string> out;
  for (const auto& f : w.env.disk.files()) {
    if (f.ends_with(".seg") && f.find("lost+found") == std::string::npos) out.push_back(f);
  }
  return out;
}

TEST(FileStore, EmptyThenReopened) {
  StoreWorld w(1);
  ASSERT_TRUE(w.open());
  EXPECT_EQ(w.store->state().last_seq.v, 0u);
  w.checkpoint();
  w.store->skip_to(StreamSeq(41), Wall{5});
  w.model.last = 41;
  w.model.last_time = 5;
  w.checkpoint();
  w.close();
  ASSERT_TRUE(w.open());
  EXPECT_EQ(w.store->state().last_seq.v, 41u);
  EXPECT_EQ(w.store->state().first_seq.v, 42u);
  EXPECT_TRUE(segment_files(w).empty());
}

TEST(FileStore, SizesAsDashboardsKnowThem) {
  StoreWorld w(1);
  ASSERT_TRUE(w.open());
  EXPECT_EQ(w.store->stored_size(3, 0, 10), 43u);
  EXPECT_EQ(w.store->stored_size(3, 20, 10), 67u);
}

TEST(FileStore, SealedMessagesShareOneBlock) {
  StoreWorld w(2);
  w.block_bytes = 100'000;
  ASSERT_TRUE(w.open());
  for (std::uint64_t q = 1; q <= 100; ++q) w.store->append(make_message(q, 1, "a.b", "", "payload"));
  w.checkpoint();
  EXPECT_EQ(w.store->unflushed_bytes(), 0u);
  std::uint64_t before = w.env.disk.counts().reads;
  auto a = w.store->load(StreamSeq(1));
  auto b = w.store->next({}, StreamSeq(2));
  ASSERT_TRUE(a && b);
  EXPECT_EQ((*a)->payload(), "payload");
  EXPECT_EQ((*a)->subject().data() + 10, (*b)->subject().data());
  EXPECT_EQ(w.env.disk.counts().reads, before + 2);  // footer and block
  std::uint64_t reads = w.env.disk.counts().reads;
  for (std::uint64_t q = 1; q <= 100; ++q) ASSERT_TRUE(w.store->load(StreamSeq(q))->has_value());
  EXPECT_EQ(w.env.disk.counts().reads, reads);
}

TEST(FileStore, AgainstModelWithCheckpointsAndReopens) {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    StoreWorld w(seed);
    if (seed % 3 == 0) w.cache_bytes = 1;
    ASSERT_TRUE(w.open());
    for (int i = 0; i < 2500; ++i) {
      std::string what = w.step();
      SCOPED_TRACE("seed " + std::to_string(seed) + " step " + std::to_string(i) + " " + what);
      if (!w.store->checkpointing() && w.prng.chance(1, 60)) w.start_checkpoint();
      if (w.prng.chance(1, 4)) w.env.loop.run_for(100 * kMicrosecond);
      if (i % 9 == 0) expect_answers(*w.store, w.model, w.prng);
      if (i % 101 == 0) expect_state(*w.store, w.model);
      if (w.prng.chance(1, 200)) {
        w.env.loop.run_until([&] { return !w.store->checkpointing(); });
        w.checkpoint();
        w.close();
        auto opened = w.open();
        ASSERT_TRUE(opened) << opened.error().to_string();
        w.verify();
      }
      if (testing::Test::HasFailure()) return;
    }
    EXPECT_TRUE(w.last_status);
    EXPECT_LT(segment_files(w).size(), 60u);
  }
}

// The number of segments and files stays bounded however often and little is flushed.
TEST(FileStore, ManySmallCheckpointsMakeFewSegments) {
  StoreWorld w(3);
  w.segment_bytes = 1u << 20;
  ASSERT_TRUE(w.open());
  for (int i = 0; i < 300; ++i) {
    for (int k = 0; k < 3; ++k) w.step();
    w.checkpoint();
  }
  EXPECT_LT(segment_files(w).size(), 16u);
  w.verify(20);
}

TEST(FileStore, DeadSegmentsAreUnlinkedAndSparseOnesRewritten) {
  StoreWorld w(4);
  ASSERT_TRUE(w.open());
  auto fill = [&](std::uint64_t from, std::uint64_t to) {
    for (std::uint64_t q = from; q <= to; ++q) {
      StoreModel::Item item{"k." + std::to_string(q % 50), "", std::string(50, 'x'), 0};
      w.store->append(make_message(q, 0, item.subject, "", item.payload));
      w.model.items[q] = item;
      w.model.last = q;
    }
  };
  fill(1, 1000);
  w.checkpoint();
  std::size_t before = segment_files(w).size();
  EXPECT_GT(before, 8u);
  for (std::uint64_t q = 1; q <= 1000; ++q) {
    if (q % 5 == 0) continue;
    ASSERT_TRUE(w.store->remove(StreamSeq(q)));
    w.model.items.erase(q);
  }
  for (int i = 0; i < 12; ++i) w.checkpoint();
  EXPECT_LT(segment_files(w).size(), before / 2);
  w.verify(20);
  ASSERT_TRUE(w.store->compact(StreamSeq(1001)));
  w.model.items.clear();
  w.verify();
  EXPECT_FALSE(segment_files(w).empty());
  w.checkpoint();
  EXPECT_TRUE(segment_files(w).empty());
  w.close();
  ASSERT_TRUE(w.open());
  w.verify();
}

TEST(FileStore, UnknownFilesAreMovedAside) {
  StoreWorld w(5);
  w.env.disk.put("groups/7/00000000000000aa.seg", "who am I");
  w.env.disk.put("groups/7/lost+found/00000000000000aa.seg", "an older one");
  ASSERT_TRUE(w.open());
  EXPECT_FALSE(w.env.disk.content("groups/7/00000000000000aa.seg"));
  EXPECT_EQ(w.env.disk.content("groups/7/lost+found/00000000000000aa.seg.1"), "who am I");
  EXPECT_EQ(w.env.disk.content("groups/7/lost+found/00000000000000aa.seg"), "an older one");
}

TEST(FileStore, MissingAndCutSegmentsAreErrors) {
  for (bool missing : {true, false}) {
    StoreWorld w(6);
    ASSERT_TRUE(w.open());
    for (int i = 0; i < 200; ++i) w.step();
    w.checkpoint();
    w.close();
    std::string victim = segment_files(w).at(0);
    std::string bytes = *w.env.disk.content(victim);
    if (missing) {
      ASSERT_TRUE(w.env.disk.remove(victim));
    } else {
      w.env.disk.put(victim, bytes.substr(0, bytes.size() - 1));
    }
    auto opened = w.open();
    ASSERT_FALSE(opened);
    EXPECT_EQ(opened.error().code, Code::kCorrupt);
    EXPECT_NE(opened.error().detail.find(victim), std::string::npos) << opened.error().detail;
  }
}

// Every bit of a segment's blocks, dictionary and footer is covered by a checksum: a flip is an error
// that names the file, or was in bytes that nobody reads, and never a different answer.
TEST(FileStore, BitFlipsAreDetected) {
  StoreWorld w(7);
  ASSERT_TRUE(w.open());
  for (int i = 0; i < 60; ++i) w.step();
  w.checkpoint();
  w.close();
  std::string victim = segment_files(w).at(0);
  std::string good = *w.env.disk.content(victim);
  std::size_t errors = 0;
  for (std::size_t at = 0; at < good.size(); ++at) {
    std::string bad = good;
    bad[at] = static_cast<char>(bad[at] ^ (1 << (at % 8)));
    w.env.disk.put(victim, bad);
    auto opened = w.open();
    bool failed = !opened.has_value();
    if (opened) {
      for (const auto& [seq, item] : w.model.items) {
        auto m = w.store->load(StreamSeq(seq));
        if (!m) {
          failed = true;
          EXPECT_EQ(m.error().code, Code::kCorrupt);
          EXPECT_NE(m.error().detail.find(victim), std::string::npos);
          continue;
        }
        expect_message(*m, seq, item);
      }
    }
    errors += failed ? 1 : 0;
    // The file's header and trailer serve tools only.
    EXPECT_TRUE(failed || at < 16 || at >= good.size() - 64) << "byte " << at;
    w.close();
    if (testing::Test::HasFailure()) return;
  }
  EXPECT_EQ(errors, good.size() - 80);
}

TEST(FileStore, OtherBlocksStayReadableAndCheckpointsGoOn) {
  StoreWorld w(8);
  ASSERT_TRUE(w.open());
  for (std::uint64_t q = 1; q <= 60; ++q) w.store->append(make_message(q, 1, "a", "", std::string(50, 'y')));
  w.checkpoint();
  ASSERT_EQ(segment_files(w).size(), 1u);
  w.env.disk.flip_bit(segment_files(w)[0], 16 + 48 + 200, 3);  // in the data of the first block
  auto bad = w.store->load(StreamSeq(2));
  ASSERT_FALSE(bad);
  EXPECT_EQ(bad.error().code, Code::kCorrupt);
  EXPECT_TRUE(w.store->load(StreamSeq(50)));
  EXPECT_TRUE(w.store->remove(StreamSeq(3)));  // needs the index only
  // A merge would read the damaged block: new messages are written without it.
  for (std::uint64_t q = 61; q <= 120; ++q)
    w.store->append(make_message(q, 1, "a", "", std::string(50, 'y')));
  w.checkpoint();
  EXPECT_EQ(w.store->unflushed_bytes(), 0u);
  w.checkpoint();
  w.close();
  ASSERT_TRUE(w.open());
  EXPECT_EQ(w.store->state().messages, 119u);
  EXPECT_FALSE(w.store->load(StreamSeq(2)));
  EXPECT_TRUE(w.store->load(StreamSeq(120))->has_value());
}

TEST(FileStore, FullDiskFailsTheCheckpointAndTheNextOneSucceeds) {
  StoreWorld w(9);
  ASSERT_TRUE(w.open());
  for (int i = 0; i < 300; ++i) w.step();
  w.checkpoint();
  for (int i = 0; i < 300; ++i) w.step();
  for (int round = 0; round < 5; ++round) {
    w.env.disk.fail_next_write("groups/", Code::kNoSpace);
    w.start_checkpoint();
    for (int i = 0; i < 5; ++i) w.step();
    w.env.loop.run_until([&] { return !w.store->checkpointing(); });
    EXPECT_FALSE(w.last_status);
    w.verify();
  }
  std::size_t files = segment_files(w).size();
  w.checkpoint();
  EXPECT_LE(segment_files(w).size(), files + 60);
  w.close();
  ASSERT_TRUE(w.open());
  w.verify(20);
  EXPECT_FALSE(w.env.log.contains("lost+found"));
}

TEST(FileStore, DestroyLeavesNothing) {
  for (bool during : {false, true}) {
    StoreWorld w(10);
    ASSERT_TRUE(w.open());
    for (int i = 0; i < 300; ++i) w.step();
    w.checkpoint();
    for (int i = 0; i < 100; ++i) w.step();
    if (during) w.start_checkpoint();
    w.env.loop.run_for(60 * kMicrosecond);
    bool destroyed = false;
    w.store->destroy([&](const Status& s) { destroyed = s.has_value(); });
    w.store.reset();
    w.env.loop.run_until([&] { return destroyed && !w.catalog->busy(); });
    EXPECT_TRUE(destroyed);
    EXPECT_TRUE(segment_files(w).empty());
    int keys = 0;
    w.catalog->scan("", [&](const std::string&, const std::string&) { return ++keys != 0; });
    EXPECT_EQ(keys, 0);
    w.close();
    ASSERT_TRUE(w.open());
    EXPECT_EQ(w.store->state().last_seq.v, 0u);
  }
}

// Cut anywhere, a deletion either did not happen or is finished by the sweep.
TEST(FileStore, CrashWhileDestroyed) {
  int intact = 0, swept = 0;
  for (std::uint64_t operation = 1;; ++operation) {
    SCOPED_TRACE("operation " + std::to_string(operation));
    StoreWorld w(11);
    ASSERT_TRUE(w.open());
    for (int i = 0; i < 300; ++i) w.step();
    w.checkpoint();
    w.env.disk.crash_at(operation);
    w.store->destroy([](const Status&) {});
    w.env.loop.run_until([&] { return w.env.disk.frozen() || !w.catalog->busy(); });
    bool finished = !w.env.disk.frozen();
    w.env.disk.crash(w.prng, Survivors::kAny);
    w.close();
    w.env.loop.forget_all();
    auto opened = w.open();
    if (opened && w.store->state().messages != 0) {
      ++intact;
      w.verify();
    } else if (!opened) {
      EXPECT_EQ(opened.error().code, Code::kUnavailable);
      FileStore::sweep_destroyed(w.env.disk, *w.catalog, w.env.log);
      w.env.loop.run_until([&] { return !w.catalog->get("x/7") && !w.catalog->busy(); });
      w.close();
      ASSERT_TRUE(w.open());
      EXPECT_TRUE(segment_files(w).empty());
      ++swept;
    }
    if (finished) break;
  }
  EXPECT_GT(intact, 0);
  EXPECT_GT(swept, 0);
}

// The same history is cut at every disk operation. What comes back is the state of the last checkpoint
// that completed, or of the one whose commit was under way; and life goes on from there.
TEST(FileStore, CrashAtEveryOperation) {
  int newer_states = 0;
  for (std::uint64_t seed : {21u, 22u, 23u}) {
    for (std::uint64_t operation = 1;; ++operation) {
      SCOPED_TRACE("seed " + std::to_string(seed) + " operation " + std::to_string(operation));
      StoreWorld w(seed);
      ASSERT_TRUE(w.open());
      w.env.disk.crash_at(operation);
      for (int i = 0; i < 700 && !w.env.disk.frozen(); ++i) {
        w.step();
        if (!w.store->checkpointing() && i % 20 == 19) w.start_checkpoint();
        if (w.prng.chance(1, 3)) w.env.loop.run_for(80 * kMicrosecond);
      }
      bool finished = !w.env.disk.frozen();
      bool open_commit = w.store->checkpointing();
      StoreModel older = w.durable;
      StoreModel newer = open_commit ? w.under_way : w.durable;
      w.env.disk.crash(w.prng, Survivors::kAny);
      w.close();
      w.env.loop.forget_all();
      auto opened = w.open();
      ASSERT_TRUE(opened) << opened.error().to_string();
      bool is_newer = w.store->state().last_seq.v == newer.last && newer.last != older.last;
      w.model = is_newer ? newer : older;
      w.verify(2);
      if (operation % 5 == 0) {
        for (int i = 0; i < 60; ++i) w.step();
        w.checkpoint();
        w.verify(2);
        w.close();
        ASSERT_TRUE(w.open());
        w.verify(2);
      }
      if (testing::Test::HasFailure()) return;
      if (is_newer) ++newer_states;
      if (finished) {
        EXPECT_GT(operation, 200u);
        break;
      }
    }
  }
  EXPECT_GT(newer_states, 0);
}

}  // namespace
}  // namespace weir::store
