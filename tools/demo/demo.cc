// weir-demo: streams, consumers and a trickle of messages for tools/up, through the stock C client.
//
//   weir-demo URL
//
// ORDERS   20 messages/s; consumer "billing" keeps up, consumer "audit" acks every fifth message only
//          and therefore shows outstanding acks.
// SENSORS  50 messages/s, the last 10,000 kept; consumer "dashboard" is never read and lags.
#include <nats/nats.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <thread>

namespace {

std::atomic<bool> stop{false};

void check(natsStatus s, const char* what) {
  if (s == NATS_OK) return;
  std::fprintf(stderr, "weir-demo: %s: %s\n", what, natsStatus_GetText(s));
  std::exit(1);
}

void add_stream(jsCtx* js, const char* name, const char* subject, int64_t max_msgs) {
  jsStreamConfig c;
  jsStreamConfig_Init(&c);
  c.Name = name;
  const char* subjects[] = {subject};
  c.Subjects = subjects;
  c.SubjectsLen = 1;
  c.MaxMsgs = max_msgs;
  jsErrCode code{};
  natsStatus s = js_AddStream(nullptr, js, &c, nullptr, &code);
  if (s != NATS_OK && code != JSStreamNameExistErr) check(s, "add stream");
}

void add_consumer(jsCtx* js, const char* stream, const char* name) {
  jsConsumerConfig c;
  jsConsumerConfig_Init(&c);
  c.Durable = name;
  c.AckPolicy = js_AckExplicit;
  c.AckWait = int64_t{300} * 1'000'000'000;
  check(js_AddConsumer(nullptr, js, stream, &c, nullptr, nullptr), "add consumer");
}

/// Fetches in small batches; acks every `ack_every`-th message.
void consume(jsCtx* js, const char* stream, const char* subject, const char* durable, int ack_every) {
  natsSubscription* sub = nullptr;
  jsSubOptions o;
  jsSubOptions_Init(&o);
  o.Stream = stream;
  o.Consumer = durable;
  check(js_PullSubscribe(&sub, js, subject, durable, nullptr, &o, nullptr), "pull subscribe");
  int n = 0;
  while (!stop) {
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

void on_signal(int) {
  stop = true;
}

}  // namespace

int main(int argc, char** argv) {
  std::signal(SIGINT, on_signal);
  std::signal(SIGTERM, on_signal);
  natsOptions* options = nullptr;
  natsOptions_Create(&options);
  natsOptions_SetURL(options, argc > 1 ? argv[1] : "nats://127.0.0.1:4222");
  natsOptions_SetMaxReconnect(options, -1);
  natsOptions_SetName(options, "weir-demo");
  natsConnection* nc = nullptr;
  check(natsConnection_Connect(&nc, options), "connect");
  jsCtx* js = nullptr;
  check(natsConnection_JetStream(&js, nc, nullptr), "jetstream");
  add_stream(js, "ORDERS", "orders.*", -1);
  add_stream(js, "SENSORS", "sensors.>", 10'000);
  add_consumer(js, "ORDERS", "billing");
  add_consumer(js, "ORDERS", "audit");
  add_consumer(js, "SENSORS", "dashboard");
  std::thread billing(consume, js, "ORDERS", "orders.*", "billing", 1);
  std::thread audit(consume, js, "ORDERS", "orders.*", "audit", 5);
  const char* kinds[] = {"orders.created", "orders.paid", "orders.shipped"};
  unsigned long sent = 0, refused = 0;
  for (unsigned long tick = 0; !stop; ++tick) {
    std::string subject = "sensors.room" + std::to_string(tick % 5) + ".temperature";
    std::string body = "{\"tick\":" + std::to_string(tick) + "}";
    bool order = tick % 5 < 2;
    const char* to = order ? kinds[tick % 3] : subject.c_str();
    jsPubAck* ack = nullptr;
    natsStatus s = js_Publish(&ack, js, to, body.data(), static_cast<int>(body.size()), nullptr, nullptr);
    (s == NATS_OK ? sent : refused) += 1;
    jsPubAck_Destroy(ack);
    if (tick % 500 == 499) std::printf("demo: %lu messages stored, %lu refused\n", sent, refused);
    std::fflush(stdout);
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  billing.join();
  audit.join();
  jsCtx_Destroy(js);
  natsConnection_Destroy(nc);
  natsOptions_Destroy(options);
  nats_Close();
  return 0;
}
