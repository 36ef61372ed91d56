// broker/base/unique_function.h - a move-only callable (std::move_only_function is C++23).
//
// Small callables (up to 48 bytes, nothrow movable) live inside the object: no allocation.
#pragma once

#include <cstddef>
#include <new>
#include <type_traits>
#include <utility>

#include "broker/base/check.h"

namespace weir {

template <class Signature>
class UniqueFunction;

template <class R, class... Args>
class UniqueFunction<R(Args...)> {
 public:
  UniqueFunction() = default;
  UniqueFunction(std::nullptr_t) {}  // NOLINT: implicit

  template <class F, class = std::enable_if_t<!std::is_same_v<std::decay_t<F>, UniqueFunction> &&
                                              std::is_invocable_r_v<R, std::decay_t<F>&, Args...>>>
  UniqueFunction(F&& f) {  // NOLINT: implicit
    using T = std::decay_t<F>;
    if constexpr (fits<T>()) {
      new (&space_) T(std::forward<F>(f));
      ops_ = &kInline<T>;
    } else {
      *reinterpret_cast<T**>(&space_) = new T(std::forward<F>(f));
      ops_ = &kHeap<T>;
    }
  }
  UniqueFunction(UniqueFunction&& o) noexcept { take(o); }
  UniqueFunction& operator=(UniqueFunction&& o) noexcept {
    if (this != &o) {
      reset();
      take(o);
    }
    return *this;
  }
  UniqueFunction(const UniqueFunction&) = delete;
  UniqueFunction& operator=(const UniqueFunction&) = delete;
  ~UniqueFunction() { reset(); }

  explicit operator bool() const { return ops_ != nullptr; }
  R operator()(Args... args) {
    CHECK(ops_ != nullptr, "call of an empty function");
    return ops_->call(&space_, std::forward<Args>(args)...);
  }

 private:
  struct Ops {
    R (*call)(void*, Args&&...);
    void (*move)(void* from, void* to);
    void (*destroy)(void*);
  };
  static constexpr std::size_t kSpace = 48;
  template <class T>
  static constexpr bool fits() {
    return sizeof(T) <= kSpace && alignof(T) <= alignof(std::max_align_t) &&
           std::is_nothrow_move_constructible_v<T>;
  }
  template <class T>
  static constexpr Ops kInline = {
      [](void* p, Args&&... a) -> R { return (*static_cast<T*>(p))(std::forward<Args>(a)...); },
      [](void* from, void* to) {
        new (to) T(std::move(*static_cast<T*>(from)));
        static_cast<T*>(from)->~T();
      },
      [](void* p) { static_cast<T*>(p)->~T(); }};
  template <class T>
  static constexpr Ops kHeap = {
      [](void* p, Args&&... a) -> R { return (**static_cast<T**>(p))(std::forward<Args>(a)...); },
      [](void* from, void* to) { *static_cast<T**>(to) = *static_cast<T**>(from); },
      [](void* p) { delete *static_cast<T**>(p); }};

  void take(UniqueFunction& o) noexcept {
    if (o.ops_) o.ops_->move(&o.space_, &space_);
    ops_ = std::exchange(o.ops_, nullptr);
  }
  void reset() {
    if (ops_) std::exchange(ops_, nullptr)->destroy(&space_);
  }

  alignas(std::max_align_t) unsigned char space_[kSpace];
  const Ops* ops_ = nullptr;
};

}  // namespace weir
