// broker/session/client_session.h - the state of one client connection: bytes in, actions out.
//
// Room:     pure: no socket, no clock. The host (server/) owns the connection and the timers, looks
//           up accounts and routes messages.
// Thread:   the shard. Host callbacks run inside feed(); the host must not destroy the session there.
// Limits:   control line, payload, subscriptions, pending bytes: from Limits, changeable by reload.
// Errors:   a client's mistakes become -ERR lines and, where the protocol says so, a close.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

#include "broker/auth/permissions.h"
#include "broker/base/ids.h"
#include "broker/base/time.h"
#include "broker/proto/client_parser.h"
#include "broker/proto/connect.h"
#include "broker/session/close_reason.h"
#include "broker/session/outbox.h"
#include "broker/session/subscription.h"

namespace weir::session {

/// Who a connection turned out to be.
struct Identity {
  AccountId account;
  std::string account_name;
  std::string user;
  std::shared_ptr<const auth::Permissions> permissions;  // null = everything
  // Of the account, in place of the server's.
  std::optional<std::size_t> max_payload, max_subscriptions;
};

class SessionHost {
 public:
  virtual ~SessionHost() = default;
  /// Errors: kInvalid = wrong credentials, kLimit = account is full.
  virtual Result<Identity> authenticate(ClientSession& s, const proto::ConnectOptions& options) = 0;
  virtual void publish(ClientSession& s, const Inbound& message) = 0;
  virtual void subscribed(ClientSession& s, Subscription& sub) = 0;
  /// Before `sub` goes; it must not be referenced afterwards.
  virtual void unsubscribing(ClientSession& s, Subscription& sub) = 0;
  /// `sub` delivered its maximum. The host calls remove() for it once no match result is walked.
  virtual void exhausted(ClientSession& s, Subscription& sub) = 0;
  /// The outbox went from empty to not empty, or the session wants to be closed.
  virtual void dirty(ClientSession& s) = 0;
  /// With SessionLimits::trace: one line of the protocol, "<<- [SUB foo 1]" or "->> [PONG]".
  virtual void trace(ClientSession&, std::string_view /*line*/) {}
};

struct SessionLimits {
  std::size_t max_control_line = 4096;
  std::size_t max_payload = 1 << 20;
  std::size_t max_pending = 64 << 20;
  std::size_t max_subscriptions = 0;  // 0 = no limit
  int max_sub_tokens = 0;             // 0 = no limit
  bool headers = true;
  Nanos ping_interval = 2 * kMinute;
  int ping_max = 2;
  bool trace = false;                  // tell the host every line, see SessionHost::trace
  std::size_t max_traced_msg_len = 0;  // bytes of a payload shown; 0 = all
};

struct SessionStats {
  std::uint64_t in_msgs = 0, in_bytes = 0, out_msgs = 0, out_bytes = 0;
  Mono last_activity;
  Wall last_activity_wall;
  Nanos rtt = 0;
};

class ClientSession final : private proto::ClientEvents {
 public:
  ClientSession(ClientId id, const SessionLimits& limits, SessionHost& host);
  ~ClientSession() override;

  /// Queues the INFO line; first thing on a connection.
  void send_info(std::string_view json);
  /// Takes bytes from the connection. False once the session is closing: stop reading.
  bool feed(ByteSpan bytes, Mono now, Wall wall);
  /// Delivers to a subscription of this session. False if it was not taken (max reached, own echo,
  /// denied).
  bool deliver(Subscription& sub, const Inbound& message);
  /// Forgets a subscription: host.unsubscribing() first, then it is gone.
  void remove(Subscription& sub);
  /// Sends PING or finds the connection stale; returns when to call again.
  Mono tick(Mono now);
  /// Queues -ERR 'text' (when not empty) and marks the session as closing.
  void close(CloseReason reason, std::string_view error_text = {});
  void send_error(std::string_view text);
  /// Removes every subscription through the host; before destruction.
  void drop_subscriptions();

  ClientId id() const { return id_; }
  /// Without configured users everybody is somebody before CONNECT.
  void set_identity(Identity identity);
  bool connected() const { return connected_; }
  bool authenticated() const { return identity_.has_value(); }
  const Identity& identity() const { return *identity_; }
  const proto::ConnectOptions& options() const { return connect_; }
  std::optional<CloseReason> closing() const { return closing_; }
  Outbox& outbox() { return outbox_; }
  const SessionStats& stats() const { return stats_; }
  const std::map<std::string, std::unique_ptr<Subscription>, std::less<>>& subscriptions() const {
    return subs_;
  }
  /// Wants a 503 when nobody listens.
  bool no_responders() const { return connect_.no_responders && connect_.headers; }
  /// What the kernel has not taken yet; counts against max_pending together with the outbox.
  void set_connection_pending(std::size_t bytes) { connection_pending_ = bytes; }
  std::size_t pending_bytes() const { return connection_pending_ + outbox_.pending_bytes(); }
  const SessionLimits& limits() const { return limits_; }

 private:
  bool on_connect(std::string_view json) override;
  bool on_publish(const proto::PublishView& message) override;
  bool on_subscribe(std::string_view subject, std::string_view queue, std::string_view sid) override;
  bool on_unsubscribe(std::string_view sid, std::uint64_t max_msgs) override;
  bool on_ping() override;
  bool on_pong() override;
  bool on_err(std::string_view text) override;

  bool ready_or_close();
  bool admit(const proto::ConnectOptions& options);
  bool may_publish(std::string_view subject, std::string_view reply);
  bool may_subscribe(std::string_view subject, std::string_view queue);
  void trace(std::string_view arrow, std::initializer_list<std::string_view> words);
  void trace_payload(std::string_view arrow, std::string_view body);
  void acknowledge();  // +OK when verbose
  void mark_dirty();
  BytesBuilder& out();

  const ClientId id_;
  const SessionLimits server_limits_;
  SessionLimits limits_;  // the server's, or the account's where it has its own
  SessionHost& host_;
  proto::ClientParser parser_;
  proto::ConnectOptions connect_;
  std::optional<Identity> identity_;
  auth::PublishGate gate_;
  std::optional<auth::ReplyRights> replies_;  // with allow_responses
  std::optional<CloseReason> closing_;
  // Ordered, so that listings and drops are the same in every run.
  std::map<std::string, std::unique_ptr<Subscription>, std::less<>> subs_;
  Outbox outbox_;
  std::size_t connection_pending_ = 0;
  bool dirty_ = false;
  bool connected_ = false;  // a CONNECT was accepted, or done without
  int pings_out_ = 0;
  Mono ping_sent_;
  Mono next_ping_;
  Mono now_;
  SessionStats stats_;

 public:
  /// The host took the outbox; the next output calls dirty() again.
  void flushed() { dirty_ = false; }
};

}  // namespace weir::session
