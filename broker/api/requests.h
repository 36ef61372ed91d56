// broker/api/requests.h - bodies of JetStream API requests and of consumer replies (acks, pulls).
//
// Room:    pure. Decoders only check the shape; rules about values are with the verbs, except where
//          a comment says so.
// Errors:  kInvalidJSON (10025) with the reason; kBadRequest (10003) for an empty body where one is
//          needed. With kLenient unknown fields are skipped.
// Units:   durations in ns, sizes in bytes; 0 = not given, unless a comment says otherwise.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "broker/api/consumer_config.h"
#include "broker/api/stream_config.h"
#include "broker/base/ids.h"
#include "broker/base/result.h"
#include "broker/base/time.h"

namespace weir::api {

/// True for "", "{}" and a JSON object without members: what verbs without options accept.
/// A verb that got something else answers kNotEmptyRequest (10038).
bool is_empty_request(std::string_view body);

/// STREAM.NAMES and STREAM.LIST. An empty body is fine.
struct StreamNamesRequest {
  std::int64_t offset = 0;  // negative ones count as 0
  std::string subject;      // only streams with a subject that overlaps this one
};
/// CONSUMER.NAMES and CONSUMER.LIST. An empty body is fine.
struct ConsumersRequest {
  std::int64_t offset = 0;
};
/// STREAM.INFO. An empty body is fine.
struct StreamInfoRequest {
  std::int64_t offset = 0;
  bool deleted_details = false;
  std::string subjects_filter;
};
/// STREAM.PURGE. An empty body is fine. Both seq and keep: kBadRequest (checked here).
struct PurgeRequest {
  StreamSeq seq;  // up to but not including
  std::uint64_t keep = 0;
  std::string filter;
};
/// STREAM.MSG.GET and DIRECT.GET.
struct MsgGetRequest {
  StreamSeq seq;
  std::string last_by_subj;
  std::string next_by_subj;
  std::int64_t batch = 0;      // DIRECT.GET only
  std::int64_t max_bytes = 0;  // DIRECT.GET only
  std::optional<Wall> start_time;
  std::vector<std::string> multi_last;  // DIRECT.GET only
  StreamSeq up_to_seq;                  // with multi_last
  std::optional<Wall> up_to_time;       // with multi_last
  bool no_hdr = false;

