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

constexpr std::uint8_t kHeadUnknown = 1;

std::string name_of(GroupId id) {
  return "group " + std::to_string(id.v);
}

EntryType entry_type(RecordKind kind) {
  return kind == RecordKind::kNoop     ? EntryType::kNoop
         : kind == RecordKind::kConfig ? EntryType::kConfig
                                       : EntryType::kNormal;
}
}  // namespace

// Vote, then flags.
Bytes hard_state_bytes(NodeId vote, bool head_unknown) {
  std::uint8_t raw[9];
  put_u64(raw, vote.v);
  raw[8] = head_unknown ? kHeadUnknown : 0;
  return Bytes::copy_of(ByteSpan(raw, sizeof raw));
}

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
  // The entry that the journal's log joins the state by has to stay until another checkpoint is made.
  restored_ = position.at.index - (position.installed ? 1 : 0);
}

bool Group::alone() const {
  const raft::ConfState& c = conf();
  return c.voters.size() == 1 && c.voters[0] == self_id_ && c.outgoing.empty();
}

Status Group::replay(const store::JournalRecord& record) {
  CHECK(!started_, "replay after start");
  // By end_records(), of this replica, or by start(): what an earlier life under another id left. Also of a
  // log that cannot be used: the journal frees what a removed group had.
  ended_ = record.kind == RecordKind::kRemoved && record.index.v != 0 && !ignore_journal_ &&
           (!installed_ || joined_);
  if (why_stopped_) return *why_stopped_;
  named_ = true;
  if (ignore_journal_) return ok();
  switch (record.kind) {
    case RecordKind::kEntry:
    case RecordKind::kNoop:
    case RecordKind::kConfig: return replay_entry(record, entry_type(record.kind));
    case RecordKind::kHardState: {
      Reader r(record.payload.span());
      hard_ = {record.term, NodeId(record.payload.empty() ? 0 : r.u64()), record.index};
      head_noted_ = r.ok() && r.left() > 0 && (r.u8() & kHeadUnknown) != 0;
      return replay_committed();
    }
    case RecordKind::kRepairedEntry:
    case RecordKind::kRepairedNoop:
    case RecordKind::kRepairedConfig: replay_repair(record); return replay_committed();
    case RecordKind::kCut:
      cut_recovered(record.index);
      if (installed_ && record.index <= installed_at_.index) joined_ = false;
      return ok();
    case RecordKind::kReset:
      drop_recovered();
      joined_ = raft::EntryId{record.index, record.term} == installed_at_;
      log_seen_ = true;
      return ok();
    case RecordKind::kRemoved:
      drop_recovered();
      joined_ = head_noted_ = false;
      hard_ = {};
      return ok();
  }
  return ok();
}

void Group::drop_recovered() {
  recovered_.clear();
  recovered_bytes_ = 0;
  older_.clear();
  faults_.clear();
  misplaced_ = false;
  base_ = applied_;
}

// What is at and above `from` is void.
void Group::cut_recovered(RaftIndex from) {
#ifdef WEIR_DEFECT_REPLICA_KEEP_SUPERSEDED
  if (from <= applied_.index) return;
#endif
  while (!recovered_.empty() && recovered_.back().index >= from && recovered_.back().index > applied_.index) {
    recovered_bytes_ -= recovered_.back().payload.size();
    recovered_.pop_back();
  }
  std::erase_if(faults_, [&](const raft::Fault& f) { return f.id.index >= from; });
}

void Group::push_recovered(Entry entry) {
  recovered_bytes_ += entry.payload.size();
  recovered_.push_back(std::move(entry));
}

// A place holder. Term 0: nobody knows what it was.
void Group::push_fault(raft::EntryId id, bool maybe_config) {
  push_recovered({id.index, id.term, EntryType::kNormal, Bytes()});
  faults_.push_back({id, maybe_config});
}

RaftIndex Group::recovered_last() const {
  return recovered_.empty() ? applied_.index : std::max(applied_.index, recovered_.back().index);
}

