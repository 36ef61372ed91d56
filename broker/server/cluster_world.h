// broker/server/cluster_world.h - several whole nodes in virtual time, on a seeded network.
//
// Room:    tests of server/ only. Cluster ports are streams of env/testing's SimNet (delays, cuts, resets);
//          clients come in as in test_world.h. Disks outlive their nodes.
// Use:     ClusterWorld w(3); w.start(); ClusterClient c(w, 0); c.login(); c.request("$JS.API.INFO").
//          With a stream of three replicas to begin with: ASSERT_NO_FATAL_FAILURE(w.start_with_stream(c)).
// Users:   account A with JetStream (user "a"), $SYS (user "sys"), password "p". n1, n2, ... in cluster C.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "broker/env/testing/sim_net.h"
#include "broker/server/test_world.h"

namespace weir::server::testing {

constexpr std::uint16_t kClientPort = 4222, kClusterPort = 6222;

/// How long the list at a path is; 0 if there is none.
inline std::size_t size_at(const api::JsonValue& v, std::string_view path) {
  const auto* p = at(v, path);
  return p && p->array() ? p->array()->size() : 0;
}

/// Clients' port: pipes. Everything else: the network.
class SplitTransport final : public env::Transport {
 public:
  SplitTransport(PipeTransport& pipes, env::testing::SimHost& host) : pipes_(pipes), host_(host) {}
  Result<std::unique_ptr<env::Listener>> listen(const env::Endpoint& at, env::Accepted accept) override {
    if (at.port == kClientPort) return pipes_.listen(at, std::move(accept));
    return host_.listen(at, std::move(accept));
  }
  void dial(const env::Endpoint& to, std::int64_t timeout_ns, env::Dialled done) override {
    host_.dial(to, timeout_ns, std::move(done));
  }
  std::vector<std::string> interface_addresses() override { return host_.interface_addresses(); }

 private:
  PipeTransport& pipes_;
  env::testing::SimHost& host_;
};

struct WorldNode {
  WorldNode(env::testing::SimTime& time, env::testing::SimNet& net, std::size_t n, std::uint64_t seed)
      : loop(time),
        pipes(loop),
        host(net, loop, "10.0.0." + std::to_string(n + 1)),
        transport(pipes, host),
        disk(loop, loop, seed + n, {}),
        random(seed * 31 + n),
        prng(seed ^ (n * 77 + 7)) {
    tuning.journal_file_bytes = 1 << 20;
    tuning.journal_files_max = 16;
  }
  ~WorldNode() { kill(); }

  Status start() {
    env_.emplace(env::Env{loop, loop, disk, transport, random, process, log});
    node = std::make_unique<Node>(*env_, options, tuning);
    node->on_fatal([this](const Error& e) { fatal = e.detail; });
    Status s = node->start();
    if (!s) kill();
    return s;
  }
  /// kill -9: the connections end with it, files keep what was written.
  void kill() {
    if (!node) return;
    host.down();
    node.reset();
    loop.forget_all();
    disk.crash(prng, env::testing::Survivors::kAll);
    host.up();
  }
  void stop() {
    bool done = false;
    node->stop([&] { done = true; });
    EXPECT_TRUE(loop.run_until([&] { return done; }, kMinute));
    kill();
  }
  /// A new disk.
  void wipe() { disk.wipe(); }

  env::testing::SimLoop loop;
  PipeTransport pipes;
  env::testing::SimHost host;
  SplitTransport transport;
  SimDisk disk;
  env::testing::SimRandom random;
  env::testing::SimProcess process;
  env::testing::LogSink log;
  Prng prng;
  config::Options options;
  Tuning tuning;
  std::string fatal;
  std::unique_ptr<Node> node;

 private:
  std::optional<env::Env> env_;
};

struct ClusterClient;

struct ClusterWorld {
  explicit ClusterWorld(std::size_t n = 3, std::uint64_t seed = 1) : net(time, seed, {}) {
    for (std::size_t i = 0; i < n; ++i) {
      nodes.push_back(std::make_unique<WorldNode>(time, net, i, seed));
      nodes[i]->options = options_of(i, n);
    }
  }
  static config::Options options_of(std::size_t i, std::size_t n) {
    config::Options o;
    o.server_name = "n" + std::to_string(i + 1);
    o.host = "10.0.0." + std::to_string(i + 1);
    o.port = kClientPort;
    o.server_tags = {"rack:" + std::to_string(i + 1)};
    o.jetstream.enabled = true;
    o.jetstream.max_file_store = 1 << 30;
    o.jetstream.max_memory_store = 1 << 28;
    o.store_dir = "/store";
    config::AccountConfig a, s;
    config::UserConfig u;
    u.password = "p";
    u.name = "a";
    a.name = "A";
    a.users = {u};
    a.jetstream.emplace().enabled = true;
    u.name = "sys";
    s.name = "$SYS";
    s.users = {u};
    o.accounts = {a, s};
    o.system_account = "$SYS";
    o.cluster.present = true;
    o.cluster.name = "C";
    o.cluster.host = o.host;
    o.cluster.port = kClusterPort;
    for (std::size_t k = 0; k < n; ++k) {
      o.cluster.routes.emplace_back(
          "nats://10.0.0." + std::to_string(k + 1) + ":" + std::to_string(kClusterPort), config::Position());
    }
    return o;
  }
  WorldNode& operator[](std::size_t i) { return *nodes[i]; }
  std::size_t size() const { return nodes.size(); }

