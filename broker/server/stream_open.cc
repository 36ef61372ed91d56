// broker/server/stream_open.cc - how a replica begins: files, place in the log, state machine.
#include <algorithm>

#include "broker/base/check.h"
#include "broker/server/stream_host.h"
#include "broker/store/mem_store.h"

namespace weir::server {

namespace {
std::string group_prefix(GroupId id) {
  return "g/" + std::to_string(id.v) + "/";
}
}  // namespace

Result<std::unique_ptr<StreamHost>> StreamHost::open(JsContext& js, Account& account,
                                                     StreamIdentity identity) {
  std::unique_ptr<StreamHost> host(new StreamHost(js, account, std::move(identity)));
  RETURN_IF_ERROR(host->open_store());
  return host;
}

// The state machine's keys; those of the messages' store are below "s/" (store_keys.h).
std::string StreamHost::state_prefix(std::uint32_t generation) const {
  return group_prefix(identity_.group) + (generation ? "m" + std::to_string(generation) + "/" : "m/");
}

Status StreamHost::open_store() {
  bool file = identity_.config.storage == api::Storage::kFile;
  if (file) {
    RETURN_IF_ERROR(place_in_log());
    ASSIGN_OR_RETURN(auto opened, store::FileStore::open(js_.env.disk, *js_.catalog, *js_.cache, js_.env.log,
                                                         file_options(group_.generation())));
    file_ = opened.get();
    store_ = std::move(opened);
  } else {
    store_ = std::make_unique<store::MemStore>();
    begin_in_log();
  }
  return open_machine();
}

// Which of the three beginnings of a replica this is (ADR 4).
Status StreamHost::place_in_log() {
  auto value = js_.catalog->get(replica::position_key(identity_.group));
  if (!value) {
    begin_in_log();
    return ok();
  }
  ASSIGN_OR_RETURN(auto position, replica::decode_position(*value));
  if (position.self == identity_.self) {
    group_.restore(position);
  } else {
    group_.join(identity_.self, unused_generation(position.generation + 1));
  }
  return ok();
}

void StreamHost::begin_in_log() {
  const auto& founders = identity_.founders;
  bool first = std::find(founders.begin(), founders.end(), identity_.self) != founders.end();
  if (first) {
    group_.found(identity_.self, founders);
  } else {
    group_.join(identity_.self, unused_generation(0));
  }
}

// What an earlier life had stays where it is until this one has a state; what was given up may be on its
// way out.
std::uint32_t StreamHost::unused_generation(std::uint32_t least) const {
  auto known = store::FileStore::generations(*js_.catalog, identity_.group);
  return known.empty() ? least : std::max(least, known.back() + 1);
}

std::size_t StreamHost::discard_other_generations(std::uint32_t below) {
  std::size_t found = 0;
  for (std::uint32_t g : store::FileStore::generations(*js_.catalog, identity_.group)) {
    if (g == group_.generation() || g >= below) continue;
    store::FileStore::discard(js_.env.disk, *js_.catalog, js_.env.log, file_options(g), [](Status) {});
    ++found;
  }
  return found;
}

store::FileStore::Options StreamHost::file_options(std::uint32_t generation) const {
  store::FileStore::Options o;
  o.group = identity_.group;
  o.generation = generation;
  o.block_bytes = js_.tuning.block_bytes;
  o.segment_bytes = js_.tuning.segment_bytes;
  o.dir = "groups/" + std::to_string(identity_.group.v);
  if (generation) o.dir += "." + std::to_string(generation);
  return o;
}

Status StreamHost::open_machine() {
  machine_ = std::make_unique<jetstream::StreamMachine>(identity_.config, identity_.created, *store_);
  if (!file_) return ok();
  auto scan = [this](const std::string& prefix,
                     const std::function<bool(const std::string&, const std::string&)>& visit) {
    js_.catalog->scan(prefix, visit);
  };
  auto mark = machine_->restore(state_prefix(group_.generation()), scan);
#ifdef WEIR_DEFECT_DIVERGE_ON_REPLAY
  // Seeded defect, docs/testing.md: some nodes apply something again that the checkpoint has.
  jetstream::Command tick;
  tick.type = jetstream::CommandType::kTick;
  if (mark && (js_.self.v >> kIncarnationBits) % 4 == 0)
    (void)machine_->apply(tick, mark->applied, machine_->log_time(), outcome_).has_value();
#endif
  return mark || mark.error().code == Code::kNotFound ? ok() : Status(mark.error());
}

void StreamHost::start() {
  CHECK(!started_);
  group_.start(file_ ? js_.journal : nullptr);
  started_ = true;
  account_usage();
  if (group_.why_stopped()) {
    log_stopped();
    if (group_.needs_new_id()) js_.stream_useless(*this);
    return;
  }
  subscribe();
}

}  // namespace weir::server