// A state that was fetched from a peer is there before the journal knows. What the journal holds counts from
// that state's own entry on, or from the kReset that names it: the rest is a log that the state replaced. If
// the very first entry there is comes next to the state, the file with the kReset has been freed, and all
// that was older before it: an old log cannot begin there, because its entries up to the state were needed.
bool Group::behind_installed(raft::EntryId id) {
#ifdef WEIR_DEFECT_REPLICA_TRUST_OLD_LOG
  joined_ = true;
#endif
  bool first = !std::exchange(log_seen_, true) && !unnamed_loss_;
  if (first && id.index == installed_at_.index + 1 && id.term >= installed_at_.term) joined_ = true;
  if (id.index < installed_at_.index) joined_ = false;
  if (id.index == installed_at_.index) joined_ = id == installed_at_;
  if (!joined_ && id.index > installed_at_.index && (id.term.v == 0 || id.term >= installed_at_.term)) {
    misplaced_ = true;
  }
  return joined_;
}

Status Group::replay_entry(const store::JournalRecord& record, EntryType type) {
  hard_.term = std::max(hard_.term, record.term);
  if (installed_ && !behind_installed({record.index, record.term})) return ok();
  cut_recovered(record.index);
  if (record.index <= applied_.index) return ok();
  RaftIndex last = recovered_last();
  if (record.index != last + 1) {
    if (!others_matter() || record.index - last > kGapMax) {
      return unusable(Error(Code::kCorrupt, name_of(id_) + ": entry " + std::to_string(last.v + 1) +
                                                " is missing from the journal, next found is " +
                                                std::to_string(record.index.v)));
    }
    for (RaftIndex i = last + 1; i < record.index; ++i) push_fault({i, Term(0)}, true);
  }
  // No log has falling terms: this belongs to one that is replaced further on in the journal, or records
  // before it are lost. As it is, nobody knows which entry ought to be here.
  if (record.term < last_term()) {
    push_fault({record.index, Term(0)}, true);
    return ok();
  }
  push_recovered({record.index, record.term, type, record.payload});
  return replay_committed();
}

Term Group::last_term() const {
  return recovered_.empty() ? applied_.term : recovered_.back().term;
}

// The log is of no use. A replica of several can begin anew under another id.
Status Group::unusable(Error why) {
  needs_new_id_ = others_matter();
  stop(why);
  return why;
}

// What is known to be committed is applied at once, so that memory holds little more than the rest. In a
// group of one that is everything up to the first change of its members, which may need others.
Status Group::replay_committed() {
  while (recovered_last() > applied_.index) {
    const Entry& next = recovered_[static_cast<std::size_t>(applied_.index + 1 - recovered_.front().index)];
    bool committed = next.index <= hard_.commit || (alone() && next.type != EntryType::kConfig);
#ifdef WEIR_DEFECT_REPLICA_APPLY_BEFORE_COMMIT
    committed = true;
#endif
#ifndef WEIR_DEFECT_REPLICA_APPLY_FAULTY
    if (!faults_.empty() && faults_.front().id.index <= next.index) break;
#endif
    if (!committed || next.term.v == 0) break;
    RETURN_IF_ERROR(apply_recovered(next));
  }
  // The applied one stays: the end of the log is what the core must see.
  while (recovered_bytes_ > host_.tuning().memory_bytes_max && recovered_.front().index < applied_.index) {
    const Entry& e = recovered_.front();
    if (older_.empty() || e.term > older_.back().term) older_.push_back({e.index, e.term});
    recovered_bytes_ -= e.payload.size();
    recovered_.pop_front();
  }
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
  if (!s) {
    needs_new_id_ = lost_by(s.error()) && others_matter();
    stop(s.error());
  }
  return s;
}

void Group::replay_repair(const store::JournalRecord& record) {
  if (recovered_.empty() || record.index < recovered_.front().index ||
      record.index > recovered_.back().index) {
    return;
  }
  Entry& e = recovered_[static_cast<std::size_t>(record.index - recovered_.front().index)];
  if (e.term != record.term || e.index <= applied_.index) return;
  recovered_bytes_ += record.payload.size();
  recovered_bytes_ -= e.payload.size();
  e.payload = record.payload;
  e.type = entry_type(store::repaired_kind(record.kind));
  std::erase_if(faults_, [&](const raft::Fault& f) { return f.id.index == e.index; });
}

