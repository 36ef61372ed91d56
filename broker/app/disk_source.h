// broker/app/disk_source.h - configuration texts from files and the environment.
#pragma once

#include "broker/config/conf_parser.h"

namespace weir::app {

class DiskSource final : public config::Source {
 public:
  /// Refuses files above ConfLimits::file_bytes_max, folders and devices.
  Result<std::string> read_file(const std::string& path) override;
  std::optional<std::string> env(const std::string& name) override;
};

}  // namespace weir::app
