// Consumers of a stream: creation, update, deletion, progress, and the messages that nobody needs
// any more because of them (interest and work-queue retention).
#include <algorithm>
#include <iterator>
#include <utility>

#include "broker/base/limits.h"
#include "broker/jetstream/stream_machine.h"
#include "broker/subject/pattern_lists.h"
#include "broker/subject/subject.h"

namespace weir::jetstream {
namespace {

using api::ErrCode;

constexpr std::size_t kFewConsumers = 8;                // looking at them all is as good as remembering
constexpr std::size_t kWitnessesMax = 64 * 1024;        // about 3 MiB
constexpr std::uint64_t kOddMix = 0x9e3779b97f4a7c15u;  // spreads consecutive numbers

bool matches(const api::ConsumerConfig& config, std::string_view literal) {
  if (!config.filter_subject.empty()) return subject::matches(config.filter_subject, literal);
  if (config.filter_subjects.empty()) return true;
  return std::any_of(config.filter_subjects.begin(), config.filter_subjects.end(),
                     [&](const std::string& f) { return subject::matches(f, literal); });
}

/// The same for the same pair, and in no order that acknowledgements could follow.
std::uint64_t rank(StreamSeq seq, std::uint32_t consumer) {
  std::uint64_t x = (seq.v * kOddMix) ^ (consumer * 0xff51afd7ed558ccdu);
  return (x ^ (x >> 29)) * kOddMix;
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
  filters_.set(consumer.id(), filters_of(consumer.config()));
  consumers_hash_ += consumer.hash();
}

Status StreamMachine::change_consumer(ConsumerState& consumer, const api::ConsumerConfig& config,
                                      Outcome& out) {
  if (auto why = forbidden_change(consumer.config(), config); !why.empty()) {
    out.error = api::make_error(ErrCode::kConsumerCreate, why);
    return ok();
  }
  if (refuse_on_work_queue(consumer.name(), config, out)) return ok();
  std::vector<std::string> old = filters_of(consumer.config());
  StreamSeq needed_from = consumer.first_needed();
  consumer.set_config(config);
  filters_.set(consumer.id(), filters_of(config));
  dirty_consumers_.insert(consumer.id());
  out.consumer_change = ConsumerChange::kUpdated;
  return old == filters_of(config) ? ok() : drop_unwanted(needed_from, old);
}

bool StreamMachine::refuse_on_work_queue(std::string_view name, const api::ConsumerConfig& config,
                                         Outcome& out) const {
  if (config_.retention != api::Retention::kWorkQueue) return false;
  const std::vector<std::string> mine = filters_of(config);
  std::vector<std::string> theirs;
  bool shared = false;
  for (const auto& [other_name, other] : consumers_) {
    if (other_name == name) continue;
    if (mine.empty()) {
      out.error = api::make_error(ErrCode::kConsumerWQMultipleUnfiltered);
      return true;
    }
    std::vector<std::string> its = filters_of(other->config());
    shared = shared || its.empty();
    std::move(its.begin(), its.end(), std::back_inserter(theirs));
  }
  // All at once: a list of this consumer's filters may be long, and so may theirs together.
  if (!shared && !subject::any_overlap(mine, theirs)) return false;
  out.error = api::make_error(ErrCode::kConsumerWQConsumerNotUnique);
  return true;
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
  consumers_hash_ -= gone->hash();
  by_id_.erase(gone->id());
  filters_.remove(gone->id());
  dirty_consumers_.erase(gone->id());
  if (gone->id() < consumers_written_below_) removed_consumers_.insert(gone->id());
  out.consumer_id = gone->id();
  out.consumer_change = ConsumerChange::kDeleted;
  return drop_unwanted(gone->first_needed(), filters_of(gone->config()));
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
  std::uint64_t before = consumer.hash();
  if (Status s = consumer.apply_progress(p.body, now_, finished_); !s) {
    // Refused alike on every replica, and nothing was changed: no reason to stop the stream.
    if (s.error().code != Code::kInvalid) return s;
    out.error = api::make_error(ErrCode::kStreamGeneral, s.error().detail);
    return ok();
  }
  consumers_hash_ += consumer.hash() - before;
  dirty_consumers_.insert(p.consumer_id);
  mix(consumer.scanned().v * 0x9e3779b97f4a7c15u + consumer.delivered().consumer.v);
  mix(consumer.ack_floor().stream.v * 0x9e3779b97f4a7c15u + consumer.num_ack_pending());
  return release(finished_, out);
}

Status StreamMachine::release(const std::vector<SeqRange>& finished, Outcome& out) {
  if (config_.retention == api::Retention::kLimits || config_.sealed) return ok();
  for (const SeqRange& range : finished) {
    StreamSeq last = std::min(range.last, store_.state().last_seq);
    for (StreamSeq seq = std::max(range.first, store_.state().first_seq); seq <= last; ++seq)
      RETURN_IF_ERROR(release_one(seq, out));
  }
  return ok();
}

// What no consumer needs is removed without a report: there is nobody to tell.
Status StreamMachine::release_one(StreamSeq seq, Outcome& out) {
  if (consumers_.size() > 1) {
    if (config_.retention == api::Retention::kWorkQueue) {
      // A consumer may have been given what another one, whose filter was changed, finishes now.
      RETURN_IF_ERROR(remove_one(seq, out));
      return ok();
    }
    ASSIGN_OR_RETURN(auto message, store_.load(seq));
    if (!message || wanted(seq, message->subject())) return ok();
  }
  RETURN_IF_ERROR(store_.remove(seq));
  return ok();
}

bool StreamMachine::wanted(StreamSeq seq, std::string_view subject) {
  auto witness = witnesses_.find(seq.v);
  if (witness != witnesses_.end()) {
    const ConsumerState* c = find_consumer(witness->second);
    if (c && c->needs(seq) && matches(c->config(), subject)) return true;
    witnesses_.erase(witness);
  }
  const auto& ids = filters_.match(subject);
  const std::uint32_t* last_to_finish = nullptr;  // a guess by lot, good for any order of acks
  for (const std::uint32_t& id : ids) {
    if (!find_consumer(id)->needs(seq)) continue;
    if (ids.size() <= kFewConsumers) return true;
    if (!last_to_finish || rank(seq, id) > rank(seq, *last_to_finish)) last_to_finish = &id;
  }
  if (!last_to_finish) return false;
  if (witnesses_.size() >= kWitnessesMax) witnesses_.clear();
  witnesses_.emplace(seq.v, *last_to_finish);
  return true;
}

// Interest retention: something that stands for `filter`, at or above `from`, may have lost its last
// consumer.
Status StreamMachine::drop_unwanted(StreamSeq from, const store::Filter& filter) {
  if (config_.retention != api::Retention::kInterest || config_.sealed) return ok();
  StreamSeq lowest = store_.state().last_seq + 1;  // below, nobody needs anything
  StreamSeq last = store_.state().last_seq;        // above, a consumer without a filter needs all
  for (const auto& [name, consumer] : consumers_) lowest = std::min(lowest, consumer->first_needed());
  for (std::uint32_t id : filters_.unfiltered()) last = std::min(last, find_consumer(id)->looked_at());
  RETURN_IF_ERROR(store_.compact(lowest));
  for (StreamSeq at = std::max(from, lowest); at <= last;) {
    ASSIGN_OR_RETURN(auto message, store_.next(filter, at));
    if (!message || message->seq > last) return ok();
    at = message->seq + 1;
    if (!wanted(message->seq, message->subject())) RETURN_IF_ERROR(store_.remove(message->seq));
  }
  return ok();
}

}  // namespace weir::jetstream