void Group::damaged(const store::JournalFault& fault) {
  if (why_stopped_) return;
  bool unnamed = fault.group.v == 0 && id_.v != 0;
  if (unnamed) {
    unnamed_loss_ = unnamed_loss_ || fault.vote_lost || fault.open_end;
    if (damage_.empty()) damage_ = fault.detail;
    if (!ignore_journal_ && (fault.vote_lost || fault.open_end)) doubt_uncommitted();
    return;
  }
  named_ = true;
  if (ignore_journal_) return;
  bool first = faults_.empty() && !vote_lost_ && !head_unknown_;
  if (first) damage_ = fault.detail;
  vote_lost_ = vote_lost_ || fault.vote_lost;
  head_unknown_ = head_unknown_ || fault.open_end;
#ifdef WEIR_DEFECT_REPLICA_CUT_FAULTY
  return cut_recovered(fault.from);
#endif
  if (fault.to.v == 0) return;
  if (installed_) {
    log_seen_ = true;
    // Runs are of one term: the state's own entry is in this one, or it is not.
    if (fault.from <= installed_at_.index && installed_at_.index <= fault.to) {
      joined_ = fault.term == installed_at_.term;
    }
    if (fault.to <= installed_at_.index || !behind_installed({fault.to, fault.term})) return;
  }
  cut_recovered(fault.from);
  if (fault.to <= applied_.index) return;
  RaftIndex last = recovered_last();
  if (fault.to - last > kGapMax) {
    head_unknown_ = true;
    return;
  }
  bool fits = fault.term.v != 0 && (fault.from > last + 1 || fault.term >= last_term());
  for (RaftIndex i = last + 1; i <= fault.to; ++i) {
    bool known = fits && i >= fault.from;
    push_fault({i, known ? fault.term : Term(0)}, !known || fault.kind == RecordKind::kConfig);
  }
}

// Records are lost here, of this group or not. They may have put other entries in the place of those that are
// not known to be committed, and the next record does not tell: it may fit by its index alone.
void Group::doubt_uncommitted() {
#ifdef WEIR_DEFECT_REPLICA_TRUST_AFTER_LOSS
  return;
#endif
  if (!others_matter()) return;  // nobody ever replaced an entry of a group of one
  RaftIndex from = std::max(applied_.index, hard_.commit) + 1, last = recovered_last();
  if (installed_ && !joined_) return;
  if (from > last) return;
  cut_recovered(from);
  for (RaftIndex i = recovered_last() + 1; i <= last; ++i) push_fault({i, Term(0)}, true);
}

// Others are, or may be, members in one of the configurations that the log knows of.
bool Group::others_matter() const {
  return !alone() || std::any_of(recovered_.begin(), recovered_.end(), [&](const Entry& e) {
    return e.index > applied_.index && e.type == EntryType::kConfig;
  });
}

// By the last configuration that can be read, nobody else is a member.
bool Group::lone_at_end() const {
  auto last = std::find_if(recovered_.rbegin(), recovered_.rend(), [&](const Entry& e) {
    return e.index > applied_.index && e.type == EntryType::kConfig && !e.payload.empty();
  });
  if (last == recovered_.rend()) return alone();
  auto conf = raft::decode_conf(last->payload.span());
  return conf && conf->voters.size() == 1 && conf->voters[0] == self_id_ && conf->outgoing.empty();
}

// False: the log cannot be used as it is, the group is stopped.
bool Group::settle_damage() {
  // Not one of its records was found, and some were lost that nobody knows.
  if (unnamed_loss_ && !named_ && !ignore_journal_) {
    vote_lost_ = true;
    head_unknown_ = head_unknown_ || journal_ != nullptr;
  }
  if (installed_ && !joined_) {
    bool misplaced = misplaced_;
    drop_recovered();
    head_unknown_ = head_unknown_ || misplaced;  // it may have been what this replica promised to keep
  }
#ifndef WEIR_DEFECT_REPLICA_KEEP_OLD_ID
  if (vote_lost_ && others_matter()) {
    needs_new_id_ = !lone_at_end();  // nobody else could take it in
    stop(Error(Code::kCorrupt, name_of(id_) + ": the journal has lost what this replica may have promised; "
                                              "it has to come back under a new id"));
    return false;
  }
#endif
  if (!faults_.empty() && lone_at_end()) {
    stop(Error(Code::kCorrupt, name_of(id_) + ": entry " + std::to_string(faults_.front().id.index.v) +
                                   " cannot be read: " +
                                   (damage_.empty() ? "it does not follow the entry before it" : damage_)));
    return false;
  }
  if (end_is_lost_to_all()) return false;
  auto unknown = std::find_if(faults_.begin(), faults_.end(), [](const auto& f) { return f.id.term.v == 0; });
  if (unknown != faults_.end()) {  // nobody knows which entry this was: the log ends before it
    cut_recovered(RaftIndex(unknown->id.index));
    head_unknown_ = true;
  }
  return true;
}