  bool is_multi() const { return !multi_last.empty(); }
  bool is_batch() const { return batch > 0; }
};
/// STREAM.MSG.DELETE.
struct MsgDeleteRequest {
  StreamSeq seq;
  bool no_erase = false;
};
/// STREAM.SNAPSHOT. Sizes are clamped to the allowed range here.
struct SnapshotRequest {
  std::string deliver_subject;
  bool no_consumers = false;
  std::int64_t chunk_size = 0;   // 1 KiB to 1 MiB, default 128 KiB
  std::int64_t window_size = 0;  // 1 KiB to 32 MiB, default 8 MiB
  bool check_msgs = false;       // field "jsck"
};

enum class ConsumerAction : std::uint8_t { kCreateOrUpdate, kCreate, kUpdate };

/// CONSUMER.CREATE.* and CONSUMER.DURABLE.CREATE.*.
struct ConsumerCreateRequest {
  std::string stream_name;
  ConsumerConfig config;
  ConsumerAction action = ConsumerAction::kCreateOrUpdate;
  bool pedantic = false;
};
/// CONSUMER.PAUSE. Empty, no time or a past time = resume.
struct ConsumerPauseRequest {
  std::optional<Wall> pause_until;
};
struct ConsumerUnpinRequest {
  std::string group;
};
struct ConsumerResetRequest {
  StreamSeq seq;  // 0 = back to the ack floor
};
/// The LEADER.STEPDOWN verbs. An empty body is fine.
struct StepDownRequest {
  std::optional<Placement> placement;
};
/// STREAM.PEER.REMOVE: server name or id.
struct PeerRemoveRequest {
  std::string peer;
};
/// ACCOUNT.STREAM.MOVE: off a server, found in a cluster and domain; to servers with tags. An empty body is
/// fine.
struct StreamMoveRequest {
  std::string server, cluster, domain;
  std::vector<std::string> tags;
};
/// SERVER.REMOVE and SERVER.EVACUATE: a name, or an id that wins over it.
struct ServerRemoveRequest {
  std::string peer;
  std::string peer_id;
};

Decoded<StreamNamesRequest> decode_stream_names(std::string_view body, Strictness s = Strictness::kStrict);
Decoded<ConsumersRequest> decode_consumers(std::string_view body, Strictness s = Strictness::kStrict);
Decoded<StreamInfoRequest> decode_stream_info(std::string_view body, Strictness s = Strictness::kStrict);
Decoded<PurgeRequest> decode_purge(std::string_view body, Strictness s = Strictness::kStrict);
/// Also refuses combinations that STREAM.MSG.GET does not know (kBadRequest).
Decoded<MsgGetRequest> decode_msg_get(std::string_view body, Strictness s = Strictness::kStrict);
Decoded<MsgDeleteRequest> decode_msg_delete(std::string_view body, Strictness s = Strictness::kStrict);
Decoded<SnapshotRequest> decode_snapshot(std::string_view body, Strictness s = Strictness::kStrict);
Decoded<ConsumerCreateRequest> decode_consumer_create(std::string_view body,
                                                      Strictness s = Strictness::kStrict);
Decoded<ConsumerPauseRequest> decode_consumer_pause(std::string_view body,
                                                    Strictness s = Strictness::kStrict);
Decoded<ConsumerUnpinRequest> decode_consumer_unpin(std::string_view body,
                                                    Strictness s = Strictness::kStrict);
Decoded<ConsumerResetRequest> decode_consumer_reset(std::string_view body,
                                                    Strictness s = Strictness::kStrict);
Decoded<StepDownRequest> decode_step_down(std::string_view body, Strictness s = Strictness::kStrict);
Decoded<PeerRemoveRequest> decode_peer_remove(std::string_view body, Strictness s = Strictness::kStrict);
Decoded<StreamMoveRequest> decode_stream_move(std::string_view body, Strictness s = Strictness::kStrict);
Decoded<ServerRemoveRequest> decode_server_remove(std::string_view body, Strictness s = Strictness::kStrict);

/// The status line that answers a bad DIRECT.GET; code 0 = none, the request is good.
struct DirectGetStatus {
  int code = 0;
  std::string_view text;
};
struct DirectGetDecoded {
  MsgGetRequest request;
  DirectGetStatus status;
};
/// DIRECT.GET.<stream>. Gives "408 Empty Request", "408 Malformed Request" or "408 Bad Request" for
/// what a server answers so.
DirectGetDecoded decode_direct_get(std::string_view body);

/// CONSUMER.MSG.NEXT: empty = 1 message, an integer, or JSON. Unknown fields are skipped always.
struct NextRequest {
  Nanos expires = 0;  // 0 = no limit
  std::int64_t batch = 1;
  std::int64_t max_bytes = 0;
  bool no_wait = false;
  Nanos idle_heartbeat = 0;
  std::string group;
  std::int64_t min_pending = 0;
  std::int64_t min_ack_pending = 0;
  std::string id;  // pin id
  std::int64_t priority = 0;
};
/// Errors: kInvalid; the detail belongs into the status line `400 Bad Request - <detail>`.
/// A body that is neither integer nor JSON counts as empty; JSON without batch means 1.
Result<NextRequest> decode_next(std::string_view body);

enum class AckKind : std::uint8_t { kAck, kNak, kProgress, kNext, kTerm };

/// What a client published to an ack subject.
struct AckBody {
  AckKind kind = AckKind::kAck;
  Nanos delay = 0;           // kNak: 0 = at once
  std::string_view reason;   // kTerm; points into the body
  std::string_view request;  // kNext: the pull that follows, for decode_next(); points into the body
};
/// nullopt for a body that is no ack; nats-server ignores those too. A delay that cannot be read is 0.
std::optional<AckBody> decode_ack_body(std::string_view body);

}  // namespace weir::api
