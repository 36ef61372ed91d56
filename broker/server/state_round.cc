#include "broker/server/state_round.h"

#include <algorithm>
#include <utility>

#include "broker/raft/confchange.h"
#include "broker/raft/quorum.h"

namespace weir::server {

StateRound::StateRound(RaftIndex index, raft::ConfState conf, std::vector<NodeId> asked)
    : index_(index), conf_(std::move(conf)), asked_(std::move(asked)) {}

void StateRound::told(NodeId replica, std::uint64_t hash) {
  if (raft::is_member(conf_, replica)) answers_[replica] = hash;
}

bool StateRound::complete() const {
  return std::all_of(asked_.begin(), asked_.end(), [this](NodeId r) { return answers_.contains(r); });
}

bool StateRound::differ() const {
  return std::any_of(answers_.begin(), answers_.end(),
                     [this](const auto& a) { return a.second != answers_.begin()->second; });
}

std::optional<std::uint64_t> StateRound::right() const {
  for (const auto& [replica, hash] : answers_) {
    auto same = [this, hash = hash](NodeId voter) {
      auto it = answers_.find(voter);
      return it != answers_.end() && it->second == hash;
    };
    if (raft::joint_majority(conf_, same)) return hash;
  }
  return std::nullopt;
}

std::vector<NodeId> StateRound::odd() const {
  std::vector<NodeId> out;
  std::uint64_t right = *this->right();
  for (const auto& [replica, hash] : answers_) {
    if (hash != right) out.push_back(replica);
  }
  return out;
}

}  // namespace weir::server
