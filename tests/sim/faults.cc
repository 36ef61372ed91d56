#include "tests/sim/faults.h"

#include <algorithm>
#include <utility>

namespace weir::sim {

std::string_view name_of(Fault f) {
  static constexpr std::array<std::string_view, kFaults> kNames = {
      "power", "power-at", "power-all", "kill",    "kill-all", "stop", "rolling",
      "pause", "split",    "isolate",   "one-way", "bridge",   "slow", "resets",
      "clock", "syncs",    "reads",     "rot",     "full",     "wipe", "remove"};
  return kNames[static_cast<std::size_t>(f)];
}

Faults::Faults(env::testing::SimTime& time, SimNet& net, Nodes& nodes, std::vector<std::string> clients,
               FaultOptions options, EventLog& events)
    : time_(time),
      loop_(time),
      net_(net),
      nodes_(nodes),
      clients_(std::move(clients)),
      options_(options),
      events_(events),
      prng_(options.seed) {}

void Faults::begin() {
  active_ = true;
  schedule();
}

void Faults::schedule() {
  Nanos wait = static_cast<Nanos>(prng_.below(static_cast<std::uint64_t>(options_.pause_max)));
  loop_.at(loop_.now() + wait, [this] {
    std::vector<Fault> may;
    for (std::size_t i = 0; i < kFaults; ++i) {
      if (options_.enabled[i]) may.push_back(static_cast<Fault>(i));
    }
    if (!may.empty()) inject(may[prng_.below(may.size())]);
    schedule();
  });
}

Nanos Faults::back_after() {
  return static_cast<Nanos>(prng_.chance(1, 4) ? prng_.between(400, 6000) : prng_.between(1, 400)) *
         kMillisecond;
}

SimNode& Faults::the_victim() {
  if (victim_ < 0) victim_ = static_cast<int>(prng_.below(nodes_.size()));
  return nodes_[static_cast<std::size_t>(victim_)];
}

void Faults::inject(Fault f) {
  bool damages = f == Fault::kReads || f == Fault::kRot || f == Fault::kWipe;
  if (damages && (removed_ || (may_damage && !may_damage()))) return;
  if (f != Fault::kRemove) ++counts[static_cast<std::size_t>(f)];
  SimNode& n = any();
  switch (f) {
    case Fault::kPower: return n.die(Death::kPower, back_after());
    case Fault::kPowerAt:
      events_.add(n.name() + " will lose power at a disk operation");
      return n.power_fails_at(prng_.between(1, 80), back_after());
    case Fault::kPowerAll:
    case Fault::kKillAll:
      for (auto& each : nodes_) each->die(f == Fault::kPowerAll ? Death::kPower : Death::kKill, back_after());
      return;
    case Fault::kKill: return n.die(Death::kKill, back_after());
    case Fault::kStop: return n.die(Death::kStop, back_after());
    case Fault::kRolling: return rolling(0, 0);
    case Fault::kPause:
      return n.pause(
          static_cast<Nanos>(prng_.chance(1, 3) ? prng_.between(2000, 10'000) : prng_.between(50, 2000)) *
          kMillisecond);
    case Fault::kSplit: return split(false);
    case Fault::kIsolate: return isolate();
    case Fault::kOneWay: {
      SimNode& other = any();
      events_.add("what " + n.name() + " says does not reach " + other.name());
      cut_way(n.host().address(), other.host().address());
      return end_cuts_later();
    }
    case Fault::kBridge: return split(true);
    case Fault::kSlow: return slow();
    case Fault::kReset: (void)net_.reset_one(n.host()); return;
    case Fault::kClock:
      return n.jump((prng_.chance(1, 2) ? 1 : -1) * static_cast<Nanos>(prng_.between(1, 7200)) * kSecond / 2);
    case Fault::kSync: {
      if (!n.running()) return;
      n.expect_errors = true;
      const char* which = prng_.chance(2, 3) ? "journal" : "catalog";
      events_.add(n.name() + ": the next sync of the " + which + " fails");
      n.disk().fail_next_sync(which);
      restart_.push_back(&n);
      return;
    }
    case Fault::kReads: {
      SimNode& v = the_victim();
      if (!v.running()) return;
      v.fail_reads(some_files(v, 3));
      restart_.push_back(&v);
      return;
    }
    case Fault::kRot: return the_victim().rot(some_files(the_victim(), 3));
    case Fault::kFull: return fill(n);
    case Fault::kWipe: return the_victim().lose_disk(back_after());
    case Fault::kRemove: return remove_node(n);
    case Fault::kCount: return;
  }
}

void Faults::rolling(std::size_t at, unsigned life) {
  if (at == nodes_.size()) return;
  SimNode& n = nodes_[at];
  if (life == 0) {
    life = n.lives();
    n.die(Death::kStop, back_after());
  }
  loop_.at(loop_.now() + 300 * kMillisecond, [this, at, life] {
    bool back = nodes_[at].running() && nodes_[at].lives() > life;
    rolling(back ? at + 1 : at, back ? 0 : life);
  });
}

// ---- ways ------------------------------------------------------------------------------------

std::string Faults::list(const std::vector<std::size_t>& of) const {
  std::string out;
  for (std::size_t i : of) out += (out.empty() ? "" : " ") + nodes_[i].name();
  return "{" + out + "}";
}

void Faults::cut_way(const std::string& from, const std::string& to) {
  if (from != to) net_.partition(from, to, env::testing::Cut::kFirstToSecond);
}

void Faults::cut(SimNode& a, SimNode& b) {
  cut_way(a.host().address(), b.host().address());
  cut_way(b.host().address(), a.host().address());
}

void Faults::cut_clients(SimNode& n) {
  for (const std::string& c : clients_) net_.partition(c, n.host().address());
}

void Faults::end_cuts_later() {
  Nanos after =
      static_cast<Nanos>(prng_.chance(1, 4) ? prng_.between(3000, 12'000) : prng_.between(50, 3000)) *
      kMillisecond;
  loop_.at(loop_.now() + after, [this] {
    events_.add("partitions end");
    net_.heal_all();
  });
}

void Faults::split(bool bridge) {
  std::vector<std::size_t> order;
  for (std::size_t i = 0; i < nodes_.size(); ++i) order.push_back(i);
  for (std::size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[prng_.below(i)]);
  std::size_t middle = bridge ? order.back() : nodes_.size();
  if (bridge) order.pop_back();
  std::size_t half = bridge ? order.size() / 2 : prng_.between(1, order.size() - 1);
  std::vector<std::size_t> left(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(half));
  std::vector<std::size_t> right(order.begin() + static_cast<std::ptrdiff_t>(half), order.end());
  events_.add("split " + list(left) + " " + list(right) +
              (bridge ? ", both hear " + nodes_[middle].name() : std::string()));
  for (std::size_t a : left) {
    for (std::size_t b : right) cut(nodes_[a], nodes_[b]);
  }
  end_cuts_later();
}

void Faults::isolate() {
  SimNode& n = any();
  bool clients = prng_.chance(1, 2);
  events_.add(n.name() + " is isolated" + (clients ? ", from clients too" : ""));
  for (auto& other : nodes_) cut(n, *other);
  if (clients) cut_clients(n);
  end_cuts_later();
}

void Faults::slow() {
  Nanos extra = static_cast<Nanos>(prng_.between(5, 800)) * kMillisecond;
  SimNode& n = any();
  bool to_all = prng_.chance(1, 2);
  SimNode& other = any();
  events_.add("what " + n.name() + " says takes " + std::to_string(extra / kMillisecond) + " ms more to " +
              (to_all ? "all" : other.name()));
  for (auto& to : nodes_) {
    if (!to_all && to.get() != &other) continue;
    net_.set_extra_delay(n.host().address(), to->host().address(), extra);
    slow_.emplace_back(n.host().address(), to->host().address());
  }
  loop_.at(loop_.now() + static_cast<Nanos>(prng_.between(200, 6000)) * kMillisecond, [this] {
    for (const auto& [from, to] : std::exchange(slow_, {})) net_.set_extra_delay(from, to, 0);
  });
}

// ---- disks -----------------------------------------------------------------------------------

std::vector<std::string> Faults::some_files(SimNode& n, std::size_t most) {
  std::vector<std::string> all = n.disk().files(), out;
  if (all.empty()) return out;
  std::size_t count = prng_.between(1, most);
  for (std::size_t i = 0; i < count; ++i) out.push_back(all[prng_.below(all.size())]);
  return out;
}

// Somebody else fills the disk, for a while. A catalog that met it may need a restart (docs/testing.md).
void Faults::fill(SimNode& n) {
  if (n.disk_full || !n.running()) return;
  n.disk_full = true;
  n.disk().set_capacity(n.disk().used_bytes() + prng_.below(200'000));
  events_.add(n.name() + ": the disk is nearly full");
  restart_.push_back(&n);
  loop_.at(loop_.now() + static_cast<Nanos>(prng_.between(100, 3000)) * kMillisecond, [this, &n] {
    events_.add(n.name() + ": the disk has room again");
    n.disk().set_capacity(options_.disk_bytes);
  });
}

// ---- members ---------------------------------------------------------------------------------

void Faults::remove_node(SimNode& n) {
  if (removed_ || victim_ >= 0 || (may_damage && !may_damage()) || !remove || !remove(n)) return;
  ++counts[static_cast<std::size_t>(Fault::kRemove)];
  removed_ = true;
  n.expect_errors = true;
  events_.add(n.name() + " is removed from the cluster");
}

void Faults::heal() {
  active_ = false;
  events_.add("faults end");
  loop_.forget_all();
  net_.heal_all();
  for (const auto& [from, to] : std::exchange(slow_, {})) net_.set_extra_delay(from, to, 0);
  for (auto& n : nodes_) {
    n->resume();
    n->disk().clear_faults();
    n->disk().set_capacity(options_.disk_bytes);
    n->cancel_power_failure();
  }
  for (SimNode* n : std::exchange(restart_, {})) {
    if (n->disk_full) n->expect_errors = true;
    n->disk_full = false;
    n->die(Death::kKill, 10 * kMillisecond);
  }
  for (auto& n : nodes_) n->hurry();
}

void Faults::rested() {
  victim_ = -1;
  removed_ = false;
  for (auto& n : nodes_) n->repaired();
}

}  // namespace weir::sim
