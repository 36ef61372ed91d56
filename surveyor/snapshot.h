// surveyor/snapshot.h - one view per server, stream and consumer: the outcome of a round.
//
// Room:    pure data. Written by Merger, read by the renderer.
// Rule:    what is not known is absent, never 0.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "surveyor/model.h"
#include "surveyor/stall.h"

namespace weir::surveyor {

struct ServerView {
  ServerIdentity identity;
  bool up = false;
  std::optional<StatszReply> statsz;  // only while up
};

struct OriginView {
  const char* kind = "mirror";  // or "source"
  std::string origin, domain;
  std::uint32_t idx = 0;
  std::uint64_t lag = 0;
  std::optional<double> active_s;
};

struct PeerView {
  std::string peer;
  std::optional<std::uint64_t> lag_messages;
  std::uint64_t lag_ops = 0;
  double active_s = 0;
  bool current = false, offline = false;
  bool healthy = false;
};

struct ConsumerView {
  std::string name, labels;  // labels: rendered, without braces
  bool detail = false;       // the leader's values below are there
  bool has_leader = false;
  std::uint32_t replicas_online = 0;
  bool pull = true, durable = false;
  std::string ack_policy;
  std::uint32_t filters = 0;
  std::uint64_t pending = 0, ack_pending = 0, redelivered = 0, waiting = 0;
  std::optional<std::int64_t> max_ack_pending, max_waiting;
  bool paused = false, push_bound = false;
  std::uint64_t delivered = 0, acked = 0;
  std::optional<double> redeliveries;
  std::optional<double> lag_s;
  Wall last_delivery, last_ack;
  std::optional<ConsumerStatus> status, previous_status;  // previous: only in the round of a change
};

enum class StreamStatus : std::uint8_t { kOk, kNoLeader, kQuorumLost, kQuorumRisk, kLagging, kDrift };
constexpr std::size_t kStreamStatusCount = 6;

struct StreamView {
  std::string account, account_name, cluster_name, stream, labels;
  bool detail = false;
  bool has_leader = false;
  std::uint32_t replicas = 1, replicas_online = 0;
  std::optional<std::uint32_t> replicas_current;
  std::int64_t quorum_margin = 0;
  StreamStateRow state;
  std::optional<StreamConfigRow> config;
  std::optional<std::uint64_t> lag_replica, lag_mirror, lag_source, lag_consumer;
  std::optional<std::uint64_t> drift;  // only with two copies or more
  std::vector<OriginView> origins;
  std::vector<PeerView> peers;
  std::vector<std::pair<std::string, std::uint64_t>> lost;  // server name, messages
  StreamStatus status = StreamStatus::kOk;
  std::vector<ConsumerView> consumers;
};

struct MetaView {
  std::string domain;
  std::uint64_t size = 0;
  std::optional<std::int64_t> quorum_margin;  // only with a leader
  bool has_leader = false;
  bool disagreement = false;
  std::vector<PeerView> peers;
};

struct Snapshot {
  std::uint64_t round = 0;
  bool blind = false;  // no server answered; streams are old or absent
  std::uint32_t surveyed = 0, expected = 0;
  std::vector<ServerView> servers;
  std::vector<StreamView> streams;
  std::vector<MetaView> metas;
};

}  // namespace weir::surveyor
