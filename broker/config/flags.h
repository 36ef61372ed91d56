// broker/config/flags.h - the command line.
//
// Room:    pure: the arguments come in as strings, texts to print go out.
// Rules:   as Go's flag package, because launchers rely on them: "-x" equals "--x", "-x v" equals
//          "-x=v", a boolean takes its value only after "=", the first word without a dash ends the
//          flags, the last of repeated flags wins. Flags override the configuration file.
// Use:     parse_command_line(), act on `action`; for kRun and kTest hand `flags` to load().
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "broker/config/features.h"
#include "broker/config/options.h"

namespace weir::config {

/// What was given; an absent value leaves the file's alone.
struct Flags {
  std::string config_file;
  std::optional<std::string> host, server_name, pid_file, client_advertise, ports_file_dir;
  std::optional<std::int64_t> port, http_port, https_port, max_traced_msg_len, connect_retries;
  std::optional<std::string> log_file, store_dir, user, password, token;
  std::optional<bool> debug, trace, trace_verbose, logtime, logtime_utc, jetstream, no_advertise;
  std::optional<std::string> cluster_url, cluster_name, cluster_advertise, routes;
  std::optional<bool> tls, tls_verify;
  std::optional<std::string> tls_cert, tls_key, tls_ca;
  std::vector<std::string> no_effect;                      // flags taken for compatibility, "-x"
  std::vector<std::pair<std::string, Feature>> not_built;  // flags of features, "-x"
};

enum class Signal : std::uint8_t { kStop, kQuit, kTerm, kReopen, kReload, kLameDuck };

/// `--signal ldm=TARGET`: another process is told something, then this one exits.
struct SignalRequest {
  Signal signal = Signal::kStop;
  std::string target;  // a process id, a pid file, or a glob of pid files; empty = the only one running
};

/// Part of argv that holds a secret, to be overwritten: characters from `offset` on.
struct SecretArgument {
  std::size_t index = 0;  // within the arguments passed in
  std::size_t offset = 0;
};

struct CommandLine {
  enum class Action : std::uint8_t {
    kRun,      // start the broker
    kTest,     // -t: load, print digest or errors, exit 0 or 1
    kVersion,  // print the version, exit 0
    kSignal,   // see `signal`
    kExit,     // print `out` to stdout and `err` to stderr, exit with `exit_code` (also help)
  };
  Action action = Action::kRun;
  Flags flags;
  SignalRequest signal;
  std::string out;
  std::string err;
  int exit_code = 0;
  std::vector<SecretArgument> secrets;
};

/// `arguments` without the program's name. A wrong flag gives kExit with usage on stdout, the
/// reason on stderr and exit code 0, as launchers know it; a wrong word exits with 1.
CommandLine parse_command_line(const std::vector<std::string>& arguments);

/// The help text.
const std::string& usage();

/// Lays the flags over what the file said. Adds to `errors` and `warnings`.
void apply_flags(const Flags& flags, Options& options, std::vector<Issue>& errors,
                 std::vector<Issue>& warnings);

}  // namespace weir::config
