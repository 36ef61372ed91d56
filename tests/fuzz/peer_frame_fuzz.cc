// tests/fuzz/peer_frame_fuzz.cc - what a stranger can send to a node's peer port, byte by byte.
//
// The first byte seeds the cuts, the rest is the stream. Any chunking gives the same frames and the same
// error; no payload above the limit. Bodies of all kinds are decoded (also those of other kinds than the
// frame says): what decodes survives encoding. The mutator mends lengths and checksums of most inputs.
#include <algorithm>

#include "broker/base/crc32c.h"
#include "broker/base/varint.h"
#include "broker/proto/peer_body.h"
#include "broker/proto/peer_frame.h"
#include "tests/fuzz/fuzz.h"

namespace {

using namespace weir;         // NOLINT: a program of one file
using namespace weir::proto;  // NOLINT
using fuzz::require;

constexpr std::size_t kPayloadMax = 1024;

void check_hello(const Bytes& b) {
  auto h = decode_hello(b.span());
  if (!h) return;
  require(h->info.id.v != 0 && node_of(h->info.id) == h->info.id, "a hello names a node");
  require(h->version_min > 0 && h->version_min <= h->version_max, "versions are a range");
  Bytes text = encode_hello(*h);
  auto again = decode_hello(text.span());
  require(again && again->info == h->info && again->holds == h->holds && again->epoch == h->epoch &&
              again->token == h->token && again->stamp == h->stamp && again->password == h->password,
          "a hello survives encoding");
}

void check_gossip(const Bytes& b) {
  auto list = decode_gossip(b.span());
  if (!list) return;
  // An address with nothing in it has no bytes.
  std::erase(*list, PeerAddress{});
  auto again = decode_gossip(encode_gossip(*list).span());
  require(again && *again == *list, "gossip survives encoding");
}

void check_ask(const Bytes& b) {
  if (auto ask = decode_ask(b)) {
    auto again = decode_ask(fuzz::own(encode_ask_head(ask->head).span()));
    require(again && again->head.id == ask->head.id && again->head.method == ask->head.method, "ask head");
    require(ask->body.size() + 1 + b.data()[0] == b.size(), "the body of a question is the rest");
  }
  if (auto answer = decode_answer(b)) {
    auto again = decode_answer(encode_answer_head(answer->head));
    require(again && again->head.id == answer->head.id &&
                again->head.error.has_value() == answer->head.error.has_value(),
            "an answer's head survives encoding");
    if (answer->head.error) {
      require(again->head.error->code == answer->head.error->code &&
                  again->head.error->detail == answer->head.error->detail,
              "an answer's error survives encoding");
    }
  }
}

void check_small(const Bytes& b) {
  if (auto info = decode_info(b.span())) {
    auto again = decode_info(encode_info(*info).span());
    require(again && *again == *info, "info survives encoding");
  }
  if (auto ready = decode_ready(b.span())) {
    require(decode_ready(encode_ready(*ready).span())->epoch == ready->epoch, "ready");
  }
  if (auto refuse = decode_refuse(b.span())) {
    auto again = decode_refuse(encode_refuse(*refuse).span());
    require(again && again->why == refuse->why && again->text == refuse->text && again->node == refuse->node,
            "a refusal survives encoding");
    for (char c : refuse->text)
      require(static_cast<unsigned char>(c) >= 0x20, "text for the log is one line");
  }
  if (auto ping = decode_ping(b.span())) require(*decode_ping(encode_ping(*ping).span()) == *ping, "ping");
}

void check_body(const PeerFrame& f) {
  switch (static_cast<PeerKind>(f.kind)) {
    case PeerKind::kHello: return check_hello(f.payload);
    case PeerKind::kGossip: return check_gossip(f.payload);
    case PeerKind::kAsk:
    case PeerKind::kAnswer: return check_ask(f.payload);
    default: check_small(f.payload);
  }
}

/// A hash of everything that comes out.
class Frames final : public PeerFrameEvents {
 public:
  explicit Frames(bool bodies) : bodies_(bodies) {}
  std::uint64_t hash = 1;

  bool on_frame(PeerFrame f) override {
    require(f.lane < 16, "a lane has four bits");
    require(f.payload.size() <= kPayloadMax, "limit of the payload");
    mix(f.kind);
    mix(f.lane);
    mix(f.payload.size());
    mix(crc32c(f.payload.span()));
    if (bodies_) check_body(f);
    return true;
  }
  void mix(std::uint64_t v) { hash = (hash ^ v) * 0x9e3779b97f4a7c15u + 1; }

