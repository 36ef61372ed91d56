#include "broker/server/lost_streams.h"

#include <algorithm>

#include "broker/base/varint.h"
#include "broker/server/cluster_side.h"
#include "broker/server/jetstream.h"

namespace weir::server {

using jetstream::MetaStream;

namespace {
constexpr Nanos kLookEvery = kSecond;
constexpr Nanos kPatience = 2 * kSecond;  // without a leader
constexpr Nanos kSaidMax = 5 * kSecond;   // older words do not count
constexpr Nanos kAskTimeout = 2 * kSecond;
// A node that is not reached may be on the other side of a cut, with the messages: it gets this long.
constexpr Nanos kPatienceWithTheSilent = 30 * kSecond;

/// Ids that the meta group gave up never vote again. In a joint configuration both halves have to agree.
bool majority_is_gone(const raft::ConfState& conf, const MetaStream& s) {
  auto gone = [&s](const std::vector<NodeId>& voters) {
    auto n = std::count_if(voters.begin(), voters.end(),
                           [&](NodeId voter) { return s.hosted_on(node_of(voter)) != voter; });
    return !voters.empty() && static_cast<std::size_t>(n) * 2 >= voters.size();
  };
  return conf.voters.empty() || gone(conf.voters) || gone(conf.outgoing);
}
}  // namespace

LostStreams::LostStreams(env::Env& env, JetStream& js) : env_(env), js_(js) {
  js_.context().cluster->mesh().handle(
      cluster::Method::kLost,
      [this, alive = std::weak_ptr<int>(alive_)](NodeId from, const Bytes& body, cluster::Mesh::Reply reply) {
        if (alive.expired()) return;
        on_told(from, body);
        reply(Bytes());
      });
}

void LostStreams::work() {
  Mono now = env_.clock.now();
  if (now < next_look_) return;
  next_look_ = now + kLookEvery;
  std::map<GroupId, Mono> before = std::exchange(leaderless_, {});
  for (const StreamHost* host : js_.all_streams()) {
    const replica::Group& group = host->group();
    if (host->damaged()) js_.replica_damaged(*host);
    if (group.leading() || group.leader().v != 0 || group.why_stopped()) continue;
    auto it = before.find(host->group_id());
    Mono since = it == before.end() ? now : it->second;
    leaderless_[host->group_id()] = since;
    if (now - since >= patience(*host) && nothing_to_give(*host)) tell(host->group_id(), group.self());
  }
  std::erase_if(empty_, [&](const auto& e) { return !js_.meta().state().find(e.first); });
}

// The only replica has nobody to wait for.
Nanos LostStreams::patience(const StreamHost& host) const {
  const MetaStream* s = js_.meta().state().find(host.group_id());
  bool only = s && s->peers.size() == 1 && s->leaving.empty() && s->peers[0] == host.group().self();
  return only && host.group().empty() ? 0 : kPatience;
}

bool LostStreams::nothing_to_give(const StreamHost& host) const {
  if (host.group().empty()) return true;
  const MetaStream* s = js_.meta().state().find(host.group_id());
  bool memory = s && s->config.storage == api::Storage::kMemory;
  return memory && majority_is_gone(host.group().conf(), *s);
}

void LostStreams::tell(GroupId group, NodeId replica) {
  if (js_.meta().leading()) return note(group, replica);
  NodeId leader = js_.meta_leader();
  if (leader.v == 0 || !js_.context().cluster->connected(leader)) return;
  BytesBuilder q;
  q.append_varint(group.v);
  q.append_u64(replica.v);
  Bytes body = q.freeze();
  js_.context().cluster->mesh().ask(leader, cluster::Method::kLost, std::move(body), kAskTimeout,
                                    [](Result<Bytes>) {});  // it is told again
}

void LostStreams::on_told(NodeId from, const Bytes& body) {
  Reader r(body.span());
  GroupId group(static_cast<std::uint32_t>(r.varint()));
  NodeId replica(r.u64());
  if (r.done() && js_.meta().leading() && node_of(replica) == node_of(from)) note(group, replica);
}

void LostStreams::note(GroupId group, NodeId replica) {
  const MetaStream* s = js_.meta().state().find(group);
  if (!s || s->hosted_on(node_of(replica)) != replica) return;
  Mono now = env_.clock.now();
  Words& words = empty_[group];
  std::erase_if(words.heard, [&](const auto& h) { return now - h.second >= kSaidMax; });
  if (words.heard.empty()) words.since = now;
  words.heard[replica] = now;
  if (all_lost(*s)) reset(*s);
}

bool LostStreams::all_lost(const MetaStream& s) const {
  const Words& words = empty_.at(s.group);
  std::size_t silent = 0, all = s.peers.size() + s.leaving.size();
  bool may_be_skipped =
      s.config.storage == api::Storage::kMemory && env_.clock.now() - words.since >= kPatienceWithTheSilent;
  for (const auto* list : {&s.peers, &s.leaving}) {
    for (NodeId peer : *list) {
      if (words.heard.contains(peer)) continue;
      const auto& before = s.origin.nodes;
      bool was_there = std::find(before.begin(), before.end(), node_of(peer)) != before.end();
      if (!may_be_skipped || was_there || js_.context().cluster->connected(node_of(peer))) return false;
      ++silent;
    }
  }
  return silent * 2 < all;
}

void LostStreams::reset(const MetaStream& s) {
  env_.log.error("stream " + s.account + "/" + s.config.name +
                 ": no majority of its replicas has its messages any more; it begins anew, empty");
  jetstream::MetaPeersCommand c;
  c.group = s.group;
  c.expected = s.peers_revision;
  empty_.erase(s.group);
  js_.meta().propose([&](jetstream::EntryBuilder& b) { b.meta_reset_stream(c); },
                     [](const jetstream::MetaOutcome&) {});
}

}  // namespace weir::server
