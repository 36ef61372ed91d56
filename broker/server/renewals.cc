#include "broker/server/renewals.h"

#include <algorithm>

#include "broker/base/varint.h"
#include "broker/raft/confchange.h"
#include "broker/server/cluster_side.h"
#include "broker/server/jetstream.h"

namespace weir::server {

using jetstream::MetaStream;

namespace {
constexpr Nanos kAskTimeout = 2 * kSecond;
constexpr Nanos kAskAgain = kSecond;
}  // namespace

Renewals::Renewals(env::Env& env, JetStream& js) : env_(env), js_(js) {
  js_.context().cluster->mesh().handle(
      cluster::Method::kRenew,
      [this, alive = std::weak_ptr<int>(alive_)](NodeId from, const Bytes& body, cluster::Mesh::Reply reply) {
        if (!alive.expired()) on_ask(from, body, std::move(reply));
      });
}

void Renewals::want(GroupId group, NodeId replica) {
  wanted_[group] = {replica, Mono{}};
}

void Renewals::work() {
  ask_for_meta();
  for (auto it = wanted_.begin(); it != wanted_.end();) {
    const MetaStream* s = js_.meta().state().find(it->first);
    if (!s || s->hosted_on(js_.self()) != it->second.replica) {
      it = wanted_.erase(it);
      continue;
    }
    js_.drop_useless(it->first);
    if (env_.clock.now() >= it->second.ask_again) {
      it->second.ask_again = env_.clock.now() + kAskAgain;
      ask(it->first, it->second.replica);
    }
    ++it;
  }
}

void Renewals::ask(GroupId group, NodeId replica) {
  StreamHost* host = js_.find(group);
  if (host && host->group().leading()) return js_.hand_over(host->group());
  if (js_.meta().leading()) return propose(js_.self(), group, replica, [](Result<Bytes>) {});
  NodeId leader = js_.meta_leader();
  if (leader.v == 0 || !js_.context().cluster->connected(leader)) return;
  BytesBuilder q;
  q.append_varint(group.v);
  q.append_u64(replica.v);
  js_.context().cluster->mesh().ask(leader, cluster::Method::kRenew, q.freeze(), kAskTimeout,
                                    [](Result<Bytes>) {});  // the meta state tells
}

void Renewals::on_ask(NodeId from, const Bytes& body, cluster::Mesh::Reply reply) {
  Reader r(body.span());
  GroupId group(static_cast<std::uint32_t>(r.varint()));
  NodeId replica(r.u64());
  if (!r.done()) return reply(Error(Code::kInvalid, "question for a new id: malformed"));
  if (!js_.meta().leading())
    return reply(Error(Code::kUnavailable, "this node does not lead the meta group"));
  if (group == jetstream::kMetaGroup) return on_ask_for_meta(from, replica, std::move(reply));
  propose(from, group, replica, std::move(reply));
}

// Its own meta state stands still: the answer is the new id.
void Renewals::ask_for_meta() {
  if (!js_.meta().group().needs_new_id() || env_.clock.now() < ask_meta_again_) return;
  ask_meta_again_ = env_.clock.now() + kAskAgain;
  NodeId leader = js_.context().cluster->leader_of(jetstream::kMetaGroup);
  if (leader.v == 0 || leader == js_.self()) return;
  BytesBuilder q;
  q.append_varint(jetstream::kMetaGroup.v);
  q.append_u64(js_.meta().self().v);
  js_.context().cluster->mesh().ask(leader, cluster::Method::kRenew, q.freeze(), kAskTimeout,
                                    [this, alive = std::weak_ptr<int>(alive_)](Result<Bytes> answer) {
                                      if (alive.expired() || !answer || !js_.meta().group().needs_new_id())
                                        return;
                                      Reader r(answer->span());
                                      NodeId fresh(r.u64());
                                      if (r.done() && node_of(fresh) == js_.self()) js_.renew_meta(fresh);
                                    });
}

void Renewals::on_ask_for_meta(NodeId from, NodeId replica, cluster::Mesh::Reply reply) {
  const auto& state = js_.meta().state();
  if (node_of(replica) != node_of(from) || !state.find_node(from))
    return reply(Error(Code::kNotFound, "there is no such replica"));
  for (NodeId voter : js_.meta().group().conf().voters) {
    const auto* node = state.find_node(voter);
    bool other = node_of(voter) != node_of(from);
    if (other && (!node || node->meta_replica != voter))
      return reply(Error(Code::kUnavailable, "another replica begins anew"));
  }
  auto answer = [this, from, reply = std::move(reply),
                 alive = std::weak_ptr<int>(alive_)](const jetstream::MetaOutcome& o) mutable {
    if (alive.expired()) return;
    const auto* node = js_.meta().state().find_node(from);
    if (!o.ok() || !node) return reply(Error(Code::kUnavailable, "no new id now"));
    BytesBuilder out;
    out.append_u64(node->meta_replica.v);
    reply(out.freeze());
  };
  jetstream::MetaRenewCommand c;
  c.group = jetstream::kMetaGroup;
  c.replica = replica;
  js_.meta().propose([&](jetstream::EntryBuilder& b) { b.meta_renew_replicas(c); }, std::move(answer));
}

void Renewals::propose(NodeId node, GroupId group, NodeId replica, cluster::Mesh::Reply reply) {
  const MetaStream* s = js_.meta().state().find(group);
  if (!s || s->hosted_on(node) != replica) return reply(Error(Code::kNotFound, "there is no such replica"));
  NodeId leader = js_.context().cluster->leader_of(group);
  if (leader.v == 0 || leader == node_of(node))
    return reply(Error(Code::kUnavailable, "no other replica leads the stream"));
  jetstream::MetaRenewCommand c;
  c.group = group;
  c.replica = replica;
  c.expected = s->peers_revision;
  auto decide = [this, c, reply = std::move(reply),
                 alive = std::weak_ptr<int>(alive_)](Result<Bytes> members) mutable {
    if (alive.expired()) return;
    if (!members) return reply(members.error());
    auto conf = raft::decode_conf(members->span());
    if (!conf) return reply(conf.error());
    renew(c, *conf, std::move(reply));
  };
  StateServer::ask_members(js_, {group, leader}, std::move(decide));
}

// One voter after the other: the next one when the last one's successor votes.
void Renewals::renew(const jetstream::MetaRenewCommand& c, const raft::ConfState& conf,
                     cluster::Mesh::Reply reply) {
  const MetaStream* s = js_.meta().state().find(c.group);
  if (!s || s->peers_revision != c.expected)
    return reply(Error(Code::kUnavailable, "the stream's replicas have changed"));
  std::vector<NodeId> voters = conf.voters, wanted = s->peers;
  std::sort(voters.begin(), voters.end());
  std::sort(wanted.begin(), wanted.end());
  bool settled = voters == wanted && conf.outgoing.empty();
  if (raft::is_voter(conf, c.replica) && !settled)
    return reply(Error(Code::kUnavailable, "a change of members is under way"));
  env_.log.info("stream " + s->account + "/" + s->config.name + ": the replica on " +
                js_.context().cluster->name_of(node_of(c.replica)) + " begins anew, what it had is damaged");
  js_.meta().propose([&](jetstream::EntryBuilder& b) { b.meta_renew_replicas(c); },
                     [reply = std::move(reply)](const jetstream::MetaOutcome&) mutable { reply(Bytes()); });
}

}  // namespace weir::server
