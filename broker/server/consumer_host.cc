#include "broker/server/consumer_host.h"

#include <algorithm>

#include "broker/base/limits.h"
#include "broker/base/text.h"
#include "broker/proto/client_writer.h"
#include "broker/proto/headers.h"
#include "broker/server/advisories.h"
#include "broker/server/stream_host.h"
#include "broker/subject/subject.h"

namespace weir::server {

using jetstream::ConsumerEnd;
using jetstream::ConsumerOutput;
using jetstream::Outcome;

namespace {
constexpr std::size_t kHeldOutputsMax = 64;
}

ConsumerHost::ConsumerHost(JsContext& js, StreamHost& stream, const jetstream::ConsumerState& state)
    : js_(js),
      stream_(stream),
      name_(state.name()),
      id_(state.id()),
      created_(state.created()),
      matcher_(jetstream::filters_of(state.config())),
      ack_prefix_("$JS.ACK." + stream.name() + "." + state.name() + "."),
      self_(std::make_shared<ConsumerHost*>(this)) {}

Result<std::unique_ptr<ConsumerHost>> ConsumerHost::start(JsContext& js, StreamHost& stream,
                                                          const jetstream::ConsumerState& state) {
  std::unique_ptr<ConsumerHost> host(new ConsumerHost(js, stream, state));
  jetstream::ConsumerLeaderOptions o;
  o.stream = stream.name();
  o.group_of_one = stream.group().alone();
  o.ack_prefix_size = host->ack_prefix_.size() - 1;
  o.seed = js.env.random.next();
  ASSIGN_OR_RETURN(host->leader_,
                   jetstream::ConsumerLeader::start(state, std::move(o), stream.store(), host->now()));
  if (state.config().is_push()) {
    host->subscribe_flow_control();
    host->watch_interest();
  }
  host->mark();
  return host;
}

ConsumerHost::~ConsumerHost() {
  *self_ = nullptr;
  js_.env.loop.cancel(timer_);
  js_.turn.consumers.forget(*this);
  unwatch_interest();
  if (flow_control_) js_.router.remove(stream_.account(), *flow_control_);
}

jetstream::Now ConsumerHost::now() const {
  return {js_.env.clock.now(), js_.env.clock.wall()};
}

void ConsumerHost::mark() {
  if (!ended_) js_.turn.consumers.add(*this, queued_);
}

void ConsumerHost::subscribe_flow_control() {
  flow_control_ = std::make_unique<session::Subscription>();
  flow_control_->subject = "$JS.FC." + stream_.name() + "." + name_ + ".>";
  flow_control_->listener = this;
  flow_control_->told = true;  // the client may be anywhere
  js_.router.add(stream_.account(), *flow_control_);
}

void ConsumerHost::on_message(const session::Inbound& message) {
  leader_->on_flow_control(message.subject, now());
  mark();
}

// ---- inputs ----------------------------------------------------------------------------------

void ConsumerHost::stored(StreamSeq seq, std::string_view subject) {
  if (!matcher_.matches(subject)) return;
  leader_->on_stored(seq);
  mark();
}

void ConsumerHost::removed(StreamSeq seq, std::string_view subject) {
  leader_->on_removed(seq, subject);
  mark();
}

void ConsumerHost::purged() {
  Status s = leader_->on_purged(stream_.store());
  if (!s) js_.env.log.error("consumer " + name_ + ": " + s.error().to_string());
  mark();
}

void ConsumerHost::config_changed(const api::ConsumerConfig& config) {
  matcher_ = store::SubjectMatcher(jetstream::filters_of(config));
  Status s = leader_->on_config(config, stream_.store(), now());
  if (!s) js_.env.log.error("consumer " + name_ + ": " + s.error().to_string());
  push_interest_.reset();
  if (config.is_push()) {
    watch_interest();
  } else {
    unwatch_interest();
  }
  mark();
}

void ConsumerHost::pull(jetstream::PullRequest request) {
  leader_->on_pull(std::move(request), now());
  mark();
}

void ConsumerHost::ack(const jetstream::AckMessage& ack, const jetstream::PullRequest* next) {
  if (refused_) return unconfirmed(ack.reply);  // of a delivery that may not count
  leader_->on_ack(ack, now(), next);
  mark();
}

void ConsumerHost::watch_interest() {
  unwatch_interest();
  watched_ = leader_->live().config().deliver_subject;
  stream_.account().watchers.emplace(watched_, this);
  interest_changed();
}

void ConsumerHost::unwatch_interest() {
  auto& watchers = stream_.account().watchers;
  for (auto [it, end] = watchers.equal_range(watched_); it != end; ++it) {
    if (it->second != this) continue;
    watchers.erase(it);
    break;
  }
  watched_.clear();
}

void ConsumerHost::interest_changed() {
  const auto& c = leader_->live().config();
  bool active = c.deliver_group.empty()
                    ? stream_.account().sublist.has_interest(c.deliver_subject)
                    : Router::has_queue_interest(stream_.account(), c.deliver_subject, c.deliver_group);
  if (active == push_interest_) return;
  push_interest_ = active;
  leader_->on_push_interest(active, now());
  mark();
}

// ---- outputs ---------------------------------------------------------------------------------

void ConsumerHost::step() {
  queued_ = false;
  // What waits for a commit is bounded: the commit goes on from here.
  if (held_.size() >= kHeldOutputsMax || refused_) return;
  if (!stream_.may_deliver(*this)) return;
  std::function<bool(std::string_view)> has_interest = [this](std::string_view reply) {
    return stream_.account().sublist.has_interest(reply);
  };
  jetstream::StepInput in{stream_.store(), now(), limits::kDeliveriesPerTurn, has_interest};
  Status s = leader_->step(in, out_);
  if (!s) js_.env.log.error("stream " + stream_.name() + " consumer " + name_ + ": " + s.error().to_string());
  carry_out(out_);
}

void ConsumerHost::carry_out(ConsumerOutput& out) {
  if (!out.progress.empty()) {
    stream_.propose_progress(
        id_, out.progress,
        [self = std::weak_ptr<ConsumerHost*>(self_), number = out.progress_number](const Outcome& o) {
          auto host = self.lock();
          if (!host || !*host) return;
          o.ok() ? (*host)->committed(number) : (*host)->refused(o.error);
        });
  }
  for (auto& c : out.confirmations) confirmations_.push_back(std::move(c));
  if (out.send_after <= committed_ && held_.empty()) {
    send_all(out);
  } else if (!out.deliveries.empty() || !out.statuses.empty() || !out.advisories.empty()) {
    std::uint64_t after = out.send_after;
    held_.push_back({after, std::move(out)});
    out = ConsumerOutput();
    out.next_deadline = held_.back().out.next_deadline;
    out.more = held_.back().out.more;
    out.delete_me = held_.back().out.delete_me;
  }
  committed(committed_);  // confirmations that wait for nothing
  if (out.delete_me && !deleting_) {
    deleting_ = true;
    stream_.propose([name = name_](jetstream::EntryBuilder& b) { b.delete_consumer(name); },
                    [](const Outcome&) {});
  }
  if (out.more) mark();
  set_timer(out.next_deadline);
}

void ConsumerHost::refused(const api::ApiError& why) {
  if (std::exchange(refused_, true)) return;
  js_.env.log.info("stream " + stream_.name() + " consumer " + name_ +
                   " starts again from what is committed: " + why.description);
  held_.clear();
  for (const auto& c : std::exchange(confirmations_, {})) unconfirmed(c.reply);
  stream_.consumer_refused(id_);
}

// What was acknowledged may or may not be known to the next leader: the client asks that one.
void ConsumerHost::unconfirmed(const Bytes& reply) {
  if (!reply.text().empty()) js_.unserved.emplace_back(&stream_.account(), reply.text());
}

void ConsumerHost::committed(std::uint64_t number) {
  if (number > committed_) {
    committed_ = number;
    leader_->on_committed(number);
    mark();
  }
  while (!held_.empty() && held_.front().after <= committed_) {
    Held held = std::move(held_.front());
    held_.pop_front();
    send_all(held.out);
  }
  while (!confirmations_.empty() && confirmations_.front().after <= committed_) {
    Bytes reply = std::move(confirmations_.front().reply);
    confirmations_.pop_front();
    js_.router.send(stream_.account(), reply.text(), {}, std::string_view());
  }
}

void ConsumerHost::send_all(const ConsumerOutput& out) {
  send_advisories(out);
  std::size_t next_status = 0;
  for (std::size_t i = 0; i <= out.deliveries.size(); ++i) {
    while (next_status < out.statuses.size() && out.statuses[next_status].after <= i) {
      send_status(out.statuses[next_status++]);
    }
    if (i < out.deliveries.size()) send_delivery(out.deliveries[i], out.headers_only);
  }
}

void ConsumerHost::send_delivery(const jetstream::Delivery& d, bool headers_only) {
  scratch_ = ack_prefix_;
  auto put = [this](std::uint64_t v) {
    scratch_ += proto::Decimal(v).text();
    scratch_ += '.';
  };
  put(d.deliveries);
  put(d.message.seq.v);
  put(d.cseq.v);
  put(static_cast<std::uint64_t>(d.message.time.ns));
  scratch_ += proto::Decimal(d.num_pending).text();
  if (headers_only) {
    proto::HeaderBuilder h;
    h.add_all(proto::HeaderView(d.message.headers()));
    h.add("Nats-Msg-Size", d.message.payload().size());
    std::string block = h.take();
    js_.router.deliver(stream_.account(), d.target.text(),
                       {d.message.subject(), scratch_, block, block.size(), nullptr, nullptr});
    return;
  }
  Bytes body = d.message.body();
  js_.router.deliver(stream_.account(), d.target.text(),
                     {d.message.subject(), scratch_, body.text(), d.message.header_size, &body, nullptr});
}

void ConsumerHost::send_status(const jetstream::StatusMessage& s) {
  js_.router.deliver(stream_.account(), s.target.text(),
                     {s.target.text(), s.reply, s.headers, s.headers.size(), nullptr, nullptr});
}

void ConsumerHost::send_advisories(const ConsumerOutput& out) {
  for (const auto& a : out.advisories) js_.advisories.consumer_event(stream_, name_, a);
}

void ConsumerHost::set_timer(Mono at) {
  // A step has just run: a deadline that is over already must not make the loop spin.
  at = std::max(at, js_.env.clock.now() + kMillisecond);
  if (at == timer_at_ && timer_) return;
  js_.env.loop.cancel(timer_);
  timer_ = 0;
  timer_at_ = at;
  if (at == jetstream::kNoDeadline) return;
  timer_ = js_.env.loop.at(at, [this] {
    timer_ = 0;
    mark();
  });
}

void ConsumerHost::hand_over() {
  if (refused_ || ended_) return;
  leader_->hand_over(out_);
  carry_out(out_);
}

void ConsumerHost::end(ConsumerEnd why) {
  ConsumerOutput out;
  leader_->end(why, out);
  send_all(out);
  for (const auto& c : std::exchange(confirmations_, {})) unconfirmed(c.reply);
  for (const auto& c : out.confirmations) unconfirmed(c.reply);
  ended_ = true;
}

}  // namespace weir::server
