// broker/proto/client_parser.h - push parser of the NATS client protocol, server side.
//
// Room:    pure: bytes in, callbacks out. No JSON (CONNECT's text is handed on), no subject rules.
// Thread:  owned by one session on one shard. Callbacks must not call feed() or destroy the parser.
// Units:   sizes in bytes.
// Limits:  Limits below; may change between feeds and inside a callback. Memory: at most one control
//          line plus one message body, released when the message is through.
// Errors:  ParseError; after one the parser stays failed and takes nothing more.
// Invariant: any split of the same input gives the same events and the same error.
//          Checked by client_parser_test.cc (every split) and tests/fuzz/client_parser_fuzz.cc.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "broker/base/bytes.h"

namespace weir::proto {

enum class ParseError : std::uint8_t {
  kNone,
  kUnknownOperation,  // no verb of the protocol, or bytes where the CRLF after a body must be
  kControlLine,       // arguments of a line exceed max_control_line
  kMaxPayload,        // announced body exceeds max_payload (checked before the body arrives)
  kSyntax,            // known verb, wrong arguments; or a header block without NATS/1.0
};

/// Text for -ERR '...', as nats-server words it; "" for kNone. nats-server closes silently where we
/// say 'Parser Error'.
std::string_view error_text(ParseError error);

/// One PUB or HPUB. Views are valid during the callback only.
struct PublishView {
  std::string_view subject;
  std::string_view reply;    // "" = none
  std::string_view headers;  // whole block, "NATS/1.0" to the empty line; "" for PUB and HPUB with 0
  std::string_view payload;
  std::string_view body;        // headers and payload, contiguous
  bool with_headers = false;    // came as HPUB: an error unless CONNECT said headers
  const Bytes* held = nullptr;  // when the body had to be gathered: its slice, to keep without a copy
};

/// What a client said. Each returns "go on": false makes feed() return right after this event.
/// Called by feed() only, in input order; views are valid during the call.
class ClientEvents {
 public:
  virtual ~ClientEvents() = default;
  /// `json` is the trimmed argument, "" when absent; not checked to be JSON.
  virtual bool on_connect(std::string_view json) = 0;
  virtual bool on_publish(const PublishView& message) = 0;
  /// `queue` "" = plain subscription. Subject not validated. `sid` is any non-blank text.
  virtual bool on_subscribe(std::string_view subject, std::string_view queue, std::string_view sid) = 0;
  /// `max_msgs` 0 = at once (also when the number is missing or no number, as nats-server does).
  virtual bool on_unsubscribe(std::string_view sid, std::uint64_t max_msgs) = 0;
  virtual bool on_ping() = 0;
  virtual bool on_pong() = 0;
  /// Lines a client has no business to send; nats-server ignores the first two, closes on the third.
  virtual bool on_info(std::string_view) { return true; }
  virtual bool on_ok() { return true; }
  virtual bool on_err(std::string_view /*text*/) { return false; }
};

class ClientParser {
 public:
  struct Limits {
    std::size_t max_control_line = 4096;  // of the arguments: line without verb, one blank and CRLF
    std::size_t max_payload = 1 << 20;    // headers and payload; above 999,999,999 has no effect
  };
  struct Fed {
    ParseError error = ParseError::kNone;
    bool stopped = false;      // a callback returned false
    std::size_t consumed = 0;  // bytes taken; less than the input only when stopped or failed
  };

  ClientParser() = default;
  explicit ClientParser(Limits limits) : limits_(limits) {}
  ClientParser(const ClientParser&) = delete;
  ClientParser& operator=(const ClientParser&) = delete;

  /// Applies from the next control line on.
  void set_limits(Limits limits) { limits_ = limits; }

  /// Takes input in any pieces. After a stop, feed the rest (from `consumed`) to go on.
  Fed feed(ByteSpan input, ClientEvents& events);

  /// Bytes held for an unfinished line or body.
  std::size_t buffered_bytes() const { return line_.size() + body_.size(); }
  /// What was wrong, for the log; "" without an error. Static text.
  std::string_view detail() const { return detail_; }

 private:
  enum class Step : std::uint8_t { kGoOn, kStop, kFail };

  Step take_line(const char*& p, const char* end, ClientEvents& events);
  Step keep_partial(const char*& p, const char* end);
  Step on_line(std::string_view line, ClientEvents& events);
  Step begin_publish(std::string_view args, bool with_headers);
  Step take_body(const char*& p, const char* end, ClientEvents& events);
  Step gather_body(const char*& p, const char* end, ClientEvents& events);
  Step deliver(const char* body, const Bytes* held, ClientEvents& events);
  Step on_subscribe(std::string_view args, ClientEvents& events);
  Step on_unsubscribe(std::string_view args, ClientEvents& events);
  Step fail(ParseError error, std::string_view detail);
  void keep_args();
  void forget_line();

  Limits limits_;
  ParseError error_ = ParseError::kNone;
  bool in_body_ = false;       // a PUB/HPUB line was read, its body follows
  bool with_headers_ = false;  // that line was HPUB
  bool args_kept_ = false;     // subject_ and reply_ point into line_, not into the input
  std::size_t header_bytes_ = 0;
  std::size_t body_bytes_ = 0;  // without the CRLF
  std::string_view subject_, reply_;
  std::string line_;   // unfinished control line, or the kept arguments while in_body_
  BytesBuilder body_;  // unfinished body with CRLF
  std::string_view detail_;
};

}  // namespace weir::proto
