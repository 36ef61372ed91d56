#include <algorithm>
#include <limits>

#include "surveyor/merge.h"

namespace weir::surveyor {

namespace {
constexpr double kNanosPerSecond = 1e9;

std::string stream_labels(const StreamKey& key, const StreamView& v) {
  std::string out;
  append_label(out, "cluster_name", v.cluster_name);
  append_label(out, "account", key.account);
  append_label(out, "account_name", v.account_name);
  append_label(out, "stream", key.stream);
  return out;
}
}  // namespace

/// False: the stream is gone.
bool Merger::stream(Job& job) {
  StreamMemory& m = job.memory;
  StreamView& v = job.view;
  const StreamView* before = previous_of(m);
  bool fresh = job.entry && job.entry->leader;
  if (!job.entry) {
    // Only the silence of all who had it explains that nobody speaks of it.
    bool explained = std::none_of(m.reporters.begin(), m.reporters.end(), [&](const std::string& name) {
      return job.present.complete.contains({job.key.domain, name});
    });
    if (!explained || !before || job.now - m.last_seen > options_.forget_after) return false;
  } else {
    m.last_seen = job.now;
    m.reporters.clear();
    for (const StreamCopy& c : job.entry->copies) m.reporters.push_back(c.server_name);
  }
  m.rounds_missing = fresh ? 0 : m.rounds_missing + 1;
  bool carry = !fresh && before && m.rounds_missing <= kRoundsKept;
  if (before && !fresh) {
    v = *before;
    v.consumers.clear();
    v.detail = carry && before->detail;
    if (!v.detail) {
      v.origins.clear();
      v.peers.clear();
    }
  }
  v.account = job.key.account;
  v.stream = job.key.stream;
  if (job.entry) {
    v.account_name = job.entry->account_name;
    v.cluster_name = job.entry->cluster_name;
    if (job.entry->config) v.config = job.entry->config;
    v.lost.clear();
    for (const StreamCopy& c : job.entry->copies) {
      if (c.lost > 0) v.lost.emplace_back(c.server_name, c.lost);
    }
  }
  v.labels = stream_labels(job.key, v);
  membership(job);
  if (fresh) leader_values(job);
  if (job.entry) drift(job);
  consumers(job);
  classify(v);
  return true;
}

/// Who belongs to the group, who of them is there, and what that means for the quorum.
void Merger::membership(Job& job) {
  StreamMemory& m = job.memory;
  StreamView& v = job.view;
  const StreamRow* leader = job.entry && job.entry->leader ? &*job.entry->leader : nullptr;
  if (leader) {
    m.members = {job.entry->leader_server};
    for (const PeerRow& p : leader->group.peers) m.members.push_back(p.name);
  } else if (m.members.empty()) {
    m.members = m.reporters;
  }
  auto answered = [&](const std::string& name) {
    return job.present.answered.contains({job.key.domain, name});
  };
  auto leader_sees = [&](const std::string& name) {
    if (!leader) return false;
    if (name == job.entry->leader_server) return true;
    return std::any_of(leader->group.peers.begin(), leader->group.peers.end(), [&](const PeerRow& p) {
      return p.name == name && !p.offline && p.active_ns < kPeerSilent;
    });
  };
  v.replicas_online = 0;
  for (const std::string& name : m.members) v.replicas_online += answered(name) || leader_sees(name);
  v.replicas = v.config ? std::max(v.config->replicas, 1u) : static_cast<std::uint32_t>(m.members.size());
  v.quorum_margin = static_cast<std::int64_t>(v.replicas_online) - (v.replicas / 2 + 1);
  if (job.entry) {
    v.has_leader = std::any_of(job.entry->copies.begin(), job.entry->copies.end(),
                               [](const StreamCopy& c) { return c.names_a_leader; });
    // Followers name a dead leader until the next election; once most of the group is gone there is none.
    if (!leader && v.quorum_margin < 0 && m.rounds_missing > kRoundsKept) v.has_leader = false;
  } else if (m.rounds_missing > kRoundsKept) {
    v.has_leader = false;
  }
}

void Merger::leader_values(Job& job) {
  StreamView& v = job.view;
  const StreamRow& row = *job.entry->leader;
  v.detail = true;
  v.state = row.state;
  job.memory.ring.add(row.state);
  std::uint32_t current = 1;
  for (const PeerRow& p : row.group.peers) current += p.current && !p.offline;
  v.replicas_current = current;
  replica_lags(job);
  origins(job);
}

void Merger::replica_lags(Job& job) {
  StreamView& v = job.view;
  StreamMemory& m = job.memory;
  const StreamEntry& e = *job.entry;
  const StreamRow& leader = *e.leader;
  for (const StreamCopy& c : e.copies) m.last_seqs[c.server_name] = c.last_seq;
  std::erase_if(m.last_seqs, [&](const auto& s) {
    return std::find(m.members.begin(), m.members.end(), s.first) == m.members.end();
  });
  v.peers.clear();
  v.lag_replica.reset();
  std::map<std::string, std::uint64_t> lags;
  for (const PeerRow& p : leader.group.peers) {
    PeerView pv{p.name,    std::nullopt, p.lag_ops, static_cast<double>(p.active_ns) / kNanosPerSecond,
                p.current, p.offline,    false};
    // A silent follower counts with what it last said; one that never spoke has no known lag.
    if (auto it = m.last_seqs.find(p.name); it != m.last_seqs.end()) {
      std::uint64_t lag = leader.state.last_seq - std::min(leader.state.last_seq, it->second);
      lags[p.name] = lag;
      // Replies of two servers are some milliseconds apart: only what two rounds show counts.
      auto before = m.lags.find(p.name);
      pv.lag_messages = before == m.lags.end() ? lag : std::min(lag, before->second);
      v.lag_replica = std::max(v.lag_replica.value_or(0), *pv.lag_messages);
    }
    pv.healthy = p.current && !p.offline && p.active_ns < kPeerSilent &&
                 pv.lag_messages.value_or(0) <= kLaggingMessages;
    v.peers.push_back(std::move(pv));
  }
  m.lags = std::move(lags);
}

void Merger::origins(Job& job) {
  StreamView& v = job.view;
  const StreamRow& row = *job.entry->leader;
  v.origins.clear();
  v.lag_mirror.reset();
  v.lag_source.reset();
  auto add = [&](const char* kind, const OriginRow& o, std::uint32_t idx) {
    OriginView& out = v.origins.emplace_back();
    out.kind = kind;
    out.origin = o.name;
    out.domain = o.domain;
    out.idx = idx;
    out.lag = o.lag;
    if (o.active_ns >= 0) out.active_s = static_cast<double>(o.active_ns) / kNanosPerSecond;
  };
  if (row.mirror) {
    add("mirror", *row.mirror, 0);
    v.lag_mirror = row.mirror->lag;
  }
  std::uint32_t idx = 0;
  for (const OriginRow& o : row.sources) {
    add("source", o, idx++);
    v.lag_source = std::max(v.lag_source.value_or(0), o.lag);
  }
}

/// Replicas that stand at the same last sequence for some rounds must hold the same messages. Work queues
/// delete with a delay, so a moving stream says nothing.
void Merger::drift(Job& job) {
  StreamMemory& m = job.memory;
  const auto& copies = job.entry->copies;
  job.view.drift.reset();
  if (copies.size() < 2) return;
  std::uint64_t last = copies.front().last_seq, difference = 0;
  bool equal =
      std::all_of(copies.begin(), copies.end(), [&](const StreamCopy& c) { return c.last_seq == last; });
  for (auto field : {&StreamCopy::messages, &StreamCopy::first_seq, &StreamCopy::deleted}) {
    auto [low, high] = std::minmax_element(copies.begin(), copies.end(),
                                           [&](const auto& a, const auto& b) { return a.*field < b.*field; });
    difference = std::max(difference, (*high).*field - (*low).*field);
  }
  bool idle = equal && m.idle_last_seq == last && difference > 0;
  m.equal_rounds = idle ? m.equal_rounds + 1 : 0;
  m.idle_last_seq = equal ? last : std::numeric_limits<std::uint64_t>::max();
  job.view.drift = m.equal_rounds >= kDriftRounds ? difference : 0;
}

void Merger::classify(StreamView& v) {
  auto lag = std::max({v.lag_replica.value_or(0), v.lag_mirror.value_or(0), v.lag_source.value_or(0)});
  v.status = !v.has_leader                            ? StreamStatus::kNoLeader
             : v.quorum_margin < 0                    ? StreamStatus::kQuorumLost
             : v.quorum_margin == 0 && v.replicas > 1 ? StreamStatus::kQuorumRisk
             : v.drift.value_or(0) > 0                ? StreamStatus::kDrift
             : lag > kLaggingMessages                 ? StreamStatus::kLagging
                                                      : StreamStatus::kOk;
}

}  // namespace weir::surveyor
