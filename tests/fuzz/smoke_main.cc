// tests/fuzz/smoke_main.cc - runs a fuzz target without libFuzzer: its seeds, then changed ones.
//
// Not a search, only a proof that the target still holds on what it begins with and near it. The first
// argument says how many runs; the same number gives the same inputs on every machine.
#include <algorithm>

#include "tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerInitialize(int* argc, char*** argv);
extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size, std::size_t max_size,
                                               unsigned seed) __attribute__((weak));

namespace {
constexpr std::size_t kSizeMax = 512;
weir::Prng prng(1);  // NOLINT: a program of one file
}  // namespace

extern "C" std::size_t LLVMFuzzerMutate(std::uint8_t* data, std::size_t size, std::size_t max_size) {
  for (std::uint64_t n = prng.between(1, 4); n > 0; --n) {
    std::size_t at = static_cast<std::size_t>(prng.below(size + 1));
    auto byte = static_cast<std::uint8_t>(prng.next());
    switch (prng.below(6)) {
      case 0:
        if (size == max_size) break;
        std::copy_backward(data + at, data + size, data + size + 1);
        data[at] = byte;
        ++size;
        break;
      case 1:
        if (at == size) break;
        std::copy(data + at + 1, data + size, data + at);
        --size;
        break;
      case 2: size = at; break;
      case 3:
        if (at < size) data[at] = static_cast<std::uint8_t>(data[at] + (byte & 1 ? 1 : -1));
        break;
      case 4:
        if (at < size) data[at] = byte & 1 ? 0xff : 0x00;
        break;
      default:
        if (at < size) data[at] = byte;
    }
  }
  return size;
}

int main(int argc, char** argv) {
  LLVMFuzzerInitialize(&argc, &argv);
  std::uint64_t runs = argc > 1 ? std::strtoull(argv[1], nullptr, 10) : 1000;
  std::vector<std::string> seeds = weir::fuzz::fuzz_seeds();
  seeds.emplace_back();
  std::vector<std::uint8_t> buffer(kSizeMax);
  auto load = [&](const std::string& seed) {
    std::size_t size = std::min(seed.size(), kSizeMax);
    std::copy_n(seed.begin(), size, buffer.begin());
    return size;
  };
  for (const std::string& seed : seeds) LLVMFuzzerTestOneInput(buffer.data(), load(seed));
  for (std::uint64_t i = 0; i < runs; ++i) {
    std::size_t size = load(seeds[static_cast<std::size_t>(prng.below(seeds.size()))]);
    for (std::uint64_t n = prng.between(1, 3); n > 0; --n) {
      if (LLVMFuzzerCustomMutator != nullptr) {
        size = LLVMFuzzerCustomMutator(buffer.data(), size, kSizeMax, static_cast<unsigned>(prng.next()));
      } else {
        size = LLVMFuzzerMutate(buffer.data(), size, kSizeMax);
      }
    }
    std::vector<std::uint8_t> exact(buffer.begin(), buffer.begin() + static_cast<std::ptrdiff_t>(size));
    LLVMFuzzerTestOneInput(exact.data(), exact.size());
  }
  std::printf("%zu seeds, %llu runs\n", seeds.size(), static_cast<unsigned long long>(runs));
  return 0;
}
