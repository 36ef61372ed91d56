// broker/replica/state_machine.h - what a group's owner does with what is committed.
//
// Room:     interface. Thread: the shard's loop. Calls come from Host::run() only, handing_over() but from
//           Group::transfer_leadership().
#pragma once

#include <cstdint>

#include "broker/base/bytes.h"
#include "broker/base/ids.h"
#include "broker/base/result.h"
#include "broker/raft/messages.h"

namespace weir::replica {

/// What the log is applied to. Deterministic: the same entries give the same state on every replica.
class StateMachine {
 public:
  virtual ~StateMachine() = default;
  /// Applies one committed entry. `payload` may be kept (slices share its block). `live` is false for
  /// entries that are applied while the journal is read at start. An error stops the group.
  virtual Status apply(RaftIndex index, Term term, const Bytes& payload, bool live) = 0;
  /// The group stopped: disk failure, damaged log or an apply error. Called once.
  virtual void stopped(const Error& why) = 0;
  /// True: this replica leads and has applied everything of earlier terms. False: it does not any more;
  /// what it proposed and was not applied may or may not be.
  virtual void leading(bool) {}
  /// The leadership is about to be offered to another replica: what is proposed now, the successor will have;
  /// until the transfer ended nothing more can be.
  virtual void handing_over() {}
  /// Another leader or term than before; leader 0: none known.
  virtual void leader_changed(NodeId /*leader*/, Term) {}
  /// Members changed: a configuration was applied.
  virtual void members_changed(const raft::ConfState&) {}
  /// This replica is too far behind the log: fetch a state from `from`, at `least` or later, make it
  /// durable with Group::position_at(), then call state_installed(); or state_failed(). Nothing is applied
  /// meanwhile.
  virtual void fetch_state(NodeId /*from*/, const raft::SnapshotMeta& /*least*/) {}
  /// Of everything applied so far, equal on every replica at the same index (P5).
  virtual std::uint64_t state_hash() const { return 0; }
};

}  // namespace weir::replica
