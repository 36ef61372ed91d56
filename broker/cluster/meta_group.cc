#include "broker/cluster/meta_group.h"

#include "broker/base/limits.h"
#include "broker/base/text.h"
#include "broker/base/varint.h"

namespace weir::cluster {

using jetstream::MetaOutcome;

namespace {
constexpr Nanos kCheckpointRetry = kSecond;
const std::string kReplicaKey = "n/meta_replica";  // value: decimal replica id
const std::string kKey = "n/meta";                 // value: MetaState snapshot; its position is the group's
}  // namespace

MetaGroup::MetaGroup(env::Env& env, store::Catalog& catalog, replica::Host& host, NodeId self,
                     std::uint64_t checkpoint_entries, Hooks hooks)
    : env_(env),
      catalog_(catalog),
      host_(host),
      self_(self),
      checkpoint_entries_(checkpoint_entries),
      hooks_(std::move(hooks)),
      group_(std::make_unique<replica::Group>(jetstream::kMetaGroup, host, *this)) {}

NodeId MetaGroup::replica(const store::Catalog& catalog, NodeId node) {
  auto value = catalog.get(kReplicaKey);
  auto id = value ? parse_u64(*value) : std::nullopt;
  return id && node_of(NodeId(*id)) == node ? NodeId(*id) : node;
}

void MetaGroup::begin_anew(NodeId fresh, store::Journal* journal) {
  if (checkpointing_ || fresh == self_) return;
  checkpointing_ = true;  // nothing else is written meanwhile
  auto done = [this, fresh, journal, alive = std::weak_ptr<int>(alive_)](Status s) {
    if (alive.expired()) return;
    checkpointing_ = false;
    if (!s) return env_.log.error("meta group: its new replica id cannot be written: " + s.error().detail);
    env_.log.info("meta group: this node begins anew as another replica");
    self_ = fresh;
    checkpointed_ = RaftIndex(0);
    group_ = std::make_unique<replica::Group>(jetstream::kMetaGroup, host_, *this);
    group_->join(self_);
    group_->start(journal);
  };
  catalog_.commit(
      {{kReplicaKey, std::to_string(fresh.v)}, {replica::position_key(jetstream::kMetaGroup), std::nullopt}},
      std::move(done));
}

Result<bool> MetaGroup::restore() {
  auto position = catalog_.get(replica::position_key(jetstream::kMetaGroup));
  if (!position) {
    // What this node knew before it began anew is better than nothing.
    if (auto old = catalog_.get(kKey); old && catalog_.get(kReplicaKey))
      RETURN_IF_ERROR(state_.restore(*old));
    return false;
  }
  ASSIGN_OR_RETURN(auto at, replica::decode_position(*position));
  auto value = catalog_.get(kKey);
  if (!value) return {Code::kCorrupt, "catalog key n/meta is missing"};
  RETURN_IF_ERROR(state_.restore(*value));
  if (at.self != self_) {
    return {Code::kCorrupt, "the meta group's state belongs to another node; was a store copied?"};
  }
  group_->restore(at);
  checkpointed_ = at.at.index;
  return true;
}

void MetaGroup::propose(const std::function<void(jetstream::EntryBuilder&)>& add, Done done) {
  if (!group_->leading() && !(group_->alone() && !group_->why_stopped())) {
    std::vector<Done> dones;
    dones.push_back(std::move(done));
    return fail(dones, group_->why_stopped()
                           ? *group_->why_stopped()
                           : Error(Code::kUnavailable, "this node does not lead the meta group"));
  }
  add(builder_);
  batch_.push_back(std::move(done));
  if (builder_.size() >= limits::kEntryBytesMax) flush();
}

void MetaGroup::create(std::string_view account, const api::StreamConfig& config,
                       const std::vector<NodeId>& nodes, std::uint64_t max_streams, Done done) {
  std::string json = api::encode_stream_config_json(config);
  jetstream::MetaStreamCommand c;
  c.account = account;
  c.name = config.name;
  c.max_streams = max_streams;
  c.nodes = nodes;
  c.config_json = json;
  propose([&](jetstream::EntryBuilder& b) { b.meta_create_stream(c); }, std::move(done));
}

void MetaGroup::update(std::string_view account, const api::StreamConfig& config,
                       const std::vector<NodeId>& nodes, Done done) {
  std::string json = api::encode_stream_config_json(config);
  jetstream::MetaStreamCommand c;
  c.account = account;
  c.name = config.name;
  c.nodes = nodes;
  c.config_json = json;
  propose([&](jetstream::EntryBuilder& b) { b.meta_update_stream(c); }, std::move(done));
}

void MetaGroup::remove(std::string_view account, std::string_view name, Done done) {
  propose([&](jetstream::EntryBuilder& b) { b.meta_delete_stream(account, name); }, std::move(done));
}

void MetaGroup::flush() {
  if (builder_.empty()) return;
  if (!group_->leading() && group_->alone() && !group_->why_stopped()) return;  // it leads in a moment
  std::vector<Done> dones = std::exchange(batch_, {});
  Bytes entry = builder_.finish(env_.clock.wall());
  if (group_->crowded()) return fail(dones, Error(Code::kLimit, "too many changes wait for the disk"));
  auto id = group_->propose(std::move(entry));
  if (!id) return fail(dones, id.error());
  pending_.push_back({*id, std::move(dones)});
}

void MetaGroup::fail(std::vector<Done>& dones, const Error& why) {
  MetaOutcome o;
  o.error = api::make_error(api::ErrCode::kClusterNotAvail);
  o.error.description += ": " + why.detail;
  for (auto& done : dones) done(o);
}

void MetaGroup::fail_all(const Error& why) {
  for (auto& p : std::exchange(pending_, {})) fail(p.dones, why);
  std::vector<Done> dones = std::exchange(batch_, {});
  if (!builder_.empty()) builder_.finish(env_.clock.wall());
  fail(dones, why);
}

Status MetaGroup::apply(RaftIndex index, Term term, const Bytes& payload, bool live) {
  ASSIGN_OR_RETURN(auto reader, jetstream::EntryReader::open(payload));
  std::vector<Done> dones;
  if (!pending_.empty() && pending_.front().id == raft::EntryId{index, term}) {
    dones = std::move(pending_.front().dones);
    pending_.pop_front();
  }
  jetstream::Command command;
  std::size_t at = 0;
  MetaOutcome outcome;
  while (reader.next(command)) {
    outcome = {};
    RETURN_IF_ERROR(state_.apply(command, index, reader.log_time(), outcome));
    if (outcome.change != jetstream::MetaChange::kNone) hooks_.changed(outcome, live);
    if (at < dones.size()) dones[at](outcome);
    ++at;
  }
  if (live && index - checkpointed_ >= checkpoint_entries_) checkpoint();
  return ok();
}

void MetaGroup::checkpoint(bool press) {
  auto position = group_->checkpoint_position();
  if (checkpointing_ || !position || env_.clock.now() < checkpoint_retry_) return;
  RaftIndex applied = position->at.index;
  if (applied == checkpointed_) {
    if (press) group_->compact(applied, true);
    return;
  }
  checkpointing_ = true;
  std::string value;
  state_.encode(value);
  auto done = [this, applied, press, alive = std::weak_ptr<int>(alive_)](Status s) {
    if (alive.expired()) return;
    checkpointing_ = false;
    if (!s) {
      checkpoint_retry_ = env_.clock.now() + kCheckpointRetry;
      return env_.log.error("meta checkpoint failed: " + s.error().detail);
    }
    checkpointed_ = std::max(checkpointed_, applied);
    group_->compact(applied, press);
  };
  catalog_.commit({{kKey, std::move(value)},
                   {replica::position_key(jetstream::kMetaGroup), replica::encode_position(*position)}},
                  std::move(done));
}

void MetaGroup::leading(bool now) {
  if (!now) fail_all(Error(Code::kUnavailable, "leadership of the meta group changed"));
  hooks_.leading(now);
}

void MetaGroup::stopped(const Error& why) {
  env_.log.error("meta group stopped: " + why.detail);
  fail_all(why);
}

// ---- state for and from other nodes ------------------------------------------------------------

std::string MetaGroup::state_for_peer() const {
  auto position = group_->checkpoint_position();
  if (!position) return {};
  std::string bytes = replica::encode_position(*position);
  std::string out;
  std::uint8_t tmp[kVarintMax];
  out.append(reinterpret_cast<const char*>(tmp), put_varint(tmp, bytes.size()));
  out += bytes;
  state_.encode(out);
  return out;
}

void MetaGroup::install(std::string_view bytes) {
  Reader r(bytes);
  auto position = replica::decode_position(r.string());
  std::string snapshot(r.bytes(r.left()));
  auto fresh = std::make_shared<jetstream::MetaState>();
  Status parsed =
      !r.ok() || !position ? Status(Error(Code::kCorrupt, "state cannot be read")) : fresh->restore(snapshot);
  if (!parsed || checkpointing_) {
    if (!parsed) env_.log.error("meta group: fetched state: " + parsed.error().detail);
    return group_->state_failed();
  }
  // It would take back what was applied, here and on disk.
  if (position->at.index <= group_->applied()) return group_->state_failed();
  raft::SnapshotMeta at{position->at.index, position->at.term, position->conf};
  checkpointing_ = true;
  auto done = [this, at, fresh, alive = std::weak_ptr<int>(alive_)](Status s) {
    if (alive.expired()) return;
    checkpointing_ = false;
    if (!s) return group_->state_failed();
    state_ = std::move(*fresh);
    checkpointed_ = at.index;
    group_->state_installed(at, 0);
    hooks_.replaced();
  };
  catalog_.commit(
      {{kKey, std::move(snapshot)},
       {replica::position_key(jetstream::kMetaGroup), replica::encode_position(group_->position_at(at, 0))}},
      std::move(done));
}

}  // namespace weir::cluster
