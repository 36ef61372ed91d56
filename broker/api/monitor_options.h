// broker/api/monitor_options.h - what a caller of a monitoring page may ask for.
//
// Room:    pure. Two spellings lead to the same structs: JSON bodies of $SYS requests and the query
//          of an HTTP URL.
// Errors:  $SYS: a text for the reply's error (code 400); unknown fields are skipped, an empty body
//          means no options. HTTP: a text for status 400; unknown keys are skipped.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "broker/api/monitor.h"
#include "broker/base/result.h"

namespace weir::api {

/// Which servers should answer a $SYS.REQ.SERVER.PING; the others stay silent.
struct ServerFilter {
  std::string server_name, cluster, host, domain;
  bool exact_match = false;  // else "contains"
  std::vector<std::string> tags;
  bool accepts(const ServerIdentity& server) const;
};

enum class ConnSort : std::uint8_t {
  kCid,
  kStart,
  kSubs,
  kPending,
  kMsgsTo,
  kMsgsFrom,
  kBytesTo,
  kBytesFrom,
  kLast,
  kIdle,
  kUptime,
  kStop,
  kReason,
  kRtt,
};
enum class ConnState : std::uint8_t { kOpen, kClosed, kAll };

struct ConnzOptions {
  ConnSort sort = ConnSort::kCid;
  bool auth = false;  // show users and accounts
  bool subscriptions = false, subscriptions_detail = false;
  std::int64_t offset = 0, limit = 1024;
  std::uint64_t cid = 0;  // 0 = all
  ConnState state = ConnState::kOpen;
  std::string user, account, filter_subject;  // user needs auth; filter_subject needs account
};
struct SubszOptions {
  bool subscriptions = false;
  std::int64_t offset = 0, limit = 1024;
  std::string account, test;  // test: only subscriptions that match this subject
};
struct JszOptions {
  std::string account;
  bool accounts = false, streams = false, consumers = false, direct_consumers = false;
  bool config = false, leader_only = false, stream_leader_only = false, raft = false;
  std::int64_t offset = 0, limit = 1024;  // of accounts
};
struct HealthzOptions {
  bool js_enabled_only = false;  // also the older spelling js-enabled
  bool js_server_only = false, js_meta_only = false;
  bool safe_to_stop = false;  // ours: may this node be stopped now
  std::string account, stream, consumer;
  bool details = false;
};
struct AccountStatzOptions {
  std::vector<std::string> accounts;
  bool include_unused = false;
};
struct RaftzOptions {
  std::string account, group;
};
struct RoutezOptions {
  bool subscriptions = false, subscriptions_detail = false;
};
struct AccountzOptions {
  std::string account;
};
struct IpqueueszOptions {
  bool all = false;    // empty queues too
  std::string filter;  // part of their names
};
struct ProfilezOptions {
  std::string name;
};

template <class Options>
struct SysRequest {
  ServerFilter filter;
  Options options;
};
struct NoOptions {};

Result<SysRequest<NoOptions>> decode_sys_ping(std::string_view body);
Result<SysRequest<ConnzOptions>> decode_sys_connz(std::string_view body);
Result<SysRequest<SubszOptions>> decode_sys_subsz(std::string_view body);
Result<SysRequest<JszOptions>> decode_sys_jsz(std::string_view body);
Result<SysRequest<HealthzOptions>> decode_sys_healthz(std::string_view body);
Result<SysRequest<AccountStatzOptions>> decode_sys_accstatz(std::string_view body);
Result<SysRequest<RaftzOptions>> decode_sys_raftz(std::string_view body);
Result<SysRequest<RoutezOptions>> decode_sys_routez(std::string_view body);
Result<SysRequest<AccountzOptions>> decode_sys_accountz(std::string_view body);
Result<SysRequest<IpqueueszOptions>> decode_sys_ipqueuesz(std::string_view body);
Result<SysRequest<ProfilezOptions>> decode_sys_profilez(std::string_view body);

/// `query` is what follows the '?' of the URL, still percent-encoded; "" = no options.
Result<ConnzOptions> parse_connz_query(std::string_view query);
Result<SubszOptions> parse_subsz_query(std::string_view query);
Result<JszOptions> parse_jsz_query(std::string_view query);
Result<HealthzOptions> parse_healthz_query(std::string_view query);
Result<AccountStatzOptions> parse_accstatz_query(std::string_view query);
Result<RaftzOptions> parse_raftz_query(std::string_view query);
Result<RoutezOptions> parse_routez_query(std::string_view query);
Result<AccountzOptions> parse_accountz_query(std::string_view query);
Result<IpqueueszOptions> parse_ipqueuesz_query(std::string_view query);

}  // namespace weir::api
