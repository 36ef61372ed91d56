// Accounts in the monitoring pages, and what waits in this server's queues.
#include <algorithm>

#include "broker/server/api_server.h"
#include "broker/server/monitor_view.h"

namespace weir::server {

namespace {
std::int64_t i64(std::uint64_t v) {
  return static_cast<std::int64_t>(v);
}
}  // namespace

api::Accountz MonitorView::accountz(const api::AccountzOptions& o) const {
  api::Accountz z;
  z.server_id = n_.id;
  z.now = n_.env.clock.wall();
  if (Account* sys = n_.system_account()) z.system_account = sys->name;
  if (const Account* named = n_.find_account(o.account)) {
    z.detail = account_detail(*named);
  } else {
    for (const Account& a : n_.accounts) z.accounts.push_back(a.name);
  }
  return z;
}

api::AccountzDetail MonitorView::account_detail(const Account& a) const {
  api::AccountzDetail i;
  i.name = a.name;
  i.update_time = n_.start;
  i.is_system = a.is_system;
  i.jetstream = a.jetstream;
  i.clients = i64(a.stats.connections);
  api::SubszOptions o;
  o.account = a.name;
  i.sublist = subsz(o);
  return i;
}

api::AccountStatz MonitorView::accstatz(const api::AccountStatzOptions& o) const {
  api::AccountStatz z;
  z.server_id = n_.id;
  z.now = n_.env.clock.wall();
  for (const Account& a : n_.accounts) {
    bool named = std::find(o.accounts.begin(), o.accounts.end(), a.name) != o.accounts.end();
    if (!o.accounts.empty() && !named) continue;
    if (o.accounts.empty() && !o.include_unused && a.stats.connections == 0) continue;
    api::AccountStat s;
    s.account = s.name = a.name;
    s.conns = i64(a.stats.connections);
    s.total_conns = s.conns;
    s.num_subscriptions = static_cast<std::uint32_t>(a.sublist.size());
    s.sent = {i64(a.stats.out_msgs), i64(a.stats.out_bytes), {}};
    s.received = {i64(a.stats.in_msgs), i64(a.stats.in_bytes), {}};
    s.slow_consumers = i64(a.stats.slow_consumers);
    z.accounts.push_back(std::move(s));
  }
  return z;
}

api::Ipqueuesz MonitorView::ipqueuesz(const api::IpqueueszOptions& o, std::size_t system_waiting) const {
  api::Ipqueuesz all;
  if (n_.api) all["JetStream API queue"] = {i64(n_.api->waiting()), 0};
  all["System recvQ"] = {i64(system_waiting), 0};
  std::erase_if(all, [&](const auto& q) {
    bool idle = q.second.pending == 0 && q.second.in_progress == 0;
    return (idle && !o.all) || q.first.find(o.filter) == std::string::npos;
  });
  return all;
}

}  // namespace weir::server
