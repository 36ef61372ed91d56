#include "surveyor/render.h"

#include <charconv>

#include "surveyor/merge.h"

namespace weir::surveyor {

double unix_seconds(Wall t) {
  return static_cast<double>(t.ns) / 1e9;
}

namespace {

std::string one_label(std::string_view name, std::string_view value) {
  std::string out;
  append_label(out, name, value);
  return out;
}

std::string short_number(double v) {
  char buffer[32];
  auto [end, error] = std::to_chars(buffer, buffer + sizeof buffer, v);
  return {buffer, end};
}

void render_requests(Exposition& out, const PollStats& stats, const SelfView& self) {
  out.family(Metric::PollDuration);
  for (const auto& [name, r] : stats.requests) out.sample(one_label("request", name), r.last_duration_s);
  out.family(Metric::PollInterval);
  for (const auto& [name, r] : stats.requests) {
    out.sample(one_label("request", name), static_cast<double>(self.interval) / 1e9);
  }
  out.family(Metric::LastSuccess);
  for (const auto& [name, r] : stats.requests) {
    if (r.last_success.ns > 0) out.sample(one_label("request", name), unix_seconds(r.last_success));
  }
  out.family(Metric::RequestDuration);
  for (const auto& [name, r] : stats.requests) {
    std::uint64_t below = 0;
    for (std::size_t i = 0; i < r.duration.buckets.size(); ++i) {
      below += r.duration.buckets[i];
      std::string labels = one_label("request", name);
      append_label(labels, "le", i < kDurationBounds.size() ? short_number(kDurationBounds[i]) : "+Inf");
      out.part("_bucket", labels, static_cast<double>(below));
    }
    out.part("_sum", one_label("request", name), r.duration.sum_s);
    out.part("_count", one_label("request", name), static_cast<double>(r.duration.count));
  }
  out.family(Metric::ResponseBytes);
  for (const auto& [name, r] : stats.requests) {
    if (name != "round") out.sample(one_label("request", name), r.response_bytes);
  }
  out.family(Metric::RequestErrors);
  for (const auto& [what, count] : stats.errors) {
    std::string labels = one_label("request", what.first);
    append_label(labels, "reason", what.second);
    out.sample(labels, count);
  }
}

void render_self(Exposition& out, const Snapshot& s, const PollStats& stats, const SelfView& self) {
  out.family(Metric::Up);
  out.sample("", self.connected ? 1u : 0u);
  out.family(Metric::BuildInfo);
  std::string build = one_label("version", self.build.version);
  append_label(build, "revision", self.build.revision);
  append_label(build, "compiler", self.build.compiler);
  out.sample(build, 1u);
  out.family(Metric::Surveyed);
  out.sample("", self.connected ? s.surveyed : 0u);
  out.family(Metric::Expected);
  out.sample("", s.expected);
  render_requests(out, stats, self);
  out.family(Metric::Events);
  for (const auto& [event, count] : stats.events) out.sample(one_label("event", event), count);
  out.family(Metric::EventsDropped);
  for (const auto& [event, count] : stats.events_dropped) out.sample(one_label("event", event), count);
  auto rounds = stats.requests.find("round");
  out.family(Metric::SurveyDuration);
  out.part("_sum", "", rounds == stats.requests.end() ? 0 : rounds->second.duration.sum_s);
  out.part("_count", "",
           rounds == stats.requests.end() ? 0 : static_cast<double>(rounds->second.duration.count));
  out.family(Metric::PollErrors);
  out.sample("", stats.failed_rounds);
  out.family(Metric::LateReplies);
  out.sample(one_label("timeout", short_number(static_cast<double>(self.timeout) / 1e9) + "s"),
             stats.late_replies);
  out.family(Metric::NoReplies);
  out.sample(one_label("expected", std::to_string(s.expected)), stats.no_replies);
  out.family(Metric::Reconnects);
  out.sample(one_label("name", self.connection_name), stats.reconnects);
}

}  // namespace

std::string Renderer::render(const Snapshot& snapshot, const PollStats& stats, const SelfView& self) {
  Exposition out(options_.series_limit);
  render_self(out, snapshot, stats, self);
  render_servers(out, snapshot);
  render_rollups(out, snapshot);
  render_streams(out, snapshot);
  render_consumers(out, snapshot);
  auto each = [](auto&& f) {
    for (std::size_t i = 0; i < kMetricCount; ++i) f(static_cast<Metric>(i));
  };
  each([&](Metric m) {
    if (out.dropped(m) > 0) dropped_[m] += out.dropped(m);
  });
  // The last two families are about the others; they do not count themselves.
  Exposition tail;
  tail.family(Metric::Series);
  each([&](Metric m) {
    if (out.series(m) > 0) tail.sample(one_label("family", info_of(m).name), out.series(m));
  });
  tail.family(Metric::SeriesDropped);
  for (const auto& [m, count] : dropped_) tail.sample(one_label("family", info_of(m).name), count);
  return out.take() + tail.take();
}

}  // namespace weir::surveyor
