// broker/store/message_store.h - the messages of one stream: what the stream state machine needs.
//
// Room:     interface; FileStore and MemStore implement it with the same observable behaviour.
// Thread:   owned by one shard; no locking inside.
// Order:    calls are made by apply in log order, so that replicas hold the same content. Nothing
//           here decides: limits, dedupe and expiry are the state machine's.
// Errors:   kCorrupt or kIo when sealed bytes cannot be read; never a shorter answer instead.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "broker/base/result.h"
#include "broker/base/state_hash.h"
#include "broker/store/message.h"

namespace weir::store {

struct StoreState {
  std::uint64_t messages = 0;
  std::uint64_t bytes = 0;  // sum of stored_size() of the live messages
  StreamSeq first_seq;      // of the first live message; last_seq + 1 when empty (0 before the first)
  Wall first_time;          // zero when empty
  StreamSeq last_seq;       // highest sequence ever given, live or not
  Wall last_time;           // of the message at last_seq, also after its removal
  std::uint64_t subjects = 0;
  std::uint64_t deleted = 0;  // interior: last_seq - first_seq + 1 - messages
  SeqSums live;               // of the live messages' sequences; not stored, counted again when opened
};

struct SubjectState {
  std::uint64_t count = 0;
  StreamSeq first;
  StreamSeq last;
};

/// Sequences first to last, both included.
struct LiveRange {
  StreamSeq first, last;
  bool operator==(const LiveRange&) const = default;
};

struct Removed {
  std::uint64_t messages = 0;
  std::uint64_t bytes = 0;
};

/// Literal or wildcard subjects, any of which may match; empty = every message.
using Filter = std::vector<std::string>;

class MessageStore {
 public:
  virtual ~MessageStore() = default;

  /// Adds a message. seq must be above last_seq (gaps are allowed: they count as deleted).
  virtual void append(Message message) = 0;
  /// Sets last_seq without a message (first_seq of the configuration, purge on an empty stream).
  /// The store must be empty of messages at or above `seq`; the next append has seq + 1 or more.
  virtual void skip_to(StreamSeq seq, Wall time) = 0;

  virtual const StoreState& state() const = 0;
  /// nullopt: never existed or removed.
  virtual Result<std::optional<Message>> load(StreamSeq seq) = 0;
  /// First live message at or after `from` that matches.
  virtual Result<std::optional<Message>> next(const Filter& filter, StreamSeq from) = 0;
  /// Last live message at or before `upto` that matches.
  virtual Result<std::optional<Message>> last(const Filter& filter, StreamSeq upto) = 0;
  /// First live sequence with time >= t; last_seq + 1 if none.
  virtual Result<StreamSeq> seq_at(Wall t) = 0;
  /// Live messages at or after `from` that match. Exact.
  virtual Result<std::uint64_t> count(const Filter& filter, StreamSeq from) = 0;

  /// nullopt: no live message has this literal subject.
  virtual std::optional<SubjectState> subject_state(std::string_view literal) const = 0;
  /// Live subjects that match, in byte order, until `visit` returns false.
  virtual void for_each_subject(
      const Filter& filter,
      const std::function<bool(std::string_view, const SubjectState&)>& visit) const = 0;

  /// Removes one message; zero if it is not there.
  virtual Result<Removed> remove(StreamSeq seq) = 0;
  /// Removes every message below `first_keep`; last_seq rises to first_keep - 1 if it was lower.
  virtual Result<Removed> compact(StreamSeq first_keep) = 0;

  /// Interior deleted sequences in order, at most `limit`.
  virtual std::vector<StreamSeq> deleted(std::size_t limit) const = 0;

  /// Live sequences at or after `from` as the longest ranges without a gap, in order, at most `limit`; the
  /// first may begin at `from` in the middle of one. No message is looked at: cost per range, not per
  /// message.
  virtual std::vector<LiveRange> live_ranges(StreamSeq from, std::size_t limit) const = 0;

  /// Bytes that count against max_bytes. File: 30 + subject + (headers ? 4 + headers : 0) + payload;
  /// memory: 16 + subject + headers + payload (what existing dashboards expect to see).
  virtual std::uint64_t stored_size(std::size_t subject, std::size_t headers, std::size_t payload) const = 0;
};

}  // namespace weir::store
