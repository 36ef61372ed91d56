// Streams through libnats: publishing with conditions, reading, deleting, limits, listing, account info.
#include <set>
#include <thread>

#include "tests/conformance/libnats_client.h"

namespace weir::conformance {
namespace {

TEST(Streams, PublishWithAcknowledgement) {
  BrokerProcess broker;
  Client c(broker.url());
  ASSERT_EQ(c.add_stream("ORDERS", {"orders.*"}), 0);
  for (std::uint64_t i = 1; i <= 10; ++i) {
    auto ack = c.store("orders.created", "body " + std::to_string(i));
    EXPECT_EQ(ack.seq, i);
    EXPECT_FALSE(ack.duplicate);
  }
  auto info = c.stream("ORDERS");
  ASSERT_TRUE(info);
  EXPECT_EQ(info->State.Msgs, 10u);
  EXPECT_EQ(info->State.FirstSeq, 1u);
  EXPECT_EQ(info->State.LastSeq, 10u);
  EXPECT_EQ(info->Config->Storage, js_FileStorage);
  EXPECT_EQ(c.store("orders.a.b", "no stream listens here").error, 10076) << "of libnats: no responders";
}

TEST(Streams, CreatingAgain) {
  BrokerProcess broker;
  Client c(broker.url());
  EXPECT_EQ(c.add_stream("S", {"s.>"}), 0);
  EXPECT_EQ(c.add_stream("S", {"s.>"}), 0) << "the same configuration is no error";
  EXPECT_EQ(c.add_stream("S", {"other"}), 10058);
  EXPECT_EQ(c.add_stream("T", {"s.x"}), 10065);
  EXPECT_NE(c.add_stream("A.B", {"x"}), 0);
  EXPECT_NE(c.add_stream("BAD", {"a..b"}), 0);
  EXPECT_EQ(c.add_stream("R9", {"r"}, [](auto& s) { s.Replicas = 9; }), 10052);
  EXPECT_EQ(c.add_stream("R3", {"r"}, [](auto& s) { s.Replicas = 3; }), 10074);
}

TEST(Streams, Update) {
  BrokerProcess broker;
  Client c(broker.url());
  ASSERT_EQ(c.add_stream("S", {"s.>"}), 0);
  for (int i = 0; i < 10; ++i) c.store("s.1", "x");
  jsStreamConfig config;
  jsStreamConfig_Init(&config);
  const char* subjects[] = {"s.>", "more"};
  config.Name = "S";
  config.Subjects = subjects;
  config.SubjectsLen = 2;
  config.MaxMsgs = 4;
  jsErrCode code{};
  ok(js_UpdateStream(nullptr, c.js(), &config, nullptr, &code));
  EXPECT_EQ(c.stream("S")->State.Msgs, 4u);
  EXPECT_EQ(c.store("more", "x").seq, 11u);
  config.Storage = js_MemoryStorage;
  EXPECT_NE(js_UpdateStream(nullptr, c.js(), &config, nullptr, &code), NATS_OK);
  EXPECT_EQ(code, 10052);
  config.Name = "NONE";
  EXPECT_NE(js_UpdateStream(nullptr, c.js(), &config, nullptr, &code), NATS_OK);
  EXPECT_EQ(code, 10059);
}

TEST(Streams, DuplicateMessageIdsAreReported) {
  BrokerProcess broker;
  Client c(broker.url());
  ASSERT_EQ(c.add_stream("S", {"s"}, [](auto& s) { s.Duplicates = 60'000'000'000; }), 0);
  auto with_id = [&](const char* id) { return c.store("s", id, [id](auto& o) { o.MsgId = id; }); };
  EXPECT_EQ(with_id("a").seq, 1u);
  EXPECT_EQ(with_id("b").seq, 2u);
  for (int i = 0; i < 2; ++i) {
    auto again = with_id("a");
    EXPECT_TRUE(again.duplicate);
    EXPECT_EQ(again.seq, 1u);
    broker.crash_and_restart();
  }
  EXPECT_EQ(c.stream("S")->State.Msgs, 2u);
}

TEST(Streams, DuplicateWindowEnds) {
  BrokerProcess broker;
  Client c(broker.url());
  ASSERT_EQ(c.add_stream("S", {"s"}, [](auto& s) { s.Duplicates = 200'000'000; }), 0);
  auto send = [&] { return c.store("s", "x", [](auto& o) { o.MsgId = "id"; }); };
  EXPECT_EQ(send().seq, 1u);
  std::this_thread::sleep_for(std::chrono::milliseconds(500));
  auto later = send();
  EXPECT_FALSE(later.duplicate);
  EXPECT_EQ(later.seq, 2u);
}

TEST(Streams, Expectations) {
  BrokerProcess broker;
  Client c(broker.url());
  ASSERT_EQ(c.add_stream("S", {"s.>"}), 0);
  EXPECT_EQ(c.store("s.a", "1", [](auto& o) { o.MsgId = "id1"; }).seq, 1u);
  EXPECT_EQ(c.store("s.b", "2").seq, 2u);
  EXPECT_EQ(c.store("s.a", "x", [](auto& o) { o.ExpectStream = "T"; }).error, 10060);
  EXPECT_EQ(c.store("s.a", "x", [](auto& o) { o.ExpectLastSeq = 1; }).error, 10071);
  EXPECT_EQ(c.store("s.a", "x", [](auto& o) { o.ExpectLastSubjectSeq = 2; }).error, 10071);
  EXPECT_EQ(c.store("s.a", "x", [](auto& o) { o.ExpectLastMsgId = "id0"; }).error, 10070);
  EXPECT_EQ(c.store("s.a", "x", [](auto& o) { o.ExpectNoMessage = true; }).error, 10071);
  EXPECT_EQ(c.stream("S")->State.LastSeq, 2u) << "a refused message takes no sequence";
  EXPECT_EQ(c.store("s.a", "3",
                    [](auto& o) {
                      o.ExpectStream = "S";
                      o.ExpectLastSeq = 2;
                      o.ExpectLastSubjectSeq = 1;
                      o.MsgId = "id3";
                    })
                .seq,
            3u);
  EXPECT_EQ(c.store("s.a", "4", [](auto& o) { o.ExpectLastMsgId = "id3"; }).seq, 4u);
  EXPECT_EQ(c.store("s.new", "5", [](auto& o) { o.ExpectNoMessage = true; }).seq, 5u);
}

TEST(Streams, GetAndDeleteMessages) {
  BrokerProcess broker;
  Client c(broker.url());
  ASSERT_EQ(c.add_stream("S", {"s.>"}), 0);
  for (const char* body : {"one", "two", "three", "four"}) c.store(body[0] == 't' ? "s.t" : "s.x", body);
  natsMsg* m = nullptr;
  jsErrCode code{};
  ok(js_GetMsg(&m, c.js(), "S", 2, nullptr, nullptr));
  EXPECT_EQ(text_of(m), "two");
  EXPECT_EQ(natsMsg_GetSequence(m), 2u);
  EXPECT_STREQ(natsMsg_GetSubject(m), "s.t");
  EXPECT_GT(natsMsg_GetTime(m), 0);
  natsMsg_Destroy(m);
  ok(js_GetLastMsg(&m, c.js(), "S", "s.t", nullptr, nullptr));
  EXPECT_EQ(text_of(m), "three");
  natsMsg_Destroy(m);
  ok(js_DeleteMsg(c.js(), "S", 3, nullptr, nullptr));
  ok(js_EraseMsg(c.js(), "S", 1, nullptr, nullptr));
  EXPECT_NE(js_GetMsg(&m, c.js(), "S", 3, nullptr, &code), NATS_OK);
  EXPECT_EQ(code, 10037);
  EXPECT_NE(js_DeleteMsg(c.js(), "S", 3, nullptr, &code), NATS_OK);
  ok(js_GetLastMsg(&m, c.js(), "S", "s.t", nullptr, nullptr));
  EXPECT_EQ(text_of(m), "two");
  natsMsg_Destroy(m);
  jsOptions details;
  jsOptions_Init(&details);
  details.Stream.Info.DeletedDetails = true;
  details.Stream.Info.SubjectsFilter = ">";
  auto info = c.stream("S", &details);
  EXPECT_EQ(info->State.Msgs, 2u);
  EXPECT_EQ(info->State.FirstSeq, 2u);
  EXPECT_EQ(info->State.NumDeleted, 1u);
  ASSERT_EQ(info->State.DeletedLen, 1);
  EXPECT_EQ(info->State.Deleted[0], 3u);
  ASSERT_TRUE(info->State.Subjects);
  EXPECT_EQ(info->State.Subjects->Count, 2);
}

TEST(Streams, DirectGet) {
  BrokerProcess broker;
  Client c(broker.url());
  ASSERT_EQ(c.add_stream("S", {"s.>"}, [](auto& s) { s.AllowDirect = true; }), 0);
  c.store("s.a", "one");
  c.store("s.b", "two");
  c.store("s.a", "three");
  auto m = c.request("$JS.API.DIRECT.GET.S", R"({"seq":2})");
  EXPECT_EQ(text_of(m.get()), "two");
  EXPECT_EQ(header_of(m.get(), "Nats-Stream"), "S");
  EXPECT_EQ(header_of(m.get(), "Nats-Subject"), "s.b");
  EXPECT_EQ(header_of(m.get(), "Nats-Sequence"), "2");
  EXPECT_FALSE(header_of(m.get(), "Nats-Time-Stamp").empty());
  EXPECT_EQ(text_of(c.request("$JS.API.DIRECT.GET.S", R"({"last_by_subj":"s.a"})").get()), "three");
  EXPECT_EQ(text_of(c.request("$JS.API.DIRECT.GET.S.s.a", "").get()), "three");
  EXPECT_EQ(text_of(c.request("$JS.API.DIRECT.GET.S", R"({"seq":2,"next_by_subj":"s.a"})").get()), "three");
  m = c.request("$JS.API.DIRECT.GET.S", R"({"seq":9})");
  EXPECT_EQ(header_of(m.get(), "Status"), "404");
  EXPECT_EQ(header_of(m.get(), "Description"), "Message Not Found");
  m = c.request("$JS.API.DIRECT.GET.S", "{}");
  EXPECT_EQ(header_of(m.get(), "Status"), "408");

  jsDirectGetMsgOptions o;
  jsDirectGetMsgOptions_Init(&o);
  o.LastBySubject = "s.b";
  natsMsg* got = nullptr;
  ok(js_DirectGetMsg(&got, c.js(), "S", nullptr, &o));
  EXPECT_EQ(text_of(got), "two");
  natsMsg_Destroy(got);
}

TEST(Streams, Purge) {
  BrokerProcess broker;
  Client c(broker.url());
  ASSERT_EQ(c.add_stream("S", {"s.>"}), 0);
  for (int i = 0; i < 20; ++i) c.store(i % 2 ? "s.odd" : "s.even", "x");
  jsOptions o;
  jsOptions_Init(&o);
  o.Stream.Purge.Subject = "s.odd";
  o.Stream.Purge.Keep = 2;
  ok(js_PurgeStream(c.js(), "S", &o, nullptr));
  EXPECT_EQ(c.stream("S")->State.Msgs, 12u);
  jsOptions_Init(&o);
  o.Stream.Purge.Sequence = 11;
  ok(js_PurgeStream(c.js(), "S", &o, nullptr));
  EXPECT_EQ(c.stream("S")->State.FirstSeq, 11u);
  ok(js_PurgeStream(c.js(), "S", nullptr, nullptr));
  broker.crash_and_restart();
  auto info = c.stream("S");
  EXPECT_EQ(info->State.Msgs, 0u);
  EXPECT_EQ(info->State.FirstSeq, 21u);
  EXPECT_EQ(info->State.LastSeq, 20u);
  EXPECT_EQ(c.store("s.x", "x").seq, 21u);
}

TEST(Limits, CountBytesAndSubject) {
  BrokerProcess broker;
  Client c(broker.url());
  ASSERT_EQ(c.add_stream("MSGS", {"m.>"}, [](auto& s) { s.MaxMsgs = 3; }), 0);
  ASSERT_EQ(c.add_stream("BYTES", {"b.>"}, [](auto& s) { s.MaxBytes = 3000; }), 0);
  ASSERT_EQ(c.add_stream("EACH", {"e.>"}, [](auto& s) { s.MaxMsgsPerSubject = 1; }), 0);
  for (int i = 0; i < 10; ++i) {
    c.store("m.x", "x");
    c.store("b.x", std::string(900, 'x'));
    c.store(i % 2 ? "e.odd" : "e.even", std::to_string(i));
  }
  EXPECT_EQ(c.stream("MSGS")->State.Msgs, 3u);
  EXPECT_EQ(c.stream("MSGS")->State.FirstSeq, 8u);
  EXPECT_EQ(c.stream("BYTES")->State.Msgs, 3u);
  EXPECT_LE(c.stream("BYTES")->State.Bytes, 3000u);
  EXPECT_EQ(c.stream("EACH")->State.Msgs, 2u);
}

TEST(Limits, DiscardNew) {
  BrokerProcess broker;
  Client c(broker.url());
  auto discard_new = [](auto& s) {
    s.Discard = js_DiscardNew;
    s.MaxMsgs = 2;
    s.MaxMsgSize = 100;
  };
  ASSERT_EQ(c.add_stream("S", {"s"}, discard_new), 0);
  EXPECT_EQ(c.store("s", std::string(101, 'x')).error, 10054);
  EXPECT_EQ(c.store("s", "1").seq, 1u);
  EXPECT_EQ(c.store("s", "2").seq, 2u);
  EXPECT_EQ(c.store("s", "3").error, 10077);
  ok(js_DeleteMsg(c.js(), "S", 1, nullptr, nullptr));
  EXPECT_EQ(c.store("s", "3").seq, 3u);
  ASSERT_EQ(c.add_stream("B", {"b"},
                         [](auto& s) {
                           s.Discard = js_DiscardNew;
                           s.MaxBytes = 500;
                         }),
            0);
  EXPECT_EQ(c.store("b", std::string(400, 'x')).error, 0);
  EXPECT_EQ(c.store("b", std::string(400, 'x')).error, 10077);
}

TEST(Limits, AgeAlsoOfAnIdleStreamAndOverARestart) {
  BrokerProcess broker;
  Client c(broker.url());
  ASSERT_EQ(c.add_stream("S", {"s"}, [](auto& s) { s.MaxAge = 600'000'000, s.Duplicates = 100'000'000; }), 0);
  c.store("s", "old");
  c.store("s", "old");
  EXPECT_EQ(c.stream("S")->State.Msgs, 2u);
  std::this_thread::sleep_for(std::chrono::milliseconds(1500));
  EXPECT_EQ(c.stream("S")->State.Msgs, 0u);
  EXPECT_EQ(c.store("s", "new").seq, 3u);
  broker.kill();
  std::this_thread::sleep_for(std::chrono::milliseconds(800));
  broker.start();
  std::this_thread::sleep_for(std::chrono::milliseconds(300));
  auto info = c.stream("S");
  EXPECT_EQ(info->State.Msgs, 0u);
  EXPECT_EQ(info->State.LastSeq, 3u);
}

TEST(Listing, NamesAndInfosPageThroughMany) {
  BrokerProcess broker;
  Client c(broker.url());
  constexpr int kStreams = 300;  // more than one page of either list
  for (int i = 0; i < kStreams; ++i) {
    std::string name = "S" + std::to_string(1000 + i);
    ASSERT_EQ(c.add_stream(name.c_str(), {name.c_str()}, [](auto& s) { s.Storage = js_MemoryStorage; }), 0);
  }
  jsStreamNamesList* names = nullptr;
  ok(js_StreamNames(&names, c.js(), nullptr, nullptr));
  EXPECT_EQ(names->Count, kStreams);
  std::set<std::string> different(names->List, names->List + names->Count);  // libnats gives them in no order
  EXPECT_EQ(different.size(), std::size_t{kStreams});
  jsStreamNamesList_Destroy(names);
  jsStreamInfoList* infos = nullptr;
  ok(js_Streams(&infos, c.js(), nullptr, nullptr));
  EXPECT_EQ(infos->Count, kStreams);
  jsStreamInfoList_Destroy(infos);
  jsOptions by_subject;
  jsOptions_Init(&by_subject);
  by_subject.Stream.Info.SubjectsFilter = "S1042";
  ok(js_StreamNames(&names, c.js(), &by_subject, nullptr));
  ASSERT_EQ(names->Count, 1);
  EXPECT_STREQ(names->List[0], "S1042");
  jsStreamNamesList_Destroy(names);
}

TEST(Listing, AccountInfo) {
  BrokerProcess broker;
  Client c(broker.url());
  ASSERT_EQ(c.add_stream("F", {"f"}), 0);
  ASSERT_EQ(c.add_stream("M", {"m"}, [](auto& s) { s.Storage = js_MemoryStorage; }), 0);
  c.store("f", "x");
  c.store("m", "x");
  ASSERT_EQ(c.add_consumer("F", [](auto& cfg) { cfg.Durable = "D"; }), 0);
  jsAccountInfo* info = nullptr;
  ok(js_GetAccountInfo(&info, c.js(), nullptr, nullptr));
  EXPECT_EQ(info->Streams, 2);
  EXPECT_EQ(info->Consumers, 1);
  EXPECT_GT(info->Store, 0u);
  EXPECT_GT(info->Memory, 0u);
  EXPECT_GT(info->API.Total, 2u);
  jsAccountInfo_Destroy(info);
  ok(js_DeleteStream(c.js(), "F", nullptr, nullptr));
  EXPECT_FALSE(c.stream("F"));
  ok(js_GetAccountInfo(&info, c.js(), nullptr, nullptr));
  EXPECT_EQ(info->Streams, 1);
  EXPECT_EQ(info->Consumers, 0);
  jsAccountInfo_Destroy(info);
}

TEST(KeyValue, Bucket) {
  BrokerProcess broker;
  Client c(broker.url());
  kvConfig config;
  kvConfig_Init(&config);
  config.Bucket = "B";
  config.History = 5;
  kvStore* kv = nullptr;
  ok(js_CreateKeyValue(&kv, c.js(), &config));
  std::uint64_t revision = 0;
  ok(kvStore_PutString(&revision, kv, "k", "1"));
  EXPECT_EQ(kvStore_CreateString(nullptr, kv, "k", "2") == NATS_OK, false);
  ok(kvStore_UpdateString(&revision, kv, "k", "2", 1));
  EXPECT_EQ(revision, 2u);
  EXPECT_EQ(kvStore_UpdateString(nullptr, kv, "k", "3", 1) == NATS_OK, false);
  kvWatcher* watcher = nullptr;
  ok(kvStore_WatchAll(&watcher, kv, nullptr));
  ok(kvStore_Delete(kv, "k"));
  kvEntry* e = nullptr;
  ok(kvWatcher_Next(&e, watcher, 5000));
  ASSERT_TRUE(e);
  EXPECT_STREQ(kvEntry_ValueString(e), "2");
  kvEntry_Destroy(e);
  e = nullptr;
  ok(kvWatcher_Next(&e, watcher, 5000));
  EXPECT_FALSE(e) << "end of the initial values";
  ok(kvWatcher_Next(&e, watcher, 5000));
  EXPECT_EQ(kvEntry_Operation(e), kvOp_Delete);
  kvEntry_Destroy(e);
  kvWatcher_Destroy(watcher);
  EXPECT_EQ(kvStore_Get(&e, kv, "k"), NATS_NOT_FOUND);
  ok(kvStore_CreateString(&revision, kv, "k", "again"));
  kvEntryList history{};
  ok(kvStore_History(&history, kv, "k", nullptr));
  EXPECT_EQ(history.Count, 4);
  kvEntryList_Destroy(&history);
  ok(kvStore_Purge(kv, "k", nullptr));
  kvStore_Destroy(kv);
}

}  // namespace
}  // namespace weir::conformance
