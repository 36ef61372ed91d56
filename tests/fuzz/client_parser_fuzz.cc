// tests/fuzz/client_parser_fuzz.cc - any chunking of client bytes gives the same events and error.
//
// The first byte of the input seeds the cuts, the rest is what the client sends. Header blocks and
// ack subjects that come out are read too: no read outside of them, and what is parsed formats back.

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "broker/base/prng.h"
#include "broker/proto/ack_subject.h"
#include "broker/proto/client_parser.h"
#include "broker/proto/headers.h"

namespace {

using namespace weir;         // NOLINT: a program of one file
using namespace weir::proto;  // NOLINT

constexpr ClientParser::Limits kLimits{48, 64};

void require(bool condition, const char* what) {
  if (condition) return;
  std::fprintf(stderr, "violated: %s\n", what);
  std::abort();
}

void read_headers(std::string_view block) {
  HeaderView view(block);
  HeaderBuilder copy;
  std::string first_key;
  view.for_each([&](const HeaderField& field) {
    require(!field.key.empty(), "a key is never empty");
    if (first_key.empty()) first_key = std::string(field.key);
  });
  if (!first_key.empty()) require(view.has(first_key), "an iterated key is found");
  (void)view.status();
  (void)view.status_text();
  (void)view.well_formed();
  copy.add_all(view);
  require(HeaderView(copy.take()).well_formed(), "a built block is well-formed");
}

void read_ack_subject(std::string_view subject) {
  auto ack = parse_ack_subject(subject);
  if (!ack) return;
  std::string text = format_ack_subject(*ack);  // outlives the views of `again`
  auto again = parse_ack_subject(text);
  require(again && again->stream == ack->stream && again->stream_seq == ack->stream_seq &&
              again->time == ack->time && again->pending == ack->pending,
          "an ack subject survives formatting");
}

class Recorder : public ClientEvents {
 public:
  std::string log;

  bool on_connect(std::string_view json) override { return add('C', json); }
  bool on_publish(const PublishView& m) override {
    require(m.headers.size() + m.payload.size() == m.body.size(), "body is headers and payload");
    require(m.body.size() <= kLimits.max_payload, "max_payload");
    if (m.held) require(m.held->text() == m.body, "the held slice is the body");
    if (!m.headers.empty()) read_headers(m.headers);
    read_headers(m.payload);
    read_ack_subject(m.subject);
    read_ack_subject(m.payload);
    return add('P', m.subject) && add('r', m.reply) && add('h', m.headers) &&
           add(m.with_headers ? 'H' : 'p', m.payload);
  }
  bool on_subscribe(std::string_view s, std::string_view q, std::string_view sid) override {
    return add('S', s) && add('q', q) && add('i', sid);
  }
  bool on_unsubscribe(std::string_view sid, std::uint64_t max) override {
    return add('U', sid) && add('m', std::to_string(max));
  }
  bool on_ping() override { return add('G', ""); }
  bool on_pong() override { return add('O', ""); }
  bool on_info(std::string_view s) override { return add('I', s); }
  bool on_ok() override { return add('K', ""); }
  bool on_err(std::string_view s) override { return add('E', s); }

 private:
  bool add(char kind, std::string_view text) {
    log += kind;
    log += std::to_string(text.size());
    log += ':';
    log += text;
    return true;
  }
};

/// Feeds `input` in pieces of random size (0 = whole), each copied to its own block so that the
/// sanitizer sees a view that outlives its piece.
std::string run(std::string_view input, std::uint64_t seed) {
  ClientParser parser(kLimits);
  Recorder events;
  Prng prng(seed);
  ClientParser::Fed fed;
  std::size_t at = 0;
  while (at < input.size() && fed.error == ParseError::kNone) {
    std::size_t left = input.size() - at;
    std::size_t n = seed == 0 ? left : prng.between(1, prng.chance(1, 2) ? 2 : left);
    if (n > left) n = left;
    std::vector<std::uint8_t> piece(input.data() + at, input.data() + at + n);
    fed = parser.feed(piece, events);
    require(fed.error != ParseError::kNone || fed.consumed == n, "everything is taken");
    require(parser.buffered_bytes() <= 48 + 10 + 64 + 2, "bounded memory");
    at += n;
  }
  return events.log + "/" + std::string(error_text(fed.error));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 1) return 0;
  std::string_view input(reinterpret_cast<const char*>(data) + 1, size - 1);
  std::string whole = run(input, 0);
  require(run(input, 1 + data[0]) == whole, "the split changes the events");
  require(run(input, 1000 + data[0]) == whole, "the split changes the events");
  read_headers(input);
  read_ack_subject(input);
  return 0;
}
