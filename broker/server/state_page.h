// broker/server/state_page.h - a stream's state in pages: messages, then parts of the exact cut.
//
// Room:    pure but for the store that is filled. Format: docs/formats/state-transfer.md.
// Trust:   a page comes from another machine: what decodes can be put into a store, whatever else it is.
// Memory:  what is decoded takes at most a small multiple of the page; records and parts are slices of it.
#pragma once

#include <optional>
#include <vector>

#include "broker/base/bytes.h"
#include "broker/base/ids.h"
#include "broker/base/result.h"
#include "broker/server/state_cut.h"
#include "broker/store/message_store.h"

namespace weir::server {

constexpr std::uint8_t kStateFormat = 2;
/// Of builds that give a cut in one page: still spoken with them, or a rolling upgrade would get stuck at
/// the first replica that was away for too long.
constexpr std::uint8_t kStateFormatWhole = 1;

/// A piece of an encoded cut.
struct StatePart {
  std::uint64_t cut = 0;    // which one; never 0
  std::uint64_t total = 0;  // bytes of the whole
  std::uint32_t crc = 0;    // CRC-32C of the whole
  std::uint64_t offset = 0;
  Bytes bytes;  // never empty
};

/// What a stream host answers with, and a fetch reads.
struct StatePage {
  std::vector<store::Message> messages;  // in order, those of one range
  std::optional<StatePart> part;         // no message follows that is not in it
  std::optional<StateCut> whole;         // the same in kStateFormatWhole
};
/// Errors: kLimit.
Result<std::vector<Bytes>> encode_state_page(const StatePage& page, std::uint8_t format = kStateFormat);
/// Errors: kInvalid, kCorrupt (the position), kUnsupported (a later format).
Result<StatePage> decode_state_page(const Bytes& bytes);

struct StateRequest {
  GroupId group;
  StreamSeq from;
  std::uint64_t cut = 0;     // that is under way; 0: none
  std::uint64_t offset = 0;  // the part of it that is wanted next
  std::uint8_t format = kStateFormat;
};
Bytes encode_state_request(const StateRequest& r);
/// Errors: kInvalid, kUnsupported (a later format).
Result<StateRequest> decode_state_request(ByteSpan bytes);

/// Moves the page's messages into the store; their records are copied, since a slice would keep the whole
/// page alive. Errors: kInvalid when they are not above what is there, or nothing comes; some are there then.
Status fill_from_page(store::MessageStore& store, StatePage& page);

}  // namespace weir::server
