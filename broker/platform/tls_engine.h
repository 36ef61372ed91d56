// broker/platform/tls_engine.h - one connection's TLS, from bytes to bytes. Internal to platform/.
//
// Room:    edge, but without I/O: the owner brings what came (input) and sends what is to go (wire). Why
//          not asio::ssl::stream: docs/adr/0005.
// Thread:  the loop's. Owner: Socket. Its address must not change.
// Input:   borrowed from input() to keep_rest(), which copies what was not used up (the reader paused).
// Memory:  an idle connection holds OpenSSL's state (about 15 KiB) and no buffers. A handshake may take
//          kHandshakeBytesMax of input.
// Errors:  the first failure is final; error() says it for people, and wire() has the alert that tells
//          the other side.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "broker/base/bytes.h"
#include "broker/base/result.h"
#include "broker/env/tls.h"

namespace weir::platform {

constexpr std::size_t kTlsRecordBytes = 16 * 1024;  // of plain bytes; the protocol's maximum
constexpr std::size_t kHandshakeBytesMax = 256 * 1024;

/// As Transport::tls(): the only maker of contexts that an engine takes.
Result<std::shared_ptr<env::TlsContext>> open_tls_context(const env::TlsSettings& settings);

/// Reads the files of all of them again, for handshakes that begin from now on. With an error (the first
/// one's) none is changed.
Status renew_tls_contexts(const std::vector<std::shared_ptr<env::TlsContext>>& contexts);

class TlsEngine {
 public:
  explicit TlsEngine(const env::TlsStart& how);
  ~TlsEngine();
  TlsEngine(const TlsEngine&) = delete;
  TlsEngine& operator=(const TlsEngine&) = delete;

  void input(ByteSpan view);
  void keep_rest();

  /// Goes on with the handshake as far as the input reaches. False: failed.
  bool handshake();
  bool established() const { return established_; }
  bool failed() const { return !error_.empty(); }
  const std::string& error() const { return error_; }

  enum class Got : unsigned char { kMore, kRoomFull, kEnd, kFailed };
  /// Fills `room` with plain bytes, `n` of them. kMore: it takes more input; kEnd: the other side said
  /// that nothing follows. Only when established.
  Got read(std::span<std::uint8_t> room, std::size_t& n);
  /// Puts `plain` on the wire, in records. False: failed. Only when established.
  bool seal(ByteSpan plain);
  /// Says on the wire that nothing follows. True the first time; false also without a finished handshake.
  bool end();

  /// Bytes to send, in order. Those of put() as they are: what was written before the handshake.
  ByteSpan wire() const { return ByteSpan(wire_).subspan(wire_sent_); }
  void wire_sent(std::size_t n);
  void put(ByteSpan bytes) { wire_.insert(wire_.end(), bytes.begin(), bytes.end()); }
  void drop_wire();

  /// nullopt before the end of the handshake.
  std::optional<env::TlsState> state() const;

 private:
  struct Private;
  bool fail(int code);
  std::string explain() const;
  std::size_t take_input(std::span<char> room);

  std::unique_ptr<Private> private_;
  ByteSpan view_;  // borrowed, behind what held_ has
  std::vector<std::uint8_t> held_;
  std::size_t held_used_ = 0;
  std::size_t handshake_bytes_ = 0;  // of input, until established
  std::vector<std::uint8_t> wire_;
  std::size_t wire_sent_ = 0;
  std::optional<std::uint8_t> first_byte_;
  bool established_ = false;
  bool ended_ = false;
  std::string error_;
};

}  // namespace weir::platform
