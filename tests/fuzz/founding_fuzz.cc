// tests/fuzz/founding_fuzz.cc - founding messages of peers, the founding state on disk, and what they do.
//
// The first byte picks: a message, a state, or a life: a node starts from nothing or from a state, and gets
// messages (each with a length byte, decoded or made), timers, links that come and go, restarts.
// Oracle: what decodes survives encoding; state() always survives it too; promises never fall; who is born
// stays what it is; a message to be sent can be encoded.
#include <memory>

#include "broker/cluster/founding.h"
#include "tests/fuzz/fuzz.h"

namespace {

using namespace weir;           // NOLINT: a program of one file
using namespace weir::cluster;  // NOLINT
using fuzz::Input;
using fuzz::require;

NodeId node(std::uint64_t n) {
  return NodeId(n << kIncarnationBits);
}

void message(ByteSpan bytes) {
  auto m = decode_founding(bytes);
  if (!m) return;
  auto again = decode_founding(encode_founding(*m).span());
  require(again && *again == *m, "a message survives encoding");
}

void state(ByteSpan bytes) {
  auto s = decode_founding_state(as_text(bytes));
  if (!s) return;
  auto again = decode_founding_state(encode_founding_state(*s));
  require(again && *again == *s, "a state survives encoding");
}

FoundingSeeds seeds_of(Input& in) {
  FoundingSeeds s;
  std::uint8_t b = in.u8();
  for (unsigned i = 0; i < 5; ++i) {
    if ((b >> i & 1) != 0) s.known.push_back(node(i + 1));
  }
  s.unresolved = b >> 5;
  if (s.unresolved == 7) s.unresolved = in.number(0);
  return s;
}

Ballot ballot_of(Input& in, const Founding& f) {
  std::uint8_t b = in.u8();
  if (b < 0x80) return f.state().promised;
  if (b < 0x90) return {};
  return {1 + (b & 3u), node(1 + (b >> 2 & 3))};
}

FoundingMessage made(Input& in, const Founding& f) {
  FoundingMessage m;
  m.type = static_cast<FoundingType>(1 + in.below(7));
  m.ballot = ballot_of(in, f);
  m.name = "n";
  m.seeds = seeds_of(in);
  std::uint8_t b = in.u8();
  if ((b & 3) == 0) return m;
  m.accepted = ballot_of(in, f);
  m.value = FoundingRecord{b & 4 ? "c1" : "c2", {{node(1), "a"}, {node(2 + (b >> 3 & 1)), "b"}}};
  return m;
}

class Life {
 public:
  explicit Life(Input& in) : in_(in) {
    FoundingState durable;
    if (in_.flag()) {
      if (auto s = decode_founding_state(as_text(in_.bytes(in_.u8())))) durable = *s;
    }
    restart(durable);
  }
  void run() {
    while (!in_.empty()) {
      step();
      check();
    }
  }

 private:
  void restart(const FoundingState& durable) {
    f_ = std::make_unique<Founding>(Founder{node(1), "n1"}, durable, 5);
    before_ = durable;
  }
  void step() {
    std::uint8_t op = in_.u8();
    NodeId who = node(1 + (op & 7u));
    switch (op >> 4) {
      case 0: return sent(f_->set_seeds(seeds_of(in_)));
      case 1: return sent(f_->peer_up(who));
      case 2: return f_->peer_down(who);
      case 3: return sent(f_->timer());
      case 4: return require(f_->delay() > 0, "a delay");
      case 5: {
        auto s = decode_founding_state(encode_founding_state(f_->state()));
        return restart(*s);
      }
      case 6:
      case 7: {
        Bytes bytes = fuzz::own(in_.bytes(in_.u8()));
        auto m = decode_founding(bytes.span());
        if (m) sent(f_->step(who, *m));
        return;
      }
      default: return sent(f_->step(who, made(in_, *f_)));
    }
  }
  void sent(const Founding::Output& out) {
    require(out.persist || f_->state() == before_, "what changes becomes durable");
    // All of one output say the same, or are one answer.
    if (out.messages.empty()) return;
    const FoundingMessage& m = out.messages.back().message;
    auto again = decode_founding(encode_founding(m).span());
    require(again && *again == m, "what is sent can be read");
  }
  void check() {
    const FoundingState& now = f_->state();
    require(now.promised >= before_.promised, "a promise is kept");
    require(now.accepted >= before_.accepted, "what was accepted is not forgotten");
    require(!before_.born || now.born == before_.born, "born once, for good");
    if (now == before_) return;
    auto again = decode_founding_state(encode_founding_state(now));
    require(again && *again == now, "the state can be read");
    before_ = now;
  }

  Input& in_;
  std::unique_ptr<Founding> f_;
  FoundingState before_;
};

}  // namespace

std::vector<std::string> weir::fuzz::fuzz_seeds() {
  FoundingRecord record{"CLUSTER", {{node(1), "a"}, {node(2), "b"}}};
  std::vector<std::string> seeds;
  for (int type = 1; type <= 7; ++type) {
    FoundingMessage m{static_cast<FoundingType>(type), {3, node(2)}, {1, node(1)}, "b",
                      {{node(1), node(2)}, 1},         record};
    std::string text(encode_founding(m).text());
    seeds.push_back(std::string(1, '\0') + text);
    seeds.push_back(std::string("\x02\0\0\x03\x11", 5) + '\x61' + static_cast<char>(text.size()) + text);
  }
  FoundingState s{{5, node(1)}, {4, node(2)}, record, record};
  seeds.push_back("\x01" + encode_founding_state(s));
  // Seeds 1 and 2, a link to 2, a timer, a promise, an acceptance.
  seeds.push_back(std::string("\x02\0\0\x03\x11\x30\x81\x02\0\x03\0\x81\x04\0\x03\0", 16));
  return seeds;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 1) return 0;
  Bytes copy = fuzz::own(ByteSpan(data + 1, size - 1));
  switch (data[0] % 3) {
    case 0: message(copy.span()); break;
    case 1: state(copy.span()); break;
    default: {
      Input in(copy.data(), copy.size());
      Life(in).run();
    }
  }
  return 0;
}
