#include "broker/server/stream_host.h"

#include <algorithm>

#include "broker/api/pub_ack.h"
#include "broker/base/limits.h"
#include "broker/base/text.h"
#include "broker/server/advisories.h"
#include "broker/server/cluster_side.h"
#include "broker/server/consumer_host.h"
#include "broker/server/remote_stream.h"
#include "broker/store/mem_store.h"
#include "broker/subject/subject.h"

namespace weir::server {

using jetstream::Outcome;

namespace {
constexpr Nanos kCheckpointRetry = kSecond;
constexpr Nanos kAskLeadAgain = 100 * kMillisecond;

const std::string kEnded = "e/";
std::string ended_key(GroupId id) {
  return kEnded + std::to_string(id.v);
}
api::ApiError unavailable(const Error& why) {
  auto e = api::make_error(api::ErrCode::kStreamGeneral, why.detail);
  e.http_code = 503;
  return e;
}
}  // namespace

StreamHost::StreamHost(JsContext& js, Account& account, StreamIdentity identity)
    : js_(js),
      account_(account),
      identity_(std::move(identity)),
      group_(identity_.group, *js.host, *this),
      self_(std::make_shared<StreamHost*>(this)) {}

StreamHost::~StreamHost() {
  *self_ = nullptr;
  js_.env.loop.cancel(tick_timer_);
  js_.turn.streams.forget(*this);
  consumers_.clear();
  unsubscribe();
  count_bytes(0);
}

void StreamHost::leading(bool now) {
  if (now) {
    leader_since_ = js_.env.clock.wall();
    js_.stream_leading(*this, true);  // before anything else is proposed
    for (const auto& [name, state] : machine_->consumers()) start_consumer(*state);
    arm_tick();
    return listed();  // what waited for this
  }
  end_consumers(jetstream::ConsumerEnd::kLeadershipChange);
  tick_proposed_ = false;
  // What was proposed may still be committed: publishers hear nothing, as of a server that died, and ask
  // again with their Msg-Id.
  for (auto& entry : pending_) {
    for (Waiting& w : entry.waiting) w.reply_size = 0;
  }
  fail_pending(Error(Code::kUnavailable, "leadership changed"));
  js_.stream_leading(*this, false);
}

void StreamHost::handing_over() {
  for (auto& [name, consumer] : consumers_) consumer->hand_over();
  close_batch();
}

bool StreamHost::may_deliver(ConsumerHost&) {
  // A record that is refused is one that consumers already count on.
  if (group_.transferring()) {
    ask_lead_later();
    return false;
  }
  if (group_.leads_for_sure()) return true;
  leads_for_sure();
  return false;
}

// Also wakes a group that sleeps.
void StreamHost::leads_for_sure() {
  if (asking_lead_) return;
  asking_lead_ = true;
  group_.read_point([self = std::weak_ptr<StreamHost*>(self_)](bool current) {
    auto host = self.lock();
    if (!host || !*host) return;
    StreamHost& me = **host;
    me.asking_lead_ = false;
    if (!me.group_.leading()) return;
    if (!current) return me.ask_lead_later();
    for (auto& [name, c] : me.consumers_) c->try_again();
  });
}

void StreamHost::ask_lead_later() {
  if (asking_lead_) return;
  asking_lead_ = true;
  js_.env.loop.at(js_.env.clock.now() + kAskLeadAgain, [self = std::weak_ptr<StreamHost*>(self_)] {
    auto host = self.lock();
    if (!host || !*host) return;
    (*host)->asking_lead_ = false;
    if ((*host)->group_.leading()) (*host)->leads_for_sure();
  });
}

void StreamHost::consumer_refused(std::uint32_t id) {
  refused_consumers_[id] = pending_.empty() ? group_.applied() : pending_.back().id.index;
  listed();
}

// What such a consumer did since is void. Not before all it had proposed earlier is applied: what was
// acknowledged there may be confirmed.
void StreamHost::restart_refused() {
  for (auto it = refused_consumers_.begin(); it != refused_consumers_.end();) {
    auto there = consumers_by_id_.find(it->first);
    if (there != consumers_by_id_.end() && group_.applied() < it->second) {
      ++it;
      continue;
    }
    it = refused_consumers_.erase(it);
    if (there == consumers_by_id_.end()) continue;
    std::string name = there->second->name();
    there->second->end(jetstream::ConsumerEnd::kLeadershipChange);
    consumers_by_id_.erase(there);
    consumers_.erase(name);
    if (const auto* state = machine_->find_consumer(name)) start_consumer(*state);
  }
}

void StreamHost::end_consumers(jetstream::ConsumerEnd why) {
  refused_consumers_.clear();
  for (auto& [name, c] : consumers_) c->end(why);
  consumers_.clear();
  consumers_by_id_.clear();
}

// Whether a fail-over can happen decides what consumers may send before it is committed. They go on: what
// they proposed and was not applied yet is known to them alone.
void StreamHost::members_changed(const raft::ConfState&) {
  for (auto& [name, consumer] : consumers_) consumer->members_changed(group_.alone());
}

void StreamHost::subscribe() {
  for (const std::string& subject : machine_->config().subjects) {
    auto sub = std::make_unique<session::Subscription>();
    sub->subject = subject;
    sub->listener = this;
    sub->everywhere = true;
    js_.router.add(account_, *sub);
    subscriptions_.push_back(std::move(sub));
  }
}

void StreamHost::unsubscribe() {
  for (auto& sub : subscriptions_) js_.router.remove(account_, *sub);
  subscriptions_.clear();
}

// ---- proposals -------------------------------------------------------------------------------

std::optional<api::ApiError> StreamHost::refuse_publish(const session::Inbound& m) const {
  using api::ErrCode;
  if (group_.why_stopped()) return unavailable(*group_.why_stopped());
  if (js_.disk_full && file_) return api::make_error(ErrCode::kInsufficientResources);
  if (group_.in_flight_bytes() + builder_.size() > limits::kInFlightBytesMax ||
      (file_ && js_.journal->full())) {
    return api::make_error(ErrCode::kStreamTooManyRequests);
  }
  std::uint64_t used = file_ ? js_.file_bytes : js_.memory_bytes;
  std::uint64_t most = file_ ? js_.file_bytes_max : js_.memory_bytes_max;
  if (over_account_limit(m.body.size())) return api::make_error(ErrCode::kAccountResourcesExceeded);
  if (used > most) {
    return api::make_error(file_ ? ErrCode::kStorageResourcesExceeded : ErrCode::kMemoryResourcesExceeded);
  }
  return std::nullopt;
}

bool StreamHost::over_account_limit(std::uint64_t more) const {
  std::int64_t most = file_ ? account_.js_limits.max_store : account_.js_limits.max_memory;
  if (most < 0) return false;
  auto copies = static_cast<std::uint64_t>(std::max<std::int64_t>(machine_->config().num_replicas, 1)) - 1;
  // What the other nodes told of themselves is some seconds old: they have this stream's messages for sure.
  std::uint64_t told = file_ ? account_.js_others_file_bytes : account_.js_others_memory_bytes;
  std::uint64_t elsewhere = std::max(told, store_->state().bytes * copies) + more * copies;
  std::uint64_t here = file_ ? account_.js_file_bytes : account_.js_memory_bytes;
  return here + elsewhere > static_cast<std::uint64_t>(most);
}

void StreamHost::refuse(std::string_view reply, api::ApiError error) {
  listed();
  if (!reply.empty()) refusals_.emplace_back(reply, std::move(error));
}

void StreamHost::listed() {
  js_.turn.streams.add(*this, queued_);
}

void StreamHost::on_message(const session::Inbound& m) {
  if (!group_.leading() && !soon_leading()) return forward_publish(js_, identity_.group, account_, m);
  if (auto error = refuse_publish(m)) return refuse(m.reply, std::move(*error));
  builder_.publish({m.subject, m.headers(), m.payload(), {}});
  Waiting w;
  if (!m.reply.empty() && !machine_->config().no_ack) {
    w.reply_offset = static_cast<std::uint32_t>(batch_.replies.size());
    w.reply_size = static_cast<std::uint32_t>(m.reply.size());
    batch_.replies += m.reply;
  }
  batch_.waiting.push_back(w);
  listed();
  if (builder_.size() >= limits::kEntryBytesMax) close_batch();
}

void StreamHost::propose(const AddCommand& add, Done done) {
  if (const Error* why = group_.why_stopped()) {
    Outcome o;
    o.error = unavailable(*why);
    return done(o);
  }
  add(builder_);
  Waiting w;
  batch_.dones.push_back(std::move(done));
  w.done = static_cast<std::uint32_t>(batch_.dones.size());
  batch_.waiting.push_back(w);
  listed();
  if (builder_.size() >= limits::kEntryBytesMax) close_batch();
}

void StreamHost::propose_config(std::uint64_t revision, const std::string& config_json) {
  jetstream::EntryBuilder b;
  b.update_stream({revision, config_json});
  auto id = group_.propose(b.finish(js_.env.clock.wall()));
  if (!id)
    js_.env.log.debug("stream " + identity_.name + ": configuration not proposed: " + id.error().detail);
}

void StreamHost::propose_progress(std::uint32_t consumer_id, std::string_view body, Done done) {
  propose([&](jetstream::EntryBuilder& b) { b.consumer_progress({consumer_id, body}); }, std::move(done));
}

void StreamHost::close_batch() {
  if (builder_.empty() || (!group_.leading() && soon_leading())) return;
  PendingEntry entry = std::exchange(batch_, {});
  auto id = group_.propose(builder_.finish(js_.env.clock.wall()));
  if (!id) {
    // Told in flush(): answers cannot be sent while a match is walked.
    failed_.emplace_back(std::move(entry), id.error());
    return listed();
  }
  entry.id = *id;
  pending_.push_back(std::move(entry));
}

void StreamHost::fail_pending(const Error& why) {
  for (auto& entry : std::exchange(pending_, {})) failed_.emplace_back(std::move(entry), why);
  listed();
}

void StreamHost::fail_batch(PendingEntry& entry, const Error& why) {
  Outcome o;
  o.error =
      why.code == Code::kLimit ? api::make_error(api::ErrCode::kStreamTooManyRequests) : unavailable(why);
  for (const Waiting& w : entry.waiting) {
    if (w.done) entry.dones[w.done - 1](o);
    if (w.reply_size) refusals_.emplace_back(entry.replies.substr(w.reply_offset, w.reply_size), o.error);
  }
}

void StreamHost::fail_batches() {
  for (auto& [entry, why] : std::exchange(failed_, {})) fail_batch(entry, why);
}

void StreamHost::flush() {
  queued_ = false;
  close_batch();
  fail_batches();
  for (auto& [reply, error] : std::exchange(refusals_, {})) {
    js_.router.send(account_, reply, {}, api::encode_pub_ack_error(error, identity_.name));
  }
  restart_refused();
  maybe_checkpoint(false);
}

// ---- application -----------------------------------------------------------------------------

Status StreamHost::apply(RaftIndex index, Term term, const Bytes& payload, bool live) {
  ASSIGN_OR_RETURN(auto reader, jetstream::EntryReader::open(payload));
  PendingEntry entry;
  if (!pending_.empty() && pending_.front().id == raft::EntryId{index, term}) {
    entry = std::move(pending_.front());
    pending_.pop_front();
  }
  jetstream::Command command;
  std::size_t at = 0;
  auto keep = self_;
  while (reader.next(command)) {
    if (Status s = machine_->apply(command, index, reader.log_time(), outcome_); !s) {
      entry.waiting.erase(entry.waiting.begin(), entry.waiting.begin() + static_cast<std::ptrdiff_t>(std::min(
                                                                             at, entry.waiting.size())));
      failed_.emplace_back(std::move(entry), s.error());
      return s;
    }
    if (!live) continue;
    react(outcome_);
    if (at < entry.waiting.size()) answer(entry, at, outcome_);
    ++at;
    if (!*keep) return ok();  // an answer destroyed this stream
  }
  account_usage();
  if (group_.leading()) arm_tick();
  if (!refused_consumers_.empty()) listed();
  // Followers, too: what they have not written into segments is memory, and the work of their next start.
  if (live && file_ && file_->unflushed_bytes() > js_.tuning.tail_bytes_max) listed();
  return ok();
}

void StreamHost::answer(PendingEntry& entry, std::size_t at, const Outcome& outcome) {
  const Waiting& w = entry.waiting[at];
  if (w.done) return entry.dones[w.done - 1](outcome);
  if (w.reply_size) pub_ack(std::string_view(entry.replies).substr(w.reply_offset, w.reply_size), outcome);
}

void StreamHost::pub_ack(std::string_view reply, const Outcome& outcome) {
  if (!outcome.ok()) {
    js_.router.send(account_, reply, {}, api::encode_pub_ack_error(outcome.error, identity_.name));
    return;
  }
  scratch_.clear();
  api::PubAck ack;
  ack.stream = identity_.name;
  ack.seq = outcome.seq;
  ack.domain = js_.options.jetstream.domain;
  ack.duplicate = outcome.duplicate;
  api::append_pub_ack(scratch_, ack);
  js_.router.send(account_, reply, {}, scratch_);
}

void StreamHost::react(const Outcome& outcome) {
  if (outcome.stored || !outcome.removed.empty() || outcome.removed_many) wake_consumers(outcome);
  if (group_.leading() && outcome.consumer_change != jetstream::ConsumerChange::kNone)
    consumer_changed(outcome);
  if (outcome.config_changed) {
    unsubscribe();
    subscribe();
  }
}

void StreamHost::wake_consumers(const Outcome& outcome) {
  if (consumers_.empty()) return;
  std::string_view subject;
  store::Message stored;
  if (outcome.stored) {
    auto loaded = store_->load(outcome.seq);
    if (loaded && *loaded) {
      stored = std::move(**loaded);
      subject = stored.subject();
    }
  }
  if (!subject.empty()) {
    for (std::uint32_t id : machine_->consumers_of(subject)) {
      auto it = consumers_by_id_.find(id);
      if (it != consumers_by_id_.end()) it->second->stored(outcome.seq, subject);
    }
  }
  if (!outcome.removed_many && outcome.removed.empty()) return;
  for (auto& [name, consumer] : consumers_) {
    if (outcome.removed_many) consumer->purged();
    for (const auto& r : outcome.removed) consumer->removed(r.seq, r.subject);
  }
}

void StreamHost::consumer_changed(const Outcome& outcome) {
  using jetstream::ConsumerChange;
  const auto* state = machine_->find_consumer(outcome.consumer_name);
  switch (outcome.consumer_change) {
    case ConsumerChange::kCreated:
      if (state) start_consumer(*state);
      js_.advisories.consumer_action(*this, outcome.consumer_name, api::AssetAction::kCreate);
      break;
    case ConsumerChange::kUpdated:
      if (auto* c = consumer(outcome.consumer_name); c && state) c->config_changed(state->config());
      break;
    case ConsumerChange::kDeleted: {
      auto it = consumers_.find(outcome.consumer_name);
      if (it != consumers_.end()) {
        it->second->end(jetstream::ConsumerEnd::kDeleted);
        consumers_by_id_.erase(it->second->id());
        consumers_.erase(it);
      }
      js_.advisories.consumer_action(*this, outcome.consumer_name, api::AssetAction::kDelete);
      break;
    }
    default: break;
  }
}

void StreamHost::start_consumer(const jetstream::ConsumerState& state) {
  auto host = ConsumerHost::start(js_, *this, state);
  if (!host) {
    js_.env.log.error("stream " + identity_.name + " consumer " + state.name() + ": " +
                      host.error().to_string());
    return;
  }
  consumers_by_id_[state.id()] = host->get();
  consumers_[state.name()] = std::move(*host);
  machine_->watch_removals(StreamSeq(1));
}

ConsumerHost* StreamHost::consumer(std::string_view name) {
  auto it = consumers_.find(name);
  return it == consumers_.end() ? nullptr : it->second.get();
}

bool StreamHost::takes(std::string_view subject) const {
  const auto& subjects = machine_->config().subjects;
  return std::any_of(subjects.begin(), subjects.end(),
                     [&](const std::string& pattern) { return subject::matches(pattern, subject); });
}

// After a restart the log may reach beyond what is known to be committed until a leader says so.
bool StreamHost::may_read() const {
  return group_.started() && !group_.empty() && !damaged() && group_.met_leader() &&
         group_.applied() >= group_.commit();
}

void StreamHost::account_usage() {
  count_bytes(store_->state().bytes);
}

void StreamHost::count_bytes(std::uint64_t now) {
  for (std::uint64_t* total : {file_ ? &js_.file_bytes : &js_.memory_bytes,
                               file_ ? &account_.js_file_bytes : &account_.js_memory_bytes}) {
    *total = *total - std::min(*total, counted_bytes_) + now;
  }
  counted_bytes_ = now;
}

void StreamHost::arm_tick() {
  if (!may_propose()) return;
  auto due = machine_->next_due();
  if (!due || tick_proposed_ || (tick_timer_ && tick_at_ <= *due)) return;
  js_.env.loop.cancel(tick_timer_);
  tick_at_ = *due;
  Nanos wait = std::max<Nanos>(*due - js_.env.clock.wall(), kMillisecond);
  tick_timer_ = js_.env.loop.at(js_.env.clock.now() + wait, [this] {
    tick_timer_ = 0;
    if (!may_propose()) return;
    tick_proposed_ = true;
    propose([](jetstream::EntryBuilder& b) { b.tick(); },
            [this](const Outcome&) {
              tick_proposed_ = false;
              arm_tick();
            });
  });
}

void StreamHost::log_stopped() const {
  js_.env.log.error("stream " + account_.name + "/" + identity_.name + " (group " +
                    std::to_string(identity_.group.v) + ") stopped: " + group_.why_stopped()->detail);
}

void StreamHost::stopped(const Error& why) {
  // While the journal is replayed nothing is said: a stream that was deleted has lost the start of its
  // log, and the deletion is found further on.
  if (started_) log_stopped();
  fail_pending(why);
  if (started_ && group_.needs_new_id()) js_.stream_useless(*this);
}

// ---- checkpoints and the end -----------------------------------------------------------------

void StreamHost::maybe_checkpoint(bool now) {
  if (!file_ || !started_ || group_.why_stopped() || destroyed_ || fetch_ || file_->checkpointing()) return;
  if (js_.env.clock.now() < checkpoint_retry_) return;
  if (now || file_->unflushed_bytes() > js_.tuning.tail_bytes_max) start_checkpoint();
}

void StreamHost::press() {
  if (!file_ || !started_ || group_.why_stopped()) return;
  maybe_checkpoint(true);
  group_.compact(checkpointed_, true);
}

void StreamHost::start_checkpoint() {
  auto position = group_.checkpoint_position();
  if (!position) return;  // the log on this disk is behind for a moment
  half_ = {};             // the log reached it after all
  std::vector<store::CatalogEdit> edits;
  jetstream::CheckpointMark mark{position->at.index, position->at.term};
  machine_->encode_checkpoint(state_prefix(group_.generation()), mark, edits);
  edits.push_back({replica::position_key(identity_.group), replica::encode_position(*position)});
  for (auto& e : edits) unsaved_[e.key] = std::move(e.value);
  edits.clear();
  for (const auto& [key, value] : unsaved_) edits.push_back({key, value});
  file_->checkpoint(std::move(edits),
                    [self = std::weak_ptr<StreamHost*>(self_), index = mark.applied](const Status& s) {
                      auto host = self.lock();
                      if (host && *host) (*host)->checkpoint_done(index, s);
                    });
}

void StreamHost::checkpoint_done(RaftIndex index, const Status& status) {
  if (status) {
    unsaved_.clear();
    checkpointed_ = index;
    return group_.compact(index);
  }
  checkpoint_retry_ = js_.env.clock.now() + kCheckpointRetry;
  js_.env.log.error("stream " + identity_.name + ": checkpoint failed: " + status.error().detail);
}

void StreamHost::destroy() {
  destroyed_ = true;
  fetch_.reset();
  half_ = {};
  end_consumers(jetstream::ConsumerEnd::kDeleted);
  unsubscribe();
  group_.retire();
  pending_.push_back(std::exchange(batch_, {}));
  for (auto& entry : std::exchange(pending_, {}))
    failed_.emplace_back(std::move(entry), Error(Code::kUnavailable, "stream deleted"));
  fail_batches();
  std::vector<store::CatalogEdit> edits = machine_edits_gone();
  edits.push_back({replica::position_key(identity_.group), std::nullopt});
  edits.push_back({ended_key(identity_.group), std::to_string(identity_.self.v)});
  if (!file_) return;
  if (auto arriving = std::move(switching_)) {
    // Its checkpoint would bring keys and files back after they were discarded.
    arriving->file->destroy([arriving](const Status&) {});
  } else {
    store::FileStore::discard(js_.env.disk, *js_.catalog, js_.env.log, file_options(group_.generation() + 1),
                              [](Status) {});
  }
  discard_other_generations();
  // The store finishes its removal on its own; it is kept alive by the completion. The records end when the
  // catalog's note is durable: without both, a start that knows an old meta state founds the group anew.
  std::shared_ptr<store::MessageStore> store(std::move(store_));
  auto* file = static_cast<store::FileStore*>(store.get());
  file->destroy(std::move(edits), [store, &js = js_, group = identity_.group](const Status& status) {
    if (status) replica::end_records(*js.journal, group);
  });
}

bool StreamHost::replica_ended(const store::Catalog& catalog, GroupId group, NodeId replica) {
  auto ended = catalog.get(ended_key(group));
  if (!ended) return false;
  auto last = parse_u64(*ended);
  // The ids that this node had before that one are over as well.
  return last && incarnation_of(replica) <= incarnation_of(NodeId(*last));
}

void StreamHost::forget_ended(store::Catalog& catalog, const std::function<bool(GroupId, NodeId)>& over) {
  std::vector<store::CatalogEdit> edits;
  catalog.scan(kEnded, [&](const std::string& key, const std::string& value) {
    auto group = parse_u64(std::string_view(key).substr(kEnded.size()));
    auto replica = parse_u64(value);
    if (!group || !replica || over(GroupId(static_cast<std::uint32_t>(*group)), NodeId(*replica)))
      edits.push_back({key, std::nullopt});
    return true;
  });
  if (!edits.empty()) catalog.commit(std::move(edits), [](Status) {});
}

// Removes the state machine's keys of every generation.
std::vector<store::CatalogEdit> StreamHost::machine_edits_gone() const {
  std::vector<store::CatalogEdit> edits;
  js_.catalog->scan("g/" + std::to_string(identity_.group.v) + "/m",
                    [&](const std::string& key, const std::string&) {
                      edits.push_back({key, std::nullopt});
                      return true;
                    });
  return edits;
}

}  // namespace weir::server
