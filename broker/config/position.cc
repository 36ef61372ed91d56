#include "broker/config/position.h"

namespace weir::config {

std::string Position::to_string() const {
  if (!file) return {};
  return *file + ":" + std::to_string(line) + ":" + std::to_string(column);
}

std::string Issue::to_string() const {
  return at.known() ? at.to_string() + ": " + text : text;
}

}  // namespace weir::config
