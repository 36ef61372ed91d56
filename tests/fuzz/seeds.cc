// tests/fuzz/seeds.cc - linked into every target: writes its seeds when it is asked to, sets up the
// sanitizer.
#include <fstream>

#include "tests/fuzz/fuzz.h"

// Of targets that have none.
__attribute__((weak)) std::vector<std::string> weir::fuzz::fuzz_seeds() {
  return {};
}

extern "C" int LLVMFuzzerInitialize(int* /*argc*/, char*** /*argv*/) {
  const char* folder = std::getenv("WEIR_FUZZ_SEEDS");
  if (folder == nullptr) return 0;
  std::size_t n = 0;
  for (const std::string& seed : weir::fuzz::fuzz_seeds()) {
    std::ofstream out(std::string(folder) + "/seed-" + std::to_string(n++), std::ios::binary);
    out << seed;
    if (!out.flush()) std::exit(1);
  }
  std::exit(0);
}

// Memory that was freed in a run need not stay away for long after it: without a quarantine of hundreds of
// MiB the targets run in the processor's cache, three times as fast.
extern "C" const char* __asan_default_options() {  // NOLINT: the sanitizer's name
  return "quarantine_size_mb=2:malloc_context_size=4";
}
