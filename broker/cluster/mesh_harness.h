// broker/cluster/mesh_harness.h - several meshes in one seeded world, for tests.
#pragma once

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "broker/cluster/mesh.h"
#include "broker/env/testing/sim_disk.h"
#include "broker/env/testing/sim_loop.h"
#include "broker/env/testing/sim_net.h"

namespace weir::cluster::testing {

inline NodeId node_id(unsigned n) {
  return NodeId(std::uint64_t{n} << kIncarnationBits);
}
inline std::string host_of(unsigned n) {
  return "10.0.0." + std::to_string(n);
}
inline std::string route_to(unsigned n) {
  return "nats-route://" + host_of(n) + ":6222";
}

/// One node: its host and options outlive the lives of its mesh.
class MeshNode final : public MeshEvents {
 public:
  MeshNode(env::testing::SimTime& time, env::testing::SimNet& net, unsigned n)
      : number(n), loop(time), host(net, loop, host_of(n)), random(n * 77), disk(loop, loop, n) {
    options.cluster.present = true;
    options.cluster.name = "c";
    options.cluster.host = "0.0.0.0";
    options.cluster.port = 6222;
    info.id = node_id(n);
    info.name = "n" + std::to_string(n);
    info.version = "0.1";
  }
  ~MeshNode() override { kill(); }

  void routes(std::initializer_list<unsigned> to) {
    options.cluster.routes.clear();
    for (unsigned n : to) options.cluster.routes.emplace_back(route_to(n), config::Position{});
  }
  Status start() {
    ++info.boot;
    info.server_id = "N" + std::to_string(number) + "-" + std::to_string(info.boot);
    env.emplace(env::Env{loop, loop, disk, host, random, process, log});
    mesh = make_mesh(*env, options, info, *this, tuning);
    if (on_start) on_start(*mesh);
    loop.set_end_of_turn([this] {
      if (mesh) mesh->flush();
    });
    return mesh->start();
  }
  /// kill -9: the kernel closes its connections.
  void kill() {
    mesh.reset();
    loop.forget_all();
    up.clear();
    silent.clear();
  }
  bool linked(unsigned n) const { return up.count(n) > 0; }

  void peer_up(const NodeInfo& peer) override {
    enter();
    unsigned n = static_cast<unsigned>(peer.id.v >> kIncarnationBits);
    EXPECT_TRUE(up.insert(n).second) << info.name << ": up twice";
    EXPECT_TRUE(mesh->peer(peer.id) != nullptr);
    ++ups[n];
    if (on_up) on_up(n);
    leave();
  }
  void peer_changed(const NodeInfo& peer) override { changed.push_back(peer); }
  void peer_down(NodeId peer) override {
    enter();
    unsigned n = static_cast<unsigned>(peer.v >> kIncarnationBits);
    EXPECT_EQ(up.erase(n), 1u) << info.name << ": down without up";
    EXPECT_TRUE(mesh->peer(peer) == nullptr);
    silent.erase(n);
    if (on_down) on_down(n);
    leave();
  }
  void peer_alive(NodeId peer, bool alive) override {
    unsigned n = static_cast<unsigned>(peer.v >> kIncarnationBits);
    EXPECT_TRUE(linked(n));
    if (alive)
      EXPECT_EQ(silent.erase(n), 1u);
    else
      EXPECT_TRUE(silent.insert(n).second);
  }
  void frame(NodeId from, FrameKind kind, const Bytes& payload) override {
    enter();
    unsigned n = static_cast<unsigned>(from.v >> kIncarnationBits);
    EXPECT_TRUE(linked(n)) << "a frame without a link";
    if (on_frame)
      on_frame(n, kind, payload);
    else
      frames.push_back(info.name + "<n" + std::to_string(n) + ":" + std::string(payload.text()));
    leave();
  }
  bool send(unsigned to, Lane lane, std::string_view text) {
    ++inside_;
    bool sent = mesh->send(node_id(to), lane, FrameKind::kMessage, Bytes::copy_of(text));
    --inside_;
    return sent;
  }

  const unsigned number;
  env::testing::SimLoop loop;
  env::testing::SimHost host;
  env::testing::SimRandom random;
  env::testing::SimDisk disk;
  env::testing::SimProcess process;
  env::testing::LogSink log;
  config::Options options;
  MeshTuning tuning;
  NodeInfo info;
  std::optional<env::Env> env;
  std::unique_ptr<Mesh> mesh;

  std::set<unsigned> up, silent;
  std::map<unsigned, unsigned> ups;  // how often
  std::vector<NodeInfo> changed;
  std::vector<std::string> frames;
  std::function<void(unsigned, FrameKind, const Bytes&)> on_frame;
  std::function<void(unsigned)> on_up, on_down;
  std::function<void(Mesh&)> on_start;

 private:
  void enter() { EXPECT_EQ(inside_, 0) << "an event inside a call"; }
  void leave() {}
  int inside_ = 0;  // calls of the mesh under way
};

/// Nodes 1..n on hosts 10.0.0.1.. .
struct MeshWorld {
  explicit MeshWorld(unsigned n, std::uint64_t seed = 1, env::testing::NetOptions net_options = {})
      : net(time, seed, net_options) {
    for (unsigned i = 1; i <= n; ++i) nodes.push_back(std::make_unique<MeshNode>(time, net, i));
  }
  MeshNode& operator[](unsigned n) { return *nodes[n - 1]; }
  void start_all() {
    for (auto& n : nodes) ASSERT_TRUE(n->start());
  }
  bool full() const {
    for (auto& a : nodes) {
      if (!a->mesh) continue;
      for (auto& b : nodes) {
        if (a != b && b->mesh && !a->linked(b->number)) return false;
      }
    }
    return true;
  }
  bool wait_full(Nanos limit = 10 * kSecond) {
    return time.run_until([this] { return full(); }, limit);
  }

  env::testing::SimTime time;
  env::testing::SimNet net;
  std::vector<std::unique_ptr<MeshNode>> nodes;
};

/// Two nodes, each with routes to both.
struct MeshPair : MeshWorld {
  explicit MeshPair(std::uint64_t seed = 1, env::testing::NetOptions net_options = {})
      : MeshWorld(2, seed, net_options) {
    for (unsigned n : {1u, 2u}) (*this)[n].routes({1, 2});
  }
  void up() {
    start_all();
    ASSERT_TRUE(wait_full());
    time.run_for(100 * kMillisecond);
  }
};

}  // namespace weir::cluster::testing
