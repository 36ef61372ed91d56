#include "tests/sim/seed_run.h"

#include <algorithm>

#include "tests/sim/auditor.h"
#include "tests/sim/workload.h"
#include "tests/sim/world.h"

namespace weir::sim {

namespace {

constexpr std::uint64_t kDiskBytes = 2u << 30;
constexpr Nanos kBackLimit = 30 * kSecond;          // a dead node runs again
constexpr std::uint64_t kTurnsAtOnceMax = 100'000;  // without time passing
constexpr Nanos kQuietLimit = 40 * kSecond;         // everything in flight is answered or given up

template <class T, std::size_t N>
T one_of(Prng& prng, const T (&choices)[N]) {
  return choices[prng.below(N)];
}

NetOptions net_options(Prng& prng) {
  NetOptions o;
  o.delay_max = one_of(prng, {200 * kMicrosecond, 2 * kMillisecond, 20 * kMillisecond});
  o.piece_max = one_of<std::size_t>(prng, {7, 100, 1500, 64 * 1024});
  o.window = one_of<std::size_t>(prng, {600, 16 * 1024, 256 * 1024});
  // A narrow window on a long way would be slower than the server's patience.
  if (o.window < 1000) o.delay_max = 200 * kMicrosecond;
  if (o.piece_max < 1000) o.delay_max = std::min<Nanos>(o.delay_max, 2 * kMillisecond);
  return o;
}

SimNode::Options node_options(Prng& prng) {
  SimNode::Options o;
  o.seed = prng.next();
  o.config.server_name = "n1";
  o.config.store_dir = "/sim";
  o.config.jetstream.enabled = true;
  o.config.jetstream.max_file_store = 1 << 30;
  o.config.jetstream.max_memory_store = 256 << 20;
  o.config.write_deadline = 2 * kSecond;
  o.config.ping_interval = static_cast<Nanos>(prng.between(2, 120)) * kSecond;
  o.tuning.journal_file_bytes = one_of<std::uint64_t>(prng, {16 << 10, 32 << 10, 64 << 10, 1 << 20});
  o.tuning.journal_files_max = one_of<unsigned>(prng, {4, 8, 32});
  o.tuning.tail_bytes_max = one_of<std::size_t>(prng, {1, 2000, 20'000, 1 << 20});
  o.tuning.block_bytes = one_of<std::size_t>(prng, {300, 4096, 64 << 10});
  o.tuning.segment_bytes = one_of<std::size_t>(prng, {2000, 32 << 10, 1 << 20});
  o.tuning.catalog_roll_bytes = one_of<std::uint64_t>(prng, {2000, 32 << 10, 1 << 20});
  o.tuning.meta_checkpoint_entries = one_of<std::uint64_t>(prng, {1, 5, 1024});
  o.disk.capacity_bytes = kDiskBytes;
  o.mono_skew = static_cast<Nanos>(prng.below(1000)) * kSecond;
  o.wall_skew = (static_cast<Nanos>(prng.below(2000)) - 1000) * kSecond;
  if (prng.chance(1, 4)) {  // a slow disk: much is in flight
    o.disk.sync_ns_min = kMillisecond;
    o.disk.sync_ns_max = 30 * kMillisecond;
  }
  return o;
}

WorkloadOptions workload_options(Prng& prng) {
  WorkloadOptions o;
  o.seed = prng.next();
  o.clients = static_cast<unsigned>(prng.between(1, 4));
  o.streams = static_cast<unsigned>(prng.between(1, 4));
  o.subjects = static_cast<unsigned>(prng.between(1, 8));
  o.payload_max = one_of<std::size_t>(prng, {10, 300, 1500});
  o.think_max = one_of(prng, {5 * kMillisecond, 40 * kMillisecond});
  o.burst_max = one_of<unsigned>(prng, {1, 8, 40});
  return o;
}

class Run {
 public:
  Run(std::uint64_t seed, bool verbose)
      : prng_(seed),
        events_(time_),
        net_(time_, prng_.next(), net_options(prng_)),
        node_(time_, net_, 0, node_options(prng_), verdict_, events_),
        workload_(time_, net_, node_, workload_options(prng_), verdict_, events_),
        auditor_(time_, net_, node_, static_cast<unsigned>(workload_.client_count()), verdict_, events_,
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
  return r;
}

}  // namespace

SeedResult run_seed(std::uint64_t seed, bool verbose) {
  auto run = std::make_unique<Run>(seed, verbose);
  return run->go();
}

}  // namespace weir::sim
