// The JetStream half of MonitorView: /jsz, /healthz and the JetStream block of /varz.
#include <algorithm>

#include "broker/base/state_hash.h"
#include "broker/raft/confchange.h"
#include "broker/raft/quorum.h"
#include "broker/server/cluster_side.h"
#include "broker/server/group_view.h"
#include "broker/server/monitor_view.h"
#include "broker/server/version.h"

namespace weir::server {

api::JsServerConfig MonitorView::js_config() const {
  const auto& o = n_.options.jetstream;
  const auto& js = n_.jetstream->context();
  api::JsServerConfig c;
  c.max_memory = static_cast<std::int64_t>(js.memory_bytes_max);
  c.max_storage = static_cast<std::int64_t>(js.file_bytes_max);
  c.store_dir = n_.jetstream->directory();
  c.sync_interval = o.sync_interval;
  c.sync_always = o.sync_always;
  c.domain = o.domain;
  c.unique_tag = o.unique_tag;
  c.strict = o.strict;
  return c;
}

api::JsStats MonitorView::js_stats(const Account* account) const {
  auto u = n_.jetstream->usage(account);
  api::JsStats s;
  s.memory = u.memory;
  s.storage = u.storage;
  s.reserved_memory = u.reserved_memory;
  s.reserved_storage = u.reserved_storage;
  for (const Account& a : n_.accounts) s.accounts += a.jetstream;
  if (!account) s.ha_assets = ha_assets();
  s.api.level = kApiLevel;
  s.api.total = n_.jetstream->api.total;
  s.api.errors = n_.jetstream->api.errors;
  return s;
}

std::optional<api::JsVarz> MonitorView::js_varz() const {
  if (!n_.jetstream) return std::nullopt;
  api::JsVarz v;
  v.config = js_config();
  v.stats = js_stats(nullptr);
  v.meta = meta_cluster(n_.jetstream->meta().leading());
  const auto& l = n_.options.jetstream.limits;
  v.limits = {l.max_request_batch, l.max_ack_pending, l.max_ha_assets, l.duplicate_window};
  if (const StateCheck* check = n_.jetstream->state_check()) {
    const StateCheckStats& c = check->stats();
    v.state_checks = api::StateChecks{c.compared, c.differed, c.given_up};
  }
  return v;
}

// Replicated groups with a member here.
std::int64_t MonitorView::ha_assets() const {
  std::int64_t n = n_.jetstream->meta().group().conf().voters.size() > 1;
  for (const StreamHost* s : n_.jetstream->all_streams()) n += s->group().conf().voters.size() > 1;
  return n;
}

std::optional<api::MetaCluster> MonitorView::meta_cluster(bool with_replicas) const {
  const ClusterSide* cluster = n_.jetstream->context().cluster;
  if (!cluster) return std::nullopt;
  const replica::Group& g = n_.jetstream->meta().group();
  api::MetaCluster m;
  m.name = n_.options.cluster.name;
  if (NodeId leader = n_.jetstream->meta_leader(); leader.v != 0) {
    m.leader = cluster->name_of(leader);
    m.peer = peer_text(leader);
  }
  if (with_replicas) m.replicas = peer_infos(g, *cluster);
  m.cluster_size = static_cast<std::int64_t>(raft::members_of(g.conf()).size());
  m.quorum_needed = static_cast<std::int64_t>(raft::majority_of(g.conf().voters.size()));
  m.pending = static_cast<std::int64_t>(g.last().v - std::min(g.applied(), g.last()).v);
  m.pending_requests = static_cast<std::int64_t>(n_.api->waiting());
  m.snapshot_pending_entries = n_.jetstream->meta().since_checkpoint();
  return m;
}

api::StreamDetail MonitorView::stream_detail(const StreamHost& s, const api::JszOptions& o) const {
  api::StreamInfo info = s.info();
  api::StreamDetail d;
  d.name = s.name();
  d.created = info.created;
  d.cluster = info.cluster;
  d.state = info.state;
  if (o.config) d.config = std::move(info.config);
  if (o.raft && n_.mesh) d.raft_group = s.group_name();
  if (!o.consumers) return d;
  d.consumers = s.consumer_infos(o.config);
  if (!o.raft || !n_.mesh) return d;
  for (const auto& c : d.consumers) d.consumer_raft_groups.push_back({c.name, d.raft_group});
  return d;
}

bool MonitorView::meta_leader() const {
  return n_.jetstream && n_.jetstream->meta().leading();
}

api::Jsz MonitorView::jsz(const api::JszOptions& o) const {
  api::Jsz z;
  z.server_id = n_.id;
  z.now = n_.env.clock.wall();
  z.disabled = !n_.jetstream;
  if (z.disabled) return z;
  z.config = js_config();
  z.stats = js_stats(nullptr);
  z.meta = meta_cluster(true);
  for (StreamHost* s : n_.jetstream->all_streams()) {
    auto consumers = static_cast<std::int64_t>(s->machine().consumers().size());
    bool leads = s->group().leading() || s->group().alone();
    ++z.streams;
    z.consumers += consumers;
    if (leads) ++z.streams_leader;
    if (leads) z.consumers_leader += consumers;
    z.messages += s->machine().store().state().messages;
    z.bytes += s->machine().store().state().bytes;
  }
  bool details = o.accounts || o.streams || o.consumers || !o.account.empty();
  std::int64_t at = 0;
  for (Account& a : n_.accounts) {
    if (!a.jetstream || (!o.account.empty() && a.name != o.account)) continue;
    ++z.total;
    if (!details) continue;
    if (at++ < o.offset || static_cast<std::int64_t>(z.account_details.size()) >= o.limit) continue;
    api::AccountDetail d;
    d.name = d.id = a.name;
    d.stats = js_stats(&a);
    if (o.streams || o.consumers) add_streams(a, o, d);
    z.account_details.push_back(std::move(d));
  }
  return z;
}

void MonitorView::add_streams(const Account& a, const api::JszOptions& o, api::AccountDetail& d) const {
  for (StreamHost* s : n_.jetstream->streams(a)) {
    bool leads = s->group().leading() || s->group().alone();
    if (leads || !o.stream_leader_only) d.streams.push_back(stream_detail(*s, o));
  }
}

api::Raftz MonitorView::raftz(const api::RaftzOptions& o) const {
  api::Raftz z;
  if (!n_.jetstream || !n_.mesh) return z;
  const ClusterSide* cluster = n_.jetstream->context().cluster;
  const Account* system = n_.system_account();
  std::string meta_account = system ? system->name : "$SYS";
  std::string account = o.account.empty() ? meta_account : o.account;
  const std::string meta_name = "_meta_";
  auto add = [&](const std::string& name, const replica::Group& g) {
    if (!o.group.empty() && name != o.group) return;
    api::RaftGroup shown = raft_group(g, cluster);
    shown.system_account = true;
    shown.traffic_account = meta_account;
    shown.state_hash = hash_text(g.state_hash());
    if (const StateCheck* check = n_.jetstream->state_check()) {
      shown.state_proven = check->proven(g.id()).v;
      shown.state_differs = check->difference(g.id());
    }
    z[account][name] = std::move(shown);
  };
  if (account == meta_account) add(meta_name, n_.jetstream->meta().group());
  Account* a = n_.find_account(account);
  if (!a) return z;
  for (const StreamHost* s : n_.jetstream->streams(*a)) add(s->group_name(), s->group());
  return z;
}

}  // namespace weir::server
