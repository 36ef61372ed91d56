// A replica fetches a state from a peer that this test plays: parts of a cut, and what goes wrong with them.
#include "broker/server/state_transfer.h"

#include "broker/env/testing/sim_disk.h"
#include "broker/jetstream/stream_harness.h"
#include "broker/server/advisories.h"
#include "broker/server/cluster_side.h"
#include "broker/server/fake_mesh.h"

namespace weir::server {
namespace {

constexpr NodeId kMe{1u << kIncarnationBits}, kPeer{2u << kIncarnationBits};
constexpr GroupId kGroup{5};

struct Quiet final : cluster::MeshEvents {
  void peer_up(const cluster::NodeInfo&) override {}
  void peer_changed(const cluster::NodeInfo&) override {}
  void peer_down(NodeId) override {}
  void peer_alive(NodeId, bool) override {}
  void frame(NodeId, cluster::FrameKind, const Bytes&) override {}
};

struct Side final : ClusterSide {
  explicit Side(cluster::Mesh& m) : mesh_(m) {}
  NodeId leader_of(GroupId) const override { return kPeer; }
  void leads(GroupId, Term, bool) override {}
  bool forward(NodeId, const Forwarded&, const Bytes*) override { return false; }
  std::string name_of(NodeId) const override { return "peer"; }
  bool connected(NodeId) const override { return true; }
  bool alive(NodeId) const override { return true; }
  bool stays(NodeId) const override { return true; }
  Nanos silence(NodeId) const override { return 0; }
  cluster::Mesh& mesh() override { return mesh_; }

 private:
  cluster::Mesh& mesh_;
};

cluster::NodeInfo info(NodeId id) {
  cluster::NodeInfo i;
  i.id = id;
  return i;
}

struct World {
  explicit World(std::uint64_t messages) {
    mine.events = theirs.events = &quiet;
    net.connect(mine, theirs);
    js.cluster = &side;
    theirs.handle(cluster::Method::kStreamState,
                  [this](NodeId from, const Bytes& body, cluster::Mesh::Reply reply) {
                    ++questions;
                    reply(answer(from, body));
                  });
    for (std::uint64_t i = 1; i <= messages; ++i) source.pub("a", {{"Nats-Msg-Id", std::to_string(i)}});
  }

  StateCut cut() {
    StateCut c;
    raft::EntryId at{RaftIndex(source.index), Term(3)};
    c.position = {NodeId(77), 2, at, {{NodeId(1), NodeId(2)}, {}, {}, {}, false}};
    c.last_seq = source.store->state().last_seq;
    c.last_time = source.store->state().last_time;
    c.live = source.store->live_ranges(StreamSeq(0), 1'000'000);
    source.machine->encode_full("", {at.index, at.term}, c.machine);
    if (change_cut) change_cut(c);
    return c;
  }
  Result<Bytes> answer(NodeId from, const Bytes& body) {
    ASSIGN_OR_RETURN(auto q, decode_state_request(body.span()));
    if (before && q.format != kStateFormatWhole) return {Code::kInvalid, "state request: malformed"};
    if (on_question) on_question(q);
    StatePage page;
    if (q.cut != 0) page.part = kept.next(from, q, part_bytes, Mono{});
    if (!page.part) RETURN_IF_ERROR(fill(from, q, page));
    if (change_page) change_page(page);
    ASSIGN_OR_RETURN(auto slices, encode_state_page(page, q.format));
    BytesBuilder all;
    for (const Bytes& b : slices) all.append(b.span());
    return all.freeze();
  }
  Status fill(NodeId from, const StateRequest& q, StatePage& page) {
    StreamSeq next = q.from;
    for (bool more = true; page.messages.size() < 20;) {
      ASSIGN_OR_RETURN(auto found, source.store->next({}, next));
      more = found.has_value();
      if (!more) break;
      next = found->seq + 1;
      page.messages.push_back(std::move(*found));
    }
    ASSIGN_OR_RETURN(auto more, source.store->next({}, next));
    if (more) return ok();
    if (q.format == kStateFormatWhole) {
      page.whole = cut();
      return ok();
    }
    ASSIGN_OR_RETURN(Bytes all, encode_state_cut(cut()));
    ASSIGN_OR_RETURN(page.part, kept.begin(from, q.group, std::move(all), part_bytes, Mono{}));
    return ok();
  }

