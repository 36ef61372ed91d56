#include "tests/sim/cluster_run.h"

#include <algorithm>
#include <set>

#include "broker/server/jetstream.h"
#include "tests/sim/auditor.h"
#include "tests/sim/checkers/replica_check.h"
#include "tests/sim/run_options.h"

namespace weir::sim {

namespace {

constexpr Nanos kFoundLimit = 15 * kSecond;    // from the last first start to the first stream
constexpr Nanos kWritableLimit = 5 * kSecond;  // P8
constexpr Nanos kJoinTime = 4 * kSecond;
constexpr unsigned kQuietLooks = 12;           // four a second
constexpr Nanos kReadmitLimit = 20 * kSecond;  // a node that was removed is a member again
constexpr Nanos kSlowRest = 5 * kSecond;
constexpr Nanos kConvergeLimit = 60 * kSecond;  // replicas agree, also one that began with an empty disk
constexpr Nanos kProbeTimeout = kSecond;
constexpr unsigned kProberNumber = 100;
constexpr unsigned kKvNumber = 50;

class ClusterRun {
 public:
  ClusterRun(std::uint64_t seed, unsigned nodes, bool verbose);
  SeedResult go();
  void look_away() { replicas_.look_away(); }

 private:
  void make_nodes();
  bool step();
  bool run_until(const std::function<bool()>& stop, Nanos limit);
  void run_for(Nanos d) {
    (void)run_until([] { return false; }, d);
  }
  bool whole();
  void first_starts();
  void disk_lost(const SimNode& n);
  bool only_on(const std::string& stream, bool replicated, bool moved, const SimNode& n);
  server::JetStream* meta_leader();
  bool remove(SimNode& n);
  void heal();
  void readmit();
  void wait_writable(bool measure);
  void probe(const std::shared_ptr<std::map<std::string, unsigned>>& waiting, std::size_t prober);
  void converge();
  void replace_rotten();
  void rest();
  void restart_all();
  void end();
  void fill_in(SeedResult& r);

