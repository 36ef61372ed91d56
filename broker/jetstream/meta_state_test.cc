// Expected answers were recorded from nats-server 2.15.1.
#include "broker/jetstream/meta_state.h"

#include <algorithm>
#include <cstdio>
#include <map>
#include <memory>

#include <gtest/gtest.h>

#include "broker/base/prng.h"
#include "broker/jetstream/meta_harness.h"
#include "broker/subject/subject.h"

namespace weir::jetstream {
namespace {

using testing::Meta;
using testing::node;
using testing::stream;

std::string hex(std::string_view bytes) {
  std::string out;
  for (char c : bytes) {
    char pair[3];
    std::snprintf(pair, sizeof pair, "%02x", static_cast<unsigned>(static_cast<unsigned char>(c)));
    out += pair;
  }
  return out;
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
  EXPECT_EQ(m.create("A", stream("Z", {"z"}), 0, {}), "10005 no suitable peers for placement");
}

TEST(MetaState, UpdateRules) {
  Meta m;
  EXPECT_EQ(m.update("A", stream("S", {"s"})), "10059 stream not found");
  auto c = stream("S", {"s"});
  m.create("A", c);
  c.max_msgs = 5;
  EXPECT_EQ(m.update("A", c, {node(2)}), "updated 2");
  EXPECT_EQ(m.state->find("A", "S")->config.max_msgs, 5);
  EXPECT_EQ(m.state->find("A", "S")->peers, std::vector<NodeId>{node(2)});
  EXPECT_EQ(m.state->find("A", "S")->revision, 2u);
  EXPECT_EQ(m.update("A", c), "updated");
  EXPECT_EQ(m.state->find("A", "S")->peers, std::vector<NodeId>{node(2)});
  EXPECT_EQ(m.state->find("A", "S")->peers_revision, 2u);
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

TEST(MetaState, SnapshotGolden) {
  Meta m;
  m.add_node(node(1), "n1", NodeId(0), false, {"az:1"});
  m.add_node(node(2), "n2");
  m.create("A", stream("S", {}), 0, {node(1)});
  m.set_peers(GroupId(2), {node(2)}, 0, node(2));
  m.remove_node(node(1));
  std::string blob;
  m.state->encode(blob);
  std::string config = api::encode_stream_config_json(m.state->find(GroupId(2))->config);
  ASSERT_GT(blob.size(), config.size());
  EXPECT_EQ(blob.substr(blob.size() - config.size()), config);
  EXPECT_EQ(hex(std::string_view(blob).substr(0, 3)), "040503");  // version, revision, next group
  std::string_view rest = std::string_view(blob).substr(11);      // after the hash
  rest.remove_suffix(config.size() + 2);                          // two bytes of length
  EXPECT_EQ(hex(rest),
            "02"
            "0000000100000000"
            "026e31"
            "0143"
            "00"
            "03"
            "0000000100000000"
            "00"
            "00"
            "05"
            "01"
            "04617a3a31"
            "0000000200000000"
            "026e32"
            "0143"
            "00"
            "01"
            "0000000200000000"
            "01"
            "00"
            "02"
            "00"
            "01"
            "0141"
            "0153"
            "02"
            "d00f"
            "03"
            "04"
            "01"
            "0100000200000000"
            "01"
            "0000000100000000"
            "01"
            "0000000100000000"
            "01"
            "00"
            "01"
            "0000000100000000"
            "0000000200000000");
}

TEST(MetaState, SnapshotComesBackAndDamageIsRefused) {
  Meta m;
  m.add_node(node(1), "n1", NodeId(0), false, {"az:1", "ssd"});
  m.add_node(node(2), "n2");
  m.add_node(node(3), "n3");
  m.remove_node(node(3));
  EXPECT_TRUE(m.create("A", stream("Q", {"q"})).starts_with("10202 ")) << "n3 is gone";
  m.add_node(node(3), "n3", NodeId(0), true);
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
  EXPECT_EQ(back.state_hash(), m.state->state_hash());
  EXPECT_EQ(back.nodes(), m.state->nodes());
  EXPECT_EQ(back.load(node(1)), m.state->load(node(1)));
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
  newer[0] = 5;
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
    ASSERT_EQ(a.state->state_hash(), b.state->state_hash());
    std::vector<std::pair<std::string, std::string>> all;
    a.state->for_each("A", [&](const MetaStream& s) {
      for (const auto& [name, taken] : all) EXPECT_FALSE(subject::overlaps(taken, s.config.subjects[0]));
      all.emplace_back(s.config.name, s.config.subjects[0]);
      return true;
    });
  }
}

TEST(MetaState, OverlapsAsComparedOneByOne) {
  Prng prng(5);
  auto random_subject = [&] {
    std::string s;
    for (std::uint64_t tokens = prng.between(1, 4); tokens > 0; --tokens) {
      std::uint64_t kind = prng.below(12);
      if (!s.empty()) s += ".";
      if (kind == 0 && tokens == 1) return s + ">";
      s += kind <= 1 ? "*" : std::string(1, "abcd"[prng.below(4)]);
    }
    return s;
  };
  Meta m;
  std::map<std::string, std::string> taken;  // stream -> subject
  int refused = 0, made = 0;
  for (int i = 0; i < 20000; ++i) {
    std::string name = "S" + std::to_string(prng.below(30));
    if (taken.erase(name) > 0) {
      ASSERT_TRUE(m.remove("A", name).starts_with("deleted"));
      continue;
    }
    std::string subject = random_subject();
    bool overlap = std::any_of(taken.begin(), taken.end(),
                               [&](const auto& t) { return subject::overlaps(t.second, subject); });
    ASSERT_EQ(m.create("A", stream(name, {subject})).starts_with("10065"), overlap) << subject;
    overlap ? ++refused : ++made;
    if (!overlap) taken[name] = subject;
  }
  EXPECT_GT(refused, 1000);
  EXPECT_GT(made, 1000);
}

}  // namespace
}  // namespace weir::jetstream
