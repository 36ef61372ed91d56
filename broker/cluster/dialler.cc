#include "broker/cluster/dialler.h"

#include <algorithm>

namespace weir::cluster {
namespace {

constexpr unsigned kDoublingsMax = 16;
constexpr unsigned kSlowAfter = 60;  // failures, then a learnt address is tried ten times less often
constexpr std::size_t kTargetsMax = 4096;

}  // namespace

Dialler::Dialler(env::Env& env, const MeshTuning& tuning, Owner& owner)
    : env_(env),
      tuning_(tuning),
      owner_(owner),
      prng_(env.random.next()),
      self_(std::make_shared<Dialler*>(this)) {}

Dialler::~Dialler() {
  stop();
}

Status Dialler::add_route(std::string_view text) {
  ASSIGN_OR_RETURN(RouteUrl url, parse_route_url(text));
  std::string key = env::to_string(url.at);
  Target& t = targets_[key];
  t.url = std::move(url);
  t.configured = true;
  return ok();
}

void Dialler::learn(NodeId node, const std::string& text) {
  auto url = parse_route_url(text);
  if (!url) return;
  std::string key = env::to_string(url->at);
  auto found = targets_.find(key);
  if (found == targets_.end()) {
    if (targets_.size() >= kTargetsMax) return;
    found = targets_.emplace(key, Target{}).first;
    found->second.url = std::move(*url);
  }
  Target& t = found->second;
  t.useful = env_.clock.now();
  if (!t.configured && !t.busy) t.node = node;
  // Not at once: the node that is told of us may be about to dial.
  if (!t.busy && t.timer == 0 && wanted(t)) schedule(key, t, backoff(t));
}

void Dialler::start() {
  running_ = true;
  for (auto& [key, t] : targets_) {
    if (!t.busy && t.timer == 0) schedule(key, t, 0);
  }
}

void Dialler::stop() {
  running_ = false;
  for (auto& [key, t] : targets_) env_.loop.cancel(std::exchange(t.timer, 0));
}

RouteUrl Dialler::target(const std::string& key) const {
  auto it = targets_.find(key);
  return it == targets_.end() ? RouteUrl{} : it->second.url;
}

bool Dialler::is_route(NodeId node) const {
  return std::any_of(targets_.begin(), targets_.end(),
                     [&](auto& e) { return e.second.configured && e.second.node == node; });
}

void Dialler::reached(const std::string& key, NodeId node, bool self) {
  auto it = targets_.find(key);
  if (it == targets_.end()) return;
  it->second.node = node;
  it->second.self = self;
  it->second.useful = env_.clock.now();
}

void Dialler::link_up(const std::string& key) {
  auto it = targets_.find(key);
  if (it == targets_.end()) return;
  it->second.failures = 0;
  it->second.last_why.clear();
}

void Dialler::ended(const std::string& key, const std::string& why) {
  auto it = targets_.find(key);
  if (it == targets_.end()) return;
  it->second.busy = false;
  failed(key, it->second, why);
}

void Dialler::link_lost(NodeId node) {
  for (auto& [key, t] : targets_) {
    if (t.node == node && !t.busy && t.timer == 0) {
      t.failures = 0;
      schedule(key, t, backoff(t));
    }
  }
}

Mesh::Seeds Dialler::seeds() const {
  Mesh::Seeds s;
  for (auto& [key, t] : targets_) {
    if (!t.configured) continue;
    if (t.node.v == 0) ++s.unresolved;
    if (t.node.v != 0) s.known.push_back(t.node);
  }
  std::sort(s.known.begin(), s.known.end());
  s.known.erase(std::unique(s.known.begin(), s.known.end()), s.known.end());
  return s;
}

bool Dialler::wanted(const Target& t) const {
  return !t.self && (t.node.v == 0 || !owner_.has_link(t.node));
}

Nanos Dialler::backoff(const Target& t) {
  Nanos most = tuning_.redial_max;
  if (!t.configured && t.failures > kSlowAfter) most *= 10;
  Nanos d = std::min(most, tuning_.redial_min << std::min(t.failures, kDoublingsMax));
  return d / 2 + static_cast<Nanos>(prng_.below(static_cast<std::uint64_t>(d / 2 + 1)));
}

void Dialler::schedule(const std::string& key, Target& t, Nanos delay) {
  if (!running_) return;
  env_.loop.cancel(t.timer);
  t.timer = env_.loop.at(env_.clock.now() + delay, [this, key] { dial(key); });
}

void Dialler::dial(const std::string& key) {
  auto it = targets_.find(key);
  if (it == targets_.end()) return;
  Target& t = it->second;
  t.timer = 0;
  if (!running_ || t.busy || !wanted(t)) return;
  if (!t.configured && env_.clock.now() - t.useful > kForgetAfter) {
    targets_.erase(it);
    return;
  }
  t.busy = true;
  std::weak_ptr<Dialler*> weak = self_;
  env_.transport.dial(t.url.at, tuning_.dial_timeout, [weak, key](auto connection) {
    auto self = weak.lock();
    if (!self || !(*self)->running_) return;
    if (connection) return (*self)->owner_.dialled(key, std::move(connection).value());
    (*self)->ended(key, connection.error().detail);
  });
}

void Dialler::failed(const std::string& key, Target& t, const std::string& why) {
  if (!why.empty() && why != t.last_why) {
    t.last_why = why;
    // A node that is not up yet is no news; one that does not want this node is.
    bool unwanted = why.starts_with("tls") || why.starts_with("refused by the other side");
    Level level = unwanted ? Level::kWarn : Level::kInfo;
    env_.log.write(level, "cluster: no link over route " + key + ": " + why + "; trying on");
  }
  if (!wanted(t)) return;
  ++t.failures;
  schedule(key, t, backoff(t));
}

}  // namespace weir::cluster
