#include "broker/platform/tls_context.h"

#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <ctime>

#include "broker/base/text.h"
#include "broker/platform/system.h"

namespace weir::platform {
namespace {

constexpr std::size_t kFileBytesMax = 4u << 20;
using BioPtr = std::unique_ptr<BIO, TlsFree<BIO_free_all>>;

Error wrong_file(const env::TlsFile& file, const std::string& text) {
  return Error(Code::kInvalid, (file.at.empty() ? "" : file.at + ": ") + text);
}

// The reason of the first error that OpenSSL noted; forgets all of them.
std::string openssl_reason() {
  unsigned long e = ERR_peek_error();
  ERR_clear_error();
  const char* text = ERR_reason_error_string(e);
  return text ? text : "unknown error";
}

// Errors are about `file`; `what` says what it is for ("cert_file").
Result<std::string> read_file(const env::TlsFile& file, const std::string& what) {
  auto fail = [&](const std::string& why) {
    return wrong_file(file, what + ": open " + file.path + ": " + why);
  };
  int fd = ::open(file.path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) return fail(errno_text(errno));
  std::string text;
  char part[8192];
  ssize_t n = 1;
  while (n > 0 && text.size() <= kFileBytesMax) {
    n = ::read(fd, part, sizeof part);
    if (n > 0) text.append(part, static_cast<std::size_t>(n));
    if (n < 0 && errno == EINTR) n = 1;
  }
  int error = n < 0 ? errno : 0;
  ::close(fd);
  if (error != 0) return fail(errno_text(error));
  if (text.size() > kFileBytesMax) return fail("it is too large to hold certificates or keys");
  return text;
}

Result<std::vector<X509Ptr>> read_certificates(const env::TlsFile& file, const std::string& what) {
  ASSIGN_OR_RETURN(std::string text, read_file(file, what));
  BioPtr bio(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
  std::vector<X509Ptr> all;
  ERR_clear_error();
  while (X509* cert = PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr)) all.emplace_back(cert);
  bool at_end = ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
  std::string reason = openssl_reason();
  if (!at_end) return wrong_file(file, what + ": " + file.path + " has a damaged certificate: " + reason);
  if (all.empty()) return wrong_file(file, what + ": " + file.path + " has no PEM certificate in it");
  return all;
}

// Without it OpenSSL would ask the terminal.
int no_passphrase(char*, int, int, void* asked) {
  *static_cast<bool*>(asked) = true;
  return -1;
}

Result<KeyPtr> read_key(const env::TlsFile& file) {
  ASSIGN_OR_RETURN(std::string text, read_file(file, "key_file"));
  BioPtr bio(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
  bool asked = false;
  ERR_clear_error();
  KeyPtr key(PEM_read_bio_PrivateKey(bio.get(), nullptr, no_passphrase, &asked));
  bool none = text.find("PRIVATE KEY-----") == std::string::npos;
  std::string reason = openssl_reason();
  OPENSSL_cleanse(text.data(), text.size());
  if (key) return key;
  std::string why = asked  ? " is encrypted; a key without a passphrase is needed"
                    : none ? " has no PEM private key in it"
                           : " has a damaged private key: " + reason;
  return wrong_file(file, "key_file: " + file.path + why);
}

void free_list(STACK_OF(X509) * list) {  // not what it lists
  sk_X509_free(list);
}

std::optional<Wall> expiry(const X509* cert) {
  std::tm t{};
  if (ASN1_TIME_to_tm(X509_get0_notAfter(cert), &t) != 1) return std::nullopt;
  return Wall{static_cast<std::int64_t>(::timegm(&t)) * kSecond};
}

std::string names_of(X509* cert) {
  auto* names = static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(cert, NID_subject_alt_name, nullptr, nullptr));
  std::string out;
  for (int i = 0; i < sk_GENERAL_NAME_num(names); ++i) {
    const GENERAL_NAME* name = sk_GENERAL_NAME_value(names, i);
    BioPtr text(BIO_new(BIO_s_mem()));
    GENERAL_NAME_print(text.get(), const_cast<GENERAL_NAME*>(name));
    char* data = nullptr;
    long size = BIO_get_mem_data(text.get(), &data);
    out += (out.empty() ? "" : ", ") + std::string(data, static_cast<std::size_t>(std::max(size, 0L)));
  }
  GENERAL_NAMES_free(names);
  return out.empty() ? "no name" : out;
}

// As in Go: a first label that is "*" stands for one label, whatever follows. (X509_check_host() wants two
// labels behind it, which the names of pods do not have, and takes "n*.example" too.)
bool name_matches(std::string_view pattern, std::string_view host) {
  if (pattern.substr(0, 2) == "*.") {
    auto dot = host.find('.');
    if (dot == std::string_view::npos || dot == 0) return false;
    pattern.remove_prefix(1);
    host.remove_prefix(dot);
  }
  return !pattern.empty() && to_lower(pattern) == to_lower(host);
}

bool is_for(X509* cert, const std::string& host) {
  int ip = X509_check_ip_asc(cert, host.c_str(), 0);
  if (ip != -2) return ip == 1;  // -2: not an address
  std::string_view name = host;
  if (!name.empty() && name.back() == '.') name.remove_suffix(1);
  auto* names = static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(cert, NID_subject_alt_name, nullptr, nullptr));
  bool found = false;
  for (int i = 0; i < sk_GENERAL_NAME_num(names) && !found; ++i) {
    const GENERAL_NAME* n = sk_GENERAL_NAME_value(names, i);
    if (n->type != GEN_DNS) continue;
    const ASN1_STRING* s = n->d.dNSName;
    std::string_view pattern(reinterpret_cast<const char*>(ASN1_STRING_get0_data(s)),
                             static_cast<std::size_t>(std::max(ASN1_STRING_length(s), 0)));
    found = name_matches(pattern, name);
  }
  GENERAL_NAMES_free(names);
  return found;
}

std::string spki_hash(X509* cert) {
  unsigned char* der = nullptr;
  int size = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(cert), &der);
  unsigned char hash[EVP_MAX_MD_SIZE];
  unsigned int hash_size = 0;
  if (size > 0) EVP_Digest(der, static_cast<std::size_t>(size), hash, &hash_size, EVP_sha256(), nullptr);
  OPENSSL_free(der);
  std::string hex;
  for (unsigned int i = 0; i < hash_size; ++i) {
    hex += "0123456789abcdef"[hash[i] >> 4];
    hex += "0123456789abcdef"[hash[i] & 15];
  }
  return hex;
}

