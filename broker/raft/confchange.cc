#include "broker/raft/confchange.h"

#include <algorithm>
#include <set>
#include <utility>

#include "broker/base/varint.h"
#include "broker/raft/quorum.h"

namespace weir::raft {
namespace {

constexpr std::uint8_t kConfVersion = 1;

bool holds(const std::vector<NodeId>& list, NodeId node) {
  return std::binary_search(list.begin(), list.end(), node);
}

bool strictly_sorted(const std::vector<NodeId>& list) {
  for (std::size_t i = 0; i < list.size(); ++i) {
    if (list[i] == NodeId{0} || (i > 0 && !(list[i - 1] < list[i]))) return false;
  }
  return true;
}

ConfState leave(const ConfState& now) {
  ConfState next;
  next.voters = now.voters;
  std::set<NodeId> learners(now.learners.begin(), now.learners.end());
  learners.insert(now.learners_next.begin(), now.learners_next.end());
  next.learners.assign(learners.begin(), learners.end());
  return next;
}

void put_list(const std::vector<NodeId>& list, BytesBuilder& out) {
  out.append_varint(list.size());
  for (NodeId node : list) out.append_u64(node.v);
}

std::vector<NodeId> get_list(Reader& in, std::size_t max) {
  std::uint64_t n = in.varint();
  if (n > max) in.fail();
  std::vector<NodeId> list;
  for (std::uint64_t i = 0; i < n && in.ok(); ++i) list.push_back(NodeId{in.u64()});
  return list;
}

}  // namespace

bool is_voter(const ConfState& conf, NodeId node) {
  return holds(conf.voters, node) || holds(conf.outgoing, node);
}

bool is_member(const ConfState& conf, NodeId node) {
  return is_voter(conf, node) || holds(conf.learners, node);
}

std::vector<NodeId> members_of(const ConfState& conf) {
  std::set<NodeId> all(conf.voters.begin(), conf.voters.end());
  all.insert(conf.outgoing.begin(), conf.outgoing.end());
  all.insert(conf.learners.begin(), conf.learners.end());
  return {all.begin(), all.end()};
}

Result<ConfState> change_conf(const ConfState& now, const ConfChange& change) {
  if (change.steps.empty()) {
    if (!is_joint(now)) return Error(Code::kInvalid, "no joint configuration to leave");
    return leave(now);
  }
  if (is_joint(now)) return Error(Code::kInvalid, "a joint configuration is in force; leave it first");
  std::set<NodeId> voters(now.voters.begin(), now.voters.end());
  std::set<NodeId> learners(now.learners.begin(), now.learners.end());
  for (const ConfStep& step : change.steps) {
    if (step.node == NodeId{0}) return Error(Code::kInvalid, "node 0 is no node");
    voters.erase(step.node);
    learners.erase(step.node);
    if (step.op == ConfOp::kAddVoter) voters.insert(step.node);
    if (step.op == ConfOp::kAddLearner) learners.insert(step.node);
  }
  ConfState next;
  next.voters.assign(voters.begin(), voters.end());
  if (next.voters != now.voters) {
    next.outgoing = now.voters;
    next.auto_leave = !change.stay_joint;
  }
  // A voter of the outgoing half keeps its vote until the leave; only then it is a learner.
  for (NodeId node : learners)
    (holds(next.outgoing, node) ? next.learners_next : next.learners).push_back(node);
  RETURN_IF_ERROR(check_conf(next));
  return next;
}

Status check_conf(const ConfState& conf) {
  for (const auto* list : {&conf.voters, &conf.outgoing, &conf.learners, &conf.learners_next}) {
    if (!strictly_sorted(*list))
      return Error(Code::kInvalid, "configuration: list not sorted or with node 0");
  }
  if (conf.voters.empty()) return Error(Code::kInvalid, "configuration without a voter");
  if (conf.voters.size() > kVotersMax || conf.outgoing.size() > kVotersMax) {
    return Error(Code::kInvalid, "configuration with too many voters");
  }
  if (conf.learners.size() + conf.learners_next.size() > kLearnersMax) {
    return Error(Code::kInvalid, "configuration with too many learners");
  }
  for (NodeId node : conf.learners) {
    if (is_voter(conf, node)) return Error(Code::kInvalid, "configuration: a node is voter and learner");
  }
  for (NodeId node : conf.learners_next) {
    if (!holds(conf.outgoing, node) || holds(conf.voters, node)) {
      return Error(Code::kInvalid, "configuration: next learner is not an outgoing voter");
    }
  }
  if (conf.auto_leave && !is_joint(conf)) return Error(Code::kInvalid, "configuration: nothing to leave");
  return ok();
}

void encode_conf(const ConfState& conf, BytesBuilder& out) {
  out.append_u8(kConfVersion);
  out.append_u8(conf.auto_leave ? 1 : 0);
  for (const auto* list : {&conf.voters, &conf.outgoing, &conf.learners, &conf.learners_next}) {
    put_list(*list, out);
  }
}

Bytes encode_conf(const ConfState& conf) {
  BytesBuilder out(64);
  encode_conf(conf, out);
  return out.freeze();
}

Result<ConfState> decode_conf(ByteSpan bytes) {
  Reader in(bytes);
  if (in.u8() != kConfVersion) return Error(Code::kInvalid, "configuration: unknown version");
  std::uint8_t flags = in.u8();
  ConfState conf;
  conf.auto_leave = flags == 1;
  conf.voters = get_list(in, kVotersMax);
  conf.outgoing = get_list(in, kVotersMax);
  conf.learners = get_list(in, kLearnersMax);
  conf.learners_next = get_list(in, kLearnersMax);
  if (!in.done() || flags > 1) return Error(Code::kInvalid, "configuration: damaged bytes");
  RETURN_IF_ERROR(check_conf(conf));
  return conf;
}

}  // namespace weir::raft
