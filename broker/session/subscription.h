// broker/session/subscription.h - one interest in a subject: a client's SUB, an internal listener, or what
// another node of the cluster told of its own.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "broker/base/bytes.h"
#include "broker/base/ids.h"
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

/// Another node as a receiver of messages. Owner: server/interest; all but `id` belongs to the router's
/// walk under way.
struct RemoteNode {
  NodeId id;
  bool chosen = false;                   // gets the message under way
  bool plain = false;                    // for its plain subscriptions
  std::vector<std::string_view> queues;  // and for one member of each of these
};

struct Subscription {
  std::string subject;
  std::string queue;  // "" = plain
  std::string sid;    // clients only
  ClientSession* client = nullptr;
  Listener* listener = nullptr;
  RemoteNode* remote = nullptr;                // exactly one of client, listener and remote is set
  subject::EntryId entry = subject::kNoEntry;  // in the account's sublist
  std::uint64_t delivered = 0;
  std::uint64_t max = 0;       // UNSUB after that many; 0 = no limit
  bool filter_denied = false;  // overlaps a deny rule: each message is checked
  bool told = false;           // listeners: other nodes hear of it and send their messages
  /// Listeners: every node with JetStream has it, so that only nodes without need to hear of it; they send
  /// each message to one of the others (streams, the JetStream API).
  bool everywhere = false;
  std::uint32_t weight = 1;  // remote queue subscriptions: members there
};

}  // namespace weir::session
