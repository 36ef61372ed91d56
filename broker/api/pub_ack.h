// broker/api/pub_ack.h - the acknowledgement of a publish, on the hottest path of all.
//
// Room:    pure. A success is written by hand into the caller's buffer: no tree, no allocation but
//          the buffer's growth.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "broker/api/error.h"
#include "broker/base/bytes.h"
#include "broker/base/ids.h"

namespace weir::api {

struct PubAck {
  std::string_view stream;
  StreamSeq seq;
  std::string_view domain;
  bool duplicate = false;
  std::string_view value;   // field "val": a counter's new value
  std::string_view batch;   // id of the batch that this commits
  std::uint64_t count = 0;  // messages of that batch
};

/// Appends {"stream":"S","seq":1} and the optional fields. `stream`, `domain`, `value` and `batch`
/// may hold any bytes.
void append_pub_ack(std::string& out, const PubAck& ack);
void append_pub_ack(BytesBuilder& out, const PubAck& ack);

/// {"error":{...},"stream":"S","seq":0}. `last_seq` is 0 for most errors.
std::string encode_pub_ack_error(const ApiError& error, std::string_view stream, StreamSeq last_seq = {});

}  // namespace weir::api
