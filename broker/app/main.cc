// weir-broker: reads the command line and either answers it or runs a broker. See broker_process.h.
#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

#include "broker/app/broker_process.h"
#include "broker/app/disk_source.h"
#include "broker/app/send_signal.h"
#include "broker/app/signals.h"
#include "broker/auth/crypto.h"
#include "broker/config/flags.h"
#include "broker/config/options_build.h"
#include "broker/platform/asio_loop.h"
#include "broker/platform/asio_transport.h"
#include "broker/server/tls_check.h"
#include "broker/server/version.h"

namespace {

using weir::config::CommandLine;

// Other users can read the command line of a process; passwords must not stay in it.
void hide_secrets(const CommandLine& line, char** arguments) {
  for (const auto& secret : line.secrets) {
    char* argument = arguments[secret.index];
    std::size_t size = std::strlen(argument);
    if (secret.offset < size) std::memset(argument + secret.offset, 'x', size - secret.offset);
  }
}

void print_version() {
  // Client suites parse the first line.
  std::printf("nats-server: v%s\nweir-broker: v%s\n", weir::server::kCompatVersion,
              weir::server::kWeirVersion);
}

int signal_other(const CommandLine& line, const std::string& program) {
  weir::Status sent = weir::app::send_signal(line.signal, program);
  if (sent) return 0;
  std::fprintf(stderr, "%s: %s\n", program.c_str(), sent.error().detail.c_str());
  return 1;
}

// Without a tls {} block this does nothing.
weir::Status check_certificates(const weir::config::Options& options) {
  weir::platform::AsioLoop loop;
  return weir::server::check_tls(options, *weir::platform::make_transport(loop));
}

int load_and_run(const CommandLine& line, const std::string& program) {
  weir::app::DiskSource source;
  weir::config::Loaded loaded = weir::config::load(line.flags, source);
  for (const auto& w : loaded.warnings) std::fprintf(stderr, "%s: %s\n", program.c_str(), w.c_str());
  for (const auto& e : loaded.errors) std::fprintf(stderr, "%s: %s\n", program.c_str(), e.c_str());
  if (!loaded.good()) return 1;
  if (weir::Status s = check_certificates(loaded.options); !s) {
    std::fprintf(stderr, "%s: %s\n", program.c_str(), s.error().detail.c_str());
    return 1;
  }
  if (line.action == CommandLine::Action::kTest) {
    std::fprintf(stderr, "%s: configuration file %s is valid (%s)\n", program.c_str(),
                 line.flags.config_file.c_str(),
                 weir::auth::config_digest(loaded.options.digest_text).c_str());
    return 0;
  }
  weir::app::BrokerProcess process(program, line.flags, std::move(loaded.options));
  return process.run();
}

}  // namespace

int main(int argc, char** argv) {
  weir::app::Signals::block();
  std::string program = argc > 0 ? argv[0] : "weir-broker";
  program.erase(0, program.rfind('/') + 1);
  std::vector<std::string> arguments(argv + (argc > 0), argv + argc);
  CommandLine line = weir::config::parse_command_line(arguments);
  hide_secrets(line, argv + 1);
  switch (line.action) {
    case CommandLine::Action::kVersion: print_version(); return 0;
    case CommandLine::Action::kSignal: return signal_other(line, program);
    case CommandLine::Action::kExit:
      std::fputs(line.out.c_str(), stdout);
      std::fputs(line.err.c_str(), stderr);
      return line.exit_code;
    case CommandLine::Action::kRun:
    case CommandLine::Action::kTest: break;
  }
  return load_and_run(line, program);
}
