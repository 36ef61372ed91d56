// broker/server/jetstream_cluster.cc - JetStream as one node of a cluster: founding, members, placement.
#include <algorithm>

#include "broker/base/varint.h"
#include "broker/cluster/reconcile_group.h"
#include "broker/proto/headers.h"
#include "broker/raft/confchange.h"
#include "broker/raft/progress.h"
#include "broker/server/cluster_side.h"
#include "broker/server/consumer_host.h"
#include "broker/server/jetstream.h"
#include "broker/server/leader_balance.h"
#include "broker/server/leader_watch.h"
#include "broker/server/replica_lives.h"
#include "broker/server/rooms.h"

namespace weir::server {

using jetstream::MetaOutcome;
using jetstream::MetaStream;

namespace {
constexpr Nanos kReconcilePeriod = 200 * kMillisecond;
constexpr std::uint64_t kNoteAgain = 10;  // of those periods
constexpr Nanos kMetaStateTimeout = 10 * kSecond;
}  // namespace

// ---- into the cluster --------------------------------------------------------------------------

void JetStream::start_cluster() {
  cluster::Mesh& mesh = js_.cluster->mesh();
  state_server_ = std::make_unique<StateServer>(mesh, *this);
  Registration r{js_.self, js_.server_name, js_.cluster_name, options_.jetstream.domain, options_.server_tags,
                 boot_};
  registrar_ = std::make_unique<Registrar>(env_, mesh, *meta_, std::move(r),
                                           [this] { return founding_.born ? &*founding_.born : nullptr; });
  membership_ = std::make_unique<cluster::Membership>(
      env_, mesh, *catalog_, cluster::Founder{js_.self, js_.server_name}, founding_,
      [this](const cluster::FoundingRecord& record) { born(record); });
  quorum_watch_ = std::make_unique<QuorumWatch>(env_, *this);
  rehomer_ = std::make_unique<Rehomer>(env_, *this);
  asks_ = std::make_unique<ClusterAsks>(env_, *this);
  balance_ = std::make_unique<LeaderBalance>(env_, *this);
  leader_watch_ = std::make_unique<LeaderWatch>(env_, *this);
  rooms_ = std::make_unique<Rooms>(env_, *this);
  membership_->start();
  if (founding_.born) registrar_->start();
  reconcile();
}

void JetStream::start_meta() {
  const cluster::FoundingRecord& record = *founding_.born;
  if (!record.has(js_.self) || meta_->self() != js_.self) return meta_->join();
  std::vector<NodeId> members;
  for (const auto& founder : record.members) members.push_back(founder.id);
  meta_->found(members);
}

void JetStream::born(const cluster::FoundingRecord& record) {
  founding_.born = record;
  start_meta();
  meta_->start(journal_.get());
  registrar_->start();
  if (on_born) on_born(record.cluster_id);
}

void JetStream::peer_up(const cluster::NodeInfo& peer) {
  if (membership_) membership_->peer_up(peer);
  host_->peer_alive(peer.id, true);
  if (quorum_watch_) quorum_watch_->peer_up();
  if (rehomer_) rehomer_->look();
  if (state_check_) state_check_->peer_up(peer.id);
  if (balance_) balance_->peer_up(peer.id);
  if (rooms_) rooms_->peer_up(peer.id);
}

void JetStream::peer_down(NodeId peer) {
  if (membership_) membership_->peer_down(peer);
  host_->peer_alive(peer, false);
  if (quorum_watch_) quorum_watch_->peer_down();
  if (balance_) balance_->peer_down(peer);
  if (rooms_) rooms_->peer_down(peer);
}

void JetStream::fetch_meta(NodeId from, const raft::SnapshotMeta&) {
  js_.cluster->mesh().ask(
      node_of(from), cluster::Method::kMetaState, Bytes(), kMetaStateTimeout,
      [this, alive = std::weak_ptr<int>(alive_)](Result<Bytes> answer) {
        if (alive.expired()) return;
        if (!answer) return meta_->install_failed();
        meta_->install(answer->text());
      },
      cluster::Lane::kBulk);
}

// ---- streams come and go -------------------------------------------------------------------------

// A memory stream's replica forgot what it promised: it is of use again once the meta group has given it a
// new id for this start (ADR 4).
bool JetStream::may_host(const MetaStream& s) const {
  // What was committed last may not be known yet after a start; what was given up then is gone for good.
  NodeId replica = s.hosted_on(js_.self);
  if (StreamHost::replica_ended(*catalog_, s.group, replica)) return false;
  if (!life_may_go_on(*catalog_, s.group, replica)) return false;
  if (!js_.cluster || s.config.storage == api::Storage::kFile ||
      s.founders.size() + s.peers.size() + s.leaving.size() == 2) {
    return true;
  }
  const auto* node = meta_->state().find_node(js_.self);
  return node != nullptr && node->boot == boot_;
}

void JetStream::place(const MetaStream& s) {
  NodeId replica = s.hosted_on(js_.self);
  StreamHost* host = find(s.group);
  if (host && host->group().self() != replica) {
    drop_host(s.group, replica.v == 0);  // left, or the same place and another life
    host = nullptr;
  }
  if (host) {
    if (!host->group().leading()) return;
    unsettled_.insert(s.group);
    propose_config(*host, s);
    return;
  }
  if (renewals_ && renewals_->wants(s.group, replica)) return;  // it could not be opened
  if (replica.v == 0 || !may_host(s)) return make_remote(s);
  bool file = s.config.storage == api::Storage::kFile;
  if (!file || !life_is_new(*catalog_, s.group, replica)) return open_stream(s);
  make_remote(s);
  begin_life(*catalog_, s.group, replica,
             [this, group = s.group, alive = std::weak_ptr<int>(alive_)](Status status) {
               const MetaStream* now = alive.expired() || !status ? nullptr : meta_->state().find(group);
               if (now && !recovering_) place(*now);
             });
}

// Others have the data and serve it, also through this node.
void JetStream::replica_useless(const MetaStream& s) {
  if (!renewals_ || s.peers.size() + s.leaving.size() < 2) return;
  renewals_->want(s.group, s.hosted_on(js_.self));
  if (!find(s.group)) make_remote(s);
}

void JetStream::drop_useless(GroupId group) {
  StreamHost* host = find(group);
  const MetaStream* s = meta_->state().find(group);
  if (!host || !s || !host->group().why_stopped()) return;
  drop_host(group, false);
  make_remote(*s);
}

void JetStream::make_remote(const MetaStream& s) {
  auto& remote = remotes_[s.group];
  if (!remote) remote = std::make_unique<RemoteStream>(js_, account_of(s), s.group, s.config.subjects);
}

void JetStream::peers_changed(const MetaOutcome& change) {
  if (rehomer_) rehomer_->look();
  for (GroupId group : change.groups) {
    if (const MetaStream* s = meta_->state().find(group)) place(*s);
  }
  // Renewed for this start: what could not be hosted may be now.
  if (change.node.id != js_.self || change.node.boot != boot_) return;
  std::vector<GroupId> here;
  for (const auto& [group, remote] : remotes_) here.push_back(group);
  for (GroupId group : here) {
    const MetaStream* s = meta_->state().find(group);
    if (s && s->hosted_on(js_.self).v != 0) place(*s);
  }
}

void JetStream::drop_host(GroupId group, bool destroy) {
  auto it = streams_.find(group);
  if (it == streams_.end()) return;
  if (js_.cluster) js_.cluster->leads(group, it->second->group().term(), false);
  if (destroy) it->second->destroy();
  if (state_server_) state_server_->forget(group);
  auto named = by_name_.find(ByName::View(it->second->account().name, it->second->name()));
  if (named != by_name_.end() && named->second == it->second.get()) by_name_.erase(named);
  streams_.erase(it);
  unsettled_.erase(group);
}

// The meta state was replaced as a whole: what is here follows it.
void JetStream::resync() {
  std::vector<GroupId> gone;
  for (const auto& [group, host] : streams_) {
    if (!meta_->state().find(group)) gone.push_back(group);
  }
  for (GroupId group : gone) drop_host(group, true);
  std::erase_if(remotes_, [&](const auto& r) { return !meta_->state().find(r.first); });
  std::erase_if(offline_, [&](const auto& o) { return !meta_->state().find(o.first); });
  meta_->state().for_each([this](const MetaStream& s) {
    place(s);
    if (auto it = remotes_.find(s.group); it != remotes_.end()) it->second->resubscribe(s.config.subjects);
    return true;
  });
}

void JetStream::stream_leading(StreamHost& host, bool now) {
  if (js_.cluster) js_.cluster->leads(host.group_id(), host.group().term(), now);
  if (!now) {
    unsettled_.erase(host.group_id());
    return;
  }
  const MetaStream* s = meta_->state().find(host.group_id());
  if (!s) return;
  propose_config(host, *s);
  if (!js_.cluster) return;
  unsettled_.insert(host.group_id());
  if (!host.group().alone()) js_.advisories.stream_elected(host, js_.server_name);
}

// ---- members as the meta group wants them --------------------------------------------------------

bool JetStream::as_wanted(StreamHost& host, const MetaStream& s) const {
  // Another leader knew more, and may have said that replicas are no members for good.
  if (host.machine().config_revision() > std::max(s.revision, s.peers_revision)) return false;
  auto down = [this](NodeId node) { return node != js_.self && !js_.cluster->connected(node); };
  return cluster::reconcile_group(host.group(), {s.peers, {}, s.preferred}, down);
}

void JetStream::reconcile() {
  std::vector<GroupId> work(unsettled_.begin(), unsettled_.end());
  auto turn = static_cast<std::uint64_t>(env_.clock.now().ns / kReconcilePeriod);
  for (GroupId group : work) {
    StreamHost* host = find(group);
    const MetaStream* s = meta_->state().find(group);
    bool leads = host && s && host->group().leading();
    bool noted = leads && host->machine().config_revision() >= std::max(s->revision, s->peers_revision);
    // What was proposed may have been refused, or is still on its way.
    if (leads && !noted && turn % kNoteAgain == group.v % kNoteAgain) propose_config(*host, *s);
    if (!leads || (as_wanted(*host, *s) && noted)) unsettled_.erase(group);
  }
  rehomer_->work();
  renewals_->work();
  lost_->work();
  state_check_->work();
  balance_->work();
  leader_watch_->work();
  rooms_->work();
  reconcile_timer_ = env_.loop.at(env_.clock.now() + kReconcilePeriod, [this] { reconcile(); });
}

void JetStream::remove_peer(const MetaStream& s, NodeId node, MetaDone done) {
  std::vector<NodeId> current;
  for (NodeId peer : s.peers) current.push_back(node_of(peer));
  auto placed =
      cluster::place_replacement(s.config, current, node, place_nodes(), place_rules(), env_.random.next());
  if (!placed.complete()) {
    return fail_meta(api::make_error(api::ErrCode::kPeerRemap), std::move(done));
  }
  jetstream::MetaPeersCommand c;
  c.group = s.group;
  c.expected = s.peers_revision;
  c.nodes = placed.nodes;
  meta_->propose([&](jetstream::EntryBuilder& b) { b.meta_set_peers(c); }, std::move(done));
}

void JetStream::move_stream(const MetaStream& s, const MoveWish& wish, MetaDone done) {
  std::vector<NodeId> current, off;
  for (NodeId peer : s.peers) current.push_back(node_of(peer));
  if (wish.off.v != 0) off.push_back(wish.off);
  if (off.empty() && wish.tags.empty()) off.push_back(current.front());
  api::StreamConfig config = s.config;
  if (!wish.tags.empty()) {
    if (!config.placement) config.placement.emplace();
    config.placement->tags.insert(config.placement->tags.end(), wish.tags.begin(), wish.tags.end());
  }
  auto placed = cluster::place_move(config, current, off, place_nodes(), place_rules(), env_.random.next());
  if (!placed.ok()) return fail_meta(placed.error, std::move(done));
  meta_->update(s.account, s.config, placed.nodes == current ? std::vector<NodeId>() : placed.nodes,
                std::move(done));
}

void JetStream::cancel_move(const MetaStream& s, MetaDone done) {
  if (s.origin.nodes.empty())
    return fail_meta(api::make_error(api::ErrCode::kStreamReconfigureNotInProgress), std::move(done));
  for (NodeId id : s.origin.nodes) {
    const auto* node = meta_->state().find_node(id);
    if (s.hosted_on(id).v != 0 || (node && !node->removed)) continue;
    return fail_meta(api::make_error(api::ErrCode::kPeerRemap), std::move(done));
  }
  api::StreamConfig config = s.config;
  config.num_replicas = s.origin.replicas;
  config.placement = s.origin.placement;
  meta_->update(s.account, config, s.origin.nodes, std::move(done));
}

bool JetStream::forming() const {
  if (!js_.cluster) return false;
  std::vector<cluster::NodeInfo> peers = js_.cluster->mesh().peers();
  return !meta_->state().find_node(js_.self) ||
         std::any_of(peers.begin(), peers.end(),
                     [this](const auto& p) { return p.jetstream && !meta_->state().find_node(p.id); });
}

std::vector<cluster::PlaceNode> JetStream::place_nodes() const {
  std::vector<cluster::PlaceNode> out;
  for (const auto& [id, node] : meta_->state().nodes()) {
    if (node.removed) continue;
    cluster::PlaceNode n;
    n.id = id;
    n.cluster = node.cluster;
    n.tags = node.tags;
    n.jetstream = node.jetstream;
    n.online = id == js_.self || js_.cluster->connected(id);
    auto load = meta_->state().load(id);
    set_room(n, rooms_->of(id), load);
    n.streams = load.streams;
    n.replicated = load.replicated;
    out.push_back(std::move(n));
  }
  return out;
}

cluster::PlaceRules JetStream::place_rules() const {
  cluster::PlaceRules r;
  r.unique_tag = options_.jetstream.unique_tag;
  r.max_ha_assets =
      static_cast<std::size_t>(std::max<std::int64_t>(options_.jetstream.limits.max_ha_assets, 0));
  r.cluster = js_.cluster_name;
  return r;
}

void JetStream::hand_over() {
  for (auto& [id, stream] : streams_) hand_over(stream->group());
  hand_over(meta_->group());
}

void JetStream::hand_over(replica::Group& group) {
  if (!group.leading()) return;
  constexpr auto kReplicating = static_cast<std::uint8_t>(raft::ProgressState::kReplicate);
  NodeId best;
  std::pair<bool, RaftIndex> rank;  // one that goes too is better than none, and worse than any other
  for (const auto& peer : group.core()->peers()) {
    bool answers = peer.active || (js_.cluster && js_.cluster->alive(peer.id));
    if (!peer.voter || !answers || peer.state != kReplicating) continue;  // it would be refused
    std::pair<bool, RaftIndex> its(js_.cluster && js_.cluster->stays(peer.id), peer.match);
    if (best.v != 0 && its <= rank) continue;
    best = peer.id;
    rank = its;
  }
  if (best.v != 0) group.transfer_leadership(best);
}

void JetStream::replica_damaged(const StreamHost& host) {
  const MetaStream* s = meta_->state().find(host.group_id());
  if (!s || !renewals_ || host.group().alone() || renewals_->wants(s->group, host.group().self())) return;
  replica_useless(*s);
}

// ---- publishes -----------------------------------------------------------------------------------

void JetStream::forwarded_publish(Account& account, const Forwarded& f, const Bytes& frame) {
  Bytes body = frame.sub_of(f.body);
  session::Inbound m{f.subject, f.reply, f.body, f.header_size, &body, nullptr};
  StreamHost* host = find(f.group);
  // Not handed on to who leads now: the publisher's next message may already be there, and the order is kept.
  bool leads = host && (host->group().leading() || host->group().alone());
  if (leads && host->takes(f.subject)) return host->on_message(m);
  if (!f.reply.empty()) js_.unserved.emplace_back(&account, f.reply);
}

void JetStream::answer_unserved() {
  if (js_.unserved.empty()) return;
  std::string block = proto::HeaderBuilder(503).take();
  for (const auto& [account, reply] : std::exchange(js_.unserved, {})) {
    js_.router.send(*account, reply, {}, block, block.size());
  }
}

}  // namespace weir::server
