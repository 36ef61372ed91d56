// broker/app/file_log.h - log lines in the format that operators and tools of NATS know.
//
// Room:    edge. "[pid] YYYY/MM/DD hh:mm:ss.micros [INF] text", one write(2) per line.
//          Plain code instead of spdlog: the level names, the pid field and reopening after rotation
//          are all that is needed, and each would have to be added to spdlog's formatter and sinks.
// Thread:  any.
// Errors:  a line that cannot be written is dropped; there is nowhere left to say so.
#pragma once

#include <atomic>
#include <mutex>
#include <string>

#include "broker/base/log.h"
#include "broker/base/result.h"

namespace weir::app {

struct LogOptions {
  std::string file;  // empty = stderr; otherwise only the file gets lines
  bool debug = false;
  bool trace = false;
  bool with_time = true;
  bool utc = false;
};

class FileLog final : public Log {
 public:
  /// Logs to stderr until configure() says otherwise.
  FileLog() = default;
  ~FileLog() override;

  /// Takes over `options`. On an error (the file cannot be opened) nothing changes.
  Status configure(const LogOptions& options);
  /// Opens the file again under its name, after a rotation moved it away. No-op for stderr.
  Status reopen();

  void write(Level level, std::string_view line) override;
  bool enabled(Level level) const override;

 private:
  std::atomic<bool> debug_{false};
  std::atomic<bool> trace_{false};
  std::mutex mutex_;
  LogOptions options_;  // under mutex_, as the next two
  int fd_ = 2;
  std::string buffer_;
};

}  // namespace weir::app
