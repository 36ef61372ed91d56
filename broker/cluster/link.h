// broker/cluster/link.h - one connection to another node: frames in, lanes out, what both said.
//
// Room:    shell over env::Connection. Thread: the shard. Owner: MeshCore, which makes all decisions.
// Phases:  kHello (theirs has not come), kDecision (the node that decides has not decided), kUp, kClosed.
// Close:   after close(), or when the owner heard link_broken(), no call to the owner follows. The object
//          may be destroyed in a later turn, not inside a call of its own.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "broker/cluster/lanes.h"
#include "broker/cluster/mesh.h"
#include "broker/proto/peer_body.h"
#include "broker/proto/peer_frame.h"

namespace weir::cluster {

class Link;
class LinkOwner {
 public:
  virtual ~LinkOwner() = default;
  /// Bytes came although the link counted as silent.
  virtual void link_heard(Link& link) = 0;
  virtual void link_frame(Link& link, proto::PeerFrame frame) = 0;
  /// The connection ended, or what came cannot be a frame. The owner closes the link.
  virtual void link_broken(Link& link, const std::string& why) = 0;
};

class Link final : public env::ConnectionHandler, private proto::PeerFrameEvents {
 public:
  enum class Phase : std::uint8_t { kHello, kDecision, kUp, kClosed };

  /// What the mesh knows of the connection; the link itself does not look at it.
  struct State {
    Phase phase = Phase::kHello;
    bool dialled = false;
    std::string target;       // of the dialler; "" when accepted
    std::uint64_t token = 0;  // names the connection on both sides; 0 until the hello came
    std::uint64_t stamp = 0;  // of their hello
    std::uint64_t epoch = 0;  // of the decision that made it the link
    std::uint64_t features = 0;
    std::uint64_t told = 0;  // which version of the own info their side has
    NodeInfo peer;
    bool alive = true;
    Mono last_rtt_ping;
    Nanos rtt = 0;
  };

  Link(LinkOwner& owner, env::Clock& clock, const MeshTuning& tuning, std::uint64_t rid,
       std::unique_ptr<env::Connection> connection);
  Link(const Link&) = delete;
  Link& operator=(const Link&) = delete;

  /// Begins to read. Only a hello-sized frame is accepted until trust_peer().
  void start() { connection_->start(this); }
  void trust_peer() { parser_.set_payload_max(proto::kPeerPayloadMax); }

  /// Queues; false: the lane is full.
  bool send(Lane lane, std::uint8_t kind, std::vector<Bytes> payload);
  /// Queues a frame of the link's own and hands on what the transport takes.
  void send_own(proto::PeerKind kind, Bytes payload);
  /// Hands to the transport what it takes without queueing more than transport_bytes_max.
  void pump();
  /// Hands over what is queued (a few MiB at most), then closes.
  void finish(proto::PeerKind last_word, Bytes payload);
  void close();

  std::uint64_t rid() const { return rid_; }
  bool closed() const { return state.phase == Phase::kClosed; }
  bool up() const { return state.phase == Phase::kUp; }
  Mono last_heard() const { return last_heard_; }
  Mono last_sent() const { return last_sent_; }
  Mono started() const { return started_; }
  env::Endpoint remote() const { return remote_; }
  std::optional<env::TlsState> tls() const { return connection_->tls(); }
  std::size_t lane_bytes(Lane lane) const { return lanes_.bytes(lane); }
  LinkStats stats() const;
  /// "n2 [00000000ab] at 10.0.0.2:6222", as far as that is known.
  std::string describe() const;

  State state;

 private:
  void data(ByteSpan bytes) override;
  void drained() override { pump(); }
  void closed(const std::string& detail) override;
  bool on_frame(proto::PeerFrame frame) override;
  void write(std::vector<Bytes> slices);

  LinkOwner& owner_;
  env::Clock& clock_;
  const MeshTuning& tuning_;
  const std::uint64_t rid_;
  std::unique_ptr<env::Connection> connection_;
  const env::Endpoint remote_;
  const Mono started_;
  const Wall started_wall_;
  Mono last_heard_, last_sent_;
  proto::PeerFrameParser parser_{proto::kPeerHelloMax};
  Lanes lanes_;
  std::uint64_t frames_in_ = 0, bytes_in_ = 0, bytes_out_ = 0, refused_ = 0;
};

/// Hexadecimal, without the low bits that are zero.
std::string id_text(NodeId node);

}  // namespace weir::cluster
