// tests/sim/checkers/replica_check.h - what the nodes' groups may and may not be, seen from inside.
//
//   election   two replicas never lead a group in one term
//   matching   what was applied at an index had the same term and led to the same state on every replica
//              and in every life of a replica (the machine's state_hash())
//   proof      the nodes find no difference themselves; at rest each leader has compared its replicas
//   agreement  at rest: the replicas that the meta state names exist, have applied the same and store the
//              same messages, byte for byte
//
// look() is cheap enough for every turn. A replica in memory ends with its process: if it comes back under
// its id it counts for nothing, and a group that has fewer than a majority of the others is lost.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "broker/base/ids.h"
#include "tests/sim/nodes.h"

namespace weir::replica {
class Group;
}
namespace weir::server {
class JetStream;
class StreamHost;
}  // namespace weir::server

namespace weir::sim {

class ReplicaCheck {
 public:
  explicit ReplicaCheck(Verdict& verdict) : verdict_(verdict) {}

  /// After each turn of `n`.
  void look(SimNode& n);
  /// At rest. Empty: all agree; otherwise what is not yet so (contradictions fail the verdict).
  /// Streams in `lost` may be without a majority.
  std::string disagreement(Nodes& nodes, const std::set<std::string>& lost = {});
  /// Whether a replicated stream in memory, of the default account, may have lost what it had: in one of the
  /// configurations that its replicas know, fewer than a majority of the voters still are what they were.
  bool forgot(Nodes& nodes, const std::string& stream) const;
  /// Names of the nodes that have a replica of a stream of the default account, as the node that has applied
  /// the most of the meta group's log knows; empty if nobody knows.
  static std::vector<std::string> holders(Nodes& nodes, const std::string& stream);
  /// The node's JetStream; nullptr if it has none or does not run.
  static server::JetStream* jetstream(SimNode& n);

  /// One line for each replica of each group, for people.
  static std::vector<std::string> describe(Nodes& nodes);

  /// Different states are no failure: the nodes are to find them, and to be of one mind at rest.
  void look_away() { blind_ = true; }
  /// Replicas that nodes gave up because a majority had something else.
  std::uint64_t given_up() const;
  std::uint64_t elections() const { return leaders_.size(); }

 private:
  struct Applied {
    Term term;
    std::uint64_t hash;
    std::string where;
  };
  /// Whether the group has applied something, changed its term or begun or ended to lead since this was asked
  /// last.
  bool news(const SimNode& n, const replica::Group& group);
  void look(SimNode& n, const replica::Group& group, std::uint64_t hash, const std::string& name);
  void look_at_own_checks(const SimNode& n, const server::JetStream& js);
  static std::string unproven(Nodes& nodes, const std::set<std::string>& lost);
  std::string differ(server::StreamHost& a, server::StreamHost& b, const std::string& what);

  Verdict& verdict_;
  bool blind_ = false;
  std::map<std::pair<unsigned, unsigned>, std::uint64_t> given_up_;  // by node and life
  std::map<std::pair<GroupId, Term>, std::pair<NodeId, std::string>> leaders_;
  std::map<GroupId, std::map<RaftIndex, Applied>> applied_;
  std::map<std::pair<unsigned, GroupId>, std::tuple<RaftIndex, Term, bool>> seen_;  // as of the last look
  std::map<std::pair<GroupId, NodeId>, unsigned> born_;  // replicas in memory: the life they began in
};

}  // namespace weir::sim
