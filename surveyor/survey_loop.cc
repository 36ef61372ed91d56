#include "surveyor/survey_loop.h"

#include <algorithm>
#include <chrono>

#include "broker/base/text.h"

namespace weir::surveyor {

namespace {
constexpr Nanos kConnectAgainAfter = 2 * kSecond;
constexpr Nanos kLongestWait = 5 * kSecond;

Mono mono_now() {
  return {std::chrono::steady_clock::now().time_since_epoch() / std::chrono::nanoseconds(1)};
}
Wall wall_now() {
  return {std::chrono::system_clock::now().time_since_epoch() / std::chrono::nanoseconds(1)};
}
std::uint64_t seed() {
  return static_cast<std::uint64_t>(wall_now().ns) ^ static_cast<std::uint64_t>(mono_now().ns);
}

PollerOptions poller_options(const Options& o) {
  PollerOptions p;
  p.interval = o.interval;
  p.timeout = o.timeout;
  p.discovery = o.discovery;
  p.expected = o.expected;
  return p;
}

MergeOptions merge_options(const Options& o) {
  MergeOptions m;
  m.expected = o.expected;
  m.durable_only = o.durable_only;
  return m;
}
}  // namespace

SurveyLoop::SurveyLoop(const Options& options, EventQueue& queue, HttpServer& http, Log& log)
    : options_(options),
      queue_(queue),
      http_(http),
      log_(log),
      poller_(poller_options(options), seed()),
      merger_(merge_options(options)),
      renderer_(RenderOptions{options.series_limit}) {
  self_.interval = options.interval;
  self_.timeout = options.timeout;
  self_.connection_name = kConnectionName;
  self_.build = {WEIR_VERSION, WEIR_REVISION, WEIR_COMPILER};
}

Status SurveyLoop::connect() {
  auto client = NatsClient::start(options_, queue_);
  if (!client) return client.error();
  client_ = std::move(*client);
  return ok();
}

Status SurveyLoop::run() {
  publish();
  RETURN_IF_ERROR(connect());
  while (true) {
    Nanos wait = std::clamp<Nanos>(poller_.deadline() - mono_now(), 0, kLongestWait);
    auto event = queue_.pop(wait);
    if (event) {
      if (auto* stop = std::get_if<StopRequest>(&*event)) {
        log_.info("signal " + std::to_string(stop->signal) + ": stopping");
        return ok();
      }
      if (auto* a = std::get_if<Arrival>(&*event)) poller_.arrive(std::move(*a), mono_now(), wall_now());
      if (auto* c = std::get_if<ConnectionChange>(&*event)) on_change(*c);
    }
    step();
  }
}

void SurveyLoop::on_change(const ConnectionChange& c) {
  using What = ConnectionChange::What;
  bool up = c.what == What::kUp;
  bool was = self_.connected;
  self_.connected = up;
  if (up) {
    log_.info("connected to " + c.detail);
    if (ever_connected_) ++poller_.stats().reconnects;
    ever_connected_ = true;
  } else if (was || c.what == What::kClosed) {
    log_.warn("connection lost" + (c.detail.empty() ? "" : ": " + c.detail));
  }
  if (c.what == What::kClosed) {
    client_.reset();
    connect_again_ = mono_now() + kConnectAgainAfter;
  }
  if (up || was) poller_.connection(up, mono_now());
  publish();
}

void SurveyLoop::step() {
  if (!client_ && mono_now() >= connect_again_) {
    connect_again_ = mono_now() + kConnectAgainAfter;
    if (auto s = connect(); !s) log_.error(s.error().to_string());
  }
  for (const Ask& ask : poller_.due(mono_now(), wall_now())) {
    if (!client_) continue;
    if (auto s = client_->publish(ask); !s) log_.warn("cannot ask " + ask.subject + ": " + s.error().detail);
  }
  auto round = poller_.take_finished();
  if (!round) return;
  for (const auto& [kind, count] : queue_.take_dropped()) poller_.stats().events_dropped[kind] += count;
  snapshot_ = merger_.finish(std::move(*round), wall_now());
  if (self_.connected && (snapshot_->surveyed != last_surveyed_ || snapshot_->surveyed == 0)) {
    std::string line = std::to_string(snapshot_->surveyed) + " of " + std::to_string(snapshot_->expected) +
                       " servers answer, " + std::to_string(snapshot_->streams.size()) + " streams";
    if (snapshot_->surveyed == 0) {
      log_.warn(line + "; does the user belong to the system account?");
    } else {
      log_.info(line);
    }
    last_surveyed_ = snapshot_->surveyed;
  }
  publish();
}

void SurveyLoop::publish() {
  http_.publish(renderer_.render(*snapshot_, poller_.stats(), self_), render_page(*snapshot_, self_));
}

}  // namespace weir::surveyor
