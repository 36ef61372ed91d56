// broker/server/state_page.h - a stream's state in pages: bytes, and how they fill a store.
//
// Room:    pure but for the store that is filled. Format: docs/formats/state-transfer.md.
// Trust:   a page comes from another machine: what decodes can be put into a store, whatever else it is.
// Memory:  what is decoded takes at most a small multiple of the page; records are slices of it.
#pragma once

#include <vector>

#include "broker/base/bytes.h"
#include "broker/base/ids.h"
#include "broker/base/result.h"
#include "broker/base/time.h"
#include "broker/replica/position.h"
#include "broker/store/catalog.h"
#include "broker/store/message_store.h"

namespace weir::server {

/// What a stream host answers with, and a fetch reads.
struct StatePage {
  std::vector<store::Message> messages;  // in order, those of one range
  bool final = false;                    // the rest is set
  replica::Position position;
  StreamSeq last_seq;
  Wall last_time;
  std::vector<store::LiveRange> live;
  std::vector<store::CatalogEdit> machine;  // keys relative to the state's prefix, each once
};
std::vector<Bytes> encode_state_page(const StatePage& page);
/// Errors: kInvalid, kCorrupt (the position), kUnsupported (a later format).
Result<StatePage> decode_state_page(const Bytes& bytes);

struct StateRequest {
  GroupId group;
  StreamSeq from;
};
Bytes encode_state_request(const StateRequest& r);
/// Errors: kInvalid.
Result<StateRequest> decode_state_request(ByteSpan bytes);

/// Moves the page's messages into the store; their records are copied, since a slice would keep the whole
/// page alive. Errors: kInvalid when they are not above what is there, or nothing comes; some are there then.
Status fill_from_page(store::MessageStore& store, StatePage& page);
/// Removes what the sender removed since it sent it, and brings the last sequence to that of the final page.
/// Errors: kInvalid when the page and what is there do not fit, those of the store.
Status cut_to_page(store::MessageStore& store, const StatePage& page);

}  // namespace weir::server