  void start(std::size_t i) {
    Status s = nodes[i]->start();
    ASSERT_TRUE(s) << s.error().to_string();
  }
  /// All of them; returns when every one knows the leader of the meta group and is registered there.
  void start() {
    for (std::size_t i = 0; i < size(); ++i) start(i);
    ASSERT_TRUE(until([&] { return settled(); })) << "no cluster was formed";
  }
  /// All of them; then `c` logs in, makes stream S with three replicas and publishes `messages` times `body`
  /// to S.a. `more`: further members of the stream's configuration, each with a comma before it.
  void start_with_stream(ClusterClient& c, int messages = 0, const std::string& body = "x",
                         const std::string& more = "");
  void run(Nanos d) { time.run_for(d); }
  bool until(const std::function<bool()>& stop, Nanos limit = 30 * kSecond) {
    return time.run_until(stop, limit);
  }
  /// As until(), but `stop` may run the world itself.
  bool eventually(const std::function<bool()>& stop, Nanos limit = 30 * kSecond) {
    Mono end = time.now() + limit;
    while (time.now() < end) {
      if (stop()) return true;
      run(50 * kMillisecond);
    }
    return false;
  }
  api::JsonValue page(std::size_t i, std::string_view path, std::string_view query = "") {
    MonitorReply r = nodes[i]->node->monitor(path, query);
    auto parsed = api::parse_json(r.body);
    if (auto* v = std::get_if<api::JsonValue>(&parsed)) return std::move(*v);
    ADD_FAILURE() << path << ": " << std::get<api::JsonError>(parsed).text << "\n" << r.body;
    return {};
  }
  int status(std::size_t i, std::string_view path, std::string_view query = "") {
    return nodes[i]->node->monitor(path, query).status;
  }
  /// The node that leads the meta group, as node `i` knows; "" if it does not.
  std::string meta_leader(std::size_t i) { return text_at(page(i, "/jsz"), "meta_cluster.leader"); }
  /// All running nodes agree on one leader, and it sees every running node as current.
  bool settled() {
    std::string leader;
    std::size_t running = 0;
    for (std::size_t i = 0; i < size(); ++i) {
      if (!nodes[i]->node) continue;
      ++running;
      std::string now = meta_leader(i);
      if (now.empty() || (!leader.empty() && now != leader)) return false;
      if (status(i, "/healthz", "js-meta-only=1") != 200) return false;  // among others: not registered
      leader = now;
    }
    auto meta = page(index(leader), "/jsz");
    const auto* replicas = at(meta, "meta_cluster.replicas");
    std::size_t current = 1;
    for (std::size_t k = 0; replicas && k < replicas->array()->size(); ++k)
      current += text_at((*replicas->array())[k], "current") == "true";
    return current == running && text_at(meta, "meta_cluster.pending") == "0";
  }
  std::size_t index(const std::string& name) { return parse_u64(name.substr(1)).value_or(1) - 1; }
  /// The node that leads the stream, as its info says.
  std::size_t leader_of(ClusterClient& c, const std::string& stream);
  /// The leader of the stream sees `count` other replicas: each of them current, voting and without lag.
  bool replicas_current(ClusterClient& c, const std::string& stream, std::size_t count);
  void await_replicas(ClusterClient& c, const std::string& stream, std::size_t count);

  env::testing::SimTime time;
  env::testing::SimNet net;
  std::vector<std::unique_ptr<WorldNode>> nodes;
};

/// A client of one node.
struct ClusterClient : TestClient {
  ClusterClient(ClusterWorld& w, std::size_t node) : TestClient(w[node].pipes, w[node].loop) {}
  bool login(const std::string& user = "a") { return connect("\"user\":\"" + user + "\",\"pass\":\"p\""); }
  std::string create_stream(const std::string& name, int replicas, const std::string& more = "") {
    auto v = request("$JS.API.STREAM.CREATE." + name,
                     "{\"name\":\"" + name + "\",\"subjects\":[\"" + name +
                         ".>\"],\"num_replicas\":" + std::to_string(replicas) + more + "}");
    return error_of(v);
  }
  /// `more`: further members of the configuration, each with a comma before it.
  std::string create_consumer(const std::string& stream, const std::string& name,
                              const std::string& more = "") {
    auto v = request("$JS.API.CONSUMER.CREATE." + stream + "." + name,
                     "{\"stream_name\":\"" + stream + "\",\"config\":{\"name\":\"" + name +
                         "\",\"durable_name\":\"" + name + "\",\"ack_policy\":\"explicit\"" + more + "}}");
    return error_of(v);
  }
};

inline void ClusterWorld::start_with_stream(ClusterClient& c, int messages, const std::string& body,
                                            const std::string& more) {
  ASSERT_NO_FATAL_FAILURE(start());
  ASSERT_TRUE(c.login());
  EXPECT_EQ(c.create_stream("S", 3, more), "");
  for (int i = 1; i <= messages; ++i) ASSERT_EQ(c.publish("S.a", body), i);
}

inline std::size_t ClusterWorld::leader_of(ClusterClient& c, const std::string& stream) {
  return index(text_at(c.request("$JS.API.STREAM.INFO." + stream), "cluster.leader"));
}

inline bool ClusterWorld::replicas_current(ClusterClient& c, const std::string& stream, std::size_t count) {
  auto info = c.request("$JS.API.STREAM.INFO." + stream);
  for (std::size_t i = 0; i < count; ++i) {
    std::string p = "cluster.replicas." + std::to_string(i);
    if (text_at(info, p + ".current") != "true" || text_at(info, p + ".pending") == "true") return false;
    if (!text_at(info, p + ".lag").empty()) return false;  // current allows a little
  }
  return size_at(info, "cluster.replicas") == count;
}

inline void ClusterWorld::await_replicas(ClusterClient& c, const std::string& stream, std::size_t count) {
  EXPECT_TRUE(eventually([&] { return replicas_current(c, stream, count); }))
      << c.ask("$JS.API.STREAM.INFO." + stream)->body;
}

}  // namespace weir::server::testing
