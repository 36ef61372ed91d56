// tests/fuzz/state_transfer_fuzz.cc - pages of a stream's state, and requests for them, from a peer.
//
// The first byte picks: a request; one page; two pages (the second byte cuts the input) that fill a store as
// a fetching replica does, with what the cut then removes. What decodes is in order, within the frame,
// survives encoding, and can be put into a store: its figures are then those of the last page.
#include <algorithm>

#include "broker/server/state_page.h"
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
  require(again && again->group == q->group && again->from == q->from, "a request survives encoding");
}

void check_order(const StatePage& p) {
  StreamSeq at;
  for (const store::Message& m : p.messages) {
    require(m.seq > at, "sequences rise from 1 up");
    require(m.subject_size > 0 && m.record.size() >= std::size_t{m.subject_size} + m.header_size, "sizes");
    at = m.seq;
  }
  at = StreamSeq();
  for (const store::LiveRange& r : p.live) {
    require(r.first > at && r.last >= r.first && r.last <= p.last_seq, "live ranges are in order");
    at = r.last;
  }
  require(p.last_seq + 1 > p.last_seq, "there is a next sequence");
}

bool same(const StatePage& a, const StatePage& b) {
  auto edits = [](const store::CatalogEdit& x, const store::CatalogEdit& y) {
    return x.key == y.key && x.value == y.value;
  };
  auto messages = [](const store::Message& x, const store::Message& y) {
    return x.seq == y.seq && x.time == y.time && x.subject_size == y.subject_size &&
           x.header_size == y.header_size && x.record.text() == y.record.text();
  };
  return a.final == b.final && a.position == b.position && a.last_seq == b.last_seq &&
         a.last_time == b.last_time && a.live == b.live &&
         std::equal(a.machine.begin(), a.machine.end(), b.machine.begin(), b.machine.end(), edits) &&
         std::equal(a.messages.begin(), a.messages.end(), b.messages.begin(), b.messages.end(), messages);
}

std::optional<StatePage> page(ByteSpan bytes) {
  Bytes frame = fuzz::own(bytes);
  auto p = decode_state_page(frame);
  if (!p) return std::nullopt;
  check_order(*p);
  return std::move(*p);
}

void one_page(ByteSpan bytes) {
  auto p = page(bytes);
  if (!p) return;
  std::string text = fuzz::join(encode_state_page(*p));
  auto again = decode_state_page(Bytes::copy_of(text));
  require(again && same(*p, *again), "a page survives encoding");
}

void fill(store::MessageStore& store, ByteSpan bytes) {
  auto p = page(bytes);
  if (!p || !fill_from_page(store, *p) || !p->final) return;
  if (!cut_to_page(store, *p)) return;
  const store::StoreState& s = store.state();
  std::uint64_t live = 0;
  for (const auto& r : p->live) live += (r.last - r.first) + 1;
  require(s.messages == live && s.last_seq == p->last_seq, "the store has what the page says");
  require(store.live_ranges(StreamSeq(0), p->live.size() + 1).size() <= p->live.size(), "and nothing else");
}

}  // namespace

std::vector<std::string> weir::fuzz::fuzz_seeds() {
  StatePage p;
  for (std::uint64_t seq : {3u, 4u, 7u, 200u}) {
    store::Message m{StreamSeq(seq), Wall{static_cast<std::int64_t>(seq) - 5}, Bytes(), 3, 12};
    m.record = Bytes::copy_of("a.bNATS/1.0\r\n\r\nbody");
    p.messages.push_back(std::move(m));
  }
  std::string first = join(encode_state_page(p));
  StatePage last;
  last.final = true;
  last.position = {
      NodeId(77), 2, {RaftIndex(9), Term(2)}, {{NodeId(1), NodeId(2)}, {}, {NodeId(3)}, {}, false}};
  last.last_seq = StreamSeq(210);
  last.last_time = Wall{5};
  last.live = {{StreamSeq(4), StreamSeq(4)}, {StreamSeq(200), StreamSeq(200)}};
  last.machine = {{"m", std::string("value")}, {"c/1", std::string("x")}};
  std::string second = join(encode_state_page(last));
  StatePage both = last;
  both.messages = p.messages;
  std::vector<std::string> seeds{"\x01" + first, "\x01" + second, "\x01" + join(encode_state_page(both))};
  seeds.push_back(std::string(1, '\0') +
                  std::string(encode_state_request({GroupId(5), StreamSeq(300)}).text()));
  seeds.push_back("\x02" + std::string(1, static_cast<char>(first.size())) + first + second);
  seeds.push_back(std::string("\x02\0", 2) + join(encode_state_page(both)));
  return seeds;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2) return 0;
  ByteSpan rest(data + 1, size - 1);
  switch (data[0] % 3) {
    case 0: request(rest); break;
    case 1: one_page(rest); break;
    default: {
      std::size_t at = std::min<std::size_t>(rest[0], rest.size() - 1);
      rest = rest.subspan(1);
      store::MemStore store;
      if (at > 0) fill(store, rest.first(at));
      fill(store, rest.subspan(at));
    }
  }
  return 0;
}
