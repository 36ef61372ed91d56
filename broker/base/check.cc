#include "broker/base/check.h"

#include <cstdio>
#include <cstdlib>

namespace weir {

void check_failed(const char* file, int line, const char* condition, const char* why) {
  std::fprintf(stderr, "%s:%d: CHECK failed: %s%s%s\n", file, line, condition, *why ? " - " : "", why);
  std::fflush(stderr);
  std::abort();
}

}  // namespace weir
