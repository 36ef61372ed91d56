#include "broker/app/broker_process.h"

#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <future>

#include "broker/app/disk_source.h"
#include "broker/app/machine.h"
#include "broker/base/text.h"
#include "broker/platform/asio_transport.h"
#include "broker/platform/posix_disk.h"
#include "broker/server/version.h"

namespace weir::app {
namespace {

constexpr Nanos kLastWordsWait = kSecond;  // for bytes that closed connections still send
constexpr Nanos kLastWordsLook = 5 * kMillisecond;
constexpr auto kShardAnswerSlice = std::chrono::milliseconds(50);
constexpr int kShardAnswerSlices = 200;  // ten seconds

LogOptions log_options(const config::Options& o) {
  return {o.log_file, o.debug, o.trace || o.trace_verbose, o.logtime, o.logtime_utc};
}

std::string default_store_dir() {
  std::error_code ec;
  return (std::filesystem::temp_directory_path(ec) / "nats").string();
}

std::string size_text(std::int64_t bytes) {
  constexpr const char* kUnits[] = {"B", "KB", "MB", "GB", "TB", "PB"};
  auto value = static_cast<double>(bytes);
  std::size_t unit = 0;
  while (value >= 1024 && unit + 1 < std::size(kUnits)) value /= 1024, ++unit;
  char text[64];
  std::snprintf(text, sizeof text, unit == 0 ? "%.0f %s" : "%.2f %s", value, kUnits[unit]);
  return text;
}

HttpReply unavailable(const char* why) {
  return {503, "application/json", std::string("{\"status\":\"unavailable\",\"error\":\"") + why + "\"}"};
}

}  // namespace

BrokerProcess::BrokerProcess(std::string program, config::Flags flags, config::Options options)
    : program_(std::move(program)), flags_(std::move(flags)), options_(std::move(options)) {
  if (options_.effective_store_dir().empty()) options_.store_dir = default_store_dir();
}

BrokerProcess::~BrokerProcess() = default;

int BrokerProcess::run() {
  if (Status s = open_files(); !s) {
    std::fprintf(stderr, "%s: %s\n", program_.c_str(), s.error().detail.c_str());
    return 1;
  }
  signals_ = std::make_unique<Signals>([this](int signal) { on_signal(signal); });
  loop_.post([this] {
    if (Status s = start(); !s) fail(s.error().detail);
  });
  loop_.run();
  deaf_ = true;
  signals_.reset();
  http_.reset();
  node_.reset();
  return exit_code_;
}

Status BrokerProcess::open_files() {
  RETURN_IF_ERROR(log_.configure(log_options(options_)));
  if (!options_.pid_file.empty()) {
    if (Status s = write_pid_file(options_.pid_file); !s) return s.error().within("could not write pid file");
  }
  return ok();
}

Status BrokerProcess::start() {
  raise_file_limit();
  transport_ = platform::make_transport(loop_);
  if (options_.jetstream.enabled) {
    auto disk = platform::open_posix_disk(loop_, options_.effective_store_dir() + "/jetstream");
    if (!disk) return disk.error().within("Can't start JetStream");
    disk_ = std::move(*disk);
    derive_sizes(options_, *disk_);
  } else {
    disk_ = platform::make_no_disk(loop_);
  }
  env_ = std::make_unique<env::Env>(env::Env{clock_, loop_, *disk_, *transport_, random_, process_, log_});
  node_ = std::make_unique<server::Node>(*env_, options_);
  node_->on_fatal([this](const Error& e) { fail(e.to_string()); });
  log_start();
  RETURN_IF_ERROR(start_http());
  log_jetstream();
  RETURN_IF_ERROR(node_->start());
  announce();
  return ok();
}

Status BrokerProcess::start_http() {
  if (options_.https_port != 0)
    return Error(Code::kUnsupported, "https_port is not supported by this version");
  if (options_.http_port == 0) return ok();
  HttpMonitorOptions http;
  http.host = options_.http_host.empty() ? options_.host : options_.http_host;
  http.port = options_.http_port;
  http.base_path = options_.http_base_path;
  auto started = HttpMonitor::start(
      http, [this](const std::string& path, const std::string& query) { return ask_shard(path, query); });
  if (!started) return started.error().within("Can't start monitoring");
  http_ = std::move(*started);
  node_->set_monitor_endpoint(http_->endpoint());
  log_.info("Starting http monitor on " + env::to_string(http_->endpoint()));
  return ok();
}

void BrokerProcess::log_start() {
  log_.info("Starting weir-broker");
  log_.info("  Version:  " + std::string(server::kCompatVersion) + " (weir " + server::kWeirVersion + ")");
  log_.info("  Name:     " + node_->name());
  log_.info("  ID:       " + node_->id());
  if (!options_.config_file.empty()) log_.info("Using configuration file: " + options_.config_file);
}

void BrokerProcess::log_jetstream() {
  if (!options_.jetstream.enabled) return;
  const auto& js = options_.jetstream;
  log_.info("Starting JetStream");
  log_.info("  Max Memory:      " + size_text(js.max_memory_store));
  log_.info("  Max Storage:     " + size_text(js.max_file_store));
  log_.info("  Store Directory: \"" + options_.effective_store_dir() + "/jetstream\"");
  if (!js.domain.empty()) log_.info("  Domain:          " + js.domain);
  log_.info(js.sync_always ? "  Sync:            always"
                           : "  Sync:            every " + format_duration(js.sync_interval) +
                                 " (acknowledged messages of that time can be lost at power loss)");
}

void BrokerProcess::announce() {
  if (auto client = node_->client_endpoint()) {
    log_.info("Listening for client connections on " + env::to_string(*client));
    if (options_.tls.present) {
      log_.info(options_.allow_non_tls ? "TLS available for client connections"
                                       : "TLS required for client connections");
    }
  }
  if (!options_.ports_file_dir.empty()) {
    if (Status s = ports_file_.write(options_.ports_file_dir, program_, ports()); !s) {
      log_.error("Error writing ports file: " + s.error().detail);
    }
  }
  log_.info("Server is ready");
}

// A wildcard listener is reachable by every address of the machine.
Ports BrokerProcess::ports() const {
  auto urls = [this](const char* scheme, const env::Endpoint& at) {
    std::vector<std::string> hosts{at.host};
    if (at.host == "0.0.0.0" || at.host == "::") {
      hosts = transport_->interface_addresses();
      hosts.insert(hosts.begin(), "127.0.0.1");
    }
    std::vector<std::string> out;
    for (const auto& host : hosts) out.push_back(std::string(scheme) + env::to_string({host, at.port}));
    return out;
  };
  Ports out;
  if (auto client = node_->client_endpoint())
    out.emplace_back("nats", urls(options_.tls.present ? "tls://" : "nats://", *client));
  if (http_) out.emplace_back("monitoring", urls("http://", http_->endpoint()));
  if (auto cluster = node_->cluster_endpoint()) out.emplace_back("cluster", urls("nats://", *cluster));
  return out;
}

void BrokerProcess::fail(const std::string& why) {
  log_.write(Level::kFatal, why);
  exit_code_ = 1;
  loop_.stop();
}

// ---- signals

// On the signal thread.
void BrokerProcess::on_signal(int signal) {
  bool end = signal == SIGINT || signal == SIGTERM;
  if (end && ++end_signals_ > 1) ::_exit(1);
  loop_.post_completion([this, signal] {
    switch (signal) {
      case SIGINT: return stop();
      case SIGTERM:
        if (lame_duck_) {
          end_signals_ = 0;  // clients are being asked to leave: that goes on
          return;
        }
        return stop();
      case SIGHUP: return reload();
      case SIGUSR1:
        if (Status s = log_.reopen(); !s) log_.error(s.error().detail);
        return log_.info("File log re-opened");
      case SIGUSR2: return lame_duck();
      default: return;
    }
  });
}

void BrokerProcess::stop() {
  if (stopping_) return;
  stopping_ = true;
  log_.info("Initiating Shutdown...");
  if (!node_) return loop_.stop();
  node_->stop([this] { finish(); });
}

// Closed connections may still owe their clients the last bytes.
void BrokerProcess::finish() {
  Mono end = clock_.now() + kLastWordsWait;
  auto look = std::make_shared<UniqueFunction<void()>>();
  *look = [this, end, weak = std::weak_ptr(look)] {
    if (loop_.flushing_connections() == 0 || clock_.now() >= end) {
      log_.info("Server Exiting..");
      return loop_.stop();
    }
    loop_.at(clock_.now() + kLastWordsLook, [again = weak.lock()] { (*again)(); });
  };
  loop_.post([look] { (*look)(); });
}

void BrokerProcess::lame_duck() {
  if (stopping_ || lame_duck_ || !node_) return;
  lame_duck_ = true;
  log_.info("Entering lame duck mode, stop accepting new clients");
  node_->lame_duck([this] {
    if (!stopping_) stop();
  });
}

void BrokerProcess::reload() {
  DiskSource source;
  config::Loaded loaded = config::load(flags_, source);
  for (const auto& w : loaded.warnings) log_.warn(w);
  if (!loaded.good()) {
    for (const auto& e : loaded.errors) log_.error("Failed to reload server configuration: " + e);
    return;
  }
  if (transport_) {
    Status s = platform::renew_certificates(*transport_);
    if (!s) return log_.error("Failed to reload server configuration: " + s.error().detail);
  }
  if (Status s = log_.configure(log_options(loaded.options)); !s) return log_.error(s.error().detail);
  if (loaded.options.digest_text != options_.digest_text) {
    log_.warn(
        "Reloaded the logging options and certificates; other changes of the configuration need a restart");
  } else {
    log_.info("Reloaded server configuration");
  }
}

// ---- monitoring

// On an HTTP thread. The shard answers between two turns; a shard that is busy for long (recovery)
// gives 503 rather than a hanging probe.
HttpReply BrokerProcess::ask_shard(const std::string& path, const std::string& query) {
  auto promise = std::make_shared<std::promise<HttpReply>>();
  auto answer = promise->get_future();
  bool posted = loop_.post_external([this, promise, path, query] {
    if (!node_) return promise->set_value(unavailable("starting"));
    node_->monitor(path, query, [promise](server::MonitorReply r) {
      promise->set_value({r.status, std::move(r.content_type), std::move(r.body)});
    });
  });
  if (!posted) return unavailable("overloaded");
  for (int i = 0; i < kShardAnswerSlices && !deaf_; ++i) {
    if (answer.wait_for(kShardAnswerSlice) == std::future_status::ready) return answer.get();
  }
  return unavailable("no answer in time");
}

}  // namespace weir::app
