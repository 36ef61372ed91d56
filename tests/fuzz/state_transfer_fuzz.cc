// tests/fuzz/state_transfer_fuzz.cc - pages of a stream's state, and requests for them, from a peer.
//
// The first byte picks: a request; one page; a cut; two pages (the second byte cuts the input) that fill a
// store as a fetching replica does, with what the cut then removes. What decodes is in order, within the
// frame, survives encoding, and can be put into a store: its figures are then those of the cut.
#include <algorithm>

#include "broker/server/state_page.h"
#include "broker/server/state_parts.h"
#include "broker/store/mem_store.h"
#include "tests/fuzz/fuzz.h"

namespace {

using namespace weir;          // NOLINT: a program of one file
using namespace weir::server;  // NOLINT
using fuzz::require;

void request(ByteSpan bytes) {
  auto q = decode_state_request(bytes);
  if (!q) return;
  auto again = decode_state_request(encode_state_request(*q).span());
  require(again && again->group == q->group && again->from == q->from && again->cut == q->cut &&
              again->offset == q->offset && again->format == q->format,
          "a request survives encoding");
}

void check_order(const StatePage& p) {
  StreamSeq at;
  for (const store::Message& m : p.messages) {
    require(m.seq > at, "sequences rise from 1 up");
    require(m.subject_size > 0 && m.record.size() >= std::size_t{m.subject_size} + m.header_size, "sizes");
    at = m.seq;
  }
  if (!p.part) return;
  const StatePart& part = *p.part;
  require(part.cut != 0 && part.total <= kCutBytesMax && !part.bytes.empty(), "a part that can be");
  require(part.offset < part.total && part.bytes.size() <= part.total - part.offset, "within the whole");
}

void check_cut(const StateCut& c) {
  StreamSeq at;
  for (const store::LiveRange& r : c.live) {
    require(r.first > at && r.last >= r.first && r.last <= c.last_seq, "live ranges are in order");
    at = r.last;
  }
  require(c.last_seq + 1 > c.last_seq, "there is a next sequence");
}

bool same(const StateCut& a, const StateCut& b) {
  auto edits = [](const store::CatalogEdit& x, const store::CatalogEdit& y) {
    return x.key == y.key && x.value == y.value;
  };
  return a.position == b.position && a.last_seq == b.last_seq && a.last_time == b.last_time &&
         a.live == b.live &&
         std::equal(a.machine.begin(), a.machine.end(), b.machine.begin(), b.machine.end(), edits);
}

bool same(const StatePart& a, const StatePart& b) {
  return a.cut == b.cut && a.total == b.total && a.crc == b.crc && a.offset == b.offset &&
         a.bytes.text() == b.bytes.text();
}

bool same(const StatePage& a, const StatePage& b) {
  auto messages = [](const store::Message& x, const store::Message& y) {
    return x.seq == y.seq && x.time == y.time && x.subject_size == y.subject_size &&
           x.header_size == y.header_size && x.record.text() == y.record.text();
  };
  return a.part.has_value() == b.part.has_value() && (!a.part || same(*a.part, *b.part)) &&
         a.whole.has_value() == b.whole.has_value() && (!a.whole || same(*a.whole, *b.whole)) &&
         std::equal(a.messages.begin(), a.messages.end(), b.messages.begin(), b.messages.end(), messages);
}

std::optional<StatePage> page(ByteSpan bytes) {
  Bytes frame = fuzz::own(bytes);
  auto p = decode_state_page(frame);
  if (!p) return std::nullopt;
  check_order(*p);
  if (p->whole) check_cut(*p->whole);
  return std::move(*p);
}

std::string text_of(const StatePage& p, std::uint8_t format) {
  auto slices = encode_state_page(p, format);
  require(slices.has_value(), "what came fits");
  return fuzz::join(*slices);
}

void one_page(ByteSpan bytes) {
  auto p = page(bytes);
  if (!p) return;
  auto again = decode_state_page(Bytes::copy_of(text_of(*p, bytes[0])));
  require(again && same(*p, *again), "a page survives encoding");
}

void one_cut(ByteSpan bytes) {
  auto c = decode_state_cut(bytes);
  if (!c) return;
  check_cut(*c);
  auto text = encode_state_cut(*c);
  require(text.has_value(), "what came fits");
  auto again = decode_state_cut(text->span());
  require(again && same(*c, *again), "a cut survives encoding");
}

void cut(store::MessageStore& store, const StateCut& c) {
  check_cut(c);
  if (!cut_store(store, c)) return;
  const store::StoreState& s = store.state();
  std::uint64_t live = 0;
  for (const auto& r : c.live) live += (r.last - r.first) + 1;
  require(s.messages == live && s.last_seq == c.last_seq, "the store has what the cut says");
  require(store.live_ranges(StreamSeq(0), c.live.size() + 1).size() <= c.live.size(), "and nothing else");
}

void fill(store::MessageStore& store, CutParts& parts, ByteSpan bytes) {
  auto p = page(bytes);
  if (!p || !fill_from_page(store, *p)) return;
  if (p->whole) return cut(store, *p->whole);
  if (!p->part || !parts.add(*p->part) || !parts.complete()) return;
  if (auto c = decode_state_cut(parts.take().span())) cut(store, *c);
}

}  // namespace

