#include "tests/sim/checkers/replica_check.h"

#include <algorithm>
#include <set>
#include <tuple>
#include <utility>

#include "broker/server/jetstream.h"

namespace weir::sim {

server::JetStream* ReplicaCheck::jetstream(SimNode& n) {
  return n.running() ? n.node()->jetstream() : nullptr;
}

void ReplicaCheck::look(SimNode& n) {
  server::JetStream* js = jetstream(n);
  if (!js || !js->ready()) return;
  look_at_own_checks(n, *js);
  if (const replica::Group& group = js->meta().group(); news(n, group))
    look(n, group, js->meta().state().state_hash(), "the meta group");
  for (server::StreamHost* host : js->all_streams()) {
    if (host->machine().config().storage == api::Storage::kMemory) {
      if (host->machine().config().num_replicas == 1) continue;
      born_.try_emplace({host->group_id(), host->group().self()}, n.lives());
    }
    if (news(n, host->group())) look(n, host->group(), host->machine().state_hash(), host->name());
  }
}

void ReplicaCheck::look_at_own_checks(const SimNode& n, const server::JetStream& js) {
  const server::StateCheck* check = js.state_check();
  if (!check || check->stats().differed + check->stats().given_up == 0) return;
  if (!blind_) return verdict_.fail(n.name() + " found replicas whose states differ, see its log");
  given_up_[{n.number(), n.lives()}] = check->stats().given_up;
}

std::uint64_t ReplicaCheck::given_up() const {
  std::uint64_t sum = 0;
  for (const auto& [life, count] : given_up_) sum += count;
  return sum;
}

bool ReplicaCheck::news(const SimNode& n, const replica::Group& group) {
  if (group.why_stopped()) return false;  // in the middle of an entry
  std::tuple now{group.applied(), group.term(), group.leading()};
  return std::exchange(seen_[{n.number(), group.id()}], now) != now;
}

void ReplicaCheck::look(SimNode& n, const replica::Group& group, std::uint64_t hash,
                        const std::string& name) {
  std::string where = n.name() + " (life " + std::to_string(n.lives()) + ")";
  if (group.leading()) {
    auto [it, fresh] = leaders_.try_emplace({group.id(), group.term()}, group.self(), where);
    if (!fresh && it->second.first != group.self())
      return verdict_.fail(name + ": in term " + std::to_string(group.term().v) + " both " +
                           it->second.second + " and " + where + " lead");
  }
  if (group.applied().v == 0) return;
  Applied is{group.applied_term(), hash, where};
  auto [it, fresh] = applied_[group.id()].try_emplace(group.applied(), is);
  const Applied& was = it->second;
  std::string at = name + " (group " + std::to_string(group.id().v) + "): at index " +
                   std::to_string(group.applied().v) + " of term " + std::to_string(is.term.v) + " ";
  if (was.term != is.term)
    return verdict_.fail(at + was.where + " applied an entry of term " + std::to_string(was.term.v) + ", " +
                         where + " one of " + std::to_string(is.term.v));
  if (was.hash != is.hash && !blind_)
    return verdict_.fail(at + was.where + " and " + where + " have different states");
}

namespace {

server::JetStream* most_advanced(Nodes& nodes) {
  server::JetStream* best = nullptr;
  for (auto& n : nodes) {
    server::JetStream* js = ReplicaCheck::jetstream(*n);
    if (js && (!best || best->meta().group().applied() < js->meta().group().applied())) best = js;
  }
  return best;
}

server::StreamHost* host_of(server::JetStream& js, GroupId group) {
  for (server::StreamHost* h : js.all_streams()) {
    if (h->group_id() == group) return h;
  }
  return nullptr;
}

}  // namespace

bool ReplicaCheck::forgot(Nodes& nodes, const std::string& stream) const {
  std::set<NodeId> alive;
  std::vector<raft::ConfState> confs;
  for (auto& n : nodes) {
    server::JetStream* js = jetstream(*n);
    if (!js) continue;
    for (server::StreamHost* h : js->all_streams()) {
      if (h->name() != stream) continue;
      confs.push_back(h->group().conf());
      auto born = born_.find({h->group_id(), h->group().self()});
      if (born == born_.end() || born->second == n->lives()) alive.insert(h->group().self());
    }
  }
  auto majority = [&](const std::vector<NodeId>& voters) {
    auto n = std::count_if(voters.begin(), voters.end(), [&](NodeId v) { return alive.contains(v); });
    return static_cast<std::size_t>(n) * 2 > voters.size();
  };
  return confs.empty() || !std::all_of(confs.begin(), confs.end(), [&](const raft::ConfState& c) {
           return majority(c.voters) && (c.outgoing.empty() || majority(c.outgoing));
         });
}

std::vector<std::string> ReplicaCheck::holders(Nodes& nodes, const std::string& stream) {
  std::vector<std::string> out;
  server::JetStream* js = most_advanced(nodes);
  const jetstream::MetaStream* s = js ? js->meta().state().find("$G", stream) : nullptr;
  if (!s) return out;
  for (NodeId peer : s->peers) {
    const jetstream::MetaNode* node = js->meta().state().find_node(node_of(peer));
    if (node) out.push_back(node->name);
  }
  return out;
}

namespace {

std::string ids(const std::vector<NodeId>& of, const std::map<NodeId, std::string>& names) {
  std::string out;
  for (NodeId id : of) {
    auto it = names.find(node_of(id));
    if (!out.empty()) out += " ";
    out += (it == names.end() ? std::to_string(node_of(id).v >> kIncarnationBits) : it->second);
    if (incarnation_of(id)) out += "." + std::to_string(incarnation_of(id));
  }
  return "{" + out + "}";
}

std::string checkpoint_of(const server::JetStream& js, GroupId group,
                          const std::map<NodeId, std::string>& names) {
  auto value = js.context().catalog->get(replica::position_key(group));
  if (!value) return ", no checkpoint";
  auto p = replica::decode_position(*value);
  if (!p) return ", unreadable checkpoint";
  return ", checkpoint of " + ids({p->self}, names) + " at " + std::to_string(p->at.index.v);
}

std::string describe(const replica::Group& g, const std::map<NodeId, std::string>& names) {
  std::string out = ids({g.self()}, names) + " term " + std::to_string(g.term().v) + ", applied " +
                    std::to_string(g.applied().v) + ", commit " + std::to_string(g.commit().v) + ", last " +
                    std::to_string(g.last().v);
  out += g.leading() ? ", leads" : g.leader().v ? ", follows " + ids({g.leader()}, names) : ", no leader";
  const raft::ConfState& c = g.conf();
  out += "; voters " + ids(c.voters, names);
  if (!c.outgoing.empty()) out += " from " + ids(c.outgoing, names);
  if (!c.learners.empty()) out += ", learners " + ids(c.learners, names);
  if (g.core() && g.core()->view().role == raft::Role::kLeader) {
    raft::View v = g.core()->view();
    out += "; stable " + std::to_string(v.stable.v) + (v.asleep ? ", asleep" : "");
    for (const auto& p : g.core()->peers())
      out += ", " + ids({p.id}, names) + " has " + std::to_string(p.match.v) + " next " +
             std::to_string(p.next.v) + " state " + std::to_string(p.state) + (p.active ? "" : " silent");
  }
  if (g.why_stopped()) out += "; stopped: " + g.why_stopped()->to_string();
  return out;
}

}  // namespace

std::vector<std::string> ReplicaCheck::describe(Nodes& nodes) {
  std::vector<std::string> out;
  std::map<NodeId, std::string> names;
  for (auto& n : nodes) {
    if (server::JetStream* js = jetstream(*n)) names[node_of(js->meta().self())] = n->name();
  }
  for (auto& n : nodes) {
    server::JetStream* js = jetstream(*n);
    if (!js) {
      out.push_back(n->name() + " does not run");
      continue;
    }
    out.push_back(n->name() + (js->ready() ? "" : " is not ready") +
                  ", meta: " + sim::describe(js->meta().group(), names));
    for (server::StreamHost* h : js->all_streams()) {
      const jetstream::MetaStream* s = js->meta().state().find(h->group_id());
      out.push_back("   " + h->name() + ", group " + std::to_string(h->group_id().v) + ": " +
                    sim::describe(h->group(), names) + checkpoint_of(*js, h->group_id(), names) +
                    (s ? "; wanted " + ids(s->peers, names) : "; not in the meta state"));
    }
  }
  return out;
}

std::string ReplicaCheck::differ(server::StreamHost& a, server::StreamHost& b, const std::string& what) {
  const store::StoreState& sa = a.store().state();
  const store::StoreState& sb = b.store().state();
  if (sa.messages != sb.messages || sa.bytes != sb.bytes || sa.first_seq != sb.first_seq ||
      sa.last_seq != sb.last_seq)
    return what + ": counters differ";
  for (StreamSeq at = sa.first_seq; at.v != 0 && at <= sa.last_seq; ++at) {
    auto ma = a.store().load(at), mb = b.store().load(at);
    if (!ma || !mb) return what + ": sequence " + std::to_string(at.v) + " cannot be read";
    if (ma->has_value() != mb->has_value()) return what + ": only one has " + std::to_string(at.v);
    if (!ma->has_value()) continue;
    const store::Message &x = **ma, &y = **mb;
    if (x.subject() != y.subject() || x.headers() != y.headers() || x.payload() != y.payload() ||
        x.time != y.time)
      return what + ": sequence " + std::to_string(at.v) + " differs";
  }
  return "";
}

// The nodes have to find out for themselves what disagreement() looks up.
std::string ReplicaCheck::unproven(Nodes& nodes, const std::set<std::string>& lost) {
  for (auto& n : nodes) {
    server::JetStream* js = jetstream(*n);
    auto open = [js](const replica::Group& g) {
      return g.leading() && !g.alone() && js->state_check()->proven(g.id()) != g.applied();
    };
    std::string what = n->name() + " has not compared its replicas of ";
    if (open(js->meta().group())) return what + "the meta group";
    for (server::StreamHost* host : js->all_streams()) {
      if (!lost.contains(host->name()) && open(host->group())) return what + host->name();
    }
  }
  return "";
}

std::string ReplicaCheck::disagreement(Nodes& nodes, const std::set<std::string>& lost) {
  server::JetStream* js = most_advanced(nodes);
  if (!js) return "nobody runs";
  std::map<NodeId, SimNode*> by_id;
  for (auto& n : nodes) {
    server::JetStream* each = jetstream(*n);
    if (!each || !each->ready()) return n->name() + " is not ready";
    if (each->meta().group().applied() != js->meta().group().applied())
      return n->name() + " is behind in the meta group";
    if (each->meta().state().state_hash() != js->meta().state().state_hash()) {
      if (blind_) return n->name() + " has another meta state";
      verdict_.fail(n->name() + ": another meta state at the same index");
      return "";
    }
    by_id[node_of(each->meta().self())] = n.get();
  }
  if (std::string what = unproven(nodes, lost); !what.empty()) return what;
  std::string why;
  js->meta().state().for_each([&](const jetstream::MetaStream& s) {
    if (lost.contains(s.config.name)) return true;
    if (s.peers.size() != static_cast<std::size_t>(s.config.num_replicas)) {
      why = s.config.name + " has " + std::to_string(s.peers.size()) + " of " +
            std::to_string(s.config.num_replicas) + " replicas";
      return false;
    }
    server::StreamHost* first = nullptr;
    std::string first_name;
    for (NodeId peer : s.peers) {
      auto it = by_id.find(node_of(peer));
      server::StreamHost* h = it == by_id.end() ? nullptr : host_of(*jetstream(*it->second), s.group);
      std::string what = s.config.name + ", group " + std::to_string(s.group.v) + ", ";
      if (!h) {
        why =
            what + "has no replica on " + (it == by_id.end() ? "a node that is no more" : it->second->name());
        return false;
      }
      what += it->second->name();
      if (s.peers.size() == 1) break;  // it may have lost its disk
      if (h->group().why_stopped() || h->group().self() != peer) {
        why = what + (h->group().why_stopped() ? " has stopped" : " has another replica id");
        return false;
      }
      if (!first) {
        first = h;
        first_name = it->second->name();
        continue;
      }
      what += " and " + first_name;
      if (h->group().applied() != first->group().applied()) {
        why = what + ": applied " + std::to_string(h->group().applied().v) + " and " +
              std::to_string(first->group().applied().v);
        return false;
      }
      if (h->machine().state_hash() != first->machine().state_hash()) {
        why = what + ": different states at the same index";
        if (!blind_) verdict_.fail(why);
        return false;
      }
      std::string d = differ(*h, *first, what);
      if (!d.empty()) {
        verdict_.fail(d);
        return false;
      }
    }
    return true;
  });
  return why;
}

}  // namespace weir::sim