// Entries may be missing behind the last one, and there is nobody to ask: it would wait for ever.
bool Group::end_is_lost_to_all() {
  bool open = head_unknown_ || head_noted_ || hard_.commit > recovered_last();
  if (!open || !lone_at_end()) return false;
  std::string why = damage_;
  if (why.empty())
    why = head_noted_ ? "an earlier start found it damaged" : "it names later ones as committed";
  stop(Error(Code::kCorrupt, name_of(id_) + ": the journal may have lost entries behind " +
                                 std::to_string(recovered_last().v) +
                                 ", and no other replica has them: " + why));
  return true;
}

raft::StartState Group::start_state() {
  raft::StartState s;
  s.hard = hard_;
  s.base = base_;
  s.conf = conf_;
  s.applied = applied_.index;
  s.older = std::exchange(older_, {});
  s.entries.assign(std::make_move_iterator(recovered_.begin()), std::make_move_iterator(recovered_.end()));
  s.faults = std::exchange(faults_, {});
  s.head_unknown = head_unknown_ || head_noted_;
  recovered_ = {};
  return s;
}

// The journal gets to know that the log begins behind a fetched state; until it does, each position says so.
void Group::write_reset() {
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

// The journal forgets an open end with the next entry; this replica must not, until a leader has told it.
void Group::note_head() {
  raft::View v = core_->view();
  head_unknown_ = v.head_unknown;
#ifdef WEIR_DEFECT_REPLICA_FORGET_HEAD
  return;
#endif
  if (!journal_ || head_unknown_ == head_noted_) return;
  head_noted_ = head_unknown_;
  store::JournalRecord r;
  r.group = id_;
  r.kind = RecordKind::kHardState;
  r.term = handed_.term;
  r.index = handed_.commit;
  r.payload = hard_state_bytes(handed_.vote, head_unknown_);
  journal_->append(std::move(r), [self = std::weak_ptr<Group*>(self_)](Status s) {
    if (auto g = self.lock(); g && *g && !s) (*g)->stop(s.error());
  });
}

void Group::start(store::Journal* journal) {
  CHECK(!started_ && self_id_.v != 0);
  started_ = true;
  journal_ = journal;
  if (why_stopped_ || !settle_damage()) return;
  if (journal_ && ignore_journal_) {
    store::JournalRecord r;
    r.group = id_;
    r.kind = RecordKind::kRemoved;
    journal_->append(std::move(r), {});
  }
  bool reset_wanted = installed_ && !joined_ && journal_;
  if (!reset_wanted) installed_ = false;
  if (reset_wanted) write_reset();
  raft::Config c;
  c.id = self_id_;
  c.seed = host_.seed();
  c.election_ticks = host_.tuning().election_ticks;
  c.heartbeat_ticks = host_.tuning().heartbeat_ticks;
  c.lease_ticks = host_.tuning().lease_ticks;
  c.hibernate_ticks = host_.tuning().hibernate_ticks;
  c.memory_bytes_max = host_.tuning().memory_bytes_max;
  c.uncommitted_bytes_max = std::size_t{256} << 20;
  c.order = id_.v;
  core_ = std::make_unique<raft::Core>(c, start_state());
  raft::View v = core_->view();
  handed_ = {v.term, v.vote, v.commit};
  note_head();
  host_.add(*this);
  alive_conf_ = core_->conf();
  if (alone() || core_->never_led()) core_->tick();  // nobody else to wait for
}

}  // namespace weir::replica
