// How a client's connection turns to TLS: before INFO (handshake_first), after it, or as its first byte says.
#include "broker/base/text.h"
#include "broker/cluster/tls_settings.h"
#include "broker/server/client_connection.h"

namespace weir::server {
namespace {

constexpr std::uint8_t kTlsHandshake = 0x16;  // first byte of a TLS connection; no client's verb begins so
constexpr Nanos kExpiryWarning = 7 * 24 * kHour;
constexpr Nanos kLogAgainAfter = kMinute;
constexpr std::size_t kReasonsMax = 1'000;

}  // namespace

Status Clients::open_tls() {
  if (!options_.tls.present) return ok();
  ASSIGN_OR_RETURN(tls_, env_.transport.tls(cluster::tls_settings(options_.tls)));
  Nanos left = tls_->not_after() ? *tls_->not_after() - env_.clock.wall() : kExpiryWarning;
  if (left < kExpiryWarning) {
    env_.log.warn(std::string("The certificate for clients ") + (left <= 0 ? "expired at " : "expires at ") +
                  format_time(*tls_->not_after()));
  }
  return ok();
}

// connection_rate_limit: a handshake costs far more than an accept.
bool Clients::within_rate() {
  if (options_.tls.connection_rate_limit <= 0) return true;
  Mono now = env_.clock.now();
  if (now - rate_since_ >= kSecond) {
    rate_since_ = now;
    rate_used_ = 0;
  }
  return ++rate_used_ <= options_.tls.connection_rate_limit;
}

// Before the connection is started.
void Clients::open_secure(Connection& c) {
  const config::TlsConfig& tls = options_.tls;
  if (tls.handshake_first && tls.handshake_first_fallback > 0) {
    c.opening = Connection::Opening::kFirst;
    c.opening_timer = env_.loop.at(env_.clock.now() + tls.handshake_first_fallback,
                                   [this, id = c.session.id()] { wait_is_over(id); });
  } else if (tls.handshake_first) {
    c.tls_first = true;
    start_tls(c, {});
    greet(c);
  } else if (options_.allow_non_tls) {
    c.opening = Connection::Opening::kEither;
    greet(c);
  } else {
    greet_then_tls(c, {});
  }
}

void Clients::start_tls(Connection& c, Bytes first) {
  env::TlsStart how;
  how.context = tls_;
  how.timeout = options_.tls.timeout;
  how.first = std::move(first);
  c.io->start_tls(std::move(how));
}

// INFO leaves plain: what is written after start_tls() waits for the handshake.
void Clients::greet_then_tls(Connection& c, Bytes first) {
  greet(c);
  send_out(c);
  start_tls(c, std::move(first));
}

// The first bytes of a connection that may be one or the other. True: they are the session's.
bool Clients::opening_data(Connection& c, ByteSpan bytes) {
  auto opening = std::exchange(c.opening, Connection::Opening::kDone);
  env_.loop.cancel(std::exchange(c.opening_timer, 0));
  bool hello = bytes.front() == kTlsHandshake;
  if (opening == Connection::Opening::kEither) {
    if (hello) start_tls(c, Bytes::copy_of(bytes));
    return !hello;
  }
  if (hello) {
    c.tls_first = true;
    start_tls(c, Bytes::copy_of(bytes));
    greet(c);
    return false;
  }
  if (options_.allow_non_tls) {
    greet(c);
    return true;
  }
  greet_then_tls(c, Bytes::copy_of(bytes));  // which ends in "does not speak TLS"
  return false;
}

// Nobody spoke first: INFO, then TLS, as without handshake_first.
void Clients::wait_is_over(ClientId id) {
  auto it = open_.find(id);
  if (it == open_.end()) return;
  Connection& c = *it->second;
  c.opening_timer = 0;
  if (options_.allow_non_tls) {
    c.opening = Connection::Opening::kEither;
    return greet(c);
  }
  c.opening = Connection::Opening::kDone;
  greet_then_tls(c, {});
}

auth::CertificateNames Clients::certificate_names(const Connection& c) const {
  auth::CertificateNames names;
  auto tls = c.io->tls();
  if (!tls || !tls->has_peer_certificate) return names;
  for (auto* list : {&tls->peer_emails, &tls->peer_names, &tls->peer_uris}) {
    names.alternatives.insert(names.alternatives.end(), list->begin(), list->end());
  }
  names.subject = tls->peer_subject;
  return names;
}

// Once a minute per address and reason: who knocks in vain for hours must not fill the log.
void Clients::log_handshake(const Connection& c, const std::string& why) {
  Mono now = env_.clock.now();
  if (handshakes_logged_.size() >= kReasonsMax) handshakes_logged_.clear();
  env::Endpoint remote = c.io->remote();
  auto [it, fresh] = handshakes_logged_.emplace(remote.host + " " + why, now);
  if (!fresh && now - it->second < kLogAgainAfter) return;
  it->second = now;
  env_.log.error(env::to_string(remote) + " - cid:" + std::to_string(c.session.id().v) +
                 " - TLS handshake error: " + why);
}

}  // namespace weir::server
