// broker/server/fake_mesh.h - several nodes' meshes in one process; frames go when the test says so.
//
// Room:    tests of server/ only. Order: as the real one: within a lane in order, earlier lanes first.
// Use:     FakeNet net; FakeMesh a(net, info), b(net, info); a.events = ...; net.connect(a, b); net.pump();
#pragma once

#include <algorithm>
#include <array>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "broker/cluster/mesh.h"

namespace weir::server::testing {

class FakeMesh;

class FakeNet {
 public:
  void connect(FakeMesh& a, FakeMesh& b);
  /// What was under way is lost.
  void cut(FakeMesh& a, FakeMesh& b);
  bool linked(NodeId a, NodeId b) const { return links_.contains({std::min(a, b), std::max(a, b)}); }
  /// Delivers one frame of a link that has some, `pick` of them; false if nothing is under way.
  bool deliver_one(std::size_t pick = 0);
  /// Delivers what is under way now, not what that brings about. True if there was something.
  bool deliver_all();

 private:
  friend class FakeMesh;
  struct Frame {
    cluster::FrameKind kind{};
    Bytes payload;
    UniqueFunction<void()> call;  // a question or an answer instead
  };
  struct Way {
    std::array<std::deque<Frame>, cluster::kLanes> lanes;
    std::array<std::size_t, cluster::kLanes> bytes{};
  };
  bool deliver(NodeId from, NodeId to, Way& way);

  std::map<NodeId, FakeMesh*> nodes_;
  std::set<std::pair<NodeId, NodeId>> links_;
  std::map<std::pair<NodeId, NodeId>, Way> ways_;
};

class FakeMesh final : public cluster::Mesh {
 public:
  FakeMesh(FakeNet& net, cluster::NodeInfo self, cluster::MeshTuning t = {})
      : tuning(t), net_(net), self_(std::move(self)) {
    net_.nodes_[self_.id] = this;
  }
  ~FakeMesh() override { net_.nodes_.erase(self_.id); }

  Status start() override { return ok(); }
  void hold() override {}
  void release() override {}
  std::optional<env::Endpoint> endpoint() const override { return env::Endpoint{"127.0.0.1", 6222}; }
  void stop() override {}
  bool send(NodeId to, cluster::Lane lane, cluster::FrameKind kind, std::vector<Bytes> payload) override {
    to = cluster::node_of(to);
    if (!net_.linked(self_.id, to)) return false;
    BytesBuilder all;
    for (const Bytes& b : payload) all.append(b.span());
    auto l = static_cast<std::size_t>(lane);
    FakeNet::Way& way = net_.ways_[{self_.id, to}];
    if (way.bytes[l] + all.size() > tuning.lane_bytes_max[l]) {
      ++refused;
      return false;
    }
    ++sent[l];
    last = std::move(payload);
    way.bytes[l] += all.size();
    way.lanes[l].push_back({kind, all.freeze(), {}});
    return true;
  }
  std::size_t lane_bytes(NodeId to, cluster::Lane lane) const override {
    auto it = net_.ways_.find({self_.id, cluster::node_of(to)});
    return it == net_.ways_.end() ? 0 : it->second.bytes[static_cast<std::size_t>(lane)];
  }
  void ask(NodeId to, cluster::Method method, std::vector<Bytes> body, Nanos, Answer done,
           cluster::Lane lane) override {
    BytesBuilder all;
    for (const Bytes& b : body) all.append(b.span());
    auto peer = net_.nodes_.find(cluster::node_of(to));
    if (!net_.linked(self_.id, cluster::node_of(to)) || peer == net_.nodes_.end()) {
      return done(Error(Code::kUnavailable, "no link"));
    }
    auto l = static_cast<std::size_t>(lane);
    auto question = [this, to = peer->second, method, body = all.freeze(), done = std::move(done)]() mutable {
      auto handler = to->handlers_.find(method);
      if (handler == to->handlers_.end()) return done(Error(Code::kUnsupported, "nobody answers that"));
      handler->second(self_.id, body, std::move(done));
    };
    net_.ways_[{self_.id, peer->first}].lanes[l].push_back({{}, {}, std::move(question)});
  }
  void handle(cluster::Method method, Handler handler) override { handlers_[method] = std::move(handler); }
  void refuse(NodeId from, std::string why) { refusals.emplace_back(from, std::move(why)); }
  void flush() override {}
  void update_self(cluster::NodeInfo self) override {
    self_ = std::move(self);
    for (auto& [id, node] : net_.nodes_) {
      if (net_.linked(self_.id, id)) node->events->peer_changed(self_);
    }
  }
  const cluster::NodeInfo& self() const override { return self_; }
  const cluster::NodeInfo* peer(NodeId id) const override {
    auto it = net_.nodes_.find(cluster::node_of(id));
    return it != net_.nodes_.end() && net_.linked(self_.id, it->first) ? &it->second->self_ : nullptr;
  }
  std::vector<cluster::NodeInfo> peers() const override {
    std::vector<cluster::NodeInfo> out;
    for (auto& [id, node] : net_.nodes_) {
      if (peer(id)) out.push_back(node->self_);
    }
    return out;
  }
  bool alive(NodeId id) const override { return peer(id) != nullptr; }
  std::optional<Mono> last_heard(NodeId) const override { return std::nullopt; }
  std::vector<cluster::LinkStats> links() const override { return links_shown; }
  Seeds seeds() const override { return {}; }

