// broker/api/monitor_js.h - JetStream's monitoring pages: jsz and raftz, and the part of varz.
//
// Room:    pure. See monitor.h for the rules of all pages.
// Units:   sizes in bytes, durations Nanos.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "broker/api/consumer_config.h"
#include "broker/api/responses.h"
#include "broker/api/stream_config.h"
#include "broker/base/time.h"

namespace weir::api {

struct JsServerConfig {
  std::int64_t max_memory = 0;
  std::int64_t max_storage = 0;
  std::string store_dir;
  Nanos sync_interval = 0;
  bool sync_always = false;
  std::string domain;
  std::string unique_tag;
  bool strict = true;
};
struct JsServerLimits {
  std::int64_t max_request_batch = 0;
  std::int64_t max_ack_pending = 0;
  std::int64_t max_ha_assets = 0;
  Nanos max_duplicate_window = 0;
};
struct JsStats {
  std::uint64_t memory = 0, storage = 0;
  std::uint64_t reserved_memory = 0, reserved_storage = 0;
  std::int64_t accounts = 0;
  std::int64_t ha_assets = 0;
  ApiStats api;
};
struct MetaCluster {
  std::string name, leader, peer;
  std::vector<PeerInfo> replicas;
  std::int64_t cluster_size = 0;
  std::int64_t quorum_needed = 0;
  std::int64_t pending = 0, pending_requests = 0, pending_infos = 0;
  std::uint64_t snapshot_pending_entries = 0, snapshot_pending_size = 0;
  Wall snapshot_last_time;
  Nanos snapshot_last_duration = 0;
};
/// Weir's own: how often the replicas of groups led here were compared, and what came of it.
struct StateChecks {
  std::uint64_t compared = 0, differed = 0, given_up = 0;
};
struct JsVarz {
  JsServerConfig config;
  JsStats stats;
  std::optional<MetaCluster> meta;
  JsServerLimits limits;
  std::optional<StateChecks> state_checks;  // in a cluster
};

struct RaftGroupName {
  std::string name, raft_group;
};
struct StreamDetail {
  std::string name;
  Wall created;
  std::optional<ClusterInfo> cluster;
  std::optional<StreamConfig> config;  // only when asked for
  StreamState state;
  std::vector<ConsumerInfo> consumers;         // only when asked for
  std::vector<ConsumerInfo> direct_consumers;  // only when asked for
  std::optional<StreamSourceInfo> mirror;
  std::vector<StreamSourceInfo> sources;
  std::string raft_group;                           // only when asked for
  std::vector<RaftGroupName> consumer_raft_groups;  // only when asked for
};
struct AccountDetail {
  std::string name, id;
  JsStats stats;
  std::vector<StreamDetail> streams;  // only when asked for
};
struct Jsz {
  JsStats stats;
  std::string server_id;
  Wall now;
  bool disabled = false;
  JsServerConfig config;
  std::optional<JsServerLimits> limits;
  std::int64_t streams = 0, streams_leader = 0;
  std::int64_t consumers = 0, consumers_leader = 0;
  std::uint64_t messages = 0, bytes = 0;
  std::optional<MetaCluster> meta;
  std::vector<AccountDetail> account_details;
  std::int64_t total = 0;  // accounts before paging
};

struct RaftPeer {
  std::string name;
  bool known = true;
  std::uint64_t last_replicated_index = 0;
  std::string last_seen;
};
struct RaftGroup {
  std::string id, state;  // "LEADER", "FOLLOWER", "CANDIDATE", "OBSERVER"
  std::int64_t size = 0, quorum_needed = 0;
  bool observer = false, paused = false, catching_up = false;
  std::uint64_t committed = 0, applied = 0;
  std::string leader;
  std::optional<Wall> leader_since;
  bool ever_had_leader = false;
  std::uint64_t term = 0;
  std::string voted_for;
  std::uint64_t pterm = 0, pindex = 0;  // of the last entry of the log
  std::uint64_t first_index = 0;        // of the log
  std::uint64_t log_bytes = 0;
  // Weir's own: the replica's state as of `applied`, 16 hexadecimal digits; on the leader the last entry as
  // of which all were equal, and who is not.
  std::string state_hash, state_differs;
  std::uint64_t state_proven = 0;
  bool system_account = false;
  std::string traffic_account;
  std::map<std::string, RaftPeer> peers;
};
using Raftz = std::map<std::string, std::map<std::string, RaftGroup>>;  // account -> group

std::string encode_jsz(const Jsz& j);
std::string encode_raftz(const Raftz& r);

}  // namespace weir::api
