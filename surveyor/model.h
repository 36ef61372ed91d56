// surveyor/model.h - what servers say, as plain structs.
//
// Room:    pure. Written by the decoders, read by the merge. Field names follow the JSON of STATSZ and JSZ.
// Units:   durations Nanos, times Wall (0 = absent), sizes bytes, sequences 1-based (0 = none).
// Rule:    a field that a server did not send keeps its default; where 0 would be a statement of its own
//          the field is optional.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "broker/base/time.h"

namespace weir::surveyor {

struct ServerIdentity {
  std::string id, name, cluster, domain, version, host;
  bool jetstream = false;
  Wall time;  // of the server, when it answered
};

/// One member of a group as its leader sees it.
struct PeerRow {
  std::string name;
  bool current = false, offline = false;
  Nanos active_ns = 0;  // since the last contact
  std::uint64_t lag_ops = 0;
};

/// The "cluster" block of a stream or consumer. `present` false = null, which means: not clustered.
struct GroupRow {
  bool present = false;
  std::string cluster, leader;
  Wall leader_since;
  std::vector<PeerRow> peers;
};

struct OriginRow {
  std::string name, domain, error;
  std::uint64_t lag = 0;
  Nanos active_ns = -1;  // -1 = never heard
};

struct ConsumerConfigRow {
  std::string durable, ack_policy, deliver_subject;
  std::uint32_t filters = 0;
  std::int64_t max_ack_pending = 0, max_waiting = 0;  // <= 0 = no limit
};
struct PositionRow {
  std::uint64_t consumer_seq = 0, stream_seq = 0;
  Wall last_active;
};
struct ConsumerRow {
  std::string name;
  Wall created;
  std::optional<ConsumerConfigRow> config;
  PositionRow delivered, ack_floor;
  std::uint64_t pending = 0, ack_pending = 0, redelivered = 0, waiting = 0;
  bool paused = false, push_bound = false;
  GroupRow group;
};

struct StreamConfigRow {
  std::string retention, discard, storage, placement_cluster;
  std::int64_t max_msgs = -1, max_bytes = -1, max_consumers = -1;  // <= 0 = unlimited
  std::uint32_t replicas = 1;
};
struct StreamStateRow {
  std::uint64_t messages = 0, bytes = 0, first_seq = 0, last_seq = 0;
  std::uint64_t subjects = 0, deleted = 0, consumers = 0, lost = 0;
  Wall first_ts, last_ts;
};
struct StreamRow {
  std::string name;
  Wall created;
  GroupRow group;
  std::optional<StreamConfigRow> config;
  StreamStateRow state;
  std::optional<OriginRow> mirror;
  std::vector<OriginRow> sources;
  std::vector<ConsumerRow> consumers;
};

struct AccountRow {
  std::string id, name;
  std::vector<StreamRow> streams;
};

struct MetaRow {
  std::string leader, cluster;
  std::uint64_t size = 0;
  std::vector<PeerRow> peers;  // only on the leader
};

/// One page of $SYS.REQ.SERVER.<id>.JSZ.
struct JszPage {
  ServerIdentity server;
  std::string error;  // not empty: the server refused
  bool disabled = false;
  std::uint64_t total_accounts = 0;
  std::optional<MetaRow> meta;
  std::vector<AccountRow> accounts;
};

struct JetStreamStatsRow {
  std::int64_t max_memory = 0, max_storage = 0;
  std::uint64_t memory = 0, storage = 0, reserved_memory = 0, reserved_storage = 0;
  std::uint64_t accounts = 0, ha_assets = 0, api_total = 0, api_errors = 0, api_inflight = 0;
};
struct StatszReply {
  ServerIdentity server;
  Wall start;
  std::uint64_t mem = 0, cores = 0, connections = 0, total_connections = 0;
  std::uint64_t accounts = 0, subscriptions = 0, slow_consumers = 0;
  std::uint64_t sent_msgs = 0, sent_bytes = 0, received_msgs = 0, received_bytes = 0;
  double cpu = 0;
  std::uint64_t active_servers = 0;  // 0 = not told
  std::optional<JetStreamStatsRow> jetstream;
};

}  // namespace weir::surveyor
