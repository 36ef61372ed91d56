#include "broker/jetstream/stream_machine.h"

#include <algorithm>
#include <utility>

#include "broker/base/state_hash.h"

namespace weir::jetstream {

StreamMachine::StreamMachine(api::StreamConfig config, Wall created, store::MessageStore& store)
    : config_(std::move(config)), created_(created), store_(store) {}

Status StreamMachine::apply(const Command& command, RaftIndex index, Wall log_time, Outcome& out) {
  out.clear(command.type);
  now_ = std::max(now_, log_time);
  if (Status s = dispatch(command, out); !s)
    return s.error().within("stream " + config_.name + ", entry " + std::to_string(index.v));
  // What the client is told and what is left of the stream: two replicas that differ in either
  // cannot go on with equal hashes.
  const auto& state = store_.state();
  mix(index.v * 257 + static_cast<std::uint64_t>(command.type));
  mix(out.seq.v * 131072 + static_cast<std::uint64_t>(out.error.err_code) * 2 + (out.duplicate ? 1 : 0));
  mix(state.messages + state.last_seq.v * 0x9e3779b97f4a7c15u);
  mix(state.bytes + state.first_seq.v * 0x9e3779b97f4a7c15u);
  mix(static_cast<std::uint64_t>(now_.ns));
  return ok();
}

void StreamMachine::mix(std::uint64_t v) {
  hash_ = (hash_ ^ v) * 0xff51afd7ed558ccdu;
  hash_ ^= hash_ >> 32;
}

std::uint64_t StreamMachine::state_hash() const {
  const store::StoreState& s = store_.state();
  StateHash h;
  h.add(hash_);
  h.add(s.messages);
  h.add(s.bytes);
  h.add(s.first_seq.v);
  h.add(s.last_seq.v);
  h.add(static_cast<std::uint64_t>(s.first_time.ns));
  h.add(static_cast<std::uint64_t>(s.last_time.ns));
  h.add(s.subjects);
  s.live.hash(h);
  h.add(static_cast<std::uint64_t>(now_.ns));
  h.add(config_revision_);
  h.add(config_hash_);
  h.add(last_msg_id_);
  h.add(dedupe_.first_number());
  h.add(dedupe_.next_number());
  h.add(dedupe_.hash());
  h.add(next_consumer_id_);
  h.add(consumers_.size());
  h.add(consumers_hash_);
  return h.value();
}

void StreamMachine::note_config() {
  StateHash h;
  h.add(api::encode_stream_config_json(config_));
  config_hash_ = h.value();
}

Status StreamMachine::dispatch(const Command& command, Outcome& out) {
  switch (command.type) {
    case CommandType::kPublish: return apply_publish(command, out);
    case CommandType::kConsumerProgress: return apply_progress(command, out);
    case CommandType::kDeleteMsg: return apply_delete(command, out);
    case CommandType::kPurge: return apply_purge(command, out);
    case CommandType::kUpdateStream: return apply_update(command, out);
    case CommandType::kCreateConsumer: return apply_create_consumer(command, out);
    case CommandType::kDeleteConsumer: return apply_delete_consumer(command, out);
    case CommandType::kTick: return apply_tick(out);
    default: break;
  }
  // Skipping it would make this replica differ from those that know it.
  return Error{Code::kUnsupported,
               "command type " + std::to_string(static_cast<unsigned>(command.type)) + " is unknown"};
}

Status StreamMachine::apply_tick(Outcome& out) {
  dedupe_.expire(now_ - config_.duplicate_window);
  return expire(out);
}

Status StreamMachine::apply_update(const Command& command, Outcome& out) {
  ASSIGN_OR_RETURN(UpdateStreamCommand u, decode_update_stream(command));
  if (u.revision <= config_revision_) return ok();  // proposed twice, or overtaken
  auto decoded = api::decode_stream_config(u.config_json, api::Strictness::kLenient);
  if (auto* error = std::get_if<api::ApiError>(&decoded)) {
    out.error = *error;
    return ok();
  }
  const bool first = config_revision_ == 0;
  config_revision_ = u.revision;
  const bool more_may_go = config_.retention != api::Retention::kInterest;
  config_ = std::get<api::StreamConfig>(std::move(decoded));
  config_dirty_ = true;
  note_config();
  out.config_changed = true;
  if (first && config_.first_seq.v > 1 && store_.state().last_seq.v == 0)
    store_.skip_to(std::min(config_.first_seq, kPurgeSeqMax) - 1, Wall{});
  RETURN_IF_ERROR(expire(out));
  RETURN_IF_ERROR(enforce_all_subjects(out));
  RETURN_IF_ERROR(enforce_totals(out));
  return more_may_go ? drop_unwanted(StreamSeq(1), {}) : ok();
}

std::optional<Wall> StreamMachine::next_due() const {
  const auto& state = store_.state();
  if (config_.max_age <= 0 || state.messages == 0) return std::nullopt;
  return state.first_time + config_.max_age;
}

const ConsumerState* StreamMachine::find_consumer(std::string_view name) const {
  auto it = consumers_.find(name);
  return it == consumers_.end() ? nullptr : it->second.get();
}

const ConsumerState* StreamMachine::find_consumer(std::uint32_t id) const {
  auto it = by_id_.find(id);
  return it == by_id_.end() ? nullptr : it->second;
}

}  // namespace weir::jetstream
