// Work queues, interest and buckets, as libnats uses them.
#include <algorithm>

#include "tests/conformance/libnats_client.h"

namespace weir::conformance {
namespace {

constexpr std::int64_t kMs = 1'000'000;

class Retention : public ::testing::Test {
 protected:
  void stream(jsRetentionPolicy policy, const std::function<void(jsStreamConfig&)>& change = nullptr) {
    ASSERT_EQ(c.add_stream("Q", {"q.>"},
                           [&](auto& s) {
                             s.Retention = policy;
                             if (change) change(s);
                           }),
              0);
  }
  int consumer(const char* name, const char* filter = nullptr,
               const std::function<void(jsConsumerConfig&)>& change = nullptr) {
    return c.add_consumer("Q", [&](auto& cfg) {
      cfg.Durable = name;
      cfg.FilterSubject = filter;
      if (change) change(cfg);
    });
  }
  void publish(const char* subject, int count) {
    for (int i = 0; i < count; ++i) EXPECT_NE(c.store(subject, "x").seq, 0u);
  }
  /// Fetches `count` messages and confirms their acknowledgement.
  void finish(const char* name, int count) {
    auto sub = c.bind_pull("Q", name);
    auto got = fetch(sub, count);
    ASSERT_EQ(got.size(), static_cast<std::size_t>(count));
    for (auto& m : got) ok(natsMsg_AckSync(m.get(), nullptr, nullptr));
  }
  std::uint64_t messages() { return c.stream("Q")->State.Msgs; }

