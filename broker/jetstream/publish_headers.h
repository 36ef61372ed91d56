// broker/jetstream/publish_headers.h - the headers of a published message that change what is done.
//
// Room:    pure. One pass over the block, no allocation; every value is a view into it.
// Rules:   names compare case-sensitively, the first of equal names counts, blanks before a value
//          are dropped and blanks after it kept, an empty value is as good as none. (Observed of
//          nats-server 2.15.)
// Errors:  none: a line that is not "name:value" is skipped, as are unknown names.
#pragma once

#include <string_view>

namespace weir::jetstream {

struct PublishHeaders {
  std::string_view msg_id;                     // Nats-Msg-Id
  std::string_view expected_stream;            // Nats-Expected-Stream
  std::string_view expected_last_seq;          // Nats-Expected-Last-Sequence
  std::string_view expected_last_msg_id;       // Nats-Expected-Last-Msg-Id
  std::string_view expected_subject_seq;       // Nats-Expected-Last-Subject-Sequence
  std::string_view expected_subject_seq_subj;  // Nats-Expected-Last-Subject-Sequence-Subject
  std::string_view rollup;                     // Nats-Rollup
  std::string_view ttl;                        // Nats-TTL
  std::string_view incr;                       // Nats-Incr
  std::string_view batch_id;                   // Nats-Batch-Id
  std::string_view schedule;                   // Nats-Schedule
  std::string_view stream_source;              // Nats-Stream-Source
};

/// `block` is "NATS/1.0...\r\n" name: value lines "\r\n", or empty.
PublishHeaders parse_publish_headers(std::string_view block);

}  // namespace weir::jetstream
