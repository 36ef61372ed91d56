// tests/bench/workload.h - what every workload of weir-bench shares: its arguments, marks and its one line of
// JSON.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

namespace weir::bench {

using Clock = std::chrono::steady_clock;

struct Args {
  std::string host = "127.0.0.1", work = "pubsub";
  std::vector<int> ports = {4222};  // of the nodes; core workloads use the first
  std::vector<std::string> names;   // server names, in the order of ports; empty with one node
  std::string at = "leader";  // leader|follower: the node that a JetStream client of a cluster connects to
  int replicas = 1;
  std::size_t size = 128;
  std::uint64_t count = 200'000;
  std::uint64_t window = 2'000;  // js-async: messages without an ack
  bool marks = false;            // say when the measured part begins, and wait for a line on stdin
};

inline double seconds_since(Clock::time_point t) {
  return std::chrono::duration<double>(Clock::now() - t).count();
}

/// The measured part begins now: with --marks tells so, and waits until the runner has read its counters.
Clock::time_point begin(const Args& a);
/// Prints the result; latencies (seconds, may be empty) become p50 and p99.
void print(const Args& a, double elapsed, std::uint64_t messages, std::vector<double> latencies);
/// Ends the process with the text.
[[noreturn]] void fail(const std::string& text);

/// Runs a JetStream workload (js-...); false when there is none of that name.
bool run_jetstream(const Args& a);

}  // namespace weir::bench
