// Consumers of a stream: creation, update, deletion, progress, and the messages that nobody needs
// any more because of them (interest and work-queue retention).
#include <algorithm>
#include <utility>

#include "broker/base/limits.h"
#include "broker/jetstream/stream_machine.h"
#include "broker/subject/subject.h"

namespace weir::jetstream {
namespace {

using api::ErrCode;

bool matches(const api::ConsumerConfig& config, std::string_view literal) {
  if (!config.filter_subject.empty()) return subject::matches(config.filter_subject, literal);
  if (config.filter_subjects.empty()) return true;
  return std::any_of(config.filter_subjects.begin(), config.filter_subjects.end(),
                     [&](const std::string& f) { return subject::matches(f, literal); });
}

/// Why an existing consumer cannot become `now`; empty if it can. Texts as nats-server's.
std::string_view forbidden_change(const api::ConsumerConfig& old, const api::ConsumerConfig& now) {
  if (old.deliver_policy != now.deliver_policy) return "deliver policy can not be updated";
  if (old.opt_start_seq != now.opt_start_seq) return "start sequence can not be updated";
  if (old.opt_start_time != now.opt_start_time) return "start time can not be updated";
  if (old.ack_policy != now.ack_policy) return "ack policy can not be updated";
  if (old.replay_policy != now.replay_policy) return "replay policy can not be updated";
  if (old.idle_heartbeat != now.idle_heartbeat) return "heart beats can not be updated";
  if (old.flow_control != now.flow_control) return "flow control can not be updated";
  if (old.is_push() != now.is_push())
    return now.is_push() ? "can not update pull consumer to push based"
                         : "can not update push consumer to pull based";
  if (old.max_waiting != now.max_waiting) return "max waiting can not be updated";
  if (old.mem_storage != now.mem_storage) return "storage type can not be updated";
  return {};
}

}  // namespace

std::vector<std::string> filters_of(const api::ConsumerConfig& config) {
  if (!config.filter_subject.empty()) return {config.filter_subject};
  return config.filter_subjects;
}

Status StreamMachine::apply_create_consumer(const Command& command, Outcome& out) {
  ASSIGN_OR_RETURN(CreateConsumerCommand c, decode_create_consumer(command));
  out.consumer_name = c.name;
  auto decoded = api::decode_consumer_config(c.config_json, api::Strictness::kLenient);
  if (auto* error = std::get_if<api::ApiError>(&decoded)) {
    out.error = *error;
    return ok();
  }
  auto& config = std::get<api::ConsumerConfig>(decoded);
  auto there = consumers_.find(c.name);
  if (there == consumers_.end()) {
    if (c.action == ConsumerAction::kUpdate) {
      out.error = api::make_error(ErrCode::kConsumerDoesNotExist);
      return ok();
    }
    return add_consumer(c, std::move(config), out);
  }
  ConsumerState& consumer = *there->second;
  out.consumer_id = consumer.id();
  if (consumer.config() == config) {
    out.consumer_change = ConsumerChange::kExisting;
    return ok();
  }
  if (c.action == ConsumerAction::kCreate) {
    out.error = api::make_error(ErrCode::kConsumerAlreadyExists);
    return ok();
  }
  return change_consumer(consumer, config, out);
}

Status StreamMachine::add_consumer(const CreateConsumerCommand& c, api::ConsumerConfig config, Outcome& out) {
  if (config_.max_consumers > 0 && consumers_.size() >= static_cast<std::uint64_t>(config_.max_consumers)) {
    out.error = api::make_error(ErrCode::kMaximumConsumersLimit);
    return ok();
  }
  if (refuse_on_work_queue(c.name, config, out)) return ok();
  ASSIGN_OR_RETURN(ConsumerStart start, choose_start(config));
  std::string name(c.name);
  Wall created = c.created.ns != 0 ? c.created : now_;
  auto consumer = std::make_unique<ConsumerState>(next_consumer_id_++, name, std::move(config), created,
                                                  std::move(start));
  out.consumer_id = consumer->id();
  out.consumer_change = ConsumerChange::kCreated;
  dirty_consumers_.insert(consumer->id());
  index_consumer(*consumer);
  consumers_.emplace(std::move(name), std::move(consumer));
  return ok();
}

void StreamMachine::index_consumer(ConsumerState& consumer) {
  by_id_.emplace(consumer.id(), &consumer);
  interest_.add(filters_of(consumer.config()));
}

Status StreamMachine::change_consumer(ConsumerState& consumer, const api::ConsumerConfig& config,
                                      Outcome& out) {
  if (auto why = forbidden_change(consumer.config(), config); !why.empty()) {
    out.error = api::make_error(ErrCode::kConsumerCreate, why);
    return ok();
  }
  if (refuse_on_work_queue(consumer.name(), config, out)) return ok();
  api::ConsumerConfig old = consumer.config();
  interest_.remove(filters_of(old));
  interest_.add(filters_of(config));
  consumer.set_config(config);
  dirty_consumers_.insert(consumer.id());
  out.consumer_change = ConsumerChange::kUpdated;
  if (filters_of(old) == filters_of(config)) return ok();
  return drop_unwanted(old, consumer.ack_floor().stream + 1, out);
}

bool StreamMachine::refuse_on_work_queue(std::string_view name, const api::ConsumerConfig& config,
                                         Outcome& out) const {
  if (config_.retention != api::Retention::kWorkQueue) return false;
  std::vector<std::string> mine = filters_of(config);
  for (const auto& [other_name, other] : consumers_) {
    if (other_name == name) continue;
    if (mine.empty()) {
      out.error = api::make_error(ErrCode::kConsumerWQMultipleUnfiltered);
      return true;
    }
    std::vector<std::string> theirs = filters_of(other->config());
    bool shared = theirs.empty();
    for (const std::string& a : mine)
      for (const std::string& b : theirs) shared = shared || subject::overlaps(a, b);
    if (shared) {
      out.error = api::make_error(ErrCode::kConsumerWQConsumerNotUnique);
      return true;
    }
  }
  return false;
}

Result<ConsumerStart> StreamMachine::choose_start(const api::ConsumerConfig& config) {
  const auto& state = store_.state();
  StreamSeq first = std::max(state.first_seq, StreamSeq(1));
  StreamSeq end = state.last_seq + 1;
  ConsumerStart start;
  switch (config.deliver_policy) {
    case api::DeliverPolicy::kAll: start.first = first; break;
    case api::DeliverPolicy::kNew: start.first = end; break;
    case api::DeliverPolicy::kByStartSequence: start.first = config.opt_start_seq; break;
    case api::DeliverPolicy::kByStartTime: {
      ASSIGN_OR_RETURN(start.first, store_.seq_at(config.opt_start_time.value_or(Wall{})));
      break;
    }
    case api::DeliverPolicy::kLast: {
      ASSIGN_OR_RETURN(auto last, store_.last(filters_of(config), state.last_seq));
      start.first = last ? last->seq : end;
      break;
    }
    case api::DeliverPolicy::kLastPerSubject: return last_per_subject(config);
  }
  start.first = std::clamp(start.first, std::min(first, end), end);
  return start;
}

ConsumerStart StreamMachine::last_per_subject(const api::ConsumerConfig& config) const {
  ConsumerStart start;
  store_.for_each_subject(filters_of(config), [&](std::string_view, const store::SubjectState& s) {
    start.only.push_back(s.last);
    return true;
  });
  std::sort(start.only.begin(), start.only.end());
  start.first = start.only.empty() ? store_.state().last_seq + 1 : start.only.front();
  if (!start.only.empty()) start.only_upto = store_.state().last_seq;
  return start;
}

Status StreamMachine::apply_delete_consumer(const Command& command, Outcome& out) {
  ASSIGN_OR_RETURN(std::string_view name, decode_delete_consumer(command));
  out.consumer_name = name;
  auto it = consumers_.find(name);
  if (it == consumers_.end()) {
    out.error = api::make_error(ErrCode::kConsumerNotFound);
    return ok();
  }
  std::unique_ptr<ConsumerState> gone = std::move(it->second);
  consumers_.erase(it);
  by_id_.erase(gone->id());
  interest_.remove(filters_of(gone->config()));
  dirty_consumers_.erase(gone->id());
  if (gone->id() < consumers_written_below_) removed_consumers_.insert(gone->id());
  out.consumer_id = gone->id();
  out.consumer_change = ConsumerChange::kDeleted;
  return drop_unwanted(gone->config(), gone->ack_floor().stream + 1, out);
}

Status StreamMachine::apply_progress(const Command& command, Outcome& out) {
  ASSIGN_OR_RETURN(ConsumerProgressCommand p, decode_consumer_progress(command));
  out.consumer_id = p.consumer_id;
  auto it = by_id_.find(p.consumer_id);
  if (it == by_id_.end()) {  // deleted while this was on its way
    out.error = api::make_error(ErrCode::kConsumerNotFound);
    return ok();
  }
  ConsumerState& consumer = *it->second;
  if (Status s = consumer.apply_progress(p.body, now_, finished_); !s) {
    // Refused alike on every replica, and nothing was changed: no reason to stop the stream.
    if (s.error().code != Code::kInvalid) return s;
    out.error = api::make_error(ErrCode::kStreamGeneral, s.error().detail);
    return ok();
  }
  dirty_consumers_.insert(p.consumer_id);
  mix(consumer.scanned().v * 0x9e3779b97f4a7c15u + consumer.delivered().consumer.v);
  mix(consumer.ack_floor().stream.v * 0x9e3779b97f4a7c15u + consumer.num_ack_pending());
  return release(finished_, out);
}

Status StreamMachine::release(const std::vector<SeqRange>& finished, Outcome& out) {
  if (config_.retention == api::Retention::kLimits || config_.sealed) return ok();
  for (const SeqRange& range : finished) {
    StreamSeq last = std::min(range.last, store_.state().last_seq);
    for (StreamSeq seq = std::max(range.first, store_.state().first_seq); seq <= last; ++seq) {
      if (config_.retention == api::Retention::kInterest && consumers_.size() > 1) {
        ASSIGN_OR_RETURN(auto message, store_.load(seq));
        if (!message || wanted(seq, message->subject())) continue;
      }
      RETURN_IF_ERROR(remove_one(seq, out));
    }
  }
  return ok();
}

bool StreamMachine::wanted(StreamSeq seq, std::string_view subject) const {
  return std::any_of(consumers_.begin(), consumers_.end(), [&](const auto& row) {
    return row.second->needs(seq) && matches(row.second->config(), subject);
  });
}

Status StreamMachine::drop_unwanted(const api::ConsumerConfig& gone, StreamSeq from, Outcome& out) {
  if (config_.retention != api::Retention::kInterest || config_.sealed) return ok();
  store::Filter filter = filters_of(gone);
  for (StreamSeq at = from;;) {
    ASSIGN_OR_RETURN(auto message, store_.next(filter, at));
    if (!message) return ok();
    at = message->seq + 1;
    if (!wanted(message->seq, message->subject())) RETURN_IF_ERROR(remove_one(message->seq, out));
  }
}

}  // namespace weir::jetstream
