#include "broker/server/direct_batches.h"

#include <algorithm>

#include "broker/base/limits.h"
#include "broker/base/text.h"
#include "broker/proto/headers.h"

namespace weir::server {

using store::Message;

namespace {
constexpr std::size_t kMultiLastMax = 1024;
constexpr Nanos kHoldStep = 5 * kMillisecond;
constexpr Nanos kHoldMax = 2 * kSecond;  // the link gets no faster: the client asks again for the rest
constexpr std::int64_t kLineBytes = 64;  // of a protocol line, without its subject
constexpr std::int64_t kEndBytes = 256;  // the end, which has room always
}  // namespace

DirectMessage direct_message(const StreamHost& stream, const Message& m, std::string_view extra,
                             bool no_hdr) {
  proto::HeaderBuilder h;
  h.add("Nats-Stream", stream.name());
  h.add("Nats-Subject", m.subject());
  h.add("Nats-Sequence", m.seq.v);
  h.add("Nats-Time-Stamp", format_time(m.time));
  if (!extra.empty()) h.add_all(proto::HeaderView(extra));
  if (!no_hdr) h.add_all(proto::HeaderView(m.headers()));
  DirectMessage out;
  out.bytes = h.take();
  out.header_size = out.bytes.size();
  out.bytes += m.payload();
  return out;
}

void DirectBatches::add(Account& account, std::string reply, GroupId stream, api::MsgGetRequest q) {
  if (reply.empty()) return;  // nobody would hear of it
  Batch b;
  b.account = &account;
  b.reply = std::move(reply);
  b.stream = stream;
  b.q = std::move(q);
  if (batches_.size() >= limits::kDirectBatchesMax) {
    fail(b, 503, "");
    return;
  }
  batches_.push_back(std::move(b));
}

bool DirectBatches::run() {
  Budget left{limits::kDirectMessagesPerTurn, limits::kDirectBytesPerTurn};
  for (std::size_t n = batches_.size(); n > 0 && left.any(); --n) {
    Batch b = std::move(batches_.front());
    batches_.pop_front();
    if (step(b, left) == Step::kLater) batches_.push_back(std::move(b));
  }
  if (batches_.empty()) return false;
  if (!left.any()) return true;
  // All that are left wait for a lane.
  if (timer_ == 0) timer_ = env_.loop.at(env_.clock.now() + kHoldStep, [this] { timer_ = 0; });
  return false;
}

// The leader, or another replica that is whole. Not as strict as when the request came in (may_read()): under
// traffic a follower knows of commits some moments before it applies them, and that ends no batch.
bool DirectBatches::readable(const StreamHost& s) const {
  if (!s.machine().config().allow_direct || !s.offline_reason().empty()) return false;
  const replica::Group& group = s.group();
  return !js_.context().cluster || group.leading() || (group.started() && !group.empty() && !s.damaged());
}

DirectBatches::Step DirectBatches::step(Batch& b, Budget& left) {
  StreamHost* s = js_.find(b.stream);
  if (!s || !readable(*s)) {
    return b.turns == 0 ? fail(b, 503, "") : fail(b, 500, "the stream cannot be read here any more");
  }
  if (b.held_since.ns != 0 && router_.peers_crowded()) {
    return env_.clock.now() - b.held_since > kHoldMax ? end(b, *s) : Step::kLater;
  }
  b.held_since = Mono();
  ++b.turns;
  if (!std::exchange(b.begun, true)) {
    left.take(0);  // a batch that finds nothing is work too
    if (Step begun = b.q.is_multi() ? begin_multi(b, *s) : begin(b, *s); begun != Step::kGoOn) return begun;
  }
  if (b.q.is_multi() && b.most == 0) {
    if (Step resolved = resolve(b, *s, left); resolved != Step::kGoOn) return resolved;
  }
  while (b.sent < b.most && b.pending > 0) {
    if (!left.any()) return Step::kLater;
    Step sent = send_next(b, *s, left);
    if (sent != Step::kGoOn) return sent;
  }
  return end(b, *s);
}

DirectBatches::Step DirectBatches::begin(Batch& b, StreamHost& s) {
  if (!b.q.next_by_subj.empty()) b.filter.push_back(b.q.next_by_subj);
  b.from = b.q.seq;
  if (b.q.start_time) b.from = s.store().seq_at(*b.q.start_time).value_or(b.from);
  auto left = s.store().count(b.filter, b.from);
  if (!left) return fail(b, 500, left.error().detail);
  if (*left == 0) return fail(b, 404, "Message Not Found");
  b.pending = *left;
  b.most = static_cast<std::uint64_t>(b.q.batch);
  return Step::kGoOn;
}

// What the index knows is taken now: a later turn may find another last message.
DirectBatches::Step DirectBatches::begin_multi(Batch& b, StreamHost& s) {
  b.upto = b.q.up_to_seq.v ? b.q.up_to_seq : s.store().state().last_seq;
  if (b.q.up_to_time) {
    auto at = s.store().seq_at(*b.q.up_to_time);
    if (!at) return fail(b, 500, at.error().detail);
    b.upto = at->v > 0 ? *at - 1 : *at;
  }
  std::size_t subjects = 0;
  auto take = [&](std::string_view subject, const store::SubjectState& state) {
    if (state.last <= b.upto) {
      b.found.push_back(state.last);
    } else {
      b.open.emplace_back(subject);
    }
    return ++subjects <= kMultiLastMax;
  };
  s.store().for_each_subject(b.q.multi_last, take);
  if (subjects > kMultiLastMax) return fail(b, 413, "Too Many Results");
  b.q.multi_last.resize(1);  // may be long, and has done its work
  return Step::kGoOn;
}

DirectBatches::Step DirectBatches::resolve(Batch& b, StreamHost& s, Budget& left) {
  while (!b.open.empty()) {
    if (!left.any()) return Step::kLater;
    left.take(0);
    auto m = s.store().last({b.open.back()}, b.upto);
    if (!m) return fail(b, 500, m.error().detail);
    if (*m) b.found.push_back((*m)->seq);
    b.open.pop_back();
  }
  if (b.found.empty()) return fail(b, 404, "No Results");
  std::sort(b.found.begin(), b.found.end());
  b.pending = b.found.size();
  b.most = b.q.batch > 0 ? static_cast<std::uint64_t>(b.q.batch) : b.pending;
  return Step::kGoOn;
}

Result<std::optional<Message>> DirectBatches::fetch(Batch& b, StreamHost& s) {
  return b.q.is_multi() ? s.store().load(b.found[b.next]) : s.store().next(b.filter, b.from);
}

// max_bytes is of messages as they are stored, as nats-server counts.
bool DirectBatches::has_room(Batch& b, const Message& m, const DirectMessage& shown) const {
  std::int64_t limit = b.q.max_bytes;
  if (limit > 0) {
    b.bytes += static_cast<std::int64_t>(m.record.size());
  } else {
    auto size = static_cast<std::int64_t>(shown.bytes.size() + b.reply.size());
    limit = options_.max_pending - kEndBytes - static_cast<std::int64_t>(b.reply.size());
    b.bytes += size + kLineBytes;
  }
  return b.sent == 0 || b.bytes <= limit;
}

DirectBatches::Step DirectBatches::send_next(Batch& b, StreamHost& s, Budget& left) {
  auto found = fetch(b, s);
  if (!found) return fail(b, 500, found.error().detail);  // no end: there is more
  if (!*found) {                                          // removed since the batch began
    return b.q.is_multi() ? fail(b, 404, "Message Not Found") : end(b, s);
  }
  const Message& m = **found;
  proto::HeaderBuilder h;
  h.add("Nats-Num-Pending", b.pending - 1);
  h.add("Nats-Last-Sequence", b.last);
  DirectMessage shown = direct_message(s, m, h.take(), b.q.no_hdr);
  if (!has_room(b, m, shown)) return end(b, s);
  --b.pending;
  ++b.sent;
  ++b.next;
  b.last = m.seq.v;
  b.from = m.seq + 1;
  left.take(shown.bytes.size());
  (void)router_.take_crowded();  // of what others sent
  // Who asked is gone, or has what it wanted.
  if (router_.send(*b.account, b.reply, {}, shown.bytes, shown.header_size) == 0) return Step::kOver;
  if (!router_.take_crowded()) return Step::kGoOn;
  b.held_since = env_.clock.now();
  return Step::kLater;
}

DirectBatches::Step DirectBatches::end(Batch& b, StreamHost& s) {
  if (b.turns > 1 && !b.q.is_multi()) {  // messages came and went meanwhile
    auto left = s.store().count(b.filter, b.from);
    if (!left) return fail(b, 500, left.error().detail);
    b.pending = *left;
  }
  proto::HeaderBuilder h(204, "EOB");
  h.add("Nats-Num-Pending", b.pending);
  h.add("Nats-Last-Sequence", b.last);
  if (b.q.is_multi()) h.add("Nats-UpTo-Sequence", b.upto.v);
  std::string block = h.take();
  router_.send(*b.account, b.reply, {}, block, block.size());
  return Step::kOver;
}

DirectBatches::Step DirectBatches::fail(const Batch& b, int code, std::string_view text) {
  std::string block = proto::HeaderBuilder(code, text).take();
  router_.send(*b.account, b.reply, {}, block, block.size());
  return Step::kOver;
}

}  // namespace weir::server
