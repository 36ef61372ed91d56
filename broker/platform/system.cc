#include "broker/platform/system.h"

#include <sched.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cctype>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <ctime>

#include "broker/base/check.h"

namespace weir::platform {
namespace {

Nanos read_clock(clockid_t id) {
  timespec t{};
  clock_gettime(id, &t);
  return Nanos{t.tv_sec} * kSecond + t.tv_nsec;
}

Nanos cpu_time_ns() {
  rusage u{};
  getrusage(RUSAGE_SELF, &u);
  return (Nanos{u.ru_utime.tv_sec} + u.ru_stime.tv_sec) * kSecond +
         (Nanos{u.ru_utime.tv_usec} + u.ru_stime.tv_usec) * kMicrosecond;
}

std::uint64_t resident_bytes() {
  std::FILE* f = std::fopen("/proc/self/statm", "re");
  if (!f) return 0;
  unsigned long long total = 0, resident = 0;
  int fields = std::fscanf(f, "%llu %llu", &total, &resident);
  std::fclose(f);
  return fields == 2 ? resident * static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE)) : 0;
}

}  // namespace

Mono monotonic_now() {
  return Mono{read_clock(CLOCK_MONOTONIC)};
}
Wall wall_now() {
  return Wall{read_clock(CLOCK_REALTIME)};
}

std::uint64_t SystemRandom::next() {
  if (used_ == kWords) {
    ssize_t n;
    do {
      n = getrandom(words_, sizeof words_, 0);
    } while (n < 0 && errno == EINTR);
    // Blocks of up to 256 bytes are never cut short (getrandom(2)); without chance nothing is safe.
    CHECK(n == static_cast<ssize_t>(sizeof words_), "getrandom failed");
    used_ = 0;
  }
  return words_[used_++];
}

SystemProcess::SystemProcess() : last_at_(monotonic_now()), last_cpu_ns_(cpu_time_ns()) {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof set, &set) == 0) {
    if (int n = CPU_COUNT(&set); n > 0) cores_ = static_cast<unsigned>(n);
  }
}

env::ProcessUsage SystemProcess::usage() {
  env::ProcessUsage u;
  u.rss_bytes = resident_bytes();
  u.cores = cores_;
  Mono now = monotonic_now();
  Nanos cpu = cpu_time_ns();
  if (now > last_at_) {
    u.cpu_percent = 100.0 * static_cast<double>(cpu - last_cpu_ns_) / static_cast<double>(now - last_at_);
  }
  last_at_ = now;
  last_cpu_ns_ = cpu;
  return u;
}

std::string errno_text(int error) {
  char buffer[128];
  std::string text = ::strerror_r(error, buffer, sizeof buffer);
  // "No such file" -> "no such file", but leave "RFS specific error" alone.
  if (text.size() > 1 && !std::isupper(static_cast<unsigned char>(text[1]))) {
    text[0] = static_cast<char>(std::tolower(static_cast<unsigned char>(text[0])));
  }
  return text;
}

Error errno_error(int error, const std::string& what) {
  Code code = Code::kIo;
  switch (error) {
    case ENOSPC:
    case EDQUOT: code = Code::kNoSpace; break;
    case ENOENT: code = Code::kNotFound; break;
    case EEXIST: code = Code::kExists; break;
    default: break;
  }
  return {code, what + ": " + errno_text(error)};
}

}  // namespace weir::platform
