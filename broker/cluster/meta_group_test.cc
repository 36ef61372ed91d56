// The meta group of a node that joins: states that others send it.
#include "broker/cluster/meta_group.h"

#include <gtest/gtest.h>

#include "broker/env/testing/sim_disk.h"
#include "broker/replica/host.h"

namespace weir::cluster {
namespace {

constexpr NodeId kSelf{2u << kIncarnationBits}, kLeader{1u << kIncarnationBits};

struct NoPeers final : replica::Peers {
  void send(NodeId, GroupId, raft::Message) override {}
};

replica::Position position(std::uint64_t index, std::uint64_t term) {
  return {kLeader, 0, {RaftIndex(index), Term(term)}, {{kLeader}, {}, {kSelf}, {}, false}, false};
}

/// A state in which so many nodes have registered.
std::string state_of(std::uint64_t nodes) {
  jetstream::MetaState s;
  jetstream::EntryBuilder b;
  std::vector<std::string> names;
  for (std::uint64_t n = 1; n <= nodes; ++n) names.push_back("n" + std::to_string(n));
  for (std::uint64_t n = 1; n <= nodes; ++n) {
    jetstream::MetaNodeCommand c;
    c.id = NodeId(n << kIncarnationBits);
    c.name = names[n - 1];
    b.meta_register_node(c);
  }
  auto reader = jetstream::EntryReader::open(b.finish(Wall{1}));
  jetstream::Command command;
  jetstream::MetaOutcome out;
  while (reader->next(command)) EXPECT_TRUE(s.apply(command, RaftIndex(1), Wall{1}, out).has_value());
  std::string bytes;
  s.encode(bytes);
  return bytes;
}

std::string answer(const replica::Position& at, std::string_view state) {
  BytesBuilder b;
  b.append_string(replica::encode_position(at));
  b.append(state);
  return std::string(b.text());
}

class JoiningMeta : public ::testing::Test {
 protected:
  void SetUp() override {
    catalog_ = std::move(store::Catalog::open(sim_.disk, sim_.log, "c", {})).value();
    MetaGroup::Hooks hooks;
    hooks.changed = [](const jetstream::MetaOutcome&, bool) {};
    hooks.replaced = [this] { ++replaced_; };
    hooks.leading = [](bool) {};
    hooks.leader_changed = [](NodeId, Term) {};
    hooks.fetch = [this](NodeId, const raft::SnapshotMeta&) { ++asked_; };
    meta_ = std::make_unique<MetaGroup>(env_, *catalog_, host_, kSelf, 100, std::move(hooks));
    meta_->join();
    meta_->start(nullptr);
    offer(10);
    ASSERT_EQ(asked_, 1);
  }

  void offer(std::uint64_t index) {
    raft::Message m;
    m.type = raft::MessageType::kSnapshot;
    m.term = Term(2);
    m.snapshot = raft::SnapshotMeta{RaftIndex(index), Term(2), position(1, 1).conf};
    m.from = kLeader;
    m.to = kSelf;
    host_.step(kLeader, jetstream::kMetaGroup, m);
    settle();
  }

  void install(const std::string& bytes) {
    meta_->install(bytes);
    settle();
  }

  void settle() {
    for (int i = 0; i < 4; ++i) {
      host_.run();
      sim_.loop.run_for(kMillisecond);
    }
  }

  RaftIndex on_disk() {
    auto at = catalog_->get(replica::position_key(jetstream::kMetaGroup));
    return at ? replica::decode_position(*at)->at.index : RaftIndex(0);
  }

  env::testing::SimEnv sim_{1};
  env::Env env_ = sim_.env();
  NoPeers peers_;
  replica::Host host_{env_, &peers_};
  std::unique_ptr<store::Catalog> catalog_;
  std::unique_ptr<MetaGroup> meta_;
  int asked_ = 0, replaced_ = 0;
};

TEST_F(JoiningMeta, TakesAStateAndGoesOnBehindIt) {
  install(answer(position(12, 2), state_of(2)));
  EXPECT_EQ(replaced_, 1);
  EXPECT_EQ(meta_->state().nodes().size(), 2u);
  EXPECT_EQ(meta_->group().applied(), RaftIndex(12));
  EXPECT_EQ(on_disk(), RaftIndex(12));
}

// A late or repeated answer must not take back what was applied since.
TEST_F(JoiningMeta, AnOlderStateChangesNothing) {
  install(answer(position(12, 2), state_of(2)));
  for (std::uint64_t index : {12u, 11u, 1u}) {
    install(answer(position(index, 2), state_of(1)));
    EXPECT_EQ(replaced_, 1);
    EXPECT_EQ(meta_->state().nodes().size(), 2u);
    EXPECT_EQ(on_disk(), RaftIndex(12)) << index;
  }
}

TEST_F(JoiningMeta, DamageIsRefusedAndAskedForAgain) {
  std::string good = answer(position(12, 2), state_of(2));
  for (std::size_t n = 0; n < good.size(); ++n) install(good.substr(0, n));
  install(answer(position(~std::uint64_t{0}, 2), state_of(2)));  // no entry could follow
  install(answer(position(12, ~std::uint64_t{0}), state_of(2)));
  EXPECT_EQ(replaced_, 0);
  EXPECT_EQ(on_disk(), RaftIndex(0));
  offer(12);
  EXPECT_EQ(asked_, 2);
  install(good);
  EXPECT_EQ(replaced_, 1);
}

}  // namespace
}  // namespace weir::cluster
