// broker/server/client_connection.h - one client connection of Clients. Internal to clients*.cc.
#pragma once

#include <memory>

#include "broker/server/clients.h"

namespace weir::server {

session::SessionLimits session_limits(const config::Options& options);

struct Clients::Connection final : env::ConnectionHandler {
  Connection(Clients& owner, ClientId id, std::unique_ptr<env::Connection> c)
      : clients(owner), io(std::move(c)), session(id, session_limits(owner.options_), owner) {}

  void data(ByteSpan bytes) override {
    if (opening != Opening::kDone && !clients.opening_data(*this, bytes)) return;
    if (!session.feed(bytes, clients.env_.clock.now(), clients.env_.clock.wall())) io->pause_reading(true);
  }
  void drained() override {
    session.set_connection_pending(0);
    stalled_since = Mono{};
  }
  void closed(const std::string& detail) override {
    peer_gone = true;
    using session::CloseReason;
    CloseReason reason = detail.empty() ? CloseReason::kClientClosed : CloseReason::kReadError;
    if (detail.rfind("tls", 0) == 0) {
      reason = CloseReason::kTlsHandshakeError;
      clients.log_handshake(*this, detail);
    }
    clients.finish(*this, reason);
  }

  Clients& clients;
  std::unique_ptr<env::Connection> io;
  session::ClientSession session;
  Wall start;
  Mono auth_deadline;
  Mono stalled_since;            // bytes wait for the kernel since; 0 = none do
  std::uint64_t written = 0;     // bytes ever handed to io
  std::uint64_t stall_goal = 0;  // the deadline is met once so many of them left
  bool announced = false;        // the connect event went out
  Mono held_since;               // see hold_back(); 0 = is read from
  std::uint64_t stalls = 0;
  env::TimerId timer = 0;
  // What the first bytes decide.
  enum class Opening : unsigned char {
    kDone,    // nothing (more)
    kEither,  // INFO went out; TLS or not
    kFirst,   // INFO waits: TLS at once, or, in a while, after INFO
  };
  Opening opening = Opening::kDone;
  env::TimerId opening_timer = 0;
  bool tls_first = false;
  bool is_dirty = false;
  bool peer_gone = false;
  bool finished = false;
};

}  // namespace weir::server
