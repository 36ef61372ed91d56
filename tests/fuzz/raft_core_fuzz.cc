// tests/fuzz/raft_core_fuzz.cc - one small raft::Core among peers that may say anything.
//
// The first byte picks what the core is: member, candidate, leader, newcomer, with unreadable entries, with
// an unknown head. Then come operations: mostly messages whose fields lie around what would be true, with
// everything that raft/codec.h lets through; also ticks, the disk, proposals, changes of members, states
// that are fetched, crashes. Between them the host does its duty (raft/testing/test_node.h).
// Oracle: no CHECK, invariants.h after every input, what goes out can be encoded.
#include <algorithm>

#include "broker/raft/codec.h"
#include "broker/raft/confchange.h"
#include "broker/raft/testing/test_node.h"
#include "tests/fuzz/fuzz.h"

namespace {

using namespace weir;                 // NOLINT: a program of one file
using namespace weir::raft;           // NOLINT
using namespace weir::raft::testing;  // NOLINT
using fuzz::Input;
using fuzz::require;

constexpr NodeId kSelf{1};
enum Shape : unsigned { kMember, kCandidate, kLeader, kAlone, kNewcomer, kFaulty, kHeadUnknown, kShapes };

ConfState conf_of(unsigned shape) {
  ConfState conf;
  if (shape == kNewcomer) return conf;
  conf.voters = {kSelf};
  if (shape != kAlone) conf.voters = {kSelf, NodeId{2}, NodeId{3}};
  conf.learners = {NodeId{4}};
  return conf;
}

Disk make_disk(unsigned shape) {
  Disk disk;
  disk.checkpoint.conf = conf_of(shape);
  if (shape == kNewcomer) return disk;
  disk.base = disk.checkpoint.at = {RaftIndex{5}, Term{1}};
  disk.hard = {Term{2}, NodeId{0}, RaftIndex{6}};
  for (std::uint64_t i = 6; i <= 9; ++i) {
    disk.log[RaftIndex{i}] = {RaftIndex{i}, Term{i < 8 ? 1u : 2u}, EntryType::kNormal, Bytes::copy_of("abc")};
  }
  if (shape == kFaulty) disk.faulty = {{RaftIndex{7}, true}, {RaftIndex{9}, false}};
  disk.head_unknown = shape == kHeadUnknown;
  return disk;
}

Config make_config(std::uint8_t bits) {
  Config c;
  c.id = kSelf;
  c.election_ticks = 4;
  c.lease_ticks = 2;
  c.hibernate_ticks = (bits & 1) != 0 ? 3 : 0;
  c.append_bytes_max = (bits & 2) != 0 ? 1 : 64;
  c.in_flight_count_max = 2;
  c.uncommitted_bytes_max = 64;
  c.apply_bytes_max = 8;
  c.memory_bytes_max = (bits & 4) != 0 ? 3 : 1024;
  c.reads_max = 4;
  return c;
}

Bytes conf_payload(Input& in) {
  std::uint8_t b = in.u8();
  if (b < 0x20) return Bytes::copy_of("damaged");
  ConfState conf;
  for (unsigned i = 0; i < 3; ++i) {
    if ((b >> i & 1) != 0) conf.voters.push_back(NodeId{i + 1});
  }
  if (conf.voters.empty()) conf.voters = {NodeId{2}};
  if ((b & 8) != 0) {
    conf.outgoing = {NodeId{1}, NodeId{3}};
    conf.auto_leave = (b & 16) != 0;
  }
  if ((b & 0x80) != 0) conf.learners = {NodeId{4}};
  return encode_conf(conf);
}

void add_entries(Input& in, Message& m) {
  unsigned count = in.below(5);
  if (count == 0) return;
  std::uint64_t first = m.index.v + 1;
  if (in.below(8) == 0) first = in.number(first);
  // What decode_message() refuses.
  if (first == 0 || first > std::numeric_limits<std::uint64_t>::max() - count) return;
  Term term = m.log_term;
  for (unsigned i = 0; i < count; ++i) {
    std::uint8_t b = in.u8();
    if ((b & 0xc0) == 0xc0) term = Term{in.number(m.term.v)};
    if ((b & 0xc0) == 0x80) term = m.term;
    Entry e{RaftIndex{first + i}, term, static_cast<EntryType>(b % 3), Bytes()};
    if (e.type == EntryType::kConfig) e.payload = conf_payload(in);
    if (e.type == EntryType::kNormal && (b & 0x20) != 0) e.payload = Bytes::copy_of("0123");
    m.entries.push_back(std::move(e));
  }
}

EntryId near(Input& in, const Core& core) {
  RaftIndex index{in.number(core.log().last().v)};
  auto term = core.log().term_at(index);
  return {index, term && in.below(4) != 0 ? *term : Term{in.number(core.term().v)}};
}

Message message(Input& in, const Core& core) {
  Message m;
  m.type = static_cast<MessageType>(1 + in.below(kMessageTypeMax));
  std::uint8_t bits = in.u8();
  m.reject = (bits & 1) != 0;
  m.force = (bits & 2) != 0;
  m.asleep = (bits & 4) != 0;
  m.answer = static_cast<FetchAnswer>(bits >> 3 & 3);
  m.term = (bits & 0x20) != 0 ? Term{in.number(core.term().v)} : core.term();
  if (m.type == MessageType::kPreVoteResp && (bits & 0x20) == 0) m.term = m.term + 1;
  EntryId id = near(in, core);
  m.index = id.index;
  m.log_term = id.term;
  if ((bits & 0x40) != 0) m.commit = RaftIndex{in.number(core.log().commit().v)};
  if ((bits & 0x80) != 0) m.context = in.number(3);
  if (m.type == MessageType::kAppend || m.type == MessageType::kFetchResp) add_entries(in, m);
  if (m.type == MessageType::kFetchResp && !m.entries.empty() && m.entries[0].index > RaftIndex{1}) {
    m.entries.resize(1);
    if ((bits & 0x40) != 0) m.entries[0] = {m.index, m.log_term, m.entries[0].type, m.entries[0].payload};
  }
  if (m.type == MessageType::kAppendResp) m.hint = near(in, core);
  if (m.type == MessageType::kSnapshot && in.below(16) != 0) {
    auto conf = decode_conf(conf_payload(in).span());
    if (conf) m.snapshot = SnapshotMeta{id.index, id.term, *conf};
  }
  return m;
}

class Runner {
 public:
  Runner(Input& in, unsigned shape, std::uint8_t bits) : in_(in), node_(make_config(bits), make_disk(shape)) {
    node_.start(7);
    if (shape != kCandidate && shape != kLeader && shape != kAlone) return;
    for (int i = 0; i < 10 && node_.core().role() == Role::kFollower; ++i) node_.core().tick();
    settle();
    if (shape == kCandidate) return;
    answer(MessageType::kPreVoteResp, node_.core().term() + 1);
    finish_all();
    answer(MessageType::kVoteResp, node_.core().term());
    finish_all();
  }

