// broker/replica/group_start.cc - from checkpoint and journal to a core that may speak.
#include <algorithm>

#include "broker/base/check.h"
#include "broker/base/varint.h"
#include "broker/raft/confchange.h"
#include "broker/replica/group.h"

namespace weir::replica {

using raft::Entry;
using raft::EntryType;
using store::RecordKind;

namespace {
constexpr std::uint64_t kGapMax = 1u << 20;  // entries; a larger hole is not filled with place holders

std::string name_of(GroupId id) {
  return "group " + std::to_string(id.v);
}

EntryType entry_type(RecordKind kind) {
  return kind == RecordKind::kNoop     ? EntryType::kNoop
         : kind == RecordKind::kConfig ? EntryType::kConfig
                                       : EntryType::kNormal;
}
}  // namespace

void Group::found(NodeId self, const std::vector<NodeId>& members) {
  CHECK(!started_ && applied_.index.v == 0);
  self_id_ = self;
  conf_.voters = members;
  std::sort(conf_.voters.begin(), conf_.voters.end());
  applied_ = base_ = raft::kNewGroup;
}

void Group::join(NodeId self, std::uint32_t generation) {
  CHECK(!started_ && applied_.index.v == 0);
  self_id_ = self;
  generation_ = generation;
  ignore_journal_ = true;
}

void Group::restore(const Position& position) {
  CHECK(!started_ && applied_.index.v == 0);
  self_id_ = position.self;
  generation_ = position.generation;
  applied_ = base_ = position.at;
  conf_ = position.conf;
  installed_ = position.installed;
  installed_at_ = position.at;
  restored_ = position.at.index;
}

bool Group::alone() const {
  const raft::ConfState& c = conf();
  return c.voters.size() == 1 && c.voters[0] == self_id_ && c.outgoing.empty();
}

Status Group::replay(const store::JournalRecord& record) {
  CHECK(!started_, "replay after start");
  if (why_stopped_) return *why_stopped_;
  if (ignore_journal_) return ok();
  switch (record.kind) {
    case RecordKind::kEntry:
    case RecordKind::kNoop:
    case RecordKind::kConfig: return replay_entry(record, entry_type(record.kind));
    case RecordKind::kHardState: {
      Reader r(record.payload.span());
      hard_ = {record.term, NodeId(record.payload.empty() ? 0 : r.u64()), record.index};
      return replay_committed();
    }
    case RecordKind::kRepairedEntry:
    case RecordKind::kRepairedNoop:
    case RecordKind::kRepairedConfig: replay_repair(record); return ok();
    case RecordKind::kCut:
      while (!recovered_.empty() && recovered_.back().index >= record.index) recovered_.pop_back();
      return ok();
    case RecordKind::kReset:
      drop_recovered();
      reset_seen_ = reset_seen_ || raft::EntryId{record.index, record.term} == applied_;
      return ok();
    case RecordKind::kRemoved:  // an earlier life under another replica id
      drop_recovered();
      hard_ = {};
      return ok();
  }
  return ok();
}

void Group::drop_recovered() {
  recovered_.clear();
  faults_.clear();
  base_ = applied_;
}

Status Group::replay_entry(const store::JournalRecord& record, EntryType type) {
  hard_.term = std::max(hard_.term, record.term);
  if (installed_ && !reset_seen_) return ok();
  // Supersedes what was there at and above it.
  while (!recovered_.empty() && recovered_.back().index >= record.index &&
         recovered_.back().index > applied_.index) {
    recovered_.pop_back();
  }
  std::erase_if(faults_, [&](const raft::Fault& f) { return f.id.index >= record.index; });
  if (record.index <= applied_.index) return ok();
  RaftIndex last = std::max(applied_.index, recovered_.empty() ? applied_.index : recovered_.back().index);
  if (record.index != last + 1) {
    bool fillable = !alone() && record.index - last <= kGapMax;
    if (!fillable) {
      Error e(Code::kCorrupt, name_of(id_) + ": entry " + std::to_string(last.v + 1) +
                                  " is missing from the journal, next found is " +
                                  std::to_string(record.index.v));
      stop(e);
      return e;
    }
    note_gap(last + 1, record.index - 1);
  }
  recovered_.push_back({record.index, record.term, type, record.payload});
  return replay_committed();
}

// Place holders whose terms the journal's fault report has to tell.
void Group::note_gap(RaftIndex from, RaftIndex upto) {
  for (RaftIndex i = from; i <= upto; ++i) {
    recovered_.push_back({i, Term(0), EntryType::kNormal, Bytes()});
    faults_.push_back({{i, Term(0)}, true});
  }
}

// What is known to be committed is applied at once, so that memory holds little more than the rest. In a
// group of one that is everything up to the first change of its members, which may need others.
Status Group::replay_committed() {
  auto next = std::find_if(recovered_.begin(), recovered_.end(),
                           [&](const Entry& e) { return e.index > applied_.index; });
  for (; next != recovered_.end(); ++next) {
    bool committed = next->index <= hard_.commit || (alone() && next->type != EntryType::kConfig);
    if (!committed || next->term.v == 0) break;
    RETURN_IF_ERROR(apply_recovered(*next));
  }
  std::size_t bytes = 0, keep = recovered_.size();
  while (keep > 0 && bytes <= host_.tuning().memory_bytes_max) bytes += recovered_[--keep].payload.size();
  while (keep > 0 && recovered_[keep - 1].index > applied_.index) --keep;
  if (keep * 2 < recovered_.size()) return ok();  // rarely, because it moves what stays
  if (keep > 0) base_ = {recovered_[keep - 1].index, recovered_[keep - 1].term};
  recovered_.erase(recovered_.begin(), recovered_.begin() + static_cast<std::ptrdiff_t>(keep));
  return ok();
}

Status Group::apply_recovered(const Entry& entry) {
  applied_ = {entry.index, entry.term};
  if (entry.type == EntryType::kConfig) {
    auto conf = raft::decode_conf(entry.payload.span());
    if (!conf) {
      stop(conf.error());
      return conf.error();
    }
    conf_ = std::move(*conf);
    machine_.members_changed(conf_);
    return ok();
  }
  if (entry.type != EntryType::kNormal) return ok();
  Status s = machine_.apply(entry.index, entry.term, entry.payload, /*live=*/false);
  if (!s) stop(s.error());
  return s;
}

void Group::replay_repair(const store::JournalRecord& record) {
  for (Entry& e : recovered_) {
    if (e.index != record.index || e.term != record.term) continue;
    e.payload = record.payload;
    e.type = entry_type(store::repaired_kind(record.kind));
    std::erase_if(faults_, [&](const raft::Fault& f) { return f.id.index == e.index; });
  }
}

void Group::damaged(const store::JournalFault& fault) {
  if (why_stopped_ || ignore_journal_ || (installed_ && !reset_seen_)) return;
  if (alone()) {
    if (fault.to <= applied_.index) return;  // the checkpoint has it
    return stop(Error(Code::kCorrupt, name_of(id_) + ": " + fault.detail));
  }
  vote_lost_ = vote_lost_ || fault.vote_lost;
  head_unknown_ = head_unknown_ || fault.open_end;
  if (fault.to <= applied_.index) return;
  while (!recovered_.empty() && recovered_.back().index >= fault.from &&
         recovered_.back().index > applied_.index) {
    recovered_.pop_back();
  }
  std::erase_if(faults_, [&](const raft::Fault& f) { return f.id.index >= fault.from; });
  RaftIndex last = recovered_.empty() ? applied_.index : recovered_.back().index;
  if (fault.to - last > kGapMax) {
    head_unknown_ = true;
    return;
  }
  for (RaftIndex i = last + 1; i <= fault.to; ++i) {
    bool known = i >= fault.from;
    Term term = known ? fault.term : Term(0);
    recovered_.push_back({i, term, EntryType::kNormal, Bytes()});
    faults_.push_back({{i, term}, !known || fault.kind == RecordKind::kConfig});
  }
}

// False: the log cannot be used as it is, the group is stopped.
bool Group::settle_damage() {
  if (vote_lost_ && !alone()) {
    stop(Error(Code::kCorrupt, name_of(id_) + ": the journal has lost what this replica may have promised; "
                                              "it has to come back under a new id"));
    return false;
  }
  for (const raft::Fault& f : faults_) {
    if (f.id.term.v == 0) {  // nobody knows which entry this was: the log ends before it
      while (!recovered_.empty() && recovered_.back().index >= f.id.index) recovered_.pop_back();
      std::erase_if(faults_, [&](const raft::Fault& g) { return g.id.index >= f.id.index; });
      head_unknown_ = true;
      break;
    }
  }
  return true;
}

raft::StartState Group::start_state() {
  raft::StartState s;
  s.hard = hard_;
  s.base = base_;
  s.conf = conf_;
  s.applied = applied_.index;
  s.entries = std::move(recovered_);
  s.faults = std::move(faults_);
  s.head_unknown = head_unknown_;
  recovered_ = {};
  return s;
}

// The journal gets to know that the log begins behind a fetched state; until it does, each position says so.
void Group::write_reset() {
  if (!journal_ || reset_seen_) {
    installed_ = false;
    return;
  }
  store::JournalRecord r;
  r.group = id_;
  r.kind = RecordKind::kReset;
  r.term = applied_.term;
  r.index = applied_.index;
  journal_->append(std::move(r), [self = std::weak_ptr<Group*>(self_), at = applied_](Status s) {
    auto g = self.lock();
    if (!g || !*g) return;
    if (!s) return (*g)->stop(s.error());
    if ((*g)->installed_at_ == at) (*g)->installed_ = false;
  });
}

void Group::start(store::Journal* journal) {
  CHECK(!started_ && self_id_.v != 0);
  started_ = true;
  journal_ = journal;
  if (why_stopped_) return;
  if (installed_ && !reset_seen_) drop_recovered();
  if (!settle_damage()) return;
  if (journal_ && ignore_journal_) {
    store::JournalRecord r;
    r.group = id_;
    r.kind = RecordKind::kRemoved;
    journal_->append(std::move(r), {});
  }
  if (installed_) write_reset();
  raft::Config c;
  c.id = self_id_;
  c.seed = host_.seed();
  c.election_ticks = host_.tuning().election_ticks;
  c.heartbeat_ticks = host_.tuning().heartbeat_ticks;
  c.lease_ticks = host_.tuning().lease_ticks;
  c.hibernate_ticks = host_.tuning().hibernate_ticks;
  c.memory_bytes_max = host_.tuning().memory_bytes_max;
  c.uncommitted_bytes_max = std::size_t{256} << 20;
  core_ = std::make_unique<raft::Core>(c, start_state());
  host_.add(*this);
  if (alone()) core_->tick();  // nobody else to wait for
}

}  // namespace weir::replica
