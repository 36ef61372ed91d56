// broker/raft/core_repair.cc - replicas whose disk lost something that it had promised to keep.
//
// An unreadable entry keeps its place: its (index, term) takes part in elections and in the prefix
// check, so nothing that was promised is taken back. The replica cannot lead, acknowledges and applies
// nothing at or above it, and asks the other voters for it. An append that carries it repairs it too.
//
// Dropping. If the entry can be shown to be uncommitted, the log is cut below it. The proof is a set N of
// voters that answered "never had it" in this replica's term T, so large that no majority lies outside N:
// - A leader of a term below T cannot get an ack for it from a member of N any more (their term is T,
//   durably), nor has it got one (who once acknowledged an entry that commits keeps it).
// - A leader of T or later has not counted this replica: it has acknowledged nothing at or above the
//   fault since it started, and T is above the term it started with, so no older ack is of T.
// - The majority is that of the incoming voters at the entry. Every later configuration passed through a
//   joint one that includes it (confchange.h), so no other majority can have committed the entry alone.
// An entry that may be a configuration is never dropped, nor is one above it: its N would be judged by
// guesswork.
//
// Unknown head. The replica acknowledged entries whose very ids are lost. It neither votes nor says
// "never" until a leader, asked after this start, has said where its log ends and this replica's disk
// agrees up to there: what it acknowledged and could have been counted is part of that. A replica whose
// term or vote may be lost cannot be saved this way; it comes back under a new id, as a learner.
#include <algorithm>
#include <utility>

#include "broker/base/check.h"
#include "broker/raft/core.h"

