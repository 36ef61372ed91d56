// broker/store/mem_store.h - a stream's messages in memory only (storage "memory").
//
// Room:     pure. Thread: one shard. Memory: 56 bytes per message besides its record, and the index.
// Errors:   none.
#pragma once

#include "broker/store/store_core.h"

namespace weir::store {

class MemStore final : public CoreStore<MessageStore> {
 public:
  MemStore() : CoreStore(StoreCore::Sizes::kMemory) {}
};

}  // namespace weir::store
