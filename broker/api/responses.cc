#include "broker/api/responses.h"

#include "broker/api/config_json.h"
#include "broker/base/text.h"

namespace weir::api {
namespace {

/// An open reply object with its type; done() closes it.
class Reply {
 public:
  explicit Reply(ReplyType type) : w(out_) {
    w.begin_object();
    w.field("type", type_text(type));
  }
  std::string done() {
    w.end_object();
    return std::move(out_);
  }

 private:
  std::string out_;

 public:
  JsonWriter w;
};

void write_paging(JsonWriter& w, const Paging& p) {
  w.field("total", p.total);
  w.field("offset", p.offset);
  w.field("limit", p.limit);
}

void write_peer(JsonWriter& w, const PeerInfo& p) {
  w.begin_object();
  w.field("name", p.name);
  w.field("current", p.current);
  w.field_if("offline", p.offline);
  w.field("active", p.active);
  w.field_if("lag", p.lag);
  w.field("peer", p.peer);
  w.field_if("pending", p.pending);
  w.end_object();
}

void write_sequence(JsonWriter& w, std::string_view name, const SequenceInfo& s) {
  w.begin_object(name);
  w.field("consumer_seq", s.consumer_seq);
  w.field("stream_seq", s.stream_seq);
  w.field_if("last_active", s.last_active);
  w.end_object();
}

void write_tier(JsonWriter& w, const AccountTier& t) {
  w.field("memory", t.memory);
  w.field("storage", t.storage);
  w.field("reserved_memory", t.reserved_memory);
  w.field("reserved_storage", t.reserved_storage);
  w.field("streams", t.streams);
  w.field("consumers", t.consumers);
  w.begin_object("limits");
  w.field("max_memory", t.limits.max_memory);
  w.field("max_storage", t.limits.max_storage);
  w.field("max_streams", t.limits.max_streams);
  w.field("max_consumers", t.limits.max_consumers);
  w.field("max_ack_pending", t.limits.max_ack_pending);
  w.field("memory_max_stream_bytes", t.limits.memory_max_stream_bytes);
  w.field("storage_max_stream_bytes", t.limits.storage_max_stream_bytes);
  w.field("max_bytes_required", t.limits.max_bytes_required);
  w.end_object();
}

void write_consumer_counts(JsonWriter& w, const ConsumerInfo& c) {
  w.field("num_ack_pending", c.num_ack_pending);
  w.field("num_redelivered", c.num_redelivered);
  w.field("num_waiting", c.num_waiting);
  w.field("num_pending", c.num_pending);
}

void write_consumer_fields(JsonWriter& w, const ConsumerInfo& c) {
  w.field("stream_name", c.stream_name);
  w.field("name", c.name);
  w.field("created", c.created);
  if (c.config) {
    w.key("config");
    write_consumer_config(w, *c.config);
  }
  write_sequence(w, "delivered", c.delivered);
  write_sequence(w, "ack_floor", c.ack_floor);
  write_consumer_counts(w, c);
  if (c.cluster) {
    w.key("cluster");
    write_cluster_info(w, *c.cluster);
  }
  w.field_if("push_bound", c.push_bound);
  w.field_if("paused", c.paused);
  w.field_if("pause_remaining", c.pause_remaining);
  w.field("ts", c.ts);
  if (c.priority_groups.empty()) return;
  w.begin_array("priority_groups");
  for (const auto& g : c.priority_groups) {
    w.begin_object();
    w.field("group", g.group);
    w.field_if("pinned_client_id", g.pinned_client_id);
    if (g.pinned_ts.ns != 0) w.field("pinned_ts", g.pinned_ts);
    w.end_object();
  }
  w.end_array();
}

/// The lists that clients expect also in an error reply.
void write_empty_lists(JsonWriter& w, ReplyType type) {
  const auto list = [&](std::string_view name) {
    write_paging(w, Paging{});
    w.begin_array(name);
    w.end_array();
  };
  switch (type) {
    case ReplyType::kStreamNames:
    case ReplyType::kStreamList: list("streams"); break;
    case ReplyType::kConsumerNames:
    case ReplyType::kConsumerList: list("consumers"); break;
    case ReplyType::kStreamInfo: write_paging(w, Paging{}); break;
    case ReplyType::kStreamPurge: w.field("purged", std::uint64_t{0}); break;
    default: break;
  }
}

}  // namespace

std::string_view type_text(ReplyType type) {
#define API "io.nats.jetstream.api.v1."
  constexpr std::string_view kTexts[] = {
      API "account_info_response",
      API "account_purge_response",
      API "stream_create_response",
      API "stream_update_response",
      API "stream_names_response",
      API "stream_list_response",
      API "stream_info_response",
      API "stream_delete_response",
      API "stream_purge_response",
      API "stream_msg_get_response",
      API "stream_msg_delete_response",
      API "stream_snapshot_response",
      API "stream_restore_response",
      API "stream_remove_peer_response",
      API "stream_evacuate_peer_response",
      API "stream_cancel_move_response",
      API "stream_leader_stepdown_response",
      API "consumer_create_response",
      API "consumer_names_response",
      API "consumer_list_response",
      API "consumer_info_response",
      API "consumer_delete_response",
      API "consumer_pause_response",
      API "consumer_unpin_response",
      API "consumer_reset_response",
      API "consumer_leader_stepdown_response",
      API "consumer_evacuate_peer_response",
      API "meta_leader_stepdown_response",
      API "meta_server_remove_response",
      API "meta_server_evacuate_response",
      API "meta_rescue_response",
      API "system_response",
      API "system_overloaded",
  };
#undef API
  static_assert(std::size(kTexts) == static_cast<std::size_t>(ReplyType::kOverloaded) + 1);
  return kTexts[static_cast<std::size_t>(type)];
}

void write_error(JsonWriter& w, const ApiError& e) {
  w.begin_object();
  w.field("code", std::int64_t{e.http_code});
  if (e.err_code != ErrCode::kNone) w.field("err_code", std::int64_t{static_cast<int>(e.err_code)});
  w.field_if("description", e.description);
  w.end_object();
}

void write_peers(JsonWriter& w, const std::vector<PeerInfo>& peers) {
  w.begin_array();
  for (const auto& p : peers) write_peer(w, p);
  w.end_array();
}

static void write_desired(JsonWriter& w, const DesiredCluster& d) {
  w.begin_object("desired");
  w.field_if("name", d.name);
  w.begin_array("replicas");
  for (const PeerInfo& p : d.replicas) {
    w.begin_object();
    w.field("name", p.name);
    w.field("peer", p.peer);
    w.end_object();
  }
  w.end_array();
  w.begin_object("origin");
  w.field("replicas", d.origin_replicas);
  if (d.origin_placement) {
    w.key("placement");
    write_placement(w, *d.origin_placement);
  }
  w.end_object();
  w.end_object();
}

void write_cluster_info(JsonWriter& w, const ClusterInfo& c) {
  w.begin_object();
  w.field_if("name", c.name);
  w.field_if("raft_group", c.raft_group);
  w.field_if("leader", c.leader);
  w.field_if("leader_since", c.leader_since);
  w.field_if("system_account", c.system_account);
  w.field_if("traffic_account", c.traffic_account);
  if (!c.replicas.empty()) {
    w.key("replicas");
    write_peers(w, c.replicas);
  }
  if (c.desired) write_desired(w, *c.desired);
  w.end_object();
}

void write_stream_state(JsonWriter& w, const StreamState& s) {
  w.begin_object();
  w.field("messages", s.messages);
  w.field("bytes", s.bytes);
  w.field("first_seq", s.first_seq);
  w.field("first_ts", s.first_ts);
  w.field("last_seq", s.last_seq);
  w.field("last_ts", s.last_ts);
  w.field_if("num_subjects", s.num_subjects);
  if (!s.subjects.empty()) {
    w.begin_object("subjects");
    for (const auto& [subject, count] : s.subjects) w.field(subject, count);
    w.end_object();
  }
  w.field_if("num_deleted", s.num_deleted);
  w.field_if("deleted", s.deleted);
  if (s.lost) {
    w.begin_object("lost");
    w.field("msgs", s.lost->msgs);
    w.field("bytes", s.lost->bytes);
    w.end_object();
  }
  w.field("consumer_count", s.consumer_count);
  w.end_object();
}

void write_source_info(JsonWriter& w, const StreamSourceInfo& s) {
  w.begin_object();
  w.field("name", s.name);
  if (s.external) {
    w.key("external");
    write_external(w, *s.external);
  }
  w.field("lag", s.lag);
  w.field("active", s.active);
  if (s.error) {
    w.key("error");
    write_error(w, *s.error);
  }
  w.field_if("filter_subject", s.filter_subject);
  if (!s.subject_transforms.empty()) {
    w.key("subject_transforms");
    write_transforms(w, s.subject_transforms);
  }
  w.end_object();
}

void write_stream_info_fields(JsonWriter& w, const StreamInfo& info) {
  w.key("config");
  write_stream_config(w, info.config);
  w.field("created", info.created);
  w.key("state");
  write_stream_state(w, info.state);
  w.field_if("domain", info.domain);
  if (info.cluster) {
    w.key("cluster");
    write_cluster_info(w, *info.cluster);
  }
  if (info.mirror) {
    w.key("mirror");
    write_source_info(w, *info.mirror);
  }
  if (!info.sources.empty()) {
    w.begin_array("sources");
    for (const auto& s : info.sources) write_source_info(w, s);
    w.end_array();
  }
  if (!info.alternates.empty()) {
    w.begin_array("alternates");
    for (const auto& a : info.alternates) {
      w.begin_object();
      w.field("name", a.name);
      w.field_if("domain", a.domain);
      w.field("cluster", a.cluster);
      w.end_object();
    }
    w.end_array();
  }
  w.field("ts", info.ts);
}

void write_consumer_info(JsonWriter& w, const ConsumerInfo& info) {
  w.begin_object();
  write_consumer_fields(w, info);
  w.end_object();
}

void write_api_stats(JsonWriter& w, const ApiStats& a) {
  w.begin_object();
  w.field("level", std::int64_t{a.level});
  w.field("total", a.total);
  w.field("errors", a.errors);
  w.field_if("inflight", a.inflight);
  w.end_object();
}

std::string encode_error(ReplyType type, const ApiError& error) {
  Reply r(type);
  r.w.key("error");
  write_error(r.w, error);
  write_empty_lists(r.w, type);
  return r.done();
}

std::string encode_success(ReplyType type) {
  Reply r(type);
  if (type != ReplyType::kConsumerUnpin) r.w.field("success", true);
  return r.done();
}

std::string encode_account_info(const AccountInfo& info) {
  Reply r(ReplyType::kAccountInfo);
  write_tier(r.w, info.total);
  r.w.field_if("domain", info.domain);
  r.w.key("api");
  write_api_stats(r.w, info.api);
  if (!info.tiers.empty()) {
    r.w.begin_object("tiers");
    for (const auto& [name, tier] : info.tiers) {
      r.w.begin_object(name);
      write_tier(r.w, tier);
      r.w.end_object();
    }
    r.w.end_object();
  }
  return r.done();
}

std::string encode_account_purge(bool initiated) {
  Reply r(ReplyType::kAccountPurge);
  r.w.field_if("initiated", initiated);
  return r.done();
}

std::string encode_stream_create(const StreamInfo& info, bool did_create) {
  Reply r(ReplyType::kStreamCreate);
  write_stream_info_fields(r.w, info);
  r.w.field_if("did_create", did_create);
  return r.done();
}

std::string encode_stream_update(const StreamInfo& info, ReplyType type) {
  Reply r(type);
  write_stream_info_fields(r.w, info);
  return r.done();
}

std::string encode_stream_info(const StreamInfo& info, const std::optional<Paging>& paging) {
  Reply r(ReplyType::kStreamInfo);
  write_paging(r.w, paging.value_or(Paging{}));
  write_stream_info_fields(r.w, info);
  return r.done();
}

std::string encode_stream_names(const std::vector<std::string>& names, const Paging& paging) {
  Reply r(ReplyType::kStreamNames);
  write_paging(r.w, paging);
  r.w.field("streams", names);
  return r.done();
}

std::string encode_stream_list(const StreamList& list) {
  Reply r(ReplyType::kStreamList);
  write_paging(r.w, list.paging);
  r.w.begin_array("streams");
  for (const auto& info : list.streams) {
    r.w.begin_object();
    write_stream_info_fields(r.w, info);
    r.w.end_object();
  }
  r.w.end_array();
  r.w.field_if("missing", list.missing);
  r.w.field_if("offline", list.offline);
  return r.done();
}

std::string encode_stream_list(const StreamListParts& list) {
  Reply r(ReplyType::kStreamList);
  write_paging(r.w, list.paging);
  r.w.begin_array("streams");
  for (const std::string& info : list.streams) r.w.raw(info);
  r.w.end_array();
  r.w.field_if("missing", list.missing);
  r.w.field_if("offline", list.offline);
  return r.done();
}

std::string encode_stream_info_object(const StreamInfo& info) {
  std::string out;
  JsonWriter w(out);
  w.begin_object();
  write_stream_info_fields(w, info);
  w.end_object();
  return out;
}

std::string encode_stream_purge(std::uint64_t purged) {
  Reply r(ReplyType::kStreamPurge);
  r.w.field("success", true);
  r.w.field("purged", purged);
  return r.done();
}

std::string encode_msg_get(const StoredMsg& msg) {
  Reply r(ReplyType::kStreamMsgGet);
  r.w.begin_object("message");
  r.w.field("subject", msg.subject);
  r.w.field("seq", msg.seq);
  if (!msg.headers.empty()) r.w.field("hdrs", base64_encode(msg.headers));
  if (!msg.data.empty()) r.w.field("data", base64_encode(msg.data));
  r.w.field("time", msg.time);
  r.w.end_object();
  return r.done();
}

std::string encode_stream_snapshot(const StreamConfig& config, const StreamState& state) {
  Reply r(ReplyType::kStreamSnapshot);
  r.w.key("config");
  write_stream_config(r.w, config);
  r.w.key("state");
  write_stream_state(r.w, state);
  return r.done();
}

std::string encode_stream_restore(std::string_view deliver_subject) {
  Reply r(ReplyType::kStreamRestore);
  r.w.field("deliver_subject", deliver_subject);
  return r.done();
}

std::string encode_consumer_create(const ConsumerInfo& info) {
  Reply r(ReplyType::kConsumerCreate);
  write_consumer_fields(r.w, info);
  return r.done();
}

std::string encode_consumer_info(const ConsumerInfo& info) {
  Reply r(ReplyType::kConsumerInfo);
  write_consumer_fields(r.w, info);
  return r.done();
}

std::string encode_consumer_reset(const ConsumerInfo& info, StreamSeq reset_seq) {
  Reply r(ReplyType::kConsumerReset);
  write_consumer_fields(r.w, info);
  r.w.field("reset_seq", reset_seq);
  return r.done();
}

std::string encode_consumer_names(const std::vector<std::string>& names, const Paging& paging) {
  Reply r(ReplyType::kConsumerNames);
  write_paging(r.w, paging);
  r.w.field("consumers", names);
  return r.done();
}

std::string encode_consumer_list(const ConsumerList& list) {
  Reply r(ReplyType::kConsumerList);
  write_paging(r.w, list.paging);
  r.w.begin_array("consumers");
  for (const auto& info : list.consumers) write_consumer_info(r.w, info);
  r.w.end_array();
  r.w.field_if("missing", list.missing);
  r.w.field_if("offline", list.offline);
  return r.done();
}

std::string encode_consumer_pause(const PauseState& state) {
  Reply r(ReplyType::kConsumerPause);
  r.w.field("paused", state.paused);
  r.w.field("pause_until", state.pause_until);
  r.w.field_if("pause_remaining", state.pause_remaining);
  return r.done();
}

std::string encode_meta_rescue(const MetaRescue& rescue) {
  Reply r(ReplyType::kMetaRescue);
  r.w.field("server", rescue.server);
  r.w.field("server_id", rescue.server_id);
  r.w.field_if("prev_quorum", rescue.prev_quorum);
  r.w.field_if("new_quorum", rescue.new_quorum);
  return r.done();
}

}  // namespace weir::api
