// broker/cluster/lanes.h - what waits to go to one peer, in order of priority.
//
// Room:    pure. Owner: Link.
// Order:   what the link itself says first, then the lanes in their order. A frame that has begun is
//          finished before another begins, however large it is.
// Units:   bytes with headers.
// Copies:  small parts of the frames of one take() are gathered in one block; large ones are slices.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <vector>

#include "broker/base/bytes.h"
#include "broker/cluster/mesh.h"
#include "broker/proto/peer_frame.h"

namespace weir::cluster {

class Lanes {
 public:
  /// `lane_bytes_max`: one limit per lane. A frame that is larger than its lane is taken while nothing
  /// else waits there, so that it can be sent at all.
  explicit Lanes(const std::size_t (&lane_bytes_max)[kLanes]) : limits_(lane_bytes_max) {}

  /// False: the lane is full or the frame is larger than proto::kPeerPayloadMax; nothing is queued.
  bool add(Lane lane, std::uint8_t kind, std::vector<Bytes> payload);
  /// A frame of the link's own, before all lanes and without a limit. Of pings and of pongs only the last one
  /// waits: who asks faster than it reads fills nothing.
  void add_own(proto::PeerKind kind, Bytes payload);

  /// The next `budget` bytes or fewer as slices for the transport.
  std::vector<Bytes> take(std::size_t budget);

  std::size_t bytes(Lane lane) const { return queues_[index(lane)].bytes; }
  std::size_t pending() const { return pending_; }
  /// A frame was taken in part.
  bool cut() const { return current_.has_value(); }
  std::uint64_t frames_out() const { return frames_out_; }

 private:
  struct Frame {
    proto::PeerHeader header;
    std::vector<Bytes> payload;
    std::size_t bytes;  // header and payload
    std::uint8_t kind;
  };
  struct Queue {
    std::deque<Frame> frames;
    std::size_t bytes = 0;
  };
  struct Current {
    Frame frame;
    std::size_t queue;     // where its bytes count
    std::size_t part = 0;  // 0: header, then payload[part - 1]
    std::size_t sent = 0;  // of that part
  };
  class Gather;
  static constexpr std::size_t kOwn = kLanes;
  static std::size_t index(Lane lane) { return static_cast<std::size_t>(lane); }
  void push(std::size_t queue, std::uint8_t kind, std::uint8_t lane, std::vector<Bytes> payload);
  void drop_own(proto::PeerKind kind);
  bool next_frame();
  std::size_t emit(std::size_t budget, Gather& out);

  const std::size_t (&limits_)[kLanes];
  Queue queues_[kLanes + 1];
  std::optional<Current> current_;
  std::size_t pending_ = 0;
  std::uint64_t frames_out_ = 0;
};

}  // namespace weir::cluster
