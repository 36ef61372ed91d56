#include <algorithm>

#include "surveyor/merge.h"

namespace weir::surveyor {

namespace {
/// A new leader may trail what the old one said by a moment. That long its counters are held.
constexpr std::uint32_t kRoundsHeld = 4;

template <class T>
T keep_newer(T before, T now) {
  return now.ns > before.ns ? now : before;
}
}  // namespace

void Merger::consumers(Job& job) {
  StreamView& v = job.view;
  StreamMemory& m = job.memory;
  if (job.entry) {
    for (const auto& [name, e] : job.entry->consumers) m.consumers.try_emplace(name);
  }
  v.lag_consumer.reset();
  for (auto it = m.consumers.begin(); it != m.consumers.end();) {
    ConsumerEntry* entry = nullptr;
    if (job.entry) {
      auto found = job.entry->consumers.find(it->first);
      if (found != job.entry->consumers.end()) entry = &found->second;
    }
    ConsumerView view;
    view.name = it->first;
    if (!consumer(job, entry, it->second, view)) {
      it = m.consumers.erase(it);
      continue;
    }
    if (view.detail) v.lag_consumer = std::max(v.lag_consumer.value_or(0), view.pending);
    it->second.previous = v.consumers.size();
    v.consumers.push_back(std::move(view));
    ++it;
  }
}

/// False: the consumer is gone, or not asked for.
bool Merger::consumer(Job& job, ConsumerEntry* e, ConsumerMemory& c, ConsumerView& v) {
  const StreamView* stream_before = previous_of(job.memory);
  const ConsumerView* before = nullptr;
  if (stream_before && c.previous && *c.previous < stream_before->consumers.size()) {
    before = &stream_before->consumers[*c.previous];
  }
  if (!e) {
    bool explained = std::none_of(c.reporters.begin(), c.reporters.end(), [&](const std::string& name) {
      return job.present.complete.contains({job.key.domain, name});
    });
    if (!explained || !before || job.now - c.last_seen > options_.forget_after) return false;
  } else {
    c.last_seen = job.now;
    c.reporters = e->reporters;
  }
  bool fresh = e && e->leader;
  c.rounds_missing = fresh ? 0 : c.rounds_missing + 1;
  if (!fresh && before) {
    v = *before;
    v.detail = before->detail && c.rounds_missing <= kRoundsKept;
  }
  v.labels = job.view.labels;
  append_label(v.labels, "consumer", v.name);
  v.replicas_online = 0;
  for (const std::string& name : c.reporters) {
    v.replicas_online += job.present.answered.contains({job.key.domain, name});
  }
  if (e) {
    v.has_leader = e->names_a_leader && (e->leader || job.view.has_leader);
  } else if (c.rounds_missing > kRoundsKept) {
    v.has_leader = false;
  }
  v.previous_status.reset();
  if (fresh) consumer_values(job, *e, c, v);
  if (!v.has_leader) v.status = ConsumerStatus::kNoLeader;
  if (!v.detail && v.has_leader) v.status.reset();
  if (c.status && c.status != v.status) v.previous_status = c.status;
  c.status = v.status;
  return !(options_.durable_only && v.detail && !v.durable);
}

void Merger::consumer_values(const Job& job, ConsumerEntry& e, ConsumerMemory& c, ConsumerView& v) {
  const ConsumerRow& row = *e.leader;
  if (c.known && c.created != row.created) {
    // Made anew under the old name: nothing of the old one counts.
    std::vector<std::string> reporters = std::move(c.reporters);
    ConsumerMemory blank;
    blank.last_seen = c.last_seen;
    blank.status = c.status;
    c = std::move(blank);
    c.reporters = std::move(reporters);
  }
  v.detail = true;
  v.pending = row.pending;
  v.ack_pending = row.ack_pending;
  v.redelivered = row.redelivered;
  v.waiting = row.waiting;
  v.paused = row.paused;
  v.push_bound = row.push_bound;
  v.max_ack_pending.reset();
  v.max_waiting.reset();
  if (row.config) {
    v.pull = row.config->deliver_subject.empty();
    v.durable = !row.config->durable.empty();
    v.ack_policy = row.config->ack_policy;
    v.filters = row.config->filters;
    bool acks = v.ack_policy != "none";
    if (acks && row.config->max_ack_pending > 0) v.max_ack_pending = row.config->max_ack_pending;
    if (v.pull && row.config->max_waiting > 0) v.max_waiting = row.config->max_waiting;
  }
  c.last_delivery = keep_newer(c.last_delivery, row.delivered.last_active);
  c.last_ack = keep_newer(c.last_ack, row.ack_floor.last_active);
  v.last_delivery = c.last_delivery;
  v.last_ack = c.last_ack;
  bool moved = c.known && c.leader_server != e.leader_server;
  consumer_counters(row, moved, c, v);
  consumer_progress(job, row, c, v);
  c.leader_server = e.leader_server;
  c.created = row.created;
  c.known = true;
}

void Merger::consumer_counters(const ConsumerRow& row, bool moved, ConsumerMemory& c, ConsumerView& v) {
  bool fell = c.known && (row.delivered.consumer_seq < c.delivered || row.ack_floor.consumer_seq < c.acked);
  bool hold = fell && (moved || c.rounds_held > 0) && ++c.rounds_held <= kRoundsHeld;
  if (hold) {
    c.delivered = std::max(c.delivered, row.delivered.consumer_seq);
    c.acked = std::max(c.acked, row.ack_floor.consumer_seq);
  } else {
    c.rounds_held = 0;
    c.delivered = row.delivered.consumer_seq;
    c.acked = row.ack_floor.consumer_seq;
  }
  v.delivered = c.delivered;
  v.acked = c.acked;
  // Deliveries beyond first deliveries. With a filter the stream sequence skips foreign subjects and the
  // difference means nothing.
  v.redeliveries.reset();
  std::uint64_t consumer_seq = row.delivered.consumer_seq, stream_seq = row.delivered.stream_seq;
  if (c.known && consumer_seq >= c.base_consumer && stream_seq >= c.base_stream) {
    std::uint64_t deliveries = consumer_seq - c.base_consumer, firsts = stream_seq - c.base_stream;
    if (deliveries > firsts) c.redeliveries += static_cast<double>(deliveries - firsts);
  }
  if (!hold) {
    c.base_consumer = consumer_seq;
    c.base_stream = stream_seq;
  }
  if (row.config && row.config->filters == 0) v.redeliveries = c.redeliveries;
}

void Merger::consumer_progress(const Job& job, const ConsumerRow& row, ConsumerMemory& c, ConsumerView& v) {
  StallSample s;
  s.position = v.ack_policy == "none" ? row.delivered.stream_seq : row.ack_floor.stream_seq;
  s.work = row.pending + row.ack_pending;
  s.ack_pending = row.ack_pending;
  s.delivered_consumer = row.delivered.consumer_seq;
  s.delivered_stream = row.delivered.stream_seq;
  s.client_present = v.pull ? row.waiting > 0 : row.push_bound;
  s.saturated = v.max_ack_pending && row.ack_pending >= static_cast<std::uint64_t>(*v.max_ack_pending);
  if (row.paused) {
    c.window.clear();
    v.status = ConsumerStatus::kPaused;
  } else {
    c.window.add(s);
    v.status = c.window.evaluate();
  }
  v.lag_s.reset();
  if (s.work == 0) {
    v.lag_s = 0;
    return;
  }
  // Only a fresh stream leader tells where the stream stands now.
  if (!job.entry->leader) return;
  auto published = job.memory.ring.published_at(s.position + 1);
  Wall now = job.entry->leader_now.ns > 0 ? job.entry->leader_now : job.now;
  if (published) v.lag_s = static_cast<double>(std::max<Nanos>(0, now - *published)) / 1e9;
}

}  // namespace weir::surveyor
