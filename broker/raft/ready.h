// broker/raft/ready.h - what goes into a core at start and what comes out of it.
//
// Room:    pure values. The caller's duties with each field are in README.md, in order.
// Units:   ticks are the host's (one tick = the heartbeat period divided by heartbeat_ticks).
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "broker/base/ids.h"
#include "broker/raft/log.h"
#include "broker/raft/messages.h"

namespace weir::raft {

struct Config {
  NodeId id;
  std::uint64_t seed = 0;        // of the election time-outs; different on each node and start
  unsigned election_ticks = 10;  // silence of a leader before a follower asks for votes
  unsigned heartbeat_ticks = 1;  // between heartbeats of a leader
  unsigned lease_ticks = 7;      // a lease, counted from the sending of its heartbeat round. At most
                                 // election_ticks - 2, less the clock drift to be survived
  unsigned hibernate_ticks = 0;  // idle time before the group sleeps; 0 = never
  // The same on all members, another one in each group: whose turn it is where all would do. Who is first
  // campaigns at once in a new group, and first when the leader of a sleeping group is gone; members in step
  // split their votes, and one time-out more is lost. Without it chance decides.
  std::optional<std::uint64_t> order;
  std::size_t append_bytes_max = 1u << 20;        // payload of one append (one entry may exceed it)
  std::size_t in_flight_count_max = 256;          // appends per follower
  std::size_t in_flight_bytes_max = 8u << 20;     // payload per follower
  std::size_t uncommitted_bytes_max = 64u << 20;  // proposals beyond it are dropped
  std::size_t apply_bytes_max = 4u << 20;         // payload handed out for apply in one Ready
  std::size_t memory_bytes_max = 16u << 20;       // payload kept for followers after apply
  std::size_t reads_max = 4096;                   // read requests waiting for confirmation
};

/// An entry that recovery knows of and cannot read. Its place in `StartState::entries` is taken by an
/// Entry with the right index and term and no payload.
struct Fault {
  EntryId id;
  bool maybe_config = true;  // false only if the type is known: such an entry may be dropped by quorum
};

/// Base and applied index of the first members of a new group. A node that joins later starts at {0,0}, is
/// therefore always behind the log's begin, and gets the configuration with a state.
constexpr EntryId kNewGroup{RaftIndex{1}, Term{0}};

/// What the host found on its disk. Everything in it is durable.
struct StartState {
  HardState hard;
  EntryId base;                // compacted up to here; kNewGroup, or {0,0} for a node that is to be added
  ConfState conf;              // in force at `applied`
  RaftIndex applied;           // the state machine's durable state, in [base, last]
  std::vector<TermRun> older;  // terms of entries in (base, first of `entries`)
  std::vector<Entry> entries;  // consecutive, to the end of the log; at least those above `applied`
  std::vector<Fault> faults;   // ascending
  // The log had more entries than are known (damage below the synced-through promise without a
  // readable header after it): the node neither votes nor campaigns until a leader tells it.
  bool head_unknown = false;
};

enum class Role : std::uint8_t { kFollower, kPreCandidate, kCandidate, kLeader };

/// Changes of it are worth telling people and clients; nothing depends on storing it.
struct SoftState {
  Role role = Role::kFollower;
  NodeId leader;  // 0 = not known
  Term term;
  bool asleep = false;
  bool head_unknown = false;
  std::size_t faults = 0;
  const char* halted = nullptr;  // why the core stopped for good (P6); static text
  bool operator==(const SoftState&) const = default;
};

struct ReadState {
  std::uint64_t context = 0;
  RaftIndex index;  // answer from a state that has applied at least this
  bool ok = false;  // false: not the leader any more; ask again
};

/// Old entries for a follower: read [from, upto] (as many as append_bytes_max allows, at least one)
/// and hand them to Core::entries_loaded. `repair`: for a peer's fetch, exactly one entry.
struct LoadRequest {
  NodeId peer;
  RaftIndex from, upto;
  bool repair = false;
};

struct InstallRequest {
  NodeId from;
  SnapshotMeta meta;  // fetch a state at this index or a later one
};

struct Ready {
  // A write is wanted: everything in it durable, then Core::durable(write). Writes are numbered in
  // order. 0 = nothing has to be durable because of this Ready.
  std::uint64_t write = 0;
  std::optional<HardState> hard_state;  // write it; if only commit changed (write == 0), that may wait
  std::optional<EntryId> log_reset;     // the log is empty after this id (snapshot installed)
  std::optional<RaftIndex> cut_from;    // entries at and above are void, before `entries` are appended
  std::vector<Entry> entries;           // append
  std::vector<Entry> repaired;          // write in place; does not void what follows
  std::vector<Message> messages;        // may leave now, in parallel with the write
  std::vector<Message> after_durable;   // may leave once durable(wait_for) has been called
  std::uint64_t wait_for = 0;           // 0 = after_durable is empty
  std::vector<Entry> committed;         // apply in this order, then Core::applied
  std::optional<InstallRequest> install;
  std::vector<LoadRequest> loads;
  std::vector<ReadState> reads;
  std::optional<SoftState> soft;

  bool empty() const {
    return write == 0 && !hard_state && messages.empty() && after_durable.empty() && committed.empty() &&
           !install && loads.empty() && reads.empty() && !soft;
  }
};

/// What became of a proposal; none of it is an error.
enum class ProposeOutcome : std::uint8_t {
  kAppended,      // `last` will be committed or lost; watch `committed` for (index, term)
  kNotLeader,     // redirect to SoftState::leader
  kTooMuch,       // uncommitted_bytes_max is reached: try again when something commits
  kTransferring,  // leadership is being given away
  kRefused,       // a configuration change that is not possible now or never; see `why`
};

struct Proposed {
  ProposeOutcome outcome = ProposeOutcome::kNotLeader;
  EntryId last;          // the last entry appended
  const char* why = "";  // static text for kRefused
};

/// A leader's view of a member, for status pages and for placement (is the learner caught up?).
struct PeerView {
  NodeId id;
  RaftIndex match, next;
  std::uint8_t state = 0;  // ProgressState
  bool active = false, voter = false;
};

/// State for invariants.h, status pages and tests.
struct View {
  NodeId id, leader, vote;
  Role role = Role::kFollower;
  Term term;
  EntryId base, last;
  RaftIndex stable, commit, applying, applied;
  bool asleep = false, head_unknown = false;
  std::size_t faults = 0;
  std::uint64_t malformed = 0;  // messages dropped because they cannot be true
};

}  // namespace weir::raft
