// broker/raft/confchange.h - membership: from one configuration to the next, and its bytes.
//
// Room:    pure functions over ConfState.
// Rule:    every change of the voters goes through a joint configuration, also a change of one
//          (dissertation 4.3). That costs one entry more than the single-server method and removes
//          its conditions; repair by "never had it" answers (core_repair.cc) depends on it. A
//          change of learners alone is one step.
// Errors:  kInvalid with the reason; nothing is changed then.
#pragma once

#include <cstdint>
#include <vector>

#include "broker/base/bytes.h"
#include "broker/base/ids.h"
#include "broker/base/result.h"
#include "broker/raft/messages.h"

namespace weir::raft {

enum class ConfOp : std::uint8_t { kAddVoter, kAddLearner, kRemove };

struct ConfStep {
  ConfOp op = ConfOp::kAddVoter;
  NodeId node;
};

/// What an operator or the placement wants. No steps = leave the joint configuration.
struct ConfChange {
  std::vector<ConfStep> steps;
  bool stay_joint = false;  // wait for an explicit leave (an empty ConfChange)
};

inline bool is_joint(const ConfState& conf) {
  return !conf.outgoing.empty();
}
bool is_voter(const ConfState& conf, NodeId node);   // in either half
bool is_member(const ConfState& conf, NodeId node);  // voter or learner
/// All members, sorted, each once.
std::vector<NodeId> members_of(const ConfState& conf);

/// The configuration after `change`. kAddLearner of a voter demotes it, kAddVoter of a learner
/// promotes it, kRemove of a stranger and adding what is there change nothing.
/// Errors: kInvalid: `now` is joint and `change` is not a leave, or the reverse; no voter would be
/// left; node 0; more than kVotersMax voters or kLearnersMax learners.
Result<ConfState> change_conf(const ConfState& now, const ConfChange& change);

/// Structure of a configuration: sorted, no duplicates, no node in two roles, limits, a voter left.
Status check_conf(const ConfState& conf);

/// Bytes of a configuration: version 1, flags, then four lists, each a varint count and u64 ids.
Bytes encode_conf(const ConfState& conf);
void encode_conf(const ConfState& conf, BytesBuilder& out);
/// Errors: kInvalid, also for what check_conf refuses.
Result<ConfState> decode_conf(ByteSpan bytes);

}  // namespace weir::raft