  cluster::MeshTuning tuning;
  cluster::MeshEvents* events = nullptr;
  std::array<std::size_t, cluster::kLanes> sent{};  // frames
  std::size_t refused = 0;
  std::vector<std::pair<NodeId, std::string>> refusals;
  std::vector<Bytes> last;  // slices of the frame sent last
  std::vector<cluster::LinkStats> links_shown;

 private:
  friend class FakeNet;
  FakeNet& net_;
  cluster::NodeInfo self_;
  std::map<cluster::Method, Handler> handlers_;
};

inline void FakeNet::connect(FakeMesh& a, FakeMesh& b) {
  if (!links_.insert({std::min(a.self_.id, b.self_.id), std::max(a.self_.id, b.self_.id)}).second) return;
  a.events->peer_up(b.self_);
  b.events->peer_up(a.self_);
}

inline void FakeNet::cut(FakeMesh& a, FakeMesh& b) {
  if (links_.erase({std::min(a.self_.id, b.self_.id), std::max(a.self_.id, b.self_.id)}) == 0) return;
  ways_.erase({a.self_.id, b.self_.id});
  ways_.erase({b.self_.id, a.self_.id});
  a.events->peer_down(b.self_.id);
  b.events->peer_down(a.self_.id);
}

inline bool FakeNet::deliver(NodeId from, NodeId to, Way& way) {
  for (std::size_t l = 0; l < cluster::kLanes; ++l) {
    if (way.lanes[l].empty()) continue;
    Frame f = std::move(way.lanes[l].front());
    way.lanes[l].pop_front();
    way.bytes[l] -= f.payload.size();
    if (f.call) {
      f.call();
    } else {
      nodes_[to]->events->frame(from, f.kind, f.payload);
    }
    return true;
  }
  return false;
}

inline bool FakeNet::deliver_one(std::size_t pick) {
  std::vector<std::pair<NodeId, NodeId>> busy;
  for (auto& [ends, way] : ways_) {
    if (std::any_of(way.lanes.begin(), way.lanes.end(), [](auto& l) { return !l.empty(); })) {
      busy.push_back(ends);
    }
  }
  if (busy.empty()) return false;
  auto ends = busy[pick % busy.size()];
  return deliver(ends.first, ends.second, ways_[ends]);
}

inline bool FakeNet::deliver_all() {
  std::vector<std::pair<std::pair<NodeId, NodeId>, std::size_t>> due;
  for (auto& [ends, way] : ways_) {
    std::size_t n = 0;
    for (auto& lane : way.lanes) n += lane.size();
    if (n) due.emplace_back(ends, n);
  }
  for (auto& [ends, n] : due) {
    for (std::size_t i = 0; i < n; ++i) deliver(ends.first, ends.second, ways_[ends]);
  }
  return !due.empty();
}

}  // namespace weir::server::testing