  void run() {
    settle();
    while (!in_.empty()) {
      one();
      settle();
    }
    finish_all();
    settle();
  }

 private:
  void answer(MessageType type, Term term) {
    Message m;
    m.type = type;
    m.term = term;
    settle();
    node_.core().step(NodeId{2}, m);
    settle();
  }

  void finish_all() {
    node_.pump();
    while (!node_.writes().empty()) node_.finish_write();
  }

  void one() {
    std::uint8_t op = in_.u8();
    if (op < 0xa0) {
      Message m = message(in_, node_.core());
      node_.core().step(NodeId{op % 6u}, std::move(m));
      return;
    }
    switch (op % 12) {
      case 0: finish_all(); break;
      case 1:
        if (!node_.writes().empty()) node_.finish_write();
        break;
      case 2:
        for (unsigned n = 1 + in_.below(12); n > 0; --n) node_.core().tick();
        break;
      case 3: propose(); break;
      case 4: change(); break;
      case 5: loads(); break;
      case 6: install(); break;
      case 7: node_.core().transfer_leadership(NodeId{in_.below(6)}); break;
      case 8: node_.core().read_index(in_.u8()); break;
      case 9: node_.core().set_peer_alive(NodeId{in_.below(6)}, in_.flag()); break;
      case 10: node_.checkpoint(in_.below(4)); break;
      default: node_.crash(in_.below(4)); node_.start(op);
    }
  }

  void propose() {
    std::vector<Bytes> payloads(1 + in_.below(3), Bytes::copy_of("pq"));
    node_.core().propose(payloads);
  }

  void change() {
    ConfChange c;
    c.stay_joint = in_.flag();
    for (unsigned n = in_.below(3); n > 0; --n) {
      auto op = static_cast<ConfOp>(in_.below(3));
      c.steps.push_back({op, NodeId{in_.below(6)}});
    }
    node_.core().propose_conf_change(c);
  }

  void loads() {
    if (node_.loads.empty()) return;
    LoadRequest l = node_.loads.front();
    node_.loads.erase(node_.loads.begin());
    bool fail = in_.below(4) == 0;
    node_.core().entries_loaded(l,
                                fail ? std::vector<Entry>() : node_.read(l.from, l.repair ? l.from : l.upto));
  }

  void install() {
    if (!node_.install) return;
    if (in_.below(4) == 0) {
      node_.install.reset();
      node_.core().snapshot_failed();
      return;
    }
    // As fetched: at what was asked for or later, with what the sender says it is.
    SnapshotMeta meta = node_.install->meta;
    if (in_.flag()) meta.index = meta.index + in_.below(4);
    if (in_.flag()) meta.term = Term{in_.number(meta.term.v)};
    if (!can_be({meta.index, meta.term})) return;  // replica::decode_position() refuses it
    node_.installed({{meta.index, meta.term}, meta.conf, 0});
  }

  void settle() {
    node_.pump();
    for (const Message& m : node_.out) {
      if (m.entries.empty() && !m.snapshot) continue;
      BytesBuilder head;
      std::vector<Bytes> payloads;
      encode_message(m, head, payloads);
    }
    node_.out.clear();
    node_.applied.clear();
    node_.reads.clear();
    if (!node_.trouble.empty()) require(false, node_.trouble.c_str());
  }

  Input& in_;
  TestNode node_;
};

}  // namespace

std::vector<std::string> weir::fuzz::fuzz_seeds() {
  std::vector<std::string> seeds;
  for (unsigned shape = 0; shape < kShapes; ++shape) {
    for (char type = 0; type < 16; ++type) {
      // One message of the kind that may be true, the disk, ticks, then the same again.
      std::string message{2, type, 0, 0x40, 1};
      std::string more = message + std::string(3, '\x41') + '\xa4' + std::string("\xaa\x05", 2);
      seeds.push_back(std::string{static_cast<char>(shape), 3} + more + more);
    }
    seeds.push_back(std::string{static_cast<char>(shape), 7} +
                    std::string("\xab\x02\xa4\xac\x00\x01\x00\x02", 8));
  }
  return seeds;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Input in(data, size);
  unsigned shape = in.below(kShapes);
  std::uint8_t bits = in.u8();
  Runner(in, shape, bits).run();
  return 0;
}
