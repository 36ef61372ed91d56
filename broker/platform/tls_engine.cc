#include "broker/platform/tls_engine.h"

#include <openssl/err.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "broker/base/check.h"
#include "broker/platform/tls_context.h"

namespace weir::platform {
namespace {

constexpr std::uint8_t kHandshakeRecord = 0x16, kAlertRecord = 0x15;
constexpr std::size_t kWireKept = 1024;  // capacity that an idle connection keeps

std::string text_of(const ASN1_STRING* s) {
  std::string out(reinterpret_cast<const char*>(ASN1_STRING_get0_data(s)),
                  static_cast<std::size_t>(std::max(ASN1_STRING_length(s), 0)));
  return out.find('\0') == std::string::npos ? out : "";
}

void add_names(X509* cert, env::TlsState& state) {
  auto* names = static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(cert, NID_subject_alt_name, nullptr, nullptr));
  for (int i = 0; i < sk_GENERAL_NAME_num(names); ++i) {
    const GENERAL_NAME* name = sk_GENERAL_NAME_value(names, i);
    auto* list = name->type == GEN_EMAIL ? &state.peer_emails
                 : name->type == GEN_DNS ? &state.peer_names
                 : name->type == GEN_URI ? &state.peer_uris
                                         : nullptr;
    if (!list) continue;
    std::string text = text_of(name->d.ia5);
    if (!text.empty()) list->push_back(std::move(text));
  }
  GENERAL_NAMES_free(names);
}

bool is_address(const std::string& host) {
  ASN1_OCTET_STRING* ip = a2i_IPADDRESS(host.c_str());
  ASN1_OCTET_STRING_free(ip);
  ERR_clear_error();
  return ip != nullptr;
}

}  // namespace

Result<std::shared_ptr<env::TlsContext>> open_tls_context(const env::TlsSettings& settings) {
  ASSIGN_OR_RETURN(auto context, OpenSslContext::open(settings));
  return std::shared_ptr<env::TlsContext>(std::make_shared<TlsSlot>(std::move(context)));
}

Status renew_tls_contexts(const std::vector<std::shared_ptr<env::TlsContext>>& contexts) {
  std::vector<std::shared_ptr<const OpenSslContext>> next;
  for (const auto& slot : contexts) {
    ASSIGN_OR_RETURN(auto context, OpenSslContext::open(static_cast<TlsSlot&>(*slot).now()->settings()));
    next.push_back(std::move(context));
  }
  for (std::size_t i = 0; i < contexts.size(); ++i)
    static_cast<TlsSlot&>(*contexts[i]).renew(std::move(next[i]));
  return ok();
}

struct TlsEngine::Private {
  std::shared_ptr<const OpenSslContext> context;
  OpenSslContext::Check check;
  std::unique_ptr<SSL, TlsFree<SSL_free>> ssl;

  // The BIO below OpenSSL: reads the engine's input, writes its wire.
  static int bio_read(BIO* bio, char* out, int size) {
    auto* self = static_cast<TlsEngine*>(BIO_get_data(bio));
    BIO_clear_retry_flags(bio);
    std::size_t n = self->take_input({out, static_cast<std::size_t>(std::max(size, 0))});
    if (n > 0) return static_cast<int>(n);
    BIO_set_retry_read(bio);
    return -1;
  }
  static int bio_write(BIO* bio, const char* data, int size) {
    if (size <= 0) return 0;
    static_cast<TlsEngine*>(BIO_get_data(bio))->put(as_span({data, static_cast<std::size_t>(size)}));
    return size;
  }
  static long bio_ctrl(BIO*, int command, long, void*) { return command == BIO_CTRL_FLUSH ? 1 : 0; }

  static BIO_METHOD* method() {
    static BIO_METHOD* const made = [] {
      BIO_METHOD* m = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "weir connection");
      BIO_meth_set_read(m, bio_read);
      BIO_meth_set_write(m, bio_write);
      BIO_meth_set_ctrl(m, bio_ctrl);
      return m;
    }();
    return made;
  }
};

TlsEngine::TlsEngine(const env::TlsStart& how) : private_(std::make_unique<Private>()) {
  // Contexts of other transports do not come here: Transport::tls() of this one made it.
  private_->context = static_cast<const TlsSlot&>(*how.context).now();
  const OpenSslContext& context = *private_->context;
  const env::TlsSettings& rules = context.settings();
  private_->check = {&context, how.dialled, how.hosts, ""};
  private_->ssl.reset(SSL_new(context.get()));
  SSL* ssl = private_->ssl.get();
  BIO* bio = BIO_new(Private::method());
  CHECK(ssl && bio, "out of memory");
  BIO_set_data(bio, this);
  BIO_set_init(bio, 1);
  SSL_set_bio(ssl, bio, bio);
  SSL_set_app_data(ssl, &private_->check);
  if (how.dialled) {
    SSL_set_verify(ssl, SSL_VERIFY_PEER, nullptr);
    if (!how.hosts.empty() && !is_address(how.hosts.front())) {
      SSL_set_tlsext_host_name(ssl, how.hosts.front().c_str());
    }
    SSL_set_connect_state(ssl);
  } else {
    int mode = rules.clients == env::TlsVerify::kNone ? SSL_VERIFY_NONE : SSL_VERIFY_PEER;
    if (rules.clients == env::TlsVerify::kNeeded || !rules.pinned.empty()) {
      mode = SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT;
    }
    SSL_set_verify(ssl, mode, nullptr);
    SSL_set_accept_state(ssl);
  }
  if (!how.first.empty()) {
    input(how.first.span());
    keep_rest();
  }
}

