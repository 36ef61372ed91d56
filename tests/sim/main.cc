// weir-sim: runs the whole broker in a seeded world. docs/testing.md "Simulator".
//   weir-sim [--seeds N] [--first S] [--seconds T]   fresh seeds S, S+1, ...; stops at the first failure
//   weir-sim --seed S [--twice] [-v]                 one seed; -v prints what happens
//   weir-sim --file F                                each seed of a file: lines "seed" or "seed nodes"
//   weir-sim ... --nodes N                           worlds of N nodes; otherwise each seed's own choice
//   weir-sim ... --keep-going                        count failures instead of stopping
//   weir-sim ... --blind                             differing replicas are left to the nodes to find and
//   heal
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <map>
#include <sstream>
#include <string>
#include <vector>

#include "tests/sim/seed_run.h"

namespace {

using weir::sim::SeedResult;

volatile std::sig_atomic_t in_handler = 0;
char seed_text[64] = "no seed";

void on_signal(int signal) {
  if (in_handler) _exit(1);
  in_handler = 1;
  const char* name = signal == SIGABRT ? "abort" : signal == SIGSEGV ? "segmentation fault" : "signal";
  const char* words[] = {"\nFAILED seed ", seed_text, ": the process crashed: ", name, "\n"};
  for (const char* w : words) (void)!write(2, w, std::strlen(w));
  std::signal(signal, SIG_DFL);
  std::raise(signal);
}

struct Arguments {
  std::uint64_t first = 1, seeds = 100;
  unsigned nodes = 0;
  bool one = false, twice = false, verbose = false, keep_going = false, blind = false;
  double seconds = 0;
  std::string file;
};

struct Totals {
  std::uint64_t seeds = 0, failed = 0, operations = 0, acked = 0, deliveries = 0, power = 0, deaths = 0;
  std::uint64_t elections = 0, registers = 0, given_up = 0;
  double simulated = 0;
  std::map<std::string, unsigned> faults;
  std::map<unsigned, unsigned> worlds;  // by number of nodes
  std::vector<double> recoveries;
};

struct SeedLine {
  std::uint64_t seed = 0;
  unsigned nodes = 0;
};

bool run_one(SeedLine which, const Arguments& a, Totals& t) {
  std::uint64_t seed = which.seed;
  unsigned nodes = which.nodes ? which.nodes : a.nodes ? a.nodes : weir::sim::nodes_of(seed);
  std::snprintf(seed_text, sizeof seed_text, "%llu --nodes %u", static_cast<unsigned long long>(seed), nodes);
  SeedResult r = weir::sim::run_seed(seed, nodes, a.verbose, a.blind);
  if (a.twice && r.failure.empty()) {
    SeedResult again = weir::sim::run_seed(seed, nodes, false, a.blind);
    if (again.hash != r.hash) r.failure = "not deterministic: two runs have different hashes";
  }
  ++t.seeds;
  t.operations += r.operations;
  t.acked += r.acked;
  t.deliveries += r.deliveries;
  t.power += r.power_losses;
  t.deaths += r.power_losses + r.other_deaths;
  t.simulated += r.simulated_seconds;
  t.elections += r.elections;
  t.registers += r.registers;
  t.given_up += r.given_up;
  ++t.worlds[nodes];
  for (const auto& [kind, n] : r.faults) t.faults[kind] += n;
  t.recoveries.insert(t.recoveries.end(), r.recoveries.begin(), r.recoveries.end());
  if (r.failure.empty()) {
    if (a.one)
      std::printf("seed %s good, hash %016llx\n", seed_text, static_cast<unsigned long long>(r.hash));
    return true;
  }
  ++t.failed;
  if (!a.verbose && !a.keep_going) {
    std::size_t from = r.last_events.size() > 40 ? r.last_events.size() - 40 : 0;
    for (std::size_t i = from; i < r.last_events.size(); ++i) std::printf("  %s\n", r.last_events[i].c_str());
  }
  std::printf("FAILED seed %s: %s\n", seed_text, r.failure.c_str());
  std::fflush(stdout);
  return false;
}

bool parse(int argc, char** argv, Arguments& a) {
  for (int i = 1; i < argc; ++i) {
    std::string s = argv[i];
    auto value = [&]() -> const char* { return i + 1 < argc ? argv[++i] : "0"; };
    if (s == "--seeds")
      a.seeds = std::strtoull(value(), nullptr, 10);
    else if (s == "--first")
      a.first = std::strtoull(value(), nullptr, 10);
    else if (s == "--nodes")
      a.nodes = static_cast<unsigned>(std::strtoul(value(), nullptr, 10));
    else if (s == "--seconds")
      a.seconds = std::strtod(value(), nullptr);
    else if (s == "--file")
      a.file = value();
    else if (s == "--twice")
      a.twice = true;
    else if (s == "--blind")
      a.blind = true;
    else if (s == "--keep-going")
      a.keep_going = true;
    else if (s == "-v")
      a.verbose = true;
    else if (s == "--seed")
      a.first = std::strtoull(value(), nullptr, 10), a.seeds = 1, a.one = true;
    else
      return false;
  }
  return a.nodes <= 40;
}

std::vector<SeedLine> seeds_of(const Arguments& a) {
  std::vector<SeedLine> seeds;
  if (a.file.empty()) {
    for (std::uint64_t i = 0; i < a.seeds; ++i) seeds.push_back({a.first + i, a.nodes});
    return seeds;
  }
  std::ifstream in(a.file);
  for (std::string line; std::getline(in, line);) {
    SeedLine l;
    std::istringstream words(line.substr(0, line.find('#')));
    if (words >> l.seed) {
      words >> l.nodes;
      seeds.push_back(l);
    }
  }
  return seeds;
}

void print_clusters(Totals& t) {
  if (t.worlds.empty() || t.worlds.rbegin()->first == 1) return;
  std::printf("worlds:");
  for (const auto& [nodes, n] : t.worlds) std::printf(" %u of %u nodes", n, nodes);
  std::printf("; %llu leaderships, %llu operations on registers\nfaults:",
              static_cast<unsigned long long>(t.elections), static_cast<unsigned long long>(t.registers));
  for (const auto& [kind, n] : t.faults) std::printf(" %s %u", kind.c_str(), n);
  if (t.given_up) std::printf("; %llu replicas given up", static_cast<unsigned long long>(t.given_up));
  std::sort(t.recoveries.begin(), t.recoveries.end());
  if (t.recoveries.empty()) return (void)std::printf("\n");
  auto part = [&](std::size_t percent) { return t.recoveries[(t.recoveries.size() - 1) * percent / 100]; };
  std::printf(
      "\nevery stream writable after faults: median %.2f s, p90 %.2f s, p99 %.2f s, worst %.2f s of %zu\n",
      part(50), part(90), part(99), part(100), t.recoveries.size());
}

}  // namespace