  BrokerProcess broker;
  Client c{broker.url()};
};

TEST_F(Retention, WorkQueueGivesEachMessageOnce) {
  stream(js_WorkQueuePolicy);
  publish("q.1", 6);
  EXPECT_EQ(messages(), 6u) << "kept without a consumer";
  ASSERT_EQ(consumer("W"), 0);
  finish("W", 2);
  EXPECT_EQ(messages(), 4u);
  broker.crash_and_restart();
  EXPECT_EQ(messages(), 4u);
  EXPECT_EQ(c.stream("Q")->State.FirstSeq, 3u);
  {
    auto sub = c.bind_pull("Q", "W");
    auto got = fetch(sub, 2);
    ASSERT_EQ(got.size(), 2u);
    ok(natsMsg_Term(got[0].get(), nullptr));
    ok(natsMsg_Nak(got[1].get(), nullptr));
  }
  finish("W", 3);
  EXPECT_EQ(messages(), 0u);
  EXPECT_EQ(c.store("q.1", "x").seq, 7u);
}

TEST_F(Retention, WorkQueueConsumersDoNotOverlap) {
  stream(js_WorkQueuePolicy);
  EXPECT_EQ(consumer("none", nullptr, [](auto& cfg) { cfg.AckPolicy = js_AckNone; }), 10084);
  EXPECT_EQ(consumer("all", nullptr, [](auto& cfg) { cfg.AckPolicy = js_AckAll; }), 10098);
  EXPECT_EQ(consumer("new", nullptr, [](auto& cfg) { cfg.DeliverPolicy = js_DeliverNew; }), 10101);
  ASSERT_EQ(consumer("one", "q.1"), 0);
  EXPECT_EQ(consumer("any"), 10099);
  EXPECT_EQ(consumer("wide", "q.*"), 10100);
  EXPECT_EQ(consumer("same", "q.1"), 10100);
  ASSERT_EQ(consumer("two", "q.2"), 0);
  publish("q.1", 2);
  publish("q.2", 1);
  publish("q.3", 1);
  finish("one", 2);
  finish("two", 1);
  EXPECT_EQ(messages(), 1u) << "q.3 waits for its consumer";
  ASSERT_EQ(consumer("three", "q.3"), 0);
  finish("three", 1);
  EXPECT_EQ(messages(), 0u);
}

TEST_F(Retention, WorkQueueKeepsWhatReachedMaxDeliver) {
  stream(js_WorkQueuePolicy);
  ASSERT_EQ(consumer("W", nullptr,
                     [](auto& cfg) {
                       cfg.MaxDeliver = 1;
                       cfg.AckWait = 100 * kMs;
                     }),
            0);
  publish("q.1", 2);
  auto gone = c.subscribe("$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.Q.W");
  EXPECT_EQ(fetch(c.bind_pull("Q", "W"), 1).size(), 1u);
  EXPECT_TRUE(next(gone));
  finish("W", 1);
  EXPECT_EQ(messages(), 1u);
  ok(js_DeleteConsumer(c.js(), "Q", "W", nullptr, nullptr));
  EXPECT_EQ(messages(), 1u);
  ASSERT_EQ(consumer("X"), 0);
  finish("X", 1);
  EXPECT_EQ(messages(), 0u);
}

TEST_F(Retention, WorkQueueThatDiscardsNew) {
  stream(js_WorkQueuePolicy, [](auto& s) {
    s.MaxMsgs = 2;
    s.Discard = js_DiscardNew;
  });
  ASSERT_EQ(consumer("W"), 0);
  publish("q.1", 2);
  EXPECT_EQ(c.store("q.1", "x").error, 10077);
  finish("W", 1);
  EXPECT_EQ(c.store("q.1", "x").seq, 3u);
  EXPECT_EQ(c.store("q.1", "x").error, 10077);
}

TEST_F(Retention, InterestKeepsWhatSomebodyStillNeeds) {
  stream(js_InterestPolicy);
  EXPECT_EQ(c.store("q.1", "x").seq, 1u);
  EXPECT_EQ(messages(), 0u) << "nobody listens";
  ASSERT_EQ(consumer("A"), 0);
  ASSERT_EQ(consumer("B", "q.2"), 0);
  publish("q.1", 2);
  publish("q.2", 2);
  finish("A", 4);
  EXPECT_EQ(messages(), 2u);
  broker.restart();
  finish("B", 1);
  EXPECT_EQ(messages(), 1u);
  ok(js_DeleteConsumer(c.js(), "Q", "B", nullptr, nullptr));
  EXPECT_EQ(messages(), 0u);
  ok(js_DeleteConsumer(c.js(), "Q", "A", nullptr, nullptr));
  EXPECT_EQ(c.store("q.1", "x").seq, 6u);
  EXPECT_EQ(messages(), 0u);
}

TEST_F(Retention, PoliciesThatMayChange) {
  stream(js_LimitsPolicy);
  publish("q.1", 3);
  const char* subjects[] = {"q.>"};
  auto update = [&](jsRetentionPolicy policy) {
    jsStreamConfig config;
    jsStreamConfig_Init(&config);
    config.Name = "Q";
    config.Subjects = subjects;
    config.SubjectsLen = 1;
    config.Retention = policy;
    jsErrCode code{};
    natsStatus s = js_UpdateStream(nullptr, c.js(), &config, nullptr, &code);
    return s == NATS_OK ? 0 : static_cast<int>(code);
  };
  EXPECT_EQ(update(js_WorkQueuePolicy), 10052);
  EXPECT_EQ(update(js_InterestPolicy), 0);
  EXPECT_EQ(messages(), 0u) << "without consumers nothing is wanted";
  EXPECT_EQ(update(js_LimitsPolicy), 0);
  publish("q.1", 1);
  EXPECT_EQ(messages(), 1u);
}

class Bucket : public ::testing::Test {
 protected:
  Bucket() {
    kvConfig config;
    kvConfig_Init(&config);
    config.Bucket = "B";
    config.History = 3;
    ok(js_CreateKeyValue(&kv, c.js(), &config));
  }
  ~Bucket() override { kvStore_Destroy(kv); }
  std::uint64_t put(const char* key, const char* value) {
    std::uint64_t revision = 0;
    ok(kvStore_PutString(&revision, kv, key, value));
    return revision;
  }
  /// "value@revision", or "none".
  std::string get(const char* key, std::uint64_t revision = 0) {
    kvEntry* e = nullptr;
    natsStatus s = revision ? kvStore_GetRevision(&e, kv, key, revision) : kvStore_Get(&e, kv, key);
    if (s != NATS_OK) return s == NATS_NOT_FOUND ? "none" : natsStatus_GetText(s);
    std::string text = std::string(kvEntry_ValueString(e)) + "@" + std::to_string(kvEntry_Revision(e));
    kvEntry_Destroy(e);
    return text;
  }
  std::string keys() {
    kvKeysList list{};
    if (kvStore_Keys(&list, kv, nullptr) != NATS_OK) return "none";
    std::vector<std::string> all(list.Keys, list.Keys + list.Count);
    kvKeysList_Destroy(&list);
    std::sort(all.begin(), all.end());
    std::string text;
    for (const std::string& k : all) text += k + " ";
    return text;
  }

