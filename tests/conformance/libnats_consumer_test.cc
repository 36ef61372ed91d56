// Consumers through libnats: pull, push, acknowledgements, redelivery, restarts.
#include <chrono>
#include <set>
#include <thread>

#include "tests/conformance/libnats_client.h"

namespace weir::conformance {
namespace {

constexpr int64_t kMs = 1'000'000;

void fill(Client& c, int count, const char* subject = "s.x") {
  for (int i = 1; i <= count; ++i) ASSERT_EQ(c.store(subject, std::to_string(i)).error, 0);
}

struct Consumers : ::testing::Test {
  BrokerProcess broker;
  Client c{broker.url()};

  void SetUp() override { ASSERT_EQ(c.add_stream("S", {"s.>"}), 0); }
  static void confirm(natsMsg* m) { ok(natsMsg_AckSync(m, nullptr, nullptr)); }
};

TEST_F(Consumers, PullFetchAndAck) {
  fill(c, 10);
  ASSERT_EQ(c.add_consumer("S", [](auto& cfg) { cfg.Durable = "D"; }), 0);
  auto sub = c.bind_pull("S", "D");
  auto first = fetch(sub, 4);
  ASSERT_EQ(first.size(), 4u);
  for (std::size_t i = 0; i < 4; ++i) {
    Meta m = meta_of(first[i].get());
    EXPECT_EQ(m.stream_seq, i + 1);
    EXPECT_EQ(m.consumer_seq, i + 1);
    EXPECT_EQ(m.delivered, 1u);
    EXPECT_EQ(m.pending, 9 - i);
    confirm(first[i].get());
  }
  auto info = c.consumer("S", "D");
  EXPECT_EQ(info->AckFloor.Stream, 4u);
  EXPECT_EQ(info->NumPending, 6u);
  EXPECT_EQ(info->NumAckPending, 0);
  EXPECT_EQ(fetch(sub, 100, 300).size(), 6u);
  EXPECT_EQ(c.consumer("S", "D")->NumAckPending, 6);
  EXPECT_EQ(fetch(sub, 1, 200).size(), 0u);
}

TEST_F(Consumers, PullNoWaitMaxBytesAndWaitingPulls) {
  ASSERT_EQ(c.add_consumer("S", [](auto& cfg) { cfg.Durable = "D"; }), 0);
  auto m = c.request("$JS.API.CONSUMER.MSG.NEXT.S.D", R"({"batch":1,"no_wait":true})");
  EXPECT_EQ(header_of(m.get(), "Status"), "404");
  auto inbox = c.subscribe("reply.here");
  c.publish("$JS.API.CONSUMER.MSG.NEXT.S.D", R"({"batch":2,"expires":200000000})", "reply.here");
  c.flush();
  EXPECT_EQ(c.consumer("S", "D")->NumWaiting, 1);
  fill(c, 1);
  EXPECT_EQ(text_of(next(inbox).get()), "1");
  auto end = next(inbox);
  EXPECT_EQ(header_of(end.get(), "Status"), "408");
  EXPECT_EQ(header_of(end.get(), "Nats-Pending-Messages"), "1");
  fill(c, 3);
  auto sub = c.bind_pull("S", "D");
  jsFetchRequest r;
  jsFetchRequest_Init(&r);
  r.Batch = 10;
  r.MaxBytes = 200;
  r.Expires = 500 * kMs;
  natsMsgList list{};
  natsSubscription_FetchRequest(&list, sub.get(), &r);
  EXPECT_GE(list.Count, 1);
  EXPECT_LT(list.Count, 4);
  natsMsgList_Destroy(&list);
}

TEST_F(Consumers, NakComesAgain) {
  fill(c, 2);
  ASSERT_EQ(c.add_consumer("S", [](auto& cfg) { cfg.Durable = "D"; }), 0);
  auto sub = c.bind_pull("S", "D");
  auto got = fetch(sub, 2);
  ASSERT_EQ(got.size(), 2u);
  ok(natsMsg_Nak(got[0].get(), nullptr));
  auto again = fetch(sub, 1);
  ASSERT_EQ(again.size(), 1u);
  EXPECT_EQ(meta_of(again[0].get()).stream_seq, 1u);
  EXPECT_EQ(meta_of(again[0].get()).delivered, 2u);
  ok(natsMsg_NakWithDelay(again[0].get(), 300, nullptr));
  auto before = std::chrono::steady_clock::now();
  again = fetch(sub, 1, 3000);
  ASSERT_EQ(again.size(), 1u);
  EXPECT_GE(std::chrono::steady_clock::now() - before, std::chrono::milliseconds(200));
  EXPECT_EQ(meta_of(again[0].get()).delivered, 3u);
  ok(natsMsg_Term(again[0].get(), nullptr));
  confirm(got[1].get());
  EXPECT_EQ(fetch(sub, 1, 200).size(), 0u);
  EXPECT_EQ(c.consumer("S", "D")->NumAckPending, 0);
}

TEST_F(Consumers, AckWaitAndInProgress) {
  fill(c, 2);
  ASSERT_EQ(c.add_consumer("S",
                           [](auto& cfg) {
                             cfg.Durable = "D";
                             cfg.AckWait = 600 * kMs;
                           }),
            0);
  auto sub = c.bind_pull("S", "D");
  auto got = fetch(sub, 2);
  ASSERT_EQ(got.size(), 2u);
  for (int i = 0; i < 4; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
    ok(natsMsg_InProgress(got[1].get(), nullptr));
  }
  auto again = fetch(sub, 2, 300);
  ASSERT_EQ(again.size(), 1u) << "the one in progress is not due";
  EXPECT_EQ(meta_of(again[0].get()).stream_seq, 1u);
  EXPECT_EQ(meta_of(again[0].get()).delivered, 2u);
  EXPECT_EQ(c.consumer("S", "D")->NumRedelivered, 1);
}

TEST_F(Consumers, MaxAckPendingBlocks) {
  fill(c, 5);
  ASSERT_EQ(c.add_consumer("S",
                           [](auto& cfg) {
                             cfg.Durable = "D";
                             cfg.MaxAckPending = 2;
                           }),
            0);
  auto sub = c.bind_pull("S", "D");
  auto got = fetch(sub, 5, 300);
  ASSERT_EQ(got.size(), 2u);
  EXPECT_EQ(fetch(sub, 1, 200).size(), 0u);
  confirm(got[0].get());
  EXPECT_EQ(fetch(sub, 5, 300).size(), 1u);
}

TEST_F(Consumers, MaxDeliverEndsWithAnAdvisory) {
  fill(c, 1);
  ASSERT_EQ(c.add_consumer("S",
                           [](auto& cfg) {
                             cfg.Durable = "D";
                             cfg.MaxDeliver = 2;
                             cfg.AckWait = 200 * kMs;
                           }),
            0);
  auto advisories = c.subscribe("$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.S.D");
  auto sub = c.bind_pull("S", "D");
  EXPECT_EQ(fetch(sub, 1).size(), 1u);
  EXPECT_EQ(fetch(sub, 1).size(), 1u);
  EXPECT_EQ(fetch(sub, 1, 700).size(), 0u);
  auto advisory = next(advisories);
  ASSERT_TRUE(advisory);
  std::string text = text_of(advisory.get());
  for (const char* part : {R"("type":"io.nats.jetstream.advisory.v1.max_deliver")", R"("stream":"S")",
                           R"("consumer":"D")", R"("stream_seq":1)", R"("deliveries":2)"})
    EXPECT_NE(text.find(part), std::string::npos) << part << "\n" << text;
  EXPECT_EQ(c.stream("S")->State.Msgs, 1u);
}

TEST_F(Consumers, AckAll) {
  fill(c, 6);
  ASSERT_EQ(c.add_consumer("S",
                           [](auto& cfg) {
                             cfg.Durable = "D";
                             cfg.AckPolicy = js_AckAll;
                           }),
            0);
  auto sub = c.bind_pull("S", "D");
  auto got = fetch(sub, 6);
  ASSERT_EQ(got.size(), 6u);
  confirm(got[3].get());
  auto info = c.consumer("S", "D");
  EXPECT_EQ(info->AckFloor.Stream, 4u);
  EXPECT_EQ(info->NumAckPending, 2);
}

TEST_F(Consumers, FiltersAndStartingPoints) {
  // libnats writes times without the zeros that follow the point: none in the first tenth of a second.
  while (nats_NowInNanoSeconds() % 1'000'000'000 < 100'000'000 ||
         nats_NowInNanoSeconds() % 1'000'000'000 > 800'000'000)
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  for (int i = 1; i <= 10; ++i) c.store(i % 2 ? "s.odd" : "s.even", std::to_string(i));
  auto first_of = [&](const char* name, const std::function<void(jsConsumerConfig&)>& change) {
    EXPECT_EQ(c.add_consumer("S",
                             [&](auto& cfg) {
                               cfg.Durable = name;
                               change(cfg);
                             }),
              0);
    auto got = fetch(c.bind_pull("S", name), 1, 1000);
    return got.empty() ? std::string("none") : text_of(got[0].get());
  };
  EXPECT_EQ(first_of("all", [](auto&) {}), "1");
  EXPECT_EQ(first_of("even", [](auto& cfg) { cfg.FilterSubject = "s.even"; }), "2");
  EXPECT_EQ(c.consumer("S", "even")->NumPending, 4u);
  EXPECT_EQ(first_of("last", [](auto& cfg) { cfg.DeliverPolicy = js_DeliverLast; }), "10");
  EXPECT_EQ(first_of("new", [](auto& cfg) { cfg.DeliverPolicy = js_DeliverNew; }), "none");
  EXPECT_EQ(first_of("seq",
                     [](auto& cfg) {
                       cfg.DeliverPolicy = js_DeliverByStartSequence;
                       cfg.OptStartSeq = 7;
                     }),
            "7");
  natsMsg* m = nullptr;
  ok(js_GetMsg(&m, c.js(), "S", 5, nullptr, nullptr));
  int64_t when = natsMsg_GetTime(m);
  natsMsg_Destroy(m);
  EXPECT_EQ(first_of("time",
                     [when](auto& cfg) {
                       cfg.DeliverPolicy = js_DeliverByStartTime;
                       cfg.OptStartTime = when;
                     }),
            "5");
  EXPECT_EQ(first_of("each",
                     [](auto& cfg) {
                       cfg.DeliverPolicy = js_DeliverLastPerSubject;
                       cfg.FilterSubject = "s.>";
                     }),
            "9");
}

TEST_F(Consumers, Errors) {
  EXPECT_EQ(c.add_consumer("NONE", [](auto& cfg) { cfg.Durable = "D"; }), 10059);
  EXPECT_NE(c.add_consumer("S", [](auto& cfg) { cfg.Durable = "a.b"; }), 0);
  EXPECT_EQ(c.add_consumer("S",
                           [](auto& cfg) {
                             cfg.Durable = "D";
                             cfg.DeliverPolicy = js_DeliverByStartSequence;
                           }),
            10094);
  EXPECT_EQ(c.add_consumer("S", [](auto& cfg) { cfg.Durable = "D"; }), 0);
  EXPECT_EQ(c.add_consumer("S", [](auto& cfg) { cfg.Durable = "D"; }), 0);
  EXPECT_NE(c.add_consumer("S",
                           [](auto& cfg) {
                             cfg.Durable = "D";
                             cfg.DeliverSubject = "push.to";
                           }),
            0);
  jsErrCode code{};
  EXPECT_NE(js_DeleteConsumer(c.js(), "S", "NONE", nullptr, &code), NATS_OK);
  EXPECT_EQ(code, 10014);
  ok(js_DeleteConsumer(c.js(), "S", "D", nullptr, &code));
  EXPECT_FALSE(c.consumer("S", "D"));
  natsStatus status = NATS_OK;
  c.request("$JS.API.CONSUMER.MSG.NEXT.S.D", "", &status);
  EXPECT_EQ(status, NATS_NO_RESPONDERS) << "nobody serves pulls of a consumer that is gone";
}

TEST_F(Consumers, PushWithQueue) {
  jsSubOptions o;
  jsSubOptions_Init(&o);
  o.Stream = "S";
  o.Queue = "workers";
  o.ManualAck = true;
  o.Config.Durable = "workers";
  natsSubscription *one = nullptr, *two = nullptr;
  Client d(broker.url());
  ok(js_SubscribeSync(&one, c.js(), "s.>", nullptr, &o, nullptr));
  ok(js_SubscribeSync(&two, d.js(), "s.>", nullptr, &o, nullptr));
  Subscription first(one), second(two);
  fill(c, 100);
  std::multiset<std::uint64_t> seen;
  int of_first = 0;
  for (int idle = 0; seen.size() < 100 && idle < 50;) {
    auto a = next(first, 20), b = next(second, 20);
    if (!a && !b) ++idle;
    for (auto* m : {a.get(), b.get()}) {
      if (!m) continue;
      seen.insert(meta_of(m).stream_seq);
      of_first += m == a.get();
      ok(natsMsg_Ack(m, nullptr));
    }
  }
  EXPECT_EQ(seen.size(), 100u);
  EXPECT_EQ(std::set<std::uint64_t>(seen.begin(), seen.end()).size(), 100u);
  EXPECT_GT(of_first, 0);
  EXPECT_LT(of_first, 100);
  EXPECT_TRUE(c.consumer("S", "workers")->PushBound);
}

TEST_F(Consumers, OrderedSurvivesARestart) {
  fill(c, 50);
  jsSubOptions o;
  jsSubOptions_Init(&o);
  o.Ordered = true;
  natsSubscription* raw = nullptr;
  ok(js_SubscribeSync(&raw, c.js(), "s.>", nullptr, &o, nullptr));
  Subscription sub(raw);
  for (std::uint64_t i = 1; i <= 50; ++i) {
    auto m = next(sub);
    ASSERT_TRUE(m) << i;
    EXPECT_EQ(meta_of(m.get()).stream_seq, i);
  }
}

TEST_F(Consumers, EphemeralGoesAwayWhenIdle) {
  jsSubOptions o;
  jsSubOptions_Init(&o);
  o.Config.InactiveThreshold = 300 * kMs;
  natsSubscription* raw = nullptr;
  ok(js_SubscribeSync(&raw, c.js(), "s.>", nullptr, &o, nullptr));
  jsConsumerNamesList* names = nullptr;
  ok(js_ConsumerNames(&names, c.js(), "S", nullptr, nullptr));
  EXPECT_EQ(names->Count, 1);
  jsConsumerNamesList_Destroy(names);
  natsSubscription_Destroy(raw);
  bool gone = false;
  for (int i = 0; i < 40 && !gone; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    gone = c.stream("S")->State.Consumers == 0;
  }
  EXPECT_TRUE(gone);
}

TEST_F(Consumers, ManyAreListedInPages) {
  constexpr int kCount = 300;
  for (int i = 0; i < kCount; ++i) {
    std::string name = "C" + std::to_string(1000 + i);
    ASSERT_EQ(c.add_consumer("S", [&](auto& cfg) { cfg.Durable = name.c_str(); }), 0);
  }
  jsConsumerInfoList* list = nullptr;
  ok(js_Consumers(&list, c.js(), "S", nullptr, nullptr));
  EXPECT_EQ(list->Count, kCount);
  std::set<std::string> names;  // libnats gives them in no order
  for (int i = 0; i < list->Count; ++i) names.insert(list->List[i]->Name);
  EXPECT_EQ(names.size(), std::size_t{kCount});
  jsConsumerInfoList_Destroy(list);
}

TEST_F(Consumers, IdleHeartbeats) {
  auto inbox = c.subscribe("push.here");
  ASSERT_EQ(c.add_consumer("S",
                           [](auto& cfg) {
                             cfg.Durable = "D";
                             cfg.DeliverSubject = "push.here";
                             cfg.Heartbeat = 200 * kMs;
                           }),
            0);
  auto m = next(inbox, 2000);
  EXPECT_EQ(header_of(m.get(), "Status"), "100");
  EXPECT_EQ(header_of(m.get(), "Description"), "Idle Heartbeat");
  EXPECT_EQ(header_of(m.get(), "Nats-Last-Stream"), "0");
}

// How the broker goes down must not matter to a durable consumer.
struct Durable : Consumers, ::testing::WithParamInterface<bool> {
  void again() { GetParam() ? broker.crash_and_restart() : broker.restart(); }
};

TEST_P(Durable, PullResumes) {
  fill(c, 10);
  ASSERT_EQ(c.add_consumer("S",
                           [](auto& cfg) {
                             cfg.Durable = "D";
                             cfg.AckWait = 400 * kMs;
                           }),
            0);
  {
    auto sub = c.bind_pull("S", "D");
    auto got = fetch(sub, 5);
    ASSERT_EQ(got.size(), 5u);
    for (std::size_t i : {0u, 1u, 3u}) confirm(got[i].get());
  }
  again();
  Client d(broker.url());
  auto info = d.consumer("S", "D");
  ASSERT_TRUE(info);
  EXPECT_EQ(info->AckFloor.Stream, 2u);
  auto sub = d.bind_pull("S", "D");
  std::multiset<std::uint64_t> seen;
  for (int i = 0; i < 20 && seen.size() < 7; ++i) {
    for (auto& m : fetch(sub, 10, 300)) {
      seen.insert(meta_of(m.get()).stream_seq);
      confirm(m.get());
    }
  }
  EXPECT_EQ(seen, (std::multiset<std::uint64_t>{3, 5, 6, 7, 8, 9, 10}));
  EXPECT_EQ(d.consumer("S", "D")->AckFloor.Stream, 10u);
}

TEST_P(Durable, PushResumesForTheSameClient) {
  jsSubOptions o;
  jsSubOptions_Init(&o);
  o.Config.Durable = "D";
  o.Config.AckWait = 400 * kMs;
  o.ManualAck = true;
  natsSubscription* raw = nullptr;
  ok(js_SubscribeSync(&raw, c.js(), "s.>", nullptr, &o, nullptr));
  Subscription sub(raw);
  fill(c, 3);
  for (int i = 0; i < 3; ++i) {
    auto m = next(sub);
    ASSERT_TRUE(m);
    confirm(m.get());
  }
  again();
  Client d(broker.url());
  ASSERT_EQ(d.store("s.x", "4").seq, 4u);
  auto m = next(sub, 10000);
  ASSERT_TRUE(m);
  EXPECT_EQ(meta_of(m.get()).stream_seq, 4u);
}

TEST_P(Durable, StoredMessagesAndDeletesStay) {
  fill(c, 100);
  ok(js_DeleteMsg(c.js(), "S", 50, nullptr, nullptr));
  again();
  Client d(broker.url());
  auto info = d.stream("S");
  EXPECT_EQ(info->State.Msgs, 99u);
  EXPECT_EQ(info->State.NumDeleted, 1u);
  natsMsg* m = nullptr;
  for (std::uint64_t i : {1u, 49u, 51u, 100u}) {
    ok(js_GetMsg(&m, d.js(), "S", i, nullptr, nullptr));
    EXPECT_EQ(text_of(m), std::to_string(i));
    natsMsg_Destroy(m);
  }
  EXPECT_EQ(d.store("s.x", "next").seq, 101u);
}

// Enough for several checkpoints: most messages are in segments, and the journal was cut.
TEST_P(Durable, ManyMegabytesWithDeletesAndConsumers) {
  constexpr std::uint64_t kCount = 100;
  ASSERT_EQ(c.add_consumer("S", [](auto& cfg) { cfg.Durable = "D"; }), 0);
  std::string big(600'000, 'x');
  for (std::uint64_t i = 1; i <= kCount; ++i) ASSERT_EQ(c.store("s.x", std::to_string(i) + big).seq, i);
  auto sub = c.bind_pull("S", "D");
  for (int i = 0; i < 10; ++i) {
    for (auto& m : fetch(sub, 5)) confirm(m.get());
  }
  for (std::uint64_t i : {10u, 60u, 99u}) ok(js_DeleteMsg(c.js(), "S", i, nullptr, nullptr));
  for (int round = 0; round < 2; ++round) {
    again();
    Client d(broker.url());
    auto info = d.stream("S");
    ASSERT_TRUE(info) << broker.log();
    EXPECT_EQ(info->State.Msgs, kCount - 3);
    EXPECT_EQ(info->State.LastSeq, kCount);
    EXPECT_EQ(d.consumer("S", "D")->AckFloor.Stream, 50u);
    natsMsg* m = nullptr;
    for (std::uint64_t i : {1u, 50u, 98u, 100u}) {
      ok(js_GetMsg(&m, d.js(), "S", i, nullptr, nullptr));
      EXPECT_EQ(text_of(m).substr(0, std::to_string(i).size() + 1), std::to_string(i) + "x");
      natsMsg_Destroy(m);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Ends, Durable, ::testing::Values(false, true),
                         [](const auto& p) { return p.param ? "kill9" : "sigterm"; });

}  // namespace
}  // namespace weir::conformance
