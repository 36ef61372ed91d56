// broker/cluster/mesh_core.h - the implementation of Mesh: all links, and who decides on them.
//
// Room:    shell; see mesh.h for what it promises and docs/formats/peer-link.md "One link" for how two
//          nodes agree on one of several connections: the node with the lower id decides, the other
//          follows its latest decision.
// Calls:   events, handlers and answers run from a connection's data(), a timer or a posted task, never
//          inside send(), ask(), flush(), update_self(), refuse() or stop().
// Dead:    links that ended stay in `dead_` until the next turn: they may be on the call stack.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "broker/base/prng.h"
#include "broker/cluster/asks.h"
#include "broker/cluster/dialler.h"
#include "broker/cluster/link.h"
#include "broker/cluster/mesh.h"

namespace weir::cluster {

/// Puts the host of `remote` before a route url that is only ":port".
void complete_route(NodeInfo& info, const env::Endpoint& remote);

class MeshCore final : public Mesh, public LinkOwner, public Dialler::Owner {
 public:
  MeshCore(env::Env& env, const config::Options& options, NodeInfo self, MeshEvents& events,
           MeshTuning tuning);
  ~MeshCore() override;

  Status start() override;
  void hold() override { held_ = true; }
  void release() override;
  std::optional<env::Endpoint> endpoint() const override;
  void stop() override;
  bool send(NodeId to, Lane lane, FrameKind kind, std::vector<Bytes> payload) override;
  std::size_t lane_bytes(NodeId to, Lane lane) const override;
  void ask(NodeId to, Method method, std::vector<Bytes> body, Nanos timeout, Answer done, Lane lane) override;
  void handle(Method method, Handler handler) override;
  void refuse(NodeId from, std::string why) override;
  void flush() override;
  void update_self(NodeInfo self) override;
  const NodeInfo& self() const override { return self_; }
  const NodeInfo* peer(NodeId id) const override;
  std::vector<NodeInfo> peers() const override;
  bool alive(NodeId id) const override;
  std::optional<Mono> last_heard(NodeId id) const override;
  std::vector<LinkStats> links() const override;
  Seeds seeds() const override { return dialler_.seeds(); }

 private:
  friend class ReplyOnce;
  using Links = std::map<std::uint64_t, std::unique_ptr<Link>>;

  // Connections (mesh.cc).
  Status open_tls();
  env::TlsStart tls_start(std::optional<std::string> dialled_host) const;
  void accepted(std::unique_ptr<env::Connection> connection);
  void make_room();
  Link& new_link(std::unique_ptr<env::Connection> connection);
  void dialled(const std::string& target, std::unique_ptr<env::Connection> connection) override;
  bool has_link(NodeId node) const override { return up_.count(node) > 0; }
  Link* link_to(NodeId to) const;
  void tick();
  void look_after(Link& link, Mono now, bool judge);
  void gossip_to_all();
  /// Ends the connection, and the link if it was that, with a log line. Events run inside.
  void end(Link& link, const std::string& why, Level level = Level::kInfo);
  void bury(std::uint64_t rid);
  void later(void (MeshCore::*f)());
  void end_strangers();

  // What a link says (mesh_frames.cc).
  void link_heard(Link& link) override;
  void link_frame(Link& link, proto::PeerFrame frame) override;
  void link_broken(Link& link, const std::string& why) override;
  void own_frame(Link& link, proto::PeerKind kind, const proto::PeerFrame& frame);
  void on_pong(Link& link, std::uint64_t sent_ns);
  void on_gossip(const std::vector<proto::PeerAddress>& addresses);
  void on_info(Link& link, NodeInfo info);
  void on_ask(Link& link, Lane lane, proto::Ask ask);
  void reply(std::uint64_t rid, std::uint64_t id, Lane lane, Result<Bytes> result);

  // Who may come in and which connection is the link (mesh_hello.cc).
  void send_hello(Link& link, std::optional<std::uint64_t> epoch);
  void hello_frame(Link& link, const proto::PeerFrame& frame);
  void on_hello(Link& link, proto::PeerHello hello);
  void on_ready(Link& link, const Bytes& payload);
  void on_refused(Link& link, const Bytes& payload);
  std::optional<proto::PeerRefuse> objection(const Link& link, const proto::PeerHello& hello) const;
  proto::PeerRefuse duplicate() const;
  proto::PeerRefuse copy_of_store(NodeId id) const;
  bool may_come_in(const Link& link, const proto::PeerHello& hello) const;
  bool password_fits(const proto::PeerHello& hello) const;
  bool leads_to_self(Link& link, const proto::PeerHello& hello);
  void turn_away(Link& link, proto::PeerRefuse refuse);
  std::optional<proto::PeerRefuse> cluster_objection(const NodeInfo& info) const;
  bool decides(const Link& link) const { return self_.id < link.state.peer.id; }
  bool is_better(const Link& link, const proto::PeerHello& hello) const;
  void decide(Link& link, const proto::PeerHello& hello);
  void follow(Link& link, std::uint64_t epoch);
  void go_up(Link& link);
  void log_refusal(Level level, const std::string& key, const std::string& line);

  env::Env& env_;
  const config::Options& options_;
  MeshEvents& events_;
  const MeshTuning tuning_;
  NodeInfo self_;
  bool held_ = false;
  std::uint64_t self_version_ = 0;  // grows with each change of self_
  Prng prng_;
  std::unique_ptr<env::Listener> listener_;
  std::shared_ptr<const env::TlsContext> tls_;  // null = links are plain
  Links links_;                                 // every connection that lives, by rid
  std::map<NodeId, Link*> up_;                  // those that are the link to a node
  std::vector<std::unique_ptr<Link>> dead_;
  Dialler dialler_;
  Asks asks_;
  std::map<Method, std::shared_ptr<Handler>> handlers_;
  std::map<std::string, Mono> refusals_;  // when a reason was logged
  std::uint64_t last_rid_ = 0;
  std::uint64_t last_stamp_ = 0;
  std::uint64_t last_epoch_ = 0;
  env::TimerId ticker_ = 0;
  Mono last_tick_, last_gossip_;
  bool running_ = false;
  std::shared_ptr<MeshCore*> alive_;  // posted tasks and replies hold it weakly
};

}  // namespace weir::cluster
