// broker/env/transport.h - byte streams to clients and peers.
//
// Thread:   the shard's loop; handlers are never called inside a call of theirs.
// Flow:     a Connection reads while not paused; data() hands a view that is valid during the call.
//           write() queues; the owner watches queued_bytes() (slow consumer) and drained().
// TLS:      start_tls() turns a connection to TLS, before start() or in the middle (env/tls.h). After it
//           write() and data() are of plain bytes as before; what is queued by then still leaves plain.
//           Writes wait for the handshake. A handshake that fails ends the connection: closed() with
//           "tls handshake: ..." and the reason, after the other side was told.
// Close:    after close() or closed() no handler call follows. The owner drops its unique_ptr then
//           or later; dropping an open connection closes it at once.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "broker/base/bytes.h"
#include "broker/base/check.h"
#include "broker/base/result.h"
#include "broker/base/unique_function.h"
#include "broker/env/tls.h"

namespace weir::env {

struct Endpoint {
  std::string host;  // numeric IPv4 or IPv6 without brackets, or a name when dialling
  std::uint16_t port = 0;
};
/// "1.2.3.4:5" or "[::1]:5"
inline std::string to_string(const Endpoint& e) {
  bool v6 = e.host.find(':') != std::string::npos;
  return (v6 ? "[" + e.host + "]" : e.host) + ":" + std::to_string(e.port);
}

class ConnectionHandler {
 public:
  virtual ~ConnectionHandler() = default;
  /// Bytes in order of arrival.
  virtual void data(ByteSpan bytes) = 0;
  /// Everything queued has been handed to the kernel. Called once per emptying after a write.
  virtual void drained() = 0;
  /// The peer closed (empty detail) or the connection broke (detail says how). Last call.
  virtual void closed(const std::string& detail) = 0;
};

class Connection {
 public:
  virtual ~Connection() = default;
  /// Before this the connection reads nothing. `handler` outlives the connection or its close.
  virtual void start(ConnectionHandler* handler) = 0;
  /// Queues slices and tries to send at once (one gathering system call). Ignored after close.
  virtual void write(std::vector<Bytes> slices) = 0;
  virtual std::size_t queued_bytes() const = 0;
  /// While paused no data() call is made; the kernel's window pushes back on the peer.
  virtual void pause_reading(bool paused) = 0;
  /// Sends what is queued (for at most a second), then closes. No handler call follows.
  virtual void close() = 0;
  /// Once, and only on connections of the transport that made `how.context`. Inside data() only if the
  /// view is used up or handed on as `how.first`.
  virtual void start_tls(TlsStart how) { CHECK(!how.context, "a context of another transport"); }
  /// nullopt before the end of a handshake, and without TLS.
  virtual std::optional<TlsState> tls() const { return std::nullopt; }
  virtual Endpoint remote() const = 0;
  virtual Endpoint local() const = 0;
};

class Listener {
 public:
  /// Stops accepting; accepted connections live on.
  virtual ~Listener() = default;
  virtual Endpoint local() const = 0;  // with the port that the system chose
};

using Accepted = UniqueFunction<void(std::unique_ptr<Connection>)>;
using Dialled = UniqueFunction<void(Result<std::unique_ptr<Connection>>)>;

class Transport {
 public:
  virtual ~Transport() = default;
  /// Port 0 lets the system choose. Errors: kInvalid for an unusable host, kIo with the system's
  /// text ("bind: address already in use").
  virtual Result<std::unique_ptr<Listener>> listen(const Endpoint& at, Accepted on_accept) = 0;
  /// Resolves and connects, at most `timeout_ns`.
  virtual void dial(const Endpoint& to, std::int64_t timeout_ns, Dialled done) = 0;
  /// Reads the files and checks that they fit each other. Blocks shortly; used at start. Errors: kInvalid
  /// with "<at>: " and what is wrong with which file; kUnsupported if this transport has no TLS.
  virtual Result<std::shared_ptr<const TlsContext>> tls(const TlsSettings&) {
    return Error(Code::kUnsupported, "this transport has no TLS");
  }
  /// Addresses of the machine's non-loopback interfaces (for connect_urls).
  virtual std::vector<std::string> interface_addresses() = 0;
};

}  // namespace weir::env
