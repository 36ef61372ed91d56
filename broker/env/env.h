// broker/env/env.h - everything the broker asks of the world, as interfaces.
//
// Room:    interfaces only. platform/ implements them with asio and POSIX, tests/sim with a seeded
//          world. Nothing below app/ touches a clock, a socket, a file or chance in another way.
// Thread:  one shard. Every call comes from the shard's loop and every completion runs on it, never
//          inside the call that started it.
#pragma once

#include <cstdint>
#include <span>

#include "broker/base/log.h"
#include "broker/base/time.h"
#include "broker/env/disk.h"
#include "broker/env/loop.h"
#include "broker/env/transport.h"

namespace weir::env {

class Clock {
 public:
  virtual ~Clock() = default;
  virtual Mono now() = 0;
  /// Unix time. May jump; only log time (DESIGN 4) and display use it.
  virtual Wall wall() = 0;
};

/// Unpredictable bytes: ids, nonces, seeds of Prng. The simulator's come from its seed.
class Random {
 public:
  virtual ~Random() = default;
  virtual std::uint64_t next() = 0;
};

/// What the process uses, for /varz and STATSZ.
struct ProcessUsage {
  std::uint64_t rss_bytes = 0;
  double cpu_percent = 0;  // 100 = one core, average since the last call or the start
  unsigned cores = 1;
};
class Process {
 public:
  virtual ~Process() = default;
  virtual ProcessUsage usage() = 0;
};

/// Given to a Node; the referents outlive it.
struct Env {
  Clock& clock;
  Loop& loop;
  Disk& disk;
  Transport& transport;
  Random& random;
  Process& process;
  Log& log;
};

}  // namespace weir::env
