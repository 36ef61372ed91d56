// broker/raft/messages.h - log entries, durable state and the messages between replicas of a group.
//
// Room:    pure values. Their bytes on a link are the peer protocol's business.
// Rules:   names follow the Raft dissertation (Ongaro 2014); what goes beyond it says so.
// Trust:   a message comes from another machine. Core checks every field it uses; a message that
//          cannot be true is dropped and counted, never a CHECK.
#pragma once

#include <compare>
#include <cstdint>
#include <optional>
#include <vector>

#include "broker/base/bytes.h"
#include "broker/base/ids.h"

namespace weir::raft {

enum class EntryType : std::uint8_t {
  kNormal = 0,  // payload is the state machine's
  kNoop = 1,    // first entry of a term, empty: lets the leader commit what earlier terms left
  kConfig = 2,  // payload is an encoded ConfState, in force from the moment it is appended
};

struct Entry {
  RaftIndex index;
  Term term;
  EntryType type = EntryType::kNormal;
  Bytes payload;
};

/// Names one entry for good: two logs that hold the same id hold the same entries up to it.
struct EntryId {
  RaftIndex index;
  Term term;
  auto operator<=>(const EntryId&) const = default;
};

/// Terms and indexes beyond it are a lie: a group that did a thousand million things a second would need a
/// century. Who believed one could not count on from there without beginning at 0 again.
constexpr std::uint64_t kNumberMax = std::uint64_t{1} << 62;
constexpr bool can_be(EntryId id) {
  return id.index.v <= kNumberMax && id.term.v <= kNumberMax;
}

/// What must be on disk before a promise made in its name leaves the node.
struct HardState {
  Term term;
  NodeId vote;       // 0 = none in this term
  RaftIndex commit;  // a floor; may be written late or not at all
  bool operator==(const HardState&) const = default;
};

/// Members of the group. Sorted lists without duplicates. `outgoing` is non-empty exactly while a
/// joint configuration is in force (dissertation 4.3); then every decision needs both majorities.
struct ConfState {
  std::vector<NodeId> voters;
  std::vector<NodeId> outgoing;
  std::vector<NodeId> learners;
  std::vector<NodeId> learners_next;  // voters of `outgoing` that become learners when it ends
  bool auto_leave = false;            // the leader ends the joint configuration by itself
  bool operator==(const ConfState&) const = default;
};

struct SnapshotMeta {
  RaftIndex index;
  Term term;
  ConfState conf;  // in force at `index`
  bool operator==(const SnapshotMeta&) const = default;
};

/// Entries of one message at most; more are refused by who reads it.
constexpr std::size_t kMessageEntriesMax = 65'536;

enum class MessageType : std::uint8_t {
  kPreVote = 1,         // index, log_term: last entry. `term` is the term it would campaign in
  kPreVoteResp = 2,     // reject
  kVote = 3,            // index, log_term: last entry; force: asked for by the leader (transfer)
  kVoteResp = 4,        // reject
  kAppend = 5,          // index, log_term: entry before `entries`; commit
  kAppendResp = 6,      // index: durable up to here; or reject: index was refused, hint = last that may match
  kHeartbeat = 7,       // commit, context = round; asleep: index, log_term = last entry, "sleep if you match"
  kHeartbeatResp = 8,   // context = round; asleep: fell asleep; reject: a snapshot is being installed
  kSnapshot = 9,        // snapshot: what to fetch; the host moves the data
  kTimeoutNow = 10,     // campaign at once (leadership transfer)
  kReadIndex = 11,      // context: follower asks the leader for a read point
  kReadIndexResp = 12,  // context, index; reject: not now
  kFetch = 13,          // index, log_term: my copy of this entry is unreadable, have you got it?
  kFetchResp = 14,      // index, log_term, answer, entries (one when kHave)
  kHead = 15,           // context: I do not know how far my log went; how far does yours?
  kHeadResp = 16,       // context, index: the leader's last entry when it got the question
};
constexpr std::uint8_t kMessageTypeMax = 16;

enum class FetchAnswer : std::uint8_t {
  kHave = 0,
  kNever = 1,      // not in my log, and I will not take it from a leader of a term before this message's
  kFaulty = 2,     // I had it and cannot read it either
  kCompacted = 3,  // below my log; a snapshot covers it
};

struct Message {
  MessageType type = MessageType::kHeartbeat;
  NodeId from, to;
  Term term;
  RaftIndex index;
  Term log_term;
  RaftIndex commit;
  EntryId hint;
  std::uint64_t context = 0;
  bool reject = false;
  bool force = false;
  bool asleep = false;
  FetchAnswer answer = FetchAnswer::kHave;
  std::vector<Entry> entries;
  std::optional<SnapshotMeta> snapshot;
};

}  // namespace weir::raft
