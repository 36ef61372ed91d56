#include "broker/server/registrar.h"

#include <algorithm>

#include "broker/cluster/reconcile_group.h"

namespace weir::server {

using jetstream::MetaNode;
using jetstream::MetaOutcome;

namespace {
constexpr Nanos kRivalGrace = 15 * kSecond;  // links end sooner when the other side is silent
constexpr Nanos kLeaderless = 3 * kSecond;   // longer than an election
constexpr Nanos kPeriod = 250 * kMillisecond;
constexpr Nanos kAskTimeout = 2 * kSecond;

Status outcome_status(const MetaOutcome& o) {
  if (o.ok()) return ok();
  return Error(Code::kUnavailable, o.error.description);
}
}  // namespace

Registrar::Registrar(env::Env& env, cluster::Mesh& mesh, cluster::MetaGroup& meta, Registration self,
                     Founders founders)
    : env_(env), mesh_(mesh), meta_(meta), self_(std::move(self)), founders_(std::move(founders)) {
  mesh_.handle(cluster::Method::kJoin, [this, alive = std::weak_ptr<int>(alive_)](
                                           NodeId from, const Bytes& body, cluster::Mesh::Reply reply) {
    if (!alive.expired()) on_join(from, body, std::move(reply));
  });
}

Registrar::~Registrar() {
  env_.loop.cancel(timer_);
}

void Registrar::start() {
  timer_ = env_.loop.at(env_.clock.now() + kPeriod, [this] {
    work();
    start();
  });
}

void Registrar::look() {
  env_.loop.cancel(timer_);
  timer_ = env_.loop.at(env_.clock.now(), [this] {
    work();
    start();
  });
}

bool Registrar::registered() const {
  return shows(self_);
}

bool Registrar::shows(const Registration& r) const {
  const MetaNode* n = meta_.state().find_node(r.id);
  return n != nullptr && !n->removed && n->name == r.name && n->tags == r.tags && n->boot == r.boot;
}

// Who was cut off while it was removed sees itself registered, and only finds that nobody leads it any more.
void Registrar::work() {
  Mono now = env_.clock.now();
  if (meta_.group().leader().v != 0) led_ = now;
  bool led = now - led_ < kLeaderless;
  if (!registered() || !led) {
    ask_to_join();
  } else {
    refusal_.clear();
  }
  if (meta_.leading()) reconcile_meta();
}

void Registrar::ask_to_join() {
  if (asking_) return;
  asking_ = true;
  auto done = [this, alive = std::weak_ptr<int>(alive_)](Status status) {
    if (!alive.expired()) answered(status);
  };
  if (meta_.leading()) return propose(self_, std::move(done));
  // The leader if it is known, else one after the other.
  NodeId to = node_of(meta_.group().leader());
  if (!mesh_.peer(to)) {
    std::vector<cluster::NodeInfo> peers = mesh_.peers();
    std::erase_if(peers, [](const auto& p) { return !p.jetstream || p.cluster_id.empty(); });
    if (peers.empty()) {
      asking_ = false;
      return;
    }
    to = peers[next_peer_++ % peers.size()].id;
  }
  Bytes body = encode_registration(self_);
  mesh_.ask(to, cluster::Method::kJoin, std::move(body), kAskTimeout,
            [done = std::move(done)](Result<Bytes> answer) mutable {
              done(answer ? ok() : Status(answer.error()));
            });
}

// Anything but a refusal is tried again without a word.
void Registrar::answered(const Status& status) {
  asking_ = false;
  bool refused = !status && (status.error().code == Code::kExists || status.error().code == Code::kNotFound);
  if (!refused || refusal_ == status.error().detail) return;
  refusal_ = status.error().detail;
  env_.log.error("cluster: this node takes no part: " + refusal_);
}

void Registrar::on_join(NodeId from, const Bytes& body, cluster::Mesh::Reply reply) {
  auto r = decode_registration(body.span());
  if (!r) return reply(r.error());
  if (r->id != from) return reply(Error(Code::kInvalid, "a node registers itself only"));
  if (!meta_.leading()) return reply(Error(Code::kUnavailable, "this node does not lead the meta group"));
  propose(*r, [reply = std::move(reply)](Status s) mutable {
    if (!s) return reply(s.error());
    reply(Bytes());
  });
}

// The link of a store that is gone may take a while to be noticed: of a machine that lost its power nobody
// hears an end.
bool Registrar::rival_stays(const Registration& r) {
  Mono now = env_.clock.now();
  if (rival_.id != r.id || now - rival_.last > kRivalGrace) rival_ = {r.id, now, now, Mono{}};
  rival_.last = now;
  if (now - rival_.first < kRivalGrace) return false;
  if (rival_.said.ns != 0 && now - rival_.said < kMinute) return true;
  rival_.said = now;
  env_.log.error("node " + r.name + " cannot register: another node of that name is connected");
  return true;
}

void Registrar::propose(const Registration& r, UniqueFunction<void(Status)> done) {
  if (shows(r)) return done(ok());
  const MetaNode* same_name = meta_.state().find_node(r.name);
  NodeId replaces = same_name && same_name->id != r.id ? same_name->id : NodeId();
  if (replaces.v != 0 && (mesh_.peer(replaces) || replaces == self_.id)) {
    Code code = rival_stays(r) ? Code::kExists : Code::kUnavailable;
    return done(Error(code, "another node that is connected has its name, " + r.name));
  }
  // A node that an operator removed stays away until it is started again.
  const MetaNode* known = meta_.state().find_node(r.id);
  bool removed = known && known->removed;
  if (removed && r.boot <= known->boot) {
    return done(
        Error(Code::kNotFound, "it was removed from the cluster; it joins again when it is restarted"));
  }
  // A command that cannot be read again would stop the group on every node.
  if (r.tags.size() > jetstream::kTagsMax) return done(Error(Code::kLimit, "more than 256 server tags"));
  jetstream::MetaNodeCommand c;
  c.id = r.id;
  c.rejoin = removed;
  c.replaces = replaces;
  c.name = r.name;
  c.cluster = r.cluster;
  c.domain = r.domain;
  for (const std::string& t : r.tags) c.tags.push_back(t);
  meta_.propose([&](jetstream::EntryBuilder& b) { b.meta_register_node(c); }, [](const MetaOutcome&) {});
  jetstream::MetaRenewCommand renew;
  renew.replica = r.id;
  renew.boot = r.boot;
  meta_.propose([&](jetstream::EntryBuilder& b) { b.meta_renew_replicas(renew); },
                [done = std::move(done)](const MetaOutcome& o) mutable { done(outcome_status(o)); });
}

// A founder that has not registered yet keeps its vote, unless a new store has come under its name.
bool Registrar::unregistered_founder(NodeId replica) const {
  const cluster::FoundingRecord* record = founders_();
  if (!record || meta_.state().find_node(node_of(replica))) return false;
  for (const auto& founder : record->members) {
    if (founder.id == replica) return meta_.state().find_node(founder.name) == nullptr;
  }
  return false;
}

// A node that was removed and runs has to hear what becomes of the streams that it still leads, or they would
// never leave it.
bool Registrar::holds_streams(NodeId node) const {
  bool holds = false;
  auto here = [node](NodeId replica) { return node_of(replica) == node; };
  meta_.state().for_each([&](const jetstream::MetaStream& s) {
    holds = std::any_of(s.peers.begin(), s.peers.end(), here) ||
            std::any_of(s.leaving.begin(), s.leaving.end(), here);
    return !holds;
  });
  return holds;
}

void Registrar::reconcile_meta() {
  const raft::ConfState& conf = meta_.group().conf();
  auto down = [this](NodeId node) { return node != self_.id && !mesh_.peer(node); };
  std::vector<cluster::MetaCandidate> nodes;
  for (const auto& [id, node] : meta_.state().nodes()) {
    bool wanted = !node.removed || (!down(id) && holds_streams(id));
    if (wanted && node.jetstream) nodes.push_back({node.meta_replica, down(id)});
  }
  for (NodeId voter : conf.voters) {
    if (unregistered_founder(voter)) nodes.push_back({voter, down(node_of(voter))});
  }
  if (!nodes.empty())
    cluster::reconcile_group(meta_.group(), cluster::desired_meta_members(nodes, conf), down);
}

}  // namespace weir::server