std::string joined(const std::vector<std::string>& list, const char* between) {
  std::string out;
  for (const auto& item : list) out += (out.empty() ? "" : between) + item;
  return out;
}

}  // namespace

std::string subject_of(const X509* cert) {
  BioPtr text(BIO_new(BIO_s_mem()));
  X509_NAME_print_ex(text.get(), X509_get_subject_name(cert), 0, XN_FLAG_RFC2253 & ~ASN1_STRFLGS_ESC_MSB);
  char* data = nullptr;
  long size = BIO_get_mem_data(text.get(), &data);
  return std::string(data, static_cast<std::size_t>(std::max(size, 0L)));
}

Result<std::shared_ptr<const OpenSslContext>> OpenSslContext::open(const env::TlsSettings& settings) {
  std::shared_ptr<OpenSslContext> context(new OpenSslContext(settings));
  RETURN_IF_ERROR(context->load());
  return std::shared_ptr<const OpenSslContext>(std::move(context));
}

Error OpenSslContext::wrong(const std::string& text) const {
  return Error(Code::kInvalid, (settings_.at.empty() ? "" : settings_.at + ": ") + text);
}

Status OpenSslContext::load() {
  ctx_.reset(SSL_CTX_new(TLS_method()));
  if (!ctx_) return wrong("OpenSSL does not start: " + openssl_reason());
  SSL_CTX* c = ctx_.get();
  SSL_CTX_set_min_proto_version(c, settings_.v13_only ? TLS1_3_VERSION : TLS1_2_VERSION);
  SSL_CTX_set_options(c, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_TICKET);
  SSL_CTX_set_mode(c, SSL_MODE_RELEASE_BUFFERS);
  SSL_CTX_set_session_cache_mode(c, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_num_tickets(c, 0);
  SSL_CTX_set_cert_verify_callback(c, &OpenSslContext::verify, nullptr);
  RETURN_IF_ERROR(set_ciphers());
  RETURN_IF_ERROR(load_authorities());
  for (const auto& [cert, key] : settings_.certs) RETURN_IF_ERROR(load_pair(cert, key));
  // OpenSSL keeps one pair per kind of key, the last one: the first of the list shall win.
  for (std::size_t i = pairs_.size(); i-- > 0;) RETURN_IF_ERROR(use(pairs_[i], settings_.certs[i].first));
  if (pairs_.size() > 1) SSL_CTX_set_cert_cb(c, &OpenSslContext::choose, this);
  return ok();
}

Status OpenSslContext::load_pair(const env::TlsFile& cert, const env::TlsFile& key) {
  if (cert.path.empty() || key.path.empty()) return wrong("tls: cert_file and key_file belong together");
  Pair pair;
  ASSIGN_OR_RETURN(pair.chain, read_certificates(cert, "cert_file"));
  ASSIGN_OR_RETURN(pair.key, read_key(key));
  const X509* leaf = pair.chain.front().get();
  if (X509_check_private_key(leaf, pair.key.get()) != 1) {
    ERR_clear_error();
    return wrong_file(key, "key_file: " + key.path + " is not the key of the certificate in " + cert.path);
  }
  auto end = expiry(leaf);
  if (end && (!not_after_ || *end < *not_after_)) not_after_ = end;
  pairs_.push_back(std::move(pair));
  return ok();
}

Status OpenSslContext::use(const Pair& pair, const env::TlsFile& cert) {
  std::unique_ptr<STACK_OF(X509), TlsFree<free_list>> rest(sk_X509_new_null());
  for (std::size_t i = 1; i < pair.chain.size(); ++i) sk_X509_push(rest.get(), pair.chain[i].get());
  ERR_clear_error();
  if (SSL_CTX_use_cert_and_key(ctx_.get(), pair.chain.front().get(), pair.key.get(), rest.get(), 1) == 1) {
    return ok();
  }
  return wrong_file(cert, "cert_file: " + cert.path + " cannot be used: " + openssl_reason());
}

Status OpenSslContext::load_authorities() {
  SSL_CTX* c = ctx_.get();
  if (settings_.ca.path.empty()) {
    SSL_CTX_set_default_verify_paths(c);
    ERR_clear_error();
    return ok();
  }
  ASSIGN_OR_RETURN(auto all, read_certificates(settings_.ca, "ca_file"));
  X509_STORE* store = SSL_CTX_get_cert_store(c);
  X509_STORE_set_flags(store, X509_V_FLAG_PARTIAL_CHAIN);
  for (const auto& cert : all) {
    if (X509_STORE_add_cert(store, cert.get()) != 1 || SSL_CTX_add_client_CA(c, cert.get()) != 1) {
      return wrong_file(settings_.ca, "ca_file: " + settings_.ca.path + ": " + openssl_reason());
    }
  }
  return ok();
}

// TLS 1.3 has suites of its own: they stay as they are unless some of them are named.
Status OpenSslContext::set_ciphers() {
  std::vector<std::string> old, v13;
  for (const std::string& name : settings_.cipher_suites) {
    const char* own = OPENSSL_cipher_name(name.c_str());
    bool is_v13 = name.rfind("TLS_AES_", 0) == 0 || name.rfind("TLS_CHACHA20_", 0) == 0;
    if (!own || std::string_view(own) == "(NONE)")
      return wrong("cipher_suites: " + name + " is not in OpenSSL");
    is_v13 ? v13.push_back(name) : old.push_back(own);
  }
  ERR_clear_error();
  bool good = (v13.empty() || SSL_CTX_set_ciphersuites(ctx_.get(), joined(v13, ":").c_str()) == 1) &&
              (old.empty() || SSL_CTX_set_cipher_list(ctx_.get(), joined(old, ":").c_str()) == 1);
  if (!good) return wrong("cipher_suites: " + openssl_reason());
  std::string groups = joined(settings_.groups, ":");
  if (!groups.empty() && SSL_CTX_set1_groups_list(ctx_.get(), groups.c_str()) != 1) {
    ERR_clear_error();
    return wrong("curve_preferences: OpenSSL " OPENSSL_VERSION_STR " lacks one of " +
                 joined(settings_.groups, ", "));
  }
  return ok();
}

// A server with several certificates shows the first one that is for the name which the client asks for.
int OpenSslContext::choose(SSL* ssl, void* self) {
  const char* host = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
  if (!host || !SSL_is_server(ssl)) return 1;
  for (const Pair& pair : static_cast<OpenSslContext*>(self)->pairs_) {
    if (!is_for(pair.chain.front().get(), host)) continue;
    SSL_certs_clear(ssl);
    if (SSL_use_certificate(ssl, pair.chain.front().get()) != 1) return 0;
    for (std::size_t i = 1; i < pair.chain.size(); ++i) SSL_add1_chain_cert(ssl, pair.chain[i].get());
    return SSL_use_PrivateKey(ssl, pair.key.get());
  }
  return 1;
}

// The other side's chain, then its names and its key.
int OpenSslContext::verify(X509_STORE_CTX* store, void*) {
  auto* ssl = static_cast<SSL*>(X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx()));
  auto* check = static_cast<Check*>(SSL_get_app_data(ssl));
  const env::TlsSettings& rules = check->context->settings_;
  X509* leaf = X509_STORE_CTX_get0_cert(store);
  bool chain =
      check->dialled ? rules.servers == env::TlsVerify::kNeeded : rules.clients != env::TlsVerify::kNone;
  auto refuse = [&](int error, const std::string& why, const X509* cert) {
    X509_STORE_CTX_set_error(store, error);
    check->why = "the certificate of " + subject_of(cert) + " is not accepted: " + why;
    return 0;
  };
  if (chain && X509_verify_cert(store) != 1) {
    int error = X509_STORE_CTX_get_error(store);
    const X509* cert = X509_STORE_CTX_get_current_cert(store);
    return refuse(error, X509_verify_cert_error_string(error), cert ? cert : leaf);
  }
  if (chain && !check->hosts.empty() &&
      std::none_of(check->hosts.begin(), check->hosts.end(),
                   [&](auto& host) { return is_for(leaf, host); })) {
    return refuse(X509_V_ERR_HOSTNAME_MISMATCH,
                  "it is for " + names_of(leaf) + ", not for " + joined(check->hosts, " or "), leaf);
  }
  const auto& pins = rules.pinned;
  if (!pins.empty() && std::find(pins.begin(), pins.end(), spki_hash(leaf)) == pins.end()) {
    return refuse(X509_V_ERR_APPLICATION_VERIFICATION, "its key is not one of pinned_certs", leaf);
  }
  X509_STORE_CTX_set_error(store, X509_V_OK);
  return 1;
}

}  // namespace weir::platform