  /// One attempt, to its end.
  void fetch() {
    StateFetch::Stream stream{kGroup, source.machine->config(), Wall{kSecond}};
    fetching = std::make_unique<StateFetch>(js, stream, kPeer, [this](Result<StateFetch::Arrived> a) {
      EXPECT_FALSE(result) << "done runs once";
      result = std::move(a);
    });
    fetching->start(std::nullopt);
    while (net.deliver_all()) {
    }
    sim.loop.run_until_idle();
    ASSERT_TRUE(result);
  }
  bool arrived() const { return result && result->has_value(); }
  StateFetch::Arrived& state() { return **result; }
  Code error() const { return result->error().code; }
  void expect_whole() {
    ASSERT_TRUE(arrived()) << result->error().to_string();
    EXPECT_EQ(state().machine->state_hash(), source.machine->state_hash());
    EXPECT_EQ(state().machine->dedupe_size(), source.machine->dedupe_size());
    EXPECT_EQ(&state().machine->store(), state().store.get());
    EXPECT_EQ(state().store->live_ranges(StreamSeq(0), 1000), source.store->live_ranges(StreamSeq(0), 1000));
    EXPECT_EQ(state().store->state().last_seq, source.store->state().last_seq);
    EXPECT_EQ(state().cut.position.at.index, RaftIndex(source.index));
  }

