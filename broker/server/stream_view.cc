// broker/server/stream_view.cc - a stream and its consumers as the API and the monitoring pages show them.
#include "broker/server/cluster_side.h"
#include "broker/server/consumer_host.h"
#include "broker/server/group_view.h"
#include "broker/server/stream_host.h"

namespace weir::server {

std::string StreamHost::offline_reason() const {
  return group_.why_stopped() ? group_.why_stopped()->detail : std::string();
}

std::string StreamHost::group_name() const {
  return "S-R" + std::to_string(machine_->config().num_replicas) + (file_ ? "F-" : "M-") +
         std::to_string(identity_.group.v);
}

std::optional<api::ClusterInfo> StreamHost::cluster_info() const {
  api::ClusterInfo c;
  c.name = js_.cluster_name;
  if (!js_.cluster) {
    c.leader = js_.server_name;
    return c;
  }
  if (NodeId leader = group_.leader(); leader.v != 0) c.leader = js_.cluster->name_of(leader);
  c.replicas = peer_infos(group_, *js_.cluster);
  if (group_.alone() && c.replicas.empty()) return c;  // as nats-server 2.15.1 shows a stream of one replica
  c.raft_group = group_name();
  if (group_.leading()) c.leader_since = leader_since_;
  return c;
}

api::StreamInfo StreamHost::info(bool with_config) const {
  const auto& st = store_->state();
  api::StreamInfo i;
  if (with_config) i.config = machine_->config();
  i.created = machine_->created();
  i.state.messages = st.messages;
  i.state.bytes = st.bytes;
  i.state.first_seq = st.first_seq;
  i.state.first_ts = st.first_time;
  i.state.last_seq = st.last_seq;
  i.state.last_ts = st.last_time;
  i.state.num_subjects = static_cast<std::int64_t>(st.subjects);
  i.state.num_deleted = static_cast<std::int64_t>(st.deleted);
  i.state.consumer_count = static_cast<std::int64_t>(machine_->consumers().size());
  i.domain = js_.options.jetstream.domain;
  i.cluster = cluster_info();
  i.ts = js_.env.clock.wall();
  return i;
}

namespace {
api::SequenceInfo sequence(const jetstream::SeqPair& p, Wall at) {
  api::SequenceInfo s;
  s.consumer_seq = p.consumer;
  s.stream_seq = p.stream;
  if (at.ns) s.last_active = at;
  return s;
}

void fill(api::ConsumerInfo& i, const jetstream::ConsumerFigures& f) {
  i.delivered = sequence(f.delivered, f.last_delivered);
  i.ack_floor = sequence(f.ack_floor, f.last_acked);
  i.num_ack_pending = static_cast<std::int64_t>(f.num_ack_pending);
  i.num_redelivered = static_cast<std::int64_t>(f.num_redelivered);
  i.num_waiting = static_cast<std::int64_t>(f.num_waiting);
  i.num_pending = f.num_pending;
  i.push_bound = f.push_bound;
}
}  // namespace

api::ConsumerInfo ConsumerHost::info(bool with_config) const {
  api::ConsumerInfo i;
  i.stream_name = stream_.name();
  i.name = name_;
  i.created = created_;
  if (with_config) i.config = leader_->live().config();
  fill(i, leader_->figures());
  if (!js_.cluster_name.empty()) i.cluster = stream_.cluster_info();
  i.ts = js_.env.clock.wall();
  return i;
}

std::vector<api::ConsumerInfo> StreamHost::consumer_infos(bool with_config) const {
  std::vector<api::ConsumerInfo> out;
  for (const auto& [name, state] : machine_->consumers()) {
    if (auto it = consumers_.find(name); it != consumers_.end()) {
      out.push_back(it->second->info(with_config));
      continue;
    }
    // What is committed; what waits and who listens is known to the leader only.
    api::ConsumerInfo i;
    i.stream_name = identity_.name;
    i.name = name;
    i.created = state->created();
    if (with_config) i.config = state->config();
    jetstream::ConsumerFigures f;
    f.delivered = state->delivered();
    f.ack_floor = state->ack_floor();
    f.last_delivered = state->last_delivered();
    f.last_acked = state->last_acked();
    f.num_ack_pending = state->num_ack_pending();
    f.num_redelivered = state->num_redelivered();
    fill(i, f);
    if (!js_.cluster_name.empty()) i.cluster = cluster_info();
    i.ts = js_.env.clock.wall();
    out.push_back(std::move(i));
  }
  return out;
}

}  // namespace weir::server
