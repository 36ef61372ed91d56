#include "broker/api/monitor_options.h"

#include <algorithm>
#include <map>

#include "broker/api/json_reader.h"
#include "broker/base/text.h"

namespace weir::api {
namespace {

constexpr EnumText<ConnSort> kSorts[] = {
    {"cid", ConnSort::kCid},          {"start", ConnSort::kStart},
    {"subs", ConnSort::kSubs},        {"pending", ConnSort::kPending},
    {"msgs_to", ConnSort::kMsgsTo},   {"msgs_from", ConnSort::kMsgsFrom},
    {"bytes_to", ConnSort::kBytesTo}, {"bytes_from", ConnSort::kBytesFrom},
    {"last", ConnSort::kLast},        {"idle", ConnSort::kIdle},
    {"uptime", ConnSort::kUptime},    {"stop", ConnSort::kStop},
    {"reason", ConnSort::kReason},    {"rtt", ConnSort::kRtt},
};

constexpr std::int64_t kLimitDefault = 1024;

Error invalid(std::string text) {
  return {Code::kInvalid, std::move(text)};
}

Result<ConnSort> sort_of(const std::string& text) {
  if (text.empty()) return ConnSort::kCid;
  for (const auto& s : kSorts) {
    if (s.text == text) return s.value;
  }
  return invalid("invalid sorting option: " + ObjectReader::clip(text));
}

/// Negative offsets are 0; a missing limit is the default.
template <class Options>
void tidy_paging(Options& o) {
  o.offset = std::max<std::int64_t>(o.offset, 0);
  if (o.limit <= 0) o.limit = kLimitDefault;
}

// ---- JSON bodies -------------------------------------------------------------------------------

void read_filter(ObjectReader& r, ServerFilter& f) {
  r.field("server_name", f.server_name);
  r.field("cluster", f.cluster);
  r.field("host", f.host);
  r.field("exact_match", f.exact_match);
  r.field("tags", f.tags);
  r.field("domain", f.domain);
}

template <class Options, class F>
Result<SysRequest<Options>> decode(std::string_view body, F&& read) {
  SysRequest<Options> request;
  if (body.empty()) return request;
  auto parsed = parse_json(body);
  if (const auto* e = std::get_if<JsonError>(&parsed)) return invalid(e->text);
  DecodeErrors errors;
  ObjectReader r(std::get<JsonValue>(parsed), errors, Strictness::kLenient);
  read_filter(r, request.filter);
  read(r, request.options);
  if (!errors.ok()) return invalid("json: " + errors.text);
  return request;
}

// ---- URL queries -------------------------------------------------------------------------------

int hex(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

std::string percent_decoded(std::string_view s) {
  std::string out;
  for (std::size_t i = 0; i < s.size(); ++i) {
    if (s[i] == '+') {
      out += ' ';
    } else if (s[i] == '%' && i + 2 < s.size() && hex(s[i + 1]) >= 0 && hex(s[i + 2]) >= 0) {
      out += static_cast<char>(hex(s[i + 1]) * 16 + hex(s[i + 2]));
      i += 2;
    } else {
      out += s[i];
    }
  }
  return out;
}

/// The keys of a query; the first value of a repeated key counts. Keeps the first error.
class Query {
 public:
  explicit Query(std::string_view text) {
    while (!text.empty()) {
      const auto end = text.find('&');
      const auto pair = text.substr(0, end);
      const auto eq = pair.find('=');
      const auto value = eq == std::string_view::npos ? std::string_view() : pair.substr(eq + 1);
      if (!pair.empty()) values_.emplace(percent_decoded(pair.substr(0, eq)), percent_decoded(value));
      text = end == std::string_view::npos ? std::string_view() : text.substr(end + 1);
    }
  }

  const std::string& text(const std::string& key) const {
    static const std::string kNone;
    const auto it = values_.find(key);
    return it == values_.end() ? kNone : it->second;
  }
  void get(const std::string& key, std::string& out) const { out = text(key); }
  void get(const std::string& key, bool& out) {
    const auto& v = text(key);
    if (v.empty()) return;
    const auto lower = to_lower(v);
    if (lower == "1" || lower == "t" || lower == "true") {
      out = true;
    } else if (lower != "0" && lower != "f" && lower != "false") {
      fail("boolean", key, v);
    }
  }
  void get(const std::string& key, std::int64_t& out) {
    const auto& v = text(key);
    if (v.empty()) return;
    if (auto n = parse_i64(v)) {
      out = *n;
    } else {
      fail("int", key, v);
    }
  }
  void get(const std::string& key, std::uint64_t& out) {
    const auto& v = text(key);
    if (v.empty()) return;
    if (auto n = parse_u64(v)) {
      out = *n;
    } else {
      fail("uint64", key, v);
    }
  }
  /// subs=1 lists subjects, subs=detail lists subscriptions.
  void get_subs(bool& subs, bool& detail) {
    detail = to_lower(text("subs")) == "detail";
    if (!detail) get("subs", subs);
  }

  template <class Options>
  Result<Options> done(Options options) const {
    if (!error_.empty()) return invalid(error_);
    return options;
  }
  void set_error(std::string text) {
    if (error_.empty()) error_ = std::move(text);
  }

 private:
  void fail(std::string_view type, const std::string& key, const std::string& value) {
    set_error("Error decoding " + std::string(type) + " for '" + key + "': \"" + ObjectReader::clip(value) +
              "\"");
  }
  std::map<std::string, std::string> values_;
  std::string error_;
};

bool name_accepted(const std::string& wanted, const std::string& actual, bool exact) {
  if (wanted.empty()) return true;
  return exact ? actual == wanted : actual.find(wanted) != std::string::npos;
}

}  // namespace

bool ServerFilter::accepts(const ServerIdentity& s) const {
  if (!name_accepted(server_name, s.name, exact_match)) return false;
  if (!name_accepted(host, s.host, exact_match)) return false;
  if (!name_accepted(cluster, s.cluster, exact_match)) return false;
  if (!domain.empty() && s.domain != domain) return false;
  return std::all_of(tags.begin(), tags.end(), [&](const std::string& tag) {
    return std::any_of(s.tags.begin(), s.tags.end(), [&](const auto& have) { return iequals(have, tag); });
  });
}

Result<SysRequest<NoOptions>> decode_sys_ping(std::string_view body) {
  return decode<NoOptions>(body, [](ObjectReader&, NoOptions&) {});
}

Result<SysRequest<ConnzOptions>> decode_sys_connz(std::string_view body) {
  std::string sort;
  auto request = decode<ConnzOptions>(body, [&](ObjectReader& r, ConnzOptions& o) {
    std::int64_t state = 0;
    r.field("sort", sort);
    r.field("auth", o.auth);
    r.field("subscriptions", o.subscriptions);
    r.field("subscriptions_detail", o.subscriptions_detail);
    r.field("offset", o.offset);
    r.field("limit", o.limit);
    r.field("cid", o.cid);
    r.field("state", state);
    r.field("user", o.user);
    r.field("acc", o.account);
    r.field("filter_subject", o.filter_subject);
    if (state == 1) o.state = ConnState::kClosed;
    if (state == 2) o.state = ConnState::kAll;
    tidy_paging(o);
  });
  if (!request) return request;
  ASSIGN_OR_RETURN(request->options.sort, sort_of(sort));
  return request;
}

Result<SysRequest<SubszOptions>> decode_sys_subsz(std::string_view body) {
  return decode<SubszOptions>(body, [](ObjectReader& r, SubszOptions& o) {
    r.field("offset", o.offset);
    r.field("limit", o.limit);
    r.field("subscriptions", o.subscriptions);
    r.field("account", o.account);
    r.field("test", o.test);
    tidy_paging(o);
  });
}

Result<SysRequest<JszOptions>> decode_sys_jsz(std::string_view body) {
  return decode<JszOptions>(body, [](ObjectReader& r, JszOptions& o) {
    r.field("account", o.account);
    r.field("accounts", o.accounts);
    r.field("streams", o.streams);
    r.field("consumer", o.consumers);
    r.field("consumers", o.consumers);
    r.field("direct_consumer", o.direct_consumers);
    r.field("config", o.config);
    r.field("leader_only", o.leader_only);
    r.field("stream_leader_only", o.stream_leader_only);
    r.field("raft", o.raft);
    r.field("offset", o.offset);
    r.field("limit", o.limit);
    tidy_paging(o);
  });
}

Result<SysRequest<HealthzOptions>> decode_sys_healthz(std::string_view body) {
  return decode<HealthzOptions>(body, [](ObjectReader& r, HealthzOptions& o) {
    bool older = false;
    r.field("js-enabled", older);
    r.field("js-enabled-only", o.js_enabled_only);
    r.field("js-server-only", o.js_server_only);
    r.field("js-meta-only", o.js_meta_only);
    r.field("safe-to-stop", o.safe_to_stop);
    r.field("account", o.account);
    r.field("stream", o.stream);
    r.field("consumer", o.consumer);
    r.field("details", o.details);
    o.js_enabled_only |= older;
  });
}

Result<SysRequest<AccountStatzOptions>> decode_sys_accstatz(std::string_view body) {
  return decode<AccountStatzOptions>(body, [](ObjectReader& r, AccountStatzOptions& o) {
    r.field("accounts", o.accounts);
    r.field("include_unused", o.include_unused);
  });
}

Result<SysRequest<RaftzOptions>> decode_sys_raftz(std::string_view body) {
  return decode<RaftzOptions>(body, [](ObjectReader& r, RaftzOptions& o) {
    r.field("account", o.account);
    r.field("group", o.group);
  });
}

Result<SysRequest<RoutezOptions>> decode_sys_routez(std::string_view body) {
  return decode<RoutezOptions>(body, [](ObjectReader& r, RoutezOptions& o) {
    r.field("subscriptions", o.subscriptions);
    r.field("subscriptions_detail", o.subscriptions_detail);
  });
}

Result<SysRequest<AccountzOptions>> decode_sys_accountz(std::string_view body) {
  return decode<AccountzOptions>(body,
                                 [](ObjectReader& r, AccountzOptions& o) { r.field("account", o.account); });
}

Result<SysRequest<IpqueueszOptions>> decode_sys_ipqueuesz(std::string_view body) {
  return decode<IpqueueszOptions>(body, [](ObjectReader& r, IpqueueszOptions& o) {
    r.field("all", o.all);
    r.field("filter", o.filter);
  });
}

Result<SysRequest<ProfilezOptions>> decode_sys_profilez(std::string_view body) {
  return decode<ProfilezOptions>(body, [](ObjectReader& r, ProfilezOptions& o) { r.field("name", o.name); });
}

Result<ConnzOptions> parse_connz_query(std::string_view text) {
  Query q(text);
  ConnzOptions o;
  ASSIGN_OR_RETURN(o.sort, sort_of(q.text("sort")));
  q.get("auth", o.auth);
  q.get_subs(o.subscriptions, o.subscriptions_detail);
  q.get("offset", o.offset);
  q.get("limit", o.limit);
  q.get("cid", o.cid);
  q.get("user", o.user);
  q.get("acc", o.account);
  q.get("filter_subject", o.filter_subject);
  const auto state = to_lower(q.text("state"));
  if (state == "closed") {
    o.state = ConnState::kClosed;
  } else if (state == "any" || state == "all") {
    o.state = ConnState::kAll;
  } else if (!state.empty() && state != "open") {
    q.set_error("Error decoding state for " + ObjectReader::clip(state));
  }
  tidy_paging(o);
  return q.done(std::move(o));
}

Result<SubszOptions> parse_subsz_query(std::string_view text) {
  Query q(text);
  SubszOptions o;
  q.get("subs", o.subscriptions);
  q.get("offset", o.offset);
  q.get("limit", o.limit);
  q.get("acc", o.account);
  q.get("test", o.test);
  tidy_paging(o);
  return q.done(std::move(o));
}

Result<JszOptions> parse_jsz_query(std::string_view text) {
  Query q(text);
  JszOptions o;
  q.get("acc", o.account);
  q.get("accounts", o.accounts);
  q.get("streams", o.streams);
  q.get("consumers", o.consumers);
  q.get("direct-consumers", o.direct_consumers);
  q.get("config", o.config);
  q.get("offset", o.offset);
  q.get("limit", o.limit);
  q.get("leader-only", o.leader_only);
  q.get("stream-leader-only", o.stream_leader_only);
  q.get("raft", o.raft);
  tidy_paging(o);
  return q.done(std::move(o));
}

Result<HealthzOptions> parse_healthz_query(std::string_view text) {
  Query q(text);
  HealthzOptions o;
  bool older = false;
  q.get("js-enabled", older);
  q.get("js-enabled-only", o.js_enabled_only);
  q.get("js-server-only", o.js_server_only);
  q.get("js-meta-only", o.js_meta_only);
  q.get("safe-to-stop", o.safe_to_stop);
  q.get("account", o.account);
  q.get("stream", o.stream);
  q.get("consumer", o.consumer);
  q.get("details", o.details);
  o.js_enabled_only |= older;
  return q.done(std::move(o));
}

Result<AccountStatzOptions> parse_accstatz_query(std::string_view text) {
  Query q(text);
  AccountStatzOptions o;
  q.get("unused", o.include_unused);
  return q.done(std::move(o));
}

Result<RaftzOptions> parse_raftz_query(std::string_view text) {
  Query q(text);
  RaftzOptions o;
  q.get("acc", o.account);
  q.get("group", o.group);
  return q.done(std::move(o));
}

Result<RoutezOptions> parse_routez_query(std::string_view text) {
  Query q(text);
  RoutezOptions o;
  q.get_subs(o.subscriptions, o.subscriptions_detail);
  return q.done(std::move(o));
}

Result<AccountzOptions> parse_accountz_query(std::string_view text) {
  Query q(text);
  AccountzOptions o;
  q.get("acc", o.account);
  return q.done(std::move(o));
}

Result<IpqueueszOptions> parse_ipqueuesz_query(std::string_view text) {
  Query q(text);
  IpqueueszOptions o;
  q.get("all", o.all);
  q.get("queues", o.filter);
  return q.done(std::move(o));
}

}  // namespace weir::api