  env::testing::SimEnv sim{1};
  env::Env env{sim.env()};
  config::Options options;
  Tuning tuning;
  Router router{1};
  Turn turn;
  Advisories advisories{env, router, ""};
  JsContext js{env, options, tuning, router, turn, advisories};
  testing::FakeNet net;
  Quiet quiet;
  testing::FakeMesh mine{net, info(kMe)}, theirs{net, info(kPeer)};
  Side side{mine};
  jetstream::Harness source;
  KeptCuts kept{1};
  std::size_t part_bytes = 100;
  std::size_t questions = 0;
  bool before = false;  // the peer is of a build from before parts
  std::function<void(const StateRequest&)> on_question;
  std::function<void(StateCut&)> change_cut;
  std::function<void(StatePage&)> change_page;
  std::optional<Result<StateFetch::Arrived>> result;
  std::unique_ptr<StateFetch> fetching;
};

TEST(StateFetch, ACutOfManyPartsArrivesWhole) {
  World w(70);
  w.source.erase(5);
  w.source.erase(70);
  w.fetch();
  w.expect_whole();
  EXPECT_GT(w.state().parts, 5u);
  EXPECT_EQ(w.questions, 3 + w.state().parts) << "the first part comes with the last messages";
  EXPECT_EQ(w.state().messages, 68u);
  EXPECT_TRUE(w.kept.empty());
}

TEST(StateFetch, ASmallCutComesWithTheLastMessages) {
  World w(5);
  w.part_bytes = 1u << 20;
  w.fetch();
  w.expect_whole();
  EXPECT_EQ(w.state().parts, 1u);
  EXPECT_EQ(w.questions, 1u);
}

// All parts are of one moment, whatever the sender does meanwhile.
TEST(StateFetch, WhatHappensMeanwhileIsNotInIt) {
  World w(30);
  w.on_question = [&](const StateRequest& q) {
    if (q.cut == 0) return;
    w.source.pub("a", {{"Nats-Msg-Id", "more" + std::to_string(q.offset)}});
    w.source.erase(3);
  };
  w.fetch();
  ASSERT_TRUE(w.arrived()) << w.result->error().to_string();
  EXPECT_EQ(w.state().cut.position.at.index, RaftIndex(30));
  EXPECT_EQ(w.state().store->state().last_seq, StreamSeq(30));
  EXPECT_EQ(w.state().store->state().messages, 30u);
  EXPECT_EQ(w.state().machine->dedupe_size(), 30u);
}

TEST(StateFetch, ACutThatTheSenderLosesIsBegunAnew) {
  World w(30);
  int lost = 0;
  w.on_question = [&](const StateRequest& q) {
    if (q.cut == 0 || q.offset < 300 || lost == 3) return;
    ++lost;
    w.kept.drop(kGroup);
    w.source.pub("a", {{"Nats-Msg-Id", "more" + std::to_string(lost)}});
    w.source.erase(static_cast<std::uint64_t>(lost));
    // More than a page of messages: the next cut is not in the answer to this question.
    for (int i = 0; lost == 2 && i < 50; ++i) w.source.pub("b");
  };
  w.fetch();
  EXPECT_EQ(lost, 3);
  w.expect_whole();
  EXPECT_EQ(w.state().messages, 30u + 3 + 50);
}

TEST(StateFetch, WhoLosesItAgainAndAgainIsLeft) {
  World w(30);
  w.on_question = [&](const StateRequest& q) {
    if (q.cut != 0) w.kept.drop(kGroup);
  };
  w.fetch();
  ASSERT_FALSE(w.arrived());
  EXPECT_EQ(w.error(), Code::kUnavailable);
  EXPECT_LT(w.questions, 20u);
  EXPECT_TRUE(w.fetching->take_half().store) << "the messages are of use to the next attempt";
}

TEST(StateFetch, PartsThatDoNotFollowAreRefused) {
  using Change = std::function<void(StatePart&)>;
  std::vector<Change> changes{
      [](StatePart& p) { p.total += 1; },
      [](StatePart& p) { p.crc ^= 1; },
      [](StatePart& p) { p.offset -= 1; },
      [](StatePart& p) { p.offset = 0; },
      [](StatePart& p) { p.bytes = Bytes::copy_of(std::string(p.bytes.size(), 'z')); },
      [](StatePart& p) { p.bytes = Bytes(); },
      [](StatePart& p) { p.cut = 0; }};
  for (const Change& change : changes) {
    World w(30);
    w.change_page = [&](StatePage& page) {
      if (page.part && page.part->offset == 200) change(*page.part);
    };
    w.fetch();
    ASSERT_FALSE(w.arrived());
    EXPECT_EQ(w.error(), Code::kInvalid) << w.result->error().to_string();
  }
}

TEST(StateFetch, ABuildFromBeforePartsGivesTheWhole) {
  World w(70);
  w.before = true;
  w.fetch();
  w.expect_whole();
  EXPECT_EQ(w.state().parts, 1u);
}

// Of a newer build, say: the error comes before anything is given up for it.
TEST(StateFetch, AStateThatThisBuildCannotReadIsAnError) {
  World w(30);
  w.change_cut = [](StateCut& c) { c.machine.push_back({"z", "?"}); };
  w.fetch();
  ASSERT_FALSE(w.arrived());
  EXPECT_EQ(w.error(), Code::kUnsupported);
  EXPECT_NE(w.result->error().detail.find("cannot be read here"), std::string::npos);
  EXPECT_TRUE(w.fetching->take_half().store) << "the messages are of use to the next attempt";
}

TEST(StateFetch, AStateThatContradictsItselfIsAnError) {
  std::vector<std::function<void(StateCut&)>> changes{
      [](StateCut& c) { c.machine.push_back(c.machine.front()); },
      [](StateCut& c) { c.machine.pop_back(); },
      [](StateCut& c) { ++c.position.at.index; },
      [](StateCut& c) { ++c.position.at.term; },
      [](StateCut& c) { c.live.back().last = c.live.back().last + 1, c.last_seq = c.last_seq + 1; },
  };
  for (auto& change : changes) {
    World w(30);
    w.change_cut = change;
    w.fetch();
    EXPECT_FALSE(w.arrived());
  }
}

}  // namespace
}  // namespace weir::server
