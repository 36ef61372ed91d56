// tests/sim/checkers/register_history.h - is the history of one compare-and-set register linearizable?
//
// A register holds the identity of its last write; every write has its own, 0 = nothing was ever written.
// Each operation took effect once between its invocation and its answer; one of unknown fate took effect
// once after its invocation, or never. check() looks for an order in which that explains every answer,
// after Wing and Gong with Lowe's memory of what was tried (states of "which are placed, what is held").
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "broker/base/time.h"

namespace weir::sim {

class RegisterHistory {
 public:
  enum class Fate : unsigned char { kUnknown, kDone, kRefused };
  static constexpr std::uint64_t kAny = UINT64_MAX;

  /// A read that was answered: nothing is learnt from others.
  void read(Mono invoked, Mono returned, std::uint64_t saw);
  /// Writes `to` if the register holds `from` (kAny: whatever it holds). The number is for settle().
  std::size_t write(Mono invoked, std::uint64_t from, std::uint64_t to);
  /// kRefused: it did not hold `from`; `held` is what it held then, kAny: not told.
  void settle(std::size_t op, Fate fate, Mono returned, std::uint64_t held = kAny);

  enum class Answer : unsigned char { kLinearizable, kNot, kTooLong };
  Answer check() const;
  std::size_t size() const { return ops_.size(); }
  /// One line for each operation, by invocation.
  std::string to_string() const;

 private:
  struct Op {
    Mono invoked, returned;
    bool is_read = false;
    std::uint64_t from = 0, to = 0;  // a read: to = what it saw
    std::uint64_t held = kAny;
    Fate fate = Fate::kUnknown;
  };
  class Search;
  static bool takes_effect(const Op& op, std::uint64_t& value);

  std::vector<Op> ops_;
};

}  // namespace weir::sim
