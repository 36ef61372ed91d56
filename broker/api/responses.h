// broker/api/responses.h - replies of the JetStream API: plain structs in, JSON text out.
//
// Room:    pure. Field names, order and omissions are nats-server's.
// Thread:  any.
// Units:   durations in ns, sizes in bytes, times Wall (Wall{0} is written 0001-01-01T00:00:00Z).
// Use:     append_* functions add to the end of `out`; encode_* return a new text. Every reply starts
//          with its `type`; with an error it has the `error` object and, where clients decode them
//          without looking, empty lists.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "broker/api/consumer_config.h"
#include "broker/api/error.h"
#include "broker/api/stream_config.h"
#include "broker/base/ids.h"
#include "broker/base/time.h"

namespace weir::api {

class JsonWriter;

constexpr std::int64_t kNamesPage = 1024;          // entries of a names reply
constexpr std::int64_t kListPage = 256;            // entries of a list reply
constexpr std::int64_t kSubjectDetails = 100'000;  // subjects in a STREAM.INFO reply

/// The verbs, for the `type` of a reply.
enum class ReplyType : std::uint8_t {
  kAccountInfo,
  kAccountPurge,
  kStreamCreate,
  kStreamUpdate,
  kStreamNames,
  kStreamList,
  kStreamInfo,
  kStreamDelete,
  kStreamPurge,
  kStreamMsgGet,
  kStreamMsgDelete,
  kStreamSnapshot,
  kStreamRestore,
  kStreamRemovePeer,
  kStreamEvacuatePeer,
  kStreamCancelMove,
  kStreamLeaderStepDown,
  kConsumerCreate,
  kConsumerNames,
  kConsumerList,
  kConsumerInfo,
  kConsumerDelete,
  kConsumerPause,
  kConsumerUnpin,
  kConsumerReset,
  kConsumerLeaderStepDown,
  kConsumerEvacuatePeer,
  kMetaLeaderStepDown,
  kMetaServerRemove,
  kMetaServerEvacuate,
  kMetaRescue,
  kSystem,      // unknown verb, or no JetStream: "system_response"
  kOverloaded,  // "system_overloaded"
};
/// "io.nats.jetstream.api.v1.stream_info_response" and so on.
std::string_view type_text(ReplyType type);

struct PeerInfo {
  std::string name;
  bool current = false;
  bool offline = false;
  Nanos active = 0;       // since it was last heard of
  std::uint64_t lag = 0;  // entries behind
  std::string peer;       // its id
  bool pending = false;   // assigned, not yet a member
};

/// Where a stream is going while its replicas change, and where it was.
struct DesiredCluster {
  std::string name;
  std::vector<PeerInfo> replicas;  // name and peer only; all of them
  std::int64_t origin_replicas = 0;
  std::optional<Placement> origin_placement;
};
struct ClusterInfo {
  std::string name;
  std::string raft_group;
  std::string leader;
  std::optional<Wall> leader_since;
  bool system_account = false;
  std::string traffic_account;
  std::vector<PeerInfo> replicas;  // without the leader
  std::optional<DesiredCluster> desired = std::nullopt;
};

struct LostData {
  std::vector<std::uint64_t> msgs;
  std::uint64_t bytes = 0;
};

struct StreamState {
  std::uint64_t messages = 0;
  std::uint64_t bytes = 0;
  StreamSeq first_seq;
  Wall first_ts;
  StreamSeq last_seq;
  Wall last_ts;
  std::int64_t num_subjects = 0;
  std::vector<std::pair<std::string, std::uint64_t>> subjects;  // only when asked for
  std::int64_t num_deleted = 0;
  std::vector<std::uint64_t> deleted;  // only when asked for
  std::optional<LostData> lost;
  std::int64_t consumer_count = 0;
};

struct StreamSourceInfo {
  std::string name;
  std::optional<ExternalStream> external;
  std::uint64_t lag = 0;
  Nanos active = -1;  // since the last message; -1 = never
  std::optional<ApiError> error;
  std::string filter_subject;
  std::vector<SubjectTransform> subject_transforms;
};

struct StreamAlternate {
  std::string name;
  std::string domain;
  std::string cluster;
};

struct StreamInfo {
  StreamConfig config;
  Wall created;
  StreamState state;
  std::string domain;
  std::optional<ClusterInfo> cluster;
  std::optional<StreamSourceInfo> mirror;
  std::vector<StreamSourceInfo> sources;
  std::vector<StreamAlternate> alternates;
  Wall ts;  // when this was gathered
};

struct SequenceInfo {
  ConsumerSeq consumer_seq;
  StreamSeq stream_seq;
  std::optional<Wall> last_active;
};

struct PriorityGroupState {
  std::string group;
  std::string pinned_client_id;
  Wall pinned_ts;
};

struct ConsumerInfo {
  std::string stream_name;
  std::string name;
  Wall created;
  std::optional<ConsumerConfig> config;
  SequenceInfo delivered;
  SequenceInfo ack_floor;
  std::int64_t num_ack_pending = 0;
  std::int64_t num_redelivered = 0;
  std::int64_t num_waiting = 0;
  std::uint64_t num_pending = 0;
  std::optional<ClusterInfo> cluster;
  bool push_bound = false;
  bool paused = false;
  Nanos pause_remaining = 0;
  Wall ts;
  std::vector<PriorityGroupState> priority_groups;
};

struct AccountLimits {
  std::int64_t max_memory = -1;
  std::int64_t max_storage = -1;
  std::int64_t max_streams = -1;
  std::int64_t max_consumers = -1;
  std::int64_t max_ack_pending = -1;
  std::int64_t memory_max_stream_bytes = -1;
  std::int64_t storage_max_stream_bytes = -1;
  bool max_bytes_required = false;
};

struct AccountTier {
  std::uint64_t memory = 0;
  std::uint64_t storage = 0;
  std::uint64_t reserved_memory = 0;
  std::uint64_t reserved_storage = 0;
  std::int64_t streams = 0;
  std::int64_t consumers = 0;
  AccountLimits limits;
};

struct ApiStats {
  int level = 0;
  std::uint64_t total = 0;
  std::uint64_t errors = 0;
  std::uint64_t inflight = 0;
};

struct AccountInfo {
  AccountTier total;
  std::string domain;
  ApiStats api;
  std::map<std::string, AccountTier> tiers;  // "R1", "R3"
};

struct Paging {
  std::int64_t total = 0;
  std::int64_t offset = 0;
  std::int64_t limit = 0;
};

struct StoredMsg {
  std::string_view subject;
  StreamSeq seq;
  std::string_view headers;  // raw header block; empty = none
  std::string_view data;
  Wall time;
};

using OfflineReasons = std::map<std::string, std::string>;  // asset name -> reason

/// Writers of one value, for replies and monitoring pages of other files.
void write_error(JsonWriter& w, const ApiError& e);
void write_stream_info_fields(JsonWriter& w, const StreamInfo& info);
void write_stream_state(JsonWriter& w, const StreamState& s);
void write_cluster_info(JsonWriter& w, const ClusterInfo& c);
void write_peers(JsonWriter& w, const std::vector<PeerInfo>& peers);
void write_source_info(JsonWriter& w, const StreamSourceInfo& s);
void write_consumer_info(JsonWriter& w, const ConsumerInfo& info);
void write_api_stats(JsonWriter& w, const ApiStats& a);

/// The error reply of any verb.
std::string encode_error(ReplyType type, const ApiError& error);
/// Replies that say only that it worked: delete, message delete, remove peer, step-downs, server
/// remove, unpin.
std::string encode_success(ReplyType type);

std::string encode_account_info(const AccountInfo& info);
std::string encode_account_purge(bool initiated);
/// STREAM.CREATE; `did_create` is false if the same stream was there already.
std::string encode_stream_create(const StreamInfo& info, bool did_create);
std::string encode_stream_update(const StreamInfo& info, ReplyType type = ReplyType::kStreamUpdate);
/// STREAM.INFO; `paging` only when subjects were asked for.
std::string encode_stream_info(const StreamInfo& info, const std::optional<Paging>& paging = {});
std::string encode_stream_names(const std::vector<std::string>& names, const Paging& paging);
struct StreamList {
  std::vector<StreamInfo> streams;
  std::vector<std::string> missing;  // no answer in time
  OfflineReasons offline;
  Paging paging;
};
std::string encode_stream_list(const StreamList& list);
/// A list of what several nodes answered: `streams` are objects of encode_stream_info_object().
struct StreamListParts {
  std::vector<std::string> streams;
  std::vector<std::string> missing;
  OfflineReasons offline;
  Paging paging;
};
std::string encode_stream_list(const StreamListParts& list);
std::string encode_stream_info_object(const StreamInfo& info);
std::string encode_stream_purge(std::uint64_t purged);
std::string encode_msg_get(const StoredMsg& msg);
std::string encode_stream_snapshot(const StreamConfig& config, const StreamState& state);
std::string encode_stream_restore(std::string_view deliver_subject);

std::string encode_consumer_create(const ConsumerInfo& info);
std::string encode_consumer_info(const ConsumerInfo& info);
std::string encode_consumer_reset(const ConsumerInfo& info, StreamSeq reset_seq);
std::string encode_consumer_names(const std::vector<std::string>& names, const Paging& paging);
struct ConsumerList {
  std::vector<ConsumerInfo> consumers;
  std::vector<std::string> missing;
  OfflineReasons offline;
  Paging paging;
};
std::string encode_consumer_list(const ConsumerList& list);
struct PauseState {
  bool paused = false;
  Wall pause_until;
  Nanos pause_remaining = 0;
};
std::string encode_consumer_pause(const PauseState& state);
struct MetaRescue {
  std::string server;
  std::string server_id;
  std::int64_t prev_quorum = 0;
  std::int64_t new_quorum = 0;
};
std::string encode_meta_rescue(const MetaRescue& rescue);

}  // namespace weir::api
