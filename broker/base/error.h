// broker/base/error.h - operating errors as values.
//
// Room:   pure. Four kinds are never mixed (docs/ARCHITECTURE.md "Errors"): expected outcomes are
//         data, operating errors are Result, programmer errors are CHECK, foreign exceptions end at
//         the wall. This is the second kind.
#pragma once

#include <string>
#include <utility>

namespace weir {

/// A code exists only where a caller reacts to it.
enum class Code : unsigned char {
  kInvalid,      // input breaks a rule of its format; detail says which and where
  kNotFound,     // the thing asked for does not exist
  kExists,       // the thing to be created is there already
  kLimit,        // a cap of limits.h or of the configuration was reached
  kCorrupt,      // stored bytes fail their checksum or contradict each other
  kNoSpace,      // the disk is full (ENOSPC, EDQUOT)
  kIo,           // any other disk or network failure
  kUnavailable,  // not now: shutting down, no leader, no quorum
  kUnsupported,  // understood, but this build does not do it
};

/// Lower-case word of a code, for log lines.
const char* code_name(Code code);

struct Error {
  Code code = Code::kInvalid;
  std::string detail;  // one line for people: what, where, what to do

  Error() = default;
  Error(Code c, std::string d) : code(c), detail(std::move(d)) {}

  /// "corrupt: detail"
  std::string to_string() const;
  /// Same error with `prefix + ": "` before the detail.
  Error within(const std::string& prefix) const { return {code, prefix + ": " + detail}; }
};

}  // namespace weir
