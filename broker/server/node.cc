#include "broker/server/node.h"

#include <algorithm>

#include "broker/auth/crypto.h"
#include "broker/base/text.h"
#include "broker/server/cluster.h"
#include "broker/server/monitor_view.h"
#include "broker/server/node_state.h"
#include "broker/server/sys_service.h"
#include "broker/server/version.h"

namespace weir::server {

namespace {
constexpr Nanos kHandOver = 150 * kMillisecond;
constexpr Nanos kLameDuckStep = 100 * kMillisecond;  // several clients at once if they are many
constexpr Nanos kLameDuckStepMax = kSecond;          // do not linger over few
}  // namespace

struct Node::Impl : NodeState {
  Impl(env::Env& e, config::Options o, const Tuning& t) : NodeState(e, std::move(o)), tuning(t) {
    Prng prng(env.random.next());
    id = make_id(prng, 'N');
    name = options.server_name.empty() ? id : options.server_name;
    start = env.clock.wall();
    config_digest = options.digest_text.empty() ? "" : auth::config_digest(options.digest_text);
  }
  ~Impl() {
    env.loop.set_end_of_turn([] {});
  }

  void make_accounts();
  Status open_jetstream();
  Status start_jetstream();
  Status join_cluster();
  cluster::NodeInfo self_info() const;
  Status listen();
  void end_of_turn();
  proto::ServerInfo info() const;
  void lame_duck_step();
  void finish_stop();

