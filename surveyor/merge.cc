#include "surveyor/merge.h"

#include <algorithm>

namespace weir::surveyor {

void append_label(std::string& out, std::string_view name, std::string_view value) {
  if (!out.empty()) out += ',';
  out += name;
  out += "=\"";
  for (char c : value) {
    if (c == '\\' || c == '"') out += '\\';
    if (c == '\n') {
      out += "\\n";
    } else {
      out += c;
    }
  }
  out += '"';
}

Merger::Presence Merger::presence(const Round& round) {
  Presence p;
  for (const auto& [id, s] : round.servers) {
    if (s.down_announced) continue;
    std::pair who{s.identity.domain, s.identity.name};
    if (s.pinged || s.jsz_complete) p.answered.insert(who);
    if (s.jsz_complete) p.complete.insert(who);
  }
  return p;
}

void Merger::servers(Round& round, Wall now, Snapshot& out) {
  std::uint64_t told = 0;
  for (auto& [id, s] : round.servers) {
    // A restarted server has a new id; its old one would count as down for an hour.
    std::erase_if(known_, [&](const auto& k) {
      return k.first != id && !s.down_announced && k.second.identity.name == s.identity.name &&
             k.second.identity.cluster == s.identity.cluster && !round.servers.contains(k.first);
    });
    KnownServer& k = known_[id];
    k.identity = s.identity;
    if (s.pinged && !s.down_announced) ++out.surveyed;
    if (!s.down_announced) k.last_heard = now;
    k.active_servers = s.statsz && !s.down_announced ? s.statsz->active_servers : 0;
    told = std::max(told, k.active_servers);
  }
  std::erase_if(known_, [&](const auto& k) { return now - k.second.last_heard > options_.forget_after; });
  std::uint64_t expected = std::max<std::uint64_t>({told, known_.size(), 1});
  out.expected = options_.expected ? options_.expected : static_cast<std::uint32_t>(expected);
  for (const auto& [id, k] : known_) {
    ServerView& v = out.servers.emplace_back();
    v.identity = k.identity;
    auto seen = round.servers.find(id);
    v.up = seen != round.servers.end() && !seen->second.down_announced;
    if (v.up) v.statsz = std::move(seen->second.statsz);
  }
}

void Merger::metas(const Round& round, Snapshot& out) {
  struct Seen {
    MetaView view;
    std::set<std::string> leaders;
    std::size_t claims = 0;
  };
  std::map<std::string, Seen> domains;
  for (const auto& [id, s] : round.servers) {
    if (!s.meta || s.down_announced) continue;
    Seen& d = domains[s.identity.domain];
    d.view.domain = s.identity.domain;
    d.view.size = std::max(d.view.size, s.meta->size);
    d.leaders.insert(s.meta->leader);
    bool claims = !s.meta->leader.empty() && s.meta->leader == s.identity.name;
    d.view.has_leader |= claims;
    if (!claims || ++d.claims > 1) continue;
    std::int64_t online = 1;
    for (const PeerRow& p : s.meta->peers) {
      bool alive = !p.offline && p.active_ns < kPeerSilent;
      online += alive;
      d.view.peers.push_back({p.name, std::nullopt, p.lag_ops, static_cast<double>(p.active_ns) / 1e9,
                              p.current, p.offline, alive && p.current});
    }
    auto quorum = static_cast<std::int64_t>(s.meta->size / 2 + 1);
    d.view.quorum_margin = online - quorum;
  }
  for (auto& [name, d] : domains) {
    d.view.disagreement = d.leaders.size() > 1 || d.claims > 1;
    out.metas.push_back(std::move(d.view));
  }
}

const StreamView* Merger::previous_of(const StreamMemory& m) const {
  if (!previous_ || !m.previous || *m.previous >= previous_->streams.size()) return nullptr;
  return &previous_->streams[*m.previous];
}

std::shared_ptr<const Snapshot> Merger::finish(Round&& round, Wall now) {
  auto out = std::make_shared<Snapshot>();
  out->round = round.id;
  Presence present = presence(round);
  servers(round, now, *out);
  metas(round, *out);
  if (present.answered.empty()) {
    // Blind, not dead: show what was known for a moment, then nothing; remember everything.
    out->blind = true;
    if (previous_ && ++blind_rounds_ <= kRoundsKept) out->streams = previous_->streams;
    if (blind_rounds_ <= kRoundsKept) previous_ = out;
    return out;
  }
  blind_rounds_ = 0;
  for (const auto& [key, entry] : round.streams) streams_.try_emplace(key);
  for (auto it = streams_.begin(); it != streams_.end();) {
    auto entry = round.streams.find(it->first);
    Job job{it->first, entry == round.streams.end() ? nullptr : &entry->second, it->second, present, now, {}};
    if (!stream(job)) {
      it = streams_.erase(it);
      continue;
    }
    it->second.previous = out->streams.size();
    out->streams.push_back(std::move(job.view));
    ++it;
  }
  previous_ = out;
  return out;
}

}  // namespace weir::surveyor