TlsEngine::~TlsEngine() = default;

// ---- bytes in and out

void TlsEngine::input(ByteSpan view) {
  if (!first_byte_ && !view.empty()) first_byte_ = view.front();
  if (!established_) handshake_bytes_ += view.size();
  view_ = view;
}

void TlsEngine::keep_rest() {
  held_.erase(held_.begin(), held_.begin() + static_cast<std::ptrdiff_t>(std::exchange(held_used_, 0)));
  if (held_.empty() && view_.empty()) held_.shrink_to_fit();
  held_.insert(held_.end(), view_.begin(), view_.end());
  view_ = {};
}

std::size_t TlsEngine::take_input(std::span<char> room) {
  bool from_held = held_used_ < held_.size();
  ByteSpan from = from_held ? ByteSpan(held_).subspan(held_used_) : view_;
  std::size_t n = std::min(room.size(), from.size());
  if (n == 0) return 0;
  std::memcpy(room.data(), from.data(), n);
  from_held ? void(held_used_ += n) : void(view_ = view_.subspan(n));
  return n;
}

void TlsEngine::wire_sent(std::size_t n) {
  wire_sent_ += n;
  if (wire_sent_ < wire_.size()) return;
  wire_.clear();
  wire_sent_ = 0;
  if (wire_.capacity() > kWireKept) wire_.shrink_to_fit();
}

void TlsEngine::drop_wire() {
  wire_ = {};
  wire_sent_ = 0;
}

// ---- the protocol

bool TlsEngine::handshake() {
  if (failed()) return false;
  if (established_) return true;
  if (handshake_bytes_ > kHandshakeBytesMax) {
    error_ = "tls handshake: it is longer than " + std::to_string(kHandshakeBytesMax) + " bytes";
    return false;
  }
  ERR_clear_error();
  int rc = SSL_do_handshake(private_->ssl.get());
  if (rc == 1) return established_ = true;
  int code = SSL_get_error(private_->ssl.get(), rc);
  return code == SSL_ERROR_WANT_READ || fail(code);
}

TlsEngine::Got TlsEngine::read(std::span<std::uint8_t> room, std::size_t& n) {
  n = 0;
  if (failed()) return Got::kFailed;
  while (n < room.size()) {
    std::size_t got = 0;
    ERR_clear_error();
    int rc = SSL_read_ex(private_->ssl.get(), room.data() + n, room.size() - n, &got);
    n += got;
    if (rc == 1) continue;
    int code = SSL_get_error(private_->ssl.get(), rc);
    if (code == SSL_ERROR_WANT_READ) return Got::kMore;
    if (code == SSL_ERROR_ZERO_RETURN) return Got::kEnd;
    fail(code);
    return Got::kFailed;
  }
  return Got::kRoomFull;
}

bool TlsEngine::seal(ByteSpan plain) {
  if (failed()) return false;
  while (!plain.empty()) {
    std::size_t put = 0;
    ERR_clear_error();
    int rc = SSL_write_ex(private_->ssl.get(), plain.data(), plain.size(), &put);
    if (rc != 1) return fail(SSL_get_error(private_->ssl.get(), rc));
    plain = plain.subspan(put);
  }
  return true;
}

bool TlsEngine::end() {
  if (ended_ || failed() || !established_) return false;
  ended_ = true;
  ERR_clear_error();
  SSL_shutdown(private_->ssl.get());
  return true;
}

// ---- what went wrong

bool TlsEngine::fail(int code) {
  std::string why = code == SSL_ERROR_SSL ? explain() : "OpenSSL reports error " + std::to_string(code);
  error_ = (established_ ? "tls: " : "tls handshake: ") + why;
  ERR_clear_error();
  return false;
}

std::string TlsEngine::explain() const {
  if (!private_->check.why.empty()) return private_->check.why;
  bool tls = first_byte_ && (*first_byte_ == kHandshakeRecord || *first_byte_ == kAlertRecord);
  if (!established_ && first_byte_ && !tls) return "the other side does not speak TLS";
  unsigned long e = ERR_peek_error();
  int reason = ERR_GET_REASON(e);
  if (reason == SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE) return "the other side shows no certificate";
  const char* text = ERR_reason_error_string(e);
  if (reason > SSL_AD_REASON_OFFSET) {
    std::string_view alert = SSL_alert_desc_string_long(reason - SSL_AD_REASON_OFFSET);
    if (alert == "unknown" && text) alert = text;  // one of TLS 1.3
    return "the other side refuses: " + std::string(alert);
  }
  return text ? text : "unknown error";
}

std::optional<env::TlsState> TlsEngine::state() const {
  if (!established_) return std::nullopt;
  const SSL* ssl = private_->ssl.get();
  env::TlsState s;
  s.version = SSL_get_version(ssl);
  if (s.version.rfind("TLSv", 0) == 0) s.version.erase(0, 4);
  if (const SSL_CIPHER* cipher = SSL_get_current_cipher(ssl)) {
    const char* name = SSL_CIPHER_standard_name(cipher);
    s.cipher = name ? name : SSL_CIPHER_get_name(cipher);
  }
  if (X509* cert = SSL_get0_peer_certificate(ssl)) {
    s.has_peer_certificate = true;
    s.peer_subject = subject_of(cert);
    add_names(cert, s);
  }
  return s;
}

}  // namespace weir::platform
