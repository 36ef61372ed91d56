#include "surveyor/round.h"

#include <algorithm>
#include <utility>

namespace weir::surveyor {

namespace {

/// Null means "not clustered": the only replica leads.
bool claims_lead(const GroupRow& g, const std::string& server_name) {
  return !g.present || (!g.leader.empty() && g.leader == server_name);
}

void add_consumer(StreamEntry& stream, ConsumerRow&& row, const ServerIdentity& server, bool stream_claim) {
  ConsumerEntry& e = stream.consumers[row.name];
  e.reporters.push_back(server.name);
  // Without a block of its own a consumer is led where its stream is.
  bool claims = row.group.present ? claims_lead(row.group, server.name) : stream_claim;
  e.names_a_leader |= claims || !row.group.leader.empty();
  if (!claims) return;
  auto rank = [](Wall since, const ConsumerRow& r) {
    return std::tuple(since, r.delivered.consumer_seq, r.ack_floor.consumer_seq);
  };
  if (e.leader && rank(row.group.leader_since, row) <= rank(e.leader_since, *e.leader)) return;
  e.leader_since = row.group.leader_since;
  e.leader_server = server.name;
  e.leader = std::move(row);
}

void add_stream(StreamEntry& e, StreamRow&& row, const ServerIdentity& server) {
  bool claims = claims_lead(row.group, server.name);
  StreamCopy copy{server.id,
                  server.name,
                  claims,
                  claims || !row.group.leader.empty(),
                  row.state.messages,
                  row.state.first_seq,
                  row.state.last_seq,
                  row.state.deleted,
                  row.state.lost};
  auto same = std::find_if(e.copies.begin(), e.copies.end(),
                           [&](const StreamCopy& c) { return c.server_id == server.id; });
  // A server that pages while accounts come and go may name an account twice; its first word counts.
  if (same != e.copies.end()) return;
  e.copies.push_back(std::move(copy));
  for (ConsumerRow& c : row.consumers) {
    if (!c.name.empty()) add_consumer(e, std::move(c), server, claims);
  }
  row.consumers = {};
  if (row.config && (!e.config || claims)) e.config = row.config;
  if (e.cluster_name.empty() || claims) {
    e.cluster_name = row.group.cluster.empty() ? server.cluster : row.group.cluster;
  }
  if (!claims) return;
  auto rank = [](const StreamRow& r) { return std::pair(r.group.leader_since, r.state.last_seq); };
  if (e.leader && rank(row) <= rank(*e.leader)) return;
  e.leader_since = row.group.leader_since;
  e.leader_now = server.time;
  e.leader_server = server.name;
  e.leader = std::move(row);
}

}  // namespace

void Round::add(StatszReply&& reply, bool answer) {
  ServerSeen& s = servers[reply.server.id];
  s.identity = reply.server;
  s.down_announced = false;
  s.pinged |= answer;
  s.statsz = std::move(reply);
}

void Round::add(JszPage&& page) {
  ServerSeen& s = servers[page.server.id];
  s.down_announced = false;
  if (s.identity.id.empty()) s.identity = page.server;
  if (page.meta) s.meta = std::move(page.meta);
  for (AccountRow& a : page.accounts) {
    const std::string& id = a.id.empty() ? a.name : a.id;
    for (StreamRow& row : a.streams) {
      if (row.name.empty()) continue;
      StreamEntry& e = streams[StreamKey{page.server.domain, id, row.name}];
      e.account_name = a.name.empty() ? id : a.name;
      add_stream(e, std::move(row), page.server);
    }
  }
}

void Round::mark_complete(const std::string& server_id) {
  if (auto it = servers.find(server_id); it != servers.end()) it->second.jsz_complete = true;
}

void Round::goodbye(const ServerIdentity& server) {
  ServerSeen& s = servers[server.id];
  if (s.identity.id.empty()) s.identity = server;
  s.down_announced = true;
}

}  // namespace weir::surveyor
