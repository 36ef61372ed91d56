#include "surveyor/options.h"

#include <algorithm>
#include <limits>
#include <map>

#include "broker/base/text.h"

namespace weir::surveyor {

namespace {

struct Flag {
  std::string_view name;
  char letter;  // 0 = none
  bool takes_value;
  Status (*set)(Options&, const std::string&);
  std::string_view help;
};

Status bad(const std::string& value, const char* expected) {
  return Error(Code::kInvalid, "\"" + value + "\" is not " + expected);
}

Status set_servers(Options& o, const std::string& v) {
  o.servers.clear();
  for (std::size_t at = 0; at <= v.size();) {
    std::size_t comma = std::min(v.find(',', at), v.size());
    std::string url = v.substr(at, comma - at);
    url.erase(0, url.find_first_not_of(' '));
    url.erase(url.find_last_not_of(' ') + 1);
    if (!url.empty()) o.servers.push_back(url);
    at = comma + 1;
  }
  return o.servers.empty() ? bad(v, "a list of URLs") : ok();
}

Status set_duration(Nanos& out, const std::string& v, Nanos least) {
  auto d = parse_duration(v);
  // A bare number means seconds; orchestrators like to leave the unit away.
  if (auto n = parse_u64(v); n && *n <= 86'400) d = static_cast<Nanos>(*n) * kSecond;
  if (!d || *d < least || *d > 24 * kHour)
    return bad(v, "a duration such as 500ms or 15s in the allowed range");
  out = *d;
  return ok();
}

Status set_port(Options& o, const std::string& v) {
  auto n = parse_u64(v);
  if (!n || *n > 65535) return bad(v, "a port");
  o.port = static_cast<std::uint16_t>(*n);
  return ok();
}

Status set_count(Options& o, const std::string& v) {
  auto n = parse_i64(v);
  if (!n || *n < -1 || *n > 1024) return bad(v, "a number of servers (1 to 1024, or -1 = discover)");
  o.expected = static_cast<std::uint32_t>(std::max<std::int64_t>(*n, 0));
  return ok();
}

Status set_level(Options& o, const std::string& v) {
  constexpr std::pair<std::string_view, Level> kLevels[] = {
      {"trace", Level::kTrace}, {"debug", Level::kDebug},  {"info", Level::kInfo},
      {"warn", Level::kWarn},   {"warning", Level::kWarn}, {"error", Level::kError},
      {"fatal", Level::kFatal}, {"panic", Level::kFatal}};
  for (auto [text, level] : kLevels) {
    if (iequals(text, v)) {
      o.log_level = level;
      return ok();
    }
  }
  return bad(v, "one of trace, debug, info, warn, error, fatal");
}

Status set_series_limit(Options& o, const std::string& v) {
  auto n = parse_u64(v);
  if (!n || *n > std::numeric_limits<std::uint32_t>::max()) return bad(v, "a number of series");
  o.series_limit = static_cast<std::uint32_t>(*n);
  return ok();
}

Status set_bool(bool& out, const std::string& v) {
  bool yes = v.empty() || iequals(v, "true") || v == "1", no = iequals(v, "false") || v == "0";
  if (!yes && !no) return bad(v, "true or false");
  out = yes;
  return ok();
}

Status set_text(std::string& out, const std::string& v) {
  out = v;
  return ok();
}

using O = Options;
using V = const std::string;
constexpr Flag kFlags[] = {
    {"servers", 's', true, set_servers, "URLs of servers, separated by commas (nats://127.0.0.1:4222)"},
    {"creds", 0, true, [](O& o, V& v) { return set_text(o.creds, v); }, "credentials file of a system user"},
    {"user", 0, true, [](O& o, V& v) { return set_text(o.user, v); }, "name of a system user"},
    {"password", 0, true, [](O& o, V& v) { return set_text(o.password, v); }, "password of that user"},
    {"port", 'p', true, set_port, "port of /metrics (7777); 0 = any"},
    {"addr", 'a', true, [](O& o, V& v) { return set_text(o.addr, v); }, "address of /metrics (0.0.0.0)"},
    {"count", 'c', true, set_count, "servers expected to answer (-1 = as many as are discovered)"},
    {"timeout", 0, true, [](O& o, V& v) { return set_duration(o.timeout, v, kMillisecond); },
     "wait for the answer to one question (3s)"},
    {"server-discovery-timeout", 0, true,
     [](O& o, V& v) { return set_duration(o.discovery, v, kMillisecond); },
     "silence that ends the discovery of servers (500ms)"},
    {"poll-interval", 0, true, [](O& o, V& v) { return set_duration(o.interval, v, 100 * kMillisecond); },
     "how often the cluster is asked (15s); scrapes return the last finished round"},
    {"series-limit", 0, true, set_series_limit, "series per metric family, the rest is cut (0 = no limit)"},
    {"durable-only", 0, false, [](O& o, V& v) { return set_bool(o.durable_only, v); },
     "no series for consumers without a durable name"},
    {"log-level", 0, true, set_level, "trace, debug, info, warn, error or fatal (info)"},
    {"version", 'v', false, [](O& o, V& v) { return set_bool(o.show_version, v); },
     "print the version and exit"},
    {"help", 'h', false, [](O& o, V& v) { return set_bool(o.show_help, v); }, "print this text and exit"},
};

struct Unbuilt {
  std::string_view name, advice;
};
constexpr std::string_view kNotYet = "is not built yet";
constexpr std::string_view kAlwaysOn =
    "is not needed: streams and consumers of all accounts are always surveyed, one series each, from their "
    "leader";
constexpr Unbuilt kUnbuilt[] = {
    {"config", "is not built yet; use flags or NATS_SURVEYOR_* variables"},
    {"nkey", "is not built yet; use --creds or --user"},
    {"jwt", "is not built: secrets do not belong on a command line; use --creds"},
    {"seed", "is not built: secrets do not belong on a command line; use --creds"},
    {"token-file", "is not built yet; use --creds or --user"},
    {"tlscert", kNotYet},
    {"tlskey", kNotYet},
    {"tlscacert", kNotYet},
    {"tlsfirst", kNotYet},
    {"http-tlscert", "is not built yet; put a TLS proxy in front of /metrics"},
    {"http-tlskey", "is not built yet; put a TLS proxy in front of /metrics"},
    {"http-tlscacert", "is not built yet; put a TLS proxy in front of /metrics"},
    {"http-user", "is not built yet; put an authenticating proxy in front of /metrics"},
    {"http-pass", "is not built yet; put an authenticating proxy in front of /metrics"},
    {"prefix", "has no effect in nats-surveyor either; rename metrics with Prometheus relabelling"},
    {"observe", "(service latency observations) is not built yet"},
    {"jetstream", "(advisories per account) is not built yet"},
    {"accounts", "is not built yet; roll-ups per account are always there"},
    {"accounts-detailed", kNotYet},
    {"gatewayz", kNotYet},
    {"raftz", "is not built yet; nats_jetstream_meta_* is always there"},
    {"jsz", kAlwaysOn},
    {"jsz-limit", "is not needed: accounts are asked for page by page"},
    {"jsz-leaders-only", kAlwaysOn},
    {"jsz-filter", "is not built yet; drop families with Prometheus relabelling"},
    {"sys-req-prefix", kNotYet},
    {"pprof", "is for Go programs"},
};

std::string variable_of(std::string_view name) {
  std::string out = "NATS_SURVEYOR_";
  for (char c : name) out += c == '-' ? '_' : static_cast<char>(c >= 'a' && c <= 'z' ? c - 'a' + 'A' : c);
  return out;
}

Status refuse(const std::string& shown, const Unbuilt& u) {
  return Error(Code::kUnsupported, shown + " " + std::string(u.advice));
}

Status from_environment(Options& o, const Environment& environment) {
  for (const Unbuilt& u : kUnbuilt) {
    auto value = environment(variable_of(u.name));
    if (value && !value->empty() && !iequals(*value, "false")) return refuse(variable_of(u.name), u);
  }
  for (const Flag& f : kFlags) {
    if (f.name == "version" || f.name == "help") continue;
    std::string variable = variable_of(f.name);
    auto value = environment(variable);
    if (!value || value->empty()) continue;
    // Kubernetes sets NATS_SURVEYOR_PORT=tcp://10.0.0.1:7777 for a Service called nats-surveyor.
    if (f.name == "port" && value->starts_with("tcp://")) continue;
    if (auto s = f.set(o, *value); !s) return s.error().within(variable);
  }
  return ok();
}

const Flag* find_flag(std::string_view name) {
  for (const Flag& f : kFlags) {
    if (name == f.name || (name.size() == 1 && f.letter == name[0])) return &f;
  }
  return nullptr;
}

Status from_arguments(Options& o, const std::vector<std::string>& args) {
  for (std::size_t i = 0; i < args.size(); ++i) {
    const std::string& arg = args[i];
    std::size_t dashes = arg.starts_with("--") ? 2 : arg.starts_with("-") ? 1 : 0;
    if (dashes == 0 || arg.size() == dashes)
      return Error(Code::kInvalid, "unexpected argument \"" + arg + "\"");
    std::size_t equals = arg.find('=');
    std::string name = arg.substr(dashes, equals == std::string::npos ? equals : equals - dashes);
    bool has_value = equals != std::string::npos;
    std::string value = has_value ? arg.substr(equals + 1) : "";
    std::string shown = arg.substr(0, dashes) + name;
    // Old spellings of nats-surveyor use underscores: -http_user.
    std::replace(name.begin(), name.end(), '_', '-');
    const Flag* flag = find_flag(name);
    if (!flag) {
      for (const Unbuilt& u : kUnbuilt) {
        if (name == u.name) return refuse(shown, u);
      }
      return Error(Code::kInvalid, "unknown flag " + shown + "; see --help");
    }
    if (flag->takes_value && !has_value) {
      if (++i == args.size()) return Error(Code::kInvalid, shown + " needs a value");
      value = args[i];
    }
    if (auto s = flag->set(o, value); !s) return s.error().within(shown);
  }
  return ok();
}

}  // namespace

Result<Options> parse_options(const std::vector<std::string>& args, const Environment& environment) {
  Options o;
  RETURN_IF_ERROR(from_environment(o, environment));
  RETURN_IF_ERROR(from_arguments(o, args));
  if (!o.password.empty() && o.user.empty()) return Error(Code::kInvalid, "--password without --user");
  if (!o.creds.empty() && !o.user.empty())
    return Error(Code::kInvalid, "--creds and --user exclude each other");
  return o;
}

std::string help_text() {
  std::string out =
      "weir-surveyor measures a cluster of Weir or NATS servers and shows it to Prometheus.\n\n"
      "Usage: weir-surveyor [flags]\n\n";
  for (const Flag& f : kFlags) {
    std::string left = "  ";
    left += f.letter ? std::string("-") + f.letter + ", " : "    ";
    left += "--" + std::string(f.name) + (f.takes_value ? " VALUE" : "");
    left.resize(std::max<std::size_t>(left.size() + 2, 40), ' ');
    out += left + std::string(f.help) + "\n";
  }
  out +=
      "\nEvery flag may also be set as NATS_SURVEYOR_<NAME>, with _ for -; a flag wins. The user must "
      "belong\n"
      "to the system account of the cluster.\n";
  return out;
}

}  // namespace weir::surveyor
