#include "broker/server/group_view.h"

#include <algorithm>

#include "broker/base/text.h"
#include "broker/raft/confchange.h"
#include "broker/raft/progress.h"
#include "broker/raft/quorum.h"

namespace weir::server {

namespace {
constexpr std::size_t kPeerChars = 8;
/// So many entries may be on their way to a replica that takes them as they come, and it is current all the
/// same: otherwise it would be "outdated" whenever somebody looks while something is published.
constexpr std::uint64_t kLagOfCurrent = 50;
constexpr auto kReplicating = static_cast<std::uint8_t>(raft::ProgressState::kReplicate);
constexpr std::string_view kPeerAlphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";  // none looks like another

const raft::PeerView* view_of(const std::vector<raft::PeerView>& peers, NodeId replica) {
  for (const auto& p : peers)
    if (p.id == replica) return &p;
  return nullptr;
}

RaftIndex behind(RaftIndex ahead, RaftIndex at) {
  return RaftIndex(ahead > at ? ahead - at : 0);
}
}  // namespace

std::string peer_text(NodeId node) {
  std::uint64_t bits = node.v >> kIncarnationBits;
  std::string out(kPeerChars, '0');
  for (std::size_t i = kPeerChars; i-- > 0; bits >>= 5) out[i] = kPeerAlphabet[bits & 31];
  return out;
}

const jetstream::MetaNode* find_peer(const jetstream::MetaState& state, std::string_view name_or_peer) {
  if (const auto* named = state.find_node(name_or_peer)) return named;
  for (const auto& [id, node] : state.nodes()) {
    if (peer_text(id) == name_or_peer) return &node;
  }
  return nullptr;
}

std::vector<api::PeerInfo> peer_infos(const replica::Group& group, const ClusterSide& cluster) {
  std::vector<api::PeerInfo> out;
  std::vector<raft::PeerView> known;
  if (group.core() && group.leading()) known = group.core()->peers();
  std::vector<NodeId> members = raft::members_of(group.conf());
  // A replica that began anew is a member beside what it was for a moment: people see one of a node.
  auto begun_anew = [&members](NodeId replica) {
    return std::any_of(members.begin(), members.end(), [replica](NodeId other) {
      return node_of(other) == node_of(replica) && incarnation_of(other) > incarnation_of(replica);
    });
  };
  for (NodeId replica : members) {
    if (replica == group.self() || begun_anew(replica)) continue;
    api::PeerInfo p;
    p.name = cluster.name_of(replica);
    p.peer = peer_text(replica);
    p.offline = !cluster.connected(replica);
    p.active = cluster.silence(replica);
    p.pending = !raft::is_voter(group.conf(), replica);
    p.current = cluster.alive(replica);
    if (const auto* view = view_of(known, replica)) {
      p.lag = behind(group.commit(), view->match).v;
      bool on_its_way = view->state == kReplicating && p.lag <= kLagOfCurrent;
      p.current = p.current && (on_its_way || view->match >= group.applied());
    } else {
      p.current = p.current && replica == group.leader();
    }
    out.push_back(std::move(p));
  }
  std::sort(out.begin(), out.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
  return out;
}

std::string not_current(const replica::Group& group, const ClusterSide* cluster) {
  if (const Error* why = group.why_stopped()) return "is stopped: " + why->detail;
  if (!group.started()) return "is starting";
  if (group.leading()) return {};
  if (group.empty()) return "is not current: its state is being fetched";
  if (group.leader().v == 0) return "has no leader";
  bool reached = group.leader() == group.self() || (cluster && cluster->alive(group.leader()));
  if (!reached) return "has lost contact with its leader";
  if (group.applied() < group.commit()) {
    return "is not current: " + std::to_string(group.commit() - group.applied()) + " entries behind";
  }
  return {};
}

bool has_quorum(const replica::Group& group, const ClusterSide& cluster) {
  return raft::joint_majority(
      group.conf(), [&](NodeId replica) { return replica == group.self() || cluster.connected(replica); });
}

bool safe_without(const replica::Group& group, NodeId node, const ClusterSide& cluster) {
  const raft::ConfState& conf = group.conf();
  bool votes = false;
  std::vector<NodeId> all = conf.voters;
  all.insert(all.end(), conf.outgoing.begin(), conf.outgoing.end());
  for (NodeId replica : all) votes = votes || node_of(replica) == node_of(node);
  if (!votes || (conf.voters.size() == 1 && conf.outgoing.empty())) return true;
  if (!group.leading()) return false;
  std::vector<raft::PeerView> peers = group.core()->peers();
  return raft::joint_majority(conf, [&](NodeId replica) {
    if (node_of(replica) == node_of(node)) return false;
    if (replica == group.self()) return true;
    const auto* view = view_of(peers, replica);
    return view && cluster.stays(replica) && view->match >= group.commit();
  });
}

namespace {
const char* state_text(const replica::Group& group) {
  if (group.why_stopped() || !group.core()) return "CLOSED";
  switch (group.core()->role()) {
    case raft::Role::kLeader: return "LEADER";
    case raft::Role::kPreCandidate:
    case raft::Role::kCandidate: return "CANDIDATE";
    case raft::Role::kFollower: break;
  }
  return raft::is_voter(group.conf(), group.self()) ? "FOLLOWER" : "OBSERVER";
}
}  // namespace

api::RaftGroup raft_group(const replica::Group& group, const ClusterSide* cluster) {
  api::RaftGroup g;
  g.id = peer_text(group.self());
  g.state = state_text(group);
  const raft::ConfState& conf = group.conf();
  g.size = static_cast<std::int64_t>(conf.voters.size());
  g.quorum_needed = static_cast<std::int64_t>(raft::majority_of(conf.voters.size()));
  g.observer = !raft::is_voter(conf, group.self());
  g.committed = group.commit().v;
  g.applied = group.applied().v;
  g.catching_up = group.empty();
  g.term = group.term().v;
  if (group.leader().v != 0) g.leader = peer_text(group.leader());
  g.ever_had_leader = group.commit().v > 0;
  std::vector<raft::PeerView> peers;
  if (group.core()) {
    raft::View v = group.core()->view();
    if (v.vote.v != 0) g.voted_for = peer_text(v.vote);
    g.pterm = v.last.term.v;
    g.pindex = v.last.index.v;
    g.first_index = v.base.index.v + 1;
    if (group.leading()) peers = group.core()->peers();
  }
  for (NodeId replica : raft::members_of(conf)) {
    if (replica == group.self()) continue;
    api::RaftPeer p;
    if (cluster) p.name = cluster->name_of(replica);
    if (const auto* view = view_of(peers, replica)) p.last_replicated_index = view->match.v;
    if (Nanos silence = cluster ? cluster->silence(replica) : 0) p.last_seen = format_duration(silence);
    g.peers[peer_text(replica)] = std::move(p);
  }
  return g;
}

}  // namespace weir::server
