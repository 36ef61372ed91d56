// broker/base/result.h - a value or an Error; must be looked at.
//
// Room:    pure. Member names follow std::expected, so that a later compiler needs one alias.
// Errors:  value() on an error is a programmer error (CHECK).
// Use:     ASSIGN_OR_RETURN(auto x, f());   RETURN_IF_ERROR(g());
#pragma once

#include <optional>
#include <utility>
#include <variant>

#include "broker/base/check.h"
#include "broker/base/error.h"

namespace weir {

template <class T>
class [[nodiscard]] Result {
 public:
  Result(T value) : v_(std::in_place_index<0>, std::move(value)) {}      // NOLINT: implicit
  Result(Error error) : v_(std::in_place_index<1>, std::move(error)) {}  // NOLINT: implicit
  Result(Code code, std::string detail) : v_(std::in_place_index<1>, code, std::move(detail)) {}

  bool has_value() const { return v_.index() == 0; }
  explicit operator bool() const { return has_value(); }

  T& value() & {
    CHECK(has_value(), "value() of an error");
    return std::get<0>(v_);
  }
  const T& value() const& {
    CHECK(has_value(), "value() of an error");
    return std::get<0>(v_);
  }
  T&& value() && {
    CHECK(has_value(), "value() of an error");
    return std::get<0>(std::move(v_));
  }
  T& operator*() & { return value(); }
  const T& operator*() const& { return value(); }
  T&& operator*() && { return std::move(*this).value(); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }

  const Error& error() const {
    CHECK(!has_value(), "error() of a value");
    return std::get<1>(v_);
  }
  T value_or(T other) const { return has_value() ? value() : std::move(other); }

 private:
  std::variant<T, Error> v_;
};

template <>
class [[nodiscard]] Result<void> {
 public:
  Result() = default;
  Result(Error error) : e_(std::move(error)) {}  // NOLINT: implicit
  Result(Code code, std::string detail) : e_(std::in_place, code, std::move(detail)) {}

  bool has_value() const { return !e_; }
  explicit operator bool() const { return has_value(); }
  const Error& error() const {
    CHECK(e_.has_value(), "error() of a value");
    return *e_;
  }

 private:
  std::optional<Error> e_;
};

using Status = Result<void>;
inline Status ok() {
  return {};
}

}  // namespace weir

#define WEIR_CONCAT_(a, b) a##b
#define WEIR_CONCAT(a, b) WEIR_CONCAT_(a, b)
#define RETURN_IF_ERROR(expr)                                    \
  do {                                                           \
    if (auto weir_r_ = (expr); !weir_r_) return weir_r_.error(); \
  } while (0)
#define WEIR_ASSIGN_OR_RETURN(tmp, decl, expr) \
  auto tmp = (expr);                           \
  if (!tmp) return tmp.error();                \
  decl = std::move(tmp).value()
#define ASSIGN_OR_RETURN(decl, expr) WEIR_ASSIGN_OR_RETURN(WEIR_CONCAT(weir_tmp_, __LINE__), decl, expr)
