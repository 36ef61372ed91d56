#include "broker/platform/asio_connection.h"

#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <iterator>

#include "broker/base/limits.h"
#include "broker/platform/asio_context.h"
#include "broker/platform/system.h"

namespace weir::platform {
namespace {

constexpr std::size_t kSlicesPerSend = 256;   // below IOV_MAX (1024); more costs stack, not calls
constexpr std::uint16_t kSmallReads = 256;    // in a row, before a large buffer shrinks
constexpr std::size_t kQueueCompactAt = 256;  // sent slices at the front of a queue that never empties
constexpr int kKeepAliveSeconds = 15;         // Go's default, which NATS operators know

void set_option(int fd, int level, int name, int value) {
  // Best effort: a missing option costs latency or detection time, never correctness.
  (void)::setsockopt(fd, level, name, &value, sizeof value);
}

}  // namespace

env::Endpoint to_endpoint(const asio::ip::tcp::endpoint& e) {
  asio::ip::address a = e.address();
  if (a.is_v6() && a.to_v6().is_v4_mapped()) {
    a = asio::ip::make_address_v4(asio::ip::v4_mapped, a.to_v6());
  }
  return {a.to_string(), e.port()};
}

Socket::Socket(AsioLoop& loop, asio::ip::tcp::socket fd) : loop_(loop), fd_(std::move(fd)) {
  asio::error_code ec;
  fd_.non_blocking(true, ec);
  fd_.native_non_blocking(true, ec);
  int raw = fd_.native_handle();
  set_option(raw, IPPROTO_TCP, TCP_NODELAY, 1);
  set_option(raw, SOL_SOCKET, SO_KEEPALIVE, 1);
  set_option(raw, IPPROTO_TCP, TCP_KEEPIDLE, kKeepAliveSeconds);
  set_option(raw, IPPROTO_TCP, TCP_KEEPINTVL, kKeepAliveSeconds);
  auto remote = fd_.remote_endpoint(ec);
  if (!ec) remote_ = to_endpoint(remote);
  auto local = fd_.local_endpoint(ec);
  if (!ec) local_ = to_endpoint(local);
}

void Socket::start(env::ConnectionHandler* handler) {
  handler_ = handler;
  if (state_ == State::kBroken) break_later(std::move(broken_detail_));
  if (state_ != State::kOpen || !wants_input()) return;
  tls_ ? post_resume() : arm_read();  // it may have its first bytes already
}

// ---- reading

void Socket::arm_read() {
  if (reading_ || state_ == State::kClosed || state_ == State::kBroken) return;
  if (buffer_bytes_ != wanted_bytes_) {
    buffer_.reset(new std::uint8_t[wanted_bytes_]);
    buffer_bytes_ = wanted_bytes_;
  }
  reading_ = true;
  fd_.async_receive(
      asio::buffer(buffer_.get(), buffer_bytes_),
      [self = shared_from_this()](const asio::error_code& ec, std::size_t n) { self->on_read(ec, n); });
}

void Socket::on_read(const asio::error_code& ec, std::size_t n) {
  reading_ = false;
  switch (state_) {
    case State::kClosed:
    case State::kBroken: return;
    case State::kLingering:
      // The peer closed too, or is gone: nothing more to wait for. Other bytes are nobody's any more.
      if (ec && (queue_.empty() || handshaking())) return destroy();
      if (!ec && handshaking()) pump_tls({buffer_.get(), n});  // what is queued waits for it
      if (!ec) arm_read();
      return;
    case State::kOpen: break;
  }
  if (ec) {
    std::string why = ec == asio::error::eof ? "" : "read: " + errno_text(ec.value());
    if (handshaking()) why = "tls handshake: " + (why.empty() ? "the other side closed the connection" : why);
    return fail(why);
  }
  if (!wants_input()) {
    stashed_bytes_ = n;
    return;
  }
  deliver(n);
}

void Socket::deliver(std::size_t n) {
  ByteSpan view{buffer_.get(), n};
  if (n == buffer_bytes_ && n == kReadBufferMax) {
    n = read_on(n);
    view = {loop_.impl().scratch.data(), n};
  }
  auto self = shared_from_this();  // the handler may drop the connection
  if (tls_) {
    pump_tls(view);
    return after_data(n);
  }
  in_data_ = true;
  handler_->data(view);
  in_data_ = false;
  after_data(n);
}

// Goes on after a read that filled the largest own buffer: `n` bytes of it and what the kernel has
// besides, side by side in the scratch buffer, so that the handler gets one long view.
std::size_t Socket::read_on(std::size_t n) {
  auto& scratch = loop_.impl().scratch;
  std::memcpy(scratch.data(), buffer_.get(), n);
  while (n < scratch.size()) {
    ssize_t got = ::recv(fd_.native_handle(), scratch.data() + n, scratch.size() - n, 0);
    if (got < 0 && errno == EINTR) continue;
    // End of stream shows again at the next receive. An error does not: keep it.
    if (got < 0 && errno != EAGAIN && errno != EWOULDBLOCK) break_later("read: " + errno_text(errno));
    if (got <= 0) break;
    std::size_t room = scratch.size() - n;
    n += static_cast<std::size_t>(got);
    if (static_cast<std::size_t>(got) < room) break;
  }
  return n;
}

void Socket::after_data(std::size_t n) {
  if (state_ == State::kClosed || state_ == State::kBroken) return;
  if (n > 0) fit_buffer(n);
  if (state_ == State::kLingering) return arm_read();
  if (!wants_input()) return;
  if (turn_ != loop_.turn()) {
    turn_ = loop_.turn();
    turn_bytes_ = 0;
  }
  turn_bytes_ += n;
  if (turn_bytes_ < limits::kReadBytesPerTurn) return arm_read();
  post_resume();
}

void Socket::post_resume() {
  if (resume_posted_) return;
  resume_posted_ = true;
  loop_.post([self = shared_from_this()] {
    self->resume_posted_ = false;
    if (self->state_ != State::kOpen || !self->handler_ || !self->wants_input()) return;
    std::size_t n = std::exchange(self->stashed_bytes_, 0);
    if (n > 0) return self->deliver(n);
    if (self->tls_) self->pump_tls({});  // what it held while paused
    self->after_data(0);
  });
}

// Grows eightfold when a read fills the buffer, shrinks after a long run of reads that would have
// fitted a smaller one.
void Socket::fit_buffer(std::size_t n) {
  if (n >= buffer_bytes_) {
    wanted_bytes_ = std::min(buffer_bytes_ * 8, kReadBufferMax);
    small_reads_ = 0;
  } else if (n >= buffer_bytes_ / 8 || buffer_bytes_ <= kReadBufferMin) {
    small_reads_ = 0;
  } else if (++small_reads_ >= kSmallReads) {
    wanted_bytes_ = std::max(buffer_bytes_ / 8, kReadBufferMin);
    small_reads_ = 0;
  }
}

void Socket::pause_reading(bool paused) {
  if (paused_ == paused) return;
  paused_ = paused;
  if (paused || state_ != State::kOpen || !handler_ || in_data_) return;
  stashed_bytes_ > 0 || resume_posted_ || tls_ ? post_resume() : arm_read();
}

// ---- writing

void Socket::write(std::vector<Bytes> slices) {
  if (state_ != State::kOpen) return;
  drain_due_ = true;
  std::erase_if(slices, [](const Bytes& b) { return b.empty(); });
  for (const Bytes& b : slices) queued_bytes_ += b.size();
  if (queue_.empty()) {
    queue_ = std::move(slices);
    return flush();
  }
  if (head_ > kQueueCompactAt && head_ > queue_.size() / 2) {
    queue_.erase(queue_.begin(), queue_.begin() + static_cast<std::ptrdiff_t>(head_));
    head_ = 0;
  }
  queue_.insert(queue_.end(), std::move_iterator(slices.begin()), std::move_iterator(slices.end()));
}

void Socket::flush() {
  for (;;) {
    if (tls_ && !send_wire()) return;
    if (head_ == queue_.size()) break;
    if (handshaking()) return;
    if (!(tls_ ? seal_some() : send_some())) return;
  }
  queue_.clear();
  head_ = 0;
  if (state_ == State::kLingering) return finish_output();
  if (std::exchange(drain_due_, false)) announce_drained();
}

// One gathering send. False if the kernel is full (a wait is armed) or the connection broke.
bool Socket::send_some() {
  iovec parts[kSlicesPerSend];
  std::size_t count = 0, total = 0;
  for (std::size_t i = head_; i < queue_.size() && count < kSlicesPerSend; ++i, ++count) {
    std::size_t skip = i == head_ ? head_offset_ : 0;
    parts[count].iov_base = const_cast<std::uint8_t*>(queue_[i].data() + skip);
    parts[count].iov_len = queue_[i].size() - skip;
    total += parts[count].iov_len;
  }
  msghdr message{};
  message.msg_iov = parts;
  message.msg_iovlen = count;
  ssize_t sent;
  do {
    sent = ::sendmsg(fd_.native_handle(), &message, MSG_NOSIGNAL);
  } while (sent < 0 && errno == EINTR);
  if (sent < 0 && errno != EAGAIN && errno != EWOULDBLOCK) {
    break_later("write: " + errno_text(errno));
    return false;
  }
  std::size_t done = sent > 0 ? static_cast<std::size_t>(sent) : 0;
  consume(done);
  if (done == total) return true;
  arm_write();
  return false;
}

// The first `n` bytes of the queue are on their way.
void Socket::consume(std::size_t n) {
  queued_bytes_ -= n;
  while (n > 0) {
    std::size_t rest = queue_[head_].size() - head_offset_;
    if (n < rest) {
      head_offset_ += n;
      return;
    }
    n -= rest;
    queue_[head_++] = Bytes();
    head_offset_ = 0;
  }
}

void Socket::clear_output() {
  queue_.clear();
  head_ = head_offset_ = queued_bytes_ = 0;
}

void Socket::arm_write() {
  if (writing_) return;
  writing_ = true;
  fd_.async_wait(asio::ip::tcp::socket::wait_write, [self = shared_from_this()](const asio::error_code&) {
    self->writing_ = false;
    // An error shows in the send itself.
    if (self->state_ == State::kOpen || self->state_ == State::kLingering) self->flush();
  });
}

void Socket::announce_drained() {
  if (drained_posted_ || !handler_) return;
  drained_posted_ = true;
  loop_.post([self = shared_from_this()] {
    self->drained_posted_ = false;
    if (self->handler_ && self->state_ == State::kOpen && self->queue_.empty()) self->handler_->drained();
  });
}

// ---- the end

void Socket::break_later(std::string detail) {
  if (state_ == State::kLingering) return destroy();
  state_ = State::kBroken;
  clear_output();
  if (tls_) tls_->drop_wire();
  if (!handler_) {  // not started: told at start()
    broken_detail_ = std::move(detail);
    return;
  }
  loop_.post([self = shared_from_this(), detail = std::move(detail)] { self->fail(detail); });
}

void Socket::fail(const std::string& detail) {
  if (state_ == State::kClosed) return;
  auto* handler = std::exchange(handler_, nullptr);
  destroy();
  if (handler) handler->closed(detail);
}

void Socket::close() {
  handler_ = nullptr;
  if (state_ == State::kBroken) destroy();
  if (state_ != State::kOpen) return;
  state_ = State::kLingering;
  stashed_bytes_ = 0;
  linger_timer_ = loop_.at(monotonic_now() + kCloseLinger, [self = shared_from_this()] {
    self->linger_timer_ = 0;
    self->destroy();
  });
  set_flushing(queued_bytes() > 0);
  if (!writing_) flush();
  // Unread input at close() would turn into a reset that may overtake the last bytes sent.
  if (state_ == State::kLingering && !in_data_) arm_read();
}

void Socket::finish_output() {
  if (tls_ && tls_->end() && !send_wire()) return;
  set_flushing(false);
  if (::shutdown(fd_.native_handle(), SHUT_WR) != 0) destroy();
}

void Socket::set_flushing(bool flushing) {
  if (flushing == flushing_) return;
  flushing_ = flushing;
  flushing ? ++loop_.impl().flushing : --loop_.impl().flushing;
}

void Socket::abandon() {
  handler_ = nullptr;
  if (state_ == State::kOpen || state_ == State::kBroken) destroy();
}

void Socket::destroy() {
  if (state_ == State::kClosed) return;
  state_ = State::kClosed;
  handler_ = nullptr;
  loop_.cancel(std::exchange(linger_timer_, 0));
  loop_.cancel(std::exchange(handshake_timer_, 0));
  set_flushing(false);
  clear_output();
  if (tls_) tls_->drop_wire();
  asio::error_code ec;
  fd_.close(ec);
}

}  // namespace weir::platform
