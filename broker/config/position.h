// broker/config/position.h - a place in a configuration text, carried by everything read from it.
//
// Room:    pure. Copies are cheap: the file name is shared.
// Text:    "FILE:LINE:COL", both numbers 1-based, columns in bytes. Flags say "command line".
#pragma once

#include <cstdint>
#include <memory>
#include <string>

namespace weir::config {

struct Position {
  std::shared_ptr<const std::string> file;  // null = not from a file (default or command line)
  std::uint32_t line = 0;
  std::uint32_t column = 0;

  bool known() const { return file != nullptr; }
  /// "FILE:LINE:COL", or "" when unknown.
  std::string to_string() const;
};

/// One complaint about a configuration. An error stops the start, a warning is printed.
struct Issue {
  Position at;
  std::string text;

  /// "FILE:LINE:COL: text", or just the text when the place is unknown.
  std::string to_string() const;
};

}  // namespace weir::config
