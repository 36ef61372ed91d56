#include "tests/sim/checkers/register_history.h"

#include <algorithm>
#include <iterator>
#include <set>
#include <unordered_set>

namespace weir::sim {

namespace {
constexpr Mono kNever{INT64_MAX};
constexpr std::uint64_t kStepsMax = 200'000;
}  // namespace

void RegisterHistory::read(Mono invoked, Mono returned, std::uint64_t saw) {
  Op op;
  op.invoked = invoked;
  op.returned = returned;
  op.is_read = true;
  op.to = saw;
  op.fate = Fate::kDone;
  ops_.push_back(op);
}

std::size_t RegisterHistory::write(Mono invoked, std::uint64_t from, std::uint64_t to) {
  Op op;
  op.invoked = invoked;
  op.returned = kNever;
  op.from = from;
  op.to = to;
  ops_.push_back(op);
  return ops_.size() - 1;
}

void RegisterHistory::settle(std::size_t op, Fate fate, Mono returned, std::uint64_t held) {
  ops_[op].fate = fate;
  ops_[op].held = held;
  ops_[op].returned = fate == Fate::kUnknown ? kNever : returned;
}

/// Whether `op` may take effect on a register that holds `value`, which it then changes.
bool RegisterHistory::takes_effect(const Op& op, std::uint64_t& value) {
  if (op.is_read) return value == op.to;
  if (op.fate == Fate::kRefused) return value != op.from && (op.held == kAny || op.held == value);
  if (op.from != kAny && op.from != value) return false;
  value = op.to;
  return true;
}

/// Depth first; placed_ says which operations have their place, path_ in which order.
class RegisterHistory::Search {
 public:
  explicit Search(std::vector<Op> ops) : ops_(std::move(ops)), placed_(ops_.size(), '0') {
    std::stable_sort(ops_.begin(), ops_.end(),
                     [](const Op& a, const Op& b) { return a.invoked < b.invoked; });
    for (const Op& op : ops_) must_ += op.fate != Fate::kUnknown;
  }

  Answer run() {
    std::size_t next = 0;
    while (must_ > 0) {
      if (++steps_ > kStepsMax) return Answer::kTooLong;
      if (place_one(next)) {
        next = 0;
        continue;
      }
      if (path_.empty()) return Answer::kNot;
      next = path_.back().op + 1;
      take_back();
    }
    return Answer::kLinearizable;
  }

 private:
  struct Step {
    std::size_t op;
    std::uint64_t before;
  };

  /// The next operation at or after `at` that may come next. Nothing that was invoked after the end of one
  /// that is not placed may come before it.
  bool place_one(std::size_t at) {
    Mono limit = kNever;
    for (std::size_t i = first_; i < ops_.size() && ops_[i].invoked <= limit; ++i) {
      if (placed_[i] == '0') limit = std::min(limit, ops_[i].returned);
    }
    for (std::size_t i = std::max(at, first_); i < ops_.size() && ops_[i].invoked <= limit; ++i) {
      if (placed_[i] != '0') continue;
      std::uint64_t value = value_;
      if (!takes_effect(ops_[i], value)) continue;
      placed_[i] = '1';
      if (!tried_.insert(key(value)).second) {
        placed_[i] = '0';
        continue;
      }
      path_.push_back({i, value_});
      value_ = value;
      must_ -= ops_[i].fate != Fate::kUnknown;
      while (first_ < ops_.size() && placed_[first_] == '1') ++first_;
      return true;
    }
    return false;
  }

  /// What is placed behind first_, which says the rest.
  std::string key(std::uint64_t value) const {
    std::size_t end = placed_.rfind('1');
    std::string k = std::to_string(first_) + "/" + std::to_string(value) + "/";
    if (end != std::string::npos && end >= first_) k.append(placed_, first_, end + 1 - first_);
    return k;
  }

  void take_back() {
    Step s = path_.back();
    path_.pop_back();
    placed_[s.op] = '0';
    value_ = s.before;
    must_ += ops_[s.op].fate != Fate::kUnknown;
    first_ = std::min(first_, s.op);
  }

  std::vector<Op> ops_;
  std::string placed_;
  std::vector<Step> path_;
  std::unordered_set<std::string> tried_;
  std::uint64_t value_ = 0, steps_ = 0;
  std::size_t first_ = 0;  // all before it are placed
  std::size_t must_ = 0;   // operations of known fate without a place
};

RegisterHistory::Answer RegisterHistory::check() const {
  // Without the writes of unknown fate that nobody can have seen it is nearly always quick, and more choice
  // never makes a history worse.
  std::set<std::uint64_t> seen;
  for (const Op& op : ops_) {
    if (op.is_read || op.fate == Fate::kDone) seen.insert(op.is_read ? op.to : op.from);
    if (op.fate == Fate::kRefused && op.held != kAny) seen.insert(op.held);
  }
  std::vector<Op> needed;
  std::copy_if(ops_.begin(), ops_.end(), std::back_inserter(needed), [&seen](const Op& op) {
    return op.is_read || op.fate != Fate::kUnknown || seen.count(op.to) > 0;
  });
  if (Search(std::move(needed)).run() == Answer::kLinearizable) return Answer::kLinearizable;
  return Search(ops_).run();
}

std::string RegisterHistory::to_string() const {
  std::vector<Op> ops = ops_;
  std::stable_sort(ops.begin(), ops.end(), [](const Op& a, const Op& b) { return a.invoked < b.invoked; });
  std::string out;
  for (const Op& op : ops) {
    auto at = [](Mono t) { return t == kNever ? std::string("never") : std::to_string(t.ns / 1000); };
    auto value = [](std::uint64_t v) { return v == kAny ? std::string("any") : std::to_string(v); };
    out += "  [" + at(op.invoked) + ", " + at(op.returned) + "] ";
    if (op.is_read) {
      out += "read " + value(op.to) + "\n";
      continue;
    }
    out += "write " + value(op.from) + " -> " + value(op.to);
    if (op.fate == Fate::kUnknown) out += " unknown";
    if (op.fate == Fate::kRefused) out += " refused, held " + value(op.held);
    out += "\n";
  }
  return out;
}

}  // namespace weir::sim
