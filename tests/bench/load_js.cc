// tests/bench/load_js.cc - the JetStream workloads of weir-bench: one stream, made anew for each run.
// In a cluster the client looks where the stream (fetch: the consumer) is led and connects to that node, or
// to another one with --at follower.
#include <algorithm>
#include <memory>
#include <string>
#include <thread>

#include "tests/bench/wire.h"
#include "tests/bench/workload.h"

namespace weir::bench {
namespace {

constexpr std::uint64_t kKeys = 1'000;  // of the key-value workloads
constexpr double kSetupSeconds = 30;    // until a stream must be there and led

struct Stream {
  std::string name, subjects, more;  // more: members of the configuration
};

const Stream kPlain{"BENCH", "bench.js", R"("max_msgs_per_subject":-1,"discard":"old")"};
const Stream kKeyValue{"KV_b", "$KV.b.>",
                       R"("max_msgs_per_subject":1,"discard":"new","allow_direct":true,)"
                       R"("allow_rollup_hdrs":true,"deny_delete":true,"duplicate_window":120000000000)"};

std::string member(const std::string& json, const std::string& name) {
  std::string key = "\"" + name + "\":\"";
  std::size_t at = json.find(key);
  if (at == std::string::npos) return {};
  at += key.size();
  return json.substr(at, json.find('"', at) - at);
}

bool is_error(std::string_view answer) {
  return answer.empty() || answer.find("\"error\"") != std::string_view::npos;
}

/// Asks until the answer is `good`; a cluster that was just asked to delete may need a moment.
template <class Good>
std::string ask_until(Wire& w, const std::string& subject, const std::string& body, Good good,
                      std::chrono::milliseconds pause = std::chrono::milliseconds(50)) {
  auto start = Clock::now();
  for (;;) {
    std::string answer = w.request(subject, body);
    if (good(answer)) return answer;
    if (seconds_since(start) > kSetupSeconds) fail(subject + ": " + answer);
    std::this_thread::sleep_for(pause);
  }
}

using Connection = std::unique_ptr<Wire>;

/// To the node that `info` (a subject of the API) names as leader, or to the one after it.
Connection connect_at(const Args& a, Connection any, const std::string& info) {
  if (a.names.empty()) return any;
  auto led = [](const std::string& s) {
    return !is_error(s) && !member(s, "leader").empty() && s.find("\"current\":false") == std::string::npos;
  };
  std::string leader = member(ask_until(*any, info, "", led), "leader");
  auto at = static_cast<std::size_t>(std::find(a.names.begin(), a.names.end(), leader) - a.names.begin());
  if (at == a.names.size()) fail("leader " + leader + " is none of --names");
  if (a.at == "follower") at = (at + 1) % a.names.size();
  return std::make_unique<Wire>(a.host, a.ports[at], "bench");
}

/// Makes the stream anew; the connection to work with.
Connection make_stream(const Args& a, const Stream& s) {
  auto w = std::make_unique<Wire>(a.host, a.ports[0], "make");
  w->request("$JS.API.STREAM.DELETE." + s.name, "");
  std::string config =
      R"({"name":")" + s.name + R"(","subjects":[")" + s.subjects +
      R"("],"storage":"file","retention":"limits","max_msgs":-1,"max_bytes":-1,"max_age":0,)" +
      R"("num_replicas":)" + std::to_string(a.replicas) + "," + s.more + "}";
  ask_until(*w, "$JS.API.STREAM.CREATE." + s.name, config,
            [](const std::string& answer) { return !is_error(answer); });
  return connect_at(a, std::move(w), "$JS.API.STREAM.INFO." + s.name);
}

std::string key(std::uint64_t i) {
  return "$KV.b.key-" + std::to_string(i % kKeys);
}

/// Publishes one after the other, each after the ack of the one before.
template <class Subject>
void publish_sync(const Args& a, const Stream& s, Subject subject) {
  Connection w = make_stream(a, s);
  std::string payload(a.size, 'x');
  std::vector<double> latencies;
  latencies.reserve(a.count);
  for (std::uint64_t i = 0; i < 20; ++i) w->request(subject(i), payload);
  auto start = begin(a);
  for (std::uint64_t i = 0; i < a.count; ++i) {
    auto t = Clock::now();
    std::string answer = w->request(subject(i), payload);
    latencies.push_back(seconds_since(t));
    if (is_error(answer)) fail("publish: " + answer);
  }
  print(a, seconds_since(start), a.count, std::move(latencies));
}

