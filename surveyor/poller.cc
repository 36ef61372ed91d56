#include "surveyor/poller.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "broker/base/text.h"
#include "surveyor/inflate.h"

namespace weir::surveyor {

namespace {
constexpr const char* kPing = "PING";
constexpr const char* kJsz = "JSZ";
constexpr std::uint64_t kJitterPercent = 5;  // of the interval, either way: two surveyors drift apart

double seconds(Nanos d) {
  return static_cast<double>(d) / 1e9;
}
bool has_jetstream(const ServerSeen& s) {
  return s.identity.jetstream || (s.statsz && s.statsz->jetstream);
}
}  // namespace

void Poller::connection(bool up, Mono now) {
  connected_ = up;
  if (!up) {
    pushed_.clear();
    if (phase_ != Phase::kIdle) {
      for (Server& s : servers_) {
        if (!s.done) end_server(s, "disconnected");
      }
      phase_ = Phase::kAsk;  // ends at the next due()
    }
    return;
  }
  if (phase_ == Phase::kIdle) next_round_ = now;
}

std::vector<Ask> Poller::due(Mono now, Wall wall) {
  std::vector<Ask> out;
  if (phase_ == Phase::kIdle && now >= next_round_) start_round(now, out);
  if (phase_ == Phase::kPing && ping_complete(now)) start_asking(now);
  if (phase_ == Phase::kAsk) {
    for (Server& s : servers_) {
      if (s.asked && !s.done && now - s.sent >= options_.timeout) end_server(s, "timeout");
    }
    ask_servers(now, out);
    bool all = std::all_of(servers_.begin(), servers_.end(), [](const Server& s) { return s.done; });
    if (all) finish(now, wall);
  }
  return out;
}

void Poller::start_round(Mono now, std::vector<Ask>& out) {
  std::uint64_t number = round_.id + 1;
  round_ = Round{};
  round_.id = number;
  servers_.clear();
  in_flight_ = 0;
  ping_answers_ = 0;
  told_servers_ = 0;
  round_start_ = phase_start_ = last_ping_answer_ = now;
  auto span = static_cast<std::uint64_t>(options_.interval) * kJitterPercent / 50;
  Nanos jitter = span == 0 ? 0 : static_cast<Nanos>(prng_.next() % span) - static_cast<Nanos>(span / 2);
  next_round_ = now + options_.interval + jitter;
  if (!connected_) {
    phase_ = Phase::kAsk;  // nobody to ask: an empty round
    return;
  }
  phase_ = Phase::kPing;
  out.push_back({"$SYS.REQ.SERVER.PING", std::to_string(number) + ".P", ""});
}

bool Poller::ping_complete(Mono now) const {
  if (now - phase_start_ >= options_.timeout) return true;
  if (ping_answers_ == 0) return false;
  if (options_.expected > 0) return ping_answers_ >= options_.expected;
  if (told_servers_ > 0 && ping_answers_ >= told_servers_) return true;
  return now - last_ping_answer_ >= options_.discovery;
}

void Poller::start_asking(Mono now) {
  RequestStats& ping = stats_.requests[kPing];
  ping.last_duration_s = seconds((ping_answers_ ? last_ping_answer_ : now) - phase_start_);
  // When nobody answers, the servers of the last round that was answered are missed, at least one.
  if (ping_answers_) known_servers_ = std::max<std::uint64_t>(told_servers_, ping_answers_);
  std::uint64_t expected = options_.expected ? options_.expected
                           : ping_answers_   ? told_servers_
                                             : known_servers_;
  if (expected > ping_answers_) stats_.no_replies += expected - ping_answers_;
  if (ping_answers_ == 0) ++stats_.errors[{kPing, "timeout"}];
  for (auto& [id, push] : pushed_) {
    if (!round_.servers.contains(id)) round_.add(std::move(push), false);
  }
  pushed_.clear();
  for (auto& [id, server] : goodbyes_) round_.goodbye(server);
  goodbyes_.clear();
  for (const auto& [id, s] : round_.servers) {
    if (s.down_announced || !has_jetstream(s) || servers_.size() == kServersMax) continue;
    servers_.push_back({id, 0, false, false, {}});
  }
  phase_ = Phase::kAsk;
  phase_start_ = now;
}

Ask Poller::jsz_ask(std::size_t index) const {
  const Server& s = servers_[index];
  std::uint64_t offset = std::uint64_t{s.page} * options_.accounts_per_page;
  return {"$SYS.REQ.SERVER." + s.id + ".JSZ",
          std::to_string(round_.id) + ".J." + std::to_string(index) + "." + std::to_string(s.page),
          R"({"accounts":true,"streams":true,"consumer":true,"config":true,"limit":)" +
              std::to_string(options_.accounts_per_page) + ",\"offset\":" + std::to_string(offset) + "}"};
}

void Poller::ask_servers(Mono now, std::vector<Ask>& out) {
  for (std::size_t i = 0; i < servers_.size() && in_flight_ < kAsksInFlight; ++i) {
    Server& s = servers_[i];
    if (s.asked || s.done) continue;
    s.asked = true;
    s.sent = now;
    ++in_flight_;
    out.push_back(jsz_ask(i));
  }
}

void Poller::end_server(Server& s, const char* error) {
  if (s.asked) --in_flight_;
  s.asked = false;
  s.done = true;
  if (error) {
    ++stats_.errors[{kJsz, error}];
  } else {
    round_.mark_complete(s.id);
  }
}

void Poller::finish(Mono now, Wall wall) {
  bool any = ping_answers_ > 0;
  RequestStats& all = stats_.requests["round"];
  all.last_duration_s = seconds(now - round_start_);
  all.duration.add(all.last_duration_s);
  if (any) {
    all.last_success = wall;
    stats_.requests[kPing].last_success = wall;
  } else {
    ++stats_.failed_rounds;
  }
  if (!servers_.empty()) stats_.requests[kJsz].last_duration_s = seconds(now - phase_start_);
  phase_ = Phase::kIdle;
  // Slow rounds do not pile up: a pause of half an interval at least.
  next_round_ = std::max(next_round_, now + options_.interval / 2);
  std::uint64_t id = round_.id;
  finished_ = std::move(round_);
  round_ = Round{};
  round_.id = id;
}

std::optional<Round> Poller::take_finished() {
  return std::exchange(finished_, std::nullopt);
}

Mono Poller::deadline() const {
  if (phase_ == Phase::kIdle) return next_round_;
  Mono end = phase_start_ + options_.timeout;
  if (phase_ == Phase::kPing) {
    bool waits_for_gap = ping_answers_ > 0 && options_.expected == 0;
    return waits_for_gap ? std::min(end, last_ping_answer_ + options_.discovery) : end;
  }
  Mono first{std::numeric_limits<Nanos>::max()};
  for (const Server& s : servers_) {
    if (s.asked && !s.done) first = std::min(first, s.sent + options_.timeout);
  }
  return first.ns == std::numeric_limits<Nanos>::max() ? phase_start_ : first;
}

bool Poller::unpack(Arrival& a, const char* request) {
  if (a.no_responders) {
    ++stats_.errors[{request, "no_responders"}];
    return false;
  }
  stats_.requests[request].response_bytes += a.data.size();
  if (!a.gzipped) return true;
  auto text = gunzip(a.data, kReplyBytesMax);
  if (!text) {
    ++stats_.errors[{request, "compression"}];
    return false;
  }
  a.data = std::move(*text);
  return true;
}

void Poller::arrive(Arrival a, Mono now, Wall wall) {
  if (a.kind == Arrival::Kind::kStatsz) return on_statsz_push(a);
  if (a.kind == Arrival::Kind::kGoodbye) return on_goodbye(a);
  std::string_view token = a.token;
  std::size_t dot = token.find('.');
  auto number = parse_u64(token.substr(0, dot));
  std::string_view rest = dot == std::string_view::npos ? "" : token.substr(dot + 1);
  bool ping = rest == "P", jsz = rest.starts_with("J.");
  // In phase ask late PING answers still count as life signs of this round, but are not asked any more.
  if (!number || *number != round_.id || phase_ == Phase::kIdle || (!ping && !jsz)) {
    ++stats_.late_replies;
    return;
  }
  if (ping) return on_ping(a, now);
  on_jsz(rest.substr(2), a, now, wall);
}

void Poller::on_ping(Arrival& a, Mono now) {
  if (!unpack(a, kPing)) return;
  auto reply = decoder_.statsz(std::move(a.data));
  if (!reply) {
    ++stats_.errors[{kPing, "decode"}];
    return;
  }
  auto seen = round_.servers.find(reply->server.id);
  if (seen != round_.servers.end() && seen->second.pinged) return;
  if (round_.servers.size() >= kServersMax && seen == round_.servers.end()) {
    ++stats_.errors[{kPing, "too_many_servers"}];
    return;
  }
  if (phase_ == Phase::kAsk) ++stats_.late_replies;
  ++ping_answers_;
  last_ping_answer_ = now;
  stats_.requests[kPing].duration.add(seconds(now - round_start_));
  told_servers_ = std::max(told_servers_, reply->active_servers);
  round_.add(std::move(*reply), true);
}

void Poller::on_jsz(std::string_view rest, Arrival& a, Mono now, Wall wall) {
  std::size_t dot = rest.find('.');
  auto index = parse_u64(rest.substr(0, dot));
  auto page = dot == std::string_view::npos ? std::nullopt : parse_u64(rest.substr(dot + 1));
  if (!index || !page || *index >= servers_.size()) {
    ++stats_.late_replies;
    return;
  }
  Server& s = servers_[*index];
  if (!s.asked || s.done || *page != s.page) {
    ++stats_.late_replies;
    return;
  }
  if (!unpack(a, kJsz)) return end_server(s, "unusable");
  auto reply = decoder_.jsz(std::move(a.data));
  if (!reply) return end_server(s, "decode");
  if (reply->server.id != s.id) return end_server(s, "foreign_reply");
  if (!reply->error.empty()) return end_server(s, "refused");
  if (reply->disabled) return end_server(s, "disabled");
  RequestStats& stats = stats_.requests[kJsz];
  stats.duration.add(seconds(now - s.sent));
  stats.last_success = wall;
  std::uint64_t seen = (std::uint64_t{s.page} + 1) * options_.accounts_per_page;
  bool more = !reply->accounts.empty() && reply->total_accounts > seen && s.page + 1 < kPagesMax;
  round_.add(std::move(*reply));
  if (!more) return end_server(s, nullptr);
  ++s.page;
  s.asked = false;
  --in_flight_;
}

void Poller::on_statsz_push(Arrival& a) {
  ++stats_.events["statsz"];
  auto reply = decoder_.statsz(std::move(a.data));
  if (!reply) {
    ++stats_.errors[{"STATSZ", "decode"}];
    return;
  }
  if (pushed_.size() >= kServersMax && !pushed_.contains(reply->server.id)) return;
  goodbyes_.erase(reply->server.id);
  std::string id = reply->server.id;
  pushed_.insert_or_assign(std::move(id), std::move(*reply));
}

void Poller::on_goodbye(Arrival& a) {
  ++stats_.events["shutdown"];
  auto server = decoder_.event(std::move(a.data));
  if (!server) {
    ++stats_.errors[{"SHUTDOWN", "decode"}];
    return;
  }
  pushed_.erase(server->id);
  if (phase_ != Phase::kIdle) {
    round_.goodbye(*server);
    for (Server& s : servers_) {
      if (s.id == server->id && !s.done) end_server(s, "shutdown");
    }
  } else if (goodbyes_.size() < kServersMax) {
    std::string id = server->id;
    goodbyes_.insert_or_assign(std::move(id), std::move(*server));
  }
}

}  // namespace weir::surveyor