  const Tuning tuning;
  std::unique_ptr<SysService> sys;
  std::unique_ptr<Cluster> cluster;  // null without a cluster
  UniqueFunction<void(const Error&)> fatal;
  UniqueFunction<void()> lame_duck_done, stopped;
  env::TimerId stop_timer = 0;
  std::size_t lame_duck_per_step = 1;
  Nanos lame_duck_step_ns = kLameDuckStep;
  env::TimerId lame_duck_timer = 0;
};

void Node::Impl::make_accounts() {
  auth = std::make_unique<auth::AuthTable>(options);
  for (const auth::Account& from : auth->accounts()) {
    Account& a = accounts.emplace_back();
    a.id = from.id;
    a.name = from.name;
    a.is_system = from.is_system;
    a.limits = from.limits;
    a.jetstream = options.jetstream.enabled && from.jetstream && from.jetstream->enabled;
    if (from.jetstream) a.js_limits = *from.jetstream;
  }
}

Status Node::Impl::open_jetstream() {
  if (!options.jetstream.enabled) return ok();
  JetStream::Accounts access;
  access.find = [this](std::string_view n) { return find_account(n); };
  access.each = [this](const std::function<void(Account&)>& visit) {
    for (Account& a : accounts) visit(a);
  };
  jetstream = std::make_unique<JetStream>(env, options, tuning, router, *advisories, std::move(access));
  api = std::make_unique<ApiServer>(env, options, router, *jetstream);
  for (Account& a : accounts) {
    api->attach(a);
    if (!a.jetstream) continue;
    a.acks = &api->acks(a);
  }
  Status s = jetstream->open(name, id);
  if (!s) return s.error().within("Can't start JetStream");
  return ok();
}

Status Node::Impl::start_jetstream() {
  if (!jetstream) return ok();
  if (cluster) {
    api->join_cluster(*mesh);
    jetstream->on_born = [this](const std::string& cluster_id) {
      cluster->update_self([&](cluster::NodeInfo& self) { self.cluster_id = cluster_id; });
    };
  }
  Status s = jetstream->start(cluster.get(), cluster.get());
  if (!s) return s.error().within("Can't start JetStream");
  return ok();
}

// What the other nodes are told of this one.
cluster::NodeInfo Node::Impl::self_info() const {
  cluster::NodeInfo self;
  self.id = jetstream ? jetstream->self() : node_of(NodeId(env.random.next() | (std::uint64_t{1} << 63)));
  self.server_id = id;
  self.name = name;
  self.version = kWeirVersion;
  self.jetstream = jetstream != nullptr;
  self.domain = options.jetstream.domain;
  self.tags = options.server_tags;
  if (jetstream) {
    self.cluster_id = jetstream->cluster_id();
    self.boot = jetstream->boot();
  }
  return self;
}

Status Node::Impl::join_cluster() {
  if (jetstream && !jetstream->ready()) {
    mesh->hold();
    jetstream->on_ready = [this] { mesh->release(); };
  }
  Status s = cluster->bind();
  if (!s) return s;
  auto urls = own_client_urls(options, clients->endpoint(), env.transport);
  cluster->update_self([&](cluster::NodeInfo& self) {
    self.client_urls = urls;
    if (auto at = mesh->endpoint()) self.route_url = own_route_url(options, *at);
  });
  if (!options.cluster.no_advertise) connect_urls.enable(urls);
  return ok();
}

proto::ServerInfo Node::Impl::info() const {
  proto::ServerInfo i;
  i.server_id = id;
  i.server_name = name;
  i.version = kCompatVersion;
  i.weir = kWeirVersion;
  i.go = "c++20";
  i.host = options.host;
  if (auto at = clients->endpoint()) i.port = at->port;
  i.headers = !options.no_header_support;
  i.max_payload = static_cast<std::size_t>(options.max_payload);
  i.jetstream = jetstream != nullptr;
  i.domain = options.jetstream.domain;
  i.lame_duck = lame_duck;
  if (cluster) {
    i.cluster = options.cluster.name;
    i.connect_urls = connect_urls.list(lame_duck);
    if (auto at = clients->endpoint(); at && !options.client_advertise.empty()) {
      env::Endpoint told = advertised_client(options, at->port);
      i.host = told.host;
      i.port = told.port;
    }
  }
  return i;
}

Status Node::Impl::listen() {
  Clients::Hooks hooks;
  hooks.account = [this](AccountId a) -> Account& { return accounts[a.v]; };
  hooks.info = [this] { return info(); };
  hooks.event = [this](const ConnectionView& c, bool opened) {
    if (!stopping) sys->connection(c, opened);
  };
  clients = std::make_unique<Clients>(env, options, *auth, router, std::move(hooks));
  sys = std::make_unique<SysService>(*this);
  sys->start();
  if (options.dont_listen) return ok();
  RETURN_IF_ERROR(clients->open_tls());
  int port = options.port < 0 ? 0 : options.port;
  env::Endpoint at{options.host, static_cast<std::uint16_t>(port)};
  Status s = clients->listen(at);
  if (!s)
    return Error(s.error().code, "Error listening on port: " + env::to_string(at) + ", \"listen tcp " +
                                     env::to_string(at) + ": " + s.error().detail + "\"");
  return ok();
}

void Node::Impl::end_of_turn() {
  bool more = sys->run();
  if (jetstream) {
    if (jetstream->ready()) more = api->run() || more;
    jetstream->end_of_turn();
    if (jetstream->failed() && fatal) {
      std::exchange(fatal,
                    {})(Error(Code::kIo, "the journal's disk failed; nothing more can be acknowledged"));
    }
  }
  if (cluster && cluster->take_info_changed()) clients->broadcast_info();
  if (cluster) cluster->tell_watchers();
  clients->flush();
  if (cluster) cluster->flush();
  if (more) env.loop.post([] {});
}

void Node::Impl::lame_duck_step() {
  if (clients->close_some(lame_duck_per_step, session::CloseReason::kServerShutdown) == 0) {
    return std::exchange(lame_duck_done, {})();
  }
  lame_duck_timer = env.loop.at(env.clock.now() + lame_duck_step_ns, [this] { lame_duck_step(); });
}

Node::Node(env::Env& env, config::Options options, const Tuning& tuning)
    : impl_(std::make_unique<Impl>(env, std::move(options), tuning)) {}

Node::~Node() {
  Impl& n = *impl_;
  n.env.loop.cancel(n.lame_duck_timer);
  n.env.loop.cancel(n.stop_timer);
  // Connections first: their subscriptions point into accounts; then what listens in accounts.
  n.clients.reset();
  n.sys.reset();
  n.jetstream.reset();
  n.api.reset();
  n.interest.reset();
  n.mesh.reset();
}

Status Node::start() {
  Impl& n = *impl_;
  n.advisories = std::make_unique<Advisories>(n.env, n.router, n.options.jetstream.domain);
  n.make_accounts();
  n.advisories->set_system(n.system_account());
  RETURN_IF_ERROR(n.open_jetstream());
  if (n.options.cluster.present) {
    n.cluster = std::make_unique<Cluster>(n);
    n.cluster->make(n.self_info());
  }
  RETURN_IF_ERROR(n.start_jetstream());
  RETURN_IF_ERROR(n.listen());
  if (n.cluster) RETURN_IF_ERROR(n.join_cluster());
  n.env.loop.set_end_of_turn([&n] { n.end_of_turn(); });
  n.env.loop.post([] {});  // what recovery left to do
  return ok();
}

void Node::stop(UniqueFunction<void()> done) {
  Impl& n = *impl_;
  if (n.stopping) return;
  n.stopping = true;
  n.clients->stop_accepting();
  n.sys->announce("SHUTDOWN");
  n.stopped = std::move(done);
  if (!n.jetstream || !n.cluster) return n.finish_stop();
  // Who takes over needs this node for a moment; without it the others would find out by its silence.
  n.jetstream->hand_over();
  n.stop_timer = n.env.loop.at(n.env.clock.now() + kHandOver, [&n] { n.finish_stop(); });
}

void Node::Impl::finish_stop() {
  if (jetstream) jetstream->shutting_down();
  if (cluster) cluster->going();
  clients->close_all(session::CloseReason::kServerShutdown);
  if (!jetstream) return env.loop.post(std::move(stopped));
  jetstream->drain(std::move(stopped));
}

void Node::lame_duck(UniqueFunction<void()> done) {
  Impl& n = *impl_;
  if (n.lame_duck || n.stopping) return;
  n.lame_duck = true;
  n.clients->stop_accepting();
  n.sys->announce("LAMEDUCK");
  n.clients->broadcast_info();
  if (n.cluster) n.cluster->update_self([](cluster::NodeInfo& self) { self.lame_duck = true; });
  if (n.jetstream) n.jetstream->hand_over();
  n.lame_duck_done = std::move(done);
  Nanos spread =
      std::max<Nanos>(n.options.lame_duck_duration - n.options.lame_duck_grace_period, kLameDuckStep);
  auto count = static_cast<Nanos>(std::max<std::size_t>(n.clients->count(), 1));
  n.lame_duck_step_ns = std::clamp(spread / count, kLameDuckStep, kLameDuckStepMax);
  Nanos steps = std::max<Nanos>(spread / n.lame_duck_step_ns, 1);
  n.lame_duck_per_step = static_cast<std::size_t>((count + steps - 1) / steps);
  Nanos grace = n.clients->count() == 0 ? 0 : n.options.lame_duck_grace_period;
  n.lame_duck_timer = n.env.loop.at(n.env.clock.now() + grace, [&n] { n.lame_duck_step(); });
}

void Node::on_fatal(UniqueFunction<void(const Error&)> handler) {
  impl_->fatal = std::move(handler);
}

std::optional<env::Endpoint> Node::client_endpoint() const {
  return impl_->clients ? impl_->clients->endpoint() : std::nullopt;
}

std::optional<env::Endpoint> Node::cluster_endpoint() const {
  return impl_->mesh ? impl_->mesh->endpoint() : std::nullopt;
}

void Node::set_monitor_endpoint(const env::Endpoint& at) {
  impl_->monitor_endpoint = at;
}
const std::string& Node::id() const {
  return impl_->id;
}
const std::string& Node::name() const {
  return impl_->name;
}
JetStream* Node::jetstream() {
  return impl_->jetstream.get();
}

std::string Node::store_directory() const {
  return impl_->jetstream ? impl_->jetstream->directory() : "";
}

namespace {

MonitorReply bad_request(const Error& e) {
  return {400, "text/plain", e.detail + "\n"};
}

template <class Options, class Encode>
MonitorReply page(Result<Options> options, Encode&& encode) {
  if (!options) return bad_request(options.error());
  return {200, "application/json", encode(*options)};
}

}  // namespace

namespace {
/// The code is that of the HTTP reply; only $SYS replies have it in the text.
MonitorReply health_reply(api::Healthz h) {
  int code = std::exchange(h.status_code, 0);
  return {code ? code : 200, "application/json", api::encode_healthz(h)};
}
}  // namespace

void Node::monitor(std::string_view path, std::string_view query, std::function<void(MonitorReply)> done) {
  auto o = path == "/healthz" ? api::parse_healthz_query(query) : api::HealthzOptions();
  if (!o || !o->safe_to_stop) return done(monitor(path, query));
  ++impl_->http_requests[std::string(path)];
  MonitorView(*impl_).safe_to_stop(
      *o, [done = std::move(done)](const api::Healthz& h) { done(health_reply(h)); });
}

MonitorReply Node::monitor(std::string_view path, std::string_view query) {
  Impl& n = *impl_;
  MonitorView v(n);
  if (path.starts_with("/") && path.size() > 1) ++n.http_requests[std::string(path)];
  if (path == "/varz") return {200, "application/json", api::encode_varz(v.varz())};
  if (path == "/routez") {
    return page(api::parse_routez_query(query),
                [&](const auto& o) { return api::encode_routez(v.routez(o)); });
  }
  if (path == "/connz")
    return page(api::parse_connz_query(query), [&](const auto& o) { return api::encode_connz(v.connz(o)); });
  if (path == "/subsz" || path == "/subscriptionsz") {
    return page(api::parse_subsz_query(query), [&](const auto& o) { return api::encode_subsz(v.subsz(o)); });
  }
  if (path == "/accountz") {
    auto o = api::parse_accountz_query(query);
    if (o && !o->account.empty() && !n.find_account(o->account))
      return {400, "text/plain", "Account " + o->account + " does not exist"};
    return page(std::move(o), [&](const auto& with) { return api::encode_accountz(v.accountz(with)); });
  }
  if (path == "/ipqueuesz") {
    return page(api::parse_ipqueuesz_query(query),
                [&](const auto& o) { return api::encode_ipqueuesz(v.ipqueuesz(o, n.sys->waiting())); });
  }
  if (path == "/accstatz") {
    return page(api::parse_accstatz_query(query),
                [&](const auto& o) { return api::encode_accstatz(v.accstatz(o)); });
  }
  if (path == "/jsz") {
    auto o = api::parse_jsz_query(query);
    if (o && o->leader_only && !v.meta_leader()) return {400, "text/plain", "filtered response: not leader"};
    return page(std::move(o), [&](const auto& with) { return api::encode_jsz(v.jsz(with)); });
  }
  if (path == "/raftz")
    return page(api::parse_raftz_query(query), [&](const auto& o) { return api::encode_raftz(v.raftz(o)); });
  if (path == "/gatewayz") return {200, "application/json", api::encode_gatewayz(n.id, n.env.clock.wall())};
  if (path == "/leafz") return {200, "application/json", api::encode_leafz(n.id, n.env.clock.wall())};
  if (path == "/healthz") {
    auto o = api::parse_healthz_query(query);
    if (!o) return bad_request(o.error());
    return health_reply(v.healthz(*o));
  }
  n.http_requests.erase(std::string(path));  // only pages that exist are counted
  return {404, "text/plain", "404 page not found\n"};
}

}  // namespace weir::server
