// broker/app/process_files.h - files that tell others about this process: pid file and ports file.
//
// Source:  what NATS client suites and launchers read (docs/ARCHITECTURE.md "Compatibility").
// Errors:  kIo and friends with the path in the text.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "broker/base/result.h"

namespace weir::app {

/// Decimal pid without a newline (nats.rs parses without trimming). The file stays after exit.
Status write_pid_file(const std::string& path);

/// Kind ("nats", "monitoring", "cluster", "websocket") and its URLs, in order.
using Ports = std::vector<std::pair<std::string, std::vector<std::string>>>;

/// "<dir>/<program>_<pid>.ports", removed when destroyed.
class PortsFile {
 public:
  PortsFile() = default;
  PortsFile(const PortsFile&) = delete;
  PortsFile& operator=(const PortsFile&) = delete;
  ~PortsFile();

  /// Appears at once and complete: written aside, then renamed. `program` is argv[0]'s base name.
  Status write(const std::string& dir, const std::string& program, const Ports& ports);
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

/// The file's text: one JSON object; kinds without URLs are left out.
std::string format_ports(const Ports& ports);

}  // namespace weir::app
