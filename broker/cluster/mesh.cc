#include "broker/cluster/mesh.h"

#include <algorithm>

#include "broker/base/text.h"
#include "broker/cluster/mesh_core.h"
#include "broker/cluster/tls_settings.h"

namespace weir::cluster {
namespace {

constexpr std::size_t kStrangersMax = 256;  // accepted connections that have not said who they are
constexpr Nanos kGossipEvery = 30 * kSecond;
constexpr Nanos kRttEvery = kSecond;
constexpr Nanos kHelloTimeout = 2 * kSecond;  // unless cluster.authorization.timeout says otherwise
constexpr Nanos kExpiryWarning = 7 * 24 * kHour;

}  // namespace

std::unique_ptr<Mesh> make_mesh(env::Env& env, const config::Options& options, NodeInfo self,
                                MeshEvents& events, MeshTuning tuning) {
  return std::make_unique<MeshCore>(env, options, std::move(self), events, tuning);
}

MeshCore::MeshCore(env::Env& env, const config::Options& options, NodeInfo self, MeshEvents& events,
                   MeshTuning tuning)
    : env_(env),
      options_(options),
      events_(events),
      tuning_(tuning),
      self_(std::move(self)),
      prng_(env.random.next()),
      dialler_(env_, tuning_, *this),
      asks_(env_),
      alive_(std::make_shared<MeshCore*>(this)) {}

MeshCore::~MeshCore() {
  alive_.reset();
  env_.loop.cancel(ticker_);
}

Status MeshCore::start() {
  const auto& cluster = options_.cluster;
  for (auto& [url, at] : cluster.routes) RETURN_IF_ERROR(dialler_.add_route(url));
  RETURN_IF_ERROR(open_tls());
  if (cluster.port != 0) {
    env::Endpoint at{cluster.host, static_cast<std::uint16_t>(std::max(cluster.port, 0))};
    auto listener = env_.transport.listen(at, [this](auto connection) { accepted(std::move(connection)); });
    if (!listener) return listener.error().within("cluster listener on " + env::to_string(at));
    listener_ = std::move(listener).value();
    if (self_.route_url.empty() && !cluster.no_advertise) {
      bool any = cluster.host.empty() || cluster.host == "0.0.0.0" || cluster.host == "::";
      // ":port": the peers see our address better than we do.
      env::Endpoint told{any ? "" : cluster.host, listener_->local().port};
      self_.route_url = !cluster.advertise.empty() ? cluster.advertise : env::to_string(told);
    }
  }
  running_ = true;
  last_tick_ = last_gossip_ = env_.clock.now();
  if (!held_) dialler_.start();
  tick();
  return ok();
}

Status MeshCore::open_tls() {
  const config::TlsConfig& tls = options_.cluster.tls;
  if (!tls.present) return ok();
  ASSIGN_OR_RETURN(tls_, env_.transport.tls(tls_settings(tls)));
  Nanos left = tls_->not_after() ? *tls_->not_after() - env_.clock.wall() : kExpiryWarning;
  if (left < kExpiryWarning) {
    std::string when = (left <= 0 ? "expired at " : "expires at ") + format_time(*tls_->not_after());
    env_.log.warn("cluster: the certificate of this node " + when + "; expired ones are refused");
  }
  return ok();
}

env::TlsStart MeshCore::tls_start(std::optional<std::string> dialled_host) const {
  env::TlsStart how;
  how.context = tls_;
  how.timeout = options_.cluster.tls.timeout;
  how.dialled = dialled_host.has_value();
  if (dialled_host) how.hosts = tls_hosts(options_.cluster, *dialled_host);
  return how;
}

void MeshCore::release() {
  if (!std::exchange(held_, false) || !running_) return;
  dialler_.start();
}

std::optional<env::Endpoint> MeshCore::endpoint() const {
  if (!listener_) return std::nullopt;
  return listener_->local();
}

void MeshCore::stop() {
  if (!running_) return;
  running_ = false;
  listener_.reset();
  dialler_.stop();
  env_.loop.cancel(std::exchange(ticker_, 0));
  for (auto& [rid, link] : links_) {
    link->up() ? link->finish(proto::PeerKind::kBye, {}) : link->close();
    dead_.push_back(std::move(link));
  }
  links_.clear();
  up_.clear();
  asks_.fail_all_later("this node stops");
  later(nullptr);
}

// ---- sending

Link* MeshCore::link_to(NodeId to) const {
  auto it = up_.find(node_of(to));
  return it == up_.end() ? nullptr : it->second;
}

bool MeshCore::send(NodeId to, Lane lane, FrameKind kind, std::vector<Bytes> payload) {
  Link* link = link_to(to);
  return link && link->send(lane, static_cast<std::uint8_t>(kind), std::move(payload));
}

std::size_t MeshCore::lane_bytes(NodeId to, Lane lane) const {
  Link* link = link_to(to);
  return link ? link->lane_bytes(lane) : 0;
}

void MeshCore::ask(NodeId to, Method method, std::vector<Bytes> body, Nanos timeout, Answer done, Lane lane) {
  Link* link = link_to(to);
  std::uint64_t id = asks_.next_id();
  body.insert(body.begin(), proto::encode_ask_head({id, static_cast<std::uint16_t>(method)}));
  if (link && link->send(lane, static_cast<std::uint8_t>(proto::PeerKind::kAsk), std::move(body))) {
    return asks_.add(id, link->rid(), timeout, std::move(done));
  }
  const char* why = link ? "the lane to that node is full" : "no link to that node";
  env_.loop.post([done = std::move(done), why]() mutable { done(Error(Code::kUnavailable, why)); });
}

void MeshCore::handle(Method method, Handler handler) {
  handlers_[method] = std::make_shared<Handler>(std::move(handler));
}

void MeshCore::flush() {
  for (auto& [node, link] : up_) link->pump();
}

void MeshCore::refuse(NodeId from, std::string why) {
  Link* link = link_to(from);
  if (!link) return;
  std::weak_ptr<MeshCore*> weak = alive_;
  env_.loop.post([weak, rid = link->rid(), why = std::move(why)] {
    auto mesh = weak.lock();
    if (!mesh) return;
    auto it = (*mesh)->links_.find(rid);
    if (it != (*mesh)->links_.end()) (*mesh)->end(*it->second, why, Level::kError);
  });
}

// ---- who is there

void MeshCore::update_self(NodeInfo self) {
  if (self.route_url.empty()) self.route_url = self_.route_url;
  if (self == self_) return;
  self_ = std::move(self);
  ++self_version_;
  Bytes body = proto::encode_info(self_);
  for (auto& [node, link] : up_) link->send_own(proto::PeerKind::kInfo, body);
  later(&MeshCore::end_strangers);
}

// Born into a cluster: links to nodes of another one end.
void MeshCore::end_strangers() {
  std::vector<std::uint64_t> rids;
  for (auto& [node, link] : up_) {
    if (cluster_objection(link->state.peer)) rids.push_back(link->rid());
  }
  for (std::uint64_t rid : rids) {
    auto it = links_.find(rid);
    if (it != links_.end()) turn_away(*it->second, *cluster_objection(it->second->state.peer));
  }
}

const NodeInfo* MeshCore::peer(NodeId id) const {
  Link* link = link_to(id);
  return link ? &link->state.peer : nullptr;
}

std::vector<NodeInfo> MeshCore::peers() const {
  std::vector<NodeInfo> all;
  for (auto& [node, link] : up_) all.push_back(link->state.peer);
  return all;
}

bool MeshCore::alive(NodeId id) const {
  Link* link = link_to(id);
  return link && link->state.alive;
}

std::optional<Mono> MeshCore::last_heard(NodeId id) const {
  Link* link = link_to(id);
  return link ? std::optional(link->last_heard()) : std::nullopt;
}

std::vector<LinkStats> MeshCore::links() const {
  std::vector<LinkStats> all;
  for (auto& [node, link] : up_) {
    all.push_back(link->stats());
    all.back().configured = dialler_.is_route(node);
  }
  return all;
}

// ---- connections

Link& MeshCore::new_link(std::unique_ptr<env::Connection> connection) {
  std::uint64_t rid = ++last_rid_;
  auto link = std::make_unique<Link>(*this, env_.clock, tuning_, rid, std::move(connection));
  return *(links_[rid] = std::move(link));
}

void MeshCore::accepted(std::unique_ptr<env::Connection> connection) {
  if (held_) return;  // they try again
  make_room();
  if (tls_) connection->start_tls(tls_start(std::nullopt));
  new_link(std::move(connection)).start();
}

// The oldest one of the address that has most of them goes: nodes say who they are at once, and a flood from
// one place keeps nobody else out.
void MeshCore::make_room() {
  std::map<std::string, std::vector<Link*>> by_host;
  std::size_t strangers = 0;
  for (auto& [rid, link] : links_) {
    if (link->state.dialled || link->state.phase != Link::Phase::kHello) continue;
    by_host[link->remote().host].push_back(link.get());
    ++strangers;
  }
  if (strangers < kStrangersMax) return;
  auto most = std::max_element(by_host.begin(), by_host.end(), [](const auto& a, const auto& b) {
    return a.second.size() < b.second.size();
  });
  end(*most->second.front(), "too many new connections", Level::kWarn);
}

void MeshCore::dialled(const std::string& target, std::unique_ptr<env::Connection> connection) {
  if (tls_) connection->start_tls(tls_start(dialler_.target(target).at.host));
  Link& link = new_link(std::move(connection));
  link.state.dialled = true;
  link.state.target = target;
  link.state.token = prng_.next() | 1;
  link.start();
  send_hello(link, std::nullopt);
}

void MeshCore::tick() {
  Mono now = env_.clock.now();
  Nanos every = tuning_.keepalive / 2;
  // A process that stood still must not blame the others for its own silence.
  bool judge = now - last_tick_ < tuning_.support / 2;
  last_tick_ = now;
  ticker_ = env_.loop.at(now + every, [this] { tick(); });
  std::vector<std::uint64_t> rids;
  for (auto& [rid, link] : links_) rids.push_back(rid);
  for (std::uint64_t rid : rids) {
    auto it = links_.find(rid);
    if (it != links_.end()) look_after(*it->second, now, judge);
  }
  if (now - last_gossip_ >= kGossipEvery) gossip_to_all();
}

void MeshCore::look_after(Link& link, Mono now, bool judge) {
  if (!link.up()) {
    Nanos timeout = options_.cluster.auth_timeout > 0 ? options_.cluster.auth_timeout : kHelloTimeout;
    if (tls_) timeout += options_.cluster.tls.timeout;
    if (judge && now - link.started() > timeout) end(link, "no hello in time");
    return;
  }
  Nanos silent = now - link.last_heard();
  if (judge && silent > tuning_.dead) {
    return end(link, "silent for " + std::to_string(silent / kMillisecond) + " ms", Level::kWarn);
  }
  bool rtt_due = now - link.state.last_rtt_ping >= kRttEvery;
  if (rtt_due || now - link.last_sent() >= tuning_.keepalive / 2) {
    link.state.last_rtt_ping = now;
    link.send_own(proto::PeerKind::kPing, proto::encode_ping(static_cast<std::uint64_t>(now.ns)));
  }
  if (judge && link.state.alive && silent > tuning_.support) {
    link.state.alive = false;
    events_.peer_alive(link.state.peer.id, false);
  }
}

void MeshCore::gossip_to_all() {
  last_gossip_ = env_.clock.now();
  std::vector<proto::PeerAddress> all;
  for (auto& [node, link] : up_) {
    if (!link->state.peer.route_url.empty()) all.push_back({node, link->state.peer.route_url});
  }
  if (all.size() < 2) return;
  Bytes body = proto::encode_gossip(all);
  for (auto& [node, link] : up_) link->send_own(proto::PeerKind::kGossip, body);
}

void MeshCore::end(Link& link, const std::string& why, Level level) {
  if (links_.count(link.rid()) == 0) return;
  NodeId node = link.state.peer.id;
  auto it = up_.find(node);
  bool was_up = it != up_.end() && it->second == &link;
  link.close();
  if (was_up) {
    up_.erase(it);
    std::string line =
        "cluster: link " + std::to_string(link.rid()) + " to " + link.describe() + " is down: " + why;
    if (env_.log.enabled(level)) env_.log.write(level, line);
  } else if (!link.state.dialled && !why.empty()) {
    log_refusal(level, link.remote().host + why,
                "cluster: connection from " + link.describe() + " ended: " + why);
  }
  std::uint64_t rid = link.rid();
  std::string target = link.state.target;
  bury(rid);
  if (!target.empty()) dialler_.ended(target, was_up ? "" : why);
  if (!was_up) return;
  dialler_.link_lost(node);
  events_.peer_down(node);
  asks_.link_ended(rid);
}

void MeshCore::bury(std::uint64_t rid) {
  auto it = links_.find(rid);
  if (dead_.empty()) later(nullptr);
  dead_.push_back(std::move(it->second));
  links_.erase(it);
}

// In a later turn: forgets the dead, then runs `f`.
void MeshCore::later(void (MeshCore::*f)()) {
  std::weak_ptr<MeshCore*> weak = alive_;
  env_.loop.post([weak, f] {
    auto mesh = weak.lock();
    if (!mesh) return;
    (*mesh)->dead_.clear();
    if (f) ((*mesh)->*f)();
  });
}

}  // namespace weir::cluster
