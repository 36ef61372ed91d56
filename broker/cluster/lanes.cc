#include "broker/cluster/lanes.h"

#include <algorithm>

namespace weir::cluster {
namespace {

constexpr std::size_t kCopyBytesMax = 512;  // below, a copy is cheaper than one more slice

std::size_t size_of(const std::vector<Bytes>& payload) {
  std::size_t n = 0;
  for (const Bytes& b : payload) n += b.size();
  return n;
}

}  // namespace

/// Collects slices; small ones side by side in one block.
class Lanes::Gather {
 public:
  void add(ByteSpan small) { small_.append(small); }
  void add(Bytes large) { large_.push_back({small_.size(), std::move(large)}); }
  std::vector<Bytes> done() {
    Bytes small = small_.freeze();
    std::vector<Bytes> out;
    out.reserve(large_.size() * 2 + 1);
    std::size_t from = 0;
    for (auto& [at, slice] : large_) {
      if (at > from) out.push_back(small.sub(from, at - from));
      from = at;
      out.push_back(std::move(slice));
    }
    if (small.size() > from) out.push_back(small.sub(from, small.size() - from));
    return out;
  }

 private:
  struct Large {
    std::size_t at;  // position in the small bytes
    Bytes slice;
  };
  BytesBuilder small_;
  std::vector<Large> large_;
};

bool Lanes::add(Lane lane, std::uint8_t kind, std::vector<Bytes> payload) {
  std::size_t size = size_of(payload);
  const Queue& q = queues_[index(lane)];
  if (size > proto::kPeerPayloadMax) return false;
  if (q.bytes > 0 && q.bytes + size + proto::kPeerHeaderBytes > limits_[index(lane)]) return false;
  push(index(lane), kind, static_cast<std::uint8_t>(lane), std::move(payload));
  return true;
}

void Lanes::add_own(proto::PeerKind kind, Bytes payload) {
  if (kind == proto::PeerKind::kPing || kind == proto::PeerKind::kPong) drop_own(kind);
  std::vector<Bytes> one;
  if (!payload.empty()) one.push_back(std::move(payload));
  push(kOwn, static_cast<std::uint8_t>(kind), 0, std::move(one));
}

void Lanes::drop_own(proto::PeerKind kind) {
  Queue& q = queues_[kOwn];
  std::erase_if(q.frames, [&](const Frame& f) {
    if (f.kind != static_cast<std::uint8_t>(kind)) return false;
    q.bytes -= f.bytes;
    pending_ -= f.bytes;
    return true;
  });
}

void Lanes::push(std::size_t queue, std::uint8_t kind, std::uint8_t lane, std::vector<Bytes> payload) {
  std::erase_if(payload, [](const Bytes& b) { return b.empty(); });
  std::size_t bytes = size_of(payload) + proto::kPeerHeaderBytes;
  auto header = proto::peer_header(kind, lane, payload);
  queues_[queue].frames.push_back({header, std::move(payload), bytes, kind});
  queues_[queue].bytes += bytes;
  pending_ += bytes;
}

bool Lanes::next_frame() {
  if (current_) return true;
  auto from = [this](std::size_t queue) {
    Queue& q = queues_[queue];
    if (q.frames.empty()) return false;
    current_.emplace(Current{std::move(q.frames.front()), queue});
    q.frames.pop_front();
    return true;
  };
  if (from(kOwn)) return true;
  for (std::size_t i = 0; i < kLanes; ++i) {
    if (from(i)) return true;
  }
  return false;
}

std::vector<Bytes> Lanes::take(std::size_t budget) {
  Gather out;
  while (budget > 0 && next_frame()) {
    std::size_t n = emit(budget, out);
    budget -= n;
    pending_ -= n;
    queues_[current_->queue].bytes -= n;
    if (current_->part <= current_->frame.payload.size()) continue;
    current_.reset();
    ++frames_out_;
  }
  return out.done();
}

// One part of the current frame, or as much of it as the budget allows.
std::size_t Lanes::emit(std::size_t budget, Gather& out) {
  Current& c = *current_;
  std::size_t size = c.part == 0 ? proto::kPeerHeaderBytes : c.frame.payload[c.part - 1].size();
  std::size_t n = std::min(budget, size - c.sent);
  if (c.part == 0) {
    out.add(ByteSpan(c.frame.header.data() + c.sent, n));
  } else if (n <= kCopyBytesMax) {
    out.add(c.frame.payload[c.part - 1].span().subspan(c.sent, n));
  } else {
    out.add(c.frame.payload[c.part - 1].sub(c.sent, n));
  }
  c.sent += n;
  if (c.sent == size) {
    ++c.part;
    c.sent = 0;
  }
  return n;
}

}  // namespace weir::cluster
