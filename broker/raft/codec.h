// broker/raft/codec.h - a raft::Message as bytes on a peer link.
//
// Room:    pure. docs/formats/peer-link.md "Raft messages" is the same thing in words; codec_test.cc
//          pins it with golden bytes.
// Copies:  none of entry payloads: encoding appends their slices, decoding cuts slices of the frame. They
//          keep the whole frame alive; the log that they go to is the reason why the frame was sent.
// Trust:   a frame comes from another machine. What decodes is well-formed: types in range, entries of
//          consecutive indexes from 1 up, a configuration that check_conf accepts. Whether it can be true
//          is raft::Core's business.
#pragma once

#include <vector>

#include "broker/base/bytes.h"
#include "broker/base/result.h"
#include "broker/raft/messages.h"

namespace weir::raft {

/// Appends all but the entries' payloads to `head` and the payloads, those that are not empty, to
/// `payloads`. On the link `head` goes first. Entries must have consecutive indexes (CHECK).
void encode_message(const Message& message, BytesBuilder& head, std::vector<Bytes>& payloads);

/// The reverse of it, from a frame's bytes after the group. Errors: kInvalid with what is wrong.
Result<Message> decode_message(const Bytes& bytes);

}  // namespace weir::raft
