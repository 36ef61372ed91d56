#include "tests/sim/seed_run.h"

#include <algorithm>

#include "tests/sim/auditor.h"
#include "tests/sim/checkers/replica_check.h"
#include "tests/sim/cluster_run.h"
#include "tests/sim/run_options.h"
#include "tests/sim/workload.h"

namespace weir::sim {

namespace {

class Run {
 public:
  Run(std::uint64_t seed, bool verbose)
      : prng_(seed),
        events_(time_),
        net_(time_, prng_.next(), net_options(prng_)),
        node_(time_, net_, 0, node_options(prng_), verdict_, events_),
        workload_(time_, net_, {node_.endpoint()}, workload_options(prng_),
                  {[this] { return node_.lives(); }}, verdict_, events_),
        replicas_(verdict_),
        auditor_(time_, net_, {node_.endpoint()}, static_cast<unsigned>(workload_.client_count()), verdict_,
                 events_,
                 [this](const std::function<bool()>& stop, Nanos limit) { return run_until(stop, limit); }) {
    events_.verbose = verbose;
    verdict_.on_fail = [this](const std::string& what) { events_.add("FAILED: " + what); };
    node_.on_start = [this] { workload_.node_started(); };
    node_.before_start = [this] {
      if (faults_ && prng_.chance(1, 4)) node_.power_fails_at(prng_.between(1, 40), back_after());
    };
    if (verbose) {
      net_.tap = [this](std::uint64_t link, bool in, ByteSpan bytes) {
        std::string text(as_text(bytes).substr(0, 200));
        for (char& c : text) c = c < ' ' ? '~' : c;
        events_.add((in ? "  > " : "  < ") + std::to_string(link) + " " + text);
      };
    }
  }

  SeedResult go();

 private:
  bool step();
  bool run_until(const std::function<bool()>& stop, Nanos limit);
  void run_for(Nanos d) {
    (void)run_until([] { return false; }, d);
  }
  Nanos back_after() { return static_cast<Nanos>(prng_.between(1, 400)) * kMillisecond; }
  void disturb();
  void let_die();
  void wait_for_node();
  bool rest();
  void inject_disk_fault();
  void fill_disk();
  void end();