namespace weir::raft {
namespace {
constexpr std::size_t kRepairsAtOnce = 8;
}

void Core::load_faults(const StartState& start) {
  RaftIndex skip{0};
  for (const Fault& f : start.faults) {
    CHECK(log_.matches(f.id), "a fault names an entry that is not in the log");
    if (f.id.index <= start.applied) {
      skip = f.id.index;  // its effect is in the state; the log just does not reach below it
    } else {
      faults_[f.id.index] = FaultState{f.id.term, f.maybe_config, false};
    }
  }
  if (skip > log_.base().index) log_.compact(skip);
}

void Core::tick_repair() {
  if (faults_.empty() && !head_unknown_) return;
  // The first tick asks; then there is time for answers to come.
  if (repair_elapsed_++ % std::max(1u, cfg_.election_ticks / 2) != 0) return;
  ask_repairs();
}

void Core::ask_repairs() {
  std::vector<NodeId> voters = members_of(conf());
  std::erase_if(voters, [this](NodeId n) { return n == cfg_.id || !is_voter(conf(), n); });
  // What cannot be read may have been a change of members: who leads is one of those that have it.
  if (leader_ != NodeId{0} && leader_ != cfg_.id && !is_voter(conf(), leader_)) voters.push_back(leader_);
  for (NodeId node : voters) {
    if (head_unknown_) {
      Message m = make(MessageType::kHead, node);
      m.context = head_context_;
      m.index = log_.last();
      send(std::move(m));
    }
    ask_entries(node);
  }
}

void Core::ask_entries(NodeId node) {
  std::size_t asked = 0;
  for (const auto& [index, fault] : faults_) {
    if (fault.writing) continue;
    if (++asked > kRepairsAtOnce) break;
    Message m = make(MessageType::kFetch, node);
    m.index = index;
    m.log_term = fault.term;
    send(std::move(m));
  }
}

Message Core::fetch_answer(NodeId to, EntryId id, FetchAnswer answer) const {
  Message m = make(MessageType::kFetchResp, to);
  m.index = id.index;
  m.log_term = id.term;
  m.answer = answer;
  return m;
}

void Core::on_fetch(const Message& m) {
  if (head_unknown_) return;
  EntryId id{m.index, m.log_term};
  if (id.index <= log_.base().index) return fetch_compacted(m.from, id);
  // "Never" rests on this node's term being on disk.
  if (!log_.matches(id)) return send_durably(fetch_answer(m.from, id, FetchAnswer::kNever));
  if (faults_.count(id.index) > 0) return send(fetch_answer(m.from, id, FetchAnswer::kFaulty));
  if (id.index >= log_.memory_first()) {
    Message resp = fetch_answer(m.from, id, FetchAnswer::kHave);
    resp.entries.push_back(log_.at(id.index));
    return send(std::move(resp));
  }
  bool asked = std::any_of(repair_loads_.begin(), repair_loads_.end(),
                           [&](const LoadRequest& r) { return r.peer == m.from && r.from == id.index; });
  if (asked || repair_loads_.size() >= kRepairsAtOnce * kVotersMax) return;
  repair_loads_.push_back({m.from, id.index, id.index, true});
  loads_.push_back(repair_loads_.back());
}

// Only a state can bring what no log has any more.
void Core::fetch_compacted(NodeId to, EntryId id) {
  auto it = progress_.find(to);
  if (role_ == Role::kLeader && it != progress_.end() && it->second.state != ProgressState::kSnapshot) {
    it->second.active = true;
    send_snapshot(to, it->second);
  }
  send(fetch_answer(to, id, FetchAnswer::kCompacted));
}

void Core::repair_loaded(const LoadRequest& request, std::vector<Entry> entries) {
  auto asked = std::find_if(repair_loads_.begin(), repair_loads_.end(), [&](const LoadRequest& r) {
    return r.peer == request.peer && r.from == request.from;
  });
  if (halted_ || asked == repair_loads_.end()) return;
  repair_loads_.erase(asked);
  // A journal may have let go of what this log still counts: after a restart it begins with what was there.
  if (entries.empty()) {
    auto term = log_.term_at(request.from);
    if (term) fetch_compacted(request.peer, {request.from, *term});
    return;
  }
  if (entries.size() != 1 || !log_.matches({entries[0].index, entries[0].term})) return;
  Message m = fetch_answer(request.peer, {entries[0].index, entries[0].term}, FetchAnswer::kHave);
  m.entries = std::move(entries);
  send(std::move(m));
}

void Core::on_fetch_resp(Message& m) {
  auto it = faults_.find(m.index);
  if (it == faults_.end() || it->second.term != m.log_term || it->second.writing) return;
  if (m.answer == FetchAnswer::kHave) {
    repair(std::move(m.entries[0]));
    return;
  }
  auto lowest = faults_.upper_bound(log_.commit());
  if (m.answer != FetchAnswer::kNever || it != lowest || m.term != term_) return;
  nevers_.insert(m.from);
  maybe_drop_fault();
}

void Core::repair(Entry entry) {
  auto it = faults_.find(entry.index);
  if (it->second.writing) return;
  it->second.writing = true;
  log_.repair(entry);
  if (entry.type == EntryType::kConfig) note_conf(entry);
  repaired_.push_back(std::move(entry));
  nevers_.clear();
}

// The payload is on disk again.
void Core::repaired(RaftIndex index) {
  auto it = faults_.find(index);
  if (it == faults_.end() || !it->second.writing) return;
  faults_.erase(it);
  if (faults_.empty()) return ack_append(std::min(verified_, log_.last()));
  // What was asked for is here: the next ones at once, many as they may be. What gets no answer has its
  // ticks.
  bool busy = std::any_of(faults_.begin(), faults_.end(), [](const auto& f) { return f.second.writing; });
  if (!busy && leader_ != NodeId{0}) ask_entries(leader_);
}

bool Core::droppable(RaftIndex index) const {
#ifdef WEIR_DEFECT_RAFT_DROP_UNPROVEN
  if (!nevers_.empty()) return true;
#endif
  if (faults_.at(index).writing) return false;
  // Below a configuration that cannot be read, nobody knows whose majority it is.
  auto end = faults_.upper_bound(index);
  if (std::any_of(faults_.begin(), end, [](const auto& f) { return f.second.maybe_config; })) return false;
  const ConfState& conf = conf_at(index - 1);
  std::size_t may_have = 0;
  for (NodeId n : conf.voters) may_have += nevers_.count(n) == 0 ? 1u : 0u;
  return may_have < majority_of(conf.voters.size());
}

void Core::maybe_drop_fault() {
  auto lowest = faults_.upper_bound(log_.commit());
  if (lowest == faults_.end() || term_ <= start_term_ || !droppable(lowest->first)) return;
  cut_log(lowest->first);
}

void Core::on_head(const Message& m) {
  auto it = progress_.find(m.from);
  if (role_ != Role::kLeader || it == progress_.end()) return;
  Progress& pr = it->second;
  if (m.index < pr.match) pr.refused(pr.match, m.index);  // it lost what it had
  pr.active = true;
  if (pr.state == ProgressState::kReplicate) pr.become_probe();
  sends_due_ = true;
  Message resp = make(MessageType::kHeadResp, m.from);
  resp.context = m.context;
  resp.index = log_.last();
  send(std::move(resp));
}

void Core::on_head_resp(const Message& m) {
  if (!head_unknown_ || m.context != head_context_ || head_target_) return;
  heard_from_leader(m.from);
  head_target_ = m.index;
  maybe_head_known();
}

void Core::maybe_head_known() {
  if (!head_unknown_ || !head_target_) return;
  if (verified_ < *head_target_ || log_.stable() < *head_target_) return;
  head_unknown_ = false;
}

}  // namespace weir::raft
