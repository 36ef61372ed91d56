// weir-demo: streams, consumers and a trickle of messages for tools/up, through the stock C client.
//
//   weir-demo [URL[,URL...]] [--replicas N]
//
// ORDERS   20 messages/s; consumer "billing" keeps up, consumer "audit" acks every fifth message only
//          and therefore shows outstanding acks.
// SENSORS  50 messages/s, the last 10,000 kept; consumer "dashboard" is never read and lags.
#include <nats/nats.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

namespace {

std::atomic<bool> stop{false};

void check(natsStatus s, const char* what) {
  if (s == NATS_OK) return;
  std::fprintf(stderr, "weir-demo: %s: %s\n", what, natsStatus_GetText(s));
  std::exit(1);
}

/// Tries for a minute: a cluster that has just been started has no leader yet, and says so.
template <class Call>
void insist(const char* what, Call call) {
  for (int i = 0;; ++i) {
    natsStatus s = call();
    if (s == NATS_OK || stop) return;
    if (i == 120) check(s, what);
    std::this_thread::sleep_for(std::chrono::milliseconds(500));
  }
}

void add_stream(jsCtx* js, const char* name, const char* subject, int64_t max_msgs, int64_t replicas) {
  jsStreamConfig c;
  jsStreamConfig_Init(&c);
  c.Name = name;
  c.Replicas = replicas;
  const char* subjects[] = {subject};
  c.Subjects = subjects;
  c.SubjectsLen = 1;
  c.MaxMsgs = max_msgs;
  insist("add stream", [&] {
    jsErrCode code{};
    natsStatus s = js_AddStream(nullptr, js, &c, nullptr, &code);
    return code == JSStreamNameExistErr ? NATS_OK : s;
  });
}

void add_consumer(jsCtx* js, const char* stream, const char* name) {
  jsConsumerConfig c;
  jsConsumerConfig_Init(&c);
  c.Durable = name;
  c.AckPolicy = js_AckExplicit;
  c.AckWait = int64_t{300} * 1'000'000'000;
  insist("add consumer", [&] { return js_AddConsumer(nullptr, js, stream, &c, nullptr, nullptr); });
}

/// Fetches in small batches; acks every `ack_every`-th message.
void consume(jsCtx* js, const char* stream, const char* subject, const char* durable, int ack_every) {
  natsSubscription* sub = nullptr;
  jsSubOptions o;
  jsSubOptions_Init(&o);
  o.Stream = stream;
  o.Consumer = durable;
  insist("pull subscribe",
         [&] { return js_PullSubscribe(&sub, js, subject, durable, nullptr, &o, nullptr); });
  int n = 0;
  while (!stop && sub) {
    natsMsgList list{};
    natsStatus s = natsSubscription_Fetch(&list, sub, 20, 1000, nullptr);
    if (s == NATS_OK) {
      for (int i = 0; i < list.Count; ++i) {
        if (++n % ack_every == 0) natsMsg_Ack(list.Msgs[i], nullptr);
      }
    } else if (s != NATS_TIMEOUT) {
      std::this_thread::sleep_for(std::chrono::milliseconds(500));  // reconnecting
    }
    natsMsgList_Destroy(&list);
  }
  natsSubscription_Destroy(sub);
}

/// `urls` separated by commas.
void set_servers(natsOptions* options, const std::string& urls) {
  std::vector<std::string> list;
  for (std::size_t at = 0; at <= urls.size();) {
    std::size_t end = std::min(urls.find(',', at), urls.size());
    list.push_back(urls.substr(at, end - at));
    at = end + 1;
  }
  std::vector<const char*> raw;
  for (const std::string& one : list) raw.push_back(one.c_str());
  check(natsOptions_SetServers(options, raw.data(), static_cast<int>(raw.size())), "servers");
}

/// Says when the confirmations of a stream stop and when they come again.
class Confirmations {
 public:
  explicit Confirmations(const char* stream) : stream_(stream) {}

  void seen(natsStatus s) {
    Clock::time_point now = Clock::now();
    std::chrono::duration<double> gap = now - last_;
    if (s != NATS_OK) {
      ++failed_;
      if (good_) std::printf("demo: %s does not confirm: %s\n", stream_, natsStatus_GetText(s));
    } else {
      ++stored_;
      last_ = now;
      if (gap.count() > 1) std::printf("demo: %s confirms again after %.1f s\n", stream_, gap.count());
    }
    good_ = s == NATS_OK;
  }

  void report() const {
    std::printf("demo: %s: %lu messages stored, %lu not confirmed\n", stream_, stored_, failed_);
  }

 private:
  using Clock = std::chrono::steady_clock;
  const char* stream_;
  unsigned long stored_ = 0, failed_ = 0;
  bool good_ = true;
  Clock::time_point last_ = Clock::now();
};

/// Publishes 70 messages per second until the end.
void publish(jsCtx* js) {
  const char* kinds[] = {"orders.created", "orders.paid", "orders.shipped"};
  Confirmations orders("ORDERS"), sensors("SENSORS");
  jsPubOptions options;
  jsPubOptions_Init(&options);
  options.MaxWait = 1000;  // ms; what was on its way when a leader died is never answered
  for (unsigned long tick = 0; !stop; ++tick) {
    std::string subject = "sensors.room" + std::to_string(tick % 5) + ".temperature";
    std::string body = "{\"tick\":" + std::to_string(tick) + "}";
    bool order = tick % 7 < 2;
    const char* to = order ? kinds[tick % 3] : subject.c_str();
    jsPubAck* ack = nullptr;
    int size = static_cast<int>(body.size());
    natsStatus s = js_Publish(&ack, js, to, body.data(), size, &options, nullptr);
    jsPubAck_Destroy(ack);
    (order ? orders : sensors).seen(s);
    if (tick % 700 == 699) {
      orders.report();
      sensors.report();
    }
    std::fflush(stdout);
    std::this_thread::sleep_for(std::chrono::milliseconds(14));
  }
}

void on_signal(int) {
  stop = true;
}

}  // namespace

int main(int argc, char** argv) {
  std::signal(SIGINT, on_signal);
  std::signal(SIGTERM, on_signal);
  const char* url = "nats://127.0.0.1:4222";
  int64_t replicas = 1;
  for (int i = 1; i < argc; ++i) {
    if (std::strcmp(argv[i], "--replicas") == 0 && i + 1 < argc) {
      replicas = std::atoi(argv[++i]);
    } else {
      url = argv[i];
    }
  }
  natsOptions* options = nullptr;
  natsOptions_Create(&options);
  set_servers(options, url);
  natsOptions_SetMaxReconnect(options, -1);
  natsOptions_SetReconnectWait(options, 250);
  natsOptions_SetName(options, "weir-demo");
  natsConnection* nc = nullptr;
  check(natsConnection_Connect(&nc, options), "connect");
  jsCtx* js = nullptr;
  check(natsConnection_JetStream(&js, nc, nullptr), "jetstream");
  add_stream(js, "ORDERS", "orders.*", -1, replicas);
  add_stream(js, "SENSORS", "sensors.>", 10'000, replicas);
  add_consumer(js, "ORDERS", "billing");
  add_consumer(js, "ORDERS", "audit");
  add_consumer(js, "SENSORS", "dashboard");
  std::thread billing(consume, js, "ORDERS", "orders.*", "billing", 1);
  std::thread audit(consume, js, "ORDERS", "orders.*", "audit", 5);
  publish(js);
  billing.join();
  audit.join();
  jsCtx_Destroy(js);
  natsConnection_Destroy(nc);
  natsOptions_Destroy(options);
  nats_Close();
  return 0;
}
