// weir-bench: one workload against one broker; prints one JSON line. tools/bench runs it for both.
//   weir-bench --port N --work pubsub|fanout|request|js-sync|js-async|js-fetch [--size B] [--count N]
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include "tests/bench/wire.h"

namespace weir::bench {
namespace {

using Clock = std::chrono::steady_clock;

struct Args {
  std::string host = "127.0.0.1", work = "pubsub";
  int port = 4222;
  std::size_t size = 128;
  std::uint64_t count = 200'000;
  std::uint64_t window = 2'000;  // js-async: messages without an ack
};

double seconds_since(Clock::time_point t) {
  return std::chrono::duration<double>(Clock::now() - t).count();
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
    subs.push_back(std::make_unique<Wire>(a.host, a.port, "sub" + std::to_string(i)));
    subs.back()->send("SUB bench.subject 1\r\n");
    subs.back()->flush();
  }
  Wire pub(a.host, a.port, "pub");
  std::string one =
      "PUB bench.subject " + std::to_string(a.size) + "\r\n" + std::string(a.size, 'x') + "\r\n";
  std::string block;
  std::uint64_t per_block = std::max<std::size_t>(1, 32768 / one.size());
  for (std::uint64_t i = 0; i < per_block; ++i) block += one;
  std::uint64_t blocks = a.count / per_block;
  auto start = Clock::now();
  std::vector<std::thread> readers;
  for (auto& s : subs)
    readers.emplace_back([&, w = s.get()] { drain(*w, blocks * per_block * per_message); });
  for (std::uint64_t i = 0; i < blocks; ++i) pub.send(block);
  for (auto& t : readers) t.join();
  print(a, seconds_since(start), blocks * per_block * static_cast<std::uint64_t>(subscribers), {});
}

void request_reply(const Args& a) {
  Wire asker(a.host, a.port, "ask");
  std::thread responder([&] {
    Wire w(a.host, a.port, "answer");
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
  auto start = Clock::now();
  for (std::uint64_t i = 0; i < a.count; ++i) {
    auto t = Clock::now();
    asker.request("bench.ask", payload);
    latencies.push_back(seconds_since(t));
  }
  print(a, seconds_since(start), a.count, std::move(latencies));
  responder.join();
}

void make_stream(Wire& w) {
  w.request("$JS.API.STREAM.DELETE.BENCH", "");
  std::string answer =
      w.request("$JS.API.STREAM.CREATE.BENCH",
                R"({"name":"BENCH","subjects":["bench.js"],"storage":"file","retention":"limits",)"
                R"("max_msgs":-1,"max_bytes":-1,"max_age":0,"num_replicas":1,"discard":"old"})");
  if (answer.find("\"error\"") != std::string::npos) {
    std::fprintf(stderr, "weir-bench: %s\n", answer.c_str());
    std::exit(1);
  }
}

void js_sync(const Args& a) {
  Wire w(a.host, a.port, "jssync");
  make_stream(w);
  std::string payload(a.size, 'x');
  std::vector<double> latencies;
  for (int i = 0; i < 20; ++i) w.request("bench.js", payload);
  auto start = Clock::now();
  for (std::uint64_t i = 0; i < a.count; ++i) {
    auto t = Clock::now();
    w.request("bench.js", payload);
    latencies.push_back(seconds_since(t));
  }
  print(a, seconds_since(start), a.count, std::move(latencies));
}

/// Publishes with at most `window` unacknowledged messages; refuses to count an error as an ack.
void publish_async(Wire& w, const Args& a) {
  std::string inbox = "_INBOX.async.";
  w.send("SUB _INBOX.async.* 7\r\n");
  w.flush();
  std::string payload(a.size, 'x'), out;
  std::uint64_t sent = 0, acked = 0;
  while (acked < a.count) {
    out.clear();
    while (sent < a.count && sent - acked < a.window && out.size() < 65536) {
      out += "PUB bench.js " + inbox + std::to_string(sent++) + " " + std::to_string(a.size) + "\r\n" +
             payload + "\r\n";
    }
    if (!out.empty()) w.send(out);
    if (sent < a.count && sent - acked < a.window / 2) continue;
    w.messages(1, [&](std::string_view, std::string_view, std::size_t, std::string_view body) {
      if (body.find("\"error\"") != std::string_view::npos) {
        std::fprintf(stderr, "weir-bench: %.*s\n", static_cast<int>(body.size()), body.data());
        std::exit(1);
      }
      ++acked;
    });
  }
  w.send("UNSUB 7\r\n");
  w.flush();
}

void js_async(const Args& a) {
  Wire w(a.host, a.port, "jsasync");
  make_stream(w);
  auto start = Clock::now();
  publish_async(w, a);
  print(a, seconds_since(start), a.count, {});
}

void js_fetch(const Args& a) {
  Wire w(a.host, a.port, "jsfetch");
  make_stream(w);
  publish_async(w, a);
  w.request(
      "$JS.API.CONSUMER.DURABLE.CREATE.BENCH.c",
      R"({"stream_name":"BENCH","config":{"durable_name":"c","ack_policy":"explicit","max_ack_pending":20000}})");
  w.send("SUB _INBOX.fetch 8\r\n");
  w.flush();
  constexpr std::uint64_t kBatch = 500;
  std::string pull = R"({"batch":500,"expires":30000000000})";
  std::string next = "PUB $JS.API.CONSUMER.MSG.NEXT.BENCH.c _INBOX.fetch " + std::to_string(pull.size()) +
                     "\r\n" + pull + "\r\n";
  std::string acks;
  auto start = Clock::now();
  w.send(next);
  w.send(next);
  std::uint64_t in_batch = 0;
  w.messages(a.count, [&](std::string_view, std::string_view reply, std::size_t, std::string_view body) {
    if (!reply.starts_with("$JS.ACK.")) {
      std::fprintf(stderr, "weir-bench: not a delivery: %.*s\n", static_cast<int>(body.size()), body.data());
      std::exit(1);
    }
    acks += "PUB ";
    acks += reply;
    acks += " 4\r\n+ACK\r\n";
    if (++in_batch % kBatch == 0) acks += next;
    if (in_batch % 100 == 0 || in_batch == a.count) {
      w.send(acks);
      acks.clear();
    }
  });
  w.flush();
  print(a, seconds_since(start), a.count, {});
}

int run(int argc, char** argv) {
  Args a;
  std::map<std::string, std::string> flags;
  for (int i = 1; i + 1 < argc; i += 2) flags[argv[i]] = argv[i + 1];
  if (flags.count("--host")) a.host = flags["--host"];
  if (flags.count("--port")) a.port = std::atoi(flags["--port"].c_str());
  if (flags.count("--work")) a.work = flags["--work"];
  if (flags.count("--size")) a.size = std::strtoull(flags["--size"].c_str(), nullptr, 10);
  if (flags.count("--count")) a.count = std::strtoull(flags["--count"].c_str(), nullptr, 10);
  if (flags.count("--window")) a.window = std::strtoull(flags["--window"].c_str(), nullptr, 10);
  if (a.work == "pubsub")
    pubsub(a, 1);
  else if (a.work == "fanout")
    pubsub(a, 4);
  else if (a.work == "request")
    request_reply(a);
  else if (a.work == "js-sync")
    js_sync(a);
  else if (a.work == "js-async")
    js_async(a);
  else if (a.work == "js-fetch")
    js_fetch(a);
  else {
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
