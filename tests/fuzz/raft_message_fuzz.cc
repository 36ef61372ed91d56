// tests/fuzz/raft_message_fuzz.cc - bytes of a raft message as a peer may send them.
//
// What decodes is what raft/codec.h promises, and encoding it gives bytes that decode to the same.
// The mutator keeps the length of the head in step with what it adds and takes away.
#include <algorithm>

#include "broker/base/varint.h"
#include "broker/raft/codec.h"
#include "broker/raft/confchange.h"
#include "tests/fuzz/fuzz.h"

namespace {

using namespace weir;        // NOLINT: a program of one file
using namespace weir::raft;  // NOLINT
using fuzz::require;

Bytes encode(const Message& m) {
  BytesBuilder all(256);
  std::vector<Bytes> payloads;
  encode_message(m, all, payloads);
  for (const Bytes& p : payloads) all.append(p.span());
  return all.freeze();
}

void check_promises(const Message& m, std::size_t size) {
  auto type = static_cast<std::uint8_t>(m.type);
  require(type >= 1 && type <= kMessageTypeMax, "type in range");
  require(m.answer <= FetchAnswer::kCompacted, "answer in range");
  require(m.entries.size() <= kMessageEntriesMax && m.entries.size() * 3 <= size, "entries are paid for");
  std::size_t payload = 0;
  for (std::size_t i = 0; i < m.entries.size(); ++i) {
    const Entry& e = m.entries[i];
    require(e.index == m.entries[0].index + i && e.index.v > 0, "indexes are consecutive from 1 up");
    require(e.type <= EntryType::kConfig, "type of an entry in range");
    payload += e.payload.size();
  }
  require(payload <= size, "payloads come from the frame");
  if (m.snapshot) require(check_conf(m.snapshot->conf).has_value(), "a configuration is well-formed");
}

bool same(const Message& a, const Message& b) {
  bool equal = a.type == b.type && a.from == b.from && a.to == b.to && a.term == b.term &&
               a.index == b.index && a.log_term == b.log_term && a.commit == b.commit && a.hint == b.hint &&
               a.context == b.context && a.reject == b.reject && a.force == b.force && a.asleep == b.asleep &&
               a.answer == b.answer && a.snapshot == b.snapshot && a.entries.size() == b.entries.size();
  for (std::size_t i = 0; equal && i < a.entries.size(); ++i) {
    const Entry &x = a.entries[i], &y = b.entries[i];
    equal =
        x.index == y.index && x.term == y.term && x.type == y.type && x.payload.text() == y.payload.text();
  }
  return equal;
}

}  // namespace

std::vector<std::string> weir::fuzz::fuzz_seeds() {
  std::vector<std::string> seeds;
  for (std::uint8_t type = 1; type <= kMessageTypeMax; ++type) {
    Message m;
    m.type = static_cast<MessageType>(type);
    m.from = NodeId(1u << 24);
    m.to = NodeId(2u << 24);
    m.term = Term(5);
    m.index = RaftIndex(300);
    m.log_term = Term(4);
    m.commit = RaftIndex(299);
    m.context = type;
    m.reject = type % 2 == 0;
    m.asleep = type % 3 == 0;
    if (m.type == MessageType::kAppend) {
      for (std::uint64_t i = 0; i < 4; ++i)
        m.entries.push_back({RaftIndex(301 + i), Term(5), EntryType::kNormal, Bytes::copy_of("entry")});
      m.entries[1].payload = Bytes();
      m.entries[2].type = EntryType::kNoop;
    }
    if (m.type == MessageType::kAppendResp) m.hint = {RaftIndex(200), Term(3)};
    if (m.type == MessageType::kSnapshot) {
      ConfState conf{{NodeId(1), NodeId(2)}, {NodeId(2), NodeId(3)}, {NodeId(4)}, {NodeId(3)}, true};
      m.snapshot = SnapshotMeta{RaftIndex(250), Term(4), conf};
    }
    seeds.emplace_back(encode(m).text());
  }
  return seeds;
}

extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size, std::size_t max,
                                               unsigned seed) {
  std::size_t before = size;
  std::size_t after = LLVMFuzzerMutate(data, size, max);
  if (after < 5 || before < 5 || seed % 8 == 0) return after;
  data[0] = 1;
  // What changed in size changed in the head, or behind it.
  std::uint64_t head = get_u32(data + 1);
  if (seed % 2 == 0) head += after - before;
  if (head > after - 5 || seed % 8 == 1) head = after - 5;
  put_u32(data + 1, static_cast<std::uint32_t>(head));
  return after;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Bytes frame = fuzz::own(ByteSpan(data, size));
  auto m = decode_message(frame);
  if (!m) {
    require(m.error().code == Code::kInvalid && !m.error().detail.empty(), "kInvalid says what is wrong");
    return 0;
  }
  check_promises(*m, size);
  Bytes bytes = encode(*m);
  auto again = decode_message(bytes);
  require(again.has_value() && same(*m, *again), "a message survives encoding");
  require(encode(*again).text() == bytes.text(), "one message, one coding");
  return 0;
}
