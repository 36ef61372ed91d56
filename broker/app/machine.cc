#include "broker/app/machine.h"

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <limits>
#include <string>

#include "broker/base/text.h"

namespace weir::app {
namespace {

constexpr std::int64_t kFileStoreFallback = std::int64_t{1} << 40;  // nats-server's, when statfs fails

// Control groups v2 ("max" = none), then v1.
std::uint64_t group_limit_bytes() {
  for (const char* path : {"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"}) {
    std::ifstream in(path);
    std::string text;
    if (in >> text) {
      if (auto limit = parse_u64(text)) return *limit;
    }
  }
  return std::numeric_limits<std::uint64_t>::max();
}

}  // namespace

std::uint64_t usable_memory_bytes() {
  auto pages = static_cast<std::uint64_t>(std::max(::sysconf(_SC_PHYS_PAGES), 0L));
  auto page = static_cast<std::uint64_t>(std::max(::sysconf(_SC_PAGESIZE), 0L));
  return std::min(pages * page, group_limit_bytes());
}

void raise_file_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= limit.rlim_max) return;
  limit.rlim_cur = limit.rlim_max;
  (void)::setrlimit(RLIMIT_NOFILE, &limit);
}

void derive_sizes(config::Options& options, env::Disk& disk) {
  auto& js = options.jetstream;
  if (js.max_memory_store == config::kUnset) {
    js.max_memory_store = static_cast<std::int64_t>(usable_memory_bytes() / 4 * 3);
  }
  if (js.max_file_store == config::kUnset) {
    auto space = disk.space();
    js.max_file_store = space ? static_cast<std::int64_t>(space->free_bytes / 4 * 3) : kFileStoreFallback;
  }
}

}  // namespace weir::app
