// broker/jetstream/pending_set.h - the messages a consumer has delivered and not finished.
//
// Room:      pure. Used by both copies of a ConsumerState; see `stamp`.
// Thread:    the shard's.      Owner: ConsumerState.
// Units:     stamp in milliseconds: Unix time of the last delivery in the committed copy, the
//            deadline of the redelivery (or kQueued) in the live copy on the leader.
// Cost:      16 bytes a message in chunks of 128; lookup O(log n), in-order acks O(1), any other
//            erase moves at most one chunk.
// Invariant: stream sequences and consumer sequences both grow strictly along the set: the consumer
//            sequence kept is that of the first delivery, and first deliveries go forward only.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>

#include "broker/base/fifo.h"
#include "broker/base/ids.h"

namespace weir::jetstream {

struct PendingEntry {
  StreamSeq sseq;
  ConsumerSeq cseq;              // of the first delivery
  std::uint64_t stamp = 0;       // below 2^42
  std::uint64_t deliveries = 0;  // 1 = delivered once; saturates at kDeliveriesMax
};

class PendingSet {
 public:
  static constexpr std::uint64_t kStampMax = (std::uint64_t{1} << 42) - 1;
  static constexpr std::uint64_t kDeliveriesMax = (std::uint64_t{1} << 22) - 1;

  PendingSet() = default;
  PendingSet(const PendingSet& o);
  PendingSet& operator=(const PendingSet& o);
  PendingSet(PendingSet&&) noexcept = default;
  PendingSet& operator=(PendingSet&&) noexcept = default;

  bool empty() const { return size_ == 0; }
  std::uint64_t size() const { return size_; }
  /// Entries with more than one delivery.
  std::uint64_t redelivered() const { return redelivered_; }
  /// Hash of the entries, the same for equal sets however they came to be. O(1).
  std::uint64_t hash() const { return hash_; }
  /// The set must not be empty.
  PendingEntry front() const;
  PendingEntry back() const;

  std::optional<PendingEntry> find(StreamSeq seq) const;
  /// First entry at or after `seq`.
  std::optional<PendingEntry> at_or_after(StreamSeq seq) const;

  /// Both sequences must be above those of back() (CHECK: decoders test before).
  void append(const PendingEntry& e);
  /// Changes stamp and deliveries of an entry; false if there is none.
  bool update(StreamSeq seq, std::uint64_t stamp, std::uint64_t deliveries);
  /// False if it is not there.
  bool erase(StreamSeq seq);
  void clear();

  /// In order, until `visit` returns false.
  template <class F>
  void for_each(F&& visit) const {
    for (const auto& c : chunks_)
      for (std::uint32_t i = c->begin; i < c->end; ++i)
        if (!visit(c->get(i))) return;
  }

 private:
  static constexpr std::uint32_t kChunk = 128;
  struct Slot {
    std::uint32_t sseq = 0, cseq = 0;  // above the bases of the chunk
    std::uint64_t word = 0;            // stamp << 22 | deliveries
  };
  struct Chunk {
    std::uint64_t sseq_base = 0, cseq_base = 0;
    std::uint32_t begin = 0, end = 0;  // live slots
    std::uint32_t capacity = 0;        // grows 4, 32, 128: most consumers hold little
    std::unique_ptr<Slot[]> slots;

    PendingEntry get(std::uint32_t i) const;
    /// Its part of the set's hash, which is the sum.
    std::uint64_t hash_of(std::uint32_t i) const;
    std::uint64_t last() const { return sseq_base + slots[end - 1].sseq; }
    /// Index of the first slot at or after seq, `end` if none.
    std::uint32_t lower(std::uint64_t seq) const;
    void grow();
  };
  /// Index of the first chunk whose last entry is at or after seq.
  std::size_t chunk_of(StreamSeq seq) const;

  Fifo<std::unique_ptr<Chunk>> chunks_;
  std::uint64_t size_ = 0;
  std::uint64_t redelivered_ = 0;
  std::uint64_t hash_ = 0;
};

}  // namespace weir::jetstream
