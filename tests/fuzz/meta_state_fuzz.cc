// tests/fuzz/meta_state_fuzz.cc - the meta state's snapshot, and the log entries that change it.
//
// The first byte picks: bytes of a snapshot, or entries (each with a length byte) applied to a state that
// knows three nodes and two streams; a byte 0 in place of the length makes one command out of small numbers.
// Oracle: a snapshot that is taken comes back the same, a refused one changes nothing; an applied entry
// leaves a state whose snapshot is taken, with the same content; the same entries give the same hash.
// Memory: tools/fuzz sets libFuzzer's limit for one allocation.
#include <algorithm>

#include "broker/jetstream/meta_state.h"
#include "tests/fuzz/fuzz.h"

namespace {

using namespace weir;             // NOLINT: a program of one file
using namespace weir::jetstream;  // NOLINT
using fuzz::Input;
using fuzz::require;

constexpr const char* kConfigs[] = {
    R"({"name":"A","subjects":["a.>"],"num_replicas":3,"storage":"file"})",
    R"({"name":"B","subjects":["b","c.*"],"num_replicas":3,"storage":"memory"})",
    R"({"name":"A","subjects":["a.1"],"num_replicas":1,"storage":"file"})",
    R"({"name":"C","subjects":["*.x"],"num_replicas":1,"storage":"file"})",
    R"({"name":"B"})",
    R"({"name":"A","subjects":7})"};

NodeId node(std::uint64_t n) {
  return NodeId(n << kIncarnationBits);
}

std::string encoded(const MetaState& s) {
  std::string out;
  s.encode(out);
  return out;
}

bool apply(MetaState& state, const Bytes& entry, std::uint64_t index) {
  auto reader = EntryReader::open(entry);
  if (!reader) return false;
  Command c;
  MetaOutcome out;
  while (reader->next(c)) {
    if (!state.apply(c, RaftIndex(index), reader->log_time(), out)) return false;
    for (GroupId g : out.groups) require(g.v > 0, "a group without an id");
  }
  return true;
}

std::vector<NodeId> nodes_of(Input& in) {
  std::vector<NodeId> list;
  std::uint8_t b = in.u8();
  for (unsigned i = 0; i < 4; ++i) {
    if ((b >> i & 1) != 0) list.push_back(node(1 + (i + (b >> 6)) % 4));
  }
  return list;
}

/// One command that a leader may propose.
Bytes made(Input& in) {
  EntryBuilder b;
  const char* names[] = {"A", "B", "C"};
  switch (in.below(7)) {
    case 0:
    case 1: {
      MetaStreamCommand c;
      c.account = in.flag() ? "$G" : "X";
      c.name = names[in.below(3)];
      c.config_json = kConfigs[in.below(6)];
      c.nodes = nodes_of(in);
      c.preferred = c.nodes.empty() ? NodeId() : c.nodes.back();
      c.max_streams = in.below(4);
      in.flag() ? b.meta_create_stream(c) : b.meta_update_stream(c);
      break;
    }
    case 2: b.meta_delete_stream("$G", names[in.below(3)]); break;
    case 3: {
      MetaNodeCommand c;
      c.id = node(1 + in.below(5));
      c.name = names[in.below(3)];
      c.replaces = in.flag() ? node(1 + in.below(5)) : NodeId();
      c.rejoin = in.flag();
      b.meta_register_node(c);
      break;
    }
    case 4: b.meta_remove_node(node(1 + in.below(5))); break;
    case 5: {
      MetaPeersCommand c{GroupId(1 + in.below(5)), in.below(16), nodes_of(in), NodeId()};
      if (in.flag() && !c.nodes.empty()) c.preferred = c.nodes[0];
      in.flag() || c.nodes.empty() ? b.meta_reset_stream(c) : b.meta_set_peers(c);
      break;
    }
    default: {
      GroupId group(in.below(5));
      NodeId n = node(1 + in.below(5));
      b.meta_renew_replicas({group, group.v == 0 ? n : replica_id(n, in.below(3)), in.below(4), in.below(3)});
    }
  }
  return b.finish(Wall{1000});
}

/// Three nodes and two streams.
const std::string& base() {
  static const std::string bytes = [] {
    MetaState s;
    EntryBuilder b;
    for (std::uint64_t n = 1; n <= 3; ++n) {
      std::string name = "n" + std::to_string(n);
      MetaNodeCommand c;
      c.id = node(n);
      c.name = name;
      c.cluster = "C";
      c.tags = {"az:1"};
      b.meta_register_node(c);
    }
    for (int i = 0; i < 2; ++i) {
      MetaStreamCommand c;
      c.account = "$G";
      c.name = i == 0 ? "A" : "B";
      c.config_json = kConfigs[i];
      c.nodes = {node(1), node(2), node(3)};
      c.preferred = node(2);
      b.meta_create_stream(c);
    }
    require(apply(s, b.finish(Wall{1000}), 1) && s.count() == 2, "the state to begin with");
    return encoded(s);
  }();
  return bytes;
}

void snapshot(std::string_view bytes) {
  MetaState s;
  std::string before = encoded(s);
  if (!s.restore(bytes)) {
    require(encoded(s) == before, "a refused snapshot changes nothing");
    return;
  }
  std::string text = encoded(s);
  MetaState again;
  require(again.restore(text).has_value() && encoded(again) == text, "a snapshot comes back");
  require(again.hash() == s.hash() && again.revision() == s.revision(), "hash and revision come back");
}

void check_snapshot(const MetaState& s) {
  std::string text = encoded(s);
  MetaState again;
  require(again.restore(text).has_value() && encoded(again) == text, "its snapshot comes back");
  for (std::uint64_t n = 1; n <= 5; ++n) require(again.load(node(n)) == s.load(node(n)), "and its loads");
}

void entries(Input& in, bool check_each) {
  MetaState s;
  require(s.restore(base()).has_value(), "the state to begin with");
  for (std::uint64_t index = 2; !in.empty(); ++index) {
    std::uint8_t size = in.u8();
    Bytes entry = size == 0 ? made(in) : fuzz::own(in.bytes(size));
    if (!apply(s, entry, index)) return;  // the group stops here
    if (check_each) check_snapshot(s);
  }
  if (!check_each) check_snapshot(s);
}

/// The same entries give the same state, also to a replica that began with a snapshot half way.
void twins(Input in) {
  MetaState a, b;
  require(a.restore(base()).has_value() && b.restore(base()).has_value(), "the state to begin with");
  for (std::uint64_t index = 2; !in.empty(); ++index) {
    std::uint8_t size = in.u8();
    Bytes entry = size == 0 ? made(in) : fuzz::own(in.bytes(size));
    bool ok = apply(a, entry, index);
    require(apply(b, entry, index) == ok && a.hash() == b.hash(), "the same entries, the same state");
    if (!ok) return;
    if (index % 4 == 0) require(b.restore(encoded(a)).has_value(), "its snapshot comes back");
  }
  require(encoded(a) == encoded(b), "the same entries, the same state");
}

}  // namespace

std::vector<std::string> weir::fuzz::fuzz_seeds() {
  std::string zero(1, '\0');
  std::vector<std::string> seeds{zero + base()};
  MetaState empty;
  seeds.push_back(zero + encoded(empty));
  for (char kind = 0; kind < 7; ++kind) {
    for (char mode = 1; mode < 4; ++mode) {
      seeds.push_back(std::string(1, mode) + zero + kind + std::string("\1\0\0\7\0\1", 6));
    }
  }
  MetaNodeCommand c;
  c.id = node(4);
  c.name = "n4";
  EntryBuilder b;
  b.meta_register_node(c);
  std::string entry(b.finish(Wall{5}).text());
  seeds.push_back("\x01" + std::string(1, static_cast<char>(entry.size())) + entry);
  return seeds;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 1) return 0;
  Bytes copy = fuzz::own(ByteSpan(data + 1, size - 1));
  Input in(copy.data(), copy.size());
  switch (data[0] % 4) {
    case 0: snapshot(copy.text()); break;
    case 1: entries(in, false); break;
    case 2: entries(in, true); break;
    default: twins(in);
  }
  return 0;
}
