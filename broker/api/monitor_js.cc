#include "broker/api/monitor_js.h"
#include "broker/api/config_json.h"
#include "broker/api/monitor_json.h"

namespace weir::api {
namespace {

void write_consumers(JsonWriter& w, std::string_view name, const std::vector<ConsumerInfo>& consumers) {
  if (consumers.empty()) return;
  w.begin_array(name);
  for (const auto& c : consumers) write_consumer_info(w, c);
  w.end_array();
}

void write_raft_names(JsonWriter& w, const StreamDetail& d) {
  w.field_if("stream_raft_group", d.raft_group);
  if (d.consumer_raft_groups.empty()) return;
  w.begin_array("consumer_raft_groups");
  for (const auto& g : d.consumer_raft_groups) {
    w.begin_object();
    w.field("name", g.name);
    w.field_if("raft_group", g.raft_group);
    w.end_object();
  }
  w.end_array();
}

void write_stream_detail(JsonWriter& w, const StreamDetail& d) {
  w.begin_object();
  w.field("name", d.name);
  w.field("created", d.created);
  if (d.cluster) {
    w.key("cluster");
    write_cluster_info(w, *d.cluster);
  }
  if (d.config) {
    w.key("config");
    write_stream_config(w, *d.config);
  }
  w.key("state");
  write_stream_state(w, d.state);
  write_consumers(w, "consumer_detail", d.consumers);
  write_consumers(w, "direct_consumer_detail", d.direct_consumers);
  if (d.mirror) {
    w.key("mirror");
    write_source_info(w, *d.mirror);
  }
  if (!d.sources.empty()) {
    w.begin_array("sources");
    for (const auto& s : d.sources) write_source_info(w, s);
    w.end_array();
  }
  write_raft_names(w, d);
  w.end_object();
}

void write_account_detail(JsonWriter& w, const AccountDetail& a) {
  w.begin_object();
  w.field("name", a.name);
  w.field("id", a.id);
  write_js_stats_fields(w, a.stats);
  if (!a.streams.empty()) {
    w.begin_array("stream_detail");
    for (const auto& s : a.streams) write_stream_detail(w, s);
    w.end_array();
  }
  w.end_object();
}

void write_raft_group(JsonWriter& w, const RaftGroup& g) {
  w.field("id", g.id);
  w.field("state", g.state);
  w.field("size", g.size);
  w.field("quorum_needed", g.quorum_needed);
  w.field_if("observer", g.observer);
  w.field_if("paused", g.paused);
  w.field("committed", g.committed);
  w.field("applied", g.applied);
  w.field_if("state_hash", g.state_hash);
  w.field_if("state_proven", g.state_proven);
  w.field_if("state_differs", g.state_differs);
  w.field_if("catching_up", g.catching_up);
  w.field_if("leader", g.leader);
  w.field_if("leader_since", g.leader_since);
  w.field("ever_had_leader", g.ever_had_leader);
  w.field("term", g.term);
  w.field_if("voted_for", g.voted_for);
  w.field("pterm", g.pterm);
  w.field("pindex", g.pindex);
  w.field("system_account", g.system_account);
  w.field("traffic_account", g.traffic_account);
  // Nothing waits between our parts: a turn of the loop takes an entry from one to the next.
  for (const char* queue : {"ipq_proposal_len", "ipq_entry_len", "ipq_resp_len", "ipq_apply_len"})
    w.field(queue, 0);
  StreamState log;  // the log in the shape of a stream, as raftz has it
  log.first_seq = StreamSeq(g.first_index);
  log.last_seq = StreamSeq(g.pindex);
  log.messages = g.pindex >= g.first_index && g.pindex > 0 ? g.pindex - g.first_index + 1 : 0;
  log.bytes = g.log_bytes;
  w.key("wal");
  write_stream_state(w, log);
  w.begin_object("peers");
  for (const auto& [id, p] : g.peers) {
    w.begin_object(id);
    w.field("name", p.name);
    w.field("known", p.known);
    w.field_if("last_replicated_index", p.last_replicated_index);
    w.field_if("last_seen", p.last_seen);
    w.end_object();
  }
  w.end_object();
}

}  // namespace

void write_js_config(JsonWriter& w, const JsServerConfig& c) {
  w.begin_object();
  w.field("max_memory", c.max_memory);
  w.field("max_storage", c.max_storage);
  w.field_if("store_dir", c.store_dir);
  w.field_if("sync_interval", c.sync_interval);
  w.field_if("sync_always", c.sync_always);
  w.field_if("domain", c.domain);
  w.field_if("unique_tag", c.unique_tag);
  w.field_if("strict", c.strict);
  w.end_object();
}

void write_js_limits(JsonWriter& w, const JsServerLimits& l) {
  w.begin_object();
  w.field_if("max_request_batch", l.max_request_batch);
  w.field_if("max_ack_pending", l.max_ack_pending);
  w.field_if("max_ha_assets", l.max_ha_assets);
  w.field_if("max_duplicate_window", l.max_duplicate_window);
  w.end_object();
}

void write_js_stats_fields(JsonWriter& w, const JsStats& s) {
  w.field("memory", s.memory);
  w.field("storage", s.storage);
  w.field("reserved_memory", s.reserved_memory);
  w.field("reserved_storage", s.reserved_storage);
  w.field("accounts", s.accounts);
  w.field("ha_assets", s.ha_assets);
  w.key("api");
  write_api_stats(w, s.api);
}

void write_meta_cluster(JsonWriter& w, const MetaCluster& m) {
  w.begin_object();
  w.field_if("name", m.name);
  w.field_if("leader", m.leader);
  w.field_if("peer", m.peer);
  if (!m.replicas.empty()) {
    w.key("replicas");
    write_peers(w, m.replicas);
  }
  w.field("cluster_size", m.cluster_size);
  w.field("quorum_needed", m.quorum_needed);
  w.field("pending", m.pending);
  w.field("pending_requests", m.pending_requests);
  w.field("pending_infos", m.pending_infos);
  w.begin_object("snapshot");
  w.field("pending_entries", m.snapshot_pending_entries);
  w.field("pending_size", m.snapshot_pending_size);
  if (m.snapshot_last_time.ns != 0) w.field("last_time", m.snapshot_last_time);
  w.field_if("last_duration", m.snapshot_last_duration);
  w.end_object();
  w.end_object();
}

void write_js_varz(JsonWriter& w, const JsVarz& v, bool with_store_dir) {
  w.begin_object();
  w.key("config");
  if (with_store_dir) {
    write_js_config(w, v.config);
  } else {
    auto config = v.config;
    config.store_dir.clear();
    write_js_config(w, config);
  }
  w.begin_object("stats");
  write_js_stats_fields(w, v.stats);
  w.end_object();
  if (v.state_checks) {
    w.begin_object("state_checks");
    w.field("compared", v.state_checks->compared);
    w.field("differed", v.state_checks->differed);
    w.field("given_up", v.state_checks->given_up);
    w.end_object();
  }
  if (v.meta) {
    w.key("meta");
    write_meta_cluster(w, *v.meta);
  }
  w.key("limits");
  write_js_limits(w, v.limits);
  w.end_object();
}

std::string encode_jsz(const Jsz& j) {
  std::string out;
  JsonWriter w(out);
  w.begin_object();
  write_js_stats_fields(w, j.stats);
  w.field("server_id", j.server_id);
  w.field("now", j.now);
  w.field_if("disabled", j.disabled);
  w.key("config");
  write_js_config(w, j.config);
  if (j.limits) {
    w.key("limits");
    write_js_limits(w, *j.limits);
  }
  w.field("streams", j.streams);
  w.field_if("streams_leader", j.streams_leader);
  w.field("consumers", j.consumers);
  w.field_if("consumers_leader", j.consumers_leader);
  w.field("messages", j.messages);
  w.field("bytes", j.bytes);
  if (j.meta) {
    w.key("meta_cluster");
    write_meta_cluster(w, *j.meta);
  }
  if (!j.account_details.empty()) {
    w.begin_array("account_details");
    for (const auto& a : j.account_details) write_account_detail(w, a);
    w.end_array();
  }
  w.field("total", j.total);
  w.end_object();
  return out;
}

std::string encode_raftz(const Raftz& r) {
  std::string out;
  JsonWriter w(out);
  w.begin_object();
  for (const auto& [account, groups] : r) {
    w.begin_object(account);
    for (const auto& [name, group] : groups) {
      w.begin_object(name);
      write_raft_group(w, group);
      w.end_object();
    }
    w.end_object();
  }
  w.end_object();
  return out;
}

}  // namespace weir::api
