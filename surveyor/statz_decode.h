// surveyor/statz_decode.h - replies of servers, from JSON bytes to the structs of model.h.
//
// Room:    pure; one pass with simdjson, memory = the reply and its index of structural characters.
// Thread:  one Decoder per thread; it keeps its buffers between calls.
// Errors:  kInvalid when the bytes are no JSON object or carry no server id. Unknown members and members
//          of an unexpected type are skipped: servers of all versions must be readable.
#pragma once

#include <memory>
#include <string>

#include "broker/base/result.h"
#include "surveyor/model.h"

namespace weir::surveyor {

class Decoder {
 public:
  Decoder();
  ~Decoder();

  /// A STATSZ reply or push. `body` is taken because the parser needs spare room behind the text.
  Result<StatszReply> statsz(std::string body);
  /// A JSZ reply.
  Result<JszPage> jsz(std::string body);
  /// The server that an event such as $SYS.SERVER.<id>.SHUTDOWN speaks of.
  Result<ServerIdentity> event(std::string body);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace weir::surveyor
