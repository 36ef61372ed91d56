// broker/api/advisories.h - events on $JS.EVENT.> and $SYS.> as structs, and their JSON.
//
// Room:    pure. Build one only when someone is interested; the text is made once per event.
// Source:  the published schemas io.nats.jetstream.advisory.v1.*, io.nats.server.advisory.v1.*.
// Units:   ack_time in ns.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "broker/api/monitor.h"
#include "broker/api/responses.h"
#include "broker/base/ids.h"
#include "broker/base/time.h"

namespace weir::api {

/// What all events have; `id` is unique (make_nuid), `domain` may be empty.
struct EventHead {
  std::string id;
  Wall timestamp;
  std::string domain;
};

enum class AssetAction : std::uint8_t { kCreate, kDelete, kModify };

struct StreamAction {
  std::string stream;
  AssetAction action = AssetAction::kCreate;
};
struct ConsumerAdvisoryAction {
  std::string stream, consumer;
  AssetAction action = AssetAction::kCreate;
};
struct ConsumerPauseEvent {
  std::string stream, consumer;
  bool paused = false;
  Wall pause_until;
};
struct MaxDeliverEvent {
  std::string stream, consumer;
  StreamSeq stream_seq;
  std::uint64_t deliveries = 0;
};
/// Also for terminated messages; `reason` only there.
struct DeliveryEvent {
  std::string stream, consumer;
  ConsumerSeq consumer_seq;
  StreamSeq stream_seq;
  std::uint64_t deliveries = 0;
  std::string reason;
};
struct AckSample {
  std::string stream, consumer;
  ConsumerSeq consumer_seq;
  StreamSeq stream_seq;
  Nanos ack_time = 0;
  std::uint64_t deliveries = 0;
};
/// Of a stream, of a consumer (then `consumer` is set), or of the domain (`cluster` set, no stream).
struct LeaderEvent {
  std::string account, stream, consumer, cluster;
  std::string leader;
  std::vector<PeerInfo> replicas;
};
struct QuorumLostEvent {
  std::string account, stream, consumer;
  std::vector<PeerInfo> replicas;
};
struct ApiAudit {
  std::string server;
  ClientInfo client;
  std::string subject, request, response;
};
struct ApiLimitReached {
  std::string server;
  std::int64_t dropped = 0;
};
struct ServerEvent {  // out of storage, removed
  std::string server, server_id, stream, cluster;
};
struct TransferEvent {  // snapshot and restore, beginning and end
  std::string stream;
  std::optional<StreamState> state;   // snapshot_create only
  Wall start, end;                    // *_complete only
  std::optional<std::int64_t> bytes;  // restore_complete only
  std::string error;
  ClientInfo client;
};

std::string encode_stream_action(const EventHead& head, const StreamAction& e);
std::string encode_consumer_action(const EventHead& head, const ConsumerAdvisoryAction& e);
std::string encode_consumer_pause_event(const EventHead& head, const ConsumerPauseEvent& e);
std::string encode_max_deliver(const EventHead& head, const MaxDeliverEvent& e);
std::string encode_nak(const EventHead& head, const DeliveryEvent& e);
std::string encode_terminated(const EventHead& head, const DeliveryEvent& e);
std::string encode_ack_sample(const EventHead& head, const AckSample& e);
std::string encode_leader_elected(const EventHead& head, const LeaderEvent& e);
std::string encode_quorum_lost(const EventHead& head, const QuorumLostEvent& e);
std::string encode_api_audit(const EventHead& head, const ApiAudit& e);
std::string encode_api_limit_reached(const EventHead& head, const ApiLimitReached& e);
std::string encode_server_out_of_space(const EventHead& head, const ServerEvent& e);
std::string encode_server_removed(const EventHead& head, const ServerEvent& e);
std::string encode_snapshot_create(const EventHead& head, const TransferEvent& e);
std::string encode_snapshot_complete(const EventHead& head, const TransferEvent& e);
std::string encode_restore_create(const EventHead& head, const TransferEvent& e);
std::string encode_restore_complete(const EventHead& head, const TransferEvent& e);

// Events of the server, in the system account or the account concerned.
struct ConnectEvent {
  ServerIdentity server;
  ClientInfo client;
};
struct DisconnectEvent {
  ServerIdentity server;
  ClientInfo client;
  DataStats sent, received;
  std::string reason;  // texts: jsapi "Closed-connection reasons"
};
struct AccountConnsEvent {
  ServerIdentity server;
  AccountStat account;
};
std::string encode_client_connect(const EventHead& head, const ConnectEvent& e);
std::string encode_client_disconnect(const EventHead& head, const DisconnectEvent& e);
std::string encode_account_connections(const EventHead& head, const AccountConnsEvent& e);

}  // namespace weir::api
