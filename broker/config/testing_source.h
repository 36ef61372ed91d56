// broker/config/testing_source.h - files and environment from maps, for tests.
#pragma once

#include <map>
#include <optional>
#include <string>

#include "broker/config/conf_parser.h"

namespace weir::config {

class MapSource : public Source {
 public:
  std::map<std::string, std::string> files;
  std::map<std::string, std::string> variables;

  Result<std::string> read_file(const std::string& path) override {
    auto found = files.find(path);
    if (found == files.end()) return {Code::kNotFound, "open " + path + ": no such file or directory"};
    return found->second;
  }
  std::optional<std::string> env(const std::string& name) override {
    auto found = variables.find(name);
    if (found == variables.end()) return std::nullopt;
    return found->second;
  }
};

}  // namespace weir::config
