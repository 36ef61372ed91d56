// broker/base/ids.h - numbers that must not be mistaken for each other.
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <functional>

namespace weir {

/// A counted identifier. Arithmetic with plain numbers is allowed, between kinds it is not.
template <class Tag, class Rep = std::uint64_t>
struct Id {
  Rep v = 0;
  constexpr Id() = default;
  constexpr explicit Id(Rep value) : v(value) {}
  constexpr auto operator<=>(const Id&) const = default;
  constexpr Id operator+(Rep d) const { return Id(static_cast<Rep>(v + d)); }
  constexpr Id operator-(Rep d) const { return Id(static_cast<Rep>(v - d)); }
  constexpr Rep operator-(Id o) const { return static_cast<Rep>(v - o.v); }
  constexpr Id& operator++() {
    ++v;
    return *this;
  }
};

using StreamSeq = Id<struct StreamSeqTag>;                 // 1-based; 0 = none
using ConsumerSeq = Id<struct ConsumerSeqTag>;             // 1-based delivery number of a consumer
using RaftIndex = Id<struct RaftIndexTag>;                 // 1-based; 0 = before the first entry
using Term = Id<struct TermTag>;                           // 1-based; 0 = never voted
using NodeId = Id<struct NodeIdTag>;                       // of a node, or of a replica there; 0 = none
using GroupId = Id<struct GroupIdTag, std::uint32_t>;      // raft group within a cluster; 0 = none
using ClientId = Id<struct ClientIdTag>;                   // connection number of a server; 0 = none
using AccountId = Id<struct AccountIdTag, std::uint32_t>;  // index in the node's account table

/// A node's store has one id for good (a wiped store gets a new one), with zero low bits. These count the
/// lives of one of its replicas, so that a replica that forgot what it promised never votes under its old
/// id (ADR 4). The id of a first life is the node's own.
constexpr unsigned kIncarnationBits = 24;
constexpr std::uint64_t kIncarnationMask = (std::uint64_t{1} << kIncarnationBits) - 1;
constexpr NodeId node_of(NodeId replica) {
  return NodeId(replica.v & ~kIncarnationMask);
}
constexpr std::uint64_t incarnation_of(NodeId replica) {
  return replica.v & kIncarnationMask;
}
constexpr NodeId replica_id(NodeId node, std::uint64_t incarnation) {
  return NodeId(node_of(node).v | (incarnation & kIncarnationMask));
}

}  // namespace weir

template <class Tag, class Rep>
struct std::hash<weir::Id<Tag, Rep>> {
  std::size_t operator()(weir::Id<Tag, Rep> id) const noexcept { return std::hash<Rep>()(id.v); }
};
