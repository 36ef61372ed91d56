// broker/jetstream/republish.h - stored messages, sent once more under another subject.
//
// Room:    pure; the leader's side: what it makes is sent by the server as a plain message, to those
//          who listen at the time. Thread: the shard of the stream.
// Rules:   as observed of nats-server 2.15: the headers of the message, then Nats-Stream, -Subject,
//          -Sequence, -Time-Stamp, -Last-Sequence (of the message before it with this subject, 0 = none)
//          and, when the body is left out, Nats-Msg-Size. An empty destination sends nothing.
#pragma once

#include <optional>
#include <string>

#include "broker/api/stream_config.h"
#include "broker/base/ids.h"
#include "broker/base/prng.h"
#include "broker/base/result.h"
#include "broker/store/message.h"
#include "broker/subject/transform.h"

namespace weir::jetstream {

struct Republished {
  std::string subject;
  std::string headers;     // a whole block
  bool with_body = false;  // of the stored message; else no body
};

class Republisher {
 public:
  /// Errors: kInvalid, the subjects do not fit (api/ refuses such a configuration). `seed`: for
  /// destinations that contain chance.
  static Result<Republisher> make(const api::Republish& config, std::string stream, std::uint64_t seed);

  /// False, with `out` untouched, if this subject is not sent on. `previous`: Outcome::previous.
  bool apply(const store::Message& m, StreamSeq previous, Republished& out);

 private:
  Republisher(std::optional<subject::Transform> transform, std::string stream, bool headers_only,
              std::uint64_t seed);

  std::optional<subject::Transform> transform_;  // none: nothing is sent on
  std::string stream_;
  bool headers_only_;
  Prng prng_;
};

}  // namespace weir::jetstream
