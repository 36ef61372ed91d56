// broker/base/limits.h - the caps that are not configurable. Each names who enforces it.
#pragma once

#include <cstddef>
#include <cstdint>

#include "broker/base/time.h"

namespace weir::limits {

// Client protocol (session/, server/); defaults of configurable ones live in config/options.h.
constexpr std::size_t kReadBytesPerTurn = 256 * 1024;  // then other connections get their turn
constexpr std::size_t kCopyPayloadBytesMax = 1024;     // larger payloads are shared, not copied, on fan-out
constexpr std::size_t kMatchCacheEntries = 4096;       // per account; cleared when full
constexpr std::size_t kSubjectBytesMax = 4096;         // same as the default control line
constexpr std::size_t kSubjectTokensMax = 512;
constexpr std::size_t kAcceptBacklog = 1024;

// Journal (store/): docs/formats/journal.md.
constexpr std::size_t kJournalFileBytes = 64u << 20;
constexpr std::size_t kJournalFrameBytesMax = 8u << 20;  // one group commit
constexpr std::size_t kJournalFilesMax = 64;             // above: publishes are refused until a flush
constexpr std::size_t kRecordBytesMax = 72u << 20;  // one raft entry: max_payload 64 MiB and its wrapping

// Segments (store/): docs/formats/segment.md.
constexpr std::size_t kBlockBytes = 256 * 1024;
constexpr std::size_t kSegmentBytes = 64u << 20;
constexpr std::size_t kTailBytesMax = 8u << 20;      // unflushed messages of a stream before a flush
constexpr std::size_t kBlockCacheBytes = 64u << 20;  // decoded blocks of a shard

// Groups (replica/).
constexpr std::size_t kEntryBytesMax = 1u << 20;  // commands of one turn are split into entries of this size
constexpr std::size_t kInFlightBytesMax = 64u << 20;  // proposed, not applied; above: 429

// JetStream (jetstream/, server/).
constexpr std::size_t kApiRequestsQueued = 10'000;
constexpr std::size_t kDedupeEntriesMax = 10'000'000;  // per stream
constexpr std::size_t kWaitingPullsMax = 65'536;       // per consumer, whatever max_waiting says
constexpr std::size_t kDirectBatchesMax = 1'024;       // direct gets under way that need several turns
constexpr std::size_t kDirectMessagesPerTurn = 256;    // of all batches of direct gets
constexpr std::size_t kDirectBytesPerTurn = 1u << 20;  // likewise; the message that goes beyond is sent
constexpr std::size_t kDeliveriesPerTurn = 1'024;      // per consumer, then others get their turn

}  // namespace weir::limits
