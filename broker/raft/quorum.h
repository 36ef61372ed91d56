// broker/raft/quorum.h - majorities of one voter set and of two (joint consensus).
//
// Room:    pure. The caller passes a function from node to what it reached or how it voted.
// Rule:    a joint decision needs a majority of both sets (dissertation 4.3). An empty set has no
//          say: it agrees with everything, so that a plain configuration is a joint one with an
//          empty outgoing half.
// Limits:  at most kVotersMax nodes a set; decode_conf and change_conf enforce it.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

#include "broker/base/check.h"
#include "broker/base/ids.h"
#include "broker/raft/messages.h"

namespace weir::raft {

constexpr std::size_t kVotersMax = 15;
constexpr std::size_t kLearnersMax = 256;

enum class VoteResult { kPending, kWon, kLost };
enum class Ballot { kMissing, kYes, kNo };

inline std::size_t majority_of(std::size_t n) {
  return n / 2 + 1;
}

/// Largest number that a majority of `set` has reached; UINT64_MAX for an empty set.
/// `reached(node)` gives what one node reached. Cost: O(n log n), no allocation.
template <class F>
std::uint64_t majority_reached(const std::vector<NodeId>& set, F&& reached) {
  if (set.empty()) return std::numeric_limits<std::uint64_t>::max();
  CHECK(set.size() <= kVotersMax, "voter set too large");
  std::array<std::uint64_t, kVotersMax> values;
  for (std::size_t i = 0; i < set.size(); ++i) values[i] = reached(set[i]);
  auto end = values.begin() + static_cast<std::ptrdiff_t>(set.size());
  std::sort(values.begin(), end);
  return values[set.size() - majority_of(set.size())];
}

template <class F>
std::uint64_t joint_reached(const ConfState& conf, F&& reached) {
  return std::min(majority_reached(conf.voters, reached), majority_reached(conf.outgoing, reached));
}

/// How an election stands; `ballot(node)` gives one node's answer. An empty set is won.
template <class F>
VoteResult majority_vote(const std::vector<NodeId>& set, F&& ballot) {
  std::size_t yes = 0, missing = 0;
  for (NodeId node : set) {
    Ballot b = ballot(node);
    if (b == Ballot::kYes) ++yes;
    if (b == Ballot::kMissing) ++missing;
  }
  std::size_t need = set.empty() ? 0 : majority_of(set.size());
  if (yes >= need) return VoteResult::kWon;
  return yes + missing >= need ? VoteResult::kPending : VoteResult::kLost;
}

template <class F>
VoteResult joint_vote(const ConfState& conf, F&& ballot) {
  VoteResult a = majority_vote(conf.voters, ballot);
  VoteResult b = majority_vote(conf.outgoing, ballot);
  if (a == b) return a;
  if (a == VoteResult::kLost || b == VoteResult::kLost) return VoteResult::kLost;
  return VoteResult::kPending;
}

/// True if a joint majority satisfies `yes(node)`.
template <class F>
bool joint_majority(const ConfState& conf, F&& yes) {
  return joint_vote(conf, [&](NodeId n) { return yes(n) ? Ballot::kYes : Ballot::kNo; }) == VoteResult::kWon;
}

}  // namespace weir::raft
