// Replicas that were away or whose disks are damaged: what they are sent, and what they say meanwhile.
#include <algorithm>

#include "broker/base/crc32c.h"
#include "broker/server/cluster_side.h"
#include "broker/server/cluster_world.h"
#include "broker/server/jetstream.h"

namespace weir::server {
namespace {

using testing::ClusterClient;
using testing::ClusterWorld;
using testing::text_at;

/// A follower of stream S that is not the node of the client, n1.
std::size_t follower_of(ClusterWorld& w, ClusterClient& c) {
  return w.leader_of(c, "S") == 2 ? 1 : 2;
}

// A replica that was away for longer than the log reaches back is sent what it does not have, and not again
// what its disk has.
TEST(NodeCluster, AReplicaThatWasAwayIsSentWhatItMissed) {
  ClusterWorld w;
  for (auto& n : w.nodes) n->tuning.tail_bytes_max = 16 * 1024, n->tuning.state_part_bytes = 50;
  ClusterClient c(w, 0);
  ASSERT_NO_FATAL_FAILURE(w.start_with_stream(c));
  const std::string body(400, 'x');
  auto publish = [&](int first, int last) {
    for (int i = first; i <= last; ++i) {
      c.send("PUB S.k" + std::to_string(i % 7) + " " + std::to_string(body.size()) + "\r\n" + body + "\r\n");
      if (i % 20 == 0) w.run(20 * kMillisecond);
    }
  };
  publish(1, 600);
  ASSERT_TRUE(w.eventually([&] { return w.replicas_current(c, "S", 2); }));
  std::size_t away = follower_of(w, c);
  std::vector<std::string> files = w[away].disk.files();
  EXPECT_TRUE(std::any_of(files.begin(), files.end(), [](const auto& f) { return f.ends_with(".seg"); }))
      << "a follower keeps everything in memory";
  w[away].kill();
  w.run(5 * kSecond);  // nobody waits for it any more
  publish(601, 800);
  EXPECT_EQ(text_at(c.request("$JS.API.STREAM.MSG.DELETE.S", "{\"seq\":5}"), "success"), "true");
  w[away].log.clear();
  w.start(away);
  w.await_replicas(c, "S", 2);
  std::uint64_t sent = 0, times = 0, parts = 0;
  const std::string in_parts = "the rest in parts: ";
  for (const auto& line : w[away].log.lines()) {
    std::size_t from = line.text.find("; "), to = line.text.find(" of 799 messages were sent");
    if (to == std::string::npos) continue;
    ++times;
    sent += parse_u64(std::string_view(line.text).substr(from + 2, to - from - 2)).value_or(799);
    std::size_t at = line.text.find(in_parts);
    if (at == std::string::npos) continue;
    parts += parse_u64(std::string_view(line.text).substr(at + in_parts.size())).value_or(0);
  }
  EXPECT_EQ(times, 1u) << "0: the log reached back far enough";
  EXPECT_GE(sent, 200u);
  EXPECT_LT(sent, 350u);
  EXPECT_GT(parts, 3u) << "a cut of more than one page";
}

struct NewerBuilds : ClusterWorld {
  StreamHost* host(std::size_t i) {
    for (StreamHost* h : nodes[i]->node->jetstream()->all_streams()) {
      if (h->name() == "S") return h;
    }
    return nullptr;
  }
  /// Node `i` answers as a later build might: its states have a key that this build does not know.
  void newer(std::size_t i) {
    JetStream* js = nodes[i]->node->jetstream();
    js->context().cluster->mesh().handle(
        cluster::Method::kStreamState, [this, js](NodeId, const Bytes& body, cluster::Mesh::Reply reply) {
          auto q = decode_state_request(body.span());
          StreamHost* h = q ? js->find(q->group) : nullptr;
          reply(h ? state(*h, q->from) : Result<Bytes>(Code::kNotFound, "the group is not here"));
        });
  }
  Result<Bytes> state(StreamHost& h, StreamSeq from) {
    StatePage page;
    ASSIGN_OR_RETURN(auto found, h.state_messages(from, 256 * 1024, 1000));
    page.messages = std::move(found.messages);
    if (found.end) {
      ASSIGN_OR_RETURN(StateCut cut, h.state_cut());
      if (unknown) cut.machine.push_back({"z", "?"});
      ASSIGN_OR_RETURN(Bytes all, encode_state_cut(cut));
      page.part = StatePart{1, all.size(), crc32c(all.span()), 0, all};
    }
    ASSIGN_OR_RETURN(auto slices, encode_state_page(page));
    BytesBuilder out;
    for (const Bytes& b : slices) out.append(b.span());
    return out.freeze();
  }
  bool unknown = true;
};

// A state that this build cannot read is refused before what is there is given up for it: the replica stays
// what it was, also over a restart, and goes on when it is given one that it can read.
TEST(NodeCluster, AStateThatCannotBeReadChangesNothing) {
  NewerBuilds w;
  for (auto& n : w.nodes) n->tuning.tail_bytes_max = 16 * 1024;
  ClusterClient c(w, 0);
  ASSERT_NO_FATAL_FAILURE(w.start_with_stream(c, 100, std::string(400, 'x')));
  w.await_replicas(c, "S", 2);
  std::size_t away = follower_of(w, c);
  std::uint32_t generation = w.host(away)->group().generation();
  w[away].kill();
  w.run(5 * kSecond);  // nobody waits for it any more
  for (int i = 101; i <= 300; ++i) ASSERT_EQ(c.publish("S.a", std::string(400, 'x')), i);
  for (std::size_t i = 0; i < w.size(); ++i) {
    if (i != away) w.newer(i);
  }
  for (int starts = 0; starts < 2; ++starts) {
    if (w[away].node) w[away].kill();
    w[away].log.clear();
    w.start(away);
    ASSERT_TRUE(w.eventually([&] { return w[away].log.contains("a state that cannot be read here"); }))
        << "0: the log reached back far enough";
    StreamHost* h = w.host(away);
    ASSERT_NE(h, nullptr);
    EXPECT_EQ(h->group().generation(), generation);
    EXPECT_LE(h->store().state().last_seq, StreamSeq(100));
    EXPECT_EQ(h->machine().config().name, "S");
  }
  w.unknown = false;
  w.await_replicas(c, "S", 2);
  EXPECT_EQ(w.host(away)->store().state().last_seq, StreamSeq(300));
  EXPECT_GT(w.host(away)->group().generation(), generation);
}

// Where a damaged copy and a whole one do not fit, the damaged one has to go.
TEST(NodeCluster, AReplicaThatBeginsAnewMakesRoom) {
  ClusterWorld w;
  for (auto& n : w.nodes) n->tuning.tail_bytes_max = 256 * 1024;
  ClusterClient c(w, 0);
  ASSERT_NO_FATAL_FAILURE(w.start_with_stream(c, 120, std::string(50'000, 'x')));
  w.await_replicas(c, "S", 2);
  w.run(5 * kSecond);
  std::size_t hurt = follower_of(w, c);
  w[hurt].kill();
  std::string segment;
  for (const auto& f : w[hurt].disk.files()) {
    if (f.ends_with(".seg")) segment = f;
  }
  ASSERT_FALSE(segment.empty());
  std::string bytes = *w[hurt].disk.content(segment);
  w[hurt].disk.put(segment, bytes.substr(0, bytes.size() / 2));
  w[hurt].disk.set_capacity(w[hurt].disk.used_bytes() + 3'000'000);  // of 6,000,000
  w.start(hurt);
  w.run(5 * kSecond);
  ASSERT_TRUE(w.eventually([&] { return w.replicas_current(c, "S", 2); }, 60 * kSecond));
  EXPECT_TRUE(w[hurt].log.contains("the unusable one is removed"));
}

// What cannot be read is no end of a stream.
TEST(NodeCluster, ABatchOfADamagedReplicaDoesNotEndEarly) {
  ClusterWorld w;
  for (auto& n : w.nodes) n->tuning.tail_bytes_max = 64 * 1024;
  ClusterClient c(w, 0);
  const std::string body(5'000, 'x');
  ASSERT_NO_FATAL_FAILURE(w.start_with_stream(c, 60, body, ",\"allow_direct\":true"));
  w.await_replicas(c, "S", 2);
  w.run(5 * kSecond);
  std::size_t hurt = follower_of(w, c);
  w[hurt].kill();
  std::size_t rotten = 0;
  for (const auto& f : w[hurt].disk.files()) {
    if (f.ends_with(".seg")) rotten += w[hurt].disk.flip_bit(f, 20'000, 3);
  }
  ASSERT_GT(rotten, 0u);
  w.start(hurt);
  w.run(3 * kSecond);
  ClusterClient near(w, hurt);
  ASSERT_TRUE(near.login());
  near.sub("box", "get");
  near.pub("$JS.API.DIRECT.GET.S", "{\"seq\":1,\"batch\":100}", "box");
  w.run(kSecond);
  std::size_t got = 0;
  std::string end;
  for (auto& m : near.take("get")) {
    got += m.body.size() == body.size();
    if (!m.status().empty()) end = m.status();
  }
  EXPECT_LT(got, 60u) << "the damage was not met";
  EXPECT_EQ(end, "500") << got << " messages";
}

// What a replica voted and acknowledged went with its journal: it must not go on under the id that did so.
TEST(NodeCluster, ANodeWithoutItsJournalComesBackUnderNewIds) {
  ClusterWorld w;
  ClusterClient c(w, 0);
  ASSERT_NO_FATAL_FAILURE(w.start_with_stream(c, 20));
  w.await_replicas(c, "S", 2);
  std::size_t hurt = follower_of(w, c);
  w[hurt].kill();
  for (const auto& path : w[hurt].disk.files()) {
    if (!path.starts_with("journal/")) continue;
    ASSERT_TRUE(w[hurt].disk.remove(path));
  }
  ASSERT_TRUE(w[hurt].disk.sync_dir("journal"));
  w[hurt].log.clear();
  w.start(hurt);
  ASSERT_TRUE(w.eventually([&] { return w[hurt].log.contains("stream A/S has its state"); }, kMinute));
  ASSERT_TRUE(w.eventually([&] { return w.replicas_current(c, "S", 2); }, kMinute));
  EXPECT_TRUE(w[hurt].log.contains("frames were written here, and all of them are gone"));
  EXPECT_TRUE(w[hurt].log.contains("meta group: this node begins anew as another replica"));
  EXPECT_EQ(c.publish("S.a", "x"), 21);
  // And stays there: what it has now is in the new journal.
  w[hurt].kill();
  w[hurt].log.clear();
  w.start(hurt);
  w.run(5 * kSecond);
  ASSERT_TRUE(w.eventually([&] { return w.replicas_current(c, "S", 2); }, kMinute));
  EXPECT_FALSE(w[hurt].log.contains("fetches its state"));
  EXPECT_FALSE(w[hurt].log.contains("begins anew"));
}

}  // namespace
}  // namespace weir::server