  Prng prng_;
  env::testing::SimTime time_;
  Verdict verdict_;
  EventLog events_;
  SimNet net_;
  SimNode node_;
  Workload workload_;
  ReplicaCheck replicas_;
  Auditor auditor_;
  bool faults_ = true;
  Mono last_turn_{};
  std::uint64_t turns_now_ = 0;
};

bool Run::step() {
  if (verdict_.failed() || !time_.turn()) return false;
  turns_now_ = time_.now() == last_turn_ ? turns_now_ + 1 : 0;
  last_turn_ = time_.now();
  if (turns_now_ > kTurnsAtOnceMax) verdict_.fail("the node spins: it asks for turn after turn");
  net_.mix(node_.disk().counts().operations * 31 + static_cast<std::uint64_t>(time_.now().ns));
  if (time_.ran() == &node_.loop()) replicas_.look(node_);
  node_.settle();
  return true;
}

bool Run::run_until(const std::function<bool()>& stop, Nanos limit) {
  Mono end = time_.now() + limit;
  while (!stop()) {
    if (time_.now() >= end || !step()) return false;
  }
  return true;
}

void Run::wait_for_node() {
  bool back = run_until([this] { return node_.running() && workload_.all_connected(); }, kBackLimit);
  if (!back) verdict_.fail("liveness: the node or its clients are not back");
}

void Run::disturb() {
  if (prng_.chance(1, 2)) (void)net_.reset_one(node_.host());
}

void Run::inject_disk_fault() {
  if (!node_.running()) return;
  node_.expect_errors = true;
  bool journal = prng_.chance(2, 3);
  events_.add(std::string("the next sync of the ") + (journal ? "journal" : "catalog") + " fails");
  node_.disk().fail_next_sync(journal ? "journal" : "catalog");
  unsigned life = node_.lives();
  (void)run_until([this, life] { return node_.lives() != life; }, 2 * kSecond);
}

// Somebody else fills the disk, for a while. The broker need not take messages then; afterwards it must.
void Run::fill_disk() {
  env::testing::SimDisk& disk = node_.disk();
  node_.disk_full = true;
  disk.set_capacity(disk.used_bytes() + prng_.below(200'000));
  events_.add("the disk is nearly full");
  run_for(static_cast<Nanos>(prng_.between(100, 3000)) * kMillisecond);
  disk.set_capacity(kDiskBytes);
  events_.add("the disk has room again");
  run_for(3 * kSecond);
  // A catalog that failed stays failed until a restart (docs/testing.md "Known").
  if (node_.running()) node_.die(Death::kKill, back_after());
  wait_for_node();
  node_.disk_full = false;
}

void Run::let_die() {
  unsigned life = node_.lives();
  switch (prng_.below(8)) {
    case 0:
    case 1:
    case 2:
    case 3: {
      std::uint64_t at = prng_.between(1, 60);
      events_.add("power fails at disk operation " + std::to_string(at) + " from now");
      node_.power_fails_at(at, back_after());
      (void)run_until([this, life] { return !node_.running() || node_.lives() != life; }, 5 * kSecond);
      break;
    }
    case 4: node_.die(Death::kPower, back_after()); break;
    case 5:
    case 6: node_.die(Death::kKill, back_after()); break;
    default: node_.die(Death::kStop, back_after()); break;
  }
  // Nothing hit it (no disk operation came, or it still stops): it dies now.
  (void)run_until([this, life] { return !node_.running() || node_.lives() != life; }, kSecond);
  if (node_.running() && node_.lives() == life) node_.die(Death::kPower, back_after());
  (void)run_until([this, life] { return node_.running() && node_.lives() > life; }, kBackLimit);
}

bool Run::rest() {
  workload_.pause();
  faults_ = false;
  wait_for_node();
  if (!run_until([this] { return workload_.idle(); }, kQuietLimit)) {
    verdict_.fail("liveness: requests are neither answered nor given up");
  }
  return !verdict_.failed();
}

void Run::end() {
  if (!rest()) return;
  auto before = auditor_.audit(workload_);
  if (verdict_.failed()) return;
  workload_.acknowledge_all();
  auditor_.drain(workload_, before);
  auto drained = verdict_.failed() ? before : auditor_.audit(workload_);
  if (verdict_.failed()) return;
  unsigned life = node_.lives();
  node_.die(prng_.chance(1, 2) ? Death::kStop : Death::kKill, 10 * kMillisecond);
  (void)run_until([this, life] { return node_.running() && node_.lives() > life; }, kBackLimit);
  wait_for_node();
  if (!verdict_.failed()) (void)auditor_.audit(workload_);
}

SeedResult Run::go() {
  node_.start();
  workload_.begin();
  std::uint64_t deaths = prng_.between(1, 6);
  bool bad_disk = prng_.chance(1, 6);
  bool full_disk = prng_.chance(1, 6);
  for (std::uint64_t i = 0; i < deaths && !verdict_.failed(); ++i) {
    std::uint64_t pieces = prng_.between(1, 4);
    for (std::uint64_t k = 0; k < pieces; ++k) {
      run_for(static_cast<Nanos>(prng_.between(50, 1200)) * kMillisecond);
      disturb();
    }
    if (bad_disk && prng_.chance(1, 2)) inject_disk_fault();
    if (full_disk && prng_.chance(1, 2)) fill_disk();
    let_die();
    if (verdict_.failed() || !prng_.chance(1, 2)) continue;
    if (rest()) (void)auditor_.audit(workload_);
    workload_.resume();
    faults_ = true;
  }
  if (!verdict_.failed()) end();
  SeedResult r;
  r.failure = verdict_.text();
  r.last_events = events_.lines();
  r.hash = net_.hash() ^ time_.turns();
  r.simulated_seconds = static_cast<double>(time_.now() - Mono{1'000 * kSecond}) / 1e9;
  r.operations = workload_.counts.operations;
  r.acked = workload_.counts.acked;
  r.deliveries = workload_.counts.deliveries;
  r.power_losses = node_.deaths[0];
  r.other_deaths = node_.deaths[1];
  r.nodes = 1;
  return r;
}

}  // namespace

unsigned nodes_of(std::uint64_t seed) {
  static constexpr unsigned kNodes[] = {1, 3, 5, 3, 7, 3, 1, 3};
  return kNodes[seed % std::size(kNodes)];
}

SeedResult run_seed(std::uint64_t seed, unsigned nodes, bool verbose, bool blind) {
  if (nodes == 0) nodes = nodes_of(seed);
  if (nodes > 1) return run_cluster_seed(seed, nodes, verbose, blind);
  auto run = std::make_unique<Run>(seed, verbose);
  return run->go();
}

}  // namespace weir::sim
