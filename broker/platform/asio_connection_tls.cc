// TLS of a Socket: its engine between the socket and the owner. What a failed handshake leaves behind is an
// alert on the wire and a connection that lingers until the alert is out.
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "broker/platform/asio_connection.h"
#include "broker/platform/asio_context.h"
#include "broker/platform/system.h"

namespace weir::platform {

void Socket::start_tls(env::TlsStart how) {
  CHECK(!tls_, "TLS twice");
  if (state_ != State::kOpen) return;
  tls_ = std::make_unique<TlsEngine>(how);
  for (std::size_t i = head_; i < queue_.size(); ++i) {
    tls_->put(queue_[i].span().subspan(i == head_ ? head_offset_ : 0));
  }
  clear_output();
  handshake_timer_ = loop_.at(monotonic_now() + how.timeout, [self = shared_from_this()] {
    self->handshake_timer_ = 0;
    self->handshake_late();
  });
  if (how.dialled && !tls_->handshake()) return break_later(tls_->error());  // it has the first word
  if (!writing_) flush();
  if (!handler_) return;  // start() goes on
  if (!how.first.empty() || stashed_bytes_ > 0) return post_resume();
  if (!in_data_) arm_read();
}

// ---- input

// Gives the engine what came, the owner what comes out of it.
void Socket::pump_tls(ByteSpan fresh) {
  tls_->input(fresh);
  if (handshaking() && !go_on_handshake()) return;
  if (tls_->established() && !read_tls()) return;
  tls_->keep_rest();
  // Answers of the handshake, and what waited for its end.
  if (queued_bytes() > 0 && !writing_) flush();
}

bool Socket::go_on_handshake() {
  if (!tls_->handshake()) {
    tls_->keep_rest();
    fail_tls(tls_->error());
    return false;
  }
  if (tls_->established()) loop_.cancel(std::exchange(handshake_timer_, 0));
  return true;
}

// False: the connection ended.
bool Socket::read_tls() {
  auto& room = loop_.impl().plain;
  if (room.empty()) room.resize(kScratchBytes);
  auto got = TlsEngine::Got::kRoomFull;
  while (handler_ && !paused_ && got == TlsEngine::Got::kRoomFull) {
    std::size_t n = 0;
    got = tls_->read(room, n);
    if (n == 0) break;
    in_data_ = true;
    handler_->data({room.data(), n});
    in_data_ = false;
  }
  if (got == TlsEngine::Got::kMore || got == TlsEngine::Got::kRoomFull) return true;
  tls_->keep_rest();
  if (!handler_) return true;  // closed inside data(): its own end is under way
  got == TlsEngine::Got::kFailed ? fail_tls(tls_->error()) : fail("");
  return false;
}

// ---- output

bool Socket::seal_some() {
  std::uint8_t record[kTlsRecordBytes];
  for (std::size_t sealed = 0; sealed < kSealBytes && head_ < queue_.size();) {
    ByteSpan next = queue_[head_].span().subspan(head_offset_);
    next = next.first(std::min(next.size(), kTlsRecordBytes));
    if (next.size() < kTlsRecordBytes && head_ + 1 < queue_.size()) {
      // Many small slices make one record.
      std::size_t n = 0;
      for (std::size_t i = head_; i < queue_.size() && n < kTlsRecordBytes; ++i) {
        ByteSpan s = queue_[i].span().subspan(i == head_ ? head_offset_ : 0);
        std::size_t take = std::min(s.size(), kTlsRecordBytes - n);
        std::memcpy(record + n, s.data(), take);
        n += take;
      }
      next = {record, n};
    }
    if (!tls_->seal(next)) {
      break_later(tls_->error());
      return false;
    }
    sealed += next.size();
    consume(next.size());
  }
  return true;
}

// False if the kernel is full (a wait is armed) or the connection broke.
bool Socket::send_wire() {
  while (!tls_->wire().empty()) {
    ByteSpan wire = tls_->wire();
    ssize_t sent = ::send(fd_.native_handle(), wire.data(), wire.size(), MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
      arm_write();
      return false;
    }
    if (sent < 0) {
      break_later("write: " + errno_text(errno));
      return false;
    }
    tls_->wire_sent(static_cast<std::size_t>(sent));
  }
  return true;
}

// ---- the end

void Socket::handshake_late() {
  if (!handshaking() || (state_ != State::kOpen && state_ != State::kLingering)) return;
  const char* why = "tls handshake: not finished in time";
  handler_ ? fail_tls(why) : break_later(why);
}

void Socket::fail_tls(const std::string& why) {
  loop_.cancel(std::exchange(handshake_timer_, 0));
  auto* handler = std::exchange(handler_, nullptr);
  clear_output();
  if (state_ == State::kOpen) {
    close();
  } else if (state_ == State::kLingering && !writing_) {
    flush();
  }
  if (handler) handler->closed(why);
}

}  // namespace weir::platform
