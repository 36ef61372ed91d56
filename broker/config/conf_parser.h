// broker/config/conf_parser.h - a configuration file, its includes and variables, as one tree.
//
// Room:    pure: files and environment come through Source, which app/ implements.
// Errors:  kInvalid with "FILE:LINE:COL: Parse error on line N: '...'" for bad syntax, and
//          "FILE:LINE:COL: ..." for a bad include or variable. The first one ends the parse: what
//          follows a syntax error has no reliable meaning. Meaning is checked by options_build,
//          which collects all complaints.
// Limits:  ConfLimits; reaching one is an error, never a crash (fuzzed by tests/fuzz/conf_fuzz.cc).
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "broker/base/result.h"
#include "broker/config/conf_value.h"

namespace weir::config {

/// Where texts come from. Calls happen during parse_file() / parse_text() only.
class Source {
 public:
  virtual ~Source() = default;
  /// Whole content of a file; any error is reported with the place of the include.
  virtual Result<std::string> read_file(const std::string& path) = 0;
  /// Value of an environment variable; nullopt = not set.
  virtual std::optional<std::string> env(const std::string& name) = 0;
};

struct ConfLimits {
  std::size_t file_bytes_max = 16u << 20;
  std::size_t depth_max = 64;              // nested maps and arrays
  std::size_t nodes_max = 1'000'000;       // values in the tree, copies made by variables included
  std::size_t include_depth_max = 16;      // also ends include cycles
  std::size_t files_max = 256;             // read in all
  std::size_t text_bytes_max = 64u << 20;  // of all strings in the tree, copies included
};

struct ConfTree {
  Value root;  // a map
  std::vector<Issue> warnings;
};

/// Reads `path` and what it includes. Relative includes are relative to the including file.
Result<ConfTree> parse_file(const std::string& path, Source& source, const ConfLimits& limits = {});
/// The same for a text at hand; `name` is the file name in messages and the base of includes.
Result<ConfTree> parse_text(std::string_view text, const std::string& name, Source& source,
                            const ConfLimits& limits = {});

}  // namespace weir::config