  BrokerProcess broker;
  Client c{broker.url()};
  kvStore* kv = nullptr;
};

TEST_F(Bucket, HistoryAndRevisions) {
  for (const char* v : {"1", "2", "3", "4"}) put("k", v);
  put("other.key", "x");
  EXPECT_EQ(get("k"), "4@4");
  EXPECT_EQ(get("k", 2), "2@2");
  EXPECT_EQ(get("k", 1), "none") << "three of history";
  EXPECT_EQ(get("k", 5), "none") << "of another key";
  kvEntryList history{};
  ok(kvStore_History(&history, kv, "k", nullptr));
  ASSERT_EQ(history.Count, 3);
  EXPECT_STREQ(kvEntry_ValueString(history.Entries[0]), "2");
  kvEntryList_Destroy(&history);
  EXPECT_EQ(keys(), "k other.key ");
}

TEST_F(Bucket, CompareAndSet) {
  EXPECT_EQ(put("k", "1"), 1u);
  EXPECT_NE(kvStore_CreateString(nullptr, kv, "k", "2"), NATS_OK);
  std::uint64_t revision = 0;
  ok(kvStore_UpdateString(&revision, kv, "k", "2", 1));
  EXPECT_EQ(revision, 2u);
  EXPECT_NE(kvStore_UpdateString(nullptr, kv, "k", "3", 1), NATS_OK);
  EXPECT_EQ(get("k"), "2@2");
  ok(kvStore_Delete(kv, "k"));
  EXPECT_EQ(get("k"), "none");
  ok(kvStore_CreateString(&revision, kv, "k", "back"));
  EXPECT_EQ(revision, 4u);
  broker.crash_and_restart();
  EXPECT_EQ(get("k"), "back@4");
}

TEST_F(Bucket, DeleteAndPurge) {
  put("a", "1");
  put("a", "2");
  put("b", "1");
  ok(kvStore_Delete(kv, "a"));
  EXPECT_EQ(keys(), "b ");
  EXPECT_EQ(get("a", 2), "2@2") << "a deleted key has its history";
  ok(kvStore_Purge(kv, "a", nullptr));
  EXPECT_EQ(get("a", 2), "none") << "a purged one has none";
  EXPECT_EQ(c.stream("KV_B")->State.Msgs, 2u) << "b and the marker of a";
  kvPurgeOptions o;
  kvPurgeOptions_Init(&o);
  o.DeleteMarkersOlderThan = -1;
  ok(kvStore_PurgeDeletes(kv, &o));
  EXPECT_EQ(c.stream("KV_B")->State.Msgs, 1u);
}

TEST_F(Bucket, WatchesSeeWhatIsThereAndWhatComes) {
  put("a.1", "x");
  put("b.1", "y");
  put("a.2", "z");
  put("a.1", "xx");
  kvWatcher* watcher = nullptr;
  ok(kvStore_Watch(&watcher, kv, "a.*", nullptr));
  auto seen = [&] {
    kvEntry* e = nullptr;
    ok(kvWatcher_Next(&e, watcher, 5000));
    if (!e) return std::string("up to date");
    std::string text = std::string(kvEntry_Key(e)) + (kvEntry_Operation(e) == kvOp_Put ? "=" : "!") +
                       (kvEntry_ValueString(e) ?: "");
    kvEntry_Destroy(e);
    return text;
  };
  EXPECT_EQ(seen(), "a.2=z");
  EXPECT_EQ(seen(), "a.1=xx");
  EXPECT_EQ(seen(), "up to date");
  put("b.1", "unseen");
  put("a.3", "new");
  ok(kvStore_Delete(kv, "a.1"));
  ok(kvStore_Purge(kv, "a.2", nullptr));
  EXPECT_EQ(seen(), "a.3=new");
  EXPECT_EQ(seen().substr(0, 4), "a.1!");
  EXPECT_EQ(seen().substr(0, 4), "a.2!");
  kvWatcher_Destroy(watcher);
}

}  // namespace
}  // namespace weir::conformance
