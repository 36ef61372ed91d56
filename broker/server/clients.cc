#include "broker/server/clients.h"

#include <algorithm>

#include "broker/api/connect_json.h"
#include "broker/base/text.h"
#include "broker/server/client_connection.h"

namespace weir::server {

using session::ClientSession;
using session::CloseReason;

session::SessionLimits session_limits(const config::Options& o) {
  session::SessionLimits l;
  l.max_control_line = static_cast<std::size_t>(o.max_control_line);
  l.max_payload = static_cast<std::size_t>(o.max_payload);
  l.max_pending = static_cast<std::size_t>(o.max_pending);
  l.max_subscriptions = static_cast<std::size_t>(std::max<std::int64_t>(o.max_subscriptions, 0));
  l.max_sub_tokens = o.max_sub_tokens;
  l.headers = !o.no_header_support;
  l.ping_interval = o.ping_interval;
  l.ping_max = o.ping_max;
  l.trace = o.trace;
  l.max_traced_msg_len = static_cast<std::size_t>(std::max(o.max_traced_msg_len, 0));
  return l;
}

namespace {
constexpr Nanos kDefaultAuthTimeout = 2 * kSecond;
// A publisher that a slow peer holds back is looked at again after kHoldStep, and goes on after kHoldMax
// whatever the peer does: one node that hangs must not stop the clients of all others.
constexpr Nanos kHoldStep = 5 * kMillisecond;
constexpr Nanos kHoldMax = kSecond;

bool is_slow(CloseReason r) {
  return r == CloseReason::kSlowConsumerPendingBytes || r == CloseReason::kSlowConsumerWriteDeadline;
}
}  // namespace

Clients::Clients(env::Env& env, const config::Options& options, const auth::AuthTable& auth, Router& router,
                 Hooks hooks)
    : env_(env), options_(options), auth_(auth), router_(router), hooks_(std::move(hooks)) {}

Clients::~Clients() {
  env_.loop.cancel(held_timer_);
  for (auto& [id, c] : open_) {
    env_.loop.cancel(c->timer);
    env_.loop.cancel(c->opening_timer);
    c->session.drop_subscriptions();
  }
}

Status Clients::listen(const env::Endpoint& at) {
  ASSIGN_OR_RETURN(listener_, env_.transport.listen(
                                  at, [this](std::unique_ptr<env::Connection> c) { accept(std::move(c)); }));
  endpoint_ = listener_->local();
  return ok();
}

void Clients::accept(std::unique_ptr<env::Connection> connection) {
  if (tls_ && !within_rate()) return;
  ClientId id(++next_id_);
  ++totals_.total_connections;
  auto owned = std::make_unique<Connection>(*this, id, std::move(connection));
  Connection& c = *owned;
  c.start = env_.clock.wall();
  open_.emplace(id, std::move(owned));
  if (tls_) {
    open_secure(c);
  } else {
    greet(c);
  }
  c.io->start(&c);
  auto limit = static_cast<std::size_t>(std::max<std::int64_t>(options_.max_connections, 0));
  if (open_.size() > limit) {
    return c.session.close(CloseReason::kMaxConnectionsExceeded, "maximum connections exceeded");
  }
  if (!auth_.auth_required()) {
    auto identity = authenticate(c.session, {});
    if (identity) c.session.set_identity(std::move(*identity));
  }
  Mono now = env_.clock.now();
  c.auth_deadline = now + auth_timeout();
  arm(c, std::min(c.session.tick(now), auth_.auth_required() ? c.auth_deadline : c.session.tick(now)));
}

Nanos Clients::auth_timeout() const {
  if (options_.authorization.timeout > 0) return options_.authorization.timeout;
  return tls_ ? options_.tls.timeout + kSecond : kDefaultAuthTimeout;
}

void Clients::greet(Connection& c) {
  proto::ServerInfo info = hooks_.info();
  info.client_id = c.session.id().v;
  info.client_ip = c.io->remote().host;
  info.auth_required = auth_.auth_required();
  info.tls_required = tls_ && !options_.allow_non_tls;
  info.tls_available = tls_ && options_.allow_non_tls;
  info.tls_verify = tls_ && options_.tls.verify;
  c.session.send_info(api::encode_info(info));
}

void Clients::broadcast_info() {
  for (auto& [id, c] : open_) {
    if (c->session.connected() && c->session.options().protocol >= 1) greet(*c);
  }
}

void Clients::arm(Connection& c, Mono at) {
  env_.loop.cancel(c.timer);
  c.timer = env_.loop.at(at, [this, id = c.session.id()] { on_timer(id); });
}

void Clients::on_timer(ClientId id) {
  auto it = open_.find(id);
  if (it == open_.end()) return;
  Connection& c = *it->second;
  Mono now = env_.clock.now();
  if (!c.session.authenticated() && now >= c.auth_deadline) {
    ++totals_.auth_errors;
    return c.session.close(CloseReason::kAuthenticationTimeout, "Authentication Timeout");
  }
  if (c.stalled_since.ns && c.written - c.io->queued_bytes() >= c.stall_goal) {
    c.stalled_since = now;  // slow, but it reads
    c.stall_goal = c.written;
  }
  if (c.stalled_since.ns && now - c.stalled_since >= options_.write_deadline) {
    return c.session.close(CloseReason::kSlowConsumerWriteDeadline);
  }
  Mono next = c.session.tick(now);
  if (!c.session.authenticated()) next = std::min(next, c.auth_deadline);
  if (c.stalled_since.ns) next = std::min(next, c.stalled_since + options_.write_deadline);
  arm(c, std::max(next, now + kMillisecond));
}

Result<session::Identity> Clients::authenticate(ClientSession& s, const proto::ConnectOptions& o) {
  auth::Credentials credentials;
  credentials.user = o.user;
  credentials.password = o.pass;
  credentials.token = o.auth_token;
  auth::CertificateNames names;
  if (tls_ && options_.tls.verify_and_map) {
    auto it = open_.find(s.id());
    if (it != open_.end()) names = certificate_names(*it->second);
    credentials.certificate = &names;
  }
  auto found = auth_.authenticate(credentials);
  if (!found) {
    ++totals_.auth_errors;
    return found.error();
  }
  Account& account = hooks_.account(found->account);
  bool again = s.authenticated();
  if (again) --hooks_.account(s.identity().account).stats.connections;
  auto limit = account.limits.max_connections;
  if (limit >= 0 && account.stats.connections >= static_cast<std::uint64_t>(limit)) {
    if (again) ++hooks_.account(s.identity().account).stats.connections;
    return Error(Code::kLimit, "account " + account.name + " is full");
  }
  dirty(s);  // the connect event is due
  ++account.stats.connections;
  if (!again) ++account.stats.total_connections;
  session::Identity identity;
  identity.account = found->account;
  identity.account_name = account.name;
  identity.user = found->user;
  identity.permissions = found->permissions;
  auto own = [](std::int64_t v) {
    return v < 0 ? std::nullopt : std::optional<std::size_t>(static_cast<std::size_t>(v));
  };
  identity.max_payload = own(account.limits.max_payload);
  identity.max_subscriptions = own(account.limits.max_subscriptions);
  return identity;
}

void Clients::publish(ClientSession& s, const session::Inbound& message) {
  router_.route(hooks_.account(s.identity().account), message);
  if (router_.take_crowded()) hold_back(s.id());
}

void Clients::hold_back(ClientId id) {
  auto it = open_.find(id);
  if (it == open_.end() || it->second->held_since.ns) return;
  Connection& c = *it->second;
  c.held_since = env_.clock.now();
  ++c.stalls;
  ++totals_.stalls;
  c.io->pause_reading(true);
  held_.push_back(id);
  if (held_.size() > 1) return;
  held_timer_ = env_.loop.at(c.held_since + kHoldStep, [this] { release_held(); });
}

void Clients::release_held() {
  Mono now = env_.clock.now();
  bool crowded = router_.peers_crowded();
  std::erase_if(held_, [&](ClientId id) {
    auto it = open_.find(id);
    if (it == open_.end()) return true;
    Connection& c = *it->second;
    if (crowded && now - c.held_since < kHoldMax) return false;
    c.held_since = Mono{};
    if (!c.session.closing() && !c.peer_gone) c.io->pause_reading(false);
    return true;
  });
  if (!held_.empty()) held_timer_ = env_.loop.at(now + kHoldStep, [this] { release_held(); });
}

void Clients::subscribed(ClientSession& s, session::Subscription& sub) {
  ++subscription_count_;
  router_.add(hooks_.account(s.identity().account), sub);
}

void Clients::unsubscribing(ClientSession& s, session::Subscription& sub) {
  --subscription_count_;
  router_.remove(hooks_.account(s.identity().account), sub);
}

void Clients::exhausted(ClientSession&, session::Subscription& sub) {
  router_.note_exhausted(sub);
}

void Clients::trace(ClientSession& s, std::string_view line) {
  auto it = open_.find(s.id());
  if (it == open_.end()) return;
  env_.log.write(Level::kTrace, env::to_string(it->second->io->remote()) +
                                    " - cid:" + std::to_string(s.id().v) + " - " + std::string(line));
}

void Clients::dirty(ClientSession& s) {
  auto it = open_.find(s.id());
  if (it == open_.end() || it->second->is_dirty) return;
  it->second->is_dirty = true;
  dirty_.push_back(it->second.get());
}

void Clients::flush() {
  // Index loop: finishing a connection may make others dirty.
  for (std::size_t i = 0; i < dirty_.size(); ++i) {
    Connection& c = *dirty_[i];
    c.is_dirty = false;
    if (c.finished) continue;
    if (c.session.connected() && !c.announced) {
      c.announced = true;
      if (hooks_.event) hooks_.event(view(c, false), true);
    }
    c.session.flushed();
    send_out(c);
    if (auto reason = c.session.closing()) finish(c, *reason);
  }
  dirty_.clear();
  graveyard_.clear();
}

void Clients::send_out(Connection& c) {
  if (c.peer_gone || c.session.outbox().empty()) return;
  c.written += c.session.outbox().pending_bytes();
  c.io->write(c.session.outbox().take());
  std::size_t queued = c.io->queued_bytes();
  c.session.set_connection_pending(queued);
  if (queued && c.stalled_since.ns == 0) {
    c.stalled_since = env_.clock.now();
    c.stall_goal = c.written;
    arm(c, c.stalled_since + options_.write_deadline);
  }
}

void Clients::finish(Connection& c, CloseReason reason) {
  if (c.finished) return;
  c.finished = true;
  if (auto own = c.session.closing()) reason = *own;
  env_.loop.cancel(c.timer);
  env_.loop.cancel(c.opening_timer);
  ConnectionView v = view(c, true);
  v.stop = env_.clock.wall();
  v.reason = to_text(reason);
  const auto& st = c.session.stats();
  totals_.in_msgs += st.in_msgs;
  totals_.in_bytes += st.in_bytes;
  totals_.out_msgs += st.out_msgs;
  totals_.out_bytes += st.out_bytes;
  totals_.slow_consumers += is_slow(reason);
  if (is_slow(reason)) {
    env_.log.warn(env::to_string(v.remote) + " - cid:" + std::to_string(v.cid) +
                  " - Slow Consumer Detected: " + v.reason + ", account " + v.account + ", name \"" +
                  v.options.name + "\", " + std::to_string(v.pending_bytes) + " bytes pending");
  }
  totals_.stale_connections += reason == CloseReason::kStaleConnection;
  c.session.drop_subscriptions();
  if (c.session.authenticated()) {
    Account& account = hooks_.account(c.session.identity().account);
    --account.stats.connections;
    account.stats.slow_consumers += is_slow(reason);
  }
  if (!c.peer_gone) c.io->close();
  if (hooks_.event && c.session.authenticated()) hooks_.event(v, false);
  closed_.push_back(std::move(v));
  while (closed_.size() > static_cast<std::size_t>(options_.max_closed_clients)) closed_.pop_front();
  auto it = open_.find(c.session.id());
  graveyard_.push_back(std::move(it->second));
  open_.erase(it);
}

void Clients::close_all(CloseReason reason) {
  for (auto& [id, c] : open_) c->session.close(reason);
  flush();
}

std::size_t Clients::close_some(std::size_t n, CloseReason reason) {
  for (auto& [id, c] : open_) {
    if (n-- == 0) break;
    c->session.close(reason);
  }
  flush();
  return open_.size();
}

ConnectionView Clients::view(const Connection& c, bool with_subscriptions) const {
  ConnectionView v;
  v.cid = c.session.id().v;
  v.remote = c.io->remote();
  v.start = c.start;
  v.stats = c.session.stats();
  v.last_activity = v.stats.last_activity_wall.ns ? v.stats.last_activity_wall : c.start;
  v.rtt = v.stats.rtt;
  v.pending_bytes = c.session.pending_bytes();
  v.stalls = c.stalls;
  v.options = c.session.options();
  v.tls = c.io->tls();
  v.tls_first = c.tls_first;
  if (c.session.authenticated()) {
    v.account = c.session.identity().account_name;
    v.user = c.session.identity().user;
  }
  if (with_subscriptions) {
    for (const auto& [sid, sub] : c.session.subscriptions()) v.subscriptions.push_back(*sub);
  }
  return v;
}

std::vector<ConnectionView> Clients::open_views(bool with_subscriptions) const {
  std::vector<ConnectionView> out;
  for (const auto& [id, c] : open_) out.push_back(view(*c, with_subscriptions));
  return out;
}

ClientTotals Clients::live_totals() const {
  ClientTotals t = totals_;
  for (const auto& [id, c] : open_) {
    const auto& st = c->session.stats();
    t.in_msgs += st.in_msgs;
    t.in_bytes += st.in_bytes;
    t.out_msgs += st.out_msgs;
    t.out_bytes += st.out_bytes;
  }
  return t;
}

const session::Identity* Clients::identity_of(std::uint64_t cid) const {
  auto it = open_.find(ClientId(cid));
  return it != open_.end() && it->second->session.authenticated() ? &it->second->session.identity() : nullptr;
}

}  // namespace weir::server