/// Publishes with at most `window` unacknowledged messages; refuses to count an error as an ack.
template <class Subject>
void publish_async(Wire& w, const Args& a, std::uint64_t count, Subject subject) {
  std::string inbox = "_INBOX.async.";
  w.send("SUB _INBOX.async.* 7\r\n");
  w.flush();
  std::string tail = " " + std::to_string(a.size) + "\r\n" + std::string(a.size, 'x') + "\r\n", out;
  std::uint64_t sent = 0, acked = 0;
  while (acked < count) {
    out.clear();
    while (sent < count && sent - acked < a.window && out.size() < 65536) {
      out += "PUB ";
      out += subject(sent);
      out += " " + inbox + std::to_string(sent++) + tail;
    }
    if (!out.empty()) w.send(out);
    if (sent < count && sent - acked < a.window / 2) continue;
    w.messages(1, [&](std::string_view, std::string_view, std::size_t, std::string_view body) {
      if (is_error(body)) fail("publish: " + std::string(body));
      ++acked;
    });
  }
  w.send("UNSUB 7\r\n");
  w.flush();
}

std::string plain_subject(std::uint64_t) {
  return kPlain.subjects;
}

void js_async(const Args& a) {
  Connection w = make_stream(a, kPlain);
  auto start = begin(a);
  publish_async(*w, a, a.count, plain_subject);
  print(a, seconds_since(start), a.count, {});
}

void js_fetch(const Args& a) {
  Connection w = make_stream(a, kPlain);
  publish_async(*w, a, a.count, plain_subject);
  ask_until(*w, "$JS.API.CONSUMER.DURABLE.CREATE.BENCH.c",
            R"({"stream_name":"BENCH","config":{"durable_name":"c","ack_policy":"explicit",)"
            R"("max_ack_pending":20000}})",
            [](const std::string& answer) { return !is_error(answer); });
  w = connect_at(a, std::move(w), "$JS.API.CONSUMER.INFO.BENCH.c");
  w->send("SUB _INBOX.fetch 8\r\n");
  w->flush();
  constexpr std::uint64_t kBatch = 500;
  std::string pull = R"({"batch":500,"expires":30000000000})";
  std::string next = "PUB $JS.API.CONSUMER.MSG.NEXT.BENCH.c _INBOX.fetch " + std::to_string(pull.size()) +
                     "\r\n" + pull + "\r\n";
  std::string acks;
  auto start = begin(a);
  w->send(next);
  w->send(next);
  std::uint64_t in_batch = 0;
  w->messages(a.count, [&](std::string_view, std::string_view reply, std::size_t, std::string_view body) {
    if (!reply.starts_with("$JS.ACK.")) fail("not a delivery: " + std::string(body));
    acks += "PUB ";
    acks += reply;
    acks += " 4\r\n+ACK\r\n";
    if (++in_batch % kBatch == 0) acks += next;
    if (in_batch % 100 == 0 || in_batch == a.count) {
      w->send(acks);
      acks.clear();
    }
  });
  w->flush();
  // Until the server has counted all acks, too.
  auto finished = [](const std::string& info) {
    return info.find("\"num_ack_pending\":0") != std::string::npos &&
           info.find("\"num_pending\":0") != std::string::npos;
  };
  ask_until(*w, "$JS.API.CONSUMER.INFO.BENCH.c", "", finished, std::chrono::milliseconds(1));
  print(a, seconds_since(start), a.count, {});
}

void js_get(const Args& a) {
  Connection w = make_stream(a, kKeyValue);
  publish_async(*w, a, kKeys, key);
  std::vector<double> latencies;
  latencies.reserve(a.count);
  auto start = begin(a);
  for (std::uint64_t i = 0; i < a.count; ++i) {
    auto t = Clock::now();
    std::string value = w->request("$JS.API.DIRECT.GET.KV_b." + key(i), "");
    latencies.push_back(seconds_since(t));
    if (value.size() != a.size)
      fail("get " + key(i) + ": " + std::to_string(value.size()) + " bytes: " + value);
  }
  print(a, seconds_since(start), a.count, std::move(latencies));
}

}  // namespace

bool run_jetstream(const Args& a) {
  if (a.work == "js-sync")
    publish_sync(a, kPlain, plain_subject);
  else if (a.work == "js-async")
    js_async(a);
  else if (a.work == "js-fetch")
    js_fetch(a);
  else if (a.work == "js-put")
    publish_sync(a, kKeyValue, key);
  else if (a.work == "js-get")
    js_get(a);
  else
    return false;
  return true;
}

}  // namespace weir::bench
