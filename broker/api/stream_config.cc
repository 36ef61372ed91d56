#include "broker/api/stream_config.h"

#include "broker/api/config_json.h"

namespace weir::api {
namespace {

constexpr EnumText<Retention> kRetentions[] = {
    {"limits", Retention::kLimits},
    {"interest", Retention::kInterest},
    {"workqueue", Retention::kWorkQueue},
};
constexpr EnumText<Discard> kDiscards[] = {{"old", Discard::kOld}, {"new", Discard::kNew}};
constexpr EnumText<Storage> kStorages[] = {{"file", Storage::kFile}, {"memory", Storage::kMemory}};
constexpr EnumText<Compression> kCompressions[] = {{"none", Compression::kNone}, {"s2", Compression::kS2}};
constexpr EnumText<PersistMode> kPersistModes[] = {{"default", PersistMode::kDefault},
                                                   {"async", PersistMode::kAsync}};

void read_transform(ObjectReader& r, SubjectTransform& t) {
  r.field("src", t.src);
  r.field("dest", t.dest);
}

void read_republish(ObjectReader& r, Republish& p) {
  r.field("src", p.src);
  r.field("dest", p.dest);
  r.field("headers_only", p.headers_only);
}

void read_external(ObjectReader& r, ExternalStream& e) {
  r.field("api", e.api);
  r.field("deliver", e.deliver);
}

void read_source_consumer(ObjectReader& r, SourceConsumer& c) {
  r.field("name", c.name);
  r.field("deliver_subject", c.deliver_subject);
}

void read_source(ObjectReader& r, StreamSource& s) {
  r.field("name", s.name);
  r.field("opt_start_seq", s.opt_start_seq);
  r.field("opt_start_time", s.opt_start_time);
  r.field("filter_subject", s.filter_subject);
  r.list("subject_transforms", s.subject_transforms, read_transform);
  r.object("external", s.external, read_external);
  r.object("consumer", s.consumer, read_source_consumer);
}

void read_consumer_limits(ObjectReader& r, ConsumerLimits& l) {
  r.field("inactive_threshold", l.inactive_threshold);
  r.field("max_ack_pending", l.max_ack_pending);
}

void read_limits(ObjectReader& r, StreamConfig& c) {
  r.field("max_consumers", c.max_consumers);
  r.field("max_msgs", c.max_msgs);
  r.field("max_bytes", c.max_bytes);
  r.field("max_age", c.max_age);
  r.field("max_msgs_per_subject", c.max_msgs_per_subject);
  r.field("max_msg_size", c.max_msg_size);
  r.field("num_replicas", c.num_replicas);
  r.field("duplicate_window", c.duplicate_window);
  r.field("first_seq", c.first_seq);
  r.field("subject_delete_marker_ttl", c.subject_delete_marker_ttl);
  r.object("consumer_limits", c.consumer_limits, read_consumer_limits);
}

void read_switches(ObjectReader& r, StreamConfig& c) {
  r.field("no_ack", c.no_ack);
  r.field("discard_new_per_subject", c.discard_new_per_subject);
  r.field("allow_direct", c.allow_direct);
  r.field("mirror_direct", c.mirror_direct);
  r.field("sealed", c.sealed);
  r.field("deny_delete", c.deny_delete);
  r.field("deny_purge", c.deny_purge);
  r.field("allow_rollup_hdrs", c.allow_rollup_hdrs);
  r.field("allow_msg_ttl", c.allow_msg_ttl);
  r.field("allow_msg_counter", c.allow_msg_counter);
  r.field("allow_atomic", c.allow_atomic);
  r.field("allow_msg_schedules", c.allow_msg_schedules);
  r.field("allow_batched", c.allow_batched);
}

void write_transform(JsonWriter& w, const SubjectTransform& t) {
  w.begin_object();
  w.field("src", t.src);
  w.field("dest", t.dest);
  w.end_object();
}

void write_source(JsonWriter& w, const StreamSource& s) {
  w.begin_object();
  w.field("name", s.name);
  w.field_if("opt_start_seq", s.opt_start_seq);
  w.field_if("opt_start_time", s.opt_start_time);
  w.field_if("filter_subject", s.filter_subject);
  if (!s.subject_transforms.empty()) {
    w.key("subject_transforms");
    write_transforms(w, s.subject_transforms);
  }
  if (s.external) {
    w.key("external");
    write_external(w, *s.external);
  }
  if (s.consumer) {
    w.begin_object("consumer");
    w.field_if("name", s.consumer->name);
    w.field_if("deliver_subject", s.consumer->deliver_subject);
    w.end_object();
  }
  w.end_object();
}

void write_head(JsonWriter& w, const StreamConfig& c) {
  w.field("name", c.name);
  w.field_if("description", c.description);
  w.field_if("subjects", c.subjects);
  w.field("retention", to_text(c.retention));
  w.field("max_consumers", c.max_consumers);
  w.field("max_msgs", c.max_msgs);
  w.field("max_bytes", c.max_bytes);
  w.field("max_age", c.max_age);
  w.field("max_msgs_per_subject", c.max_msgs_per_subject);
  w.field_if("max_msg_size", c.max_msg_size);
  w.field("discard", to_text(c.discard));
  w.field("storage", to_text(c.storage));
  w.field("num_replicas", c.num_replicas);
  w.field_if("no_ack", c.no_ack);
  w.field_if("duplicate_window", c.duplicate_window);
}

void write_origins(JsonWriter& w, const StreamConfig& c) {
  if (c.placement) {
    w.key("placement");
    write_placement(w, *c.placement);
  }
  if (c.mirror) {
    w.key("mirror");
    write_source(w, *c.mirror);
  }
  if (!c.sources.empty()) {
    w.begin_array("sources");
    for (const auto& s : c.sources) write_source(w, s);
    w.end_array();
  }
  w.field("compression", to_text(c.compression));
  w.field_if("first_seq", c.first_seq);
  if (c.subject_transform) {
    w.key("subject_transform");
    write_transform(w, *c.subject_transform);
  }
  if (c.republish) {
    w.begin_object("republish");
    w.field_if("src", c.republish->src);
    w.field("dest", c.republish->dest);
    w.field_if("headers_only", c.republish->headers_only);
    w.end_object();
  }
}

void write_switches(JsonWriter& w, const StreamConfig& c) {
  w.field("allow_direct", c.allow_direct);
  w.field("mirror_direct", c.mirror_direct);
  w.field_if("discard_new_per_subject", c.discard_new_per_subject);
  w.field("sealed", c.sealed);
  w.field("deny_delete", c.deny_delete);
  w.field("deny_purge", c.deny_purge);
  w.field("allow_rollup_hdrs", c.allow_rollup_hdrs);
  w.begin_object("consumer_limits");
  w.field_if("inactive_threshold", c.consumer_limits.inactive_threshold);
  w.field_if("max_ack_pending", c.consumer_limits.max_ack_pending);
  w.end_object();
  w.field("allow_msg_ttl", c.allow_msg_ttl);
  w.field_if("subject_delete_marker_ttl", c.subject_delete_marker_ttl);
  w.field_if("allow_msg_counter", c.allow_msg_counter);
  w.field_if("allow_atomic", c.allow_atomic);
  w.field_if("allow_msg_schedules", c.allow_msg_schedules);
  if (c.persist_mode != PersistMode::kDefault) w.field("persist_mode", to_text(c.persist_mode));
  w.field_if("allow_batched", c.allow_batched);
  w.field_if("metadata", c.metadata);
}

}  // namespace

std::string_view to_text(Retention v) {
  return text_of(kRetentions, v);
}
std::string_view to_text(Discard v) {
  return text_of(kDiscards, v);
}
std::string_view to_text(Storage v) {
  return text_of(kStorages, v);
}
std::string_view to_text(Compression v) {
  return text_of(kCompressions, v);
}
std::string_view to_text(PersistMode v) {
  return text_of(kPersistModes, v);
}

void read_placement(ObjectReader& r, Placement& p) {
  r.field("cluster", p.cluster);
  r.field("tags", p.tags);
  r.field("preferred", p.preferred);
}

void write_placement(JsonWriter& w, const Placement& p) {
  w.begin_object();
  w.field_if("cluster", p.cluster);
  w.field_if("tags", p.tags);
  w.field_if("preferred", p.preferred);
  w.end_object();
}

void write_external(JsonWriter& w, const ExternalStream& e) {
  w.begin_object();
  w.field("api", e.api);
  w.field("deliver", e.deliver);
  w.end_object();
}

void write_transforms(JsonWriter& w, const std::vector<SubjectTransform>& list) {
  w.begin_array();
  for (const auto& t : list) write_transform(w, t);
  w.end_array();
}

void read_stream_config(ObjectReader& r, StreamConfig& c) {
  r.field("name", c.name);
  r.field("description", c.description);
  r.field("subjects", c.subjects);
  r.field("retention", c.retention, kRetentions);
  r.field("discard", c.discard, kDiscards);
  r.field("storage", c.storage, kStorages);
  r.field("compression", c.compression, kCompressions);
  r.field("persist_mode", c.persist_mode, kPersistModes);
  read_limits(r, c);
  read_switches(r, c);
  r.object("placement", c.placement, read_placement);
  r.object("mirror", c.mirror, read_source);
  r.list("sources", c.sources, read_source);
  r.object("subject_transform", c.subject_transform, read_transform);
  r.object("republish", c.republish, read_republish);
  r.field("metadata", c.metadata);
}

void write_stream_config(JsonWriter& w, const StreamConfig& c) {
  w.begin_object();
  write_head(w, c);
  write_origins(w, c);
  write_switches(w, c);
  w.end_object();
}

Decoded<StreamConfigRequest> decode_stream_config_request(std::string_view json, Strictness strictness) {
  return decode_object<StreamConfigRequest>(json, strictness, [](ObjectReader& r, StreamConfigRequest& out) {
    read_stream_config(r, out.config);
    r.field("pedantic", out.pedantic);
  });
}

Decoded<StreamConfig> decode_stream_config(std::string_view json, Strictness strictness) {
  return decode_object<StreamConfig>(json, strictness, read_stream_config);
}

std::string encode_stream_config_json(const StreamConfig& config) {
  std::string out;
  out.reserve(512);
  JsonWriter w(out);
  write_stream_config(w, config);
  return out;
}

}  // namespace weir::api
