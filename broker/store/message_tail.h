// broker/store/message_tail.h - messages in memory, found by sequence or by subject chain.
//
// Room:     pure. Thread: one shard. Owner: StoreCore (all of a MemStore, the unflushed part of a
//           FileStore).
// Shape:    a directory of 64-slot chunks in order of sequence; gaps of a whole chunk cost nothing.
//           Messages of one subject are linked both ways, so that the neighbour of a removed message
//           is known without a search.
// Memory:   56 bytes per message besides its record; an empty tail allocates nothing.
// Invariant: links name live messages of this tail, or sequences below its first (flushed; whoever
//           follows a link asks contains()). Checked by the model tests.
#pragma once

#include <cstdint>
#include <vector>

#include "broker/store/message.h"

namespace weir::store {

class MessageTail {
 public:
  /// Adds a message above every sequence added before. `previous` is the last live message of the
  /// same subject (0 if none), here or not.
  void append(Message message, StreamSeq previous);
  /// The sequence must be live here.
  void erase(StreamSeq seq);
  /// Forgets all messages at or below `upto`; they live on elsewhere (links to them stay).
  void release(StreamSeq upto);
  void clear();

  bool contains(StreamSeq seq) const { return find(seq) != nullptr; }
  /// The sequence must be live here.
  Message get(StreamSeq seq) const;
  std::string_view subject(StreamSeq seq) const;
  Wall time(StreamSeq seq) const;
  /// Neighbours in the subject chain; 0 if none here.
  StreamSeq next_same(StreamSeq seq) const;
  StreamSeq prev_same(StreamSeq seq) const;

  /// Live neighbours in sequence order, `seq` itself included; 0 if none.
  StreamSeq next_live(StreamSeq seq) const;
  StreamSeq prev_live(StreamSeq seq) const;
  /// First sequence at or after `seq` that is not live here.
  StreamSeq next_gap(StreamSeq seq) const;
  /// First live sequence with time >= t (times never fall with the sequence); 0 if none.
  StreamSeq seq_at(Wall t) const;

  std::uint64_t count() const { return count_; }
  std::uint64_t count_from(StreamSeq from) const;
  /// Sum of the record sizes.
  std::uint64_t bytes() const { return bytes_; }

 private:
  static constexpr unsigned kShift = 6;
  static constexpr std::uint64_t kMask = 63;

  struct Slot {
    Bytes record;
    Wall time;
    std::uint32_t subject_size = 0;
    std::uint32_t header_size = 0;
    std::uint64_t prev = 0;
    std::uint64_t next = 0;
  };
  struct Chunk {
    std::uint64_t number = 0;  // sequence >> kShift
    std::uint64_t live = 0;    // bit i: slot i holds a live message
    Wall last_time;            // of the last message added, live or not
    std::vector<Slot> slots;   // freed when live becomes 0
  };

  std::size_t lower_chunk(std::uint64_t number) const;
  const Slot* find(StreamSeq seq) const;
  Slot* find(StreamSeq seq) { return const_cast<Slot*>(static_cast<const MessageTail*>(this)->find(seq)); }
  void drop(std::size_t chunk, unsigned slot);
  void tidy();

  std::vector<Chunk> chunks_;  // by number; some are dead (live 0), at most about half
  std::size_t dead_ = 0;
  std::uint64_t count_ = 0;
  std::uint64_t bytes_ = 0;
};

}  // namespace weir::store
