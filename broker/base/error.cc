#include "broker/base/error.h"

namespace weir {

const char* code_name(Code code) {
  switch (code) {
    case Code::kInvalid: return "invalid";
    case Code::kNotFound: return "not found";
    case Code::kExists: return "exists";
    case Code::kLimit: return "limit";
    case Code::kCorrupt: return "corrupt";
    case Code::kNoSpace: return "no space";
    case Code::kIo: return "io";
    case Code::kUnavailable: return "unavailable";
    case Code::kUnsupported: return "unsupported";
  }
  return "unknown";
}

std::string Error::to_string() const {
  return std::string(code_name(code)) + ": " + detail;
}

}  // namespace weir
