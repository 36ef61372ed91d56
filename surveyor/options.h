// surveyor/options.h - command line and environment -> options.
//
// Room:    pure; the environment is handed in. Order: flag, then NATS_SURVEYOR_<NAME>, then default.
// Errors:  kInvalid with one line for people: unknown flag, bad value; kUnsupported for a flag that
//          nats-surveyor has and this build does not, with what to do instead.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "broker/base/log.h"
#include "broker/base/result.h"
#include "broker/base/time.h"

namespace weir::surveyor {

struct Options {
  std::vector<std::string> servers = {"nats://127.0.0.1:4222"};
  std::string creds, user, password;
  std::string addr = "0.0.0.0";
  std::uint16_t port = 7777;   // 0 = any free one, which the log names
  std::uint32_t expected = 0;  // --count; 0 = as many as are discovered
  Nanos timeout = 3 * kSecond;
  Nanos discovery = 500 * kMillisecond;
  Nanos interval = 15 * kSecond;
  std::uint32_t series_limit = 0;
  bool durable_only = false;
  Level log_level = Level::kInfo;
  bool show_version = false, show_help = false;
};

/// Value of an environment variable, nullopt if it is not set.
using Environment = std::function<std::optional<std::string>(const std::string& name)>;

/// `args` without the program name. "--name value", "--name=value", Go's "-name" and the short forms.
Result<Options> parse_options(const std::vector<std::string>& args, const Environment& environment);

std::string help_text();

}  // namespace weir::surveyor
