// broker/base/check.h - programmer errors stop the process, also in release.
//
// CHECK(cond) and CHECK(cond, "why") print file, line and the condition, then abort.
// DCHECK is for conditions that cost more than the code they guard; off when NDEBUG is set.
#pragma once

namespace weir {
/// Prints to stderr and aborts. Never returns; async-signal-unsafe.
[[noreturn]] void check_failed(const char* file, int line, const char* condition, const char* why);
}  // namespace weir

#define WEIR_CHECK_2(cond, why) \
  (__builtin_expect(!!(cond), 1) ? (void)0 : ::weir::check_failed(__FILE__, __LINE__, #cond, why))
#define WEIR_CHECK_1(cond) WEIR_CHECK_2(cond, "")
#define WEIR_CHECK_PICK(a, b, name, ...) name
#define CHECK(...) WEIR_CHECK_PICK(__VA_ARGS__, WEIR_CHECK_2, WEIR_CHECK_1, unused)(__VA_ARGS__)

#ifdef NDEBUG
#define DCHECK(...) ((void)0)
#else
#define DCHECK(...) CHECK(__VA_ARGS__)
#endif
