#include "broker/server/rooms.h"

#include <algorithm>

#include "broker/base/varint.h"
#include "broker/server/cluster_side.h"
#include "broker/server/jetstream.h"

namespace weir::server {

namespace {
constexpr Nanos kPeriod = 5 * kSecond;
constexpr Nanos kTimeout = 2 * kSecond;
constexpr std::uint64_t kLittle = 200;  // a change by one of so many parts of the limit is none
constexpr std::uint64_t kTight = 10;    // one of so many parts is left

bool differs(std::uint64_t a, std::uint64_t b, std::uint64_t limit) {
  return std::max(a, b) - std::min(a, b) > limit / kLittle;
}

bool differs(const NodeRoom& a, const NodeRoom& b) {
  return a.file_max != b.file_max || a.memory_max != b.memory_max ||
         differs(a.file_used, b.file_used, a.file_max) || differs(a.memory_used, b.memory_used, a.memory_max);
}
}  // namespace

void set_room(cluster::PlaceNode& node, const NodeRoom& room, const jetstream::MetaLoad& load) {
  auto left = [](std::uint64_t limit, std::uint64_t used, std::uint64_t reserved) {
    return limit - std::min(limit, std::max(used, reserved));
  };
  node.file_free = left(room.file_max, room.file_used, load.reserved_file);
  node.memory_free = left(room.memory_max, room.memory_used, load.reserved_memory);
  node.file_tight = node.file_free < room.file_max / kTight;
  node.memory_tight = node.memory_free < room.memory_max / kTight;
}

Rooms::Rooms(env::Env& env, JetStream& js) : env_(env), js_(js) {
  js_.context().cluster->mesh().handle(
      cluster::Method::kRoom,
      [this, alive = std::weak_ptr<int>(alive_)](NodeId from, const Bytes& body, cluster::Mesh::Reply reply) {
        if (alive.expired()) return;
        Reader in(body.span());
        NodeRoom r;
        for (auto* v : {&r.file_max, &r.file_used, &r.memory_max, &r.memory_used}) *v = in.varint();
        if (!in.ok()) return reply(Error(Code::kInvalid, "a node's room: cut short"));
        rooms_[node_of(from)] = r;
        reply(Bytes());
      });
}

void Rooms::peer_down(NodeId peer) {
  owed_.erase(peer);
  rooms_.erase(peer);  // it may come back with other limits
}

NodeRoom Rooms::own() const {
  const JsContext& c = js_.context();
  return {c.file_bytes_max, c.file_bytes, c.memory_bytes_max, c.memory_bytes};
}

NodeRoom Rooms::of(NodeId node) const {
  auto it = rooms_.find(node_of(node));
  return it == rooms_.end() ? own() : it->second;
}

bool Rooms::may_grow(const jetstream::MetaStream& now, const api::StreamConfig& config) const {
  auto more = std::max<std::int64_t>(config.max_bytes, 0) - std::max<std::int64_t>(now.config.max_bytes, 0);
  if (more <= 0) return true;
  bool memory = config.storage == api::Storage::kMemory;
  return std::all_of(now.peers.begin(), now.peers.end(), [&](NodeId peer) {
    NodeRoom room = of(peer);
    auto load = js_.meta().state().load(peer);
    std::uint64_t limit = memory ? room.memory_max : room.file_max;
    std::uint64_t reserved = memory ? load.reserved_memory : load.reserved_file;
    return reserved + static_cast<std::uint64_t>(more) <= limit;
  });
}

void Rooms::work() {
  if (env_.clock.now() >= next_) {
    next_ = env_.clock.now() + kPeriod;
    if (differs(own(), told_)) {
      told_ = own();
      for (const auto& peer : js_.context().cluster->mesh().peers()) owed_.insert(peer.id);
    }
  }
  for (NodeId peer : std::exchange(owed_, {})) tell(peer);
}

void Rooms::tell(NodeId peer) {
  BytesBuilder b;
  for (std::uint64_t v : {told_.file_max, told_.file_used, told_.memory_max, told_.memory_used})
    b.append_varint(v);
  Bytes body = b.freeze();
  js_.context().cluster->mesh().ask(peer, cluster::Method::kRoom, std::move(body), kTimeout,
                                    [](Result<Bytes>) {});
}

}  // namespace weir::server
