// tls {} of every listener.
#include <algorithm>
#include <iterator>

#include "broker/base/text.h"
#include "broker/config/options_builder.h"

namespace weir::config {
namespace {

using Tls = TlsConfig;

struct Suite {
  std::string_view name;
  bool insecure;  // by the judgement of Go's crypto/tls, which nats-server follows
};
constexpr Suite kSuites[] = {
    {"TLS_AES_128_GCM_SHA256", false},
    {"TLS_AES_256_GCM_SHA384", false},
    {"TLS_CHACHA20_POLY1305_SHA256", false},
    {"TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA", false},
    {"TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA", false},
    {"TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", false},
    {"TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", false},
    {"TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256", false},
    {"TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA", false},
    {"TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA", false},
    {"TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", false},
    {"TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384", false},
    {"TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256", false},
    {"TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256", true},
    {"TLS_ECDHE_ECDSA_WITH_RC4_128_SHA", true},
    {"TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256", true},
    {"TLS_ECDHE_RSA_WITH_3DES_EDE_CBC_SHA", true},
    {"TLS_ECDHE_RSA_WITH_RC4_128_SHA", true},
    {"TLS_RSA_WITH_AES_128_CBC_SHA", true},
    {"TLS_RSA_WITH_AES_256_CBC_SHA", true},
    {"TLS_RSA_WITH_AES_128_CBC_SHA256", true},
    {"TLS_RSA_WITH_AES_128_GCM_SHA256", true},
    {"TLS_RSA_WITH_AES_256_GCM_SHA384", true},
    {"TLS_RSA_WITH_3DES_EDE_CBC_SHA", true},
    {"TLS_RSA_WITH_RC4_128_SHA", true},
};
constexpr std::string_view kCurves[] = {"CurveP256", "CurveP384", "CurveP521", "X25519", "X25519MLKEM768"};

constexpr Key<TlsCertConfig> kCertKeys[] = {
    {"cert_file",
     [](Builder& b, const Member& m, TlsCertConfig& c) {
       b.text(m, c.cert_file);
       c.cert_at = m.value.at;
     }},
    {"key_file",
     [](Builder& b, const Member& m, TlsCertConfig& c) {
       b.text(m, c.key_file);
       c.key_at = m.value.at;
     }},
};

// A block as it is read: what stands beside each other is put together, and checked, at its end.
struct Reading {
  Tls tls;
  TlsCertConfig own;  // cert_file and key_file of the block itself
  Position certs_at;
  Position suites_at;
};

void cert_file(Builder& b, const Member& m, Reading& r) {
  kCertKeys[0].read(b, m, r.own);
}
void key_file(Builder& b, const Member& m, Reading& r) {
  kCertKeys[1].read(b, m, r.own);
}
void ca_file(Builder& b, const Member& m, Reading& r) {
  b.text(m, r.tls.ca_file);
  r.tls.ca_at = m.value.at;
}

void certs(Builder& b, const Member& m, Reading& r) {
  if (!b.want(m, Value::Kind::kArray)) return;
  r.certs_at = m.at;
  r.tls.certs.clear();
  b.enter_list();
  for (const Value& item : m.value.items) {
    TlsCertConfig pair;
    b.block<TlsCertConfig>(Member{m.key, item.at, item, false}, kCertKeys, pair);
    if (pair.cert_file.empty() || pair.key_file.empty()) {
      b.error(item.at, "a certificate needs both cert_file and key_file");
    }
    r.tls.certs.push_back(std::move(pair));
  }
  b.leave_list();
}

void cipher_suites(Builder& b, const Member& m, Reading& r) {
  std::vector<std::string> names;
  if (!b.text_list(m, names)) return;
  for (const std::string& name : names) {
    if (std::none_of(std::begin(kSuites), std::end(kSuites), [&](auto& s) { return s.name == name; })) {
      return b.error(m.value.at, "unrecognized cipher " + name);
    }
  }
  r.tls.cipher_suites = std::move(names);
  r.suites_at = m.value.at;
}

void curve_preferences(Builder& b, const Member& m, Reading& r) {
  std::vector<std::string> names;
  if (!b.text_list(m, names)) return;
  for (const std::string& name : names) {
    if (std::find(std::begin(kCurves), std::end(kCurves), name) == std::end(kCurves)) {
      return b.error(m.value.at, "unrecognized curve preference " + name);
    }
  }
  r.tls.curve_preferences = std::move(names);
}

void handshake_first(Builder& b, const Member& m, Reading& r) {
  Tls& tls = r.tls;
  if (m.value.is(Value::Kind::kBool)) {
    tls.handshake_first = m.value.boolean;
    return;
  }
  std::string word;
  if (!b.text(m, word)) return;
  Nanos wait = 50 * kMillisecond;
  if (to_lower(word) != "auto" && !b.duration(m, wait)) return;
  tls.handshake_first = true;
  tls.handshake_first_fallback = wait;
}

void min_version(Builder& b, const Member& m, Reading& r) {
  std::string version;
  if (!b.text(m, version)) return;
  if (version != "1.2" && version != "1.3") {
    b.error(m.value.at, "unsupported TLS version \"" + version + "\", must be \"1.2\" or \"1.3\"");
    return;
  }
  r.tls.min_version = std::move(version);
}

void pinned_certs(Builder& b, const Member& m, Reading& r) {
  std::vector<std::string> pins;
  if (!b.text_list(m, pins)) return;
  for (std::string& pin : pins) {
    pin = to_lower(pin);
    if (pin.size() != 64 || pin.find_first_not_of("0123456789abcdef") != std::string::npos) {
      b.error(m.value.at, "\"pinned_certs\" takes SHA-256 hashes as 64 hexadecimal digits");
      return;
    }
  }
  r.tls.pinned_certs = std::move(pins);
}

// Readers of plain fields of the block.
template <void (*Read)(Builder&, const Member&, Tls&)>
void of(Builder& b, const Member& m, Reading& r) {
  Read(b, m, r.tls);
}
void ocsp_peer(Builder& b, const Member& m, Reading& r) {
  check_ocsp_peer(b, m, r.tls);
}

constexpr Key<Reading> kTlsKeys[] = {
    {"cert_file", cert_file},
    {"key_file", key_file},
    {"ca_file", ca_file},
    {"certs|certificates", certs},
    {"verify", of<flag<&Tls::verify>>},
    {"verify_and_map", of<flag<&Tls::verify_and_map>>},
    {"verify_cert_and_check_known_urls", of<flag<&Tls::verify_cert_and_check_known_urls>>},
    {"insecure", of<flag<&Tls::insecure>>},
    {"cipher_suites", cipher_suites},
    {"allow_insecure_cipher_suites", of<flag<&Tls::allow_insecure_cipher_suites>>},
    {"curve_preferences", curve_preferences},
    {"timeout", of<timeout<&Tls::timeout>>},
    {"connection_rate_limit", of<number<&Tls::connection_rate_limit>>},
    {"pinned_certs", pinned_certs},
    {"min_version", min_version},
    {"handshake_first|first|immediate", handshake_first},
    needs<Reading>(Feature::kOcsp, "ocsp_peer", ocsp_peer),
    needs<Reading>(Feature::kWindowsCertStore, "cert_store", any_text<Reading>),
    needs<Reading>(Feature::kWindowsCertStore, "cert_match_by", any_text<Reading>),
    needs<Reading>(Feature::kWindowsCertStore, "cert_match", any_text<Reading>),
    needs<Reading>(Feature::kWindowsCertStore, "ca_certs_match"),
    needs<Reading>(Feature::kWindowsCertStore, "cert_match_skip_invalid", any_bool<Reading>),
};

void check_suites(Builder& b, const Reading& r) {
  if (r.tls.allow_insecure_cipher_suites) return;
  for (const std::string& name : r.tls.cipher_suites) {
    auto suite =
        std::find_if(std::begin(kSuites), std::end(kSuites), [&](auto& s) { return s.name == name; });
    if (!suite->insecure) continue;
    b.error(r.suites_at, "cipher " + name + " is insecure and needs \"allow_insecure_cipher_suites\"");
    return;
  }
}

}  // namespace

void read_tls(Builder& b, const Member& m, TlsConfig& out) {
  Reading r;
  r.tls.present = true;
  r.tls.at = m.at;
  b.block<Reading>(m, kTlsKeys, r);
  bool own = r.own.cert_at.known() || r.own.key_at.known();
  if (own && r.certs_at.known()) b.error(r.certs_at, "cannot combine 'cert_file' option with 'certs' option");
  if (own) r.tls.certs.insert(r.tls.certs.begin(), std::move(r.own));
  check_suites(b, r);
  r.tls.verify = r.tls.verify || r.tls.verify_and_map || r.tls.verify_cert_and_check_known_urls;
  out = std::move(r.tls);
}

}  // namespace weir::config
