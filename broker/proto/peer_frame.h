// broker/proto/peer_frame.h - frames between two nodes: header bytes and push parser.
//
// Room:    pure: bytes in, callbacks out. docs/formats/peer-link.md is the same thing in words.
// Thread:  owned by one link on one shard. Callbacks must not call feed() or destroy the parser.
// Units:   sizes in bytes.
// Limits:  payload_max, checked when the length is known and before memory is taken for it; may change
//          inside a callback (a stranger's first frame is small, a peer's may be large).
// Memory:  a payload is copied once, into one block of its own, which is handed out whole.
// Errors:  one line of text; after one the parser stays failed and takes nothing more.
// Invariant: any split of the same input gives the same frames and the same error.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "broker/base/bytes.h"

namespace weir::proto {

constexpr std::size_t kPeerHeaderBytes = 10;
/// One raft entry of the largest size (limits::kRecordBytesMax) and what is around it.
constexpr std::size_t kPeerPayloadMax = 80u << 20;
/// Before the other side has said who it is.
constexpr std::size_t kPeerHelloMax = 64u << 10;

/// Kinds below 16 belong to the link itself; a kind that a node does not know is skipped by it.
enum class PeerKind : std::uint8_t {
  kHello = 1,   // the first frame of each side
  kReady = 2,   // this connection is the link
  kRefuse = 3,  // it is not, and why; the connection is closed behind it
  kPing = 4,
  kPong = 5,
  kGossip = 6,  // addresses of other nodes
  kInfo = 7,    // the sender's NodeInfo changed
  kBye = 8,     // the sender stops
  kAsk = 9,
  kAnswer = 10,
};
constexpr std::uint8_t kPeerKindOwn = 16;  // kinds below are PeerKind, others the mesh's users'

struct PeerFrame {
  std::uint8_t kind = 0;
  std::uint8_t lane = 0;  // low 4 bits of the flags byte; the others are 0 and ignored
  Bytes payload;
};

using PeerHeader = std::array<std::uint8_t, kPeerHeaderBytes>;

/// Header of a frame whose payload is the slices one after the other. `lane` < 16; together at most
/// kPeerPayloadMax (CHECK).
PeerHeader peer_header(std::uint8_t kind, std::uint8_t lane, const std::vector<Bytes>& payload);

class PeerFrameEvents {
 public:
  virtual ~PeerFrameEvents() = default;
  /// Called by feed() only, in input order. False makes feed() return right after this frame.
  virtual bool on_frame(PeerFrame frame) = 0;
};

class PeerFrameParser {
 public:
  explicit PeerFrameParser(std::size_t payload_max = kPeerPayloadMax) : payload_max_(payload_max) {}
  PeerFrameParser(const PeerFrameParser&) = delete;
  PeerFrameParser& operator=(const PeerFrameParser&) = delete;

  /// Holds for frames whose header is not complete yet.
  void set_payload_max(std::size_t bytes) { payload_max_ = bytes; }
  /// False when a frame is impossible: error() says why. True also when on_frame() stopped it; then the
  /// rest of `bytes` is forgotten, so a parser that was stopped is not fed again.
  bool feed(ByteSpan bytes, PeerFrameEvents& events);
  const std::string& error() const { return error_; }

 private:
  bool begin_payload();
  bool fail(std::string why);

  std::size_t payload_max_;
  PeerHeader header_{};
  std::size_t header_size_ = 0;  // bytes of it that are there
  std::size_t wanted_ = 0;       // payload bytes of the frame under way
  std::uint32_t crc_ = 0;        // so far
  BytesBuilder payload_;
  std::string error_;
};

}  // namespace weir::proto
