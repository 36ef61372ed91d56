// broker/jetstream/progress.h - what a consumer did in one commit cycle, as one record of the log.
//
// Room:    pure. Written by ConsumerLeader, applied by ConsumerState::apply_progress.
// Format:  docs/formats/consumer-progress.md, version kProgressVersion. Runs of consecutive deliveries and
//          acks cost a few bytes however long they are.
// Errors:  decoding trusts nothing: kInvalid with the place; nothing of a bad record is applied.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "broker/base/ids.h"
#include "broker/base/result.h"

namespace weir::jetstream {

constexpr std::uint8_t kProgressVersion = 1;

/// Stream sequences first..last, both included.
struct SeqRange {
  StreamSeq first;
  StreamSeq last;
  bool operator==(const SeqRange&) const = default;
  std::uint64_t size() const { return last - first + 1; }
};

/// Adds `seq` at the end, joining it to the last range where it follows.
void append_seq(std::vector<SeqRange>& ranges, StreamSeq seq);

/// First deliveries of consecutive stream sequences under consecutive consumer sequences.
struct DeliveryRun {
  ConsumerSeq cseq;
  StreamSeq sseq;
  std::uint64_t count = 1;
  bool operator==(const DeliveryRun&) const = default;
};

/// All ranges and lists are in ascending order of stream sequence and do not overlap.
struct Progress {
  std::uint32_t epoch = 0;     // resets of the consumer so far: a record of another epoch is void
  ConsumerSeq delivered_cseq;  // last consumer sequence given, after this record
  StreamSeq delivered_sseq;    // last stream sequence delivered, after this record
  StreamSeq scanned;           // looked at up to here, >= delivered_sseq
  std::vector<DeliveryRun> delivered;
  struct Redelivery {
    StreamSeq sseq;
    std::uint64_t times = 1;
    bool operator==(const Redelivery&) const = default;
  };
  std::vector<Redelivery> redelivered;
  std::vector<SeqRange> touched;   // in progress: the delivery time starts anew
  std::vector<SeqRange> exceeded;  // reached max_deliver: no longer pending, still not acked
  std::vector<SeqRange> acked;     // finished by ack; only pending or exceeded ones inside count
  std::vector<SeqRange> termed;    // finished without success: terminated, or gone from the stream
  std::uint64_t naks = 0;

  bool operator==(const Progress&) const = default;
  /// Nothing happened but, perhaps, skipping.
  bool idle() const;
  void clear();  // keeps epoch and positions
};

/// Appends the coded record.
void encode_progress(const Progress& p, std::string& out);
/// Checks order and bounds within the record; against the consumer's state is apply's part.
/// `out` is reused; its content is unspecified after an error.
Status decode_progress(std::string_view body, Progress& out);

}  // namespace weir::jetstream
