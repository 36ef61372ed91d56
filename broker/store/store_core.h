// broker/store/store_core.h - what MemStore and FileStore share: tail, subject index, answers.
//
// Room:     pure apart from reads of sealed messages. Thread: one shard.
// Errors:   kCorrupt and kIo of sealed bytes. A change either happens whole or, with an error, not at
//           all: everything that must be read is read first.
// Cost:     unfiltered questions do not look at messages. Filtered ones race a scan against the
//           subject index, so that neither a rare subject in a long stream nor a common one among
//           many subjects is slow.
#pragma once

#include <functional>
#include <optional>
#include <string_view>
#include <vector>

#include "broker/store/filter.h"
#include "broker/store/message_store.h"
#include "broker/store/message_tail.h"
#include "broker/store/segment_set.h"
#include "broker/store/subject_index.h"

namespace weir::store {

class StoreCore {
 public:
  using MaybeSeq = std::optional<StreamSeq>;
  enum class Sizes : unsigned char { kFile, kMemory };  // which stored_size() rule

  explicit StoreCore(Sizes sizes) : sizes_(sizes) {}

  // For FileStore. A sequence is in at most one of the two: the tail lies above every segment.
  MessageTail& tail() { return tail_; }
  SegmentSet& sealed() { return sealed_; }
  const MessageTail& tail() const { return tail_; }
  const SegmentSet& sealed() const { return sealed_; }
  /// Takes the state of the last checkpoint and builds the subject index from the dictionaries.
  Status restore(SegmentSet sealed, StreamSeq last_seq, Wall last_time);

  // The calls of MessageStore.
  void append(Message message);
  void skip_to(StreamSeq seq, Wall time);
  const StoreState& state() const { return state_; }
  Result<std::optional<Message>> load(StreamSeq seq);
  Result<std::optional<Message>> next(const Filter& filter, StreamSeq from);
  Result<std::optional<Message>> last(const Filter& filter, StreamSeq upto);
  Result<StreamSeq> seq_at(Wall t);
  Result<std::uint64_t> count(const Filter& filter, StreamSeq from);
  std::optional<SubjectState> subject_state(std::string_view literal) const;
  void for_each_subject(const Filter& filter, const SubjectIndex::Visit& visit) const;
  Result<Removed> remove(StreamSeq seq);
  Result<Removed> compact(StreamSeq first_keep);
  std::vector<StreamSeq> deleted(std::size_t limit) const;
  std::vector<LiveRange> live_ranges(StreamSeq from, std::size_t limit) const;
  std::uint64_t stored_size(std::size_t subject, std::size_t headers, std::size_t payload) const;

 private:
  /// What becomes of a subject's state when one of its messages goes.
  struct Neighbours {
    StreamSeq first, last;
  };

  std::uint64_t size_of(const Message& m) const;
  bool contains(StreamSeq seq) const { return tail_.contains(seq) || sealed_.contains(seq); }
  bool is_sealed(StreamSeq seq) const { return !sealed_.empty() && seq <= sealed_.last(); }
  StreamSeq next_live(StreamSeq from) const;
  StreamSeq prev_live(StreamSeq upto) const;
  StreamSeq next_gap(StreamSeq from) const;
  /// Of sealed messages; costs per segment and per range without a gap.
  SeqSums sealed_sums(StreamSeq from, StreamSeq end) const;
  Result<Wall> time_of(StreamSeq seq) const;
  Result<MaybeSeq> find_next(const SubjectMatcher& matcher, StreamSeq from) const;
  Result<MaybeSeq> find_last(const SubjectMatcher& matcher, StreamSeq upto) const;
  Result<MaybeSeq> scan_next(const SubjectMatcher& matcher, StreamSeq& from, std::size_t limit) const;
  Result<MaybeSeq> scan_last(const SubjectMatcher& matcher, StreamSeq& upto, std::size_t limit) const;
  Result<MaybeSeq> literal_next(std::string_view subject, const SubjectState& s, StreamSeq from) const;
  Result<MaybeSeq> literal_last(std::string_view subject, const SubjectState& s, StreamSeq upto) const;
  StreamSeq tail_next(std::string_view subject, const SubjectState& s, StreamSeq from) const;
  StreamSeq tail_last(std::string_view subject, const SubjectState& s, StreamSeq upto) const;
  Result<std::uint64_t> literal_count(std::string_view subject, const SubjectState& s, StreamSeq from) const;
  Result<std::uint64_t> count_by_scan(const SubjectMatcher& matcher, StreamSeq from) const;
  Result<Neighbours> without(StreamSeq seq, std::string_view subject, const SubjectState& s) const;
  Status compact_sealed(StreamSeq first_keep, Removed& removed);
  Removed compact_tail(StreamSeq first_keep);
  void settle();

  StoreState state_;
  SegmentSet sealed_;
  MessageTail tail_;
  SubjectIndex subjects_;
  Sizes sizes_;
};

/// MessageStore's (or FileStore's) calls, answered by a StoreCore.
template <class Interface>
class CoreStore : public Interface {
 public:
  explicit CoreStore(StoreCore::Sizes sizes) : core_(sizes) {}

  void append(Message message) override { core_.append(std::move(message)); }
  void skip_to(StreamSeq seq, Wall time) override { core_.skip_to(seq, time); }
  const StoreState& state() const override { return core_.state(); }
  Result<std::optional<Message>> load(StreamSeq seq) override { return core_.load(seq); }
  Result<std::optional<Message>> next(const Filter& filter, StreamSeq from) override {
    return core_.next(filter, from);
  }
  Result<std::optional<Message>> last(const Filter& filter, StreamSeq upto) override {
    return core_.last(filter, upto);
  }
  Result<StreamSeq> seq_at(Wall t) override { return core_.seq_at(t); }
  Result<std::uint64_t> count(const Filter& filter, StreamSeq from) override {
    return core_.count(filter, from);
  }
  std::optional<SubjectState> subject_state(std::string_view literal) const override {
    return core_.subject_state(literal);
  }
  void for_each_subject(
      const Filter& filter,
      const std::function<bool(std::string_view, const SubjectState&)>& visit) const override {
    core_.for_each_subject(filter, visit);
  }
  Result<Removed> remove(StreamSeq seq) override { return core_.remove(seq); }
  Result<Removed> compact(StreamSeq first_keep) override { return core_.compact(first_keep); }
  std::vector<StreamSeq> deleted(std::size_t limit) const override { return core_.deleted(limit); }
  std::vector<LiveRange> live_ranges(StreamSeq from, std::size_t limit) const override {
    return core_.live_ranges(from, limit);
  }
  std::uint64_t stored_size(std::size_t subject, std::size_t headers, std::size_t payload) const override {
    return core_.stored_size(subject, headers, payload);
  }

 protected:
  StoreCore core_;
};

}  // namespace weir::store
