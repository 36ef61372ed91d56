// broker/server/state_cut.h - a stream's state as of one entry, without its messages, as one byte string.
//
// Room:    pure but for the store that is cut. Format: docs/formats/state-transfer.md, "Cut".
// Trust:   a cut comes from another machine: what decodes can be used on a store, whatever else it is.
// Limits:  kCutBytesMax and kCutRangesMax. Who has more says so: nothing is left out in silence.
// Memory:  decoded ranges take at most 8 times their bytes.
#pragma once

#include <vector>

#include "broker/base/bytes.h"
#include "broker/base/ids.h"
#include "broker/base/result.h"
#include "broker/base/time.h"
#include "broker/base/varint.h"
#include "broker/replica/position.h"
#include "broker/store/catalog.h"
#include "broker/store/message_store.h"

namespace weir::server {

constexpr std::size_t kCutBytesMax = std::size_t{1} << 30;
constexpr std::size_t kCutRangesMax = std::size_t{1} << 26;
/// No stream comes near it; beyond it the next sequences would begin at 0 again.
constexpr StreamSeq kStateSeqMax{std::uint64_t{1} << 63};

struct StateCut {
  replica::Position position;
  StreamSeq last_seq;
  Wall last_time;
  std::vector<store::LiveRange> live;
  std::vector<store::CatalogEdit> machine;  // keys relative to the state's prefix, each once
};

/// Errors: kLimit.
Result<Bytes> encode_state_cut(const StateCut& cut);
/// Errors: kInvalid, kCorrupt (the position), kUnsupported (a later position).
Result<StateCut> decode_state_cut(ByteSpan bytes);
/// The same where more follows.
Status read_state_cut(Reader& r, StateCut& cut);

/// Removes what the sender removed since it sent it, and brings the last sequence to that of the cut.
/// Errors: kInvalid when the cut and what is there do not fit, those of the store.
Status cut_store(store::MessageStore& store, const StateCut& cut);

}  // namespace weir::server
