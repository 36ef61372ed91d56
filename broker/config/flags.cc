#include "broker/config/flags.h"

#include <functional>
#include <utility>

#include "broker/base/text.h"

namespace weir::config {
namespace {

using Action = CommandLine::Action;
using F = Flags;

/// Collects while parsing.
struct State {
  CommandLine line;
  bool help = false;
  bool help_tls = false;
  bool version = false;
  bool test = false;
  std::string signal;
};

struct Spec {
  std::string_view names;  // "a|b"
  bool is_bool = false;
  bool is_number = false;
  bool secret = false;
  void (*set)(State&, std::string_view name, const std::string& value, bool on, std::int64_t number);
};

template <auto Field>
void put(State& s, std::string_view, const std::string& value, bool on, std::int64_t number) {
  auto& field = s.line.flags.*Field;
  using T = std::remove_reference_t<decltype(field)>;
  if constexpr (std::is_same_v<T, std::optional<bool>>) {
    field = on;
  } else if constexpr (std::is_same_v<T, std::optional<std::int64_t>>) {
    field = number;
  } else {
    field = value;
  }
}
template <auto Field>
void mark(State& s, std::string_view, const std::string&, bool on, std::int64_t) {
  s.*Field = on;
}
template <Feature Needed>
void refuse(State& s, std::string_view name, const std::string& value, bool on, std::int64_t number) {
  bool off = (value == "0" && number == 0) || (!on && value.empty());
  if (!off) s.line.flags.not_built.emplace_back("-" + std::string(name), Needed);
}
template <bool Debug, bool Verbose>
void verbosity(State& s, std::string_view, const std::string&, bool on, std::int64_t) {
  if (Debug) s.line.flags.debug = on;
  s.line.flags.trace = on;
  if (Verbose) s.line.flags.trace_verbose = on;
}
void no_use(State& s, std::string_view name, const std::string&, bool, std::int64_t) {
  s.line.flags.no_effect.push_back("-" + std::string(name));
}
void signal_text(State& s, std::string_view, const std::string& value, bool, std::int64_t) {
  s.signal = value;
}

constexpr Spec text_flag(std::string_view names, decltype(Spec::set) set, bool secret = false) {
  return {names, false, false, secret, set};
}
constexpr Spec bool_flag(std::string_view names, decltype(Spec::set) set) {
  return {names, true, false, false, set};
}
constexpr Spec number_flag(std::string_view names, decltype(Spec::set) set) {
  return {names, false, true, false, set};
}

constexpr Spec kSpecs[] = {
    bool_flag("h|help", mark<&State::help>),
    bool_flag("help_tls", mark<&State::help_tls>),
    bool_flag("v|version", mark<&State::version>),
    bool_flag("t", mark<&State::test>),
    text_flag("sl|signal", signal_text),
    text_flag("c|config", put<&F::config_file>),
    text_flag("a|addr|net|host", put<&F::host>),
    number_flag("p|port", put<&F::port>),
    text_flag("n|name|server_name", put<&F::server_name>),
    text_flag("P|pid", put<&F::pid_file>),
    number_flag("m|http_port", put<&F::http_port>),
    number_flag("ms|https_port", put<&F::https_port>),
    text_flag("client_advertise", put<&F::client_advertise>),
    text_flag("ports_file_dir", put<&F::ports_file_dir>),
    text_flag("l|log", put<&F::log_file>),
    bool_flag("T|logtime", put<&F::logtime>),
    bool_flag("logtime_utc", put<&F::logtime_utc>),
    bool_flag("s|syslog", refuse<Feature::kSyslog>),
    text_flag("r|remote_syslog", refuse<Feature::kSyslog>),
    number_flag("log_size_limit", refuse<Feature::kLogRotation>),
    bool_flag("D|debug", put<&F::debug>),
    bool_flag("V|trace", put<&F::trace>),
    bool_flag("VV", verbosity<false, true>),
    bool_flag("DV", verbosity<true, false>),
    bool_flag("DVV", verbosity<true, true>),
    number_flag("max_traced_msg_len", put<&F::max_traced_msg_len>),
    bool_flag("js|jetstream", put<&F::jetstream>),
    text_flag("sd|store_dir", put<&F::store_dir>),
    text_flag("user", put<&F::user>, true),
    text_flag("pass", put<&F::password>, true),
    text_flag("auth", put<&F::token>, true),
    bool_flag("tls", put<&F::tls>),
    bool_flag("tlsverify", put<&F::tls_verify>),
    text_flag("tlscert", put<&F::tls_cert>),
    text_flag("tlskey", put<&F::tls_key>),
    text_flag("tlscacert", put<&F::tls_ca>),
    text_flag("routes", put<&F::routes>),
    text_flag("cluster|cluster_listen", put<&F::cluster_url>),
    text_flag("cluster_name", put<&F::cluster_name>),
    bool_flag("no_advertise", put<&F::no_advertise>),
    text_flag("cluster_advertise", put<&F::cluster_advertise>),
    number_flag("connect_retries", put<&F::connect_retries>),
    number_flag("profile", no_use),
};

const Spec* find_spec(std::string_view name) {
  for (const Spec& spec : kSpecs) {
    std::string_view names = spec.names;
    while (true) {
      auto bar = names.find('|');
      if (names.substr(0, bar) == name) return &spec;
      if (bar == std::string_view::npos) break;
      names.remove_prefix(bar + 1);
    }
  }
  return nullptr;
}

std::optional<bool> parse_bool(std::string_view s) {
  for (auto yes : {"1", "t", "T", "true", "TRUE", "True"}) {
    if (s == yes) return true;
  }
  for (auto no : {"0", "f", "F", "false", "FALSE", "False"}) {
    if (s == no) return false;
  }
  return std::nullopt;
}

std::string quoted(std::string_view s) {
  return '"' + std::string(s) + '"';
}

void exit_with(CommandLine& line, int code, std::string err) {
  line.action = Action::kExit;
  line.exit_code = code;
  line.err = std::move(err) + "\n";
}
void exit_with_usage(CommandLine& line, std::string err) {
  exit_with(line, 0, std::move(err));
  line.out = usage();
}

/// One flag at arguments[i]; moves i past what it used. False = the line is finished with kExit.
bool one_flag(State& s, const std::vector<std::string>& arguments, std::size_t& i) {
  std::string_view arg = arguments[i];
  std::size_t dashes = arg.substr(0, 2) == "--" ? 2 : 1;
  std::string_view name = arg.substr(dashes);
  if (name.empty() || name[0] == '-' || name[0] == '=') {
    exit_with_usage(s.line, "bad flag syntax: " + arguments[i]);
    return false;
  }
  auto equals = name.find('=');
  bool has_value = equals != std::string_view::npos;
  std::string value(has_value ? name.substr(equals + 1) : "");
  SecretArgument place{i, dashes + equals + 1};
  name = name.substr(0, equals);
  ++i;
  const Spec* spec = find_spec(name);
  if (!spec) {
    exit_with_usage(s.line, "flag provided but not defined: -" + std::string(name));
    return false;
  }
  if (!has_value && !spec->is_bool) {
    if (i >= arguments.size()) {
      exit_with_usage(s.line, "flag needs an argument: -" + std::string(name));
      return false;
    }
    value = arguments[i];
    place = {i++, 0};
  }
  bool on = true;
  std::int64_t number = 0;
  if (spec->is_bool && has_value) {
    auto parsed = parse_bool(value);
    if (!parsed) {
      exit_with_usage(
          s.line, "invalid boolean value " + quoted(value) + " for -" + std::string(name) + ": parse error");
      return false;
    }
    on = *parsed;
    value.clear();
  } else if (spec->is_number) {
    auto parsed = parse_i64(value.starts_with('+') ? value.substr(1) : value);
    if (!parsed) {
      exit_with_usage(s.line,
                      "invalid value " + quoted(value) + " for flag -" + std::string(name) + ": parse error");
      return false;
    }
    number = *parsed;
  }
  if (spec->secret) s.line.secrets.push_back(place);
  spec->set(s, name, value, on, number);
  return true;
}

std::optional<Signal> signal_named(std::string_view name) {
  if (name == "stop") return Signal::kStop;
  if (name == "quit") return Signal::kQuit;
  if (name == "term") return Signal::kTerm;
  if (name == "reopen") return Signal::kReopen;
  if (name == "reload") return Signal::kReload;
  if (name == "ldm") return Signal::kLameDuck;
  return std::nullopt;
}

void finish(State& s) {
  CommandLine& line = s.line;
  if (s.help || s.help_tls) {
    exit_with(line, 0, "");
    line.err.clear();
    line.out = s.help ? usage() : "TLS is set up in the tls {} section of the configuration file.\n";
  } else if (s.version) {
    line.action = Action::kVersion;
  } else if (!s.signal.empty()) {
    auto equals = s.signal.find('=');
    auto signal = signal_named(s.signal.substr(0, equals));
    if (!signal) {
      exit_with(line, 1, "unknown signal " + quoted(s.signal.substr(0, equals)));
      return;
    }
    line.action = Action::kSignal;
    line.signal = {*signal, equals == std::string::npos ? "" : s.signal.substr(equals + 1)};
  } else if (s.test) {
    line.action = Action::kTest;
    if (line.flags.config_file.empty()) {
      exit_with(line, 1, "must specify [-c, --config] option to check configuration file syntax");
    }
  }
}

}  // namespace

CommandLine parse_command_line(const std::vector<std::string>& arguments) {
  State s;
  std::size_t i = 0;
  while (i < arguments.size() && arguments[i].size() > 1 && arguments[i][0] == '-') {
    if (arguments[i] == "--") {
      ++i;
      break;
    }
    if (!one_flag(s, arguments, i)) return std::move(s.line);
  }
  if (i < arguments.size() && !s.help && !s.version) {
    std::string word = to_lower(arguments[i]);
    if (word == "help") {
      s.help = true;
    } else if (word == "version") {
      s.version = true;
    } else {
      exit_with(s.line, 1, "unrecognized command: " + quoted(arguments[i]));
      return std::move(s.line);
    }
  }
  finish(s);
  return std::move(s.line);
}

const std::string& usage() {
  static const std::string text = R"(
Usage: weir-broker [options]

Every option works with one dash or two, as "-x value" or "-x=value". Options given here win
over the configuration file.

Server
    -a, --addr, --net, --host HOST   address to listen on for clients (0.0.0.0)
    -p, --port PORT                  port for clients (4222); -1 takes a free one
    -n, --name, --server_name NAME   name of this server (its id)
    -m, --http_port PORT             port of the monitoring pages (off)
    -c, --config FILE                configuration file
    -t                               check the configuration, print its digest, exit
    -P, --pid FILE                   write the process id here
        --ports_file_dir DIR         write the ports in use here, as <program>_<pid>.ports
        --client_advertise HOST:PORT address that clients are told
    -sl, --signal CMD[=TARGET]       tell a running server: stop, quit, term, reopen, reload, ldm;
                                     TARGET is a process id, a pid file, or a pattern of pid files

Logging
    -l, --log FILE                   write the log to a file
    -T, --logtime=BOOL               put the time on each line (true)
        --logtime_utc                use UTC for it
    -D, --debug                      debug lines
    -V, --trace                      protocol lines
    -VV, -DV, -DVV                   also of the system account; debug and trace; all of them
        --max_traced_msg_len N       cut payloads in trace lines

JetStream
    -js, --jetstream                 turn JetStream on
    -sd, --store_dir DIR             keep its data below this directory

Authorization
        --user NAME --pass PASSWORD  the one user that may connect
        --auth TOKEN                 the one token that may connect

Cluster
        --cluster URL, --cluster_listen URL, --cluster_name NAME, --routes URL,URL
        --no_advertise, --cluster_advertise HOST:PORT, --connect_retries N

TLS of clients
        --tls, --tlsverify, --tlscert FILE, --tlskey FILE, --tlscacert FILE

Other
    -h, --help                       this text
    -v, --version                    version
        --help_tls                   where TLS is set up
)";
  return text;
}

}  // namespace weir::config
