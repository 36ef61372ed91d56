// broker/session/subscription.h - one interest in a subject: a client's SUB or an internal listener.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "broker/base/bytes.h"
#include "broker/subject/sublist.h"

namespace weir::session {

class ClientSession;

/// A message on its way through one account. Views are valid during the call that hands it on.
struct Inbound {
  std::string_view subject;
  std::string_view reply;  // "" = none
  std::string_view body;   // headers, then payload
  std::size_t header_size = 0;
  const Bytes* shared = nullptr;    // the body as a slice, when somebody holds it already
  ClientSession* origin = nullptr;  // null: made by the server

  std::string_view headers() const { return body.substr(0, header_size); }
  std::string_view payload() const { return body.substr(header_size); }
};

/// Something inside the server that takes messages: a stream, the API, a system service.
class Listener {
 public:
  virtual ~Listener() = default;
  /// Must not change subscriptions (the match result is being walked): defer such work.
  virtual void on_message(const Inbound& message) = 0;
};

struct Subscription {
  std::string subject;
  std::string queue;  // "" = plain
  std::string sid;    // clients only
  ClientSession* client = nullptr;
  Listener* listener = nullptr;                // exactly one of client and listener is set
  subject::EntryId entry = subject::kNoEntry;  // in the account's sublist
  std::uint64_t delivered = 0;
  std::uint64_t max = 0;       // UNSUB after that many; 0 = no limit
  bool filter_denied = false;  // overlaps a deny rule: each message is checked
};

}  // namespace weir::session
