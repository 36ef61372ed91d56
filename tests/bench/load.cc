// weir-bench: one workload against one broker or cluster; prints one JSON line. tools/bench runs it for all.
//   weir-bench --port N[,N...] --work pubsub|fanout|request|js-sync|js-async|js-fetch|js-put|js-get
//              [--size B] [--count N] [--window N] [--replicas N] [--names A,B,C] [--at leader|follower]
//              [--marks 1]
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "tests/bench/wire.h"
#include "tests/bench/workload.h"

namespace weir::bench {

Clock::time_point begin(const Args& a) {
  if (a.marks) {
    std::printf("begin\n");
    std::fflush(stdout);
    if (std::getchar() == EOF) std::exit(1);
  }
  return Clock::now();
}

void fail(const std::string& text) {
  std::fprintf(stderr, "weir-bench: %s\n", text.c_str());
  std::exit(1);
}

void print(const Args& a, double elapsed, std::uint64_t messages, std::vector<double> latencies) {
  std::printf("{\"work\":\"%s\",\"size\":%zu,\"messages\":%llu,\"seconds\":%.6f,\"per_second\":%.1f",
              a.work.c_str(), a.size, static_cast<unsigned long long>(messages), elapsed,
              static_cast<double>(messages) / elapsed);
  if (!latencies.empty()) {
    std::sort(latencies.begin(), latencies.end());
    auto at = [&](double q) {
      return latencies[static_cast<std::size_t>(q * static_cast<double>(latencies.size() - 1))];
    };
    std::printf(",\"p50_us\":%.1f,\"p99_us\":%.1f", at(0.5) * 1e6, at(0.99) * 1e6);
  }
  std::printf("}\n");
}

namespace {

/// Reads `bytes` bytes: every message of a run has the same length, so bytes count messages.
void drain(Wire& w, std::uint64_t bytes) {
  while (bytes > 0) {
    std::string_view got = w.receive();
    if (got.empty()) std::exit(1);
    bytes -= std::min<std::uint64_t>(bytes, got.size());
  }
}

void pubsub(const Args& a, int subscribers) {
  std::string head = "MSG bench.subject 1 " + std::to_string(a.size) + "\r\n";
  std::uint64_t per_message = head.size() + a.size + 2;
  std::vector<std::unique_ptr<Wire>> subs;
  for (int i = 0; i < subscribers; ++i) {
    subs.push_back(std::make_unique<Wire>(a.host, a.ports[0], "sub" + std::to_string(i)));
    subs.back()->send("SUB bench.subject 1\r\n");
    subs.back()->flush();
  }
  Wire pub(a.host, a.ports[0], "pub");
  std::string one =
      "PUB bench.subject " + std::to_string(a.size) + "\r\n" + std::string(a.size, 'x') + "\r\n";
  std::string block;
  std::uint64_t per_block = std::max<std::size_t>(1, 32768 / one.size());
  for (std::uint64_t i = 0; i < per_block; ++i) block += one;
  std::uint64_t blocks = a.count / per_block;
  auto start = begin(a);
  std::vector<std::thread> readers;
  for (auto& s : subs)
    readers.emplace_back([&, w = s.get()] { drain(*w, blocks * per_block * per_message); });
  for (std::uint64_t i = 0; i < blocks; ++i) pub.send(block);
  for (auto& t : readers) t.join();
  print(a, seconds_since(start), blocks * per_block * static_cast<std::uint64_t>(subscribers), {});
}

void request_reply(const Args& a) {
  Wire asker(a.host, a.ports[0], "ask");
  std::thread responder([&] {
    Wire w(a.host, a.ports[0], "answer");
    w.send("SUB bench.ask 1\r\n");
    w.flush();
    w.messages(a.count + 100,
               [&](std::string_view, std::string_view reply, std::size_t, std::string_view body) {
                 std::string out = "PUB " + std::string(reply) + " " + std::to_string(body.size()) + "\r\n";
                 out.append(body);
                 out += "\r\n";
                 w.send(out);
               });
    w.flush();
  });
  std::this_thread::sleep_for(std::chrono::milliseconds(300));
  std::string payload(a.size, 'x');
  for (int i = 0; i < 100; ++i) asker.request("bench.ask", payload);
  std::vector<double> latencies;
  auto start = begin(a);
  for (std::uint64_t i = 0; i < a.count; ++i) {
    auto t = Clock::now();
    asker.request("bench.ask", payload);
    latencies.push_back(seconds_since(t));
  }
  print(a, seconds_since(start), a.count, std::move(latencies));
  responder.join();
}

std::vector<std::string> split(const std::string& text) {
  std::vector<std::string> out;
  for (std::size_t from = 0; from <= text.size();) {
    std::size_t to = std::min(text.find(',', from), text.size());
    out.push_back(text.substr(from, to - from));
    from = to + 1;
  }
  return out;
}

int run(int argc, char** argv) {
  Args a;
  std::map<std::string, std::string> flags;
  for (int i = 1; i + 1 < argc; i += 2) flags[argv[i]] = argv[i + 1];
  auto number = [&](const char* name, auto& out) {
    if (flags.count(name))
      out = static_cast<std::remove_reference_t<decltype(out)>>(
          std::strtoull(flags[name].c_str(), nullptr, 10));
  };
  if (flags.count("--host")) a.host = flags["--host"];
  if (flags.count("--work")) a.work = flags["--work"];
  if (flags.count("--at")) a.at = flags["--at"];
  if (flags.count("--names")) a.names = split(flags["--names"]);
  if (flags.count("--port")) {
    a.ports.clear();
    for (const std::string& p : split(flags["--port"])) a.ports.push_back(std::atoi(p.c_str()));
  }
  number("--size", a.size);
  number("--count", a.count);
  number("--window", a.window);
  number("--replicas", a.replicas);
  a.marks = flags.count("--marks") > 0;
  if (!a.names.empty() && a.names.size() != a.ports.size()) fail("as many --names as --port, please");
  if (a.work == "pubsub")
    pubsub(a, 1);
  else if (a.work == "fanout")
    pubsub(a, 4);
  else if (a.work == "request")
    request_reply(a);
  else if (!run_jetstream(a)) {
    std::fprintf(stderr, "weir-bench: unknown --work %s\n", a.work.c_str());
    return 2;
  }
  return 0;
}

}  // namespace
}  // namespace weir::bench

int main(int argc, char** argv) {
  return weir::bench::run(argc, argv);
}
