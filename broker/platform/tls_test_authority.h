// broker/platform/tls_test_authority.h - makes certificates in a temporary folder. Tests only.
//
// Why here:  files with fixed certificates would expire. EC keys, because they are made in no time.
#pragma once

#include <gtest/gtest.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "broker/env/tls.h"
#include "broker/platform/tls_context.h"

namespace weir::platform {

struct TestCert {
  X509Ptr cert;
  KeyPtr key;
  std::string cert_file, key_file;

  std::pair<env::TlsFile, env::TlsFile> files() const { return {{cert_file, ""}, {key_file, ""}}; }
};

struct TestCertOptions {
  std::string names = "IP:127.0.0.1,DNS:localhost";  // alternative names
  std::string usage = "serverAuth,clientAuth";
  long valid_from_s = -3600, valid_to_s = 3600;  // from now
  bool rsa = false;
  std::string passphrase;
};

class TestAuthority {
 public:
  explicit TestAuthority(std::string name = "ca") : name_(std::move(name)) {
    std::string folder = (std::filesystem::temp_directory_path() / "weir-tls-XXXXXX").string();
    folder_ = ::mkdtemp(folder.data());
    ca_ = make(name_, nullptr, {});
  }
  ~TestAuthority() {
    std::error_code ec;
    std::filesystem::remove_all(folder_, ec);
  }
  TestAuthority(const TestAuthority&) = delete;

  TestCert issue(const std::string& cn, const TestCertOptions& o = {}) const { return make(cn, &ca_, o); }
  const std::string& ca_file() const { return ca_.cert_file; }
  const TestCert& ca() const { return ca_; }

  /// Writes a file beside the certificates; its path.
  std::string file(const std::string& name, const std::string& text) const {
    std::string path = folder_ + "/" + name;
    std::ofstream(path, std::ios::binary) << text;
    return path;
  }
  const std::string& folder() const { return folder_; }

  /// What a node of a cluster has: one pair, this authority, both sides verified.
  env::TlsSettings settings(const TestCert& own) const {
    env::TlsSettings s;
    s.certs.push_back(own.files());
    s.ca = {ca_file(), ""};
    return s;
  }

 private:
  using BioPtr = std::unique_ptr<BIO, TlsFree<BIO_free_all>>;
  static void extend(X509* cert, X509* issuer, int nid, const std::string& value) {
    X509V3_CTX ctx;
    X509V3_set_ctx(&ctx, issuer, cert, nullptr, nullptr, 0);
    X509_EXTENSION* e = X509V3_EXT_conf_nid(nullptr, &ctx, nid, value.c_str());
    ASSERT_NE(e, nullptr) << value;
    X509_add_ext(cert, e, -1);
    X509_EXTENSION_free(e);
  }
  static std::string drain(BIO* bio) {
    char* data = nullptr;
    long size = BIO_get_mem_data(bio, &data);
    return std::string(data, static_cast<std::size_t>(size));
  }

  TestCert make(const std::string& cn, const TestCert* issuer, const TestCertOptions& o) const {
    static long serial = 0;
    TestCert t;
    t.key.reset(o.rsa ? EVP_RSA_gen(2048) : EVP_EC_gen("P-256"));
    t.cert.reset(X509_new());
    X509* c = t.cert.get();
    X509_set_version(c, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(c), ++serial);
    X509_gmtime_adj(X509_getm_notBefore(c), o.valid_from_s);
    X509_gmtime_adj(X509_getm_notAfter(c), o.valid_to_s);
    auto* name = X509_get_subject_name(c);
    auto add = [&](const char* field, const std::string& text) {
      X509_NAME_add_entry_by_txt(name, field, MBSTRING_ASC,
                                 reinterpret_cast<const unsigned char*>(text.c_str()), -1, -1, 0);
    };
    add("O", "Weir");
    add("CN", cn);
    X509_set_pubkey(c, t.key.get());
    X509* by = issuer ? issuer->cert.get() : c;
    X509_set_issuer_name(c, X509_get_subject_name(by));
    if (issuer) {
      if (!o.names.empty()) extend(c, by, NID_subject_alt_name, o.names);
      if (!o.usage.empty()) extend(c, by, NID_ext_key_usage, o.usage);
    } else {
      extend(c, by, NID_basic_constraints, "critical,CA:TRUE");
      extend(c, by, NID_key_usage, "critical,keyCertSign,cRLSign");
    }
    X509_sign(c, issuer ? issuer->key.get() : t.key.get(), EVP_sha256());
    BioPtr cert_pem(BIO_new(BIO_s_mem())), key_pem(BIO_new(BIO_s_mem()));
    PEM_write_bio_X509(cert_pem.get(), c);
    PEM_write_bio_PrivateKey(key_pem.get(), t.key.get(), o.passphrase.empty() ? nullptr : EVP_aes_128_cbc(),
                             nullptr, 0, nullptr, const_cast<char*>(o.passphrase.c_str()));
    std::string base = cn + std::to_string(serial);
    t.cert_file = file(base + ".pem", drain(cert_pem.get()));
    t.key_file = file(base + "-key.pem", drain(key_pem.get()));
    return t;
  }

  std::string name_;
  std::string folder_;
  TestCert ca_;
};

}  // namespace weir::platform
