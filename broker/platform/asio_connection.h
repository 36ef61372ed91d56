// broker/platform/asio_connection.h - one TCP connection. Internal to platform/ (includes asio).
//
// Owner:   AsioConnection is what env hands out; Socket is the shared state that asio handlers and
//          timers hold, so a late completion finds a closed Socket and never a dead one.
// Reading: one asio receive is in flight, into a small buffer that grows with use (an idle connection
//          costs kReadBufferMin); a read that fills the largest goes on into the loop's shared
//          scratch buffer. At most limits::kReadBytesPerTurn per turn.
// Writing: slices are sent at once with one gathering call; the rest when the kernel has room.
// TLS:     asio_connection_tls.cc. With it, queue_ still holds plain slices; at most kSealBytes of them are
//          encrypted ahead of the kernel, so that slices that many connections share stay shared.
// Invariant: a handler call is made only from asio handlers and posted tasks, never inside a call of
//          the owner, and never after close() or closed().
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "broker/env/transport.h"
#include "broker/platform/asio_loop.h"
#include "broker/platform/asio_pieces.h"
#include "broker/platform/tls_engine.h"

namespace weir::platform {

constexpr std::size_t kReadBufferMin = 512;
constexpr std::size_t kReadBufferMax = 16 * 1024;
constexpr Nanos kCloseLinger = kSecond;
constexpr std::size_t kSealBytes = 64 * 1024;

class Socket : public std::enable_shared_from_this<Socket> {
 public:
  /// `fd` is connected. Sets it non-blocking, without Nagle's delay, with keep-alive.
  Socket(AsioLoop& loop, asio::ip::tcp::socket fd);

  void start(env::ConnectionHandler* handler);
  void write(std::vector<Bytes> slices);
  void pause_reading(bool paused);
  void close();
  void start_tls(env::TlsStart how);
  std::optional<env::TlsState> tls() const { return tls_ ? tls_->state() : std::nullopt; }
  /// The owner is gone: an open connection closes at once, one that close() was called on lingers.
  void abandon();

  std::size_t queued_bytes() const { return queued_bytes_ + (tls_ ? tls_->wire().size() : 0); }
  const env::Endpoint& remote() const { return remote_; }
  const env::Endpoint& local() const { return local_; }

 private:
  enum class State : unsigned char {
    kOpen,
    kBroken,     // a write failed; closed() is on its way
    kLingering,  // close() was called: sends the rest, then waits for the peer to close
    kClosed,
  };

  void arm_read();
  void on_read(const asio::error_code& ec, std::size_t n);
  void deliver(std::size_t n);
  std::size_t read_on(std::size_t n);
  void after_data(std::size_t n);
  void post_resume();
  void fit_buffer(std::size_t n);
  void flush();
  bool send_some();
  void consume(std::size_t n);
  void clear_output();
  void arm_write();
  void announce_drained();
  void break_later(std::string detail);
  void fail(const std::string& detail);
  void finish_output();
  void set_flushing(bool flushing);
  void destroy();

  bool handshaking() const { return tls_ && !tls_->established() && !tls_->failed(); }
  /// Is input of use at all, whatever the owner wants?
  bool wants_input() const { return !paused_ || handshaking(); }
  void pump_tls(ByteSpan fresh);
  bool read_tls();
  bool go_on_handshake();
  bool seal_some();
  bool send_wire();
  void handshake_late();
  void fail_tls(const std::string& why);

  AsioLoop& loop_;
  asio::ip::tcp::socket fd_;
  env::Endpoint remote_;
  env::Endpoint local_;
  env::ConnectionHandler* handler_ = nullptr;
  State state_ = State::kOpen;

  bool reading_ = false;        // a receive is in flight and owns buffer_
  bool resume_posted_ = false;  // a task that goes on reading is queued
  bool in_data_ = false;        // inside handler_->data()
  bool paused_ = false;
  bool writing_ = false;  // a wait for room is in flight
  bool drained_posted_ = false;
  bool flushing_ = false;  // counted in the loop's flushing connections
  std::uint16_t small_reads_ = 0;

  std::unique_ptr<std::uint8_t[]> buffer_;
  std::size_t buffer_bytes_ = 0;
  std::size_t wanted_bytes_ = kReadBufferMin;
  std::size_t stashed_bytes_ = 0;  // arrived while paused, still in buffer_
  std::uint64_t turn_ = 0;
  std::size_t turn_bytes_ = 0;
  std::string broken_detail_;

  std::vector<Bytes> queue_;
  std::size_t head_ = 0;         // first slice of queue_ not wholly sent
  std::size_t head_offset_ = 0;  // bytes of it that are sent
  std::size_t queued_bytes_ = 0;
  bool drain_due_ = false;  // something was written since the last drained()
  env::TimerId linger_timer_ = 0;

  std::unique_ptr<TlsEngine> tls_;
  env::TimerId handshake_timer_ = 0;
};

class AsioConnection final : public env::Connection {
 public:
  explicit AsioConnection(std::shared_ptr<Socket> socket) : socket_(std::move(socket)) {}
  ~AsioConnection() override { socket_->abandon(); }
  void start(env::ConnectionHandler* handler) override { socket_->start(handler); }
  void write(std::vector<Bytes> slices) override { socket_->write(std::move(slices)); }
  std::size_t queued_bytes() const override { return socket_->queued_bytes(); }
  void pause_reading(bool paused) override { socket_->pause_reading(paused); }
  void close() override { socket_->close(); }
  void start_tls(env::TlsStart how) override { socket_->start_tls(std::move(how)); }
  std::optional<env::TlsState> tls() const override { return socket_->tls(); }
  env::Endpoint remote() const override { return socket_->remote(); }
  env::Endpoint local() const override { return socket_->local(); }

 private:
  std::shared_ptr<Socket> socket_;
};

/// IPv4-mapped IPv6 addresses come out as IPv4.
env::Endpoint to_endpoint(const asio::ip::tcp::endpoint& e);

}  // namespace weir::platform