 private:
  bool bodies_;
};

/// Feeds pieces of random size (0 = whole), each in a block of its own.
std::uint64_t run(ByteSpan input, std::uint64_t seed) {
  PeerFrameParser parser(kPayloadMax);
  Frames frames(seed == 0);
  Prng prng(seed);
  std::uint8_t piece[64];
  bool ok = true;
  for (std::size_t at = 0; at < input.size() && ok;) {
    std::size_t left = input.size() - at;
    if (seed == 0) {
      ok = parser.feed(input, frames);
      break;
    }
    std::size_t n = std::min<std::size_t>(left, prng.between(1, prng.chance(1, 2) ? 12 : sizeof piece));
    std::copy_n(input.data() + at, n, piece);
    ok = parser.feed(ByteSpan(piece, n), frames);
    std::fill_n(piece, n, std::uint8_t{0xee});  // a view into it shows
    at += n;
  }
  require(ok == parser.error().empty(), "an error has words");
  if (!ok) require(!parser.feed(input, frames), "a failed parser takes no more");
  for (char c : parser.error()) frames.mix(static_cast<std::uint8_t>(c));
  return frames.hash;
}

/// Makes lengths fit and checksums right, frame by frame.
void mend(std::uint8_t* p, std::size_t size, bool stretch) {
  while (size >= kPeerHeaderBytes) {
    std::size_t payload = get_u32(p);
    std::size_t room = size - kPeerHeaderBytes;
    if (payload > room || (stretch && payload != 0)) put_u32(p, static_cast<std::uint32_t>(payload = room));
    put_u32(p + 6, crc32c(ByteSpan(p + kPeerHeaderBytes, payload), crc32c(ByteSpan(p + 4, 2))));
    p += kPeerHeaderBytes + payload;
    size -= kPeerHeaderBytes + payload;
  }
}

}  // namespace

std::vector<std::string> weir::fuzz::fuzz_seeds() {
  PeerHello h;
  h.info = {NodeId(7u << 24), "NABC",     "n1",     "0.1", "CID", 3, true, "hub",
            {"az:1"},         {"h:4222"}, "h:6222", true};
  h.cluster_name = "C";
  h.user = "u";
  h.password = "p";
  h.token = 99;
  h.stamp = 5;
  h.holds = {99, 98};
  h.epoch = 0;
  std::vector<PeerAddress> gossip{{NodeId(1u << 24), "a:1"}, {NodeId(2u << 24), "b:2"}};
  AnswerHead failed{3, Error(Code::kNotFound, "no")};
  std::vector<std::pair<PeerKind, Bytes>> bodies{
      {PeerKind::kHello, encode_hello(h)},
      {PeerKind::kReady, encode_ready({4})},
      {PeerKind::kRefuse, encode_refuse({Refusal::kDuplicate, "there is one", NodeId(1u << 24)})},
      {PeerKind::kPing, encode_ping(77)},
      {PeerKind::kGossip, encode_gossip(gossip)},
      {PeerKind::kInfo, encode_info(h.info)},
      {PeerKind::kBye, Bytes()},
      {PeerKind::kAsk, encode_ask_head({1, 2})},
      {PeerKind::kAnswer, encode_answer_head({2, std::nullopt})},
      {PeerKind::kAnswer, encode_answer_head(failed)}};
  std::vector<std::string> seeds;
  std::string all(1, 'x');
  for (const auto& [kind, body] : bodies) {
    PeerHeader header = peer_header(static_cast<std::uint8_t>(kind), 0, {body});
    std::string frame(as_text(header));
    frame += body.text();
    seeds.push_back("x" + frame);
    if (kind != PeerKind::kHello) all += frame;
  }
  seeds.push_back(all);
  return seeds;
}

extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size, std::size_t max,
                                               unsigned seed) {
  size = LLVMFuzzerMutate(data, size, max);
  if (seed % 16 != 0 && size > 1) mend(data + 1, size - 1, seed % 16 == 1);
  return size;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 1) return 0;
  ByteSpan input(data + 1, size - 1);
  std::uint64_t whole = run(input, 0);
  require(run(input, 1 + data[0]) == whole, "the split changes the frames");
  return 0;
}
