#include "broker/proto/ack_subject.h"

#include "broker/base/text.h"

namespace weir::proto {
namespace {

constexpr std::size_t kTokensV1 = 7;     // after the prefix
constexpr std::size_t kTokensV2 = 9;     // after the prefix, at least
constexpr std::size_t kTokensMax = 32;   // more are no ack subject of ours
constexpr std::size_t kNumbersFrom = 2;  // stream, consumer, then five numbers

struct Tokens {
  std::string_view at[kTokensMax];
  std::size_t count = 0;
};

/// False on an empty token or too many of them.
bool split(std::string_view s, Tokens& tokens) {
  while (true) {
    std::size_t dot = s.find('.');
    std::string_view token = s.substr(0, dot);
    if (token.empty() || tokens.count == kTokensMax) return false;
    tokens.at[tokens.count++] = token;
    if (dot == std::string_view::npos) return true;
    s.remove_prefix(dot + 1);
  }
}

}  // namespace

void append_ack_subject(std::string& out, const AckSubject& ack) {
  out += kAckPrefix;
  if (!ack.account_hash.empty()) {
    out += ack.domain.empty() ? std::string_view("_") : ack.domain;
    out += '.';
    out += ack.account_hash;
    out += '.';
  }
  out += ack.stream;
  out += '.';
  out += ack.consumer;
  for (std::uint64_t v : {ack.deliveries, ack.stream_seq.v, ack.consumer_seq.v}) {
    out += '.';
    append_u64_text(out, v);
  }
  out += '.';
  if (ack.time.ns < 0) out += '-';
  auto ns = static_cast<std::uint64_t>(ack.time.ns);
  append_u64_text(out, ack.time.ns < 0 ? 0 - ns : ns);
  out += '.';
  append_u64_text(out, ack.pending);
}

std::string format_ack_subject(const AckSubject& ack) {
  std::string out;
  append_ack_subject(out, ack);
  return out;
}

std::optional<AckSubject> parse_ack_subject(std::string_view subject) {
  if (!subject.starts_with(kAckPrefix)) return std::nullopt;
  Tokens tokens;
  if (!split(subject.substr(kAckPrefix.size()), tokens)) return std::nullopt;
  AckSubject ack;
  const std::string_view* t = tokens.at;
  if (tokens.count >= kTokensV2) {
    if (t[0] != "_") ack.domain = t[0];
    ack.account_hash = t[1];
    t += kTokensV2 - kTokensV1;
  } else if (tokens.count != kTokensV1) {
    return std::nullopt;
  }
  ack.stream = t[0];
  ack.consumer = t[1];
  auto deliveries = parse_u64(t[kNumbersFrom]), stream_seq = parse_u64(t[kNumbersFrom + 1]);
  auto consumer_seq = parse_u64(t[kNumbersFrom + 2]), pending = parse_u64(t[kNumbersFrom + 4]);
  auto time = parse_i64(t[kNumbersFrom + 3]);
  if (!deliveries || !stream_seq || !consumer_seq || !time || !pending) return std::nullopt;
  ack.deliveries = *deliveries;
  ack.stream_seq = StreamSeq(*stream_seq);
  ack.consumer_seq = ConsumerSeq(*consumer_seq);
  ack.time = Wall{*time};
  ack.pending = *pending;
  return ack;
}

}  // namespace weir::proto
