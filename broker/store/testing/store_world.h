// broker/store/testing/store_world.h - a simulated disk and loop with a file store on it, for tests.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "broker/env/testing/sim_disk.h"
#include "broker/store/block_cache.h"
#include "broker/store/catalog.h"
#include "broker/store/file_store.h"
#include "broker/store/testing/store_model.h"

namespace weir::store {

struct StoreWorld {
  explicit StoreWorld(std::uint64_t seed) : env(seed), prng(seed) {}

  env::testing::SimEnv env;
  Prng prng;
  std::size_t block_bytes = 600;
  std::size_t segment_bytes = 6000;
  std::size_t cache_bytes = 20'000;
  std::unique_ptr<BlockCache> cache;
  std::unique_ptr<Catalog> catalog;
  std::unique_ptr<FileStore> store;
  StoreModel model;      // as the store is now
  StoreModel durable;    // as of the last checkpoint that completed
  StoreModel under_way;  // as of the checkpoint that runs
  int finished = 0;      // checkpoints
  Status last_status;

  FileStore::Options options(std::uint32_t generation) const {
    FileStore::Options o;
    o.group = GroupId(7);
    o.dir = "groups/7" + (generation == 0 ? "" : "." + std::to_string(generation));
    o.generation = generation;
    o.block_bytes = block_bytes;
    o.segment_bytes = segment_bytes;
    return o;
  }
  Result<std::unique_ptr<FileStore>> open_store(std::uint32_t generation) {
    return FileStore::open(env.disk, *catalog, *cache, env.log, options(generation));
  }

  /// The catalog only.
  Status open_catalog() {
    cache = std::make_unique<BlockCache>(cache_bytes);
    auto c = Catalog::open(env.disk, env.log, "catalog", {});
    if (!c) return c.error();
    catalog = std::move(*c);
    return ok();
  }
  Status open() {
    RETURN_IF_ERROR(open_catalog());
    ASSIGN_OR_RETURN(store, open_store(0));
    return ok();
  }

  void close() {
    store.reset();
    catalog.reset();
    cache.reset();
  }

  void start_checkpoint() {
    under_way = model;
    store->checkpoint({}, [this](const Status& s) {
      ++finished;
      last_status = s;
      if (s) durable = under_way;
    });
  }

  /// Runs one checkpoint to its end.
  void checkpoint() {
    start_checkpoint();
    env.loop.run_until([this] { return !store->checkpointing(); });
    ASSERT_FALSE(store->checkpointing());
    ASSERT_TRUE(last_status) << last_status.error().to_string();
  }

  std::string step() { return model_step(*store, model, prng); }
  void verify(int questions = 3) {
    expect_state(*store, model);
    for (int i = 0; i < questions; ++i) expect_answers(*store, model, prng);
  }
};

}  // namespace weir::store
