// broker/server/stream_state.cc - a stream's state goes to another replica, or comes from one.
#include "broker/server/cluster_side.h"
#include "broker/server/stream_host.h"

namespace weir::server {

namespace {
constexpr Nanos kWaitForCheckpoint = 20 * kMillisecond;
}  // namespace

Result<StreamHost::StateMessages> StreamHost::state_messages(StreamSeq from, std::size_t bytes,
                                                             std::size_t messages) {
  if (!gives_state()) return {Code::kUnavailable, "the stream has no state to give here now"};
  StateMessages out;
  std::size_t taken = 0;
  StreamSeq next = from;
  while (taken < bytes && out.messages.size() < messages) {
    ASSIGN_OR_RETURN(auto found, store_->next({}, next));
    if (!found) break;
    next = found->seq + 1;
    taken += found->record.size();
    out.messages.push_back(std::move(*found));
  }
  ASSIGN_OR_RETURN(auto more, store_->next({}, next));
  out.end = !more;
  return out;
}

Result<StateCut> StreamHost::state_cut() {
  if (!gives_state()) return {Code::kUnavailable, "the stream has no state to give here now"};
  auto position = group_.checkpoint_position();
  if (!position) return {Code::kUnavailable, "the log on this disk is behind what was applied"};
  StateCut cut;
  cut.position = *position;
  cut.last_seq = store_->state().last_seq;
  cut.last_time = store_->state().last_time;
  cut.live = store_->live_ranges(StreamSeq(0), kCutRangesMax + 1);  // one too many is refused, not left out
  machine_->encode_full("", {position->at.index, position->at.term}, cut.machine);
  return cut;
}

void StreamHost::fetch_state(NodeId from, const raft::SnapshotMeta&) {
  js_.env.log.info("stream " + account_.name + "/" + identity_.name + " fetches its state from " +
                   js_.cluster->name_of(from));
  fetch_ = std::make_unique<StateFetch>(
      js_, StateFetch::Stream{identity_.group, identity_.config, identity_.created}, from,
      [this](Result<StateFetch::Arrived> arrived) { state_arrived(std::move(arrived)); });
  if (half_.store) return fetch_->go_on(std::exchange(half_, {}));
  start_fetch();
}

// From now on no checkpoint begins; one that is under way changes what there is to begin with.
void StreamHost::start_fetch() {
  if (!file_) return fetch_->start(std::nullopt);
  if (file_->checkpointing()) {
    js_.env.loop.at(js_.env.clock.now() + kWaitForCheckpoint, [self = std::weak_ptr<StreamHost*>(self_)] {
      if (auto host = self.lock(); host && *host && (*host)->fetch_) (*host)->start_fetch();
    });
    return;
  }
  StateFetch::Files files{file_options(group_.generation() + 1), std::nullopt};
  // What is here may be used again if it is this replica's state, and whole.
  if (!group_.empty() && !file_->damaged() && !fetch_all_) files.served = file_options(group_.generation());
  fetch_->start(std::move(files));
}

void StreamHost::fetch_failed(const Error& why) {
  half_ = fetch_->take_half();
  // What it began with does not fit what the others have: not again.
  if (!half_.store && (why.code == Code::kInvalid || why.code == Code::kCorrupt)) fetch_all_ = true;
  fetch_.reset();
  js_.env.log.warn("stream " + account_.name + "/" + identity_.name + ": state not fetched: " + why.detail);
  if (why.code == Code::kNoSpace && group_.empty()) make_room();
  group_.state_failed();
}

// A replica that begins anew keeps what it had until it has a state again. Where both do not fit, the copy
// that the group gave up goes: a leader that has a whole one has just been asked.
void StreamHost::make_room() {
  if (discard_other_generations(group_.generation()) == 0) return;
  js_.env.log.warn("stream " + account_.name + "/" + identity_.name +
                   ": no room for a second copy: the unusable one is removed");
}

void StreamHost::state_arrived(Result<StateFetch::Arrived> arrived) {
  if (!arrived) return fetch_failed(arrived.error());
  auto fresh = std::make_shared<StateFetch::Arrived>(std::move(*arrived));
  const replica::Position& p = fresh->cut.position;
  raft::SnapshotMeta at{p.at.index, p.at.term, p.conf};
  if (at.index <= group_.applied())
    return fetch_failed(Error(Code::kUnavailable, "it is older than what is here"));
  if (file_) return switch_to(std::move(fresh), at);
  adopt(*fresh, at);
}

// One catalog batch makes the new generation the real one: store, state machine, position.
void StreamHost::switch_to(std::shared_ptr<StateFetch::Arrived> fresh, raft::SnapshotMeta at) {
  std::weak_ptr<StreamHost*> self = self_;
  if (file_->checkpointing()) {
    // It would name the old state once more, after the switch.
    js_.env.loop.at(js_.env.clock.now() + kWaitForCheckpoint, [self, fresh, at] {
      if (auto host = self.lock(); host && *host) (*host)->switch_to(fresh, at);
    });
    return;
  }
  std::uint32_t generation = group_.generation() + 1;
  std::vector<store::CatalogEdit> edits = machine_edits_gone();
  for (auto& e : std::exchange(fresh->cut.machine, {}))
    edits.push_back({state_prefix(generation) + e.key, std::move(e.value)});
  edits.push_back(
      {replica::position_key(identity_.group), replica::encode_position(group_.position_at(at, generation))});
  switching_ = fresh;  // not kept by its own completion: who deletes the stream has to reach it
  fresh->file->checkpoint(std::move(edits), [self, at](const Status& s) {
    auto host = self.lock();
    if (!host || !*host || (*host)->destroyed_) return;
    auto arrived = std::move((*host)->switching_);
    if (!s) return (*host)->fetch_failed(s.error());
    (*host)->adopt(*arrived, at);
  });
}

void StreamHost::adopt(StateFetch::Arrived& fresh, const raft::SnapshotMeta& at) {
  bool file = file_ != nullptr;
  std::shared_ptr<store::MessageStore> old(std::move(store_));
  store::FileStore* old_file = file_;
  machine_.reset();
  store_ = std::move(fresh.store);
  file_ = fresh.file;
  unsaved_.clear();
  fetch_all_ = false;
  checkpointed_ = at.index;
  machine_ = std::move(fresh.machine);
  fetch_.reset();
  if (old_file) old_file->destroy([old](Status) {});
  group_.state_installed(at, file ? group_.generation() + 1 : 0);
  if (file) discard_other_generations();
  unsubscribe();
  subscribe();
  account_usage();
  js_.env.log.info("stream " + account_.name + "/" + identity_.name + " has its state as of entry " +
                   std::to_string(at.index.v) + "; " + std::to_string(fresh.messages) + " of " +
                   std::to_string(store_->state().messages) +
                   " messages were sent, the rest in parts: " + std::to_string(fresh.parts));
}

}  // namespace weir::server
