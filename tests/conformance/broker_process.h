// tests/conformance/broker_process.h - a real weir-broker for one test.
//
// Owns:    a temporary folder, a process on 127.0.0.1 and a free port; both end with the object.
// Binary:  $WEIR_BROKER (set by CTest).
// Errors:  failures to start are thrown as std::runtime_error with the process's log: tests only.
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <string>

namespace weir::conformance {

class BrokerProcess {
 public:
  /// `config`: further lines of the configuration file; `jetstream`: further keys of its block.
  explicit BrokerProcess(const std::string& config = "", const std::string& jetstream = "");
  ~BrokerProcess();
  BrokerProcess(const BrokerProcess&) = delete;
  BrokerProcess& operator=(const BrokerProcess&) = delete;

  /// Starts on the same store and, from the second time on, the same port. Returns when it is ready.
  void start();
  /// SIGTERM and wait. Returns the exit code, or minus the signal that ended it.
  int stop();
  /// kill -9.
  void kill();
  void restart();
  void crash_and_restart();

  /// "nats://127.0.0.1:PORT", with "user:password@" if given.
  std::string url(const std::string& login = "") const;
  std::string log() const;

 private:
  int wait_for_end(int signal);

  std::filesystem::path folder_;
  std::string config_;
  std::string jetstream_;
  pid_t pid_ = -1;
  int port_ = -1;
};

}  // namespace weir::conformance
