#include "surveyor/decode_rows.h"

namespace weir::surveyor::rows {

using walk::Err;
namespace od = simdjson::ondemand;
using Key = std::string_view;
constexpr Err kOk = simdjson::SUCCESS;

namespace {

Err read_peer(od::value v, PeerRow& p) {
  return walk::members(v, [&](Key k, od::value m) -> Err {
    if (k == "name") return walk::read(m, p.name);
    if (k == "current") return walk::read(m, p.current);
    if (k == "offline") return walk::read(m, p.offline);
    if (k == "active") return walk::read(m, p.active_ns);
    if (k == "lag") return walk::read(m, p.lag_ops);
    return kOk;
  });
}

Err read_peers(od::value v, std::vector<PeerRow>& peers) {
  return walk::items(v, [&](od::value p) { return read_peer(p, peers.emplace_back()); });
}

Err read_group(od::value v, GroupRow& g) {
  return walk::members(v, [&](Key k, od::value m) -> Err {
    g.present = true;
    if (k == "name") return walk::read(m, g.cluster);
    if (k == "leader") return walk::read(m, g.leader);
    if (k == "leader_since") return walk::read(m, g.leader_since);
    if (k == "replicas") return read_peers(m, g.peers);
    return kOk;
  });
}

Err read_origin(od::value v, OriginRow& o) {
  return walk::members(v, [&](Key k, od::value m) -> Err {
    if (k == "name") return walk::read(m, o.name);
    if (k == "lag") return walk::read(m, o.lag);
    if (k == "active") return walk::read(m, o.active_ns);
    if (k == "error") {
      return walk::members(
          m, [&](Key e, od::value n) -> Err { return e == "description" ? walk::read(n, o.error) : kOk; });
    }
    if (k != "external") return kOk;
    // The only place where another domain shows is the API prefix "$JS.<domain>.API".
    return walk::members(m, [&](Key e, od::value n) -> Err {
      if (e != "api") return kOk;
      std::string api;
      if (Err x = walk::read(n, api)) return x;
      if (api.starts_with("$JS.") && api.ends_with(".API") && api.size() > 8) {
        o.domain = api.substr(4, api.size() - 8);
      }
      return kOk;
    });
  });
}

Err count_items(od::value v, std::uint32_t& n) {
  n = 0;
  return walk::items(v, [&](od::value) {
    ++n;
    return kOk;
  });
}

Err read_consumer_config(od::value v, std::optional<ConsumerConfigRow>& out) {
  return walk::members(v, [&](Key k, od::value m) -> Err {
    if (!out) out.emplace();
    if (k == "durable_name") return walk::read(m, out->durable);
    if (k == "ack_policy") return walk::read(m, out->ack_policy);
    if (k == "deliver_subject") return walk::read(m, out->deliver_subject);
    if (k == "max_ack_pending") return walk::read(m, out->max_ack_pending);
    if (k == "max_waiting") return walk::read(m, out->max_waiting);
    if (k == "filter_subjects") return count_items(m, out->filters);
    if (k != "filter_subject") return kOk;
    std::string filter;
    if (Err e = walk::read(m, filter)) return e;
    if (!filter.empty() && filter != ">") out->filters = std::max(out->filters, 1u);
    return kOk;
  });
}

Err read_position(od::value v, PositionRow& p) {
  return walk::members(v, [&](Key k, od::value m) -> Err {
    if (k == "consumer_seq") return walk::read(m, p.consumer_seq);
    if (k == "stream_seq") return walk::read(m, p.stream_seq);
    if (k == "last_active") return walk::read(m, p.last_active);
    return kOk;
  });
}

Err read_consumer(od::value v, ConsumerRow& c) {
  return walk::members(v, [&](Key k, od::value m) -> Err {
    if (k == "name") return walk::read(m, c.name);
    if (k == "created") return walk::read(m, c.created);
    if (k == "config") return read_consumer_config(m, c.config);
    if (k == "delivered") return read_position(m, c.delivered);
    if (k == "ack_floor") return read_position(m, c.ack_floor);
    if (k == "num_ack_pending") return walk::read(m, c.ack_pending);
    if (k == "num_redelivered") return walk::read(m, c.redelivered);
    if (k == "num_waiting") return walk::read(m, c.waiting);
    if (k == "num_pending") return walk::read(m, c.pending);
    if (k == "cluster") return read_group(m, c.group);
    if (k == "push_bound") return walk::read(m, c.push_bound);
    if (k == "paused") return walk::read(m, c.paused);
    return kOk;
  });
}

Err read_stream_config(od::value v, std::optional<StreamConfigRow>& out) {
  return walk::members(v, [&](Key k, od::value m) -> Err {
    if (!out) out.emplace();
    if (k == "retention") return walk::read(m, out->retention);
    if (k == "discard") return walk::read(m, out->discard);
    if (k == "storage") return walk::read(m, out->storage);
    if (k == "max_msgs") return walk::read(m, out->max_msgs);
    if (k == "max_bytes") return walk::read(m, out->max_bytes);
    if (k == "max_consumers") return walk::read(m, out->max_consumers);
    if (k == "num_replicas") return walk::read(m, out->replicas);
    if (k != "placement") return kOk;
    return walk::members(m, [&](Key p, od::value n) -> Err {
      return p == "cluster" ? walk::read(n, out->placement_cluster) : kOk;
    });
  });
}

Err read_lost(od::value v, std::uint64_t& lost) {
  return walk::members(v, [&](Key k, od::value m) -> Err {
    if (k != "msgs") return kOk;
    return walk::items(m, [&](od::value) {
      ++lost;
      return kOk;
    });
  });
}

Err read_state(od::value v, StreamStateRow& s) {
  return walk::members(v, [&](Key k, od::value m) -> Err {
    if (k == "messages") return walk::read(m, s.messages);
    if (k == "bytes") return walk::read(m, s.bytes);
    if (k == "first_seq") return walk::read(m, s.first_seq);
    if (k == "last_seq") return walk::read(m, s.last_seq);
    if (k == "first_ts") return walk::read(m, s.first_ts);
    if (k == "last_ts") return walk::read(m, s.last_ts);
    if (k == "num_subjects") return walk::read(m, s.subjects);
    if (k == "num_deleted") return walk::read(m, s.deleted);
    if (k == "consumer_count") return walk::read(m, s.consumers);
    if (k == "lost") return read_lost(m, s.lost);
    return kOk;
  });
}

Err read_mirror(od::value v, std::optional<OriginRow>& out) {
  od::json_type type;
  if (Err e = v.type().get(type)) return e;
  if (type != od::json_type::object) return kOk;
  return read_origin(v, out.emplace());
}

Err read_stream(od::value v, StreamRow& s) {
  return walk::members(v, [&](Key k, od::value m) -> Err {
    if (k == "name") return walk::read(m, s.name);
    if (k == "created") return walk::read(m, s.created);
    if (k == "cluster") return read_group(m, s.group);
    if (k == "config") return read_stream_config(m, s.config);
    if (k == "state") return read_state(m, s.state);
    if (k == "mirror") return read_mirror(m, s.mirror);
    if (k == "sources") {
      return walk::items(m, [&](od::value o) { return read_origin(o, s.sources.emplace_back()); });
    }
    if (k == "consumer_detail") {
      return walk::items(m, [&](od::value c) { return read_consumer(c, s.consumers.emplace_back()); });
    }
    return kOk;
  });
}

}  // namespace

Err read_meta(od::value v, std::optional<MetaRow>& out) {
  return walk::members(v, [&](Key k, od::value m) -> Err {
    if (!out) out.emplace();
    if (k == "leader") return walk::read(m, out->leader);
    if (k == "name") return walk::read(m, out->cluster);
    if (k == "cluster_size") return walk::read(m, out->size);
    if (k == "replicas") return read_peers(m, out->peers);
    return kOk;
  });
}

Err read_account(od::value v, AccountRow& a) {
  return walk::members(v, [&](Key k, od::value m) -> Err {
    if (k == "name") return walk::read(m, a.name);
    if (k == "id") return walk::read(m, a.id);
    if (k == "stream_detail") {
      return walk::items(m, [&](od::value s) { return read_stream(s, a.streams.emplace_back()); });
    }
    return kOk;
  });
}

}  // namespace weir::surveyor::rows