int main(int argc, char** argv) {
  Arguments a;
  if (!parse(argc, argv, a)) {
    std::fprintf(
        stderr,
        "usage: weir-sim [--seeds N] [--first S] [--seconds T] [--file F] [--seed S] [--nodes N] [--twice] "
        "[-v] [--keep-going] [--blind]\n");
    return 2;
  }
  for (int s : {SIGABRT, SIGSEGV, SIGFPE, SIGBUS}) std::signal(s, on_signal);
  Totals t;
  auto began = std::chrono::steady_clock::now();
  auto spent = [&] {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
  };
  for (SeedLine seed : seeds_of(a)) {
    if (a.seconds > 0 && spent() > a.seconds) break;
    if (!run_one(seed, a, t) && !a.keep_going) break;
  }
  std::printf(
      "%llu seeds, %llu failed; %.0f simulated s in %.1f s (%.0f s/s); %llu operations, %llu acks, "
      "%llu deliveries, %llu deaths (%llu power losses)\n",
      static_cast<unsigned long long>(t.seeds), static_cast<unsigned long long>(t.failed), t.simulated,
      spent(), t.simulated / spent(), static_cast<unsigned long long>(t.operations),
      static_cast<unsigned long long>(t.acked), static_cast<unsigned long long>(t.deliveries),
      static_cast<unsigned long long>(t.deaths), static_cast<unsigned long long>(t.power));
  print_clusters(t);
  return t.failed ? 1 : 0;
}