std::vector<std::string> weir::fuzz::fuzz_seeds() {
  StatePage p, last;
  for (std::uint64_t seq : {3u, 4u, 7u, 200u}) {
    store::Message m{StreamSeq(seq), Wall{static_cast<std::int64_t>(seq) - 5}, Bytes(), 3, 12};
    m.record = Bytes::copy_of("a.bNATS/1.0\r\n\r\nbody");
    p.messages.push_back(std::move(m));
  }
  StateCut c;
  c.position = {NodeId(77), 2, {RaftIndex(9), Term(2)}, {{NodeId(1), NodeId(2)}, {}, {NodeId(3)}, {}, false}};
  c.last_seq = StreamSeq(210);
  c.last_time = Wall{5};
  c.live = {{StreamSeq(4), StreamSeq(4)}, {StreamSeq(200), StreamSeq(200)}};
  c.machine = {{"m", std::string("value")}, {"c/1", std::string("x")}};
  Bytes all = encode_state_cut(c).value();
  auto two = [](const std::string& a, const std::string& b) {
    return "\x03" + std::string(1, static_cast<char>(a.size())) + a + b;
  };
  KeptCuts kept(9);
  std::vector<std::string> seeds{"\x02" + std::string(all.text())};
  seeds.emplace_back(1, '\0');
  seeds.back() += encode_state_request({GroupId(5), StreamSeq(300), 7, 1000}).text();
  seeds.emplace_back(1, '\0');
  seeds.back() += encode_state_request({GroupId(5), StreamSeq(300), 0, 0, kStateFormatWhole}).text();
  std::string messages = text_of(p, kStateFormat);
  last.part = kept.begin(NodeId(1), GroupId(5), all, all.size(), Mono{}).value();
  std::string in_one = text_of(last, kStateFormat);
  seeds.insert(seeds.end(), {"\x01" + messages, "\x01" + in_one, two(messages, in_one)});
  p.part = kept.begin(NodeId(1), GroupId(5), all, all.size() - 10, Mono{}).value();
  last.part =
      kept.next(NodeId(1), {GroupId(5), StreamSeq(201), p.part->cut, p.part->bytes.size()}, 100, Mono{});
  seeds.push_back(two(text_of(p, kStateFormat), text_of(last, kStateFormat)));
  last.whole = c;
  messages = text_of(p, kStateFormatWhole);
  std::string whole = text_of(last, kStateFormatWhole);
  seeds.insert(seeds.end(), {"\x01" + messages, "\x01" + whole, two(messages, whole)});
  p.whole = c;
  seeds.push_back(std::string("\x03\0", 2) + text_of(p, kStateFormatWhole));
  return seeds;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2) return 0;
  ByteSpan rest(data + 1, size - 1);
  switch (data[0] % 4) {
    case 0: request(rest); break;
    case 1: one_page(rest); break;
    case 2: one_cut(rest); break;
    default: {
      std::size_t at = std::min<std::size_t>(rest[0], rest.size() - 1);
      rest = rest.subspan(1);
      store::MemStore store;
      CutParts parts;
      if (at > 0) fill(store, parts, rest.first(at));
      fill(store, parts, rest.subspan(at));
    }
  }
  return 0;
}
