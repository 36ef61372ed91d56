// broker/app/broker_process.h - one running broker: the Node, the real world under it, its signals.
//
// Thread:  run() on the main thread, which becomes the shard's. HTTP and signal threads only post.
// Exit:    0 after a clean stop or lame duck; 1 when the start failed or the disk made going on
//          impossible. A second INT or TERM ends the process at once with 1.
#pragma once

#include <atomic>
#include <memory>
#include <string>

#include "broker/app/file_log.h"
#include "broker/app/http_monitor.h"
#include "broker/app/process_files.h"
#include "broker/app/signals.h"
#include "broker/config/options_build.h"
#include "broker/platform/asio_loop.h"
#include "broker/platform/system.h"
#include "broker/server/node.h"

namespace weir::app {

class BrokerProcess {
 public:
  /// `program` is the base name of argv[0]: it names the ports file and prefixes messages.
  BrokerProcess(std::string program, config::Flags flags, config::Options options);
  ~BrokerProcess();

  /// Starts, serves until a signal, returns the exit code. Signals::block() was called.
  int run();

 private:
  Status open_files();
  Status start();
  Status start_http();
  void log_start();
  void log_jetstream();
  void announce();
  Ports ports() const;
  void fail(const std::string& why);

  void on_signal(int signal);
  void stop();
  void finish();
  void lame_duck();
  void reload();
  HttpReply ask_shard(const std::string& path, const std::string& query);

  const std::string program_;
  const config::Flags flags_;
  config::Options options_;
  FileLog log_;
  int exit_code_ = 0;
  bool stopping_ = false;
  bool lame_duck_ = false;
  std::atomic<bool> deaf_{false};  // HTTP threads give up waiting
  std::atomic<int> end_signals_{0};

  // From here on in order of dependence; destroyed from the end.
  platform::SystemClock clock_;
  platform::SystemRandom random_;
  platform::SystemProcess process_;
  platform::AsioLoop loop_;
  std::unique_ptr<env::Transport> transport_;
  std::unique_ptr<env::Disk> disk_;
  std::unique_ptr<env::Env> env_;
  std::unique_ptr<server::Node> node_;
  PortsFile ports_file_;
  std::unique_ptr<HttpMonitor> http_;
  std::unique_ptr<Signals> signals_;
};

}  // namespace weir::app
