// broker/platform/system.h - clocks, chance, process figures and error texts of the machine.
//
// Thread: monotonic_now, wall_now and errno_text anywhere; the objects on the shard's loop.
#pragma once

#include <string>

#include "broker/base/result.h"
#include "broker/env/env.h"

namespace weir::platform {

Mono monotonic_now();
Wall wall_now();

class SystemClock final : public env::Clock {
 public:
  Mono now() override { return monotonic_now(); }
  Wall wall() override { return wall_now(); }
};

/// getrandom(2), read in blocks.
class SystemRandom final : public env::Random {
 public:
  std::uint64_t next() override;

 private:
  static constexpr std::size_t kWords = 32;
  std::uint64_t words_[kWords] = {};
  std::size_t used_ = kWords;
};

class SystemProcess final : public env::Process {
 public:
  SystemProcess();
  env::ProcessUsage usage() override;

 private:
  Mono last_at_;
  Nanos last_cpu_ns_ = 0;
  unsigned cores_ = 1;
};

/// The system's text of an error number as Go programs print it: "address already in use".
std::string errno_text(int error);
/// kNoSpace, kNotFound, kExists or kIo, with "what: text" as detail.
Error errno_error(int error, const std::string& what);

}  // namespace weir::platform
