// broker/base/crc32c.h - CRC-32C (Castagnoli, RFC 3720 appendix B.4), hardware when the CPU has it.
#pragma once

#include <cstdint>

#include "broker/base/bytes.h"

namespace weir {

/// CRC of `data` continued from `crc` (0 to begin). crc32c(b, crc32c(a)) == crc32c(a + b).
std::uint32_t crc32c(ByteSpan data, std::uint32_t crc = 0);

/// Portable table version; the test compares both.
std::uint32_t crc32c_portable(ByteSpan data, std::uint32_t crc = 0);

}  // namespace weir
