#include "broker/cluster/link.h"

namespace weir::cluster {
namespace {

constexpr std::size_t kFinishBytesMax = 8u << 20;

// The first bytes of a TLS connection: a handshake or an alert. No frame that may come first begins so.
bool looks_like_tls(ByteSpan first) {
  return first.size() >= 2 && (first[0] == 0x16 || first[0] == 0x15) && first[1] == 0x03;
}

}  // namespace

std::string id_text(NodeId node) {
  std::string out(10, '0');
  std::uint64_t v = node.v >> kIncarnationBits;
  for (std::size_t i = out.size(); i-- > 0; v >>= 4) out[i] = "0123456789abcdef"[v & 15];
  return out;
}

Link::Link(LinkOwner& owner, env::Clock& clock, const MeshTuning& tuning, std::uint64_t rid,
           std::unique_ptr<env::Connection> connection)
    : owner_(owner),
      clock_(clock),
      tuning_(tuning),
      rid_(rid),
      connection_(std::move(connection)),
      remote_(connection_->remote()),
      started_(clock.now()),
      started_wall_(clock.wall()),
      last_heard_(started_),
      last_sent_(started_),
      lanes_(tuning.lane_bytes_max) {}

bool Link::send(Lane lane, std::uint8_t kind, std::vector<Bytes> payload) {
  if (!closed() && lanes_.add(lane, kind, std::move(payload))) return true;
  ++refused_;
  return false;
}

void Link::send_own(proto::PeerKind kind, Bytes payload) {
  if (closed()) return;
  lanes_.add_own(kind, std::move(payload));
  pump();
}

void Link::pump() {
  if (closed() || lanes_.pending() == 0) return;
  std::size_t queued = connection_->queued_bytes();
  if (queued < tuning_.transport_bytes_max) write(lanes_.take(tuning_.transport_bytes_max - queued));
}

void Link::finish(proto::PeerKind last_word, Bytes payload) {
  if (closed()) return;
  if (lanes_.pending() > 0) write(lanes_.take(kFinishBytesMax));
  // Behind a frame that is not complete nothing can be said any more.
  if (!lanes_.cut()) {
    lanes_.add_own(last_word, std::move(payload));
    write(lanes_.take(kFinishBytesMax));
  }
  close();
}

void Link::write(std::vector<Bytes> slices) {
  for (const Bytes& b : slices) bytes_out_ += b.size();
  last_sent_ = clock_.now();
  connection_->write(std::move(slices));
}

void Link::close() {
  if (closed()) return;
  state.phase = Phase::kClosed;
  connection_->close();
}

void Link::data(ByteSpan bytes) {
  bytes_in_ += bytes.size();
  last_heard_ = clock_.now();
  if (!state.alive) owner_.link_heard(*this);
  if (closed()) return;
  if (parser_.feed(bytes, *this)) return;
  bool tls = bytes_in_ == bytes.size() && looks_like_tls(bytes);
  owner_.link_broken(*this, tls ? "tls: the other side has it, this one has not" : parser_.error());
}

bool Link::on_frame(proto::PeerFrame frame) {
  ++frames_in_;
  owner_.link_frame(*this, std::move(frame));
  return !closed();
}

void Link::closed(const std::string& detail) {
  if (closed()) return;
  std::string why = detail.empty() ? "the other side closed it" : detail;
  if (detail.empty() && state.dialled && bytes_in_ == 0) why += " without a word; does it want TLS?";
  owner_.link_broken(*this, why);
}

LinkStats Link::stats() const {
  LinkStats s;
  s.peer = state.peer;
  s.rid = rid_;
  s.remote_ip = remote_.host;
  s.remote_port = remote_.port;
  s.solicited = state.dialled;
  s.start = started_wall_;
  s.last_heard = last_heard_;
  s.rtt = state.rtt;
  s.in_frames = frames_in_;
  s.out_frames = lanes_.frames_out();
  s.in_bytes = bytes_in_;
  s.out_bytes = bytes_out_;
  s.pending_bytes = lanes_.pending() + (closed() ? 0 : connection_->queued_bytes());
  s.refused = refused_;
  return s;
}

std::string Link::describe() const {
  std::string who;
  if (state.peer.id.v != 0) who = state.peer.name + " [" + id_text(state.peer.id) + "] at ";
  return who + env::to_string(remote_);
}

}  // namespace weir::cluster
