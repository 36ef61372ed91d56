#include "broker/cluster/meta_group.h"

#include "broker/base/varint.h"

namespace weir::cluster {

using jetstream::MetaOutcome;

namespace {
const std::string kKey = "n/meta";  // value: varint applied, varint term, MetaState snapshot
}  // namespace

MetaGroup::MetaGroup(env::Env& env, store::Catalog& catalog, std::uint64_t checkpoint_entries,
                     Changed changed)
    : env_(env),
      catalog_(catalog),
      checkpoint_entries_(checkpoint_entries),
      changed_(std::move(changed)),
      group_(jetstream::kMetaGroup, env.loop, *this) {}

Status MetaGroup::restore() {
  auto value = catalog_.get(kKey);
  if (!value) return ok();
  Reader r{std::string_view(*value)};
  RaftIndex applied(r.varint());
  Term term(r.varint());
  std::string_view snapshot = r.bytes(r.left());
  if (!r.ok()) return {Code::kCorrupt, "catalog key n/meta is cut short"};
  RETURN_IF_ERROR(state_.restore(snapshot));
  group_.restore(applied, term);
  checkpointed_ = applied;
  return ok();
}

void MetaGroup::create(std::string_view account, const api::StreamConfig& config, std::string_view node,
                       Done done) {
  std::string json = api::encode_stream_config_json(config);
  jetstream::MetaStreamCommand c;
  c.account = account;
  c.name = config.name;
  c.peers = {node};
  c.config_json = json;
  builder_.meta_create_stream(c);
  batch_.push_back(std::move(done));
}

void MetaGroup::update(std::string_view account, const api::StreamConfig& config, Done done) {
  std::string json = api::encode_stream_config_json(config);
  jetstream::MetaStreamCommand c;
  c.account = account;
  c.name = config.name;
  c.config_json = json;
  builder_.meta_update_stream(c);
  batch_.push_back(std::move(done));
}

void MetaGroup::remove(std::string_view account, std::string_view name, Done done) {
  builder_.meta_delete_stream(account, name);
  batch_.push_back(std::move(done));
}

void MetaGroup::flush() {
  if (builder_.empty()) return;
  std::vector<Done> dones = std::exchange(batch_, {});
  if (group_.crowded()) {
    builder_.finish(env_.clock.wall());
    return fail(dones, Error(Code::kLimit, "too many changes wait for the disk"));
  }
  auto index = group_.propose(builder_.finish(env_.clock.wall()));
  if (!index) return fail(dones, index.error());
  pending_.push_back({*index, std::move(dones)});
}

void MetaGroup::fail(std::vector<Done>& dones, const Error& why) {
  MetaOutcome o;
  o.error = api::make_error(api::ErrCode::kClusterNotAvail);
  o.error.description += ": " + why.detail;
  for (auto& done : dones) done(o);
}

Status MetaGroup::apply(RaftIndex index, Term, const Bytes& payload, bool live) {
  ASSIGN_OR_RETURN(auto reader, jetstream::EntryReader::open(payload));
  std::vector<Done> dones;
  if (live && !pending_.empty() && pending_.front().index == index) {
    dones = std::move(pending_.front().dones);
    pending_.pop_front();
  }
  jetstream::Command command;
  std::size_t at = 0;
  MetaOutcome outcome;
  while (reader.next(command)) {
    outcome = {};
    RETURN_IF_ERROR(state_.apply(command, index, reader.log_time(), outcome));
    if (outcome.change != jetstream::MetaChange::kNone) changed_(outcome, live);
    if (at < dones.size()) dones[at](outcome);
    ++at;
  }
  if (live && index - checkpointed_ >= checkpoint_entries_) checkpoint();
  return ok();
}

void MetaGroup::checkpoint() {
  RaftIndex applied = group_.applied();
  if (checkpointing_ || applied == checkpointed_ || group_.why_stopped()) return;
  checkpointing_ = true;
  std::string value;
  std::uint8_t tmp[kVarintMax];
  for (std::uint64_t v : {applied.v, group_.term().v}) {
    value.append(reinterpret_cast<const char*>(tmp), put_varint(tmp, v));
  }
  state_.encode(value);
  catalog_.commit({{kKey, std::move(value)}}, [this, applied, alive = std::weak_ptr<int>(alive_)](Status s) {
    if (alive.expired()) return;
    checkpointing_ = false;
    if (!s) return env_.log.error("meta checkpoint failed: " + s.error().detail);
    checkpointed_ = applied;
    group_.compact(applied);
  });
}

void MetaGroup::stopped(const Error& why) {
  env_.log.error("meta group stopped: " + why.detail);
  for (auto& p : std::exchange(pending_, {})) fail(p.dones, why);
}

}  // namespace weir::cluster
