// broker/cluster/founding.h - unborn nodes agree, once, on who founds the cluster (ADR 4).
//
// Room:    pure. A single-decree Paxos (Lamport, "Paxos Made Simple"); every node is proposer and acceptor.
//          Links, the disk and time are the owner's.
// Use:     feed every event; for each Output: if `persist`, state() must be durable before its messages
//          leave and before anything acts on born(). Outputs leave in order.
// Quorum:  a set of nodes that has, for each member of the set, a majority of the seeds of that member:
//          the nodes behind its routes, itself included, routes that led nowhere yet counted as strangers.
//          So two quorums meet in a node if any two nodes' configurations agree in the usual ways (the same
//          list everywhere; everybody lists the one that lists only itself). Besides, it has a majority
//          of all seeds that anybody linked speaks of: a misunderstanding waits instead of splitting.
//          What no protocol can find out: lists that share no node that is up.
// Condition: Seeds only err towards too many, and a route leads to one node for good. An address that
//          several nodes answer to counts as many strangers, or as none while it has not been asked.
// Trust:   messages come from linked peers; what cannot be decoded is an error of decode().
#pragma once

#include <compare>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "broker/base/bytes.h"
#include "broker/base/ids.h"
#include "broker/base/prng.h"
#include "broker/base/result.h"
#include "broker/base/time.h"
#include "broker/raft/quorum.h"

namespace weir::cluster {

/// They are the first voters of the meta group. Of more nodes that found together the others join later.
constexpr std::size_t kFoundersMax = raft::kVotersMax;

struct Founder {
  NodeId id;
  std::string name;
  bool operator==(const Founder&) const = default;
};

/// What is agreed on.
struct FoundingRecord {
  std::string cluster_id;
  std::vector<Founder> members;  // by id
  bool has(NodeId node) const;
  bool operator==(const FoundingRecord&) const = default;
};

struct Ballot {
  std::uint64_t round = 0;  // 0 = none
  NodeId node;              // who proposes
  auto operator<=>(const Ballot&) const = default;
};

/// Durable: what this node promised, accepted and learned.
struct FoundingState {
  Ballot promised, accepted;
  std::optional<FoundingRecord> value;  // accepted at `accepted`
  std::optional<FoundingRecord> born;   // chosen: the cluster this node knows of, for good
  bool operator==(const FoundingState&) const = default;
};
std::string encode_founding_state(const FoundingState& state);
/// Errors: kCorrupt, kUnsupported.
Result<FoundingState> decode_founding_state(std::string_view bytes);

/// Whom a node counts when it founds: Mesh::Seeds with itself among `known`.
struct FoundingSeeds {
  std::vector<NodeId> known;  // sorted, each once
  std::uint64_t unresolved = 0;
  bool operator==(const FoundingSeeds&) const = default;
};

enum class FoundingType : std::uint8_t {
  kHello = 1,     // seeds of an unborn node; answered with kLearn by one that is born
  kPrepare = 2,   // ballot
  kPromise = 3,   // ballot; accepted and value: what this acceptor had accepted before
  kAccept = 4,    // ballot, value
  kAccepted = 5,  // ballot
  kRefuse = 6,    // ballot that was refused; accepted: the one that was promised instead
  kLearn = 7,     // value is chosen
};

struct FoundingMessage {
  FoundingType type = FoundingType::kHello;
  Ballot ballot, accepted;
  std::string name;     // of the sender
  FoundingSeeds seeds;  // of the sender
  std::optional<FoundingRecord> value;
  bool operator==(const FoundingMessage&) const = default;
};
Bytes encode_founding(const FoundingMessage& message);
/// Errors: kInvalid.
Result<FoundingMessage> decode_founding(ByteSpan bytes);

class Founding {
 public:
  struct Envelope {
    NodeId to;
    FoundingMessage message;
  };
  struct Output {
    bool persist = false;  // state() changed
    std::vector<Envelope> messages;
  };

  /// `durable`: what the last life left. `seed`: for the cluster id and delays; differs from node to node.
  Founding(Founder self, FoundingState durable, std::uint64_t seed);

  /// Own seeds, whenever they change. Before the first call this node neither proposes nor promises.
  Output set_seeds(FoundingSeeds seeds);
  Output peer_up(NodeId peer);
  void peer_down(NodeId peer);
  /// To a request (hello, prepare, accept) there is at most one answer, to `from`.
  Output step(NodeId from, const FoundingMessage& message);
  /// delay() has passed: begins a round, or ends the wait of the one under way.
  Output timer();
  /// Until timer() should be called; drawn anew for each call. Grows while rounds fail.
  Nanos delay();

  const FoundingState& state() const { return state_; }
  const std::optional<FoundingRecord>& born() const { return state_.born; }

 private:
  enum class Phase : std::uint8_t { kIdle, kPrepare, kAccept };
  struct Answer {
    std::string name;
    FoundingSeeds seeds;
  };

  Output on_prepare(NodeId from, const FoundingMessage& m);
  Output on_accept(NodeId from, const FoundingMessage& m);
  Output on_promise(NodeId from, const FoundingMessage& m);
  Output on_accepted(NodeId from, const FoundingMessage& m);
  Output learn(const FoundingRecord& record, NodeId from);
  Output begin_round();
  Output propose();
  bool quorum(const std::map<NodeId, Answer>& answers) const;
  bool hopeful() const;
  bool all_answered() const;
  FoundingRecord fresh_record();
  FoundingMessage make(FoundingType type) const;
  void to_peers(Output& out, const FoundingMessage& message) const;

  const Founder self_;
  FoundingState state_;
  Prng prng_;
  std::optional<FoundingSeeds> seeds_;
  std::map<NodeId, std::optional<FoundingSeeds>> peers_;  // linked; what they said of their seeds

  Phase phase_ = Phase::kIdle;
  Ballot ballot_;  // of the round under way
  std::map<NodeId, Answer> answers_;
  Ballot best_;  // of the values that acceptors told of
  FoundingRecord value_;
  std::uint64_t highest_ = 0;   // round seen anywhere
  bool others_active_ = false;  // somebody else's round was promised since the last timer
  unsigned failures_ = 0;
};

}  // namespace weir::cluster
