// surveyor/inflate.h - gzip in both directions, in memory. Pure; zlib stays in the .cc file.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "broker/base/result.h"

namespace weir::surveyor {

/// Errors: kInvalid no gzip or cut off; kLimit the text would be longer than `bytes_max`.
Result<std::string> gunzip(std::string_view packed, std::size_t bytes_max);
/// Fast level: the text is compressed once per round and read by few.
std::string gzip(std::string_view text);

}  // namespace weir::surveyor
