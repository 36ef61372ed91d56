// tests/fuzz/interest_fuzz.cc - frames of interest and of messages as a peer may send them.
//
// The first byte picks the decoder. What decodes lies within the frame, keeps the rules of
// docs/formats/interest.md (no word that would break a protocol line), and survives encoding.
#include "broker/server/interest_frames.h"
#include "broker/subject/subject.h"
#include "tests/fuzz/fuzz.h"

namespace {

using namespace weir;          // NOLINT: a program of one file
using namespace weir::server;  // NOLINT
using fuzz::require;

bool is_word(std::string_view s) {
  return !s.empty() && s.find_first_of(" \t\r\n") == std::string_view::npos;
}

void interest(const Bytes& frame) {
  auto f = decode_interest(frame.span());
  if (!f) {
    require(!f.error().detail.empty(), "an error says what is wrong");
    return;
  }
  InterestWriter writer;
  for (const InterestChange& c : f->changes) {
    require(!c.account.empty() && subject::is_valid_pattern(c.subject), "account and subject");
    require(c.queue.empty() ? c.weight <= 1 : is_word(c.queue), "queue and weight");
    writer.add(c);
  }
  Bytes bytes = writer.finish(f->begin, f->end);
  auto again = decode_interest(bytes.span());
  require(again && again->begin == f->begin && again->end == f->end, "marks survive encoding");
  require(again->changes.size() == f->changes.size(), "all changes survive encoding");
  for (std::size_t i = 0; i < f->changes.size(); ++i) {
    const InterestChange &a = f->changes[i], &b = again->changes[i];
    require(a.account == b.account && a.subject == b.subject && a.queue == b.queue && a.weight == b.weight,
            "a change survives encoding");
  }
}

void message(const Bytes& frame) {
  auto m = decode_message(frame.span());
  if (!m) {
    require(!m.error().detail.empty(), "an error says what is wrong");
    return;
  }
  require(is_word(m->target) && is_word(m->subject), "subjects fit into a line");
  require(m->reply.empty() || is_word(m->reply), "a reply fits into a line");
  require(m->queues.size() <= frame.size(), "queues are paid for");
  for (std::string_view q : m->queues) require(is_word(q), "queues fit into a line");
  require(m->header_size <= m->body.size(), "headers are part of the body");
  require(m->header_size == 0 || m->body.starts_with("NATS/1.0"), "a header block begins like one");
  BytesBuilder out;
  encode_message_head(out, *m);
  out.append(m->body);
  Bytes bytes = out.freeze();
  auto again = decode_message(bytes.span());
  require(again && again->account == m->account && again->target == m->target &&
              again->subject == m->subject && again->reply == m->reply && again->plain == m->plain &&
              again->queues == m->queues && again->header_size == m->header_size && again->body == m->body,
          "a message survives encoding");
}

}  // namespace

std::vector<std::string> weir::fuzz::fuzz_seeds() {
  InterestWriter w;
  w.add({"A", "orders.>", {}, 1});
  w.add({"A", "orders.*", {}, 0});
  w.add({"B", "jobs", "workers", 300});
  std::string i = std::string(1, '\0') + std::string(w.finish(true, false).text());
  std::vector<std::string> seeds{i, std::string(1, '\0') + std::string(w.finish(false, true).text())};
  BytesBuilder out;
  MessageFrame m{"A", "deliver.1", "orders.new", "r.1", true, {"q1", "q2"}, 12, "NATS/1.0\r\n\r\nbody"};
  encode_message_head(out, m);
  seeds.push_back("\x01" + std::string(out.text()) + std::string(m.body));
  out.clear();
  m = {"A", "x", "x", "", true, {}, 0, "body"};
  encode_message_head(out, m);
  seeds.push_back("\x01" + std::string(out.text()) + std::string(m.body));
  return seeds;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 1) return 0;
  Bytes frame = fuzz::own(ByteSpan(data + 1, size - 1));
  (data[0] & 1) == 0 ? interest(frame) : message(frame);
  return 0;
}
