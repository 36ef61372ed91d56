// tests/fuzz/forward_fuzz.cc - requests for a group's leader, and hints, as a peer may send them.
//
// The first byte picks the decoder. What decodes lies within the frame, keeps the rules of
// docs/formats/forward.md, and survives encoding, with and without a shared body.
#include "broker/server/forward.h"
#include "tests/fuzz/fuzz.h"

namespace {

using namespace weir;          // NOLINT: a program of one file
using namespace weir::server;  // NOLINT
using fuzz::require;

bool within(std::string_view part, const Bytes& whole) {
  return part.empty() || (part.data() >= whole.text().data() &&
                          part.data() + part.size() <= whole.text().data() + whole.size());
}

bool same(const Forwarded& a, const Forwarded& b) {
  return a.kind == b.kind && a.hops == b.hops && a.group == b.group && a.account == b.account &&
         a.subject == b.subject && a.reply == b.reply && a.header_size == b.header_size && a.body == b.body;
}

void forwarded(const Bytes& frame) {
  auto f = decode_forwarded(frame.span());
  if (!f) {
    require(!f.error().detail.empty(), "an error says what is wrong");
    return;
  }
  for (std::string_view part : {f->account, f->subject, f->reply, f->body})
    require(within(part, frame), "views lie within the frame");
  require(f->hops <= kForwardsMax && !f->subject.empty(), "hops and subject");
  require(f->header_size <= f->body.size(), "headers are part of the body");
  require(f->kind >= ForwardKind::kPublish && f->kind <= ForwardKind::kInternal, "kind");
  Bytes shared = frame.sub_of(f->body);
  for (const Bytes* body : {static_cast<const Bytes*>(nullptr), static_cast<const Bytes*>(&shared)}) {
    std::string text = fuzz::join(encode_forwarded(*f, body));
    auto again = decode_forwarded(as_span(text));
    require(again && same(*f, *again), "a request survives encoding");
  }
}

void hints(const Bytes& frame) {
  auto list = decode_hints(frame.span());
  if (!list) return;
  require(list->capacity() <= frame.size(), "memory follows what was sent");
  Bytes bytes = encode_hints(*list);
  auto again = decode_hints(bytes.span());
  require(again && again->size() == list->size(), "hints survive encoding");
  for (std::size_t i = 0; i < list->size(); ++i) {
    const LeaderHint &a = (*list)[i], &b = (*again)[i];
    require(a.group == b.group && a.term == b.term && a.leads == b.leads, "a hint survives encoding");
  }
}

}  // namespace

std::vector<std::string> weir::fuzz::fuzz_seeds() {
  std::vector<std::string> seeds;
  for (auto kind : {ForwardKind::kPublish, ForwardKind::kAck, ForwardKind::kApi, ForwardKind::kInternal}) {
    Forwarded f{kind, 1, GroupId(9), "A", "orders.new", "_INBOX.1", 14, "NATS/1.0\r\nA:1\r\n\r\nbody"};
    seeds.push_back(std::string(1, '\0') + join(encode_forwarded(f, nullptr)));
  }
  std::vector<LeaderHint> list{{GroupId(1), Term(5), true}, {GroupId(70000), Term(300), false}};
  seeds.push_back("\x01" + std::string(encode_hints(list).text()));
  return seeds;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 1) return 0;
  Bytes frame = fuzz::own(ByteSpan(data + 1, size - 1));
  (data[0] & 1) == 0 ? forwarded(frame) : hints(frame);
  return 0;
}
