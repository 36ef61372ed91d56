#include "broker/jetstream/consumer_leader.h"

#include <algorithm>
#include <utility>

#include "broker/base/limits.h"
#include "broker/base/text.h"
#include "broker/jetstream/stream_machine.h"

namespace weir::jetstream {

namespace {

/// "30" or "30%"; anything else means none (api/ refuses it).
std::uint32_t parse_percent(std::string_view text) {
  if (!text.empty() && text.back() == '%') text.remove_suffix(1);
  auto n = parse_u64(text);
  return n && *n <= 100 ? static_cast<std::uint32_t>(*n) : 0;
}

void sort_and_join(std::vector<SeqRange>& ranges) {
  auto by_first = [](const SeqRange& a, const SeqRange& b) { return a.first < b.first; };
  if (!std::is_sorted(ranges.begin(), ranges.end(), by_first))
    std::sort(ranges.begin(), ranges.end(), by_first);
  std::size_t n = 0;
  for (const SeqRange& r : ranges) {
    if (n > 0 && r.first <= ranges[n - 1].last + 1) {
      ranges[n - 1].last = std::max(ranges[n - 1].last, r.last);
    } else {
      ranges[n++] = r;
    }
  }
  ranges.resize(n);
}

}  // namespace

void ConsumerOutput::clear() {
  deliveries.clear();
  statuses.clear();
  advisories.clear();
  confirmations.clear();
  progress.clear();
  send_after = progress_number = 0;
  headers_only = push = more = delete_me = false;
  next_deadline = kNoDeadline;
}

ConsumerLeader::ConsumerLeader(const ConsumerState& committed, ConsumerLeaderOptions options)
    : s_(committed), options_(std::move(options)), prng_(options_.seed) {}

Result<std::unique_ptr<ConsumerLeader>> ConsumerLeader::start(const ConsumerState& committed,
                                                              ConsumerLeaderOptions options,
                                                              store::MessageStore& store, Now now) {
  std::unique_ptr<ConsumerLeader> c(new ConsumerLeader(committed, std::move(options)));
  c->read_config(now);
  c->rearm_all(now, true);
  RETURN_IF_ERROR(c->count_pending(store));
  c->p_.epoch = c->s_.epoch();
  c->proposed_scanned_ = c->s_.scanned_;
  c->last_used_ = now.mono;
  c->replaying_ = c->s_.config().replay_policy == api::ReplayPolicy::kOriginal && c->num_pending_ > 0;
  return c;
}

void ConsumerLeader::read_config(Now now) {
  const api::ConsumerConfig& c = s_.config();
  filter_ = filters_of(c);
  matcher_ = store::SubjectMatcher(filter_);
  push_ = c.is_push();
  tracks_ = s_.tracks_pending();
  timed_ = c.ack_policy == api::AckPolicy::kExplicit || c.ack_policy == api::AckPolicy::kAll;
  deliver_max_ = timed_ && c.max_deliver > 0 ? static_cast<std::uint64_t>(c.max_deliver) : 0;
  ack_pending_max_ = tracks_ && c.max_ack_pending > 0 ? static_cast<std::uint64_t>(c.max_ack_pending) : 0;
  sample_percent_ = parse_percent(c.sample_freq);
  waits_ = c.backoff;
  if (waits_.empty()) waits_.push_back(c.ack_wait > 0 ? c.ack_wait : 30 * kSecond);
  if (push_) {
    PushFlowConfig flow;
    flow.flow_control = c.flow_control || c.ack_policy == api::AckPolicy::kFlowControl;
    flow.heartbeat = c.idle_heartbeat;
    flow.rate_bps = c.rate_limit_bps;
    flow.fc_prefix = "$JS.FC." + options_.stream + "." + s_.name() + ".";
    flow_.configure(std::move(flow), now.mono);
    deliver_subject_ = Bytes::copy_of(c.deliver_subject);
  }
}

Status ConsumerLeader::count_pending(store::MessageStore& store) {
  found_.reset();
  const auto& list = s_.skip_list_;
  auto from = std::upper_bound(list.begin(), list.end(), s_.scanned_);
  skip_at_ = static_cast<std::size_t>(from - list.begin());
  std::uint64_t listed = 0;
  for (; from != list.end(); ++from) {
    ASSIGN_OR_RETURN(auto m, store.load(*from));
    if (m) ++listed;
  }
  ASSIGN_OR_RETURN(num_pending_, store.count(filter_, std::max(s_.scanned_, s_.skip_end_) + 1));
  num_pending_ += listed;
  return ok();
}

bool ConsumerLeader::commits_first() const {
  if (!options_.replicated || options_.group_of_one) return false;
  return !tracks_ || deliver_max_ > 0;
}

void ConsumerLeader::on_stored(StreamSeq) {
  ++num_pending_;
  dirty_ = true;
}

void ConsumerLeader::on_removed(StreamSeq seq, std::string_view subject) {
  if (found_ && found_->seq == seq) found_.reset();
  if (seq > s_.scanned_) {
    if (num_pending_ > 0 && s_.needs(seq) && matcher_.matches(subject)) --num_pending_;
    return;
  }
  terminate(seq, "Unacknowledged message was deleted", true);
}

Status ConsumerLeader::on_purged(store::MessageStore& store) {
  dirty_ = true;
  StreamSeq first = store.state().first_seq;
  if (first.v > 0 && first - 1 > s_.scanned_) {
    // What was not delivered is gone: clients see the consumer at the end of it.
    s_.scanned_ = first - 1;
    s_.delivered_.stream = s_.scanned_;
    s_.drop_skip_list_when_done();
    p_dirty_ = true;
  }
  return count_pending(store);
}

void ConsumerLeader::on_push_interest(bool active, Now now) {
  if (flow_.active() != active) last_used_ = now.mono;
  flow_.set_active(active, now.mono);
  dirty_ = true;
}

void ConsumerLeader::on_committed(std::uint64_t progress_number) {
  committed_ = std::max(committed_, std::min(progress_number, proposed_));
  dirty_ = true;
}

Status ConsumerLeader::on_config(const api::ConsumerConfig& config, store::MessageStore& store, Now now) {
  s_.set_config(config);
  read_config(now);
  rearm_all(now, false);
  dirty_ = true;
  return count_pending(store);
}

Status ConsumerLeader::step(const StepInput& in, ConsumerOutput& out) {
  out.clear();
  dirty_ = false;
  ++steps_;
  out.push = push_;
  out.headers_only = s_.config().headers_only;
  out.statuses.swap(early_);
  drop_gone(in.store.state());
  expire_acks(in.now);
  if (!push_) serve_waiting(in, out);
  Status delivered = ok();
  if (store_retry_at_ <= in.now.mono) {
    delivered = deliver_all(in, out);
    if (!delivered) store_retry_at_ = in.now.mono + kStoreRetry;
  }
  if (push_ && flow_.heartbeat_due(in.now.mono)) {
    std::string headers = heartbeat_headers();
    out.statuses.push_back({deliver_subject_, std::move(headers), {}, out.deliveries.size()});
  }
  flush_progress(in.now, out);
  out.advisories.swap(advisories_);
  if (commits_first() && waits_for_commit()) out.send_after = proposed_;
  check_inactive(in, out);
  out.more |= dirty_;
  out.next_deadline = std::min(out.next_deadline, next_deadline());
  return delivered;
}

void ConsumerLeader::coalesce(std::vector<SeqRange>& ranges) const {
  sort_and_join(ranges);
  // Ranges count only for what is pending or exceeded, so they may cover what is neither.
  std::size_t n = 0;
  for (const SeqRange& r : ranges) {
    if (n > 0) {
      StreamSeq gap = ranges[n - 1].last + 1;
      auto pending = s_.pending_.at_or_after(gap);
      auto over = s_.exceeded_.lower_bound(gap);
      if ((!pending || pending->sseq > r.first) && (over == s_.exceeded_.end() || over->first > r.first)) {
        ranges[n - 1].last = r.last;
        continue;
      }
    }
    ranges[n++] = r;
  }
  ranges.resize(n);
}

void ConsumerLeader::tidy_progress() {
  p_.delivered_cseq = s_.delivered_.consumer;
  p_.delivered_sseq = s_.delivered_.stream;
  p_.scanned = s_.scanned_;
  auto& list = p_.redelivered;
  std::sort(list.begin(), list.end(), [](const auto& a, const auto& b) { return a.sseq < b.sseq; });
  std::size_t n = 0;
  for (const auto& r : list) {
    if (n > 0 && list[n - 1].sseq == r.sseq) {
      list[n - 1].times += r.times;
    } else {
      list[n++] = r;
    }
  }
  list.resize(n);
  sort_and_join(p_.touched);
  sort_and_join(p_.exceeded);
  coalesce(p_.acked);
  sort_and_join(p_.termed);
}

void ConsumerLeader::flush_progress(Now now, ConsumerOutput& out) {
  if (s_.scanned_ - proposed_scanned_ >= kSkipsPerRecord) p_dirty_ = true;
  if (p_dirty_ && !p_since_) p_since_ = now.mono;
  if (!options_.replicated) {
    p_.clear();
    p_dirty_ = p_urgent_ = false;
    p_since_.reset();
  }
  bool due = p_dirty_ && (p_urgent_ || commits_first() || now.mono >= *p_since_ + kMergeDelay);
  if (due && proposed_ - committed_ < kInFlightMax) propose_progress(out);
  confirm(out);
}

void ConsumerLeader::propose_progress(ConsumerOutput& out) {
  tidy_progress();
  encode_progress(p_, out.progress);
  out.progress_number = ++proposed_;
  proposed_scanned_ = s_.scanned_;
  p_.clear();
  p_dirty_ = p_urgent_ = false;
  p_since_.reset();
}

void ConsumerLeader::hand_over(ConsumerOutput& out) {
  out.clear();
  if (options_.replicated && p_dirty_) propose_progress(out);
  confirm(out);
  out.next_deadline = next_deadline();
  out.more = true;
}

void ConsumerLeader::confirm(ConsumerOutput& out) {
  for (Bytes& reply : confirm_now_) out.confirmations.push_back({std::move(reply), 0});
  confirm_now_.clear();
  if (p_urgent_) return;  // they belong to the next record
  std::uint64_t after = waits_for_commit() ? proposed_ : 0;
#ifdef WEIR_DEFECT_CONFIRM_ACK_EARLY
  after = 0;  // seeded defect, docs/testing.md
#endif
  for (Bytes& reply : confirm_committed_) out.confirmations.push_back({std::move(reply), after});
  confirm_committed_.clear();
}

Mono ConsumerLeader::next_deadline() const {
  Mono at = timers_.next();
  at = std::min(at, pulls_.next_due());
  if (push_) at = std::min(at, flow_.next_deadline(num_pending_ > 0 || !again_.empty()));
  if (replay_due_.ns != 0) at = std::min(at, replay_due_);
  if (p_since_ && proposed_ - committed_ < kInFlightMax) at = std::min(at, *p_since_ + kMergeDelay);
  if (store_retry_at_.ns != 0) at = std::min(at, store_retry_at_);
  return at;
}

void ConsumerLeader::check_inactive(const StepInput& in, ConsumerOutput& out) {
  Nanos threshold = s_.config().inactive_threshold;
  if (threshold <= 0) return;
  Mono now = in.now.mono;
  bool used = push_ && flow_.active();
  if (!push_ && now - last_used_ >= threshold && !pulls_.empty()) {
    // Pulls without an end keep a consumer alive only while somebody listens.
    pulls_.filter([&](PullRequest& r) { return in.has_interest(r.reply.text()); });
    used = !pulls_.empty();
  }
  if (used) last_used_ = now;
  out.delete_me = now - last_used_ >= threshold;
  out.next_deadline = std::min(out.next_deadline, out.delete_me ? now + kSecond : last_used_ + threshold);
}

StreamSeq ConsumerLeader::watch_from() const {
  StreamSeq from = s_.pending_.empty() ? s_.scanned_ + 1 : s_.pending_.front().sseq;
  return s_.exceeded_.empty() ? from : std::min(from, s_.exceeded_.begin()->first);
}

ConsumerFigures ConsumerLeader::figures() const {
  ConsumerFigures f;
  f.delivered = s_.delivered();
  f.ack_floor = s_.ack_floor();
  f.last_delivered = s_.last_delivered();
  f.last_acked = s_.last_acked();
  f.num_ack_pending = s_.num_ack_pending();
  f.num_redelivered = s_.num_redelivered();
  f.num_waiting = pulls_.size();
  f.num_pending = num_pending_;
  f.push_bound = push_ && flow_.active();
  return f;
}

}  // namespace weir::jetstream
