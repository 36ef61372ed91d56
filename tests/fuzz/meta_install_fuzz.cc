// tests/fuzz/meta_install_fuzz.cc - a node that joins asks for the meta state; a peer answers anything.
//
// The first byte picks the position that goes before the bytes: none (they have it themselves), a true one,
// one behind what is there, or one made of the next bytes. A second answer is the true one.
// Oracle: no CHECK; after an install the state is what was sent and the log goes on behind it; after a
// refusal both are what they were; what the catalog then holds can be restored.
#include <algorithm>

#include "broker/base/varint.h"
#include "broker/cluster/meta_group.h"
#include "broker/env/testing/sim_disk.h"
#include "broker/replica/host.h"
#include "tests/fuzz/fuzz.h"

namespace {

using namespace weir;           // NOLINT: a program of one file
using namespace weir::cluster;  // NOLINT
using fuzz::Input;
using fuzz::require;

constexpr NodeId kSelf{2u << kIncarnationBits}, kLeader{1u << kIncarnationBits};

struct NoPeers final : replica::Peers {
  void send(NodeId, GroupId, raft::Message) override {}
};

std::string encoded(const jetstream::MetaState& s) {
  std::string out;
  s.encode(out);
  return out;
}

replica::Position position(std::uint64_t index, std::uint64_t term) {
  return {kLeader, 0, {RaftIndex(index), Term(term)}, {{kLeader}, {}, {kSelf}, {}, false}, false};
}

const std::string& state_bytes() {
  static const std::string bytes = [] {
    jetstream::MetaState s;
    jetstream::EntryBuilder b;
    jetstream::MetaNodeCommand c;
    c.id = kLeader;
    c.name = "n1";
    b.meta_register_node(c);
    auto reader = jetstream::EntryReader::open(b.finish(Wall{1}));
    jetstream::Command command;
    jetstream::MetaOutcome out;
    require(reader && reader->next(command), "an entry to begin with");
    require(s.apply(command, RaftIndex(1), Wall{1}, out).has_value(), "a state to begin with");
    return encoded(s);
  }();
  return bytes;
}

std::string answer(const replica::Position& at, std::string_view state) {
  BytesBuilder b;
  b.append_string(replica::encode_position(at));
  b.append(state);
  return std::string(b.text());
}

class World {
 public:
  World() : sim_(1), env_(sim_.env()), host_(env_, &peers_) {
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
    offer(10, 2);
    require(asked_ == 1, "it asks for the state");
  }

  void offer(std::uint64_t index, std::uint64_t term) {
    raft::Message m;
    m.type = raft::MessageType::kSnapshot;
    m.term = Term(term);
    m.snapshot = raft::SnapshotMeta{RaftIndex(index), Term(term), position(1, 1).conf};
    m.from = kLeader;
    m.to = kSelf;
    host_.step(kLeader, jetstream::kMetaGroup, m);
    settle();
  }

  void install(std::string_view bytes) {
    std::string before = encoded(meta_->state());
    RaftIndex applied = meta_->group().applied();
    int replaced = replaced_;
    meta_->install(bytes);
    settle();
    if (replaced_ == replaced) {
      require(encoded(meta_->state()) == before && meta_->group().applied() == applied, "refused: unchanged");
    } else {
      require(meta_->group().applied() > applied, "installed: the log goes on behind it");
      require(bytes.size() > encoded(meta_->state()).size() / 8, "the state is what was sent");
    }
    restore();
  }

  int replaced() const { return replaced_; }

 private:
  void settle() {
    for (int i = 0; i < 4; ++i) {
      host_.run();
      sim_.loop.run_for(kMillisecond);
    }
  }

  /// As the next start would.
  void restore() {
    auto at = catalog_->get(replica::position_key(jetstream::kMetaGroup));
    if (!at) return;
    auto p = replica::decode_position(*at);
    require(p && p->at.index == meta_->group().applied() && p->self == kSelf, "the position on disk");
    jetstream::MetaState s;
    require(s.restore(catalog_->get("n/meta").value_or("")).has_value(), "the state on disk");
    require(encoded(s) == encoded(meta_->state()), "the state on disk is the state");
  }

  env::testing::SimEnv sim_;
  env::Env env_;
  NoPeers peers_;
  replica::Host host_;
  std::unique_ptr<store::Catalog> catalog_;
  std::unique_ptr<MetaGroup> meta_;
  int asked_ = 0, replaced_ = 0;
};

}  // namespace

std::vector<std::string> weir::fuzz::fuzz_seeds() {
  std::string zero(1, '\0');
  return {zero + answer(position(10, 2), state_bytes()),
          zero + answer(position(12, 3), state_bytes()),
          "\x01" + state_bytes(),
          "\x02" + state_bytes(),
          "\x03\x41\x41" + state_bytes(),
          "\x03\xf0\x41" + state_bytes(),
          "\x03\x41\xf0" + state_bytes()};
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 1) return 0;
  Input in(data + 1, size - 1);
  World world;
  switch (data[0] % 4) {
    case 0: world.install(as_text(in.rest())); break;
    case 1: world.install(answer(position(10, 2), as_text(in.rest()))); break;
    case 2:
      world.install(answer(position(10, 2), state_bytes()));
      require(world.replaced() == 1, "a true answer is taken");
      world.install(answer(position(9, 2), as_text(in.rest())));
      break;
    default: {
      replica::Position at = position(in.number(10), in.number(2));
      world.install(answer(at, as_text(in.rest())));
    }
  }
  if (world.replaced() == 0) {
    world.offer(10, 2);
    world.install(answer(position(10, 2), state_bytes()));
    require(world.replaced() == 1, "after refusals a true answer is taken");
  }
  return 0;
}
