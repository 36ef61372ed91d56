#include "broker/jetstream/republish.h"

#include <utility>

#include "broker/base/text.h"

namespace weir::jetstream {
namespace {

void add(std::string& block, std::string_view name, std::string_view value) {
  block.append(name).append(": ").append(value).append("\r\n");
}

}  // namespace

Republisher::Republisher(std::optional<subject::Transform> transform, std::string stream, bool headers_only,
                         std::uint64_t seed)
    : transform_(std::move(transform)),
      stream_(std::move(stream)),
      headers_only_(headers_only),
      prng_(seed) {}

Result<Republisher> Republisher::make(const api::Republish& config, std::string stream, std::uint64_t seed) {
  if (config.dest.empty()) return Republisher(std::nullopt, std::move(stream), config.headers_only, seed);
  ASSIGN_OR_RETURN(auto transform, subject::Transform::parse(config.src, config.dest));
  return Republisher(std::move(transform), std::move(stream), config.headers_only, seed);
}

bool Republisher::apply(const store::Message& m, StreamSeq previous, Republished& out) {
  if (!transform_ || !transform_->apply(m.subject(), prng_, out.subject)) return false;
  std::string_view own = m.headers();
  constexpr std::string_view kEnd = "\r\n";  // the empty line
  if (own.size() > kEnd.size()) {
    out.headers = own.substr(0, own.size() - kEnd.size());
  } else {
    out.headers = "NATS/1.0\r\n";
  }
  add(out.headers, "Nats-Stream", stream_);
  add(out.headers, "Nats-Subject", m.subject());
  add(out.headers, "Nats-Sequence", std::to_string(m.seq.v));
  add(out.headers, "Nats-Time-Stamp", format_time(m.time));
  add(out.headers, "Nats-Last-Sequence", std::to_string(previous.v));
  if (headers_only_) add(out.headers, "Nats-Msg-Size", std::to_string(m.payload().size()));
  out.headers += kEnd;
  out.with_body = !headers_only_;
  return true;
}

}  // namespace weir::jetstream
