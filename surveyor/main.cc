// surveyor/main.cc - weir-surveyor: command line in, exit code out.
//
// Exit codes: 0 after SIGINT or SIGTERM, --help, --version; 1 when it cannot run (the port is taken);
//             2 for a wrong command line.
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <thread>

#include "surveyor/http.h"
#include "surveyor/options.h"
#include "surveyor/spd_log.h"
#include "surveyor/survey_loop.h"

namespace {

using namespace weir;
using namespace weir::surveyor;

sigset_t stop_signals() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGINT);
  sigaddset(&set, SIGTERM);
  return set;
}

int serve(const Options& options, Log& log) {
  if (!options.creds.empty() && !std::ifstream(options.creds).good()) {
    log.error("cannot read the credentials file " + options.creds + " (--creds)");
    return 1;
  }
  EventQueue queue;
  auto http = HttpServer::start(options.addr, options.port);
  if (!http) {
    log.error(http.error().detail);
    return 1;
  }
  log.info("weir-surveyor " WEIR_VERSION " serves http://" + options.addr + ":" +
           std::to_string((*http)->port()) + "/metrics");
  // Signals are blocked in every thread; this one takes them. It ends with the process: the queue lives
  // until then in main's frame, and nothing is pushed after the one signal it waits for.
  std::thread([&queue] {
    sigset_t set = stop_signals();
    int number = 0;
    sigwait(&set, &number);
    queue.push(StopRequest{number});
  }).detach();
  SurveyLoop loop(options, queue, **http, log);
  if (auto s = loop.run(); !s) {
    log.error(s.error().detail);
    return 1;
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  std::vector<std::string> args(argv + 1, argv + argc);
  auto options = parse_options(args, [](const std::string& name) -> std::optional<std::string> {
    const char* value = std::getenv(name.c_str());
    return value ? std::optional<std::string>(value) : std::nullopt;
  });
  if (!options) {
    std::fprintf(stderr, "weir-surveyor: %s\n", options.error().detail.c_str());
    return 2;
  }
  if (options->show_help) {
    std::fputs(help_text().c_str(), stdout);
    return 0;
  }
  if (options->show_version) {
    std::puts("weir-surveyor " WEIR_VERSION " (" WEIR_REVISION ", " WEIR_COMPILER ")");
    return 0;
  }
  sigset_t set = stop_signals();
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
  std::signal(SIGPIPE, SIG_IGN);
  auto log = make_log(options->log_level);
  return serve(*options, *log);
}
