// broker/platform/tls_context.h - certificates, keys and rules of one tls {} block, as OpenSSL wants them.
//
// Room:    edge; OpenSSL stays in platform/tls*.
// Thread:  the loop's. A context is immutable; new files make a new one.
// Trust:   TLS 1.2 or 1.3, no renegotiation, no compression, no resumption (a resumed session would not
//          look at certificates again). Every certificate of ca_file is trusted by itself, self-signed
//          or not, as in Go. Names are compared with the alternative names only, never with the CN.
// Errors:  all at opening; each names the file and where the configuration names it.
#pragma once

#include <openssl/ssl.h>

#include <memory>
#include <string>
#include <vector>

#include "broker/base/result.h"
#include "broker/env/tls.h"

namespace weir::platform {

template <auto Free>
struct TlsFree {
  template <class T>
  void operator()(T* p) const {
    Free(p);
  }
};
using X509Ptr = std::unique_ptr<X509, TlsFree<X509_free>>;
using KeyPtr = std::unique_ptr<EVP_PKEY, TlsFree<EVP_PKEY_free>>;

class OpenSslContext {
 public:
  /// Reads the files. Errors: kInvalid.
  static Result<std::shared_ptr<const OpenSslContext>> open(const env::TlsSettings& settings);

  std::optional<Wall> not_after() const { return not_after_; }
  SSL_CTX* get() const { return ctx_.get(); }
  const env::TlsSettings& settings() const { return settings_; }

  /// What the verification of one connection looks at and says; SSL_set_app_data() of the SSL.
  struct Check {
    const OpenSslContext* context = nullptr;
    bool dialled = false;
    std::vector<std::string> hosts;
    std::string why;  // of the certificate that was not accepted
  };

 private:
  struct Pair {
    std::vector<X509Ptr> chain;  // leaf first
    KeyPtr key;
  };

  explicit OpenSslContext(const env::TlsSettings& settings) : settings_(settings) {}
  Status load();
  Status load_pair(const env::TlsFile& cert, const env::TlsFile& key);
  Status load_authorities();
  Status set_ciphers();
  Status use(const Pair& pair, const env::TlsFile& cert);
  Error wrong(const std::string& text) const;
  static int choose(SSL* ssl, void* self);
  static int verify(X509_STORE_CTX* store, void*);

  const env::TlsSettings settings_;
  std::unique_ptr<SSL_CTX, TlsFree<SSL_CTX_free>> ctx_;
  std::vector<Pair> pairs_;
  std::optional<Wall> not_after_;
};

/// What the rest of the broker holds: the present context, which renew() replaces. A connection keeps the one
/// that it began with.
class TlsSlot final : public env::TlsContext {
 public:
  explicit TlsSlot(std::shared_ptr<const OpenSslContext> first) : now_(std::move(first)) {}
  std::optional<Wall> not_after() const override { return now_->not_after(); }
  const std::shared_ptr<const OpenSslContext>& now() const { return now_; }
  void renew(std::shared_ptr<const OpenSslContext> next) { now_ = std::move(next); }

 private:
  std::shared_ptr<const OpenSslContext> now_;
};

/// "CN=n2,O=Weir"
std::string subject_of(const X509* cert);

}  // namespace weir::platform
