// tls {} of every listener.
#include "broker/base/text.h"
#include "broker/config/options_builder.h"

namespace weir::config {
namespace {

using Tls = TlsConfig;

struct CertPair {
  std::string cert;
  std::string key;
};
constexpr Key<CertPair> kCertKeys[] = {
    {"cert_file", text<&CertPair::cert>},
    {"key_file", text<&CertPair::key>},
};

// cert_file and key_file fill one pair, which stands first.
std::pair<std::string, std::string>& first_pair(Tls& tls) {
  if (tls.certs.empty()) tls.certs.emplace_back();
  return tls.certs.front();
}
void cert_file(Builder& b, const Member& m, Tls& tls) {
  b.text(m, first_pair(tls).first);
}
void key_file(Builder& b, const Member& m, Tls& tls) {
  b.text(m, first_pair(tls).second);
}

void certs(Builder& b, const Member& m, Tls& tls) {
  if (!b.want(m, Value::Kind::kArray)) return;
  b.enter_list();
  for (const Value& item : m.value.items) {
    CertPair pair;
    b.block<CertPair>(Member{m.key, item.at, item, false}, kCertKeys, pair);
    if (pair.cert.empty() || pair.key.empty()) {
      b.error(item.at, "a certificate needs both cert_file and key_file");
    }
    tls.certs.emplace_back(std::move(pair.cert), std::move(pair.key));
  }
  b.leave_list();
}

void handshake_first(Builder& b, const Member& m, Tls& tls) {
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

void min_version(Builder& b, const Member& m, Tls& tls) {
  std::string version;
  if (!b.text(m, version)) return;
  if (version != "1.2" && version != "1.3") {
    b.error(m.value.at, "unsupported TLS version \"" + version + "\", must be \"1.2\" or \"1.3\"");
    return;
  }
  tls.min_version = std::move(version);
}

void pinned_certs(Builder& b, const Member& m, Tls& tls) {
  std::vector<std::string> pins;
  if (!b.text_list(m, pins)) return;
  for (std::string& pin : pins) {
    pin = to_lower(pin);
    if (pin.size() != 64 || pin.find_first_not_of("0123456789abcdef") != std::string::npos) {
      b.error(m.value.at, "\"pinned_certs\" takes SHA-256 hashes as 64 hexadecimal digits");
      return;
    }
  }
  tls.pinned_certs = std::move(pins);
}

constexpr Key<Tls> kTlsKeys[] = {
    {"cert_file", cert_file},
    {"key_file", key_file},
    {"ca_file", text<&Tls::ca_file>},
    {"certs|certificates", certs},
    {"verify", flag<&Tls::verify>},
    {"verify_and_map", flag<&Tls::verify_and_map>},
    {"verify_cert_and_check_known_urls", flag<&Tls::verify_cert_and_check_known_urls>},
    {"insecure", flag<&Tls::insecure>},
    {"cipher_suites", texts<&Tls::cipher_suites>},
    {"allow_insecure_cipher_suites", flag<&Tls::allow_insecure_cipher_suites>},
    {"curve_preferences", texts<&Tls::curve_preferences>},
    {"timeout", timeout<&Tls::timeout>},
    {"connection_rate_limit", number<&Tls::connection_rate_limit>},
    {"pinned_certs", pinned_certs},
    {"min_version", min_version},
    {"handshake_first|first|immediate", handshake_first},
    needs<Tls>(Feature::kOcsp, "ocsp_peer", check_ocsp_peer),
    needs<Tls>(Feature::kWindowsCertStore, "cert_store", any_text<Tls>),
    needs<Tls>(Feature::kWindowsCertStore, "cert_match_by", any_text<Tls>),
    needs<Tls>(Feature::kWindowsCertStore, "cert_match", any_text<Tls>),
    needs<Tls>(Feature::kWindowsCertStore, "ca_certs_match"),
    needs<Tls>(Feature::kWindowsCertStore, "cert_match_skip_invalid", any_bool<Tls>),
};

}  // namespace

void read_tls(Builder& b, const Member& m, TlsConfig& out) {
  TlsConfig tls;
  tls.present = true;
  tls.at = m.at;
  b.block<Tls>(m, kTlsKeys, tls);
  out = std::move(tls);
}

}  // namespace weir::config
