#include "broker/jetstream/consumer_state.h"

#include <algorithm>
#include <limits>
#include <utility>
#include <variant>

#include "broker/base/state_hash.h"
#include "broker/jetstream/coding.h"

namespace weir::jetstream {

namespace {

std::uint64_t stamp_of(Wall log_time) {
  return log_time.ns <= 0 ? 0 : static_cast<std::uint64_t>(log_time.ns / kMillisecond);
}

Error bad_progress(const char* what) {
  return {Code::kInvalid, std::string("consumer progress: ") + what};
}

}  // namespace

ConsumerState::ConsumerState(std::uint32_t id, std::string name, api::ConsumerConfig config, Wall created,
                             ConsumerStart start)
    : id_(id),
      name_(std::move(name)),
      config_(std::make_shared<const api::ConsumerConfig>(std::move(config))),
      created_(created),
      skip_list_(std::move(start.only)),
      skip_end_(start.only_upto) {
  delivered_.stream = start.first.v == 0 ? StreamSeq() : start.first - 1;
  scanned_ = delivered_.stream;
  drop_skip_list_when_done();
}

void ConsumerState::set_config(api::ConsumerConfig config) {
  config_ = std::make_shared<const api::ConsumerConfig>(std::move(config));
}

void ConsumerState::reset(StreamSeq next) {
  ++epoch_;
  delivered_ = {ConsumerSeq(), next.v == 0 ? StreamSeq() : next - 1};
  scanned_ = delivered_.stream;
  pending_.clear();
  exceeded_.clear();
  skip_list_ = {};
  skip_end_ = StreamSeq();
}

bool ConsumerState::tracks_pending() const {
  return config_->ack_policy != api::AckPolicy::kNone;
}

SeqPair ConsumerState::ack_floor() const {
  if (pending_.empty()) return delivered_;
  PendingEntry first = pending_.front();
  return {first.cseq - 1, first.sseq - 1};
}

bool ConsumerState::needs(StreamSeq seq) const {
  if (seq > scanned_) {
    if (seq > skip_end_) return true;
    return std::binary_search(skip_list_.begin(), skip_list_.end(), seq);
  }
  return pending_.find(seq).has_value() || exceeded_.count(seq) > 0;
}

StreamSeq ConsumerState::first_needed() const {
  StreamSeq first = scanned_ + 1;
  if (!pending_.empty()) first = std::min(first, pending_.front().sseq);
  if (!exceeded_.empty()) first = std::min(first, exceeded_.begin()->first);
  return first;
}

void ConsumerState::drop_skip_list_when_done() {
  if (skip_end_.v == 0) return;
  if (scanned_ < skip_end_ && !skip_list_.empty() && skip_list_.back() > scanned_) return;
  // Nothing at or below skip_end_ is left to deliver.
  scanned_ = std::max(scanned_, skip_end_);
  skip_list_ = {};
  skip_end_ = StreamSeq();
}

Status ConsumerState::check_progress(const Progress& p) const {
  if (p.delivered_cseq < delivered_.consumer || p.delivered_sseq < delivered_.stream || p.scanned < scanned_)
    return bad_progress("goes back");
  ConsumerSeq cseq = delivered_.consumer;
  StreamSeq sseq = delivered_.stream;
  for (const DeliveryRun& r : p.delivered) {
    if (r.cseq <= cseq || r.sseq <= sseq) return bad_progress("delivers again");
    cseq = r.cseq + (r.count - 1);
    sseq = r.sseq + (r.count - 1);
  }
  if (cseq > p.delivered_cseq || sseq > p.delivered_sseq) return bad_progress("delivers beyond its end");
  return ok();
}

void ConsumerState::apply_deliveries(const Progress& p, std::uint64_t stamp,
                                     std::vector<SeqRange>& finished) {
  bool tracks = tracks_pending();
  for (const DeliveryRun& r : p.delivered) {
    if (!tracks) {
      finished.push_back({r.sseq, r.sseq + (r.count - 1)});
      continue;
    }
    for (std::uint64_t i = 0; i < r.count; ++i) pending_.append({r.sseq + i, r.cseq + i, stamp, 1});
  }
  for (const auto& r : p.redelivered) {
    if (auto e = pending_.find(r.sseq)) pending_.update(r.sseq, stamp, e->deliveries + r.times);
  }
  for (const SeqRange& r : p.touched) {
    for (auto e = pending_.at_or_after(r.first); e && e->sseq <= r.last;
         e = pending_.at_or_after(e->sseq + 1)) {
      pending_.update(e->sseq, stamp, e->deliveries);
    }
  }
}

void ConsumerState::exceed(const std::vector<SeqRange>& ranges) {
  for (const SeqRange& r : ranges) {
    while (auto e = pending_.at_or_after(r.first)) {
      if (e->sseq > r.last) break;
      exceeded_[e->sseq] = e->deliveries;
      pending_.erase(e->sseq);
    }
  }
}

bool ConsumerState::finish(const std::vector<SeqRange>& ranges, std::vector<SeqRange>& finished) {
  bool any = false;
  for (const SeqRange& r : ranges) {
    while (auto e = pending_.at_or_after(r.first)) {
      if (e->sseq > r.last) break;
      append_seq(finished, e->sseq);
      pending_.erase(e->sseq);
      any = true;
    }
    for (auto it = exceeded_.lower_bound(r.first); it != exceeded_.end() && it->first <= r.last;) {
      append_seq(finished, it->first);
      it = exceeded_.erase(it);
      any = true;
    }
  }
  return any;
}

Status ConsumerState::apply_progress(std::string_view body, Wall log_time, std::vector<SeqRange>& finished) {
  finished.clear();
  Progress p;
  RETURN_IF_ERROR(decode_progress(body, p));
  if (p.epoch != epoch_) return ok();
  RETURN_IF_ERROR(check_progress(p));
  apply_deliveries(p, stamp_of(log_time), finished);
  if (!p.delivered.empty() || !p.redelivered.empty()) last_delivered_ = log_time;
  delivered_ = {p.delivered_cseq, p.delivered_sseq};
  scanned_ = p.scanned;
  drop_skip_list_when_done();
  exceed(p.exceeded);
  bool acked = finish(p.acked, finished);
  acked |= finish(p.termed, finished);
  if (acked) last_acked_ = log_time;
  naks_ += p.naks;
  return ok();
}

std::uint64_t ConsumerState::hash() const {
  StateHash h;
  h.add(id_);
  h.add(static_cast<std::uint64_t>(created_.ns));
  h.add(epoch_);
  h.add(delivered_.consumer.v);
  h.add(delivered_.stream.v);
  h.add(scanned_.v);
  h.add(static_cast<std::uint64_t>(last_delivered_.ns));
  h.add(static_cast<std::uint64_t>(last_acked_.ns));
  h.add(naks_);
  h.add(pending_.size());
  h.add(pending_.hash());
  h.add(exceeded_.size());
  h.add(exceeded_.empty() ? 0 : exceeded_.begin()->first.v);
  h.add(skip_end_.v);
  return h.value();
}

void ConsumerState::encode(std::string& out) const {
  out.push_back(static_cast<char>(kConsumerStateVersion));
  put_varint(out, id_);
  put_string(out, name_);
  put_string(out, api::encode_consumer_config_json(*config_));
  put_signed(out, created_.ns);
  put_varint(out, epoch_);
  put_varint(out, delivered_.consumer.v);
  put_varint(out, delivered_.stream.v);
  put_varint(out, scanned_ - delivered_.stream);
  put_signed(out, last_delivered_.ns);
  put_signed(out, last_acked_.ns);
  put_varint(out, naks_);

  put_varint(out, pending_.size());
  PendingEntry last;
  pending_.for_each([&](const PendingEntry& e) {
    put_varint(out, e.sseq - last.sseq);
    put_varint(out, e.cseq - last.cseq);
    put_signed(out, static_cast<std::int64_t>(e.stamp - last.stamp));
    put_varint(out, e.deliveries);
    last = e;
    return true;
  });
  put_varint(out, exceeded_.size());
  std::uint64_t at = 0;
  for (const auto& [seq, deliveries] : exceeded_) {
    put_varint(out, seq.v - at);
    put_varint(out, deliveries);
    at = seq.v;
  }
  // What was delivered from the list is left out, so that equal states have equal bytes.
  auto from = std::upper_bound(skip_list_.begin(), skip_list_.end(), scanned_);
  put_varint(out, skip_end_.v);
  put_varint(out, static_cast<std::uint64_t>(skip_list_.end() - from));
  at = 0;
  for (; from != skip_list_.end(); ++from) {
    put_varint(out, from->v - at);
    at = from->v;
  }
}

Status ConsumerState::decode_lists(Reader& in) {
  Error bad(Code::kCorrupt, "consumer state: list out of order or out of bounds");
  constexpr std::uint64_t kMax = std::numeric_limits<std::uint64_t>::max();
  std::uint64_t n = in.varint();
  PendingEntry e;
  for (std::uint64_t i = 0; i < n; ++i) {
    std::uint64_t sseq = in.varint(), cseq = in.varint();
    std::uint64_t stamp = e.stamp + static_cast<std::uint64_t>(unzigzag(in.varint()));
    e.deliveries = in.varint();
    if (!in.ok() || sseq == 0 || cseq == 0 || sseq > kMax - e.sseq.v || cseq > kMax - e.cseq.v ||
        stamp > PendingSet::kStampMax || e.deliveries == 0 || e.deliveries > PendingSet::kDeliveriesMax)
      return bad;
    e.sseq = e.sseq + sseq;
    e.cseq = e.cseq + cseq;
    e.stamp = stamp;
    pending_.append(e);
  }
  if (e.sseq > delivered_.stream || e.cseq > delivered_.consumer) return bad;
  n = in.varint();
  std::uint64_t at = 0;
  for (std::uint64_t i = 0; i < n; ++i) {
    std::uint64_t step = in.varint(), deliveries = in.varint();
    if (!in.ok() || step == 0 || step > kMax - at) return bad;
    exceeded_.emplace_hint(exceeded_.end(), StreamSeq(at += step), deliveries);
  }
  skip_end_ = StreamSeq(in.varint());
  n = in.varint();
  at = 0;
  for (std::uint64_t i = 0; i < n; ++i) {
    std::uint64_t step = in.varint();
    if (!in.ok() || step == 0 || step > kMax - at) return bad;
    skip_list_.push_back(StreamSeq(at += step));
  }
  if (!skip_list_.empty() && (skip_list_.front() <= scanned_ || skip_list_.back() > skip_end_)) return bad;
  return ok();
}

Result<ConsumerState> ConsumerState::decode(std::string_view bytes) {
  Reader in(bytes);
  std::uint8_t version = in.u8();
  if (in.ok() && version > kConsumerStateVersion)
    return Error(Code::kUnsupported, "consumer state: written by a newer version");
  Error bad(Code::kCorrupt, "consumer state: short, long or out of bounds");
  if (version != kConsumerStateVersion) return bad;
  ConsumerState s;
  std::uint64_t id = in.varint();
  s.name_ = in.string();
  std::string_view config_json = in.string();
  s.created_ = Wall{unzigzag(in.varint())};
  std::uint64_t epoch = in.varint();
  s.delivered_ = {ConsumerSeq(in.varint()), StreamSeq(in.varint())};
  std::uint64_t skipped = in.varint();
  s.last_delivered_ = Wall{unzigzag(in.varint())};
  s.last_acked_ = Wall{unzigzag(in.varint())};
  s.naks_ = in.varint();
  constexpr std::uint64_t kMax32 = std::numeric_limits<std::uint32_t>::max();
  if (!in.ok() || id > kMax32 || epoch > kMax32 ||
      skipped > std::numeric_limits<std::uint64_t>::max() - s.delivered_.stream.v)
    return bad;
  s.id_ = static_cast<std::uint32_t>(id);
  s.epoch_ = static_cast<std::uint32_t>(epoch);
  s.scanned_ = s.delivered_.stream + skipped;
  auto config = api::decode_consumer_config(config_json, api::Strictness::kLenient);
  auto* parsed = std::get_if<api::ConsumerConfig>(&config);
  if (parsed == nullptr) return Error(Code::kCorrupt, "consumer state: configuration of " + s.name_);
  s.set_config(std::move(*parsed));
  RETURN_IF_ERROR(s.decode_lists(in));
  if (!in.done()) return bad;
  return s;
}

}  // namespace weir::jetstream
