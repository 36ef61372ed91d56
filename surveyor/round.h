// surveyor/round.h - the replies of one round of questions, folded as they arrive.
//
// Room:    pure. Of each stream and consumer only the leader's row is kept whole; of the other replicas
//          the few numbers that are true on a follower. So a round of 50 000 consumers with three replicas
//          costs the memory of one replica.
// Rule:    a row belongs to (domain, account id, stream, consumer). Its leader is the server that names
//          itself; of two claims the newer leader_since counts, then the higher last_seq.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include "surveyor/model.h"

namespace weir::surveyor {

struct StreamKey {
  std::string domain, account, stream;
  auto operator<=>(const StreamKey&) const = default;
};

/// What one server says of its own copy of a stream.
struct StreamCopy {
  std::string server_id, server_name;
  bool claims = false;          // says that it leads
  bool names_a_leader = false;  // says that somebody leads
  std::uint64_t messages = 0, first_seq = 0, last_seq = 0, deleted = 0, lost = 0;
};

struct ConsumerEntry {
  std::optional<ConsumerRow> leader;
  Wall leader_since;
  std::string leader_server;  // name
  bool names_a_leader = false;
  std::vector<std::string> reporters;  // names of the servers that have it
};

struct StreamEntry {
  std::string account_name, cluster_name;
  std::vector<StreamCopy> copies;
  std::optional<StreamRow> leader;  // without its consumers
  Wall leader_since;
  Wall leader_now;  // the leader's clock when it answered
  std::string leader_server;
  std::optional<StreamConfigRow> config;  // of any copy
  std::map<std::string, ConsumerEntry> consumers;
};

struct ServerSeen {
  ServerIdentity identity;
  bool pinged = false;          // answered the question of this round
  bool jsz_complete = false;    // every page came
  bool down_announced = false;  // said goodbye, and nothing came from it since
  std::optional<StatszReply> statsz;
  std::optional<MetaRow> meta;
};

struct Round {
  std::uint64_t id = 0;
  std::map<std::string, ServerSeen> servers;  // by id
  std::map<StreamKey, StreamEntry> streams;

  /// `answer` false: it was pushed by the server, nobody asked.
  void add(StatszReply&& reply, bool answer);
  void add(JszPage&& page);
  void mark_complete(const std::string& server_id);
  void goodbye(const ServerIdentity& server);
};

}  // namespace weir::surveyor
