// surveyor/rows_testing.h - short ways to write replies in tests.
#pragma once

#include <fstream>
#include <sstream>
#include <string>
#include <utility>

#include "surveyor/round.h"

namespace weir::surveyor::testing {

inline std::string read_data(const std::string& name) {
  std::ifstream in(std::string(SURVEYOR_TESTDATA) + "/" + name, std::ios::binary);
  std::stringstream text;
  text << in.rdbuf();
  return text.str();
}

inline ServerIdentity server(const std::string& name) {
  ServerIdentity s;
  s.id = "ID-" + name;
  s.name = name;
  s.cluster = "C1";
  s.version = "2.15.1";
  s.jetstream = true;
  return s;
}

inline StatszReply statsz(const std::string& name, std::uint64_t active_servers = 0) {
  StatszReply r;
  r.server = server(name);
  r.active_servers = active_servers;
  r.jetstream.emplace();
  return r;
}

/// A stream row of one server; `leader` "" = nobody leads.
inline StreamRow stream_row(const std::string& leader, std::uint64_t last_seq,
                            std::vector<std::string> peers = {}) {
  StreamRow s;
  s.name = "ORDERS";
  s.group.present = true;
  s.group.cluster = "C1";
  s.group.leader = leader;
  for (auto& p : peers) s.group.peers.push_back({p, true, false, kSecond, 0});
  s.config.emplace();
  s.config->replicas = static_cast<std::uint32_t>(peers.size() + 1);
  s.config->discard = "old";
  s.state.last_seq = last_seq;
  s.state.messages = last_seq;
  s.state.first_seq = 1;
  return s;
}

inline ConsumerRow consumer_row(const std::string& leader, std::uint64_t delivered, std::uint64_t acked) {
  ConsumerRow c;
  c.name = "worker";
  c.group.present = true;
  c.group.leader = leader;
  c.config.emplace();
  c.config->durable = "worker";
  c.config->ack_policy = "explicit";
  c.config->max_ack_pending = 1000;
  c.config->max_waiting = 512;
  c.delivered = {delivered, delivered, {}};
  c.ack_floor = {acked, acked, {}};
  c.ack_pending = delivered - acked;
  return c;
}

inline JszPage page(const std::string& name, std::vector<StreamRow> streams) {
  JszPage p;
  p.server = server(name);
  AccountRow a;
  a.id = "A";
  a.name = "app";
  a.streams = std::move(streams);
  p.total_accounts = 1;
  p.accounts.push_back(std::move(a));
  return p;
}

/// Adds a server that answered everything.
inline void answer(Round& round, const std::string& name, std::vector<StreamRow> streams) {
  round.add(statsz(name), true);
  round.add(page(name, std::move(streams)));
  round.mark_complete("ID-" + name);
}

}  // namespace weir::surveyor::testing