  Prng prng_;
  ClusterPlan plan_;
  env::testing::SimTime time_;
  Verdict verdict_;
  EventLog events_;
  SimNet net_;
  Nodes nodes_;
  ReplicaCheck replicas_;
  std::unique_ptr<Workload> workload_;
  std::unique_ptr<KvWorkload> kv_;
  std::unique_ptr<Auditor> auditor_;
  std::unique_ptr<Faults> faults_;
  std::vector<std::unique_ptr<SimClient>> probers_;  // one for each node
  env::testing::SimLoop loop_;                       // of the harness
  std::vector<double> recoveries_;
  unsigned epoch_ = 0;
  Mono last_turn_{};
  std::uint64_t turns_now_ = 0;
};

NetOptions cluster_net_options(Prng& prng) {
  NetOptions o = net_options(prng);
  // What faults piled up between two nodes has to go through in seconds.
  if (o.delay_max > 5 * kMillisecond) o.window = std::max<std::size_t>(o.window, 256 * 1024);
  o.piece_max = std::max<std::size_t>(o.piece_max, 100);
  o.window = std::max<std::size_t>(o.window, 16 * 1024);
  return o;
}

ClusterRun::ClusterRun(std::uint64_t seed, unsigned nodes, bool verbose)
    : prng_(seed ^ (std::uint64_t{nodes} << 56)),
      plan_(cluster_plan(prng_, nodes)),
      events_(time_),
      net_(time_, prng_.next(), cluster_net_options(prng_)),
      replicas_(verdict_),
      loop_(time_) {
  events_.verbose = verbose;
  verdict_.on_fail = [this](const std::string& what) {
    events_.add("FAILED: " + what);
    if (nodes_.size() == 0) return;
    for (const std::string& line : ReplicaCheck::describe(nodes_)) events_.add(line);
  };
  make_nodes();
  auto servers = nodes_.endpoints();
  WorkloadHooks hooks;
  hooks.epoch = [this] { return nodes_.lives() + epoch_ + static_cast<unsigned>(replicas_.elections()); };
  workload_ = std::make_unique<Workload>(time_, net_, servers, cluster_workload_options(prng_, plan_), hooks,
                                         verdict_, events_);
  kv_ = std::make_unique<KvWorkload>(time_, net_, servers, kv_options(prng_, plan_, kKvNumber), verdict_,
                                     events_);
  auditor_ = std::make_unique<Auditor>(
      time_, net_, servers, static_cast<unsigned>(workload_->client_count()), verdict_, events_,
      [this](const std::function<bool()>& stop, Nanos limit) { return run_until(stop, limit); });
  std::vector<std::string> clients;
  for (std::size_t i = 0; i < workload_->client_count(); ++i)
    clients.push_back(workload_->client(i).address());
  for (auto& c : kv_->clients()) clients.push_back(c->address());
  faults_ = std::make_unique<Faults>(time_, net_, nodes_, clients, plan_.faults, events_);
  faults_->may_damage = [this] { return whole(); };
  faults_->remove = [this](SimNode& n) { return remove(n); };
  for (unsigned i = 0; i < nodes; ++i) {
    probers_.push_back(
        std::make_unique<SimClient>(time_, net_, kProberNumber + i, servers, 500 * kMillisecond));
    probers_.back()->stay_with(i);
  }
}

void ClusterRun::make_nodes() {
  for (unsigned i = 0; i < plan_.nodes; ++i) {
    nodes_.add(
        std::make_unique<SimNode>(time_, net_, i, cluster_node_options(prng_, plan_, i), verdict_, events_));
    SimNode& n = nodes_[i];
    n.on_start = [this, &n] { workload_->node_started(n.name()); };
    n.on_damage = [this, &n] { disk_lost(n); };
    n.on_end = [this] {
      workload_->memory_lost(
          [this](const StreamHistory& s) { return replicas_.forgot(nodes_, s.settings.name); });
    };
    n.before_start = [this, &n] {
      if (!faults_ || !faults_->active() || n.damaged()) return;
      if (plan_.faults.enabled[static_cast<std::size_t>(Fault::kPowerAt)] && prng_.chance(1, 4))
        n.power_fails_at(prng_.between(1, 60), static_cast<Nanos>(prng_.between(1, 400)) * kMillisecond);
    };
  }
}

bool ClusterRun::step() {
  if (verdict_.failed() || !time_.turn()) return false;
  turns_now_ = time_.now() == last_turn_ ? turns_now_ + 1 : 0;
  last_turn_ = time_.now();
  if (turns_now_ > kTurnsAtOnceMax) verdict_.fail("a node spins: it asks for turn after turn");
  if (SimNode* n = nodes_.owner_of(time_.ran())) {
    net_.mix(n->disk().counts().operations * 31 + static_cast<std::uint64_t>(time_.now().ns) + n->number());
    replicas_.look(*n);
  }
  nodes_.settle();
  return true;
}

bool ClusterRun::run_until(const std::function<bool()>& stop, Nanos limit) {
  Mono end = time_.now() + limit;
  while (!stop()) {
    if (time_.now() >= end || !step()) return false;
  }
  return true;
}

// ---- first starts ------------------------------------------------------------------------------

// A cluster that was founded by two is not whole before the third has joined.
bool ClusterRun::whole() {
  std::size_t know = 0;
  for (auto& n : nodes_) {
    const auto* js = n->running() ? ReplicaCheck::jetstream(*n) : nullptr;
    if (!js) continue;
    const raft::ConfState& conf = js->meta().group().applied_conf();
    know += conf.voters.size() == nodes_.size() && conf.outgoing.empty();
  }
  return know * 2 > nodes_.size();
}

void ClusterRun::first_starts() {
  for (auto& n : nodes_) {
    bool late = plan_.late_node && n->number() + 1 == nodes_.size();
    Nanos after = static_cast<Nanos>(prng_.below(static_cast<std::uint64_t>(plan_.start_spread)));
    // Streams that need every node wait for it, and not for longer than kFoundLimit.
    auto most = *std::max_element(plan_.replicas.begin(), plan_.replicas.end());
    bool needed = static_cast<std::size_t>(most) == nodes_.size();
    if (late) after = static_cast<Nanos>(prng_.between(4, needed ? 10 : 15)) * kSecond;
    loop_.at(loop_.now() + after, [&node = *n] { node.first_start(); });
  }
  workload_->begin();
  kv_->begin();
  for (auto& p : probers_) p->connect();
  run_for(plan_.start_spread);
  if (!run_until([this] { return kv_->live(); }, kFoundLimit))
    verdict_.fail("liveness: no stream could be created " + std::to_string(kFoundLimit / kSecond) +
                  " s after the nodes were started");
}

// ---- what only one node had --------------------------------------------------------------------

bool ClusterRun::only_on(const std::string& stream, bool replicated, bool moved, const SimNode& n) {
  if (moved) return true;  // nobody knows where it is just now
  std::vector<std::string> holders = ReplicaCheck::holders(nodes_, stream);
  if (holders.size() == 1) return holders[0] == n.name();
  return holders.empty() && !replicated;
}

void ClusterRun::disk_lost(const SimNode& n) {
  workload_->hold_replicas(true);
  kv_->hold_replicas(true);
  workload_->disk_lost([&](const StreamHistory& s) {
    bool replicated = s.settings.replicas > 1 && !(s.uncertain() && s.moved);
    return only_on(s.settings.name, replicated, s.moved, n);
  });
  if (!kv_->live() || !only_on("KV", kv_->settings().replicas > 1, kv_->moved(), n)) return;
  events_.add("stream KV had its only replica there");
  kv_->lose();
}

// ---- after faults ------------------------------------------------------------------------------

server::JetStream* ClusterRun::meta_leader() {
  for (auto& n : nodes_) {
    server::JetStream* js = ReplicaCheck::jetstream(*n);
    if (js && js->meta().leading()) return js;
  }
  return nullptr;
}

// As the API does.
bool ClusterRun::remove(SimNode& n) {
  server::JetStream* js = meta_leader();
  const jetstream::MetaNode* node = js ? js->meta().state().find_node(n.name()) : nullptr;
  if (!node || node->removed) return false;
  js->meta().propose([id = node->id](jetstream::EntryBuilder& b) { b.meta_remove_node(id); },
                     [](const jetstream::MetaOutcome&) {});
  workload_->node_removed(n.name());
  return true;
}

// A start is the wish to come back. The removal may be decided after it, when the ways are open again; who
// was cut off meanwhile does not know of it yet.
void ClusterRun::readmit() {
  if (!faults_->removed()) return;
  Mono next = time_.now();
  unsigned quiet = 0;
  std::map<unsigned, Mono> started;  // it asks one member after the other for the leader
  bool ok = run_until(
      [&] {
        if (time_.now() < next) return false;
        next = time_.now() + 250 * kMillisecond;
        server::JetStream* leader = meta_leader();
        bool all = leader != nullptr;
        for (auto& n : nodes_) {
          server::JetStream* js = ReplicaCheck::jetstream(*n);
          const auto* node = leader ? leader->meta().state().find_node(n->name()) : nullptr;
          bool removed = node && node->removed;
          all = all && !removed && js && js->registered() && js->meta_leader().v != 0;
          auto [at, fresh] = started.try_emplace(n->number(), time_.now());
          if (!removed || (!fresh && time_.now() - at->second < kJoinTime)) continue;
          at->second = time_.now();
          n->expect_errors = true;
          n->die(Death::kKill, 10 * kMillisecond);
        }
        quiet = all ? quiet + 1 : 0;
        return quiet > kQuietLooks;
      },
      kReadmitLimit);
  if (!ok) verdict_.fail("liveness: a node that was removed and started again is no member");
}

void ClusterRun::heal() {
  if (!faults_->active()) return;
  ++epoch_;
  faults_->heal();
  run_for(20 * kMillisecond);  // those that have to be killed are
  for (auto& n : nodes_) n->hurry();
  if (!run_until([this] { return nodes_.all_running(); }, kBackLimit))
    verdict_.fail("liveness: a node does not come back");
  if (!verdict_.failed()) readmit();
}

void ClusterRun::probe(const std::shared_ptr<std::map<std::string, unsigned>>& waiting, std::size_t prober) {
  SimClient& c = *probers_[prober];
  auto again = [this, waiting, prober](const std::string& stream, bool yes) {
    if (yes) waiting->erase(stream + " through " + nodes_[prober].name());
  };
  const std::string through = " through " + nodes_[prober].name();
  std::set<std::string> live{"KV" + through};
  for (StreamHistory& s : workload_->streams()) {
    std::string what = s.settings.name + through;
    if (s.life != StreamHistory::Life::kLive || s.lost) continue;
    live.insert(what);
    if (waiting->count(what))
      workload_->probe(c, s, kProbeTimeout, [again, name = s.settings.name](bool yes) { again(name, yes); });
  }
  // Streams that were deleted meanwhile, or are another one now.
  std::erase_if(*waiting,
                [&](const auto& w) { return w.first.ends_with(through) && !live.contains(w.first); });
  if (waiting->count("KV" + through)) kv_->probe(c, kProbeTimeout, [again](bool yes) { again("KV", yes); });
}

// Through every node, each stream again and again until it answers.
void ClusterRun::wait_writable(bool measure) {
  Mono began = time_.now();
  auto waiting = std::make_shared<std::map<std::string, unsigned>>();
  for (auto& n : nodes_) {
    for (StreamHistory& s : workload_->streams()) {
      if (s.life == StreamHistory::Life::kLive && !s.lost)
        (*waiting)[s.settings.name + " through " + n->name()];
    }
    if (kv_->live()) (*waiting)["KV through " + n->name()];
  }
  // What was sent over slow ways is still under way, in front of all that follows.
  Nanos limit = kWritableLimit + (faults_->counts[static_cast<std::size_t>(Fault::kSlow)] ? kSlowRest : 0);
  while (!verdict_.failed() && !waiting->empty() && time_.now() - began < limit) {
    for (std::size_t i = 0; i < probers_.size(); ++i) {
      if (probers_[i]->connected()) probe(waiting, i);
    }
    (void)run_until([&] { return waiting->empty(); }, 250 * kMillisecond);
  }
  if (!waiting->empty())
    return verdict_.fail("liveness: " + std::to_string(kWritableLimit / kSecond) +
                         " s after the end of faults no writes to " + waiting->begin()->first + " (and " +
                         std::to_string(waiting->size() - 1) + " more)");
  double took = static_cast<double>(time_.now() - began) / 1e9;
  events_.add("every stream takes writes after " + std::to_string(took) + " s");
  if (measure) recoveries_.push_back(took);
}

void ClusterRun::converge() {
  if (!ReplicaCheck::jetstream(nodes_[0])) return;
  std::set<std::string> lost;
  for (const StreamHistory& s : workload_->streams())
    if (s.lost) lost.insert(s.settings.name);
  if (!kv_->live()) lost.insert("KV");
  Mono began = time_.now();
  std::string why = "not looked";
  Mono next = began;
  bool ok = run_until(
      [&] {
        if (time_.now() < next || verdict_.failed()) return false;
        next = time_.now() + 20 * kMillisecond;
        why = replicas_.disagreement(nodes_, lost);
        return why.empty();
      },
      kConvergeLimit);
  if (!ok) return verdict_.fail("liveness: replicas do not converge: " + why);
  events_.add("replicas agree after " + std::to_string(static_cast<double>(time_.now() - began) / 1e9) +
              " s");
}

// What rotted and was not read yet would add to the damage of the next victim: its operator replaces the
// disk.
void ClusterRun::replace_rotten() {
  int victim = faults_->victim();
  if (victim < 0) return;
  SimNode& n = nodes_[static_cast<std::size_t>(victim)];
  if (!n.damaged()) return;
  for (bool lose : {false, true}) {
    unsigned life = n.lives();
    if (lose)
      n.lose_disk(10 * kMillisecond);
    else
      n.die(Death::kKill, 10 * kMillisecond);
    (void)run_until([&] { return n.running() && n.lives() > life; }, kBackLimit);
    if (!n.running() && !verdict_.failed()) verdict_.fail("liveness: the victim does not come back");
    run_for(static_cast<Nanos>(prng_.between(10, 3000)) * kMillisecond);
  }
  wait_writable(false);
}

void ClusterRun::rest() {
  heal();
  if (!verdict_.failed()) wait_writable(true);
  if (!verdict_.failed()) replace_rotten();
  workload_->pause();
  kv_->pause();
  if (!verdict_.failed() && !run_until([this] { return workload_->idle() && kv_->idle(); }, kQuietLimit))
    verdict_.fail("liveness: requests are neither answered nor given up");
  if (!verdict_.failed()) converge();
  if (!verdict_.failed()) (void)auditor_->audit(*workload_);
  if (!verdict_.failed()) kv_->check();
  faults_->rested();
  kv_->rested();
  workload_->rested();
  workload_->hold_replicas(false);
  kv_->hold_replicas(false);
}

void ClusterRun::restart_all() {
  Death how = one_of(prng_, {Death::kPower, Death::kKill, Death::kStop});
  events_.add("all nodes are restarted");
  unsigned before = 0;
  for (auto& n : nodes_) {
    before += n->lives();
    n->die(how, static_cast<Nanos>(prng_.between(1, 500)) * kMillisecond);
  }
  (void)run_until(
      [&] {
        unsigned now = 0;
        for (auto& n : nodes_) now += n->lives();
        return nodes_.all_running() && now >= before + nodes_.size();
      },
      kBackLimit);
  if (!nodes_.all_running()) return verdict_.fail("liveness: a node does not come back");
  if (!verdict_.failed()) wait_writable(true);
}

void ClusterRun::end() {
  workload_->acknowledge_all();
  auto before = auditor_->audit(*workload_);
  if (!verdict_.failed()) auditor_->drain(*workload_, before);
  if (!verdict_.failed()) restart_all();
  if (!verdict_.failed() && !run_until([this] { return workload_->idle() && kv_->idle(); }, kQuietLimit))
    verdict_.fail("liveness: requests are neither answered nor given up");
  if (!verdict_.failed()) converge();
  if (!verdict_.failed()) (void)auditor_->audit(*workload_);
  if (!verdict_.failed()) kv_->check();
}

SeedResult ClusterRun::go() {
  first_starts();
  std::uint64_t rounds = prng_.between(1, 3);
  for (std::uint64_t i = 0; i < rounds && !verdict_.failed(); ++i) {
    workload_->resume();
    kv_->resume();
    run_for(static_cast<Nanos>(prng_.between(50, 1000)) * kMillisecond);
    faults_->begin();
    run_for(static_cast<Nanos>(prng_.between(1, 12)) * kSecond);
    if (!verdict_.failed()) rest();
  }
  if (!verdict_.failed()) end();
  SeedResult r;
  fill_in(r);
  return r;
}

void ClusterRun::fill_in(SeedResult& r) {
  r.failure = verdict_.text();
  r.last_events = events_.lines();
  r.hash = net_.hash() ^ time_.turns();
  r.simulated_seconds = static_cast<double>(time_.now() - Mono{1'000 * kSecond}) / 1e9;
  r.operations = workload_->counts.operations + kv_->counts.reads + kv_->counts.writes;
  r.acked = workload_->counts.acked;
  r.deliveries = workload_->counts.deliveries;
  r.nodes = plan_.nodes;
  for (auto& n : nodes_) {
    r.power_losses += n->deaths[0];
    r.other_deaths += n->deaths[1];
  }
  for (std::size_t i = 0; i < kFaults; ++i) {
    if (faults_->counts[i]) r.faults[std::string(name_of(static_cast<Fault>(i)))] = faults_->counts[i];
  }
  r.recoveries = recoveries_;
  r.elections = replicas_.elections();
  r.given_up = replicas_.given_up();
  r.registers = kv_->counts.reads + kv_->counts.writes;
}

}  // namespace

SeedResult run_cluster_seed(std::uint64_t seed, unsigned nodes, bool verbose, bool blind) {
  auto run = std::make_unique<ClusterRun>(seed, nodes, verbose);
  if (blind) run->look_away();
  return run->go();
}

}  // namespace weir::sim
