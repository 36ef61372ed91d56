// broker/server/cluster_rig.h - nodes that consist of accounts, a router and interest, over a FakeNet, with
// clients that are sessions without sockets.
//
// Room:    tests of server/ only. Use: ClusterRig rig(3); RigClient c(rig.node(0), 1); c.send("SUB a 1\r\n");
//          rig.settle(); c.take().
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "broker/base/text.h"
#include "broker/env/testing/sim_loop.h"
#include "broker/server/fake_mesh.h"
#include "broker/server/interest.h"

namespace weir::server::testing {

constexpr const char* kRigAccounts[] = {"$SYS", "A", "B"};

inline NodeId rig_id(std::size_t n) {
  return NodeId((n + 1) << cluster::kIncarnationBits);
}

inline std::string rig_name(std::size_t n) {
  return "n" + std::to_string(n);
}

struct RigNode final : cluster::MeshEvents {
  RigNode(FakeNet& net, std::size_t n, const InterestLimits& limits)
      : router(n + 1), mesh(net, info(n), limits.mesh) {
    for (const char* name : kRigAccounts) {
      Account& a = accounts.emplace_back();
      a.id = AccountId(static_cast<std::uint32_t>(accounts.size() - 1));
      a.name = name;
      a.is_system = accounts.size() == 1;
    }
    mesh.events = this;
    interest = std::make_unique<Interest>(log, router, accounts, mesh, limits);
  }
  static cluster::NodeInfo info(std::size_t n) {
    cluster::NodeInfo i;
    i.id = rig_id(n);
    i.name = rig_name(n);
    i.server_id = "N" + std::to_string(n);
    i.client_urls = {"10.0.0." + std::to_string(n) + ":4222"};
    return i;
  }
  void peer_up(const cluster::NodeInfo& peer) override { interest->peer_up(peer); }
  void peer_changed(const cluster::NodeInfo&) override {}
  void peer_down(NodeId peer) override { interest->peer_down(peer); }
  void peer_alive(NodeId, bool) override {}
  void frame(NodeId from, cluster::FrameKind kind, const Bytes& payload) override {
    interest->frame(from, kind, payload);
  }

  env::testing::LogSink log;
  std::deque<Account> accounts;
  Router router;
  FakeMesh mesh;
  std::unique_ptr<Interest> interest;
};

struct ClusterRig {
  explicit ClusterRig(std::size_t n, bool connected = true, const InterestLimits& limits = {}) {
    for (std::size_t i = 0; i < n; ++i) nodes.push_back(std::make_unique<RigNode>(net, i, limits));
    if (!connected) return;
    for (std::size_t i = 0; i < n; ++i) {
      for (std::size_t j = i + 1; j < n; ++j) connect(i, j);
    }
    settle();
  }
  RigNode& node(std::size_t i) { return *nodes[i]; }
  void connect(std::size_t i, std::size_t j) { net.connect(node(i).mesh, node(j).mesh); }
  void cut(std::size_t i, std::size_t j) { net.cut(node(i).mesh, node(j).mesh); }
  bool linked(std::size_t i, std::size_t j) { return net.linked(rig_id(i), rig_id(j)); }
  void flush() {
    for (auto& n : nodes) n->interest->flush();
  }
  /// Turns until nothing is under way.
  void settle() {
    do flush();
    while (net.deliver_all());
  }

  FakeNet net;
  std::vector<std::unique_ptr<RigNode>> nodes;
};

struct RigMessage {
  std::string subject, sid, reply, headers, body;
  bool operator==(const RigMessage&) const = default;
};

class RigClient final : public session::SessionHost {
 public:
  RigClient(RigNode& node, std::size_t account, const std::string& more = "")
      : RigClient(node.router, node.accounts[account], more) {}
  RigClient(Router& router, Account& account, const std::string& more = "")
      : router_(router), account_(account), session_(ClientId(++made_), {}, *this) {
    send("CONNECT {\"verbose\":false,\"pedantic\":false,\"headers\":true,\"no_responders\":true" +
         (more.empty() ? "" : "," + more) + "}\r\n");
  }
  ~RigClient() override { session_.drop_subscriptions(); }

  void send(const std::string& text) { session_.feed(as_span(text), Mono{1}, Wall{1}); }
  void sub(const std::string& subject, const std::string& sid, const std::string& queue = "") {
    send("SUB " + subject + (queue.empty() ? "" : " " + queue) + " " + sid + "\r\n");
  }
  void unsub(const std::string& sid, std::uint64_t max = 0) {
    send("UNSUB " + sid + (max ? " " + std::to_string(max) : "") + "\r\n");
  }
  void pub(const std::string& subject, const std::string& body, const std::string& reply = "") {
    send("PUB " + subject + (reply.empty() ? "" : " " + reply) + " " + std::to_string(body.size()) + "\r\n" +
         body + "\r\n");
  }
  void hpub(const std::string& subject, const std::string& headers, const std::string& body) {
    send("HPUB " + subject + " " + std::to_string(headers.size()) + " " +
         std::to_string(headers.size() + body.size()) + "\r\n" + headers + body + "\r\n");
  }
  std::vector<RigMessage> take() {
    for (const Bytes& b : session_.outbox().take()) in_ += b.text();
    session_.flushed();
    std::vector<RigMessage> out;
    std::size_t at = 0;
    for (std::size_t end; (end = in_.find("\r\n", at)) != std::string::npos;) {
      std::string line = in_.substr(at, end - at);
      at = end + 2;
      bool h = line.starts_with("HMSG ");
      if (!h && !line.starts_with("MSG ")) continue;
      std::vector<std::string> f;
      for (std::size_t p = 0; p <= line.size();) {
        std::size_t e = std::min(line.find(' ', p), line.size());
        f.push_back(line.substr(p, e - p));
        p = e + 1;
      }
      std::size_t total = parse_u64(f.back()).value_or(0);
      std::size_t head = h ? parse_u64(f[f.size() - 2]).value_or(0) : 0;
      out.push_back({f[1], f[2], f.size() > (h ? 5u : 4u) ? f[3] : "", in_.substr(at, head),
                     in_.substr(at + head, total - head)});
      at += total + 2;
    }
    in_.clear();
    return out;
  }
  session::ClientSession& session() { return session_; }

 private:
  Result<session::Identity> authenticate(session::ClientSession&, const proto::ConnectOptions&) override {
    session::Identity i;
    i.account = account_.id;
    i.account_name = account_.name;
    return i;
  }
  void publish(session::ClientSession&, const session::Inbound& m) override { router_.route(account_, m); }
  void subscribed(session::ClientSession&, session::Subscription& s) override { router_.add(account_, s); }
  void unsubscribing(session::ClientSession&, session::Subscription& s) override {
    router_.remove(account_, s);
  }
  void exhausted(session::ClientSession&, session::Subscription& s) override { router_.note_exhausted(s); }
  void dirty(session::ClientSession&) override {}

  static inline std::uint64_t made_ = 0;
  Router& router_;
  Account& account_;
  session::ClientSession session_;
  std::string in_;
};

}  // namespace weir::server::testing
