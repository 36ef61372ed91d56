// Who may come in, and which of several connections to a node is the link.
#include <algorithm>

#include "broker/auth/crypto.h"
#include "broker/cluster/mesh_core.h"
#include "broker/cluster/tls_settings.h"

namespace weir::cluster {

using proto::PeerHello;
using proto::PeerKind;
using proto::PeerRefuse;
using proto::Refusal;

namespace {

constexpr Nanos kLogAgainAfter = kMinute;
constexpr std::size_t kReasonsMax = 1'000;
constexpr const char* kUnknownCertificate =
    "the certificate is neither of the user nor of a node in the routes";

}  // namespace

// A host that is not told is the one that we see.
void complete_route(NodeInfo& info, const env::Endpoint& remote) {
  if (info.route_url.empty() || info.route_url.front() != ':') return;
  std::string seen = env::to_string(remote);
  info.route_url = seen.substr(0, seen.rfind(':')) + info.route_url;
}

// ---- saying who we are

void MeshCore::send_hello(Link& link, std::optional<std::uint64_t> epoch) {
  PeerHello h;
  h.info = self_;
  h.cluster_name = options_.cluster.name;
  h.token = link.state.token;
  h.stamp = ++last_stamp_;
  h.epoch = epoch;
  for (auto& [rid, l] : links_) {
    if (l->state.token != 0) h.holds.push_back(l->state.token);
  }
  if (link.state.dialled) {
    RouteUrl url = dialler_.target(link.state.target);
    bool own = url.user.empty() && url.password.empty();
    h.user = own ? options_.cluster.user : url.user;
    h.password = own ? options_.cluster.password : url.password;
  }
  link.state.told = self_version_;
  link.send_own(PeerKind::kHello, proto::encode_hello(h));
}

// ---- hearing who they are

void MeshCore::hello_frame(Link& link, const proto::PeerFrame& frame) {
  auto kind = static_cast<PeerKind>(frame.kind);
  if (kind == PeerKind::kRefuse && (link.state.dialled || link.state.phase == Link::Phase::kDecision)) {
    return on_refused(link, frame.payload);
  }
  if (kind == PeerKind::kReady && link.state.phase == Link::Phase::kDecision) {
    return on_ready(link, frame.payload);
  }
  if (kind != PeerKind::kHello || link.state.phase != Link::Phase::kHello) {
    return end(link, "it does not begin with a hello");
  }
  auto hello = proto::decode_hello(frame.payload.span());
  if (!hello) return end(link, hello.error().detail);
  on_hello(link, std::move(*hello));
}

void MeshCore::on_hello(Link& link, PeerHello hello) {
  if (!link.state.dialled && leads_to_self(link, hello)) return;
  if (auto no = objection(link, hello)) return turn_away(link, std::move(*no));
  Link::State& s = link.state;
  complete_route(hello.info, link.remote());
  s.peer = hello.info;
  s.stamp = hello.stamp;
  s.features = 0;  // this version has none to share
  if (!s.dialled) s.token = hello.token;
  if (s.dialled) dialler_.reached(s.target, s.peer.id);
  if (decides(link)) return decide(link, hello);
  if (s.dialled) {
    // They decided before they answered.
    return hello.epoch ? follow(link, *hello.epoch) : end(link, "hello without a decision");
  }
  s.phase = Link::Phase::kDecision;
  send_hello(link, std::nullopt);
}

void MeshCore::on_ready(Link& link, const Bytes& payload) {
  auto ready = proto::decode_ready(payload.span());
  ready ? follow(link, ready->epoch) : end(link, ready.error().detail);
}

void MeshCore::on_refused(Link& link, const Bytes& payload) {
  auto refuse = proto::decode_refuse(payload.span());
  if (!refuse) return end(link, refuse.error().detail);
  bool dialled = !link.up() && link.state.dialled;
  if (dialled && refuse->why == Refusal::kDuplicate && refuse->node.v != 0 && refuse->node != self_.id) {
    dialler_.reached(link.state.target, refuse->node);
  }
  // A second connection to the same node is no news.
  bool quiet = refuse->why == Refusal::kDuplicate || refuse->why == Refusal::kSelf;
  end(link, quiet ? "" : "refused by the other side: " + refuse->text, Level::kError);
}

// ---- who may come in

bool MeshCore::leads_to_self(Link& link, const PeerHello& hello) {
  if (hello.info.id != self_.id || hello.info.server_id != self_.server_id) return false;
  for (auto& [rid, l] : links_) {
    if (!l->state.dialled || l->state.token != hello.token) continue;
    env_.log.debug("cluster: route " + l->state.target + " leads to this node");
    dialler_.reached(l->state.target, self_.id, true);
    break;
  }
  turn_away(link, {Refusal::kSelf, "this is the same node", self_.id});
  return true;
}

std::optional<PeerRefuse> MeshCore::objection(const Link& link, const PeerHello& hello) const {
  if (!link.state.dialled && !may_come_in(link, hello)) {
    const config::TlsConfig& tls = options_.cluster.tls;
    bool by_certificate = tls.verify_and_map || tls.verify_cert_and_check_known_urls;
    return PeerRefuse{
        Refusal::kAuthorization, by_certificate ? kUnknownCertificate : "wrong user or password", {}};
  }
  if (hello.version_min > proto::kPeerVersionMax || hello.version_max < proto::kPeerVersionMin) {
    return PeerRefuse{Refusal::kVersion,
                      "no common protocol version: " + std::to_string(hello.version_min) + " to " +
                          std::to_string(hello.version_max) + " and " +
                          std::to_string(proto::kPeerVersionMin) + " to " +
                          std::to_string(proto::kPeerVersionMax),
                      self_.id};
  }
  const std::string& name = options_.cluster.name;
  if (!name.empty() && !hello.cluster_name.empty() && name != hello.cluster_name) {
    return PeerRefuse{Refusal::kClusterName,
                      "cluster names differ: \"" + hello.cluster_name + "\" and \"" + name + "\"", self_.id};
  }
  if (hello.info.id == self_.id) {
    return copy_of_store(self_.id);
  }
  return cluster_objection(hello.info);
}

std::optional<PeerRefuse> MeshCore::cluster_objection(const NodeInfo& info) const {
  if (info.cluster_id.empty() || self_.cluster_id.empty() || info.cluster_id == self_.cluster_id) return {};
  return PeerRefuse{Refusal::kClusterId,
                    "clusters founded apart: " + info.cluster_id + " and " + self_.cluster_id +
                        "; one of the stores belongs elsewhere",
                    self_.id};
}

// As with nats-server, a certificate that is looked at stands for user and password.
bool MeshCore::may_come_in(const Link& link, const PeerHello& hello) const {
  const config::TlsConfig& tls = options_.cluster.tls;
  if (!tls.verify_and_map && !tls.verify_cert_and_check_known_urls) return password_fits(hello);
  auto state = link.tls();
  return state && is_known_node(options_.cluster, *state);
}

bool MeshCore::password_fits(const PeerHello& hello) const {
  const auto& cluster = options_.cluster;
  if (cluster.user.empty() && cluster.password.empty()) return true;
  return auth::secrets_equal(cluster.user, hello.user) &&
         auth::password_matches(cluster.password, hello.password);
}

// Says no, says so in the log, closes.
void MeshCore::turn_away(Link& link, PeerRefuse refuse) {
  bool quiet = refuse.why == Refusal::kDuplicate || refuse.why == Refusal::kSelf;
  std::string why = quiet ? "" : "refused: " + refuse.text;
  if (!quiet) {
    Level level =
        refuse.why == Refusal::kSameId || refuse.why == Refusal::kClusterId ? Level::kError : Level::kWarn;
    log_refusal(level, link.remote().host + refuse.text,
                "cluster: refused " + link.describe() + ": " + refuse.text);
  }
  link.send_own(PeerKind::kRefuse, proto::encode_refuse(refuse));
  end(link, link.up() ? why : "", Level::kError);
}

// ---- one link per pair of nodes

PeerRefuse MeshCore::duplicate() const {
  return {Refusal::kDuplicate, "there is a link already", self_.id};
}

PeerRefuse MeshCore::copy_of_store(NodeId id) const {
  std::string text = "two nodes have the id " + id_text(id) + ": one store is a copy of the other";
  return {Refusal::kSameId, std::move(text), self_.id};
}

// On the node that decides: is the new connection the link? An older hello, or one that was written while
// the other node still had our present link, speaks of the past.
bool MeshCore::is_better(const Link& link, const PeerHello& hello) const {
  const Link* now = link_to(link.state.peer.id);
  if (!now) return true;
  if (now->state.peer.server_id != hello.info.server_id) {
    return hello.info.boot > now->state.peer.boot || hello.info.boot == 0;
  }
  if (hello.stamp < now->state.stamp) return false;
  return std::find(hello.holds.begin(), hello.holds.end(), now->state.token) == hello.holds.end();
}

void MeshCore::decide(Link& link, const PeerHello& hello) {
  if (!is_better(link, hello)) {
    const NodeInfo& other = link_to(hello.info.id)->state.peer;
    bool copy = other.server_id != hello.info.server_id && other.boot == hello.info.boot;
    return turn_away(link, copy ? copy_of_store(other.id) : duplicate());
  }
  if (Link* old = link_to(hello.info.id)) end(*old, "the other side has lost it");
  if (link.closed()) return;
  link.state.epoch = ++last_epoch_;
  if (link.state.dialled) {
    link.send_own(PeerKind::kReady, proto::encode_ready({link.state.epoch}));
  } else {
    send_hello(link, link.state.epoch);
  }
  go_up(link);
}

// On the other node: the latest decision counts, in whatever order they arrive.
void MeshCore::follow(Link& link, std::uint64_t epoch) {
  if (Link* old = link_to(link.state.peer.id)) {
    const NodeInfo& before = old->state.peer;
    const NodeInfo& now = link.state.peer;
    if (before.server_id == now.server_id) {
      if (epoch <= old->state.epoch) return end(link, "");
    } else if (now.boot <= before.boot && now.boot != 0) {
      return turn_away(link, now.boot < before.boot ? duplicate() : copy_of_store(before.id));
    }
    end(*old, "another connection replaces it");
  }
  if (link.closed()) return;
  link.state.epoch = epoch;
  go_up(link);
}

void MeshCore::go_up(Link& link) {
  Link::State& s = link.state;
  bool twin = s.peer.name == self_.name;
  for (auto& [node, other] : up_) twin = twin || other->state.peer.name == s.peer.name;
  if (twin && !s.peer.name.empty()) {
    env_.log.warn("cluster: there is another node with the name of " + link.describe());
  }
  s.phase = Link::Phase::kUp;
  s.alive = true;
  up_[s.peer.id] = &link;
  link.trust_peer();
  // It may have changed while the two sides were getting to know each other.
  if (s.told != self_version_) link.send_own(PeerKind::kInfo, proto::encode_info(self_));
  env_.log.info("cluster: link " + std::to_string(link.rid()) + " to " + link.describe() + " is up" +
                (s.dialled ? ", dialled as " + s.target : ""));
  if (s.dialled) dialler_.link_up(s.target);
  if (!s.peer.route_url.empty()) dialler_.learn(s.peer.id, s.peer.route_url);
  gossip_to_all();
  events_.peer_up(s.peer);
}

void MeshCore::log_refusal(Level level, const std::string& key, const std::string& line) {
  Mono now = env_.clock.now();
  if (refusals_.size() >= kReasonsMax) refusals_.clear();
  auto [it, fresh] = refusals_.emplace(key, now);
  if (!fresh && now - it->second < kLogAgainAfter) return;
  it->second = now;
  if (env_.log.enabled(level)) env_.log.write(level, line);
}

}  // namespace weir::cluster
