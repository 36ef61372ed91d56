// What a link says once it is up.
#include <algorithm>

#include "broker/cluster/mesh_core.h"

namespace weir::cluster {

using proto::PeerKind;

/// Answers a question once; not called at all, it says so when it is dropped.
class ReplyOnce {
 public:
  ReplyOnce(std::weak_ptr<MeshCore*> mesh, std::uint64_t rid, std::uint64_t id, Lane lane)
      : mesh_(std::move(mesh)), rid_(rid), id_(id), lane_(lane) {}
  ReplyOnce(ReplyOnce&& o) noexcept : mesh_(std::move(o.mesh_)), rid_(o.rid_), id_(o.id_), lane_(o.lane_) {}
  ReplyOnce(const ReplyOnce&) = delete;
  ReplyOnce& operator=(const ReplyOnce&) = delete;
  ReplyOnce& operator=(ReplyOnce&&) = delete;
  ~ReplyOnce() { (*this)(Error(Code::kUnavailable, "no answer")); }

  void operator()(Result<Bytes> result) {
    auto mesh = std::exchange(mesh_, {}).lock();
    if (mesh) (*mesh)->reply(rid_, id_, lane_, std::move(result));
  }

 private:
  std::weak_ptr<MeshCore*> mesh_;
  std::uint64_t rid_, id_;
  Lane lane_;
};

void MeshCore::link_heard(Link& link) {
  link.state.alive = true;
  if (link.up()) events_.peer_alive(link.state.peer.id, true);
}

void MeshCore::link_broken(Link& link, const std::string& why) {
  end(link, why, why.rfind("tls", 0) == 0 ? Level::kWarn : Level::kInfo);
}

void MeshCore::link_frame(Link& link, proto::PeerFrame frame) {
  if (!link.up()) return hello_frame(link, frame);
  if (frame.kind >= proto::kPeerKindOwn) {
    return events_.frame(link.state.peer.id, static_cast<FrameKind>(frame.kind), frame.payload);
  }
  own_frame(link, static_cast<PeerKind>(frame.kind), frame);
}

void MeshCore::own_frame(Link& link, PeerKind kind, const proto::PeerFrame& frame) {
  ByteSpan body = frame.payload.span();
  switch (kind) {
    case PeerKind::kPing: {
      auto number = proto::decode_ping(body);
      if (!number) return end(link, number.error().detail, Level::kError);
      return link.send_own(PeerKind::kPong, proto::encode_ping(*number));
    }
    case PeerKind::kPong: {
      auto number = proto::decode_ping(body);
      return number ? on_pong(link, *number) : end(link, number.error().detail, Level::kError);
    }
    case PeerKind::kGossip: {
      auto list = proto::decode_gossip(body);
      return list ? on_gossip(*list) : end(link, list.error().detail, Level::kError);
    }
    case PeerKind::kInfo: {
      auto info = proto::decode_info(body);
      return info ? on_info(link, std::move(*info)) : end(link, info.error().detail, Level::kError);
    }
    case PeerKind::kBye: return end(link, "that node stops");
    case PeerKind::kRefuse: return on_refused(link, frame.payload);
    case PeerKind::kAsk: {
      auto ask = proto::decode_ask(frame.payload);
      if (!ask) return end(link, ask.error().detail, Level::kError);
      auto lane = static_cast<Lane>(std::min<std::size_t>(frame.lane, kLanes - 1));
      return on_ask(link, lane, std::move(*ask));
    }
    case PeerKind::kAnswer: {
      auto answer = proto::decode_answer(frame.payload);
      if (!answer) return end(link, answer.error().detail, Level::kError);
      Result<Bytes> result(std::move(answer->body));
      if (answer->head.error) result = *answer->head.error;
      (void)asks_.answer(answer->head.id, link.rid(), std::move(result));
      return;
    }
    case PeerKind::kHello:
    case PeerKind::kReady: return end(link, "hello or ready on a link that stands", Level::kError);
  }
  // A kind of a later version: skipped.
}

void MeshCore::on_pong(Link& link, std::uint64_t sent_ns) {
  Nanos rtt = env_.clock.now().ns - static_cast<Nanos>(sent_ns);
  if (rtt >= 0 && rtt < kMinute) link.state.rtt = std::max<Nanos>(rtt, 1);
}

void MeshCore::on_gossip(const std::vector<proto::PeerAddress>& addresses) {
  for (const auto& a : addresses) {
    if (a.node != self_.id && a.node.v != 0) dialler_.learn(a.node, a.url);
  }
}

void MeshCore::on_info(Link& link, NodeInfo info) {
  NodeInfo& now = link.state.peer;
  if (info.id != now.id || info.server_id != now.server_id) {
    return end(link, "that node says that it is another one", Level::kError);
  }
  complete_route(info, link.remote());
  now = std::move(info);
  if (auto no = cluster_objection(now)) return turn_away(link, std::move(*no));
  events_.peer_changed(now);
}

void MeshCore::on_ask(Link& link, Lane lane, proto::Ask ask) {
  auto it = handlers_.find(static_cast<Method>(ask.head.method));
  if (it == handlers_.end()) {
    std::string why = "method " + std::to_string(ask.head.method) + " is not known to that node";
    return reply(link.rid(), ask.head.id, lane, Error(Code::kUnsupported, std::move(why)));
  }
  // Kept alive: the handler may be replaced while it runs.
  std::shared_ptr<Handler> handler = it->second;
  (*handler)(link.state.peer.id, ask.body, ReplyOnce(alive_, link.rid(), ask.head.id, lane));
}

void MeshCore::reply(std::uint64_t rid, std::uint64_t id, Lane lane, Result<Bytes> result) {
  auto it = links_.find(rid);
  if (it == links_.end() || !it->second->up()) return;
  auto kind = static_cast<std::uint8_t>(PeerKind::kAnswer);
  proto::AnswerHead head{id, std::nullopt};
  std::vector<Bytes> payload;
  if (result && result->size() > proto::kPeerPayloadMax - 64) {
    result = Error(Code::kLimit, "the answer is too large for a frame");
  }
  if (!result) head.error = result.error();
  payload.push_back(proto::encode_answer_head(head));
  if (result) payload.push_back(std::move(*result));
  if (it->second->send(lane, kind, std::move(payload))) return;
  // Nothing of it can be queued: who asked will see its time-out, as if the answer had been lost.
  env_.log.debug("cluster: answer to " + it->second->describe() + " did not fit its lane");
}

}  // namespace weir::cluster
