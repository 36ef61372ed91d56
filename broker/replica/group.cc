#include "broker/replica/group.h"

#include <algorithm>

#include "broker/base/check.h"
#include "broker/base/limits.h"
#include "broker/base/varint.h"
#include "broker/raft/confchange.h"

namespace weir::replica {

using raft::EntryType;
using store::RecordKind;

namespace {
RecordKind record_kind(EntryType type) {
  switch (type) {
    case EntryType::kNormal: return RecordKind::kEntry;
    case EntryType::kNoop: return RecordKind::kNoop;
    case EntryType::kConfig: return RecordKind::kConfig;
  }
  CHECK(false, "entry type");
}
}  // namespace

Group::Group(GroupId id, Host& host, StateMachine& machine)
    : id_(id),
      host_(host),
      machine_(machine),
      next_read_(host.seed() | 1),
      self_(std::make_shared<Group*>(this)) {
#ifdef WEIR_DEFECT_REPLICA_OLD_READS
  next_read_ = 1;
#endif
}

Group::~Group() {
  *self_ = nullptr;
  host_.forget(*this);
}

// ---- inputs ----------------------------------------------------------------------------------

void Group::marked() {
  if (core_ && !why_stopped_ && core_->has_ready()) host_.mark(*this);
}

void Group::step(NodeId from, raft::Message message) {
  if (!core_ || why_stopped_) return;
  // The link names the node; which life of its replica speaks, only the message knows.
  NodeId replica = message.from;
  if (node_of(replica) != node_of(from)) return;
#ifndef WEIR_DEFECT_REPLICA_WRONG_INCARNATION
  if (message.to != self_id_) return;
#endif
  core_->step(replica, std::move(message));
  marked();
  host_.awaken(*this);
}

void Group::tick(unsigned count) {
  if (!core_ || why_stopped_) return;
  for (unsigned i = 0; i < count && !core_->asleep(); ++i) core_->tick();
  ticks_ += count;
  if (!reads_.empty()) host_.mark(*this);  // some may be too old
  marked();
}

void Group::peer_alive(NodeId node, bool alive) {
  if (!core_ || why_stopped_) return;
  for (NodeId member : raft::members_of(core_->conf())) {
    if (node_of(member) == node_of(node)) core_->set_peer_alive(member, alive);
  }
  marked();
  host_.awaken(*this);
}

bool Group::needs_ticks() const {
  if (!core_ || why_stopped_) return false;
  if (!reads_.empty()) return true;
  if (core_->asleep()) return false;
  bool idle_alone = leading_ && alone() && core_->conf().learners.empty();
  return !idle_alone;
}

Result<raft::EntryId> Group::propose(Bytes payload) {
  if (why_stopped_) return Error(Code::kUnavailable, why_stopped_->detail);
  if (!core_) return {Code::kUnavailable, "group is recovering"};
  std::size_t bytes = payload.size();
  raft::Proposed p = core_->propose(std::span<const Bytes>(&payload, 1));
  switch (p.outcome) {
    case raft::ProposeOutcome::kAppended: break;
    case raft::ProposeOutcome::kTooMuch: return {Code::kLimit, "too much waits to be committed"};
    case raft::ProposeOutcome::kTransferring: return {Code::kUnavailable, "leadership is being transferred"};
    default: return {Code::kUnavailable, "this replica does not lead"};
  }
  in_flight_bytes_ += bytes;
  in_flight_.push_back({p.last, bytes});
  marked();
  host_.awaken(*this);
  return p.last;
}

bool Group::crowded() const {
  return in_flight_bytes_ > limits::kInFlightBytesMax;
}

raft::Proposed Group::change_members(const raft::ConfChange& change) {
  if (!core_ || why_stopped_) return {};
  raft::Proposed p = core_->propose_conf_change(change);
  marked();
  host_.awaken(*this);
  return p;
}

bool Group::transfer_leadership(NodeId to) {
  if (!core_ || why_stopped_) return false;
  if (leading_ && !core_->transferring()) machine_.handing_over();
  bool begun = core_->transfer_leadership(to);
  marked();
  host_.awaken(*this);
  return begun;
}

// ---- outputs ---------------------------------------------------------------------------------

void Group::pump() {
  auto keep = self_;
  while (*keep && core_ && !why_stopped_ && core_->has_ready()) handle(core_->take_ready());
  if (!*keep || !core_ || why_stopped_) return;
#ifndef WEIR_DEFECT_REPLICA_FORGET_ALIVE
  tell_alive();
#endif
  if (!reads_.empty()) answer_reads();
  if (*keep && !reads_.empty()) fail_reads(/*only_old=*/true);
}

// New members: the host has told of their nodes before.
void Group::tell_alive() {
  if (core_->conf() == alive_conf_) return;
  alive_conf_ = core_->conf();
  for (NodeId node : host_.alive_) peer_alive(node, true);
}

// In the order of raft/README.md.
void Group::handle(raft::Ready ready) {
  auto keep = self_;
  send(ready.messages);
  persist(ready);
  if (ready.soft && ready.soft->head_unknown != head_unknown_) note_head();
  if (!ready.after_durable.empty()) {
    bool now = ready.wait_for <= durable_;
#ifdef WEIR_DEFECT_REPLICA_SEND_BEFORE_DURABLE
    now = true;
#endif
    if (now) {
      send(ready.after_durable);
    } else {
      later_.push_back({ready.wait_for, std::move(ready.after_durable)});
    }
  }
  // Before what is committed: a group that lost its leadership must not answer as its leader.
  if (ready.soft) role(*ready.soft);
  if (!*keep || why_stopped_) return;
  apply(ready.committed);
  if (!*keep || why_stopped_) return;
  for (const auto& request : ready.loads) load(request);
  for (const auto& read : ready.reads) {
    read_state(read);
    if (!*keep || why_stopped_) return;
  }
  // One at a time: while one is under way the core gets that, and the leader offers again if it is too old.
#ifdef WEIR_DEFECT_REPLICA_FETCH_TWICE
  fetching_ = false;
#endif
  if (!ready.install || fetching_) return;
  fetching_ = true;
  machine_.fetch_state(ready.install->from, ready.install->meta);
}

void Group::send(std::vector<raft::Message>& messages) {
  if (!host_.peers()) return;
  for (raft::Message& m : messages) {
    NodeId to = m.to;
    host_.peers()->send(to, id_, std::move(m));
  }
  messages.clear();
}

void Group::persist(raft::Ready& r) {
  if (r.write == 0) return;  // a commit index alone is not worth a record
  if (r.hard_state) handed_ = *r.hard_state;
  if (r.log_reset) reset_write_ = r.write;
  if (!journal_) {
    host_.env().loop.post([self = std::weak_ptr<Group*>(self_), write = r.write] {
      if (auto g = self.lock(); g && *g) (*g)->written(write, ok());
    });
    return;
  }
  std::vector<store::JournalRecord> records;
  auto add = [&](RecordKind kind, Term term, RaftIndex index, Bytes payload) {
    store::JournalRecord& record = records.emplace_back();
    record.group = id_;
    record.kind = kind;
    record.term = term;
    record.index = index;
    record.payload = std::move(payload);
  };
#ifdef WEIR_DEFECT_REPLICA_COMMIT_FIRST
  if (r.hard_state) {
    add(RecordKind::kHardState, r.hard_state->term, r.hard_state->commit,
        hard_state_bytes(r.hard_state->vote, head_unknown_));
  }
#endif
#ifndef WEIR_DEFECT_REPLICA_IGNORE_RESET
  if (r.log_reset) add(RecordKind::kReset, r.log_reset->term, r.log_reset->index, {});
#endif
  bool cut_by_entries = !r.entries.empty() && r.cut_from && r.entries[0].index == *r.cut_from;
#ifdef WEIR_DEFECT_REPLICA_LOSE_CUT
  cut_by_entries = true;
#endif
  if (r.cut_from && !cut_by_entries) add(RecordKind::kCut, Term(0), *r.cut_from, {});
  for (raft::Entry& e : r.repaired) {
    add(store::repair_of(record_kind(e.type)), e.term, e.index, std::move(e.payload));
  }
  for (raft::Entry& e : r.entries) add(record_kind(e.type), e.term, e.index, std::move(e.payload));
    // Behind the entries: what its commit index names must be there when it is read back.
#ifndef WEIR_DEFECT_REPLICA_SKIP_HARD_STATE
  if (r.hard_state) {
    add(RecordKind::kHardState, r.hard_state->term, r.hard_state->commit,
        hard_state_bytes(r.hard_state->vote, head_unknown_));
  }
#endif
  std::weak_ptr<Group*> self = self_;
  auto done = [self, write = r.write](Status s) {
    if (auto g = self.lock(); g && *g) (*g)->written(write, s);
  };
#ifdef WEIR_DEFECT_ACK_BEFORE_SYNC
  // Seeded defect: the simulator has to notice that acks run ahead of the disk.
  host_.env().loop.post([self, write = r.write] {
    if (auto g = self.lock(); g && *g) (*g)->written(write, ok());
  });
#endif
  if (records.empty()) return host_.env().loop.post([done = std::move(done)] { done(ok()); });
  for (std::size_t i = 0; i < records.size(); ++i) {
#ifdef WEIR_DEFECT_ACK_BEFORE_SYNC
    journal_->append(std::move(records[i]), [](Status) {});
#else
    if (i + 1 < records.size()) {
      journal_->append(std::move(records[i]), {});
    } else {
      journal_->append(std::move(records[i]), std::move(done));
    }
#endif
  }
}

void Group::written(std::uint64_t write, const Status& status) {
  if (why_stopped_) return;
  if (!status) return stop(status.error());
  host_.now_current();  // reads that waited for this may look at the lease
  durable_ = write;
  if (reset_write_ != 0 && durable_ >= reset_write_) {
    installed_ = false;
    reset_write_ = 0;
  }
  core_->durable(write);
  while (!later_.empty() && later_.front().wait_for <= durable_) {
    Later later = std::move(later_.front());
    later_.pop_front();
    send(later.messages);
  }
  marked();
}

void Group::load(const raft::LoadRequest& request) {
  if (!journal_) {
    core_->entries_loaded(request, {});
    return marked();
  }
  auto done = [self = std::weak_ptr<Group*>(self_),
               request](Result<std::vector<store::JournalRecord>> records) {
    auto g = self.lock();
    if (!g || !*g || !(*g)->core_ || (*g)->why_stopped_) return;
    std::vector<raft::Entry> entries;
    if (records) {
      for (store::JournalRecord& r : *records) {
        EntryType type = r.kind == RecordKind::kNoop     ? EntryType::kNoop
                         : r.kind == RecordKind::kConfig ? EntryType::kConfig
                                                         : EntryType::kNormal;
        entries.push_back({r.index, r.term, type, std::move(r.payload)});
      }
    }
    (*g)->core_->entries_loaded(request, std::move(entries));
    (*g)->marked();
  };
  journal_->read(id_, request.from, request.repair ? request.from : request.upto, std::size_t{1} << 20,
                 std::move(done));
}

// ---- state and log position ------------------------------------------------------------------

std::optional<Position> Group::checkpoint_position() const {
  if (!core_ || why_stopped_ || empty()) return std::nullopt;
#ifndef WEIR_DEFECT_REPLICA_CHECKPOINT_PAST_STABLE
  if (core_->log().stable() < applied_.index) return std::nullopt;
#endif
  Position p;
  p.self = self_id_;
  p.generation = generation_;
  p.at = applied_;
  p.conf = conf_;
  p.installed = installed_;
  // The journal's log then is still the one before the state: entries behind it must not be taken for it.
  if (installed_ && installed_at_ != applied_) return std::nullopt;
  return p;
}

Position Group::position_at(const raft::SnapshotMeta& at, std::uint32_t generation) const {
  return {self_id_, generation, {at.index, at.term}, at.conf, true};
}

void Group::state_installed(const raft::SnapshotMeta& at, std::uint32_t generation) {
  if (!core_ || why_stopped_) return;
  if (at.index <= applied_.index) return state_failed();
  fetching_ = false;
  if (at.index > note_at_) note_at_ = kNoNote;
  // If the log has the state's entry, it goes on: its entries were acknowledged. Else it begins anew behind
  // the state, and the core asks for a record that says so.
  bool kept = core_->log().matches({at.index, at.term});
#ifdef WEIR_DEFECT_REPLICA_RESET_KEPT
  kept = false;
#endif
  applied_ = {at.index, at.term};
  conf_ = at.conf;
  generation_ = generation;
  installed_ = !kept && journal_ != nullptr;
  installed_at_ = applied_;
  reset_write_ = 0;
  core_->snapshot_installed(at);
#ifdef WEIR_DEFECT_REPLICA_RESET_KEPT
  if (journal_) write_reset();
#endif
  host_.mark(*this);  // also for reads that waited
  auto keep = self_;
  machine_.members_changed(conf_);
  if (*keep) marked();
}

void Group::state_failed() {
  if (!core_ || why_stopped_) return;
  fetching_ = false;
  core_->snapshot_failed();
  marked();
}

void Group::compact(RaftIndex index, bool press) {
  if (!core_ || why_stopped_) return;
#ifdef WEIR_DEFECT_COMPACT_TOO_FAR
  if (journal_) journal_->release(id_, core_->log().last());  // seeded defect, docs/testing.md
#endif
  RaftIndex upto = std::min(index, core_->log().applied());
  if (!press) upto = std::min(upto, core_->needed_from() - 1);
#ifdef WEIR_DEFECT_REPLICA_COMPACT_UNCHECKPOINTED
  upto = core_->log().applied();
#endif
  if (upto > core_->log().base().index) core_->compact(upto);
  if (journal_) journal_->release(id_, upto);
}

void Group::release_restored() {
  if (restored_.v && journal_ && !why_stopped_) journal_->release(id_, restored_);
}

void end_records(store::Journal& journal, GroupId group) {
  if (journal.failed()) return;  // that is reported by everybody else
  store::JournalRecord r;
  r.group = group;
  r.kind = RecordKind::kRemoved;
  r.index = RaftIndex(1);  // not 0: Group::ended()
  journal.append(std::move(r), [](Status) {});
}

void Group::retire() {
  if (!why_stopped_) why_stopped_ = std::make_unique<Error>(Code::kUnavailable, "removed");
  in_flight_.clear();
  in_flight_bytes_ = 0;
  leading_ = false;
  host_.forget(*this);
  fail_reads(/*only_old=*/false);
}

void Group::stop(Error why) {
  if (why_stopped_) return;
  why_stopped_ = std::make_unique<Error>(why);
  in_flight_.clear();
  in_flight_bytes_ = 0;
  leading_ = false;
  host_.forget(*this);
  auto keep = self_;
  machine_.stopped(why);
  if (*keep) fail_reads(/*only_old=*/false);
}

}  // namespace weir::replica
