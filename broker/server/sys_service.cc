#include "broker/server/sys_service.h"

#include <algorithm>

#include "broker/base/limits.h"
#include "broker/subject/subject.h"

namespace weir::server {

namespace {
constexpr Nanos kStatszInterval = 10 * kSecond;
constexpr Nanos kConnsInterval = 30 * kSecond;
constexpr std::size_t kPerTurn = 64;
const std::string kServer = "$SYS.REQ.SERVER.";
const std::string kAccount = "$SYS.REQ.ACCOUNT.";
}  // namespace

struct SysService::Inbox final : session::Listener {
  Inbox(SysService& s, Account& a) : service(s), account(a) {}
  void on_message(const session::Inbound& m) override {
    if (service.queue_.size() >= limits::kApiRequestsQueued) return;  // asked again by who still waits
    std::uint64_t cid = m.origin ? m.origin->id().v : 0;
    service.queue_.push_back(
        {&account, std::string(m.subject), std::string(m.reply), std::string(m.payload()), cid});
  }
  SysService& service;
  Account& account;
  session::Subscription sub;
};

SysService::SysService(NodeState& node) : n_(node), view_(node) {}

SysService::~SysService() {
  n_.env.loop.cancel(timer_);
  n_.env.loop.cancel(conns_timer_);
  for (auto& inbox : inboxes_) n_.router.remove(inbox->account, inbox->sub);
}

void SysService::subscribe(Account& account, std::string subject, bool told) {
  auto inbox = std::make_unique<Inbox>(*this, account);
  inbox->sub.subject = std::move(subject);
  inbox->sub.listener = inbox.get();
  inbox->sub.told = told;
  n_.router.add(account, inbox->sub);
  inboxes_.push_back(std::move(inbox));
}

void SysService::start() {
  for (Account& a : n_.accounts) {
    // Of a connection only its own node knows who it is.
    subscribe(a, "$SYS.REQ.USER.INFO", false);
    if (a.is_system) continue;
    subscribe(a, kServer + "PING.CONNZ", true);
    subscribe(a, kAccount + "PING.CONNZ", true);
    subscribe(a, kAccount + "PING.STATZ", true);
  }
  Account* system = n_.system_account();
  if (!system) return;
  subscribe(*system, kServer + "PING", true);
  subscribe(*system, kServer + "PING.*", true);
  subscribe(*system, kServer + n_.id + ".*", true);
  subscribe(*system, kAccount + "*.*", true);
  timer_ = n_.env.loop.at(n_.env.clock.now() + next_push_, [this] { push_statsz(); });
  conns_timer_ = n_.env.loop.at(n_.env.clock.now() + kConnsInterval, [this] { push_all_conns(); });
}

api::ServerIdentity SysService::identity() {
  api::ServerIdentity me = view_.identity();
  me.seq = ++seq_;
  return me;
}

bool SysService::run() {
  for (AccountId a : std::exchange(conns_changed_, {})) push_conns(n_.accounts[a.v]);
  for (std::size_t n = 0; n < kPerTurn && !queue_.empty(); ++n) {
    Request r = std::move(queue_.front());
    queue_.pop_front();
    if (!r.reply.empty()) handle(r);
  }
  return !queue_.empty();
}

void SysService::reply(const Request& r, std::string_view body) {
  n_.router.send(*r.account, r.reply, {}, body);
}

void SysService::handle(const Request& r) {
  if (r.subject == "$SYS.REQ.USER.INFO") return user_info(r);
  if (!r.account->is_system) return own_account(r, r.subject.substr(r.subject.rfind('.') + 1));
  std::string_view rest = r.subject;
  if (rest.starts_with(kServer)) {
    rest.remove_prefix(kServer.size());
    std::size_t dot = rest.find('.');
    bool ping = rest.substr(0, dot) == "PING";
    return answer(r, dot == std::string_view::npos ? "STATSZ" : rest.substr(dot + 1), ping);
  }
  // $SYS.REQ.ACCOUNT.<account or PING>.<verb>
  rest.remove_prefix(kAccount.size());
  std::string_view account = subject::token_at(rest, 0), verb = subject::token_at(rest, 1);
  if (account == "PING") return answer(r, verb == "STATZ" ? "ACCSTATZ" : verb, true);
  if (verb == "INFO") return account_info(r, account);
  if (!n_.find_account(account)) return;
  Request scoped = r;
  if (verb == "STATZ") {
    scoped.body = "{\"accounts\":[\"" + std::string(account) + "\"],\"include_unused\":true}";
    return answer(scoped, "ACCSTATZ", false);
  }
  if (verb == "JSZ")
    scoped.body = "{\"account\":\"" + std::string(account) + "\",\"accounts\":true,\"streams\":true}";
  if (verb == "CONNZ") scoped.body = "{\"acc\":\"" + std::string(account) + "\",\"auth\":true}";
  answer(scoped, verb, false);
}

template <class Decoded, class Encode>
void SysService::answer_with(const Request& r, Decoded decoded, bool ping, Encode&& encode) {
  api::ServerIdentity me = identity();
  if (!decoded) return reply(r, api::encode_sys_error(me, 400, decoded.error().detail));
  if (ping && !decoded->filter.accepts(me)) return;
  reply(r, encode(me, decoded->options));
}

void SysService::answer(const Request& r, std::string_view verb, bool ping) {
  auto wrap = [](auto make) {
    return [make](const api::ServerIdentity& me, const auto& options) {
      return api::encode_sys_reply(me, make(options));
    };
  };
  MonitorView& v = view_;
  if (verb == "STATSZ") {
    return answer_with(r, api::decode_sys_ping(r.body), ping,
                       [&](const auto& me, const auto&) { return api::encode_statsz(me, v.statsz()); });
  }
  if (verb == "IDZ") {
    return answer_with(r, api::decode_sys_ping(r.body), ping,
                       [&](const auto& me, const auto&) { return api::encode_idz(me); });
  }
  if (verb == "VARZ") {
    return answer_with(r, api::decode_sys_ping(r.body), ping,
                       wrap([&](const auto&) { return api::encode_varz(v.varz()); }));
  }
  if (verb == "CONNZ") {
    return answer_with(r, api::decode_sys_connz(r.body), ping,
                       wrap([&](const auto& o) { return api::encode_connz(v.connz(o)); }));
  }
  if (verb == "SUBSZ") {
    return answer_with(r, api::decode_sys_subsz(r.body), ping,
                       wrap([&](const auto& o) { return api::encode_subsz(v.subsz(o)); }));
  }
  if (verb == "JSZ") {
    auto decoded = api::decode_sys_jsz(r.body);
    if (decoded && decoded->options.leader_only && !v.meta_leader()) return;
    return answer_with(r, std::move(decoded), ping,
                       wrap([&](const auto& o) { return api::encode_jsz(v.jsz(o)); }));
  }
  if (verb == "HEALTHZ" || verb == "SAFETOSTOP") return health(r, verb == "SAFETOSTOP", ping);
  if (verb == "RAFTZ") {
    return answer_with(r, api::decode_sys_raftz(r.body), ping,
                       wrap([&](const auto& o) { return api::encode_raftz(v.raftz(o)); }));
  }
  if (verb == "GATEWAYZ" || verb == "LEAFZ") {
    auto encode = verb == "LEAFZ" ? api::encode_leafz : api::encode_gatewayz;
    return answer_with(r, api::decode_sys_ping(r.body), ping,
                       wrap([&](const auto&) { return encode(n_.id, n_.env.clock.wall()); }));
  }
  if (verb == "ACCSTATZ") {
    return answer_with(r, api::decode_sys_accstatz(r.body), ping,
                       wrap([&](const auto& o) { return api::encode_accstatz(v.accstatz(o)); }));
  }
  if (verb == "ACCOUNTZ") {
    auto decoded = api::decode_sys_accountz(r.body);
    const std::string* named =
        decoded && !decoded->options.account.empty() ? &decoded->options.account : nullptr;
    if (named && !n_.find_account(*named)) {
      api::ServerIdentity me = identity();
      if (ping && !decoded->filter.accepts(me)) return;
      return reply(r, api::encode_sys_error(me, 500, "Account " + *named + " does not exist"));
    }
    return answer_with(r, std::move(decoded), ping,
                       wrap([&](const auto& o) { return api::encode_accountz(v.accountz(o)); }));
  }
  if (verb == "ROUTEZ") {
    return answer_with(r, api::decode_sys_routez(r.body), ping,
                       wrap([&](const auto& o) { return api::encode_routez(v.routez(o)); }));
  }
  answer_internals(r, verb, ping);  // others get silence, as from an excluded server
}

bool SysService::answer_internals(const Request& r, std::string_view verb, bool ping) {
  if (verb == "IPQUEUESZ") {
    answer_with(r, api::decode_sys_ipqueuesz(r.body), ping, [&](const auto& me, const auto& o) {
      return api::encode_sys_reply(me, api::encode_ipqueuesz(view_.ipqueuesz(o, queue_.size())));
    });
    return true;
  }
  if (verb != "PROFILEZ") return false;
  answer_with(r, api::decode_sys_profilez(r.body), ping, [&](const auto& me, const auto& o) {
    std::string why = o.name.empty() ? "Profile name not specified"
                                     : "Profile \"" + o.name + "\" not found: use perf on the machine";
    return api::encode_sys_reply(me, api::encode_profilez(why));
  });
  return true;
}

void SysService::account_info(const Request& r, std::string_view account) {
  api::ServerIdentity me = identity();
  const Account* a = n_.find_account(account);
  if (!a)
    return reply(r, api::encode_sys_error(me, 500, "Account " + std::string(account) + " does not exist"));
  reply(r, api::encode_sys_reply(me, api::encode_account_detail(view_.account_detail(*a))));
}

void SysService::own_account(const Request& r, std::string_view verb) {
  const std::string& mine = r.account->name;
  if (verb == "CONNZ") {
    return answer_with(r, api::decode_sys_connz(r.body), true, [&](const auto& me, api::ConnzOptions o) {
      o.account = mine;
      return api::encode_sys_reply(me, api::encode_connz(view_.connz(o)));
    });
  }
  auto decoded = api::decode_sys_accstatz(r.body);
  bool all = decoded && decoded->options.include_unused;
  if (r.account->stats.connections == 0 && !all) return;
  answer_with(r, std::move(decoded), true, [&](const auto& me, api::AccountStatzOptions o) {
    o.accounts = {mine};
    return api::encode_sys_reply(me, api::encode_accstatz(view_.accstatz(o)));
  });
}

void SysService::health(const Request& r, bool safe_to_stop, bool ping) {
  api::ServerIdentity me = identity();
  auto decoded = api::decode_sys_healthz(r.body);
  if (!decoded) return reply(r, api::encode_sys_error(me, 400, decoded.error().detail));
  if (ping && !decoded->filter.accepts(me)) return;
  const api::HealthzOptions& o = decoded->options;
  if (!safe_to_stop && !o.safe_to_stop)
    return reply(r, api::encode_sys_reply(me, api::encode_healthz(view_.healthz(o))));
  view_.safe_to_stop(o, [this, r, alive = std::weak_ptr<int>(alive_)](const api::Healthz& h) {
    if (!alive.expired()) reply(r, api::encode_sys_reply(identity(), api::encode_healthz(h)));
  });
}

void SysService::user_info(const Request& r) {
  const session::Identity* who = n_.clients->identity_of(r.cid);
  if (!who) return;
  api::UserInfo u;
  u.user = u.user_name = who->user;
  u.account = u.account_name = who->account_name;
  reply(r, api::encode_sys_reply(identity(), api::encode_user_info(u)));
}

void SysService::push_statsz() {
  Account* system = n_.system_account();
  std::string subject = "$SYS.SERVER." + n_.id + ".STATSZ";
  if (system->sublist.has_interest(subject)) {
    n_.router.send(*system, subject, {}, api::encode_statsz(identity(), view_.statsz()));
  }
  // Fast at first, so that observers see a new server at once, then every ten seconds.
  next_push_ = std::min(next_push_ * 2, kStatszInterval);
  timer_ = n_.env.loop.at(n_.env.clock.now() + next_push_, [this] { push_statsz(); });
}

void SysService::push_conns(Account& a) {
  Account* system = n_.system_account();
  std::string subject = "$SYS.ACCOUNT." + a.name + ".SERVER.CONNS";
  std::string old_subject = "$SYS.SERVER.ACCOUNT." + a.name + ".CONNS";
  for (const std::string& s : {subject, old_subject}) {
    if (!system->sublist.has_interest(s)) continue;
    api::AccountStatzOptions o;
    o.accounts = {a.name};
    api::AccountConnsEvent e{identity(), view_.accstatz(o).accounts.front()};
    n_.router.send(*system, s, {},
                   std::string_view(api::encode_account_connections(n_.advisories->head(), e)));
  }
}

void SysService::push_all_conns() {
  for (Account& a : n_.accounts) {
    if (a.stats.connections > 0) push_conns(a);
  }
  conns_timer_ = n_.env.loop.at(n_.env.clock.now() + kConnsInterval, [this] { push_all_conns(); });
}

void SysService::announce(std::string_view what) {
  Account* system = n_.system_account();
  if (!system) return;
  std::string subject = "$SYS.SERVER." + n_.id + "." + std::string(what);
  n_.router.send(*system, subject, {}, api::encode_sys_reply(identity(), "{}"));
}

void SysService::connection(const ConnectionView& c, bool opened) {
  Account* system = n_.system_account();
  if (!system) return;
  if (Account* a = n_.find_account(c.account)) {
    if (conns_changed_.empty()) n_.env.loop.post([] {});
    conns_changed_.insert(a->id);
  }
  std::string subject = "$SYS.ACCOUNT." + c.account + (opened ? ".CONNECT" : ".DISCONNECT");
  if (!system->sublist.has_interest(subject)) return;
  api::ClientInfo who;
  who.start = c.start;
  who.host = c.remote.host;
  who.id = c.cid;
  who.account = c.account;
  who.user = c.user;
  who.name = c.options.name;
  who.lang = c.options.lang;
  who.version = c.options.version;
  who.rtt = c.rtt;
  who.server = n_.name;
  who.kind = "Client";
  who.client_type = "nats";
  if (!opened) who.stop = c.stop;
  auto head = n_.advisories->head();
  if (opened) {
    n_.router.send(*system, subject, {},
                   std::string_view(api::encode_client_connect(head, {identity(), who})));
    return;
  }
  auto count = [](std::uint64_t v) { return static_cast<std::int64_t>(v); };
  api::DisconnectEvent e{identity(), who, {}, {}, c.reason};
  e.sent = {count(c.stats.out_msgs), count(c.stats.out_bytes), {}};
  e.received = {count(c.stats.in_msgs), count(c.stats.in_bytes), {}};
  n_.router.send(*system, subject, {}, std::string_view(api::encode_client_disconnect(head, e)));
}

}  // namespace weir::server
