// Expected answers were recorded from nats-server 2.15.1.
#include "broker/jetstream/meta_state.h"

#include <memory>

#include <gtest/gtest.h>

#include "broker/base/prng.h"
#include "broker/subject/subject.h"

namespace weir::jetstream {
namespace {

struct Meta {
  std::unique_ptr<MetaState> state = std::make_unique<MetaState>();
  MetaOutcome out;
  std::uint64_t index = 0;

  std::string run(EntryBuilder& b) {
    auto reader = EntryReader::open(b.finish(Wall{1000}));
    EXPECT_TRUE(reader.has_value());
    Command c;
    while (reader->next(c)) {
      Status s = state->apply(c, RaftIndex(++index), reader->log_time(), out);
      EXPECT_TRUE(s.has_value());
    }
    if (!out.ok())
      return std::to_string(static_cast<unsigned>(out.error.err_code)) + " " + out.error.description;
    switch (out.change) {
      case MetaChange::kCreated: return "created " + std::to_string(out.stream.group.v);
      case MetaChange::kExisting: return "existing " + std::to_string(out.stream.group.v);
      case MetaChange::kUpdated: return "updated";
      case MetaChange::kDeleted: return "deleted " + std::to_string(out.stream.group.v);
      default: return "?";
    }
  }
  std::string create(const std::string& account, const api::StreamConfig& c, std::uint64_t max_streams = 0) {
    EntryBuilder b;
    std::string json = api::encode_stream_config_json(c);
    MetaStreamCommand m;
    m.account = account;
    m.name = c.name;
    m.max_streams = max_streams;
    m.peers = {"n1", "n2", "n3"};
    m.config_json = json;
    b.meta_create_stream(m);
    return run(b);
  }
  std::string update(const std::string& account, const api::StreamConfig& c,
                     std::vector<std::string_view> peers = {}) {
    EntryBuilder b;
    std::string json = api::encode_stream_config_json(c);
    MetaStreamCommand m;
    m.account = account;
    m.name = c.name;
    m.peers = std::move(peers);
    m.config_json = json;
    b.meta_update_stream(m);
    return run(b);
  }
  std::string remove(const std::string& account, const std::string& name) {
    EntryBuilder b;
    b.meta_delete_stream(account, name);
    return run(b);
  }
};

api::StreamConfig stream(const std::string& name, std::vector<std::string> subjects) {
  api::StreamConfig c;
  c.name = name;
  c.subjects = std::move(subjects);
  return c;
}

TEST(MetaState, CreateFindDelete) {
  Meta m;
  EXPECT_EQ(m.create("A", stream("S", {"a.>"})), "created 2");
  EXPECT_EQ(m.create("A", stream("S", {"a.>"})), "existing 2");
  EXPECT_EQ(m.create("A", stream("S", {"b.>"})),
            "10058 stream name already in use with a different configuration");
  const MetaStream* s = m.state->find("A", "S");
  ASSERT_NE(s, nullptr);
  EXPECT_EQ(s->created.ns, 1000);
  EXPECT_EQ(s->peers.size(), 3u);
  EXPECT_EQ(m.state->find(GroupId(2)), s);
  EXPECT_EQ(m.state->find("B", "S"), nullptr);
  EXPECT_EQ(m.create("B", stream("S", {"a.>"})), "created 3") << "accounts do not see each other";
  EXPECT_EQ(m.remove("A", "S"), "deleted 2");
  EXPECT_EQ(m.remove("A", "S"), "10059 stream not found");
  EXPECT_EQ(m.state->find(GroupId(2)), nullptr);
  EXPECT_EQ(m.create("A", stream("S", {"a.>"})), "created 4") << "group ids are never used again";
  EXPECT_EQ(m.state->count(), 2u);
}

TEST(MetaState, SubjectsDoNotOverlap) {
  Meta m;
  const std::string overlap = "10065 subjects overlap with an existing stream";
  EXPECT_EQ(m.create("A", stream("S", {"a.>", "x.*.z"})), "created 2");
  EXPECT_EQ(m.create("A", stream("T", {"a.1"})), overlap);
  EXPECT_EQ(m.create("A", stream("T", {"*.1"})), overlap);
  EXPECT_EQ(m.create("A", stream("T", {">"})), overlap);
  EXPECT_EQ(m.create("A", stream("T", {"x.y.*"})), overlap);
  EXPECT_EQ(m.create("A", stream("T", {"a", "x.y"})), "created 3");
  EXPECT_EQ(m.update("A", stream("T", {"x.y.z"})), overlap);
  EXPECT_EQ(m.update("A", stream("S", {"a.*"})), "updated") << "its own subjects do not count";
  EXPECT_EQ(m.create("A", stream("U", {"x.1.z"})), "created 4") << "freed by the update";
  EXPECT_EQ(m.remove("A", "S"), "deleted 2");
  EXPECT_EQ(m.create("A", stream("V", {"a.>"})), "created 5");
}

TEST(MetaState, LimitsAndNames) {
  Meta m;
  EXPECT_EQ(m.create("A", stream("S", {"s"}), 1), "created 2");
  EXPECT_EQ(m.create("A", stream("T", {"t"}), 1), "10027 maximum number of streams reached");
  EXPECT_EQ(m.create("A", stream("S", {"s"}), 1), "existing 2");
  EntryBuilder b;
  std::string json = api::encode_stream_config_json(stream("X", {"x"}));
  MetaStreamCommand c;
  c.account = "A";
  c.name = "Y";
  c.config_json = json;
  b.meta_create_stream(c);
  EXPECT_EQ(m.run(b), "10056 stream name in subject does not match request");
  c.config_json = "{";
  b.meta_create_stream(c);
  EXPECT_TRUE(m.run(b).starts_with("10025 "));
}

TEST(MetaState, UpdateRules) {
  Meta m;
  EXPECT_EQ(m.update("A", stream("S", {"s"})), "10059 stream not found");
  auto c = stream("S", {"s"});
  m.create("A", c);
  c.max_msgs = 5;
  EXPECT_EQ(m.update("A", c, {"n4"}), "updated");
  EXPECT_EQ(m.state->find("A", "S")->config.max_msgs, 5);
  EXPECT_EQ(m.state->find("A", "S")->peers, std::vector<std::string>{"n4"});
  EXPECT_EQ(m.state->find("A", "S")->revision, 2u);
  EXPECT_EQ(m.update("A", c), "updated");
  EXPECT_EQ(m.state->find("A", "S")->peers, std::vector<std::string>{"n4"});
  auto bad = c;
  bad.storage = api::Storage::kMemory;
  EXPECT_EQ(m.update("A", bad), "10052 stream configuration update can not change storage type");
  bad = c;
  bad.retention = api::Retention::kWorkQueue;
  EXPECT_EQ(m.update("A", bad),
            "10052 stream configuration update can not change retention policy to/from workqueue");
  c.retention = api::Retention::kInterest;
  c.sealed = c.deny_delete = c.deny_purge = true;
  EXPECT_EQ(m.update("A", c), "updated");
  for (bool api::StreamConfig::*field :
       {&api::StreamConfig::sealed, &api::StreamConfig::deny_delete, &api::StreamConfig::deny_purge}) {
    bad = c;
    bad.*field = false;
    EXPECT_TRUE(m.update("A", bad).starts_with("10052 "));
  }
}

TEST(MetaState, UnknownCommandsStop) {
  MetaState state;
  MetaOutcome out;
  EntryBuilder b;
  b.delete_consumer("x");
  auto reader = EntryReader::open(b.finish(Wall{1}));
  Command c;
  ASSERT_TRUE(reader->next(c));
  EXPECT_FALSE(state.apply(c, RaftIndex(1), Wall{1}, out).has_value());
}

TEST(MetaState, SnapshotComesBackAndDamageIsRefused) {
  Meta m;
  m.create("A", stream("S", {"a.>"}));
  m.create("A", stream("T", {"t"}));
  m.create("B", stream("S", {"a.>"}));
  m.remove("A", "T");
  std::string blob;
  m.state->encode(blob);
  MetaState back;
  ASSERT_TRUE(back.restore(blob).has_value());
  std::string again;
  back.encode(again);
  EXPECT_EQ(again, blob);
  EXPECT_EQ(back.hash(), m.state->hash());
  EXPECT_EQ(back.find(GroupId(4))->account, "B");
  for (std::size_t n = 0; n < blob.size(); ++n) {
    EXPECT_FALSE(back.restore(blob.substr(0, n)).has_value()) << n;
    std::string bad = blob;
    bad[n] = static_cast<char>(bad[n] ^ 0x81);
    MetaState other;
    (void)other.restore(bad);
  }
  EXPECT_FALSE(back.restore(blob + "x").has_value());
  EXPECT_EQ(back.count(), 2u) << "a refused snapshot changes nothing";
  std::string newer = blob;
  newer[0] = 2;
  EXPECT_EQ(back.restore(newer).error().code, Code::kUnsupported);
}

TEST(MetaState, RestoredMachineGoesOnAlike) {
  Prng prng(11);
  Meta a;
  Meta b;
  const std::vector<std::string> subjects{"x", "x.*", "y.>", "*.z", "y.1", "q.*.r", "q.1.r"};
  for (int i = 0; i < 2000; ++i) {
    if (i % 97 == 0) {
      std::string blob;
      b.state->encode(blob);
      b.state = std::make_unique<MetaState>();
      ASSERT_TRUE(b.state->restore(blob).has_value());
    }
    auto c = stream("S" + std::to_string(prng.below(6)), {subjects[prng.below(subjects.size())]});
    c.max_msgs = static_cast<std::int64_t>(prng.between(1, 3));
    std::string account = prng.chance(1, 2) ? "A" : "B";
    std::string one;
    std::string two;
    switch (prng.below(3)) {
      case 0:
        one = a.create(account, c, 4);
        two = b.create(account, c, 4);
        break;
      case 1:
        one = a.update(account, c);
        two = b.update(account, c);
        break;
      default: one = a.remove(account, c.name); two = b.remove(account, c.name);
    }
    ASSERT_EQ(one, two);
    ASSERT_EQ(a.state->hash(), b.state->hash());
    std::vector<std::pair<std::string, std::string>> all;
    a.state->for_each("A", [&](const MetaStream& s) {
      for (const auto& [name, taken] : all) EXPECT_FALSE(subject::overlaps(taken, s.config.subjects[0]));
      all.emplace_back(s.config.name, s.config.subjects[0]);
      return true;
    });
  }
}

}  // namespace
}  // namespace weir::jetstream
