// broker/session/close_reason.h - why a connection ended, in the words monitoring tools compare.
#pragma once

#include <string_view>

namespace weir::session {

// X(name, text of /connz and disconnect events). List: docs/ARCHITECTURE.md "Compatibility".
#define WEIR_CLOSE_REASONS(X)                                               \
  X(kClientClosed, "Client Closed")                                         \
  X(kAuthenticationTimeout, "Authentication Timeout")                       \
  X(kAuthenticationFailure, "Authentication Failure")                       \
  X(kSlowConsumerPendingBytes, "Slow Consumer (Pending Bytes)")             \
  X(kSlowConsumerWriteDeadline, "Slow Consumer (Write Deadline)")           \
  X(kWriteError, "Write Error")                                             \
  X(kReadError, "Read Error")                                               \
  X(kParseError, "Parse Error")                                             \
  X(kStaleConnection, "Stale Connection")                                   \
  X(kProtocolViolation, "Protocol Violation")                               \
  X(kBadClientProtocolVersion, "Bad Client Protocol Version")               \
  X(kMaxConnectionsExceeded, "Maximum Connections Exceeded")                \
  X(kMaxAccountConnectionsExceeded, "Maximum Account Connections Exceeded") \
  X(kMaxPayloadExceeded, "Maximum Message Payload Exceeded")                \
  X(kMaxControlLineExceeded, "Maximum Control Line Exceeded")               \
  X(kMaxSubscriptionsExceeded, "Maximum Subscriptions Exceeded")            \
  X(kServerShutdown, "Server Shutdown")                                     \
  X(kAuthenticationExpired, "Authentication Expired")                       \
  X(kMissingAccount, "Missing Account")                                     \
  X(kMsgHeaderViolation, "Message Header Violation")                        \
  X(kNoRespondersRequiresHeaders, "No Responders Requires Headers")         \
  X(kKicked, "Kicked")                                                      \
  X(kTlsHandshakeError, "TLS Handshake Failure")

enum class CloseReason : unsigned char {
#define X(name, text) name,
  WEIR_CLOSE_REASONS(X)
#undef X
};

constexpr std::string_view to_text(CloseReason r) {
  constexpr std::string_view kTexts[] = {
#define X(name, text) text,
      WEIR_CLOSE_REASONS(X)
#undef X
  };
  return kTexts[static_cast<unsigned char>(r)];
}

}  // namespace weir::session
