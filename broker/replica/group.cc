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
Bytes vote_bytes(NodeId vote) {
  std::uint8_t raw[8];
  put_u64(raw, vote.v);
  return Bytes::copy_of(ByteSpan(raw, sizeof raw));
}

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
    : id_(id), host_(host), machine_(machine), self_(std::make_shared<Group*>(this)) {}

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
  if (node_of(replica) != node_of(from) || message.to != self_id_) return;
  core_->step(replica, std::move(message));
  marked();
  host_.awaken(*this);
}

void Group::tick(unsigned count) {
  if (!core_ || why_stopped_) return;
  for (unsigned i = 0; i < count && !core_->asleep(); ++i) core_->tick();
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
  if (!core_ || why_stopped_ || core_->asleep()) return false;
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
  bool begun = core_->transfer_leadership(to);
  marked();
  host_.awaken(*this);
  return begun;
}

// ---- outputs ---------------------------------------------------------------------------------

void Group::pump() {
  auto keep = self_;
  while (*keep && core_ && !why_stopped_ && core_->has_ready()) handle(core_->take_ready());
}

// In the order of raft/README.md.
void Group::handle(raft::Ready ready) {
  auto keep = self_;
  send(ready.messages);
  persist(ready);
  if (!ready.after_durable.empty()) {
    if (ready.wait_for <= durable_) {
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
  for (const auto& read : ready.reads) read_state(read);
  if (ready.install) machine_.fetch_state(ready.install->from, ready.install->meta);
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
  if (r.hard_state) {
    add(RecordKind::kHardState, r.hard_state->term, r.hard_state->commit, vote_bytes(r.hard_state->vote));
  }
  if (r.log_reset) add(RecordKind::kReset, r.log_reset->term, r.log_reset->index, {});
  bool cut_by_entries = !r.entries.empty() && r.cut_from && r.entries[0].index == *r.cut_from;
  if (r.cut_from && !cut_by_entries) add(RecordKind::kCut, Term(0), *r.cut_from, {});
  for (raft::Entry& e : r.repaired) {
    add(store::repair_of(record_kind(e.type)), e.term, e.index, std::move(e.payload));
  }
  for (raft::Entry& e : r.entries) add(record_kind(e.type), e.term, e.index, std::move(e.payload));
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
  durable_ = write;
  core_->durable(write);
  while (!later_.empty() && later_.front().wait_for <= durable_) {
    send(later_.front().messages);
    later_.pop_front();
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
  if (!core_ || why_stopped_ || empty() || core_->log().stable() < applied_.index) return std::nullopt;
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
  applied_ = {at.index, at.term};
  conf_ = at.conf;
  generation_ = generation;
  installed_ = true;
  installed_at_ = applied_;
  reset_seen_ = false;
  core_->snapshot_installed(at);
  write_reset();
  machine_.members_changed(conf_);
  marked();
}

void Group::state_failed() {
  if (!core_ || why_stopped_) return;
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
  if (upto <= core_->log().base().index) return;
  core_->compact(upto);
  if (journal_) journal_->release(id_, upto);
}

void Group::release_restored() {
  if (restored_.v && journal_ && !why_stopped_) journal_->release(id_, restored_);
}

void Group::remove() {
  if (journal_ && !journal_->failed()) {
    store::JournalRecord r;
    r.group = id_;
    r.kind = RecordKind::kRemoved;
    r.term = term();
    r.index = last();
    journal_->append(std::move(r), [](Status) {});  // a failed journal is reported by everybody else
  }
  if (!why_stopped_) why_stopped_ = std::make_unique<Error>(Code::kUnavailable, "removed");
  in_flight_.clear();
  in_flight_bytes_ = 0;
  host_.forget(*this);
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
  if (!*keep) return;
  for (auto& [context, read] : std::exchange(reads_, {})) read.done(false);
}

}  // namespace weir::replica
