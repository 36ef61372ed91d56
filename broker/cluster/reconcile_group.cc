#include "broker/cluster/reconcile_group.h"

namespace weir::cluster {

bool reconcile_group(replica::Group& group, const DesiredMembers& desired,
                     const std::function<bool(NodeId node)>& down) {
  if (!group.leading()) return true;
  GroupView v;
  v.self = group.self();
  v.conf = group.conf();
  v.change_open = group.conf() != group.applied_conf();
  v.last = group.last();
  v.peers = group.core()->peers();
  std::vector<NodeId> all = raft::members_of(v.conf);
  all.insert(all.end(), desired.voters.begin(), desired.voters.end());
  for (NodeId replica : all) {
    if (replica != v.self && down(node_of(replica))) v.down.push_back(replica);
  }
  ReconcileStep step = reconcile(v, desired);
  switch (step.kind) {
    case ReconcileStep::Kind::kDone: return true;
    case ReconcileStep::Kind::kWait: return false;
    case ReconcileStep::Kind::kChange: group.change_members(step.change); return false;
    case ReconcileStep::Kind::kTransfer: group.transfer_leadership(step.to); return false;
  }
  return false;
}

}  // namespace weir::cluster
